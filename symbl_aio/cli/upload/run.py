"""The run of an upload: many meetings at a time, the recordings of each in order."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterable, Iterable
from typing import Final

from symbl_aio import Event, SymblClient, SymblError
from symbl_aio.cli.exit_codes import describe
from symbl_aio.cli.upload.decide import sent_behind, was_sent
from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.ledger import Ledger
from symbl_aio.cli.upload.outcomes import Outcome, Outcomes, Result
from symbl_aio.cli.upload.output_files import TranscriptFiles
from symbl_aio.cli.upload.sender import Sender, Settings
from symbl_aio.cli.upload.show_json import Show

AT_ONCE: Final = 100
"""Meetings under way: twice the jobs that a client runs, so that no slot waits for a file."""

_GOES_ON: Final = frozenset((Result.COMPLETED, Result.SKIPPED))


class Run:
    """One run of an upload."""

    def __init__(
        self, ledger: Ledger, show: Show, settings: Settings, files: TranscriptFiles | None
    ) -> None:
        self.outcomes = Outcomes()
        self._ledger = ledger
        self._show = show
        self._settings = settings
        self._transcripts = files
        self._tasks: set[asyncio.Task[None]] = set()
        self._sender: Sender | None = None
        self.active: set[str] = set()
        """Identities of the meetings under way."""
        self.again: set[str] = set()
        """Recordings that did not arrive, or whose files are not written, to be taken once more."""
        self.in_place: set[int] = set()
        """Items of the ledger whose files were where they were sent from, after the last look."""

    def observe(self, event: Event) -> None:
        """Pass an event of the client on; an observer of it."""
        if self._sender is not None:
            self._sender.observe(event)

    async def all(self, client: SymblClient, meetings: AsyncIterable[Meeting]) -> None:
        """Send all recordings that are to be sent, and follow all jobs to their end.

        Cancelling it waits for the answers to what was sent whole, at most a few seconds;
        everything else goes on in the next run. Raises the error that ends a run.
        """
        self._client = client
        self._sender = Sender(
            client, self._ledger, self._show, self._settings, self.outcomes, self.in_place
        )
        queue: asyncio.Queue[Meeting | None] = asyncio.Queue(1)
        loop = asyncio.get_running_loop()
        self._tasks = {
            loop.create_task(self._feed(meetings, queue), name="symbl-aio feed"),
            *(
                loop.create_task(self._work(queue, self._sender), name="symbl-aio meetings")
                for _ in range(AT_ONCE)
            ),
        }
        try:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            await self._sender.stop()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _feed(
        self, meetings: AsyncIterable[Meeting], queue: asyncio.Queue[Meeting | None]
    ) -> None:
        async for meeting in meetings:
            self.outcomes.expect(meeting)
            self.active.add(meeting.identity)
            await queue.put(meeting)
        for _ in range(AT_ONCE):
            await queue.put(None)

    async def _work(self, queue: asyncio.Queue[Meeting | None], sender: Sender) -> None:
        while (meeting := await queue.get()) is not None:
            try:
                if not await self._meeting(meeting, sender):
                    return
            finally:
                self.active.discard(meeting.identity)

    async def _meeting(self, meeting: Meeting, sender: Sender) -> bool:
        """Settle the recordings of a meeting in order; return whether the run goes on."""
        before: Outcome | None = None
        is_new = False
        await self._ledger.load((part.source for part in meeting.parts), meeting=meeting.key)
        ready = meeting.parts[: meeting.ready]
        for part, behind in zip(ready, sent_behind(meeting, self._ledger), strict=False):
            if (
                before is not None
                and before.result not in _GOES_ON
                and not was_sent(part, meeting, self._ledger)
            ):
                self._end(_blocked(part, meeting, before))
                continue
            outcome = await sender.settle(part, meeting, behind)
            if outcome is None:
                return False
            before = outcome
            is_new = is_new or outcome.result is Result.COMPLETED
            self._end(outcome)
        if before is not None and before.result in _GOES_ON and self._transcripts is not None:
            await self._write(meeting, before, math.inf if is_new else self._changed(ready))
        return True

    def _end(self, outcome: Outcome) -> None:
        self.outcomes.add(outcome)
        if outcome.result is Result.UNSENT:
            self.again.add(outcome.part.source)
        self._show.ended(outcome, self.outcomes)

    def _changed(self, parts: Iterable[Found]) -> float:
        """Return when the last of the parts was completed: perhaps by a run that was killed."""
        items = (self._ledger.item(part.source) for part in parts)
        return max((item.since for item in items if item is not None), default=0.0)

    async def _write(self, meeting: Meeting, last: Outcome, since: float) -> None:
        assert self._transcripts is not None
        if last.conversation is None:
            return
        try:
            written = await self._transcripts.write(
                self._client, meeting, last.conversation, since=since
            )
        except (SymblError, OSError) as error:
            self._show.unwritten(meeting, describe(error))
            self.outcomes.unwritten[meeting.identity] = meeting
            self.again.update(part.source for part in meeting.parts[: meeting.ready])
        else:
            self.outcomes.unwritten.pop(meeting.identity, None)
            if written:
                self._show.written(meeting, written)


def _blocked(part: Found, meeting: Meeting, by: Outcome) -> Outcome:
    first = by.reason if by.result is Result.BLOCKED else f"{by.part.label} is {by.result.value}"
    reason = first if by.result is Result.BLOCKED else f"{first}, and comes before it"
    return Outcome(part=part, meeting=meeting, result=Result.BLOCKED, reason=reason)
