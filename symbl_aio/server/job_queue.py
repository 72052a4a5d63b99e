"""The job queue: scheduled, in_progress, then completed or failed. API sections 3 and 4.

The jobs of one conversation run one at a time, in order of arrival. A submission takes
one of the account's slots before its body is read; the job keeps it until it finishes.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum

from attrs import define, field

from symbl_aio.server.background_tasks import BackgroundTasks
from symbl_aio.server.change_notifier import ChangeNotifier
from symbl_aio.server.http_json import now
from symbl_aio.server.job_hold import HoldPoint, JobGate

logger = logging.getLogger("symbl_aio.server")

Publish = Callable[[], None]

UNEXPECTED = "the server has made a mistake; its log has more"


class Status(StrEnum):
    """The four statuses of section 3."""

    SCHEDULED = "scheduled"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


class ProcessingError(Exception):
    """The media cannot be processed; the text is the reason, for the log."""


@define(eq=False)
class Job:
    """One accepted submission.

    ``work`` processes the job with this id and returns a function that publishes the
    results. That function is called on completion, so the conversation shows no result
    before. ``history`` records each status with its time. ``reason``: why the job failed.
    ``faults``: the faults of this job.
    """

    conversation_id: str
    work: Callable[[str], Awaitable[Publish]]
    webhook_url: str | None = None
    faults: frozenset[str] = frozenset()
    id: str = field(factory=lambda: str(uuid.uuid4()))
    history: list[tuple[Status, datetime]] = field(factory=list)
    reason: str | None = None

    @property
    def status(self) -> Status:
        return self.history[-1][0]

    @property
    def finished(self) -> bool:
        return self.status in (Status.COMPLETED, Status.FAILED)


class Jobs:
    """All jobs of the server, with one lane for each conversation.

    ``limit``: slots of the account. ``min_seconds``: the shortest time in progress.
    ``on_status_change`` is called after each change of status. ``retain``: how many finished
    jobs to keep; None keeps all.
    """

    def __init__(
        self,
        *,
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

    def add(self, job: Job) -> None:
        """Accept a job: schedule it after the other jobs of its conversation."""
        self.by_id[job.id] = job
        self._unfinished += 1
        self.max_unfinished = max(self.max_unfinished, self._unfinished)
        self._set_status(job, Status.SCHEDULED)
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
        self._set_status(job, Status.IN_PROGRESS)
        # Measured from the start: processing that takes longer is not delayed further.
        done_at = loop.time() + self.min_seconds
        publish = await self._process(job)
        if (rest := done_at - loop.time()) > 0:
            await asyncio.sleep(rest)
        await self._gate.wait_for_permit(HoldPoint.BEFORE_COMPLETION)
        # Results appear at the moment of completion, not before.
        completed = publish is not None and _publish(job, publish)
        # Before the status changes: a waiter that sees it finished finds the slot free.
        self._unfinished -= 1
        self._set_status(job, Status.COMPLETED if completed else Status.FAILED)
        # Only finished jobs are dropped, the oldest first.
        self._finished_ids.append(job.id)
        if self._retain is not None and len(self._finished_ids) > self._retain:
            del self.by_id[self._finished_ids.popleft()]

    async def _process(self, job: Job) -> Publish | None:
        """Run the work of a job; return None if it fails."""
        try:
            if "job_fails" in job.faults:
                raise ProcessingError("it was told to fail")
            return await job.work(job.id)
        except ProcessingError as error:
            logger.info("job %s fails: %s", job.id, error)
            job.reason = str(error)
        except Exception:
            logger.exception("job %s fails", job.id)
            job.reason = UNEXPECTED
        return None

    def _set_status(self, job: Job, status: Status) -> None:
        job.history.append((status, now()))
        self._on_status_change(job)
        self._changes.notify()


def _publish(job: Job, publish: Publish) -> bool:
    # An exception here would end the lane, and its later jobs would never run.
    try:
        publish()
    except Exception:
        logger.exception("job %s fails", job.id)
        job.reason = UNEXPECTED
        return False
    return True
