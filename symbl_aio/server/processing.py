"""What is done with media: from a submission to what was said in it.

In this order: a transcript registered for it; recognition, when there is any; else one
message which says that nothing was transcribed. Never an invented word.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from attrs import define

from symbl_aio.server.bodies import Body
from symbl_aio.server.conversations import Conversation, Settings
from symbl_aio.server.insights import CustomEntity, Speaker, Tracker, Utterance
from symbl_aio.server.jobs import ProcessingError, Publish
from symbl_aio.server.outbound import Outbound, OutboundError
from symbl_aio.server.parameters import Kind
from symbl_aio.server.transcripts import Line, Transcripts, timed
from symbl_aio.server.wire import JSON, read_instant

logger = logging.getLogger("symbl_aio.server")


@define(eq=False)
class Material:
    """What one accepted submission brought: its parameters, and a body of bytes or JSON."""

    kind: Kind
    parameters: dict[str, JSON]
    body: Body | None = None

    @property
    def url(self) -> str | None:
        url = self.parameters.get("url")
        return url if isinstance(url, str) and self.kind.endswith("/url") else None


class Processing:
    """Turns material into utterances of a conversation."""

    def __init__(
        self,
        *,
        transcripts: Transcripts,
        outbound: Outbound,
        directory: Path,
        probe_media: bool,
    ) -> None:
        self._transcripts = transcripts
        self._outbound = outbound
        self._directory = directory
        self._probe_media = probe_media

    async def process(self, conversation: Conversation, material: Material) -> Publish:
        """Process; what this gives publishes the result. Raises ProcessingError."""
        try:
            if material.kind == "text":
                said, end = _typed(conversation, material.parameters.get("messages"))
            else:
                said, end = await self._spoken(conversation, material)
        finally:
            if material.body is not None:
                material.body.close()
        asked = settings(conversation.settings, material.parameters)
        return lambda: conversation.publish(said, end, asked)

    async def _spoken(
        self, conversation: Conversation, material: Material
    ) -> tuple[list[Utterance], float]:
        name = material.parameters.get("name")
        known = self._transcripts.named(
            name if isinstance(name, str) else None,
            unquote(urlsplit(material.url).path.rpartition("/")[2]) if material.url else None,
        )
        if known is None and material.url:
            if self._transcripts.default is None:
                material.body = await self._fetched(material.url)
            else:
                known = self._transcripts.default
        body = material.body
        if known is None and body is not None:
            known = self._transcripts.hashed(body.sha256)
        if known is None:
            known = self._transcripts.default
        if known is not None:
            logger.info("%s: transcript registered for it", _describe(material))
            return _utterances(conversation, known)
        logger.info("%s: not transcribed", _describe(material))
        return _utterances(
            conversation,
            [Line(f"[{_describe(material)} received; not transcribed: no speech recognition]")],
        )

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


def _describe(material: Material) -> str:
    size = "" if material.body is None else f"{material.body.size} bytes of "
    return f"{size}{material.kind.partition('/')[0]}"


def _utterances(conversation: Conversation, lines: Sequence[Line]) -> tuple[list[Utterance], float]:
    said = [
        Utterance(line.text, conversation.speaker(line.speaker, None), start, end)
        for line, start, end in timed(lines, conversation.duration)
    ]
    return said, max((u.end for u in said), default=conversation.duration)


def _typed(conversation: Conversation, messages: JSON) -> tuple[list[Utterance], float]:
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
    said = [
        Utterance(line.text, who, start, max(start, end))
        for (line, start, end), who in zip(
            timed(lines, conversation.duration), speakers, strict=True
        )
    ]
    return said, max((u.end for u in said), default=0.0)


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


def settings(before: Settings, parameters: dict[str, JSON]) -> Settings:
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
        custom_entities=tuple(dict.fromkeys((*before.custom_entities, *entities))),
        trackers=tuple(dict.fromkeys((*before.trackers, *trackers))),
    )


def _dicts(value: JSON) -> list[dict[str, JSON]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: JSON) -> str | None:
    return value if isinstance(value, str) else None
