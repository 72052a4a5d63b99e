"""One application of the server: its tokens, conversations, jobs, limits, trackers and settings.

Accounts share the machine (recognisers, connections, disk), and nothing else: the handlers of
one have no reference to the objects of another.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from aiohttp import web
from attrs import frozen

from symbl_aio.server.change_notifier import ChangeNotifier
from symbl_aio.server.conversations.bookmarks import BookmarkHandlers
from symbl_aio.server.conversations.handlers import ConversationHandlers
from symbl_aio.server.conversations.registry import Conversations
from symbl_aio.server.conversations.retention import Retention
from symbl_aio.server.fault_injection import FaultInjector
from symbl_aio.server.html_pages import PageHandlers
from symbl_aio.server.http_json import JSON, ApiError, json_response
from symbl_aio.server.job import Job
from symbl_aio.server.job_hold import JobGate
from symbl_aio.server.job_queue import Jobs
from symbl_aio.server.live.routes import live_routes
from symbl_aio.server.live.sessions import LiveSessions
from symbl_aio.server.management.handlers import ManagementHandlers
from symbl_aio.server.metrics import Metrics
from symbl_aio.server.outbound_http import OutboundClient
from symbl_aio.server.processing import SubmissionProcessor
from symbl_aio.server.recognition_pool import RecognitionPool
from symbl_aio.server.request_log import RequestLog
from symbl_aio.server.server_limits import BufferBudget
from symbl_aio.server.storage.changes import PageKeySaved
from symbl_aio.server.storage.store import Storage
from symbl_aio.server.submission_parameters import Kind
from symbl_aio.server.submissions import SpoolSettings, SubmissionHandlers
from symbl_aio.server.tokens import TokenIssuer
from symbl_aio.server.transcript_registry import TranscriptRegistry
from symbl_aio.server.upload_space import UploadSpace
from symbl_aio.server.webhooks import WebhookDelivery

if TYPE_CHECKING:
    from symbl_aio.server.live.handlers import LiveHandlers
    from symbl_aio.server.live.live_recognizer import LiveRecognizer

KINDS: tuple[Kind, ...] = ("text", "audio/url", "audio", "video/url", "video")


@frozen
class Shared:
    """What the accounts of a server have in common; the fields are those of ``LocalServer``."""

    storage: Storage
    changes: ChangeNotifier
    gate: JobGate
    log: RequestLog
    faults: FaultInjector
    metrics: Metrics
    transcripts: TranscriptRegistry
    new_outbound: Callable[[], OutboundClient]
    recognizer: RecognitionPool | None
    live_recognizer: LiveRecognizer | None
    clock: Callable[[], float]
    token_life: float
    job_limit: int
    job_seconds: float
    keep_days: float | None
    retain: int | None
    retain_requests: int | None
    probe_media: bool
    most_sockets: int
    buffered: int
    closing: asyncio.Event


class Account:
    """The state of one application, and the handlers of its requests."""

    def __init__(self, app_id: str, app_secret: str, shared: Shared) -> None:
        self.app_id = app_id
        self.buffers = BufferBudget(shared.buffered)
        self._shared = shared
        self._store = store = shared.storage.store(app_id)
        self.tokens = TokenIssuer(app_id, app_secret, shared.token_life, shared.clock, store)
        self.conversations = Conversations(store)
        self._management = ManagementHandlers(self.conversations, store)
        self._retention = Retention(self.conversations, store, shared.keep_days)
        # Its connections are limited, and slow hosts hold them.
        self._outbound = shared.new_outbound()
        self.webhooks = WebhookDelivery(
            self._outbound, shared.changes, store, shared.retain_requests
        )
        self.jobs = Jobs(
            store=store,
            process=lambda job, payload: self._processing.process(job, payload),
            keep_bodies=shared.storage.keeps_bodies,
            limit=shared.job_limit,
            min_seconds=shared.job_seconds,
            gate=shared.gate,
            changes=shared.changes,
            on_status_change=self._on_status_change,
            retain=shared.retain,
        )
        self.live = LiveSessions(
            self.conversations,
            self._management,
            store,
            most_sockets=shared.most_sockets,
            changed=shared.changes.notify,
        )
        self._processing: SubmissionProcessor
        self.submissions: SubmissionHandlers
        self._pages: PageHandlers

    async def open(self, bodies: SpoolSettings, space: UploadSpace) -> None:
        """Read the stored state, and continue with its jobs. Raises StorageError."""
        shared = self._shared
        state = await self._store.state()
        page_key = state.page_key or secrets.token_bytes(32)
        if state.page_key is None:
            await self._store.commit(PageKeySaved(page_key))
        self.tokens.restore(state)
        self._management.restore(state)
        self.live.restore(state)
        self._processing = SubmissionProcessor(
            conversations=self.conversations,
            transcripts=shared.transcripts,
            outbound=self._outbound,
            space=space,
            probe_media=shared.probe_media,
            recognizer=shared.recognizer,
            management=self._management,
        )
        self.submissions = SubmissionHandlers(
            jobs=self.jobs,
            conversations=self.conversations,
            processing=self._processing,
            management=self._management,
            changes=shared.changes,
            bodies=bodies,
            space=space,
            log=shared.log,
            take_job_faults=shared.faults.take_job_faults,
        )
        self._pages = PageHandlers(self.conversations, shared.clock, page_key)
        # Before the first request: an append comes after the jobs of its conversation.
        for job, statuses in state.webhooks:
            self.webhooks.resume(job, statuses)
        for job in state.jobs:
            shared.metrics.count_job(job)
        self.jobs.resume(state.jobs)
        self._retention.start()

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the routes of an account: for each one the same paths, in the same order."""
        handle = self.submissions.handle
        return [
            *(web.post(path, handle) for path in _OPENING_PATHS),
            *(web.put(path, handle) for path in _APPEND_PATHS),
            web.get("/v1/job/{job_id}", self._get_job),
            *live_routes(self._live_handlers),
            *BookmarkHandlers(self.conversations).routes(),
            *self._pages.routes(),
            *self._management.routes(),
            *ConversationHandlers(self.conversations, self.jobs, self._pages).routes(),
        ]

    def _live_handlers(self) -> LiveHandlers:
        # Few servers of tests get a live request: see late_imports.
        from symbl_aio.server.live.handlers import LiveHandlers
        from symbl_aio.server.live.telephony import CallHandlers

        shared = self._shared
        calls = CallHandlers(
            self.live,
            self.conversations,
            shared.transcripts,
            page_url=self._pages.page_url,
            most_calls=shared.most_sockets,
            recognizer=shared.recognizer,
        )
        return LiveHandlers(
            self.live,
            shared.transcripts,
            shared.live_recognizer,
            calls,
            page_url=self._pages.page_url,
            take_faults=shared.faults.take_carried_faults,
            closing=shared.closing,
        )

    def signed(self, request: web.Request) -> bool:
        """Return whether a link to a page has the signature of this account."""
        return self._pages.signed(request)

    async def aclose(self) -> None:
        """Cancel the tasks of the account."""
        await self.live.aclose()
        await self._retention.aclose()
        await self.jobs.aclose()
        await self.webhooks.aclose()
        await self._outbound.aclose()

    async def _get_job(self, request: web.Request) -> web.Response:
        """Handle ``GET /v1/job/{jobId}`` (section 3)."""
        job = await self.jobs.find(request.match_info["job_id"])
        if job is None:
            raise ApiError(404, "The job is unknown.")
        # The API has no word for it: an extra key, and only for a job that has failed.
        reason: dict[str, JSON] = {} if job.reason is None else {"reason": job.reason}
        return json_response({"id": job.id, "status": job.status, **reason})

    def _on_status_change(self, job: Job) -> None:
        self._shared.metrics.count_job(job)
        self.webhooks.schedule(job)


_OPENING_PATHS: Mapping[str, Kind] = {f"/v1/process/{kind}": kind for kind in KINDS}
_APPEND_PATHS: Mapping[str, Kind] = {
    f"{path}/{{conversation_id}}": kind for path, kind in _OPENING_PATHS.items()
}


def kind_of_path(path: str) -> Kind | None:
    """Return the kind of the submissions to the path of a route; None for other routes."""
    return _OPENING_PATHS.get(path) or _APPEND_PATHS.get(path)
