"""A job: one accepted submission, its status, and the reason of a failure."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from attrs import define, field

from symbl_aio.server.accepted_submission import SubmissionPayload
from symbl_aio.server.http_json import now
from symbl_aio.server.ids import random_uuid


class Status(StrEnum):
    """The four statuses of section 3."""

    SCHEDULED = "scheduled"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


@define(eq=False)
class Job:
    """One accepted submission.

    ``payload`` is None once the job has finished, or its conversation was deleted: nothing
    of the submission stays in memory. ``history`` records each status with its time.
    ``reason``: why the job failed. ``faults``: the faults of this job.
    """

    conversation_id: str
    payload: SubmissionPayload | None = None
    webhook_url: str | None = None
    faults: frozenset[str] = frozenset()
    id: str = field(factory=random_uuid)
    history: list[tuple[Status, datetime]] = field(factory=lambda: [(Status.SCHEDULED, now())])
    reason: str | None = None

    @property
    def status(self) -> Status:
        return self.history[-1][0]

    @property
    def finished(self) -> bool:
        return self.status in (Status.COMPLETED, Status.FAILED)

    @property
    def calls_webhook(self) -> bool:
        """Whether a webhook is called for each status."""
        return self.webhook_url is not None and "no_webhook" not in self.faults
