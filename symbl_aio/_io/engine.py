"""Carry submissions to the server, in order and within the account's limit.

The one owner of every task of a client. ``_core`` decides who may start, what is tried
again and whom to ask; here it is done, and the handles are settled.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
import uuid
from collections import deque
from collections.abc import Coroutine
from functools import partial
from itertools import islice
from typing import Any, Final, Literal, TypeAlias, TypeVar

import aiohttp
from attrs import define, frozen

from symbl_aio._core import wire
from symbl_aio._core.endpoints import Call, check_id
from symbl_aio._core.governor import Governor, Permission
from symbl_aio._core.lanes import Lanes
from symbl_aio._core.wire import Answer
from symbl_aio._io import sources
from symbl_aio._io.api import Accepted, Api, Full, UnsettledError
from symbl_aio._io.poller import Poller
from symbl_aio._io.transport import Body, Transport, once
from symbl_aio.config import Config, CredentialsLike
from symbl_aio.conversations import Conversation
from symbl_aio.errors import (
    AmbiguousSubmissionError,
    AppendBlockedError,
    ClientClosedError,
    ConcurrencyLimitError,
    ConfigurationError,
    JobFailedError,
    QueueFullError,
    StillAmbiguousError,
    SymblError,
)
from symbl_aio.job import Acceptance, Job, JobToken, Submission
from symbl_aio.media import Audio, Media, MediaLike, Recording, Text, Video, check_options, coerce
from symbl_aio.models import JobStatus
from symbl_aio.options import MediaOptions, TextOptions

Drain: TypeAlias = Literal["uploads", "jobs", "none"]
"""What closing waits for: uploads that have started, their jobs too, or nothing."""

T = TypeVar("T")

_LOG = logging.getLogger("symbl_aio")
_HEADS_LOOKED_AT: Final = 64
"""How many waiting submissions are compared when the one that is cheapest to send is wanted."""


@frozen
class Stats:
    """What a client is doing now.

    ``queued``: submissions that wait for their turn or a slot. ``uploading``: on their
    way. ``jobs``: accepted and unfinished. ``limit``: how many may be unfinished, as
    learned so far. ``oldest_job``: seconds. ``polls``: status requests so far.
    """

    queued: int
    uploading: int
    jobs: int
    limit: int
    oldest_job: float | None
    polls: int


@define(eq=False)
class _Work:
    """A submission on its way: what it needs until it is accepted."""

    submission: Submission
    media: Media | Recording
    options: TextOptions | MediaOptions | None
    is_append: bool
    size: int | None
    task: asyncio.Task[None] | None = None
    body: Body | None = None
    ending: BaseException | None = None
    slot_deadline: float | None = None

    @property
    def key(self) -> str:
        return self.submission.key


class Engine:
    """The work of one client, from ``start`` to ``aclose``. Makes no task before ``start``."""

    def __init__(
        self,
        config: Config,
        credentials: CredentialsLike,
        session: aiohttp.ClientSession | None,
        *,
        agent: str,
        rng: random.Random,
    ) -> None:
        self.origin = config.base_url
        self._config = config
        self._transport = Transport(config, session, agent)
        limits = config.limits
        self._governor = Governor(
            first=limits.jobs or limits.first_jobs, most=limits.jobs or limits.most_jobs
        )
        self._lanes = Lanes()
        self._works: dict[str, _Work] = {}
        self._by_key: dict[str, Submission] = {}
        self._holders: dict[str, list[str]] = {}
        self._slot_deadlines: deque[tuple[float, str]] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._api = Api(config, credentials, self._transport, luck=rng.random, spawn=self._spawn)
        self._poller = Poller(
            self._api, config.polls, luck=rng.random, spawn=self._spawn, ended=self._job_ended
        )
        self._state: Literal["new", "open", "closing", "closed"] = "new"
        self._left: tuple[str, ...] = ()
        self._shutting: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop

    # Opening and closing

    def start(self) -> None:
        """Begin to work on the running event loop. No request is made yet."""
        if self._state != "new":
            raise ClientClosedError(f"the client is {self._state} already; make a new one")
        self._loop = asyncio.get_running_loop()
        self._transport.open()
        self._spawn(self._poller.run(), "poller")
        self._state = "open"

    async def aclose(self, drain: Drain, timeout: float) -> None:
        """Refuse new work, wait for what ``drain`` names, then end all that is left.

        In this order: what is queued ends at once, nothing of it was sent; uploads and
        jobs are waited for; what is still on its way is ended, and told how far it got;
        jobs that the server still works on end their waiters with ``ClientClosedError``
        and are named in ``unfinished``; connections are closed.
        """
        if self._state in ("new", "closed"):
            self._state = "closed"
            return
        self._state = "closing"
        self._end_queued()
        try:
            if drain != "none":
                await self._drain(drain, timeout)
        finally:
            if self._shutting is None:
                self._shutting = self._loop.create_task(self._shut(), name="symbl_aio closing")
            await asyncio.shield(self._shutting)

    async def _drain(self, drain: Drain, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                while self._works or (drain == "jobs" and self._poller.jobs):
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            _LOG.warning(
                "closing after %g s with %d uploads and %d jobs unfinished",
                timeout,
                len(self._works),
                len(self._poller.jobs),
            )

    async def _shut(self) -> None:
        closed = ClientClosedError("the client was closed before the submission was accepted")
        try:
            for work in list(self._works.values()):
                self._stop(work, closed)
            carrying = [work.task for work in self._works.values() if work.task is not None]
            if carrying:
                await asyncio.wait(carrying)
            if self._alarm is not None:
                self._alarm.cancel()
            for task in (tasks := list(self._tasks)):
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
        finally:
            self._left = self.unfinished
            self._state = "closed"
            for job in self._poller.jobs.values():
                job._settle(
                    ClientClosedError(
                        f"the client was closed while job {job.id} was {job.status.value}; "
                        "job.token re-attaches to it",
                        job,
                    ),
                    expected=True,
                )
            self._by_key.clear()
            await self._transport.aclose()

    def _end_queued(self) -> None:
        closed = ClientClosedError("the client was closed; nothing of this submission was sent")
        for work in [work for work in self._works.values() if work.task is None]:
            self._lanes.discard(work.key)
            self._settle(work, closed, expected=True)

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Tokens of the jobs that are followed, or were when the client was closed."""
        if self._state == "closed":
            return self._left
        return tuple(job.token for job in self._poller.jobs.values())

    def stats(self) -> Stats:
        """Say what is going on."""
        uploading = sum(1 for work in self._works.values() if work.task is not None)
        return Stats(
            queued=len(self._works) - uploading,
            uploading=uploading,
            jobs=len(self._poller.jobs),
            limit=self._governor.limit,
            oldest_job=self._poller.oldest(),
            polls=self._poller.polls,
        )

    # Taking work

    def submit(
        self,
        media: MediaLike,
        options: TextOptions | MediaOptions | None,
        *,
        key: str | None,
        to: str | Submission | Job | None = None,
    ) -> Submission:
        """Queue media for a new conversation, or to be added ``to`` one."""
        self._check_open()
        found = coerce(media)
        check_options(found, options)
        conversation_id, lane = self._lane(to)
        key = uuid.uuid4().hex if key is None else check_key(key)
        if (known := self._by_key.get(key)) is not None:
            return known
        if len(self._lanes) >= self._config.limits.queued:
            raise QueueFullError(
                f"{len(self._lanes)} submissions are waiting (Limits.queued); "
                "await some of them, or use client.map, which takes no more than it can send"
            )
        lane = _first_lane(key) if lane is None else lane
        if (cause := self._lanes.halted_by(lane)) is not None:
            raise _blocked(cause)
        submission = Submission(key, conversation_id, desk=self)
        work = _Work(submission, found, options, to is not None, _known_size(found))
        self._works[key], self._by_key[key] = work, submission
        if isinstance(to, Job):
            self.follow(to)
        self._lanes.add(lane, key)
        _LOG.debug("submission %s is queued", key, extra={"submission": key})
        self._dispatch()
        return submission

    def _lane(self, to: str | Submission | Job | None) -> tuple[str | None, str | None]:
        """Give conversation id and lane, as far as they are known yet."""
        if to is None:
            return None, None
        if isinstance(to, Submission | Job) and to._desk is not self:
            raise ConfigurationError(
                "conversation_id is a handle of another client; give the conversation's id"
            )
        if isinstance(to, Submission):
            if not to.done():
                return to.conversation_id, self._lanes.name_of(to.key)
            accepted = to._outcome()
            if not isinstance(accepted, Job):
                raise _blocked(accepted)
            to = accepted
        conversation_id = to.conversation_id if isinstance(to, Job) else to
        if conversation_id is None:
            raise ConfigurationError(
                "conversation_id is a job whose conversation is not known; give the id itself"
            )
        check_id("conversation_id", conversation_id)
        return conversation_id, conversation_id

    def append(
        self,
        conversation_id: str | Submission | Job,
        media: MediaLike,
        options: TextOptions | MediaOptions | None = None,
        *,
        key: str | None = None,
    ) -> Submission:
        """Queue media to be added to a conversation, behind what was queued for it before."""
        return self.submit(media, options, key=key, to=conversation_id)

    def resume_appends(self, conversation_id: str) -> None:
        """Take appends to a halted conversation again."""
        self._lanes.resume(conversation_id)
        self._dispatch()

    def withdraw(self, submission: Submission) -> bool:
        """End a submission if surely nothing was accepted of it, and say whether it was."""
        work = self._works.get(submission.key)
        if work is None or work.submission is not submission or work.ending is not None:
            return False
        withdrawn = asyncio.CancelledError("the submission was withdrawn")
        if work.task is not None:
            return self._stop(work, withdrawn)
        lane = self._lanes.name_of(work.key)
        self._lanes.discard(work.key)
        self._settle(work, withdrawn)
        if not work.is_append and lane is not None:
            self._block(self._lanes.clear(lane), withdrawn)
        self._dispatch()
        return True

    # Sending

    def _dispatch(self) -> None:
        """Start whatever may start now. Called after everything that may have changed that."""
        if self._state != "open":
            return
        now = self._loop.time()
        self._expire_slots(now)
        while len(self._lanes):
            permission = self._governor.may_start(now)
            if permission is Permission.NO or (work := self._choose(permission)) is None:
                break
            self._lanes.start(work.key)
            self._governor.start(work.key, now)
            work.task = self._spawn(self._carry(work), f"submission {work.key}")
        self._set_alarm()

    def _choose(self, permission: Permission) -> _Work | None:
        if permission is Permission.YES:
            key = next(self._lanes.ready(), None)
            return None if key is None else self._works[key]
        # It may be refused, so let it be the one that costs least to send.
        return min(
            self._first_heads(),
            key=lambda work: float("inf") if work.size is None else work.size,
            default=None,
        )

    def _first_heads(self) -> list[_Work]:
        return [self._works[key] for key in islice(self._lanes.ready(), _HEADS_LOOKED_AT)]

    def _expire_slots(self, now: float) -> None:
        """Fail those that have waited for a slot longer than the caller allows."""
        patience = self._config.limits.wait_for_slot
        if patience is None:
            self._lanes.newly_ready.clear()
            return
        for key in self._lanes.newly_ready:
            work = self._works.get(key)
            if work is not None and work.slot_deadline is None:
                work.slot_deadline = now + patience
                self._slot_deadlines.append((work.slot_deadline, key))
        self._lanes.newly_ready.clear()
        while self._slot_deadlines and self._slot_deadlines[0][0] <= now:
            _, key = self._slot_deadlines.popleft()
            work = self._works.get(key)
            if work is not None and self._lanes.discard(key):
                full = ConcurrencyLimitError(
                    429,
                    f"no job slot became free within Limits.wait_for_slot={patience:g} s",
                    where=f"submission {key}",
                )
                self._settle(work, full)

    def _set_alarm(self) -> None:
        """Come back when time alone will let somebody start, or run out of patience."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if not len(self._lanes):
            return
        times = [self._slot_deadlines[0][0]] if self._slot_deadlines else []
        if (probe_at := self._governor.wakes_at()) is not None:
            times.append(probe_at)
        if times:
            self._alarm = self._loop.call_at(min(times), self._dispatch)

    async def _carry(self, work: _Work) -> None:
        """Bring one submission, whose turn it is, to an end: accepted, refused or unknown."""
        submission = work.submission
        try:
            prepared = await sources.prepare(work.media)
            outcome = await self._send(work, prepared)
        except UnsettledError as unsettled:
            self._doubt(work, unsettled)
        except asyncio.CancelledError:
            # A closing client may have cut the wait for an answer short.
            if work.body is not None and work.body.complete:
                gone = ClientClosedError("the client was closed before the answer came")
                self._doubt(work, UnsettledError(gone, "maybe"))
            else:
                self._fail(work, work.ending or asyncio.CancelledError())
        except Exception as error:
            if not isinstance(error, SymblError | OSError):
                _LOG.exception("submission %s failed in an unexpected way", submission.key)
            self._fail(work, error)
        else:
            if isinstance(outcome, Full):
                self._put_back(work)
            else:
                self._accept(work, outcome, prepared.duration)
        finally:
            work.task = None
            self._dispatch()

    async def _send(self, work: _Work, prepared: sources.Prepared) -> Accepted | Full:
        conversation_id = self._lanes.name_of(work.key) if work.is_append else None
        call = wire.encode_submission(
            prepared.media, work.options, conversation_id, content_type=prepared.content_type
        )
        moved = work.submission._report

        def body() -> Body:
            if prepared.size is None:
                data = call.body or b""
                work.body = Body(once(data), len(data), moved)
            else:
                chunks = prepared.chunks(self._config.chunk_size)
                work.body = Body(chunks, prepared.size, moved)
            return work.body

        one_shot = prepared.media.one_shot
        if one_shot:
            # Its first byte is its last chance: have everything else in hand before.
            await self._api.ready()
        return await self._api.submit(call, body, repeatable=not one_shot)

    def _stop(self, work: _Work, ending: BaseException) -> bool:
        """End a started submission; false if the server may have it already."""
        if work.task is None:
            return False
        surely_not = work.body is None or work.body.revoke()
        if surely_not:
            work.ending = ending
        if surely_not or self._state == "closing":
            work.task.cancel()
        return surely_not

    # What becomes of it

    def _accept(self, work: _Work, accepted: Accepted, duration: float | None) -> None:
        key, now = work.key, self._loop.time()
        job = self._poller.jobs.get(accepted.job_id) or Job(
            accepted.job_id, accepted.conversation_id, desk=self
        )
        job._advance(JobStatus.SCHEDULED, JobStatus.SCHEDULED.value, "submit")
        self._governor.accept(key, job.id, now, more_waiting=len(self._lanes) > 0)
        if not work.is_append:
            self._lanes.rename(_first_lane(key), accepted.conversation_id)
        if self._config.lanes.advance_on == "accepted":
            self._lanes.release(key)
        self._holders.setdefault(job.id, []).append(key)
        self._poller.follow(job, duration=duration)
        _LOG.debug("submission %s is job %s", key, job.id, extra={"submission": key, "job": job.id})
        self._settle(work, job)

    def _put_back(self, work: _Work) -> None:
        _LOG.debug("submission %s was refused for want of a slot", work.key)
        work.body = None
        self._governor.refuse(work.key, self._loop.time())
        if work.ending is not None or self._state != "open":
            closed = ClientClosedError("the client was closed; the submission was refused")
            self._fail(work, work.ending or closed)
            return
        self._lanes.put_back(work.key)
        self._spawn(self._measure(), "measuring what waits")

    async def _measure(self) -> None:
        """Learn the sizes of waiting files, for the choice of the next probe."""
        for work in self._first_heads():
            if work.size is None and (path := _path(work.media)) is not None:
                try:
                    work.size = await asyncio.to_thread(os.path.getsize, path)
                except OSError:
                    work.size = 0  # it will fail at once, which costs nothing

    def _fail(self, work: _Work, error: BaseException) -> None:
        """Nothing was accepted, and nothing will be."""
        lane = self._lanes.name_of(work.key)
        assert lane is not None
        self._governor.free(work.key)
        self._settle(work, error, expected=isinstance(error, ClientClosedError))
        if not work.is_append:
            self._block(self._lanes.clear(lane), error)
        elif self._config.lanes.on_failure == "halt" and isinstance(error, Exception):
            self._block(self._lanes.halt(lane, error), error)
        self._lanes.release(work.key)

    def _doubt(self, work: _Work, unsettled: UnsettledError) -> None:
        """Perhaps it was accepted: whoever comes after it must not be sent."""
        lane = self._lanes.name_of(work.key)
        assert lane is not None
        error = AmbiguousSubmissionError(
            f"submission {work.key} was sent whole, and whether it was accepted is not known "
            f"({unsettled.cause}); it is not sent again, error.reconcile() looks for proof",
            key=work.key,
            reconcile=partial(self._reconcile, work.key),
            sent=unsettled.sent,
        )
        error.__cause__ = unsettled.cause
        self._governor.free(work.key)
        self._settle(work, error)
        keys = self._lanes.halt(lane, error) if work.is_append else self._lanes.clear(lane)
        self._block(keys, error)
        self._lanes.release(work.key)

    async def _reconcile(self, key: str) -> Acceptance:
        raise StillAmbiguousError(f"no proof was found that submission {key} was accepted", "maybe")

    def _block(self, keys: list[str], cause: BaseException) -> None:
        for key in keys:
            self._settle(self._works[key], _blocked(cause))

    def _settle(self, work: _Work, outcome: Job | BaseException, *, expected: bool = False) -> None:
        self._works.pop(work.key, None)
        if not isinstance(outcome, Job):
            self._by_key.pop(work.key, None)
            _LOG.debug("submission %s ended: %s", work.key, outcome, extra={"submission": work.key})
        work.submission._settle(outcome, expected=expected)
        self._idle.set()

    # Jobs

    def follow(self, job: Job) -> None:
        """Follow a job from now on: it counts, and the appends of its conversation wait."""
        if job.done() or job.id in self._poller.jobs:
            return
        self._check_open()
        self._governor.adopt(job.id)
        if job.conversation_id is not None and self._config.lanes.advance_on == "completed":
            holder = f"job {job.id}"
            self._lanes.hold(job.conversation_id, holder)
            self._holders[job.id] = [holder]
        self._poller.follow(job, age=max(0.0, time.time() - job._since))

    def job(self, job_id: str, conversation_id: str | None) -> Job:
        """Give the handle of a job by its id or token. No I/O."""
        since = None
        if (token := JobToken.parse(job_id)) is not None:
            if token.origin != self.origin:
                raise ConfigurationError(
                    f"job_id is a token of {token.origin}, and this client calls {self.origin}; "
                    "set Config.base_url to the former"
                )
            job_id, since = token.job_id, token.since
            conversation_id = conversation_id or token.conversation_id
        check_id("job_id", job_id)
        if conversation_id is not None:
            check_id("conversation_id", conversation_id)
        known = self._poller.jobs.get(job_id)
        return known or Job(job_id, conversation_id, desk=self, since=since)

    async def ask(self, job: Job) -> None:
        """Ask the server for a job's status now."""
        self.follow(job)
        await self._poller.ask(job)

    def _job_ended(self, job: Job, error: SymblError | None) -> None:
        self._governor.end(job.id)
        for key in self._holders.pop(job.id, ()):
            self._by_key.pop(key, None)
            self._lanes.release(key)
        if (
            isinstance(error, JobFailedError)
            and job.conversation_id is not None
            and self._config.lanes.on_failure == "halt"
        ):
            self._block(self._lanes.halt(job.conversation_id, error), error)
        job._settle(error)
        self._idle.set()
        self._dispatch()

    # Reading

    def conversation(self, conversation_id: str | None) -> Conversation:
        """Give the read side of a conversation. No I/O."""
        return Conversation(conversation_id, account=self)

    async def read(self, call: Call, *, repeatable: bool = True) -> Answer:
        """Send a read of the conversation API."""
        self._check_open()
        return await self._api.read(call, repeatable=repeatable)

    # Tasks

    def _check_open(self) -> None:
        if self._state != "open":
            remedy = "; use `async with`, or await client.start()" if self._state == "new" else ""
            raise ClientClosedError(f"the client is {self._state}{remedy}")
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if not here:
            raise ConfigurationError(
                "the client was started on another event loop, or this is another thread; "
                "call it from the loop that started it (asyncio.run_coroutine_threadsafe)"
            )

    def _spawn(self, work: Coroutine[Any, Any, T], name: str = "token") -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=f"symbl_aio {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def check_key(key: object) -> str:
    """Give back a key that a caller chose. Raises ``ConfigurationError`` if it cannot be one."""
    if not isinstance(key, str) or not key.strip() or not key.isprintable():
        raise ConfigurationError(f"key is {key!r}; give a non-empty printable string")
    return key


def _first_lane(key: str) -> str:
    # A lane without a conversation yet. No id has a line break, so none is equal to it.
    return f"\n{key}"


def _blocked(cause: BaseException) -> AppendBlockedError:
    return AppendBlockedError(
        "nothing was sent: an earlier submission of this conversation ended with "
        f"{type(cause).__name__}; settle that, then conversation.resume_appends()",
        cause,
    )


def _path(media: Media | Recording) -> str | os.PathLike[str] | None:
    if isinstance(media, Recording):
        return media.path
    if isinstance(media, Audio | Video) and isinstance(media.source, str | os.PathLike):
        return media.source
    return None


def _known_size(media: Media | Recording) -> int | None:
    """Give about how many bytes will be sent, as far as that is known without a disk."""
    if isinstance(media, Text):
        return sum(len(message.text) for message in media.messages)
    if isinstance(media, Audio | Video):
        return len(media.source) if isinstance(media.source, bytes) else media.size
    return None if isinstance(media, Recording) else 0
