"""Bulk processing of many sources: pulled lazily, none lost, each with its own outcome."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import Any, ClassVar, Generic, Literal, NoReturn, TypeAlias, TypeVar

from attrs import frozen

from symbl_aio._callback_checks import is_own_cancellation
from symbl_aio._error_classes import ConfigurationError
from symbl_aio._fields import type_name
from symbl_aio._log import Log
from symbl_aio._outage import Outage
from symbl_aio._shared_futures import check_loop
from symbl_aio.conversations import Conversation
from symbl_aio.job import AmbiguousSubmissionError, Job, Submission
from symbl_aio.media import MediaLike

__all__ = ["Completed", "Failed", "Outcome"]

_LOG = Log("symbl_aio")

S = TypeVar("S", bound=MediaLike)
S_co = TypeVar("S_co", bound=MediaLike, covariant=True)


@frozen
class Completed(Generic[S_co]):
    """The outcome of a source whose job completed."""

    index: int
    """Index of the source, from 0."""
    source: S_co
    """The source, as it was given."""
    job: Job
    """The job, which completed."""
    conversation: Conversation
    """The conversation that the job added to."""

    ok: ClassVar[Literal[True]] = True
    error: ClassVar[None] = None

    def unwrap(self) -> Conversation:
        """Return the conversation; of a ``Failed`` outcome, raise the error."""
        return self.conversation


@frozen
class Failed(Generic[S_co]):
    """The outcome of a source that failed, with its error.

    ``job`` is set after any acceptance, so that no billed job is lost.
    """

    index: int
    """Index of the source, from 0."""
    source: S_co
    """The source, as it was given."""
    job: Job | None
    """The job, once the server accepted the source."""
    error: Exception
    """The error."""

    ok: ClassVar[Literal[False]] = False
    conversation: ClassVar[None] = None

    def unwrap(self) -> NoReturn:
        """Raise the error; of a ``Completed`` outcome, return the conversation."""
        raise self.error


Outcome: TypeAlias = Completed[S_co] | Failed[S_co]
"""The outcome of one source of ``client.map``: its conversation, or its error.

Type checkers distinguish the two by ``outcome.error is None``, ``isinstance`` and ``match``;
mypy by ``if outcome.ok`` as well, pyright by ``if outcome.ok is True``. Both have ``index``,
``source``, ``job``, ``conversation``, ``error``, ``ok`` and ``unwrap()``.
"""


def check_sources(sources: object) -> None:
    """Raise ``ConfigurationError`` unless ``sources`` can be many sources."""
    if isinstance(sources, str | bytes | os.PathLike):
        raise ConfigurationError(
            "sources is a single path; give an iterable, or use client.process"
        )
    if not isinstance(sources, Iterable | AsyncIterable):
        raise ConfigurationError(
            f"sources is {type_name(sources)}; give an iterable of media, or use client.process"
        )


async def outcomes(
    sources: Iterable[S] | AsyncIterable[S],
    submit: Callable[[S], Submission],
    *,
    check_open: Callable[[], None],
    wait: Callable[[Callable[[], Coroutine[Any, Any, None]]], Awaitable[None]],
    ordered: bool,
    max_pending: int,
) -> AsyncGenerator[Outcome[S], None]:
    """Submit each source, with at most ``max_pending`` outcomes not yet yielded to the caller.

    ``check_open`` raises when no more sources should be pulled. While the server gives no usable
    answers, one source at a time is submitted, and the others wait by ``wait``.
    """
    check_open()
    loop = asyncio.get_running_loop()
    slots = asyncio.Semaphore(max_pending)
    ready: asyncio.Queue[asyncio.Task[Outcome[S]] | None] = asyncio.Queue()
    watching: set[asyncio.Task[Outcome[S]]] = set()
    outage = Outage()

    async def feed() -> None:
        try:
            index = 0
            async for source in _each(sources):
                await slots.acquire()
                task = asyncio.create_task(_outcome(index, source, submit, outage, wait))
                watching.add(task)
                if ordered:
                    ready.put_nowait(task)
                else:
                    task.add_done_callback(ready.put_nowait)
                index += 1
                check_open()
        except asyncio.CancelledError as error:
            if is_own_cancellation(error):
                raise
            # Else the caller's task would end as a cancelled one, which a TaskGroup passes over.
            raise RuntimeError("the work of the sources was cancelled") from error
        finally:
            ready.put_nowait(None)  # no more sources

    feeder = asyncio.create_task(feed(), name="symbl_aio map")
    try:
        while watching or not feeder.done() or not ready.empty():
            check_loop(loop)  # the caller may have moved the iteration to another loop
            task = await ready.get()
            if task is not None:
                outcome = await task
                watching.discard(task)
                slots.release()
                yield outcome
        await feeder  # an error of the sources themselves, or of ``check_open``
    finally:
        left = [feeder, *watching]
        if asyncio.get_running_loop() is loop:
            for unfinished in left:
                unfinished.cancel()
            await asyncio.wait(left)
        else:
            for unfinished in left:
                loop.call_soon_threadsafe(unfinished.cancel)
        if feeder.done() and not feeder.cancelled():
            feeder.exception()


async def _outcome(
    index: int,
    source: S,
    submit: Callable[[S], Submission],
    outage: Outage,
    wait: Callable[[Callable[[], Coroutine[Any, Any, None]]], Awaitable[None]],
) -> Outcome[S]:
    job: Job | None = None
    try:
        try:
            if outage.is_on:
                await wait(partial(outage.admit, index))
            job = await _submitted(submit(source))
        except AmbiguousSubmissionError:
            if outage.unanswered(index):
                _LOG.warning(
                    "no usable answers: map sends one source at a time until one is accepted"
                )
            outage.sought(index, found=False)
            raise
        finally:
            outage.release(index)
        outage.accepted()
        return Completed(index, source, job, await job)
    except Exception as error:  # of any kind: from a token callable, from a stream
        return Failed(index, source, job, error)


async def _submitted(submission: Submission) -> Job:
    try:
        return await submission
    except asyncio.CancelledError:
        # The caller dropped this outcome: do not send the source if it was not sent yet.
        submission.cancel()
        raise


async def _each(sources: Iterable[S] | AsyncIterable[S]) -> AsyncGenerator[S, None]:
    if isinstance(sources, AsyncIterable):
        async for source in sources:
            yield source
    else:
        for source in sources:
            yield source
