"""Webhook delivery: one call for each change of a job's status, in order. API section 4."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from attrs import define

from symbl_aio.server.background_tasks import BackgroundTasks
from symbl_aio.server.change_notifier import ChangeNotifier
from symbl_aio.server.job import Job, Status
from symbl_aio.server.outbound_http import OutboundClient
from symbl_aio.server.request_log import trim_oldest
from symbl_aio.server.storage.changes import WebhookCalled
from symbl_aio.server.storage.store import Store


@define
class WebhookCall:
    """One webhook call; ``acknowledged``: the response was a 2xx."""

    job_id: str
    status: Status
    acknowledged: bool


class WebhookDelivery:
    """Makes the calls of each job one after another. A failed call is not retried.

    Calls that the server does not make before its end are made by the next one.
    """

    def __init__(
        self,
        outbound: OutboundClient,
        changes: ChangeNotifier,
        store: Store,
        retain: int | None,
    ) -> None:
        self.calls: list[WebhookCall] = []
        self._outbound = outbound
        self._changes = changes
        self._store = store
        self._retain = retain
        self._pending: dict[str, deque[Status]] = {}
        self._tasks = BackgroundTasks()
        self._late_released = asyncio.Event()

    def schedule(self, job: Job) -> None:
        """Schedule the call for the current status of a job."""
        if not job.calls_webhook:
            return
        # A webhook may arrive twice in practice; the fault reproduces it.
        self.resume(job, [job.status] * (2 if "duplicate_webhook" in job.faults else 1))

    def resume(self, job: Job, statuses: Sequence[Status]) -> None:
        """Schedule calls for these statuses, after those that are scheduled."""
        pending = self._pending.get(job.id)
        if pending is not None:
            # The task of this job is running: it makes these calls in order.
            pending.extend(statuses)
            return
        pending = self._pending[job.id] = deque(statuses)
        self._tasks.spawn(self._deliver(job, pending), name=f"webhooks of {job.id}")

    def is_delivered(self, job: Job) -> bool:
        """Return whether the job has finished and all its calls were made."""
        return job.finished and job.id not in self._pending

    def release_late(self) -> None:
        """Make the calls that a fault holds back as late."""
        self._late_released.set()
        self._late_released = asyncio.Event()

    async def aclose(self) -> None:
        """Cancel the calls that were not made yet; they stay in the store."""
        await self._tasks.aclose()

    async def _deliver(self, job: Job, pending: deque[Status]) -> None:
        assert job.webhook_url is not None
        if "late_webhook" in job.faults:
            # Held until release_late(); the status changes meanwhile stay queued.
            await self._late_released.wait()
        while pending:
            status = pending.popleft()
            payload = {"jobId": job.id, "status": status.value}
            acknowledged = await self._outbound.post_webhook(job.webhook_url, payload)
            # A server that is killed before this commit makes the call again.
            self._store.post(WebhookCalled(job.id, status))
            self.calls.append(WebhookCall(job.id, status, acknowledged))
            trim_oldest(self.calls, self._retain)
            self._changes.notify()
        del self._pending[job.id]
        self._changes.notify()
