import asyncio

import pytest

from symbl_aio import errors
from symbl_aio._error_classes import api_error
from symbl_aio.errors import (
    AmbiguousSubmissionError,
    APIError,
    AppendBlockedError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConcurrencyLimitError,
    ConfigurationError,
    DecodeError,
    JobError,
    JobFailedError,
    JobTimeoutError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    SymblError,
    TransportError,
    UploadStalledError,
)
from symbl_aio.job import Acceptance, Job
from tests.tables import table


@table(
    "status, cls",
    [
        (301, BadRequestError),
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, BadRequestError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, BadRequestError),
        (429, ConcurrencyLimitError),
        (499, BadRequestError),
        (500, ServerError),
        (503, ServerError),
        (599, ServerError),
    ],
)
def test_a_status_has_its_class(status, cls):
    error = api_error(status, "words", "<body>", where="GET /v1/job/1")

    assert type(error) is cls
    assert isinstance(error, APIError)
    assert (error.status, error.message, error.body) == (status, "words", "<body>")


def test_a_message_says_where_and_what():
    assert str(api_error(404, "no such job", "", where="GET /v1/job/1")) == (
        "GET /v1/job/1: 404 no such job"
    )
    assert str(ServerError(500)) == "500 without a message"
    assert "<body>" not in str(ServerError(500, "words", "<body>"))


def test_a_wrong_argument_is_a_value_error_too():
    with pytest.raises(ValueError, match="options"):
        raise ConfigurationError("options")


def test_timeouts_are_caught_as_the_builtin_one():
    job = object.__new__(Job)
    for error in (UploadStalledError("stalled"), JobTimeoutError("late", job)):
        assert isinstance(error, TimeoutError)
        assert isinstance(error, asyncio.TimeoutError)
        assert isinstance(error, SymblError)


def test_no_error_that_tells_of_a_job_loses_it():
    job = object.__new__(Job)

    assert JobFailedError("failed", job).job is job
    assert isinstance(JobFailedError("failed", job), JobError)
    assert ClientClosedError("closed", job).job is job
    assert ClientClosedError("closed").job is None


def test_what_could_not_be_understood_is_kept_as_it_came():
    assert DecodeError("no list", "<html>").raw == "<html>"


def test_a_fault_says_how_far_the_request_got():
    assert TransportError("reset", "partial").sent == "partial"


async def test_a_doubtful_submission_can_look_for_proof_again_and_again():
    found = Acceptance("conversation", None, "webhook")
    looked = 0

    async def look() -> Acceptance:
        nonlocal looked
        looked += 1
        return found

    error = AmbiguousSubmissionError("sent whole", key="a", reconcile=look)

    assert (error.key, error.sent) == ("a", "maybe")
    assert await error.reconcile() is found
    assert await error.reconcile() is found
    assert looked == 2


def test_a_blocked_append_shows_what_blocked_it():
    cause = ServerError(502)
    error = AppendBlockedError("nothing was sent", cause)

    assert error.cause is cause
    assert error.__cause__ is cause


def test_every_class_says_what_it_means():
    for name, cls in vars(errors).items():
        if isinstance(cls, type) and issubclass(cls, SymblError):
            assert cls.__doc__, name


@pytest.mark.parametrize("error", [APIError(400, "a\ud800b"), ConfigurationError("a\ud800b")])
def test_every_error_can_be_written_to_a_log(error: SymblError) -> None:
    assert str(error).encode().endswith(rb"a\ud800b")
