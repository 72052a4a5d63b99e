"""Cancelling at every step in turn: whoever gives up takes nothing from anybody else.

The event loop's own turns are the steps. Its selector is asked once a turn, so it can
count them and cancel at the one that is wanted: no task has to be slowed down for that,
and every await on the way is hit. The server runs in a thread of its own, so that its turns
are not counted.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import psutil
import pytest
from attrs import define, field

from symbl_aio import (
    AmbiguousSubmissionError,
    ClientClosedError,
    Conversation,
    Job,
    Limits,
    MediaOptions,
    Submission,
    SymblClient,
    Text,
    Video,
)
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK, mp4_bytes

MOST_TURNS = 3000

ENDED_BY_CLOSING = (ClientClosedError, AmbiguousSubmissionError, asyncio.CancelledError)


class Turns(selectors.DefaultSelector):
    """Counts the turns of a loop, and cancels ``task`` at the one that is wanted."""

    def __init__(self, cancel_at: int) -> None:
        super().__init__()
        self.task: asyncio.Task[Any] | None = None
        self.cancelled = False
        self._left = cancel_at

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.task is not None and not self.task.done():
            self._left -= 1
            if self._left == 0:
                self.cancelled = self.task.cancel()
                timeout = 0
        return super().select(timeout)


@define(eq=False)
class Run:
    """One history, cancelled at one turn. ``handles``: all that must be settled in the end."""

    server: LocalSymbl
    recording: Path
    name: str
    turns: Turns
    handles: list[Submission | Job] = field(factory=list)

    def client(self) -> SymblClient:
        # Chunks so small that a part of the recording goes from the kernel to the socket.
        return self.server.client(limits=Limits(jobs=2), chunk_size=2**16, **QUICK)

    async def watched(self, work: Coroutine[Any, Any, object]) -> None:
        """Do the work whose turns count, and let it be cancelled."""
        self.turns.task = asyncio.create_task(work)
        with suppress(asyncio.CancelledError):
            await self.turns.task

    def submit(self, symbl: SymblClient) -> tuple[Submission, Submission]:
        """Queue a recording, and a text behind it."""
        options = MediaOptions(name=self.name)
        first = symbl.submit(self.recording, options)
        second = symbl.append(first, Text(f"Appended in {self.name}."))
        self.handles += [first, second]
        return first, second

    async def outcome(self, submission: Submission) -> object:
        job = await submission
        self.handles.append(job)
        return await job

    def texts(self) -> list[Text]:
        return [Text(f"{number} of {self.name}.") for number in ("One", "Two", "Three")]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalSymbl]:
    started: list[tuple[LocalSymbl, asyncio.AbstractEventLoop, asyncio.Event]] = []
    ready = threading.Event()

    async def serve() -> None:
        over = asyncio.Event()
        async with LocalSymbl(probe_media=False, default_transcript="Ann: Hello there.") as local:
            started.append((local, asyncio.get_running_loop(), over))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(timeout=30)
    local, loop, over = started[0]
    yield local
    loop.call_soon_threadsafe(over.set)
    thread.join()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "standup.mp4"
    path.write_bytes(mp4_bytes(150_000))
    return path


Scene = Callable[[Run], Awaitable[None]]


def at_every_step(scene: Scene, server: LocalSymbl, recording: Path) -> int:
    """Play a scene and cancel at the first turn, then at the second, until none is left.

    After each: no task of ours, no future that is pending, nothing accepted twice, nothing
    told to the loop's exception handler. After all of them: no descriptor, no warning.
    """
    gc.collect()  # what earlier tests left would go meanwhile, as it does at the end
    before = psutil.Process().num_fds()
    complaints: list[dict[str, Any]] = []

    def complain(_: object, told: dict[str, Any]) -> None:
        # A doubt that nobody waited for is told at the end, as it should be.
        if not isinstance(told.get("exception"), AmbiguousSubmissionError):
            complaints.append(told)

    for turn in range(1, MOST_TURNS):
        known = len(server.submissions)
        turns = Turns(turn)
        run = Run(server, recording, f"{scene.__name__} {turn}", turns)
        loop = asyncio.SelectorEventLoop(turns)
        loop.set_exception_handler(complain)
        try:
            loop.run_until_complete(asyncio.wait_for(_alone(scene, run), 30))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
        assert all(handle.done() for handle in run.handles), turn
        accepted = Counter(
            str(received.body or received.query)
            for received in server.submissions[known:]
            if received.accepted
        )
        assert not accepted or max(accepted.values()) == 1, turn
        if not turns.cancelled:
            break
    del run
    gc.collect()
    assert complaints == []
    # The server, in its thread, closes its end of a connection a moment after the client; no
    # event reports that.
    patience = monotonic() + 20.0
    while psutil.Process().num_fds() != before and monotonic() < patience:
        threading.Event().wait(0.01)
    assert psutil.Process().num_fds() == before
    return turn


async def _alone(scene: Scene, run: Run) -> None:
    before = asyncio.all_tasks()
    await scene(run)
    assert asyncio.all_tasks() == before, run.name


async def whole_story(symbl: SymblClient, run: Run, first: Submission, second: Submission) -> None:
    """Everything that a caller can wait for, one after the other."""
    async for _ in first.progress():
        pass
    job = await first
    await job.refresh()
    async for _ in job.events():
        pass
    conversation = await job
    await conversation.messages()
    await (await second)
    async for outcome in symbl.map(run.texts()):
        await outcome.unwrap().messages()


@pytest.mark.heavy
def test_a_caller_who_is_cancelled_anywhere_takes_nothing_from_the_others(
    server: LocalSymbl, recording: Path
) -> None:
    async def caller(run: Run) -> None:
        async with run.client() as symbl:
            first, second = run.submit(symbl)
            innocent = [
                asyncio.create_task(run.outcome(submission))
                for submission in (first, second, first)
            ]
            await run.watched(whole_story(symbl, run, first, second))
            conversations = await asyncio.gather(*innocent)
            (id_,) = {one.id for one in conversations if isinstance(one, Conversation)}
            messages = await symbl.conversation(id_).messages()
            assert [m.text for m in messages] == ["Hello there.", f"Appended in {run.name}."]
            await symbl.aclose(drain="jobs")
            assert symbl.stats().queued == symbl.stats().uploading == symbl.stats().jobs == 0

    assert at_every_step(caller, server, recording) > 60


@pytest.mark.parametrize("drain", ["jobs", "uploads", "none"])
@pytest.mark.heavy
def test_closing_that_is_cancelled_anywhere_still_closes(
    server: LocalSymbl, recording: Path, drain: Literal["jobs", "uploads", "none"]
) -> None:
    async def closing(run: Run) -> None:
        symbl = run.client()
        await symbl.start()
        first, second = run.submit(symbl)
        third = symbl.submit(Text(f"Third in {run.name}."))
        run.handles.append(third)
        others = [asyncio.create_task(run.outcome(one)) for one in (first, second, third)]
        if drain == "none":
            await third
        await run.watched(symbl.aclose(drain=drain))
        await symbl.aclose()
        for outcome in await asyncio.gather(*others, return_exceptions=True):
            assert isinstance(outcome, (Conversation, *ENDED_BY_CLOSING))
        assert symbl.stats().queued == symbl.stats().uploading == 0

    assert at_every_step(closing, server, recording) > 10


@pytest.mark.heavy
def test_a_block_that_is_cancelled_anywhere_leaves_nothing_behind(
    server: LocalSymbl, recording: Path
) -> None:
    async def block(run: Run) -> None:
        others: list[asyncio.Task[object]] = []
        symbl = run.client()

        async def block() -> None:
            async with symbl:
                first, second = run.submit(symbl)
                others.extend(asyncio.create_task(run.outcome(one)) for one in (first, second))
                await whole_story(symbl, run, first, second)

        await run.watched(block())
        await symbl.aclose()  # which only waits, if it was the closing that was cancelled
        for outcome in await asyncio.gather(*others, return_exceptions=True):
            assert isinstance(outcome, (Conversation, *ENDED_BY_CLOSING))

    assert at_every_step(block, server, recording) > 60


def test_a_stream_whose_caller_withdraws_it_anywhere_is_closed(
    server: LocalSymbl, recording: Path
) -> None:
    async def stream(run: Run) -> None:
        closed: list[bool] = []

        async def stream() -> AsyncIterator[bytes]:
            try:
                for part in range(3):
                    yield mp4_bytes(1000) if part == 0 else bytes(1000)
                    await asyncio.sleep(0)
            finally:
                closed.append(True)

        async def impatient(symbl: SymblClient) -> None:
            submission = symbl.submit(Video(stream(), size=3000), MediaOptions(name=run.name))
            run.handles.append(submission)
            try:
                await submission
            except asyncio.CancelledError:
                if submission.cancel():
                    with pytest.raises(asyncio.CancelledError):
                        await submission
                else:
                    await submission
                raise

        async with run.client() as symbl:
            await run.watched(impatient(symbl))
            assert symbl.stats().uploading == 0
        arrived = [r for r in server.submissions if r.query.get("name") == run.name]
        assert len(arrived) <= 1
        assert len(closed) in ([1] if arrived else [0, 1])

    assert at_every_step(stream, server, recording) > 10
