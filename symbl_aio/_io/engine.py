"""Own every task of a client, from its start to its end.

What is submitted goes through ``submissions`` and is ended by ``settling``, what was
accepted is followed by the ``poller``; this is where they meet, where handles ask, and
where everything ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from typing import Any, Literal, NoReturn, TypeVar
from weakref import WeakValueDictionary

import aiohttp
import attrs

from symbl_aio._fields import require_seconds
from symbl_aio._io.api import Accepted, Api
from symbl_aio._io.poller import Poller
from symbl_aio._io.queue import Settling
from symbl_aio._io.reconcile import Doubts
from symbl_aio._io.sending import Sending
from symbl_aio._io.transport import Transport
from symbl_aio._io.uploads import Submissions
from symbl_aio._protocol.calls import Call, check_id
from symbl_aio._protocol.encode import Answer
from symbl_aio._waiting import check_loop, result_of
from symbl_aio.config import Config, CredentialsLike
from symbl_aio.conversations import Conversation
from symbl_aio.errors import ClientClosedError, ConfigurationError, SymblError
from symbl_aio.events import Drain, Event, JobEnded, JobStatusChanged, Observer, Stats
from symbl_aio.job import Job, JobToken, StatusSource, Submission
from symbl_aio.media import MediaLike
from symbl_aio.models import JobStatus
from symbl_aio.options import MediaOptions, TextOptions

T = TypeVar("T")

_LOG = logging.getLogger("symbl_aio")


class Engine:
    """The work of one client. Makes no task, and no connection, before ``start``."""

    def __init__(
        self,
        config: Config,
        credentials: CredentialsLike,
        session: aiohttp.ClientSession | None,
        *,
        observers: Sequence[Observer],
        agent: str,
        rng: random.Random,
    ) -> None:
        self.origin = config.base_url
        self._observers = tuple(observers)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._transport = Transport(config, session, agent)
        self._api = Api(config, credentials, self._transport, luck=rng.random, spawn=self._spawn)
        self._poller = Poller(
            self._api,
            config.polls,
            luck=rng.random,
            spawn=self._spawn,
            tell=self._tell,
            seen=self._job_seen,
            ended=self._job_ended,
        )
        self._doubts = Doubts(self.call, self._unclaimed_job, answer_within=config.timeouts.answer)
        self._settling = Settling(
            config,
            self._doubts,
            tell=self._tell,
            accepted=self._accepted,
            check_open=self.check_open,
        )
        self._submissions = Submissions(
            config,
            Sending(config, self._api, self._doubts),
            self._settling,
            backend=self,
            spawn=self._spawn,
            tell=self._tell,
        )
        self._attached: WeakValueDictionary[str, Job] = WeakValueDictionary()
        self._state: Literal["new", "open", "closing", "closed"] = "new"
        self._left: tuple[str, ...] = ()
        self._shutting: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop
        self._context: Context

    def __reduce__(self) -> NoReturn:
        # Met by whatever holds it: the client, its management classes, its webhook receiver.
        raise TypeError(
            "a client cannot be pickled or copied; make one in each process, where "
            "client.job(job.token) and client.conversation(id) re-attach"
        )

    # Opening and closing

    def start(self) -> None:
        """Begin to work on the running event loop. No request is made yet."""
        if self._state != "new":
            raise ClientClosedError(f"the client is {self._state} already; make a new one")
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
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
        self._settling.close()
        try:
            if drain != "none":
                await self._drain(drain, timeout)
        finally:
            if self._shutting is None:
                self._shutting = self._begin(self._shut(), "closing", copy_context())
                self._idle.set()
            await asyncio.shield(self._shutting)

    async def _drain(self, drain: Drain, timeout: float) -> None:
        works, jobs = self._settling.works, self._poller.jobs
        try:
            async with asyncio.timeout(timeout):
                # Until there is nothing to wait for, or another caller of aclose will not wait.
                while self._shutting is None and (works or (drain == "jobs" and jobs)):
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            _LOG.warning(
                "closing after %g s with %d uploads and %d jobs unfinished",
                timeout,
                len(works),
                len(jobs),
            )

    async def _shut(self) -> None:
        try:
            await self._submissions.end_started()
            while tasks := list(self._tasks):  # one may begin while others end
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        finally:
            self._left = self.unfinished
            self._state = "closed"
            for job in self._poller.jobs.values():
                closed = ClientClosedError(
                    f"the client was closed while job {job.id} was {job.status.value}; "
                    "job.token re-attaches to it",
                    job,
                )
                job._settle(closed, expected=True)
                self._tell(JobEnded(job.id, job.conversation_id, closed, job.source))
            self._submissions.close()
            await self._transport.aclose()

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Tokens of the jobs that are followed, or were when the client was closed."""
        if self._state == "closed":
            return self._left
        # Copied in one step: it may be another thread that wants to save them.
        return tuple(job.token for job in tuple(self._poller.jobs.values()))

    def stats(self) -> Stats:
        """Return the counts. Raises ``ConfigurationError`` on another loop than the client's."""
        self.check_here()
        works = self._settling.works
        uploading = sum(1 for work in works.values() if work.task is not None)
        return Stats(
            queued=len(works) - uploading,
            uploading=uploading,
            jobs=len(self._poller.jobs),
            limit=self._settling.governor.limit,
            oldest_job=self._poller.oldest(),
            polls=self._poller.polls,
            polls_per_second=self._poller.rate(),
            polls_failing_for=self._poller.failing_for(),
            halted=tuple(self._settling.lanes.halted()),
        )

    # Submissions

    def submit(
        self,
        media: MediaLike,
        options: TextOptions | MediaOptions | None,
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

    def append(
        self,
        conversation_id: str,
        media: MediaLike,
        options: TextOptions | MediaOptions | None,
        *,
        key: str | None,
    ) -> Submission:
        """Queue media to be added to a conversation, for the conversation itself."""
        return self.submit(media, options, key=key, to=conversation_id)

    def resume_appends(self, conversation_id: str) -> None:
        """Take appends to a halted conversation again."""
        self.check_open()
        self._submissions.resume(conversation_id)

    def withdraw(self, submission: Submission) -> bool:
        """End a submission if surely nothing was accepted of it, and say whether it was."""
        if submission.done():
            return False
        self.check_here()
        return self._submissions.withdraw(submission)

    def give_up(self, submission: Submission, ending: BaseException) -> None:
        """End a submission that cannot be withdrawn, unless the answer that is due accepts it."""
        self._submissions.give_up(submission, ending)

    def _accepted(
        self,
        accepted: Accepted,
        duration: float | None,
        ended: bool,
        named: Callable[[], str] | None,
    ) -> Job:
        """Follow the job of a submission from now on. ``ended``: a webhook said so already."""
        # A server that repeats a job id has one job, whatever was submitted.
        job = self._unfinished_job(accepted.job_id)
        if job is None:
            job = Job(accepted.job_id, accepted.conversation_id, backend=self, named=named)
        self._moved(job, JobStatus.SCHEDULED, JobStatus.SCHEDULED.value, "submit")
        self._poller.follow(job, duration=duration)
        if ended:
            self._poller.hint(job.id)
        return job

    def _unclaimed_job(self, job_id: str, conversation_id: str | None) -> Job | None:
        """Give a handle of a job that a webhook named, unless a submission owns it."""
        if job_id in self._poller.jobs:
            return None
        return self._attach(job_id, conversation_id)

    def hear(self, nonce: str, job_id: str, raw_status: str) -> None:
        """Take in a genuine webhook call. A hint, never a truth: a poll confirms it.

        From any thread: a route may be served by another one than the client's.
        """
        if self._state not in ("open", "closing"):
            return
        try:
            self.check_here()
        except ConfigurationError:
            with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
                self._loop.call_soon_threadsafe(self.hear, nonce, job_id, raw_status)
            return
        ended = JobStatus.parse(raw_status).is_terminal
        if job_id not in self._poller.jobs:
            self._doubts.hear(nonce, job_id, time.monotonic(), ended=ended)
        elif ended:
            self._poller.hint(job_id)

    # Jobs

    def job(self, job_id: str, conversation_id: str | None) -> Job:
        """Give the handle of a job by its id or token. No I/O."""
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
        return self._attach(job_id, conversation_id, since)

    def _attach(self, job_id: str, conversation_id: str | None, since: float | None = None) -> Job:
        """Give the one handle of a job, as long as it is unfinished and anybody holds it."""
        job = self._unfinished_job(job_id)
        if job is None:
            job = self._attached[job_id] = Job(job_id, conversation_id, backend=self, since=since)
        elif job.conversation_id is None and conversation_id is not None:
            job._conversation_id = conversation_id
            if job_id in self._poller.jobs:
                self._settling.hold(job, conversation_id)
        return job

    def _unfinished_job(self, job_id: str) -> Job | None:
        # Of two handles of a job only the one that is followed would be told of its end.
        job = self._poller.jobs.get(job_id) or self._attached.get(job_id)
        return None if job is None or job.done() else job

    def follow(self, job: Job) -> None:
        """Follow a job from now on: it counts, and the appends of its conversation wait."""
        if job.done():
            return
        self.check_here()
        if job.id in self._poller.jobs:
            return
        self.check_open()
        self._settling.governor.adopt(job.id)
        if job.conversation_id is not None:
            self._settling.hold(job, job.conversation_id)
        self._poller.follow(job, age=max(0.0, time.time() - job._since))

    async def ask(self, job: Job) -> None:
        """Ask the server for a job's status now."""
        self.follow(job)
        await self._own(self._poller.ask(job), f"question about job {job.id}")

    def _moved(self, job: Job, status: JobStatus, raw: str, source: StatusSource) -> None:
        if job._advance(status, raw, source):
            self._tell(
                JobStatusChanged(job.id, job.conversation_id, status, raw, source, job.source)
            )

    def _job_seen(self, job: Job) -> None:
        if self._settling.governor.see(job.id):
            self._submissions.dispatch()

    def _job_ended(self, job: Job, error: SymblError | None) -> None:
        self._settling.job_ended(job, error)
        job._settle(error)
        if self._tell(JobEnded(job.id, job.conversation_id, error, job.source)):
            job._hear()
        self._submissions.dispatch()

    # Reading and managing

    def conversation(self, conversation_id: str | None) -> Conversation:
        """Give the read side of a conversation. No I/O."""
        return Conversation(conversation_id, backend=self)

    def jobs_of(self, conversation_id: str) -> tuple[Job, ...]:
        """Give the jobs of a conversation that are followed: as far as is known, they run."""
        self.check_open()
        jobs = self._poller.jobs.values()
        return tuple(job for job in jobs if job.conversation_id == conversation_id)

    async def call(self, call: Call, *, repeatable: bool = True) -> Answer:
        """Send a call of the Conversation or Management API."""
        self.check_open()
        return await self._own(self._api.call(call, repeatable=repeatable), "call")

    # Common to all

    def check_open(self) -> None:
        """Raise unless work is taken: closed, or called from elsewhere than its event loop."""
        if self._state != "open":
            remedy = "; use `async with`, or await client.start()" if self._state == "new" else ""
            raise ClientClosedError(f"the client is {self._state}{remedy}")
        check_loop(self._loop)

    def check_here(self) -> None:
        """Raise ``ConfigurationError`` if the client works on another event loop than this."""
        if self._state in ("open", "closing"):
            check_loop(self._loop)

    def _tell(self, event: Event) -> bool:
        """Log one change of state, tell it to the observers, and return whether one took it."""
        self._idle.set()
        if _LOG.isEnabledFor(logging.DEBUG):
            fields = {f"symbl_{f.name}": getattr(event, f.name) for f in attrs.fields(type(event))}
            _LOG.debug("%s", event, extra=fields)
        taken = False
        for observer in self._observers:
            try:
                result: object = observer(event)
                taken = True
                if isinstance(result, Coroutine):  # of a plain function that wraps an async one
                    result.close()
                    _LOG.error("an observer returned a coroutine, which is not awaited")
            except Exception:
                _LOG.exception("an observer failed at %s", type(event).__name__)
        return taken

    async def _own(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Do what a caller waits for as a task of the client, which ends with either of them."""
        task = self._spawn(work, name, copy_context())
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and caller is not None and not caller.cancelling():
                raise ClientClosedError("the client was closed before the answer came") from None
            raise

    def _spawn(
        self, work: Coroutine[Any, Any, T], name: str = "token", context: Context | None = None
    ) -> asyncio.Task[T]:
        """Begin work in the context of who asked for it, else in that of the client's start.

        Never in that of whoever happens to call: what a trace or a log line takes from the
        context would name somebody else's request.
        """
        task = self._begin(work, name, context or self._context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _begin(self, work: Coroutine[Any, Any, T], name: str, context: Context) -> asyncio.Task[T]:
        """Make a task that takes its first step at the next turn of the loop, never before.

        Not by the loop's task factory: an eager one would run the first step in the middle of
        the caller's, before the caller has recorded the task, as deep in its stack as there
        are submissions waiting.
        """
        # Of its own, since a context can be entered by one at a time, and keeps what it sets.
        return asyncio.Task(work, loop=self._loop, name=f"symbl_aio {name}", context=context.copy())
