"""Phone calls. API section 9.

The server dials no number. A call plays the transcript or the recording that is registered for
its number or SIP URI; without one it is silent, and its listeners are sent a frame with the reason.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiohttp import web
from attrs import define

from symbl_aio.server import submission_parameters
from symbl_aio.server.conversations.registry import Conversations
from symbl_aio.server.http_json import JSON, ApiError, json_response, now, require_object
from symbl_aio.server.language.analysis_values import Speaker
from symbl_aio.server.live import server_frames
from symbl_aio.server.live.client_frames import (
    EMPTY,
    INSIGHT_TYPES,
    StartRequest,
    read_insight_types,
)
from symbl_aio.server.live.paths import EVENT_PATH, EVENTS_PATH
from symbl_aio.server.live.playback import Playback
from symbl_aio.server.live.session import LiveSession, Turn
from symbl_aio.server.live.sessions import LiveSessions
from symbl_aio.server.proxy_headers import ORIGINS
from symbl_aio.server.recognition_parameters import RecognitionParameters, check_recognition
from symbl_aio.server.recognition_pool import RecognitionPool
from symbl_aio.server.recognizer import RecognitionError, Wanted
from symbl_aio.server.request_body import read_json_object
from symbl_aio.server.storage.store import StorageError
from symbl_aio.server.transcript_registry import Line, RegisteredStream, TranscriptRegistry

logger = logging.getLogger("symbl_aio.server")

# As documented, a call ends after half an hour of silence.
_SILENCE = 1800.0
_TICK = 0.4
_PHONE_NUMBER = re.compile(r"\+?[\d ().-]+")
_SILENT = (
    "This server makes no calls, and has nothing to play for {number}: the call is silent. {why}"
)
# What is called, and how; the other fields are options.
_ROUTING = ("operation", "endpoint", "type", "phoneNumber", "uri", "connectionId", "data")
_EVENT_TYPES = ("started_speaking", "stopped_speaking", "joined", "left", "stopped")


@define(eq=False)
class _Call:
    """A call that has not ended. ``emails``: those that the caller wants a summary for."""

    session: LiveSession
    turn: Turn
    number: str
    summary_url: str
    emails: tuple[str, ...]
    stopped: asyncio.Event
    played: asyncio.Task[None] | None = None


class CallHandlers:
    """Handles the calls of one application. ``most_calls``: those that have not ended.

    ``recognizer``: for recordings of calls; None: no speech is recognised.
    """

    def __init__(
        self,
        sessions: LiveSessions,
        conversations: Conversations,
        transcripts: TranscriptRegistry,
        *,
        page_url: Callable[[web.Request, str], str],
        most_calls: int,
        recognizer: RecognitionPool | None,
    ) -> None:
        self._sessions = sessions
        self._conversations = conversations
        self._transcripts = transcripts
        self._page_url = page_url
        self._most_calls = most_calls
        self._recognizer = recognizer
        self._calls: dict[str, _Call] = {}
        self._starting = 0

    async def handle_event(self, connection_id: str, event: Mapping[str, JSON]) -> None:
        """Apply a speaker event to a call. Raises a 400 or 404 ``ApiError``."""
        kind, user = event.get("type"), require_object(event.get("user"), '"user"')
        if kind not in _EVENT_TYPES:
            raise ApiError(400, f'"type" must be one of {", ".join(_EVENT_TYPES)}.')
        session = self._sessions.find(connection_id)
        if session is None:
            raise ApiError(404, "The connection is unknown, or it has ended.")
        name, email = (v if isinstance(v := user.get(k), str) else None for k in ("name", "userId"))
        async with self._conversations.change(session.conversation_id) as draft:
            speaker = draft.get_or_add_speaker(name, email)
        person = server_frames.person(speaker)
        if kind == "started_speaking":
            session.current_user = person
        elif kind != "joined" and session.current_user == person:
            session.current_user = {}

    async def connect(self, request: web.Request) -> web.Response:
        """Handle ``POST /v1/endpoint:connect``: start or stop a call."""
        fields = await read_json_object(request)
        match fields.get("operation"):
            case "start":
                call = await self._start(request, fields)
                return json_response(_description(request, call))
            case "stop":
                call = await self._stop(str(fields.get("connectionId")))
                summary = await self._summary_info(call)
                return json_response({**_description(request, call), "summaryInfo": summary})
        raise ApiError(400, '"operation" must be "start" or "stop".')

    async def event(self, request: web.Request) -> web.Response:
        """Handle ``POST /v1/event/{connectionId}``."""
        event = await read_json_object(request)
        await self.handle_event(request.match_info["connection_id"], event)
        return json_response({"message": "The event was taken."})

    async def _start(self, request: web.Request, fields: Mapping[str, JSON]) -> _Call:
        number = _number_of(fields)
        options = {**fields, **_nested(fields, "endpoint")}
        self._sessions.unknown_options.name(
            {k: v for k, v in options.items() if k not in _ROUTING and v not in EMPTY}
        )
        if len(self._calls) + self._starting >= self._most_calls:
            raise ApiError(429, f"The application may have {self._most_calls} calls.")
        location = _nested(fields, "data", "session")
        title = location.get("name")
        zone = fields.get("timezone") or _nested(location, "location", "timeZone").get("name")
        kinds = fields.get("insightTypes")
        parameters = submission_parameters.read({"languageCode": _first_language(fields)})
        if self._recognizer is not None and self._transcripts.recording(number) is not None:
            check_recognition(parameters, english_only=self._recognizer.english_only)
        request_of_call = StartRequest(
            insight_types=INSIGHT_TYPES if kinds is None else read_insight_types(kinds),
            parameters={**parameters, **(_zone_offset(zone) if isinstance(zone, str) else {})},
        )
        registered = self._transcripts.by_number(number)
        # Counted before the first await: many may be asked for at the same moment.
        self._starting += 1
        try:
            session = await self._sessions.start(
                str(uuid.uuid4()),
                title if isinstance(title, str) else None,
                None if registered is None else Playback(registered),
                is_call=True,
                intents=bool(fields.get("intents")),
            )
            page_url = self._page_url(request, session.conversation_id)
            try:
                turn = await session.begin(request_of_call)
            except BaseException:
                # Its caller gets no id with which it could be stopped.
                self._sessions.end(session, page_url)
                raise
        finally:
            self._starting -= 1
        call = _Call(
            session,
            turn,
            number,
            page_url,
            tuple(_emails(fields.get("actions"))),
            asyncio.Event(),
        )
        self._calls[session.connection_id] = call
        call.played = self._sessions.tasks.spawn(self._run(call), name="call")
        return call

    async def _stop(self, connection_id: str) -> _Call:
        """End a call, and return it once its last frame was sent. Raises a 404 ``ApiError``."""
        call = self._calls.get(connection_id)
        if call is None:
            raise ApiError(404, "The connection is unknown, or it has ended.")
        call.stopped.set()
        assert call.played is not None
        await asyncio.wait({call.played})
        return call

    async def _run(self, call: _Call) -> None:
        """Play a call to its end, and complete its conversation."""
        try:
            await self._play(call)
        except (ApiError, StorageError) as error:
            logger.warning("call %s ended: %s", call.session.connection_id, error)
        finally:
            self._calls.pop(call.session.connection_id, None)
            call.session.end(call.turn)
            self._sessions.complete(call.session, call.summary_url)

    async def _play(self, call: _Call) -> None:
        session, playback = call.session, call.session.playback
        try:
            playback = playback or await self._recognise(call)
        except RecognitionError as error:
            text = _SILENT.format(number=call.number, why=error)
            logger.warning("call %s is silent: %s", session.connection_id, error)
            await _wait(_SILENCE, call.stopped, session.audience.joined)
            session.send(server_frames.envelope("call_silent", details=text))
        else:
            if not playback.paced:
                # The lines come at once, so a listener must be there first.
                await _wait(_SILENCE, call.stopped, session.audience.joined)
            loop = asyncio.get_running_loop()
            began = loop.time()
            while not playback.is_over and not call.stopped.is_set():
                for heard in playback.play(loop.time() - began):
                    await session.publish(call.turn, heard)
                await _wait(_TICK, call.stopped)
            for heard in playback.rest():
                await session.publish(call.turn, heard)
        await _wait(_SILENCE, call.stopped)

    async def _recognise(self, call: _Call) -> Playback:
        """Return the speech of the call's recording. Raises ``RecognitionError``."""
        recording = self._transcripts.recording(call.number)
        if recording is None:
            raise RecognitionError("register_transcript(…, number=…) adds a transcript.")
        if self._recognizer is None:
            raise RecognitionError("the server recognises no speech, and has a recording only.")
        wanted = Wanted(RecognitionParameters.of(call.turn.request.parameters).language)
        speech = await self._recognizer.transcribe(recording.path, wanted, seconds=None, size=0)
        lines = tuple(Line(said.text, None, said.start, said.end) for said in speech.utterances)
        return Playback(RegisteredStream(lines, recording.paced))

    async def _summary_info(self, call: _Call) -> list[JSON]:
        conversation = await self._conversations.get(call.session.conversation_id)
        members = list(conversation.members.values()) if conversation is not None else []
        known = {member.email for member in members}
        members += [Speaker(email, email, email) for email in call.emails if email not in known]
        # Clients require all four keys of a user.
        return [
            {
                "user": {
                    "id": member.id,
                    "userId": member.email or member.name or member.id,
                    "name": member.name or member.email or member.id,
                    "role": "participant",
                },
                "url": call.summary_url,
            }
            for member in members
        ]


async def _wait(seconds: float, *events: asyncio.Event) -> None:
    """Wait for the first of some events, or until some seconds have passed."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in waiting:
            future.cancel()


def _description(request: web.Request, call: _Call) -> dict[str, JSON]:
    origin = request.app[ORIGINS].origin(request)
    identity = call.session.connection_id
    return {
        "eventUrl": f"{origin}{EVENT_PATH}{identity}",
        "resultWebSocketUrl": f"{origin.replace('http', 'ws', 1)}{EVENTS_PATH}{identity}",
        "connectionId": identity,
        "conversationId": call.session.conversation_id,
    }


def _number_of(fields: Mapping[str, JSON]) -> str:
    """Return the phone number or SIP URI that is called. Raises a 400 ``ApiError``."""
    endpoint = require_object(fields.get("endpoint"), '"endpoint"')
    match endpoint:
        case {"type": "pstn", "phoneNumber": str(number)} if _PHONE_NUMBER.fullmatch(number):
            return number
        case {"type": "sip", "uri": str(uri)} if uri.lower().startswith(("sip:", "sips:")):
            return uri
    raise ApiError(
        400, '"endpoint" must be {type: "pstn", phoneNumber} or {type: "sip", uri: "sip:…"}.'
    )


def _nested(fields: Mapping[str, JSON], *names: str) -> Mapping[str, JSON]:
    """Return an object within objects; clients send null, or nothing, for an empty one."""
    for name in names:
        value = fields.get(name)
        fields = value if isinstance(value, dict) else {}
    return fields


def _first_language(fields: Mapping[str, JSON]) -> JSON:
    """Return the first of ``languages``, the only one that counts: a code, or an object with it."""
    languages = fields.get("languages")
    first = languages[0] if isinstance(languages, list) and languages else None
    return first.get("code") if isinstance(first, dict) else first


def _zone_offset(name: str) -> Mapping[str, JSON]:
    try:
        offset = now().astimezone(ZoneInfo(name)).utcoffset() or timedelta()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ApiError(400, f'"timezone" is "{name:.60}", which is no known zone.') from None
    return {"timezoneOffset": int(offset.total_seconds() // 60)}


def _emails(actions: JSON) -> list[str]:
    found = []
    for action in actions if isinstance(actions, list) else []:
        emails = _nested(action, "parameters").get("emails") if isinstance(action, dict) else None
        found += [e for e in emails if isinstance(e, str)] if isinstance(emails, list) else []
    return found
