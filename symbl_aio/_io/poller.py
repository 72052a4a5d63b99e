"""Follow jobs to their end: one plan and one budget for all jobs of a client.

A poll that fails only delays the next one. A job ends here when the server says that it
completed or failed, or when it is lost: unknown to the server for longer than the
grace, refused for good, or unfinished for longer than anybody waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Final

from symbl_aio._core.polls import PollPlan
from symbl_aio._core.rate import Pace
from symbl_aio._io.api import Api
from symbl_aio._protocol import calls, encode
from symbl_aio._waiting import result_of
from symbl_aio.config import Polls
from symbl_aio.errors import (
    AuthenticationError,
    JobFailedError,
    JobLostError,
    NotFoundError,
    SymblError,
)
from symbl_aio.events import Event, JobStatusChanged, PollFailed
from symbl_aio.job import Job, StatusSource
from symbl_aio.models import JobStatus

_LOG = logging.getLogger("symbl_aio")
_MOST_AT_ONCE: Final = 64
"""Polls under way at a time, so that a server that does not answer costs few connections."""
_MOST_WARNED: Final = 100
_OUTAGE: Final = 60.0
"""Seconds of failing polls after which somebody should know."""


class Poller:
    """The jobs that are followed.

    ``seen`` is called whenever the server says that one is not finished, ``ended`` once
    for each, with its error or ``None``.
    """

    def __init__(
        self,
        api: Api,
        policy: Polls,
        *,
        luck: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        tell: Callable[[Event], object],
        seen: Callable[[Job], None],
        ended: Callable[[Job, SymblError | None], None],
    ) -> None:
        self._api = api
        self._policy = policy
        self._plan = PollPlan(policy)
        self._luck = luck
        self._spawn = spawn
        self._tell = tell
        self._seen = seen
        self._ended = ended
        self._jobs: dict[str, Job] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._warned: set[str] = set()
        self._pace = Pace()
        self._failing_since: float | None = None
        self._outage_told = False
        self.polls = 0

    @property
    def jobs(self) -> dict[str, Job]:
        """The jobs that are followed, by id."""
        return self._jobs

    def oldest(self) -> float | None:
        """Give the age in seconds of the oldest job, ``None`` without any."""
        return self._plan.oldest(monotonic())

    def rate(self) -> float:
        """Give the polls a second of the last ten seconds."""
        return self._pace.rate(monotonic())

    def failing_for(self) -> float | None:
        """Give the seconds since a poll was answered, if those since then failed."""
        return None if self._failing_since is None else monotonic() - self._failing_since

    def follow(self, job: Job, *, age: float = 0.0, duration: float | None = None) -> None:
        """Ask for a job from now on, until it ends."""
        self._jobs[job.id] = job
        self._plan.watch(job.id, monotonic(), age=age, duration=duration)
        self._wake.set()

    def hint(self, job_id: str) -> None:
        """Ask soon: somebody said that the job ended. Harmless for an unknown one."""
        self._plan.hint(job_id, monotonic())
        self._wake.set()

    async def run(self) -> None:
        """Ask for whatever is due, for ever."""
        while True:
            self._wake.clear()
            free = _MOST_AT_ONCE - len(self._asking)
            for job_id, hinted in self._plan.due(monotonic(), free):
                if job_id not in self._asking:
                    self._ask(self._jobs[job_id], "webhook" if hinted else "poll")
                elif hinted:  # ``ask`` is at it, whose answer may be older than the hint
                    self._plan.hint(job_id, monotonic())
            # With all places taken, the end of a poll wakes this up.
            full = len(self._asking) >= _MOST_AT_ONCE
            await self._sleep_until(None if full else self._plan.next_at())

    async def ask(self, job: Job) -> None:
        """Ask for one job now, together with whoever asks for it already. Raises what failed."""
        asking = self._asking.get(job.id) or self._ask(job, "poll")
        await result_of(asking)

    def _ask(self, job: Job, source: StatusSource) -> asyncio.Task[None]:
        asking = self._spawn(self._question(job, source), f"poll of job {job.id}")
        self._asking[job.id] = asking
        asking.add_done_callback(lambda task: self._answered(job, task))
        return asking

    async def _question(self, job: Job, source: StatusSource) -> None:
        self.polls += 1
        asked_at = monotonic()
        self._pace.count(asked_at)
        answer = await self._api.ask_once(calls.job(job.id))
        _, raw_status = encode.decode_job(answer)
        status = JobStatus.parse(raw_status)
        if status is JobStatus.UNKNOWN:
            self._warn(raw_status)
        if not status.is_terminal:
            self._plan.unfinished(job.id, asked_at)
            self._seen(job)
        if job._advance(status, raw_status, source):
            self._tell(
                JobStatusChanged(
                    job.id, job.conversation_id, status, raw_status, source, job.source
                )
            )

    def _answered(self, job: Job, asking: asyncio.Task[None]) -> None:
        del self._asking[job.id]
        self._wake.set()
        now = monotonic()
        if asking.cancelled():  # by the closing, or by a stranger: then the job must not be lost
            self._plan.again(job.id, now, jitter=0.0)
            return
        error = asking.exception()
        self._note_health(error)
        if job.status.is_terminal:
            self._plan.ended(job.id, now, luck=self._luck())
        if job.status is JobStatus.COMPLETED:
            self._end(job, None)
        elif job.status is JobStatus.FAILED:
            self._end(job, JobFailedError(f"job {job.id} failed; the API gives no reason", job))
        elif isinstance(error, NotFoundError) and self._plan.is_missing_too_long(job.id, now):
            self._lose(job, f"the server does not know job {job.id}", error)
        elif isinstance(error, AuthenticationError):
            self._lose(job, f"the server refuses to tell about job {job.id}", error)
        elif self._plan.is_too_old(job.id, now) and (
            # One that was attached again after days is asked for the first time: a poll that
            # fails only delays, though not for ever.
            error is None or self._plan.is_missing_too_long(job.id, now)
        ):
            self._lose(
                job,
                f"job {job.id} was still {job.status.value} after "
                f"Polls.max_age={self._policy.max_age:g} s",
                error,
            )
        else:
            if error is not None:
                self._tell(PollFailed(job.id, error, job.source))
            self._plan.again(job.id, now, jitter=2 * self._luck() - 1)

    def _note_health(self, error: BaseException | None) -> None:
        """Warn once when no poll has been answered for a while, and tell when it is over."""
        if error is None or isinstance(error, NotFoundError):
            if self._outage_told:
                _LOG.warning("polls are answered again")
            self._failing_since, self._outage_told = None, False
            return
        if self._failing_since is None:
            self._failing_since = monotonic()
        failing = monotonic() - self._failing_since
        if failing >= _OUTAGE and not self._outage_told:
            self._outage_told = True
            _LOG.warning(
                "every poll has failed for %.0f s (%s); %d jobs are waited for",
                failing,
                error,
                len(self._jobs),
            )

    def _lose(self, job: Job, why: str, error: BaseException | None) -> None:
        lost = JobLostError(why, job)
        lost.__cause__ = error
        self._end(job, lost)

    def _end(self, job: Job, error: SymblError | None) -> None:
        self._plan.forget(job.id)
        self._jobs.pop(job.id, None)
        self._ended(job, error)

    def _warn(self, raw_status: str) -> None:
        if raw_status not in self._warned and len(self._warned) < _MOST_WARNED:
            self._warned.add(raw_status)
            _LOG.warning(
                "unknown job status %.80r: taken as not finished; is symbl-aio up to date?",
                raw_status,
            )

    async def _sleep_until(self, when: float | None) -> None:
        alarm = None
        if when is not None:
            delay = max(0.0, when - monotonic())
            alarm = asyncio.get_running_loop().call_later(delay, self._wake.set)
        await self._wake.wait()
        if alarm is not None:
            alarm.cancel()
