"""The jobs of one client: one handle for each, followed by one poller until it ends."""

from __future__ import annotations

import time
from weakref import WeakValueDictionary

from symbl_aio._io.emit import Emitter
from symbl_aio._io.poller import Poller
from symbl_aio._io.queue import SubmissionQueue
from symbl_aio.errors import ClientClosedError
from symbl_aio.events import JobEnded
from symbl_aio.job import HandleBackend, Job
from symbl_aio.models import JobStatus


class Jobs:
    """One handle for each job: those that the poller follows, and those that it does not yet."""

    def __init__(
        self,
        poller: Poller,
        queue: SubmissionQueue,
        events: Emitter,
        *,
        backend: HandleBackend,
    ) -> None:
        self._poller = poller
        self._queue = queue
        self._emit = events.emit
        self._backend = backend
        self._attached: WeakValueDictionary[str, Job] = WeakValueDictionary()

    def add(
        self, job_id: str, conversation_id: str, source: str | None, duration: float | None
    ) -> Job:
        """Follow a job that was just accepted, and return its handle."""
        # A server that repeats a job id has one job for both submissions.
        job = self._unfinished(job_id)
        if job is None:
            job = Job(job_id, conversation_id, backend=self._backend, source=source)
        # Before any event: an observer that attaches to the job must get this handle.
        job._is_followed = True
        self._poller.follow(job, duration=duration)
        return job

    def start(self, job: Job, *, finished: bool) -> None:
        """Emit that an accepted job is scheduled. ``finished``: a webhook has reported its end."""
        scheduled = JobStatus.SCHEDULED
        self._poller.record_status(job, scheduled, scheduled.value, "submit")
        if finished:
            self._poller.hint(job.id)

    def attach(self, job_id: str, conversation_id: str | None, since: float | None = None) -> Job:
        """Return the one handle of a job, as long as it is unfinished and referenced."""
        job = self._unfinished(job_id)
        if job is None:
            job = Job(job_id, conversation_id, backend=self._backend, since=since)
            self._attached[job_id] = job
        elif job.conversation_id is None and conversation_id is not None:
            job.conversation_id = conversation_id
            if job_id in self._poller.jobs:
                self._queue.hold(job_id, conversation_id)
        return job

    def attach_unowned(self, job_id: str, conversation_id: str | None) -> Job | None:
        """Attach to a job that a webhook named; ``None`` if a submission owns it."""
        return None if job_id in self._poller.jobs else self.attach(job_id, conversation_id)

    def _unfinished(self, job_id: str) -> Job | None:
        # Of two handles of a job only the followed one would learn of its end.
        job = self._poller.jobs.get(job_id) or self._attached.get(job_id)
        return None if job is None or job.done() else job

    def follow(self, job: Job) -> None:
        """Follow an attached job: it counts, and the appends of its conversation wait."""
        self._queue.adopt(job.id, job.conversation_id)
        job._is_followed = True
        self._poller.follow(job, age=max(0.0, time.time() - job._since))
        self._attached.pop(job.id, None)  # the poller has it now

    def abandon(self) -> None:
        """End the waiters of all followed jobs as the client closes."""
        for job in list(self._poller.jobs.values()):
            closed = ClientClosedError(
                f"the client was closed while job {job.id} was {job.status.value}; "
                "job.token re-attaches to it",
                job,
            )
            job._settle(closed, expected=True)
            self._emit(JobEnded, job.id, job.conversation_id, closed, job.source)
