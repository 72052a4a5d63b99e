"""Many sources at once: pulled lazily, none lost, each with its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import Generic, TypeVar

from attrs import frozen

from symbl_aio.conversations import Conversation
from symbl_aio.job import Job, Submission
from symbl_aio.media import MediaLike

S = TypeVar("S", bound=MediaLike)


@frozen
class Outcome(Generic[S]):
    """What became of one source of ``client.map``: its conversation, or its error.

    ``job`` is there whatever came after the acceptance, so that no billed job is lost.
    """

    index: int
    """Place of the source among all, from 0."""
    source: S
    """The source, as it was given."""
    job: Job | None
    """The job, once the server accepted the source."""
    conversation: Conversation | None
    """The conversation, if the job completed."""
    error: Exception | None
    """What went wrong; ``None`` if the job completed."""

    @property
    def ok(self) -> bool:
        """Whether the job completed."""
        return self.error is None

    def unwrap(self) -> Conversation:
        """Give the conversation, or raise the error."""
        if self.error is not None:
            raise self.error
        assert self.conversation is not None
        return self.conversation


async def outcomes(
    sources: Iterable[S] | AsyncIterable[S],
    submit: Callable[[S], Submission],
    *,
    check_open: Callable[[], None],
    ordered: bool,
    most: int,
) -> AsyncGenerator[Outcome[S], None]:
    """Submit each source, at most ``most`` at a time that the caller has not got back yet.

    ``check_open`` raises when there is no use in pulling more.
    """
    room = asyncio.Semaphore(most)
    ready: asyncio.Queue[asyncio.Task[Outcome[S]] | None] = asyncio.Queue()
    watching: set[asyncio.Task[Outcome[S]]] = set()

    async def feed() -> None:
        try:
            index = 0
            async for source in _each(sources):
                await room.acquire()
                task = asyncio.create_task(_outcome(index, source, submit))
                watching.add(task)
                if ordered:
                    ready.put_nowait(task)
                else:
                    task.add_done_callback(ready.put_nowait)
                index += 1
                check_open()
        finally:
            ready.put_nowait(None)  # there will be no more

    feeder = asyncio.create_task(feed(), name="symbl_aio map")
    try:
        while watching or not feeder.done() or not ready.empty():
            task = await ready.get()
            if task is not None:
                outcome = await task
                watching.discard(task)
                room.release()
                yield outcome
        await feeder  # an error of the sources themselves, or of ``check_open``
    finally:
        left = [feeder, *watching]
        for unfinished in left:
            unfinished.cancel()
        await asyncio.wait(left)
        if not feeder.cancelled():
            feeder.exception()


async def _outcome(index: int, source: S, submit: Callable[[S], Submission]) -> Outcome[S]:
    job: Job | None = None
    try:
        submission = submit(source)
        try:
            job = await submission
        except asyncio.CancelledError:
            # Nobody will look at this outcome: do not send what was not sent yet.
            submission.cancel()
            raise
        return Outcome(index, source, job, await job, None)
    except Exception as error:  # whatever it is: of a token callable, of a stream
        return Outcome(index, source, job, None, error)


async def _each(sources: Iterable[S] | AsyncIterable[S]) -> AsyncGenerator[S, None]:
    if isinstance(sources, AsyncIterable):
        async for source in sources:
            yield source
    else:
        for source in sources:
            yield source
