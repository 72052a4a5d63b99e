"""One recording at its turn, stopped at moments that a whole run rarely meets."""

from __future__ import annotations

import asyncio
import io
import resource
import threading
from collections.abc import AsyncIterator

import pytest

from symbl_aio.cli.safe_streams import Output
from symbl_aio.cli.upload.find_files import Found, find
from symbl_aio.cli.upload.fingerprint import fingerprint
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.ledger import open_ledger
from symbl_aio.cli.upload.ledger_file import LedgerError
from symbl_aio.cli.upload.outcomes import Outcomes, Result
from symbl_aio.cli.upload.sender import Sender, Settings
from symbl_aio.cli.upload.show_json import JsonLines
from symbl_aio.testing import LocalSymbl
from tests.cli.upload.recordings import record, recording


@pytest.fixture
async def symbl() -> AsyncIterator[LocalSymbl]:
    async with LocalSymbl() as server:
        yield server


async def test_an_intent_that_is_being_stored_is_withdrawn_with_its_recording(symbl, tmp_path):
    (path,) = record(tmp_path, "a.wav")
    (found,) = find([str(path)]).found
    ledger = open_ledger(tmp_path / "ledger.db")
    await ledger.load([found.source], sha256=fingerprint(found, None).sha256)
    disk_answers = threading.Event()
    ledger._threads.threads.submit(disk_answers.wait)
    show = JsonLines(Output(io.StringIO()), Output(io.StringIO()))
    async with symbl.client() as client:
        sender = Sender(client, ledger, show, Settings(), Outcomes(), set())
        settling = asyncio.create_task(
            sender.settle(found, Meeting(None, "a", (found,)), behind=None)
        )
        while ledger.item(found.source) is None:  # noqa: ASYNC110 - the ledger has no event
            await asyncio.sleep(0)

        stopping = asyncio.create_task(sender.stop())
        await asyncio.sleep(0)
        disk_answers.set()

        assert await settling is None
        await stopping
    await ledger.aclose()
    again = open_ledger(tmp_path / "ledger.db")
    assert again.item(found.source) is None
    await again.aclose()
    assert [one for one in symbl.submissions if one.job_id is not None] == []


async def test_a_file_that_changes_before_its_last_byte_is_not_accepted(symbl, tmp_path):
    (path,) = record(tmp_path, "a.wav")
    (found,) = find([str(path)]).found
    ledger = open_ledger(tmp_path / "ledger.db")

    class Rewriting(JsonLines):
        def started(self, part: Found, outcomes: Outcomes) -> None:
            path.write_bytes(recording(7, seconds=0.2))

    show = Rewriting(Output(io.StringIO()), Output(io.StringIO()))
    async with symbl.client() as client:
        sender = Sender(client, ledger, show, Settings(), Outcomes(), set())
        outcome = await sender.settle(found, Meeting(None, "a", (found,)), behind=None)

    assert outcome is not None
    assert outcome.result is Result.UNSENT
    assert "changed" in str(outcome.reason)
    assert [one for one in symbl.submissions if one.job_id is not None] == []
    assert ledger.item(found.source) is None
    await ledger.aclose()


async def test_nothing_is_sent_whose_intent_cannot_be_stored(symbl, tmp_path):
    (path,) = record(tmp_path, "a.wav")
    (found,) = find([str(path)]).found
    ledger = open_ledger(tmp_path / "ledger.db")
    ledger._file.execute("DROP TABLE item")
    show = JsonLines(Output(io.StringIO()), Output(io.StringIO()))
    async with symbl.client() as client:
        sender = Sender(client, ledger, show, Settings(), Outcomes(), set())
        with pytest.raises(LedgerError, match="no such table"):
            await sender.settle(found, Meeting(None, "a", (found,)), behind=None)
        await sender.stop()
    await ledger.aclose()
    assert [one for one in symbl.submissions if one.job_id is not None] == []


async def test_a_recording_that_cannot_be_read_now_is_taken_once_more(symbl, tmp_path):
    (path,) = record(tmp_path, "a.wav")
    (found,) = find([str(path)]).found
    meeting = Meeting(None, "a", (found,))
    ledger = open_ledger(tmp_path / "ledger.db")
    show = JsonLines(Output(io.StringIO()), Output(io.StringIO()))
    async with symbl.client() as client:
        sender = Sender(client, ledger, show, Settings(), Outcomes(), set())
        await ledger.load([found.source])
        most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            outcome = await sender.settle(found, meeting, None)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        assert outcome is not None
        assert (outcome.result, outcome.exit_code) == (Result.UNSENT, 2)
        assert "Too many open files" in str(outcome.reason)
        path.unlink()
        outcome = await sender.settle(found, meeting, None)
        assert outcome is not None
        assert (outcome.result, outcome.exit_code) == (Result.REFUSED, 2)
    await ledger.aclose()
