"""What is done with media: from a submission to what was said in it.

In this order: a transcript registered for it; recognition, when there is any; else one
message which says that nothing was transcribed. Never an invented word.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from attrs import define, evolve, field, frozen

from symbl_aio.server.conversations.conversation import Conversation, Settings
from symbl_aio.server.http_json import JSON, read_instant
from symbl_aio.server.jobs import ProcessingError, Publish
from symbl_aio.server.language.pipeline import CustomEntity, Speaker, Tracker, Utterance
from symbl_aio.server.management.handlers import Management
from symbl_aio.server.media.probe import MediaError, MediaInfo, probe
from symbl_aio.server.outbound_http import Outbound, OutboundError
from symbl_aio.server.speech_recognition import RecognitionError, Recognizer
from symbl_aio.server.spooled_body import Body
from symbl_aio.server.submission_parameters import Kind
from symbl_aio.server.thread_pool import in_thread
from symbl_aio.server.transcript_registry import Line, Transcripts, timed

logger = logging.getLogger("symbl_aio.server")


# "Longest file" in the FAQ of the API.
_LONGEST = 4 * 3600.0

_PLACEHOLDER = (
    "[{what} received, not transcribed: this server recognises speech "
    "if it is started with recognition on and has the extra, "
    "pip install '.[asr]' in a checkout of symbl-aio]"
)


@define(eq=False)
class Material:
    """What one accepted submission brought: its parameters, and a body of bytes or JSON."""

    kind: Kind
    parameters: dict[str, JSON] = field(repr=False)
    body: Body | None = None
    info: MediaInfo | None = None

    @property
    def url(self) -> str | None:
        url = self.parameters.get("url")
        return url if isinstance(url, str) and self.kind.endswith("/url") else None

    def __str__(self) -> str:
        if self.info is not None and self.info.duration is not None:
            return f"{self.info.duration:.1f} s of {self.info.container}"
        form = self.info.container if self.info else self.kind.partition("/")[0]
        return form if self.body is None else f"{self.body.size} bytes of {form}"


@frozen
class _Heard:
    """Lines and their length, in seconds from the start of the recording.

    ``notice``: they are the server's own words.
    """

    lines: tuple[Line, ...]
    duration: float = 0.0
    notice: bool = False


class Processing:
    """Turns material into utterances of a conversation.

    ``recognizer`` None: nothing is recognised. ``probe_media`` False: nothing is looked
    into, so that any bytes pass for a recording.
    """

    def __init__(
        self,
        *,
        transcripts: Transcripts,
        outbound: Outbound,
        directory: Path,
        probe_media: bool,
        recognizer: Recognizer | None,
        management: Management,
    ) -> None:
        self._transcripts = transcripts
        self._outbound = outbound
        self._directory = directory
        self._probe_media = probe_media
        self._recognizer = recognizer
        self._management = management

    async def process(self, conversation: Conversation, material: Material, job_id: str) -> Publish:
        """Process; what this gives publishes the result. Raises ProcessingError."""
        try:
            heard = None if material.kind == "text" else await self._hear(material, job_id)
        finally:
            if material.body is not None:
                material.body.close()

        def publish() -> None:
            start = conversation.duration
            if heard is None:
                said = typed(conversation, material.parameters.get("messages"))
            else:
                said = [
                    Utterance(line.text, conversation.speaker(line.speaker, None), begin, end)
                    for line, begin, end in timed(heard.lines, start)
                ]
            if heard is not None and heard.notice:
                conversation.notices.update(line.text for line in heard.lines)
            end = start + (heard.duration if heard else 0.0)
            asked = extended(conversation.settings, material.parameters)
            conversation.publish(said, end, self._with_stored(asked, material.parameters))

        return publish

    def _with_stored(self, asked: Settings, parameters: dict[str, JSON]) -> Settings:
        """Add what the account has stored, as it is now: later changes do not reach back."""
        stored = self._management.trackers
        wanted = stored.keys() if parameters.get("enableAllTrackers") is True else ()
        named = [identity for identity in stored_trackers(parameters) if identity in stored]
        trackers = [stored[identity] for identity in (*named, *wanted)]
        entities = self._management.entities if asked.detect_entities else ()
        return evolve(
            asked,
            trackers=tuple(dict.fromkeys((*asked.trackers, *trackers))),
            custom_entities=tuple(dict.fromkeys((*asked.custom_entities, *entities))),
        )

    async def _hear(self, material: Material, job_id: str) -> _Heard:
        lines = self._registered(material)
        if lines is None and material.url is not None:
            material.body = await self._fetched(material.url)
            lines = self._registered(material)
        if lines is not None:
            logger.info("job %s: %s, by the transcript registered for it", job_id, material)
            return _Heard(lines)
        path = material.body.path if material.body is not None else None
        if path is not None and self._probe_media:
            material.info = await _probed(path, video=material.kind.startswith("video"))
        if path is not None and self._recognizer is not None:
            logger.info("job %s: %s, by speech recognition", job_id, material)
            return await _recognised(self._recognizer, path)
        logger.info("job %s: %s, not transcribed", job_id, material)
        duration = (material.info and material.info.duration) or 0.0
        line = Line(_PLACEHOLDER.format(what=material), None, 0.0, 0.0)
        return _Heard((line,), duration, notice=True)

    def _registered(self, material: Material) -> tuple[Line, ...] | None:
        """By name, by content, or for all; a link is not followed to find out what it is."""
        name = material.parameters.get("name")
        link = material.url and unquote(urlsplit(material.url).path.rpartition("/")[2])
        found = self._transcripts.named(name if isinstance(name, str) else None, link)
        if found is None and material.body is not None:
            found = self._transcripts.hashed(material.body.sha256)
        return self._transcripts.default if found is None else found

    async def _fetched(self, url: str) -> Body:
        body = Body(self._directory, keep=True, hashed=True)
        try:
            await self._outbound.fetch(url, body)
        except OutboundError as error:
            body.close()
            raise ProcessingError(str(error)) from error
        except BaseException:
            body.close()
            raise
        return body


async def _probed(path: Path, *, video: bool) -> MediaInfo:
    try:
        info = await in_thread(probe, path)
    except MediaError as error:
        raise ProcessingError(str(error)) from error
    if video and info.container not in ("mp4", "m4a", "mov"):
        raise ProcessingError(f"{info.container} is no video; only mp4 is")
    if not info.has_audio:
        raise ProcessingError("there is no audio track")
    if info.duration is not None and info.duration > _LONGEST:
        raise ProcessingError(f"{info.duration:.0f} s is longer than the 4 hours allowed")
    return info


async def _recognised(recognizer: Recognizer, path: Path) -> _Heard:
    try:
        transcript = await recognizer.transcribe(path)
    except RecognitionError as error:
        raise ProcessingError(str(error)) from error
    lines = tuple(Line(said.text, None, said.start, said.end) for said in transcript.utterances)
    return _Heard(lines, transcript.duration)


def typed(conversation: Conversation, messages: JSON) -> list[Utterance]:
    """The utterances of a text submission; what has no times follows what was before it."""
    lines = []
    speakers: list[Speaker | None] = []
    for item in messages if isinstance(messages, list) else []:
        assert isinstance(item, dict)
        payload, sender, times = (item.get(k) or {} for k in ("payload", "from", "duration"))
        assert isinstance(payload, dict)
        assert isinstance(sender, dict)
        assert isinstance(times, dict)
        start, end = (_offset(conversation, times.get(k)) for k in ("startTime", "endTime"))
        lines.append(Line(str(payload["content"]), None, start, end))
        name, user_id = sender.get("name"), sender.get("userId")
        speakers.append(
            conversation.speaker(str(name) if name else None, str(user_id) if user_id else None)
        )
    return [
        Utterance(line.text, who, start, max(start, end))
        for (line, start, end), who in zip(
            timed(lines, conversation.duration), speakers, strict=True
        )
    ]


def first_instant(messages: JSON) -> datetime | None:
    """The earliest ``startTime`` of a text submission. Raises ValueError for bad ISO 8601."""
    found = []
    for item in messages if isinstance(messages, list) else []:
        times = item.get("duration") if isinstance(item, dict) else None
        for key in ("endTime", "startTime"):
            text = times.get(key) if isinstance(times, dict) else None
            if isinstance(text, str):
                found.append(read_instant(text))
    return min(found, default=None)


def _offset(conversation: Conversation, text: JSON) -> float | None:
    """Seconds from now-appended material to an instant; nothing is before the beginning."""
    if not isinstance(text, str):
        return None
    at = (read_instant(text) - conversation.started_at).total_seconds()
    return max(0.0, at) - conversation.duration


def extended(before: Settings, parameters: dict[str, JSON]) -> Settings:
    """What is to be looked for, with the parameters of one more submission."""
    threshold = parameters.get("confidenceThreshold")
    entities = [
        CustomEntity(str(e["customType"]), str(e["text"]), _text(e.get("value")))
        for key in ("entities", "customEntities")
        for e in _dicts(parameters.get(key))
    ]
    trackers = [
        Tracker(str(t["name"]), tuple(map(str, vocabulary)), _text(t.get("id")))
        for t in _dicts(parameters.get("trackers"))
        if isinstance(vocabulary := t.get("vocabulary"), list)
    ]
    return Settings(
        confidence_threshold=threshold
        if isinstance(threshold, int | float)
        else before.confidence_threshold,
        detect_phrases=before.detect_phrases or parameters.get("detectPhrases") is True,
        detect_entities=before.detect_entities or parameters.get("detectEntities") is True,
        summary=before.summary or parameters.get("enableSummary") is True,
        custom_entities=tuple(dict.fromkeys((*before.custom_entities, *entities))),
        trackers=tuple(dict.fromkeys((*before.trackers, *trackers))),
    )


def stored_trackers(parameters: Mapping[str, JSON]) -> list[str]:
    """The ids of the account's trackers that a submission names."""
    return [
        str(item["id"])
        for item in _dicts(parameters.get("trackers"))
        if "vocabulary" not in item and item.get("id") is not None
    ]


def _dicts(value: JSON) -> list[dict[str, JSON]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: JSON) -> str | None:
    return value if isinstance(value, str) else None
