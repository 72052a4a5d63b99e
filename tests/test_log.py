"""Logging never ends the work: a filter or a handler of the application may raise."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator

import pytest

from symbl_aio import JobStatus, Text
from symbl_aio._log import Log
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK

LOGGER = logging.getLogger("symbl_aio")


class NoRequest(logging.Filter):
    """Reads the request that a web service serves, in a task that serves none."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        self.asked.append(record.getMessage())
        raise LookupError("no request is served here")


@pytest.fixture
def no_request() -> Iterator[NoRequest]:
    raising, level = NoRequest(), LOGGER.level
    LOGGER.addFilter(raising)
    LOGGER.setLevel(logging.DEBUG)
    yield raising
    LOGGER.removeFilter(raising)
    LOGGER.setLevel(level)


async def test_a_filter_that_raises_ends_no_work(server: LocalSymbl, no_request: NoRequest) -> None:
    server.inject("status:503", on="/oauth2/token:generate", times=1)
    server.inject("unknown_status", times=1)
    async with asyncio.timeout(60), server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("Hello."))
        server.inject("job_fails", times=1)
        failing = await conversation.append(Text("Bye."))
        async for event in failing.events():
            last = event.status
        assert last is JobStatus.FAILED
    kinds = {message.partition("(")[0].partition(" ")[0] for message in no_request.asked}
    assert {"SubmissionQueued", "SubmissionAccepted", "JobStatusChanged", "JobEnded"} <= kinds
    assert any(message.startswith("trying again") for message in no_request.asked)
    assert any(message.startswith("unknown job status") for message in no_request.asked)


async def test_the_error_of_a_filter_is_shown_as_that_of_a_handler_would_be(
    server: LocalSymbl, no_request: NoRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    async with server.client(**QUICK) as symbl:
        await symbl.process(Text("Hello."))
    assert "LookupError: no request is served here" in capsys.readouterr().err


def test_a_record_names_the_place_that_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    log = Log("symbl_aio")
    with caplog.at_level(logging.DEBUG, logger="symbl_aio"):
        log.debug("one %s", 1, extra={"symbl_key": "mine"})
        try:
            raise KeyError
        except KeyError:
            log.exception("two")
    assert [(record.filename, record.funcName, record.name) for record in caplog.records] == [
        ("test_log.py", "test_a_record_names_the_place_that_logs_it", "symbl_aio")
    ] * 2
    assert caplog.records[0].__dict__["symbl_key"] == "mine"
    assert caplog.records[1].exc_info is not None


@pytest.mark.parametrize("shown", [True, False])
def test_without_a_place_to_show_it_nothing_is_raised(
    no_request: NoRequest, monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", shown)
    monkeypatch.setattr(sys, "stderr", None)
    Log("symbl_aio").warning("nothing to see")
    assert no_request.asked == ["nothing to see"]
