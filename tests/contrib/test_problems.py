"""Problems for visitors: the right status, and no detail of the service behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from symbl_aio import (
    AmbiguousSubmissionError,
    APIError,
    AppendBlockedError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConcurrencyLimitError,
    ConfigurationError,
    DecodeError,
    FileChangedError,
    FileUnavailableError,
    JobFailedError,
    JobLostError,
    JobTimeoutError,
    MediaRejectedError,
    NotFoundError,
    OutboxUnavailableError,
    PermissionDeniedError,
    QueueFullError,
    ServerError,
    StillAmbiguousError,
    StreamLostError,
    StreamRefusedError,
    StreamTimeoutError,
    SymblError,
    TransportError,
    UntrustedServerError,
    UploadError,
    UploadStalledError,
    errors,
)
from symbl_aio.contrib.problems import BadUploadError, log, problem
from symbl_aio.testing import LocalSymbl
from tests.tables import table


async def unused() -> None: ...


SECRET = "http://user:hunter2@10.0.0.7/?token=abc"
BLOCKED = AppendBlockedError(SECRET, TransportError(SECRET, "maybe"))
AMBIGUOUS = AmbiguousSubmissionError(SECRET, key="monday", reconcile=unused)  # type: ignore[arg-type]

STATUS: list[tuple[SymblError, int]] = [
    (AMBIGUOUS, 502),
    (BLOCKED, 409),
    (QueueFullError(SECRET), 503),
    (ConcurrencyLimitError(429, SECRET), 503),
    (ClientClosedError(SECRET), 503),
    (OutboxUnavailableError(SECRET), 503),
    (UploadStalledError(SECRET), 504),
    (FileChangedError(SECRET), 409),
    (FileUnavailableError(SECRET), 503),
    (AuthenticationError(401, SECRET), 502),
    (PermissionDeniedError(403, SECRET), 502),
    (NotFoundError(404, SECRET), 404),
    (BadRequestError(307, SECRET), 502),
    (ServerError(500, SECRET), 502),
    (DecodeError(SECRET, SECRET), 502),
    (TransportError(SECRET, "no"), 502),
    (UntrustedServerError(SECRET, "no"), 502),
    (StillAmbiguousError(SECRET, "maybe"), 502),
    (StreamLostError(SECRET), 502),
    (StreamRefusedError(SECRET), 502),
    (StreamTimeoutError(SECRET), 504),
]

VISITORS: list[tuple[Exception, int]] = [
    (MediaRejectedError("it is a pdf"), 415),
    (ConfigurationError("speakers is empty"), 400),
    (UploadError("it ended early"), 400),
    (BadRequestError(400, "name is too long"), 400),
    (BadRequestError(422, "name is too long"), 400),
    (BadUploadError(411, "no length"), 411),
    (BadUploadError(413, "too long"), 413),
]


@table("error,status", STATUS, ids=lambda value: type(value).__name__)
def test_what_is_not_the_visitors_is_told_in_fixed_words(error: SymblError, status: int):
    told = problem(error)

    assert told.status == status
    assert told.extra["error"] == type(error).__name__
    assert len(told.detail) > 20
    for secret in ("hunter2", "10.0.0.7", "abc"):
        assert secret not in told.to_json().decode()
    assert ("Retry-After" in told.headers) == (status == 503)


@pytest.mark.parametrize("error,status", VISITORS, ids=lambda value: type(value).__name__)
def test_a_visitors_own_mistake_is_told_in_the_words_of_the_error(error: Exception, status: int):
    told = problem(error)

    assert told.status == status
    assert told.detail in str(error)
    assert json.loads(told.to_json()) == {
        "title": told.title,
        "status": status,
        "detail": told.detail,
        "error": type(error).__name__,
    }


@pytest.mark.parametrize(
    "kind,status", [(JobFailedError, 502), (JobLostError, 502), (JobTimeoutError, 504)]
)
async def test_what_is_about_a_job_names_it(kind, status, server: LocalSymbl):
    async with server.client() as symbl:
        told = problem(kind(SECRET, symbl.job("j1", "c1")))

    assert told.status == status
    assert (told.extra["job_id"], told.extra["conversation_id"]) == ("j1", "c1")
    assert "hunter2" not in told.detail


@pytest.mark.parametrize(
    "name,content,detail",
    [
        ("none.mp4", None, "'none.mp4' cannot be opened"),
        ("empty.mp4", b"", "'empty.mp4' is empty"),
        ("it's a recording.mp4", b"%PDF-1.4", '"it\'s a recording.mp4" is of an unknown format'),
    ],
)
async def test_a_problem_names_no_folder_of_this_machine(
    server: LocalSymbl, tmp_path: Path, name: str, content: bytes | None, detail: str
):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    async with server.client() as symbl:
        with pytest.raises(MediaRejectedError) as caught:
            await symbl.submit(tmp_path / name)

    assert str(tmp_path) in str(caught.value)
    assert problem(caught.value).detail.startswith(detail)


@table(
    "error,status,seconds",
    [
        (ConcurrencyLimitError(429, SECRET, retry_after=59.2), 503, "60"),
        (ConcurrencyLimitError(429, SECRET, retry_after=0.0), 503, "10"),
        (ConcurrencyLimitError(429, SECRET), 503, "10"),
        (ConcurrencyLimitError(429, SECRET, retry_after=float("9" * 400)), 503, "86400"),
        (ServerError(503, SECRET, retry_after=30.0), 503, "30"),
        (ServerError(503, SECRET), 502, None),
        (ServerError(500, SECRET, retry_after=30.0), 502, None),
    ],
)
def test_when_to_come_back_is_what_the_api_has_said(
    error: APIError, status: int, seconds: str | None
):
    told = problem(error)

    assert (told.status, told.headers.get("Retry-After")) == (status, seconds)
    assert SECRET not in told.detail


def test_what_may_have_been_accepted_is_told_with_its_key():
    assert problem(AMBIGUOUS).extra == {
        "error": "AmbiguousSubmissionError",
        "key": "monday",
        "sent": "maybe",
    }


def test_every_error_of_the_library_has_its_problem():
    known = {type(error) for error, _ in [*STATUS, *VISITORS]}
    known |= {JobFailedError, JobLostError, JobTimeoutError}
    waiting, leaves = [SymblError], set()
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if not kind.__subclasses__() and kind.__module__ == errors.__name__:
            leaves.add(kind)

    assert leaves <= known


def test_a_stranger_is_a_500_without_a_word():
    told = problem(RuntimeError(SECRET))

    assert told.status == 500
    assert told.extra == {}
    assert "hunter2" not in told.detail


def test_the_operator_is_told_what_the_visitor_is_not(caplog: pytest.LogCaptureFixture):
    for error in (ServerError(500, "out of order"), MediaRejectedError("it is a pdf")):
        log(problem(error), error)

    assert "ServerError: 500 out of order" in caplog.text
    assert "pdf" not in caplog.text
