"""The handler of the ten submission calls: validation, job limit, acceptance. API section 2.

Everything that the headers and the query can decide is decided before the body is read,
the job limit included: a caller with gigabytes to send receives a refusal at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web
from attrs import define

from symbl_aio.server import submission_parameters
from symbl_aio.server.accepted_submission import SubmissionPayload
from symbl_aio.server.change_notifier import ChangeNotifier
from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.conversations.registry import Conversations, new_conversation
from symbl_aio.server.field_rules import texts_of
from symbl_aio.server.http_json import JSON, ApiError, json_response, parse_json, require_object
from symbl_aio.server.job import Job
from symbl_aio.server.job_queue import Jobs
from symbl_aio.server.management.handlers import ManagementHandlers
from symbl_aio.server.option_support import UnknownOptions
from symbl_aio.server.processing import (
    SubmissionProcessor,
    stored_tracker_ids,
)
from symbl_aio.server.request_body import body_chunks, read_body
from symbl_aio.server.request_log import Received, RequestLog
from symbl_aio.server.server_limits import LIMITS
from symbl_aio.server.spooled_body import SpooledBody
from symbl_aio.server.storage.changes import JobAccepted
from symbl_aio.server.submission_parameters import Kind
from symbl_aio.server.text_messages import earliest_instant
from symbl_aio.server.upload_space import UploadSpace

AUDIO_TYPES = frozenset({"audio/wav", "audio/wave", "audio/mpeg", "audio/mp3"})

# A client that does not know the type of its file sends none, an empty one, or one of these.
_UNKNOWN_TYPES = frozenset(
    {"", "application/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data"}
)

_FEATURES = frozenset({"insights", "callScore"})

# Seconds until another server may have replaced one that stops.
_RETRY_AFTER = 5


@define
class SpoolSettings:
    """How media bodies are stored: ``keep`` them on disk, ``hashed`` with SHA-256.

    ``synced``: they are flushed to the disk before their submission is accepted.
    """

    directory: Path
    keep: bool
    hashed: bool
    synced: bool = False


class SubmissionHandlers:
    """Handles the calls. ``take_job_faults`` returns the faults of the next accepted job."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        conversations: Conversations,
        processing: SubmissionProcessor,
        management: ManagementHandlers,
        changes: ChangeNotifier,
        bodies: SpoolSettings,
        space: UploadSpace,
        log: RequestLog,
        take_job_faults: Callable[[web.Request], frozenset[str]],
    ) -> None:
        self._jobs = jobs
        self._conversations = conversations
        self._processing = processing
        self._management = management
        self._changes = changes
        self._bodies = bodies
        self._space = space
        self._log = log
        self._take_job_faults = take_job_faults
        self._unknown_options = UnknownOptions()
        self._draining = False

    def drain(self) -> None:
        """Refuse new submissions with 503; those that are uploaded now are still accepted."""
        self._draining = True

    async def handle(self, request: web.Request) -> web.Response:
        """Handle one of the ten calls: respond with 201 and the ids of the job (section 2)."""
        received = self._log.current(request)
        assert received is not None
        if self._draining:
            raise ApiError(503, "The server is stopping.", retry_after=_RETRY_AFTER)
        # From here to acquire_slot() no byte of the body is read.
        if received.conversation_id is not None:
            await self._conversations.require(received.conversation_id)
        _check_headers(received, request)
        query = submission_parameters.from_query(request)
        if query:
            self._check_parameters(received.kind, query)
        if not self._jobs.acquire_slot():
            raise ApiError(
                429,
                f"The account may have {self._jobs.limit} unfinished jobs at a time.",
                extra={"statusCode": 429},
            )
        try:
            payload = await self._read_payload(request, received, query)
            try:
                job = await self._store(request, received, payload)
            except Exception:
                # Not after a cancellation, which may be too late: its job has the file then.
                payload.close()
                raise
        finally:
            # add() counts the job itself from now on; there is no await between the two.
            self._jobs.release_slot()
        self._jobs.add(job)
        return json_response({"conversationId": job.conversation_id, "jobId": job.id}, 201)

    async def _read_payload(
        self, request: web.Request, received: Received, query: dict[str, JSON]
    ) -> SubmissionPayload:
        """Read and validate the body; the parameters of a file are those of the query."""
        if received.kind in ("audio", "video"):
            body = await self._read_file(request, received)
            return SubmissionPayload(received.kind, query, body)
        limits, start = request.app[LIMITS], None
        largest = limits.text_body if received.kind == "text" else limits.body
        text = await read_body(request, largest)
        fields = require_object(parse_json(text))
        received.size, received.complete, received.body = len(text), True, fields
        if received.kind == "text":
            submission_parameters.check_messages(fields.get("messages"))
            try:
                start = earliest_instant(fields.get("messages"))
            except ValueError:
                raise ApiError(400, '"startTime" and "endTime" must be ISO 8601.') from None
        else:
            submission_parameters.check_url(fields.get("url"))
        fields = submission_parameters.read(fields)
        self._check_parameters(received.kind, fields)
        return SubmissionPayload(received.kind, {**query, **fields}, started_at=start)

    def _check_parameters(self, kind: Kind, parameters: dict[str, JSON]) -> None:
        self._unknown_options.name(parameters)
        if unknown := set(_features(parameters)) - _FEATURES:
            self._unknown_options.name({f"features {name}": None for name in unknown})
        if kind != "text":
            self._processing.check_recognition(parameters)
        named = set(stored_tracker_ids(parameters))
        # Most submissions name none, and all stored ones are built anew to be compared.
        if named and (unknown := named.difference(self._management.trackers)):
            raise ApiError(400, f'"trackers" names unknown ones: {", ".join(sorted(unknown))}.')

    async def _read_file(self, request: web.Request, received: Received) -> SpooledBody:
        """Spool a media body to disk; refuse a video as soon as its first bytes are no mp4."""
        rules = self._bodies
        body = SpooledBody(
            rules.directory, keep=rules.keep, hashed=rules.hashed, synced=rules.synced
        )
        try:
            with self._space.granted(body, request.content_length):
                async for piece in body_chunks(request):
                    await body.write(piece)
                    self._space.extend(body)
                    received.size = body.size
                    # The type of an mp4's first box ends at byte 8.
                    if body.size >= 8:
                        _check_container(received.kind, body, request)
                    self._changes.notify()
                if body.size == 0:
                    raise ApiError(400, "The body is empty.")
                _check_container(received.kind, body, request)
                await body.finish()
        except BaseException:
            # Cancelled or refused: no file may stay behind.
            body.close()
            raise
        received.complete = True
        received.sha256 = body.sha256
        return body

    async def _store(
        self, request: web.Request, received: Received, payload: SubmissionPayload
    ) -> Job:
        """Store the job, and the conversation of a POST; return the job once it is stored.

        Raises a 404 ``ApiError`` if the conversation was deleted meanwhile.
        """
        received.parameters = payload.parameters
        opened = _open_conversation(payload) if received.conversation_id is None else None
        webhook_url = payload.parameters.get("webhookUrl")
        job = Job(
            conversation_id=str(received.conversation_id if opened is None else opened.id),
            payload=payload,
            webhook_url=webhook_url if isinstance(webhook_url, str) and webhook_url else None,
            faults=self._take_job_faults(request),
        )
        accepted, features = JobAccepted(job), _features(payload.parameters)
        if opened is not None:
            if features:
                opened.features, opened.features_job = features, job.id
            await self._conversations.create(opened, accepted)
        elif features:
            async with self._conversations.change(job.conversation_id, accepted) as changed:
                changed.features, changed.features_job = features, job.id
        else:
            await self._conversations.commit(job.conversation_id, accepted)
        received.conversation_id, received.job_id = job.conversation_id, job.id
        return job


def _open_conversation(payload: SubmissionPayload) -> Conversation:
    name = payload.parameters.get("name")
    conversation = new_conversation(name if isinstance(name, str) else None)
    if payload.started_at is not None:
        conversation.started_at = payload.started_at
    return conversation


def _features(parameters: Mapping[str, JSON]) -> tuple[str, ...]:
    features = parameters.get("features")
    return texts_of(features.get("featureList")) if isinstance(features, dict) else ()


def _check_headers(received: Received, request: web.Request) -> None:
    kind: Kind = received.kind
    content_type = _content_type(request)
    if kind not in ("audio", "video"):
        if content_type != "application/json":
            raise ApiError(400, '"Content-Type" must be application/json.')
        return
    if content_type not in _UNKNOWN_TYPES:
        if kind == "audio" and content_type not in AUDIO_TYPES:
            raise ApiError(
                400,
                f'"Content-Type" must be one of {", ".join(sorted(AUDIO_TYPES))}, '
                "or be left out for any other format.",
            )
        if kind == "video" and content_type != "video/mp4":
            raise ApiError(400, '"Content-Type" must be video/mp4, or be left out.')
    # A chunked body has no announced length; it is counted as it arrives.
    if request.content_length == 0:
        raise ApiError(400, "The body is empty.")


def _content_type(request: web.Request) -> str:
    """Return the media type without its parameters; "" if there is none."""
    # aiohttp reports a default for an absent type and for an empty one.
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _check_container(kind: Kind, body: SpooledBody, request: web.Request) -> None:
    # Some clients name this type for a body that is a recording, so its bytes decide.
    if body.head.startswith(b"--") and _content_type(request) == "multipart/form-data":
        raise ApiError(400, "A form is no recording; send the bytes of the file as the body.")
    if kind == "video" and body.head[4:8] != b"ftyp":
        raise ApiError(400, "The body is not an mp4.")
