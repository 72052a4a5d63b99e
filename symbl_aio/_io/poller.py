"""Poll jobs until they end: one plan and one request budget for all jobs of a client.

A poll that fails only delays the next one. A job ends here when the server reports it
completed or failed, or when it is lost: unknown to the server for longer than the grace
period, refused for good, or unfinished for longer than ``Polls.max_age``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Final

from symbl_aio._core.polls import PollPlan
from symbl_aio._core.rates import RateMeter
from symbl_aio._io.api import Api
from symbl_aio._io.emit import Emitter
from symbl_aio._io.tasks import Tasks
from symbl_aio._log import Log
from symbl_aio._protocol import answers, calls
from symbl_aio._shared_futures import result_of
from symbl_aio.config import Polls
from symbl_aio.errors import (
    APIError,
    AuthenticationError,
    JobFailedError,
    JobLostError,
    NotFoundError,
    SymblError,
)
from symbl_aio.events import JobStatusChanged, PollFailed, StatusSource
from symbl_aio.job import Job
from symbl_aio.models import JobStatus

_LOG = Log("symbl_aio")
_MAX_AT_ONCE: Final = 64
"""Polls under way at a time, so that a server that does not answer costs few connections."""
_MAX_WARNINGS: Final = 100
_COMPLETED: Final = JobStatus.COMPLETED
_FAILED: Final = JobStatus.FAILED
_UNKNOWN: Final = JobStatus.UNKNOWN
_OUTAGE: Final = 60.0
"""Seconds of failing polls after which a warning is logged."""


class Poller:
    """Polls the jobs that are followed."""

    def __init__(
        self,
        api: Api,
        policy: Polls,
        tasks: Tasks,
        events: Emitter,
        *,
        jitter: Callable[[], float],
    ) -> None:
        self.on_unfinished: Callable[[Job], None]
        """Called with each job that the server reports unfinished."""
        self.on_end: Callable[[Job, SymblError | None], None]
        """Called once for each job that ended, with its error or ``None``."""
        self.jobs: dict[str, Job] = {}
        """The jobs that are followed, by id."""
        self.polls = 0
        self._api = api
        self._policy = policy
        self._plan = PollPlan(policy)
        self._tasks = tasks
        self._emit = events.emit
        self._jitter = jitter
        self._polling: dict[str, asyncio.Task[None]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._is_closed = False
        self._reasons: dict[str, str] = {}
        self._warned: set[str] = set()
        self._rate = RateMeter()
        self._failing_since: float | None = None
        self._outage_warned = False

    def oldest(self) -> float | None:
        """Return the age in seconds of the oldest job, ``None`` without any."""
        return self._plan.oldest(monotonic())

    def rate(self) -> float:
        """Return the polls per second of the last ten seconds."""
        return self._rate.rate(monotonic())

    def failing_for(self) -> float | None:
        """Return the seconds since the last poll that was answered, ``None`` while they are."""
        return None if self._failing_since is None else monotonic() - self._failing_since

    def follow(self, job: Job, *, age: float = 0.0, duration: float | None = None) -> None:
        """Poll a job from now on, until it ends."""
        self.jobs[job.id] = job
        self._wake_at(self._plan.watch(job.id, monotonic(), age=age, duration=duration))

    def hint(self, job_id: str) -> None:
        """Poll early: a webhook reported the job finished. No-op for an unknown job."""
        self._wake_at(self._plan.hint(job_id, monotonic()))

    def close(self) -> None:
        """Start no poll any more."""
        self._is_closed = True
        if self._alarm is not None:
            self._alarm.cancel()

    def _wake_at(self, at: float | None) -> None:
        """Wake up at a time, unless it is set for an earlier one."""
        if at is None or self._is_closed:
            return
        if self._alarm is not None:
            if self._alarm_at <= at:
                return
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._tasks.loop.call_later(max(0.0, at - monotonic()), self._poll_due)

    def _poll_due(self) -> None:
        self._alarm = None
        now = monotonic()
        for job_id, hinted in self._plan.due(now, _MAX_AT_ONCE - len(self._polling)):
            if job_id not in self._polling:
                self._start(self.jobs[job_id], "webhook" if hinted else "poll")
            elif hinted:  # polled now by ``poll``, whose answer may be older than the hint
                self._plan.hint(job_id, now)
        if len(self._polling) < _MAX_AT_ONCE:  # else the end of a poll wakes
            self._wake_at(self._plan.next_at())

    async def poll(self, job: Job) -> None:
        """Poll one job now, or join the poll under way. Raises its error."""
        await result_of(self._polling.get(job.id) or self._start(job, "poll"))

    def _start(self, job: Job, source: StatusSource) -> asyncio.Task[None]:
        polling = self._tasks.start(
            self._poll(job, source), f"poll of job {job.id}", on_end=partial(self._polled, job)
        )
        self._polling[job.id] = polling
        return polling

    async def _poll(self, job: Job, source: StatusSource) -> None:
        self.polls += 1
        started_at = monotonic()
        self._rate.count(started_at)
        answer = await self._api.ask_once(calls.job(job.id))
        raw_status = answers.decode_status(answer)
        status = JobStatus.parse(raw_status)
        if status is _UNKNOWN:
            self._warn(raw_status)
        if not status.is_terminal:
            self._plan.unfinished(job.id, started_at)
            self.on_unfinished(job)
        elif status is _FAILED and (reason := answers.failure_reason(answer)):
            self._reasons[job.id] = self._api.redacted(reason)
        self.record_status(job, status, raw_status, source)

    def record_status(
        self, job: Job, status: JobStatus, raw_status: str, source: StatusSource
    ) -> None:
        """Record a status of a job, and emit it if it is a transition."""
        if job._advance(status, raw_status, source):
            self._emit(
                JobStatusChanged,
                job.id,
                job.conversation_id,
                status,
                raw_status,
                source,
                job.source,
            )

    def _polled(self, job: Job, polling: asyncio.Task[None]) -> None:
        self._tasks.running.discard(polling)
        now = monotonic()
        if len(self._polling) >= _MAX_AT_ONCE:
            self._wake_at(now)
        del self._polling[job.id]
        if polling.cancelled():  # by the closing, or by other code: the job must not be lost
            self._plan.again(job.id, now, jitter=0.0)
            self._wake_at(self._plan.next_at())
            return
        error = polling.exception()
        if error is not None or self._failing_since is not None:
            self._record_health(error)
        if isinstance(error, APIError) and error.retry_after is not None:
            self._plan.hold(now + min(error.retry_after, self._policy.ceiling))
        status = job.status
        if status.is_terminal:
            self._plan.ended(job.id, now, jitter=self._jitter())
        if status is _COMPLETED:
            self._end(job, None)
        elif status is _FAILED:
            reason = self._reasons.pop(job.id, None)
            why = "; the API gives no reason" if reason is None else f": {reason}"
            failed = JobFailedError(f"job {job.id} failed{why}", job)
            failed.reason = reason
            self._end(job, failed)
        elif isinstance(error, NotFoundError) and self._plan.is_missing_too_long(job.id, now):
            self._lose(job, f"the server does not know job {job.id}", error)
        elif isinstance(error, AuthenticationError):
            self._lose(job, f"the server refuses to tell about job {job.id}", error)
        elif self._plan.is_too_old(job.id, now) and (
            # A job that is attached again after days is polled for the first time: a poll that
            # fails only delays, though not for ever.
            error is None or self._plan.is_missing_too_long(job.id, now)
        ):
            self._lose(
                job,
                f"job {job.id} was still {status.value} after "
                f"Polls.max_age={self._policy.max_age:g} s",
                error,
            )
        else:
            if error is not None:
                self._emit(PollFailed, job.id, error, job.source)
            self._plan.again(job.id, now, jitter=2 * self._jitter() - 1)
            self._wake_at(self._plan.next_at())

    def _record_health(self, error: BaseException | None) -> None:
        """Warn once when no poll has been answered for ``_OUTAGE`` seconds, and when one is."""
        if error is None or isinstance(error, NotFoundError):
            if self._outage_warned:
                _LOG.warning("polls are answered again")
            self._failing_since, self._outage_warned = None, False
            return
        if self._failing_since is None:
            self._failing_since = monotonic()
        failing = monotonic() - self._failing_since
        if failing >= _OUTAGE and not self._outage_warned:
            self._outage_warned = True
            _LOG.warning(
                "every poll has failed for %.0f s (%s); %d jobs are waited for",
                failing,
                error,
                len(self.jobs),
            )

    def _lose(self, job: Job, why: str, error: BaseException | None) -> None:
        lost = JobLostError(why, job)
        lost.__cause__ = error
        self._end(job, lost)

    def _end(self, job: Job, error: SymblError | None) -> None:
        self._plan.forget(job.id)
        self.jobs.pop(job.id, None)
        self.on_end(job, error)

    def _warn(self, raw_status: str) -> None:
        if raw_status not in self._warned and len(self._warned) < _MAX_WARNINGS:
            self._warned.add(raw_status)
            _LOG.warning(
                "unknown job status %.80r: taken as not finished; is symbl-aio up to date?",
                raw_status,
            )
