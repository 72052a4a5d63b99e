"""The engine of one client: starts and closes its parts, and is the backend of its handles.

``submissions`` sends media, ``jobs`` follows what was accepted, ``api`` makes all other calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import cached_property
from typing import Any, Literal, NoReturn

import aiohttp

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio._detached_handles import JobToken
from symbl_aio._fields import require_seconds
from symbl_aio._io.api import Api
from symbl_aio._io.emit import Emitter
from symbl_aio._io.jobs import Jobs
from symbl_aio._io.live_backend import LiveBackend
from symbl_aio._io.poller import Poller
from symbl_aio._io.queue import SubmissionQueue
from symbl_aio._io.reconcile import AmbiguousSubmissions
from symbl_aio._io.submissions import Submissions
from symbl_aio._io.tasks import Tasks
from symbl_aio._io.transport import Transport
from symbl_aio._log import Log
from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.calls import Call, check_id
from symbl_aio._shared_futures import check_loop, result_of
from symbl_aio.config import Config, CredentialsLike
from symbl_aio.conversations import Conversation
from symbl_aio.errors import ClientClosedError, ConfigurationError
from symbl_aio.events import Drain, Observer, Stats
from symbl_aio.job import Job, Submission
from symbl_aio.media import MediaLike
from symbl_aio.models import JobStatus

_LOG = Log("symbl_aio")


class Engine:
    """The work of one client. Starts no task, and makes no connection, before ``start``."""

    def __init__(
        self,
        config: Config,
        credentials: CredentialsLike,
        session: aiohttp.ClientSession | None,
        *,
        observers: Sequence[Observer],
    ) -> None:
        self.origin = config.base_url
        self._config = config
        self._jitter = jitter = random.Random().random
        self._tasks = Tasks()
        self._events = Emitter(observers)
        self._transport = Transport(config, session)
        self._api = Api(config, credentials, self._transport, self._tasks, jitter=jitter)
        self._queue = SubmissionQueue(config)
        self._poller = Poller(self._api, config.polls, self._tasks, self._events, jitter=jitter)
        self._jobs = Jobs(self._poller, self._queue, self._events, backend=self)
        self._ambiguous = AmbiguousSubmissions(
            self, self._jobs, answer_within=config.timeouts.answer
        )
        self._submissions = Submissions(
            config,
            self._api,
            self._queue,
            self._jobs,
            self._ambiguous,
            self._tasks,
            self._events,
            backend=self,
        )
        self._poller.on_unfinished = self._submissions.on_unfinished
        self._poller.on_end = self._submissions.on_job_end
        self._state: Literal["new", "open", "closing", "closed"] = "new"
        self._left: tuple[str, ...] = ()
        self._shutting: asyncio.Task[None] | None = None

    def __reduce__(self) -> NoReturn:
        # Reached from everything that holds it: the client, its management classes, its receiver.
        raise TypeError(
            "a client cannot be pickled or copied; make one in each process, where "
            "client.job(job.token) and client.conversation(id) re-attach"
        )

    # Opening and closing

    def start(self) -> None:
        """Start on the running event loop. No request is made yet."""
        if self._state != "new":
            raise ClientClosedError(f"the client is {self._state} already; make a new one")
        self._tasks.open()
        self._transport.open()
        self._state = "open"

    async def aclose(self, drain: Drain, timeout: float) -> None:
        """Refuse new work, wait for ``drain``, then end all work that is left.

        In this order: queued submissions end at once, nothing of them was sent; uploads and
        jobs are waited for; the other uploads are cancelled, and each is settled by how far it
        got; jobs that the server still works on end their waiters with ``ClientClosedError``
        and are named in ``unfinished``; connections are closed.
        """
        if drain not in ("uploads", "jobs", "none"):
            raise ConfigurationError(f'drain is {drain!r}; give "uploads", "jobs" or "none"')
        require_seconds("timeout", timeout)
        if self._state == "new":
            self._state = "closed"
        if self._state == "closed":
            if self._shutting is not None:  # an earlier closing whose caller was cancelled
                await result_of(self._shutting)
            return
        self.check_here()
        self._state = "closing"
        self._submissions.refuse_new()
        try:
            if drain != "none":
                await self._drain(drain, timeout)
        finally:
            if self._shutting is None:
                self._shutting = self._tasks.start_unowned(self._shut(), "closing")
                self._events.changed.set()
            await asyncio.shield(self._shutting)

    async def _drain(self, drain: Drain, timeout: float) -> None:
        pending, jobs, changed = self._queue.pending, self._poller.jobs, self._events.changed
        try:
            async with asyncio.timeout(timeout):
                # Until nothing is left, or another caller of aclose will not wait.
                while self._shutting is None and (pending or (drain == "jobs" and jobs)):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            _LOG.warning(
                "closing after %g s with %d uploads and %d jobs unfinished",
                timeout,
                len(pending),
                len(jobs),
            )

    async def _shut(self) -> None:
        try:
            await self._submissions.cancel_started()
            self._poller.close()
            await self._tasks.cancel_all()
        finally:
            self._left = self.unfinished
            self._state = "closed"
            self._jobs.abandon()
            self._submissions.close()
            await self._transport.aclose()

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Tokens of the jobs that are followed, or were when the client was closed."""
        if self._state == "closed":
            return self._left
        # Copied in one step: another thread may read it.
        return tuple(job.token for job in tuple(self._poller.jobs.values()))

    def stats(self) -> Stats:
        """Return the counts. Raises ``ConfigurationError`` on another loop than the client's."""
        self.check_here()
        queue, poller = self._queue, self._poller
        uploading = sum(1 for pending in queue.pending.values() if pending.task is not None)
        return Stats(
            queued=len(queue.pending) - uploading,
            uploading=uploading,
            jobs=len(poller.jobs),
            limit=queue.slots.limit,
            oldest_job=poller.oldest(),
            polls=poller.polls,
            polls_per_second=poller.rate(),
            polls_failing_for=poller.failing_for(),
            halted=queue.halted(),
        )

    # Submissions

    def submit(
        self,
        media: MediaLike,
        options: symbl_aio.Options | None,
        *,
        key: str | None,
        to: str | Submission | Job | None = None,
        before_last_byte: Callable[[], Awaitable[None]] | None = None,
    ) -> Submission:
        """Queue media for a new conversation, or to be added ``to`` one."""
        self.check_open()
        return self._submissions.submit(
            media, options, key=key, to=to, before_last_byte=before_last_byte
        )

    def resume_appends(self, conversation_id: str) -> None:
        """Accept appends to a halted conversation again."""
        self.check_open()
        self._submissions.resume(conversation_id)

    def withdraw(self, submission: Submission) -> bool:
        """End a submission of which surely nothing was accepted. Returns whether it was one."""
        if submission.done():
            return False
        self.check_here()
        return self._submissions.withdraw(submission)

    def cancel_unless_accepted(self, submission: Submission, reason: BaseException) -> None:
        """End a submission with ``reason``, unless the answer that is due accepts it."""
        self._submissions.cancel_unless_accepted(submission, reason)

    # Jobs

    def on_webhook(self, nonce: str, job_id: str, raw_status: str) -> None:
        """Use a genuine webhook call as a hint, which a poll confirms.

        From any thread: a route may be served by another one than the client's.
        """
        if self._state not in ("open", "closing"):
            return
        try:
            check_loop(self._tasks.loop)
        except ConfigurationError:
            with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
                loop = self._tasks.loop
                loop.call_soon_threadsafe(self.on_webhook, nonce, job_id, raw_status)
            return
        ended = JobStatus.parse(raw_status).is_terminal
        if job_id not in self._poller.jobs:
            self._ambiguous.on_webhook(nonce, job_id, time.monotonic(), ended=ended)
        elif ended:
            self._poller.hint(job_id)

    def job(self, job_id: str, conversation_id: str | None) -> Job:
        """Return the handle of a job by its id or token. No I/O."""
        self.check_here()
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
        return self._jobs.attach(job_id, conversation_id, since)

    def follow(self, job: Job) -> None:
        """Follow a job from now on: it counts, and the appends of its conversation wait."""
        if job.done():
            return
        self.check_here()
        # A closed client polls nothing, though it keeps the jobs that it abandoned.
        if self._state == "closed" or job.id not in self._poller.jobs:
            self.check_open()
            self._jobs.follow(job)

    async def poll(self, job: Job) -> None:
        """Poll a job now, outside the plan. Raises the poll's error."""
        self.follow(job)
        await self._tasks.run(self._poller.poll(job), f"question about job {job.id}")

    # Reading and managing

    def conversation(self, conversation_id: str | None) -> Conversation:
        """Return the read side of a conversation. No I/O."""
        return Conversation(conversation_id, backend=self)

    def jobs_of(self, conversation_id: str) -> tuple[Job, ...]:
        """Return the jobs of a conversation that are followed: as far as is known, they run."""
        self.check_open()
        jobs = self._poller.jobs.values()
        return tuple(job for job in jobs if job.conversation_id == conversation_id)

    async def call(self, call: Call, *, repeatable: bool = True) -> Answer:
        """Send a call of the Conversation or Management API."""
        self.check_open()
        return await self._tasks.run(self._api.call(call, repeatable=repeatable), "call")

    # Live audio

    @cached_property
    def live(self) -> LiveBackend:
        """The client as its live handles use it."""
        return LiveBackend(
            self, self._api, self._tasks, self._config, self._ambiguous, jitter=self._jitter
        )

    # Common to all

    def check_open(self) -> None:
        """Raise unless work is accepted: closed, or called from another event loop."""
        if self._state != "open":
            remedy = "; use `async with`, or await client.start()" if self._state == "new" else ""
            raise ClientClosedError(f"the client is {self._state}{remedy}")
        check_loop(self._tasks.loop)

    async def wait(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for work. Raises ``ClientClosedError`` when the client closes first."""
        self.check_open()
        await self._tasks.run(work(), "waiting")

    def check_here(self) -> None:
        """Raise ``ConfigurationError`` if the client works on another event loop than this."""
        if self._state in ("open", "closing"):
            check_loop(self._tasks.loop)
