"""The ten submission calls: what is refused, what is accepted. API section 2.

All that the head of a request can tell is decided before its body is read, the job
limit included, so that a caller with gigabytes to send learns of a refusal at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from attrs import define

from symbl_aio.server import submission_parameters
from symbl_aio.server.change_notifier import Pulse
from symbl_aio.server.conversations.conversation import UNKNOWN, Conversation, Conversations
from symbl_aio.server.http_json import JSON, RefusedError, answer
from symbl_aio.server.jobs import Job, Jobs
from symbl_aio.server.management.handlers import Management
from symbl_aio.server.processing import Material, Processing, first_instant, stored_trackers
from symbl_aio.server.request_log import Log, Received
from symbl_aio.server.spooled_body import Body
from symbl_aio.server.submission_parameters import Kind

AUDIO_TYPES = frozenset({"audio/wav", "audio/wave", "audio/mpeg", "audio/mp3"})

LARGEST_JSON = 64 * 1024 * 1024


@define
class BodyRules:
    """What happens to the bytes of media: ``keep`` on disk, ``hashed`` with SHA-256."""

    directory: Path
    keep: bool
    hashed: bool


class Submissions:
    """Handles the calls. ``faults_of`` names the faults that the next accepted job is to have."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        conversations: Conversations,
        processing: Processing,
        management: Management,
        pulse: Pulse,
        bodies: BodyRules,
        log: Log,
        faults_of: Callable[[web.Request], frozenset[str]],
    ) -> None:
        self._jobs = jobs
        self._conversations = conversations
        self._processing = processing
        self._management = management
        self._pulse = pulse
        self._bodies = bodies
        self._log = log
        self._faults_of = faults_of

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one of the ten calls with 201 and the ids of its job (section 2)."""
        received = self._log.of(request)
        assert received is not None
        conversation = self._appended_to(received)
        _check_head(received, request)
        asked = submission_parameters.from_query(request)
        self._check(asked)
        if not self._jobs.enter():
            raise RefusedError(
                429,
                f"The account may have {self._jobs.limit} unfinished jobs at a time.",
                extra={"statusCode": 429},
            )
        try:
            material = await self._take_in(request, received, asked)
        finally:
            self._jobs.leave()
        return self._accept(request, received, conversation, material)

    def _appended_to(self, received: Received) -> Conversation | None:
        if received.conversation_id is None:
            return None
        conversation = self._conversations.get(received.conversation_id)
        if conversation is None:
            raise RefusedError(404, UNKNOWN)
        return conversation

    async def _take_in(
        self, request: web.Request, received: Received, asked: dict[str, JSON]
    ) -> Material:
        if received.kind in ("audio", "video"):
            body = await self._take_file(request, received)
            return Material(received.kind, asked, body)
        fields = await self._take_json(request, received)
        received.body = fields
        if received.kind == "text":
            submission_parameters.check_messages(fields.get("messages"))
            try:
                first_instant(fields.get("messages"))
            except ValueError:
                raise RefusedError(400, '"startTime" and "endTime" must be ISO 8601.') from None
        else:
            submission_parameters.check_url(fields.get("url"))
        self._check(fields)
        return Material(received.kind, {**asked, **fields})

    def _check(self, asked: dict[str, JSON]) -> None:
        submission_parameters.check(asked)
        unknown = set(stored_trackers(asked)).difference(self._management.trackers)
        if unknown:
            raise RefusedError(400, f'"trackers" names unknown ones: {", ".join(sorted(unknown))}.')

    async def _take_json(self, request: web.Request, received: Received) -> dict[str, JSON]:
        pieces = []
        async for piece in request.content.iter_any():
            pieces.append(piece)
            received.size += len(piece)
            if received.size > LARGEST_JSON:
                raise RefusedError(413, "The body is larger than the server takes as JSON.")
        received.complete = True
        try:
            fields: JSON = json.loads(b"".join(pieces))
        except ValueError:
            raise RefusedError(400, "The body is not JSON.") from None
        if not isinstance(fields, dict):
            raise RefusedError(400, "The body must be a JSON object.")
        return fields

    async def _take_file(self, request: web.Request, received: Received) -> Body:
        rules = self._bodies
        body = Body(rules.directory, keep=rules.keep, hashed=rules.hashed)
        try:
            async for piece in request.content.iter_any():
                await body.add(piece)
                received.size = body.size
                if body.size >= 8:
                    _check_container(received.kind, body)
                self._pulse.ring()
            _check_container(received.kind, body)
            await body.finish()
        except BaseException:
            body.close()
            raise
        received.complete = True
        received.sha256 = body.sha256
        return body

    def _accept(
        self,
        request: web.Request,
        received: Received,
        conversation: Conversation | None,
        material: Material,
    ) -> web.Response:
        if conversation is None:
            conversation = self._opened(material)
            received.conversation_id = conversation.id
        received.parameters = material.parameters
        hook = material.parameters.get("webhookUrl")
        target = conversation
        job = Job(
            conversation_id=conversation.id,
            work=lambda job_id: self._processing.process(target, material, job_id),
            webhook_url=hook if isinstance(hook, str) and hook else None,
            faults=self._faults_of(request),
        )
        received.job_id = job.id
        if features := _features(material):
            conversation.features, conversation.features_job = features, job
        self._jobs.add(job)
        return answer({"conversationId": conversation.id, "jobId": job.id}, 201)

    def _opened(self, material: Material) -> Conversation:
        name = material.parameters.get("name")
        conversation = self._conversations.create(name if isinstance(name, str) else None)
        if material.kind == "text":
            start = first_instant(material.parameters.get("messages"))
            conversation.started_at = start or conversation.started_at
        return conversation


def _features(material: Material) -> tuple[str, ...]:
    asked = material.parameters.get("features")
    listed = asked.get("featureList") if isinstance(asked, dict) else None
    return tuple(map(str, listed)) if isinstance(listed, list) else ()


def _check_head(received: Received, request: web.Request) -> None:
    given = request.headers.get("Content-Type")
    kind: Kind = received.kind
    if kind == "audio":
        if given is not None and request.content_type not in AUDIO_TYPES:
            raise RefusedError(
                400,
                f'"Content-Type" must be one of {", ".join(sorted(AUDIO_TYPES))}, '
                "or be left out for any other format.",
            )
    elif kind == "video":
        if given is None or request.content_type != "video/mp4":
            raise RefusedError(400, '"Content-Type" must be video/mp4.')
    elif given is None or request.content_type != "application/json":
        raise RefusedError(400, '"Content-Type" must be application/json.')
    if kind in ("audio", "video"):
        if request.content_length is None:
            raise RefusedError(411, '"Content-Length" is required.')
        if request.content_length == 0:
            raise RefusedError(400, "The body is empty.")


def _check_container(kind: Kind, body: Body) -> None:
    if kind == "video" and body.head[4:8] != b"ftyp":
        raise RefusedError(400, "The body is not an mp4.")
