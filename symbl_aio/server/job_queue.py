"""The job queue: scheduled, in_progress, then completed or failed. API sections 3 and 4.

The jobs of one conversation run one at a time, in order of arrival. A submission takes
one of the account's slots before its body is read; the job keeps it until it finishes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from symbl_aio.server.accepted_submission import SubmissionPayload
from symbl_aio.server.background_tasks import BackgroundTasks
from symbl_aio.server.change_notifier import ChangeNotifier
from symbl_aio.server.http_json import ApiError, now
from symbl_aio.server.job import Job, Status
from symbl_aio.server.job_hold import HoldPoint, JobGate
from symbl_aio.server.storage.changes import JobEnded, JobStarted
from symbl_aio.server.storage.store import StorageError, Store

logger = logging.getLogger("symbl_aio.server")

Publish: TypeAlias = Callable[[JobEnded], Awaitable[None]]
Process: TypeAlias = Callable[[Job, SubmissionPayload], Awaitable[Publish]]

UNEXPECTED = "the server has made a mistake; its log has more"
_DELETED = "its conversation was deleted"

# Seconds until the end of a job is stored again after the disk was full, or failed.
_STORE_AGAIN = 5.0


class ProcessingError(Exception):
    """The media cannot be processed; the text is the reason."""


class Jobs:
    """All jobs of the server, with one lane for each conversation.

    ``process`` processes the submission of a job and returns a function that publishes the
    results; both raise ProcessingError. That function is called on completion, so the
    conversation shows no result before; it stores them together with the end of the job.
    ``keep_bodies``: a recording that was sent outlives its job. ``limit``: slots of the account.
    ``min_seconds``: the shortest time in progress. ``on_status_change`` is called after each
    change of status. ``retain``: how many finished jobs to keep in memory; None keeps all.
    """

    def __init__(
        self,
        *,
        store: Store,
        process: Process,
        keep_bodies: bool,
        limit: int,
        min_seconds: float,
        gate: JobGate,
        changes: ChangeNotifier,
        on_status_change: Callable[[Job], None],
        retain: int | None = None,
    ) -> None:
        self.limit = limit
        self.min_seconds = min_seconds
        self.by_id: dict[str, Job] = {}
        self.max_unfinished = 0
        self._store = store
        self._process = process
        self._keep_bodies = keep_bodies
        self._gate = gate
        self._changes = changes
        self._on_status_change = on_status_change
        self._retain = retain
        self._finished_ids: deque[str] = deque()
        self._reserved_slots = 0
        self._unfinished = 0
        self._lanes: dict[str, deque[Job]] = {}
        self._tasks = BackgroundTasks()

    @property
    def unfinished(self) -> int:
        """The number of accepted jobs that have not finished."""
        return self._unfinished

    def busy(self, conversation_id: str) -> bool:
        """Return whether the conversation has an unfinished job."""
        return conversation_id in self._lanes

    @property
    def uploading(self) -> int:
        """The number of submissions that hold a slot and are not accepted yet."""
        return self._reserved_slots

    async def find(self, job_id: str) -> Job | None:
        """Return a job, or None for an unknown one."""
        return self.by_id.get(job_id) or await self._store.finished_job(job_id)

    def acquire_slot(self) -> bool:
        """Acquire a slot for a submission before its body is read; return False if none is free."""
        # Bodies on their way count, so that the limit holds when they arrive.
        if self._unfinished + self._reserved_slots >= self.limit:
            return False
        self._reserved_slots += 1
        return True

    def release_slot(self) -> None:
        """Release the slot of ``acquire_slot()``: the submission became a job or was refused."""
        self._reserved_slots -= 1
        self._changes.notify()

    def add(self, job: Job) -> None:
        """Accept a stored job: schedule it after the other jobs of its conversation."""
        self._on_status_change(job)
        self._schedule(job)

    def resume(self, jobs: Sequence[Job]) -> None:
        """Schedule the jobs that an earlier server accepted and did not finish, in order."""
        for job in jobs:
            self._schedule(job)

    def forget_conversation(self, conversation_id: str) -> None:
        """Drop the submissions of a deleted conversation: its unfinished jobs fail."""
        for job in self._lanes.get(conversation_id, ()):
            if job.payload is not None:
                job.payload.close()
                job.payload = None

    def _schedule(self, job: Job) -> None:
        self.by_id[job.id] = job
        self._unfinished += 1
        self.max_unfinished = max(self.max_unfinished, self._unfinished)
        self._changes.notify()
        lane = self._lanes.get(job.conversation_id)
        if lane is not None:
            lane.append(job)
            return
        self._lanes[job.conversation_id] = deque([job])
        self._tasks.spawn(
            self._run_lane(job.conversation_id), name=f"jobs of {job.conversation_id}"
        )

    async def aclose(self) -> None:
        """Cancel every job."""
        await self._tasks.aclose()

    async def _run_lane(self, conversation_id: str) -> None:
        lane = self._lanes[conversation_id]
        while lane:
            # The running job stays in its lane: busy() and add() see it.
            await self._run(lane[0])
            lane.popleft()
        del self._lanes[conversation_id]

    async def _run(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        await self._gate.wait_for_permit(HoldPoint.BEFORE_START)
        payload = job.payload
        if job.calls_webhook:
            self._store.post(JobStarted(job))
        self._set_status(job, Status.IN_PROGRESS)
        # Measured from the start: processing that takes longer is not delayed further.
        done_at = loop.time() + self.min_seconds
        publish = await self._process_payload(job)
        if (rest := done_at - loop.time()) > 0:
            await asyncio.sleep(rest)
        await self._gate.wait_for_permit(HoldPoint.BEFORE_COMPLETION)
        status = await self._end(job, publish)
        deleted, job.payload = job.payload is None, None
        # After its end is stored: a server that is killed before it needs the file again. No row
        # names the recording of a link, so it is not kept.
        if payload is not None and (deleted or payload.url or not self._keep_bodies):
            payload.close()
        # Before the status changes: a waiter that sees it finished finds the slot free.
        self._unfinished -= 1
        self._set_status(job, status)
        # Only finished jobs are dropped, the oldest first.
        self._finished_ids.append(job.id)
        if self._retain is not None and len(self._finished_ids) > self._retain:
            del self.by_id[self._finished_ids.popleft()]

    async def _process_payload(self, job: Job) -> Publish | None:
        """Run the work of a job; return None if it fails."""
        try:
            if "job_fails" in job.faults:
                raise ProcessingError("it was told to fail")
            if job.payload is None:
                raise ProcessingError(_DELETED)
            return await self._process(job, job.payload)
        except ProcessingError as error:
            self._fail(job, str(error))
        except Exception:
            self._fail(job, UNEXPECTED, traceback=True)
        return None

    async def _end(self, job: Job, publish: Publish | None) -> Status:
        """Store the results and the end of a job together; return its last status."""
        while True:
            try:
                # Results appear at the moment of completion, not before.
                if publish is not None and await self._publish(job, publish):
                    return Status.COMPLETED
                await self._store.commit(JobEnded(job, Status.FAILED))
                return Status.FAILED
            except StorageError as error:
                logger.error("the end of job %s cannot be stored: %s", job.id, error)
            await asyncio.sleep(_STORE_AGAIN)

    async def _publish(self, job: Job, publish: Publish) -> bool:
        # An exception here would end the lane, and its later jobs would never run.
        try:
            await publish(JobEnded(job, Status.COMPLETED))
        except StorageError:
            raise
        except ApiError:
            self._fail(job, _DELETED)
            return False
        except ProcessingError as error:
            self._fail(job, str(error))
            return False
        except Exception:
            self._fail(job, UNEXPECTED, traceback=True)
            return False
        return True

    def _fail(self, job: Job, reason: str, *, traceback: bool = False) -> None:
        if job.payload is None:
            # Its file has gone under it, for example.
            reason, traceback = _DELETED, False
        # Without a traceback it is the fault of the submission, not of the server.
        level = logging.ERROR if traceback else logging.INFO
        logger.log(level, "job %s fails: %s", job.id, reason, exc_info=traceback)
        job.reason = reason

    def _set_status(self, job: Job, status: Status) -> None:
        job.history.append((status, now()))
        self._on_status_change(job)
        self._changes.notify()
