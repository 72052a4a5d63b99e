"""Processing of a submission into the utterances of its conversation.

The transcript comes from the first of these: one registered for the upload, speech
recognition if it is on, or one placeholder message that nothing was transcribed. The
server invents no word.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from datetime import timedelta, timezone
from pathlib import Path
from urllib.parse import unquote, urlsplit

from attrs import evolve, frozen

from symbl_aio.server.accepted_submission import SubmissionPayload
from symbl_aio.server.conversations.conversation import Conversation, Settings
from symbl_aio.server.conversations.registry import Conversations
from symbl_aio.server.field_rules import texts_of
from symbl_aio.server.http_json import JSON, ApiError
from symbl_aio.server.job import Job
from symbl_aio.server.job_queue import ProcessingError, Publish
from symbl_aio.server.language.analysis_values import CustomEntity, Tracker, Utterance
from symbl_aio.server.management.handlers import ManagementHandlers
from symbl_aio.server.media.probe import MediaError, MediaInfo, probe
from symbl_aio.server.outbound_http import OutboundClient, OutboundError
from symbl_aio.server.recognition_parameters import (
    RecognitionParameters,
    check_recognition,
)
from symbl_aio.server.recognition_pool import RecognitionPool
from symbl_aio.server.recognizer import RecognitionError, Wanted
from symbl_aio.server.spooled_body import SpooledBody
from symbl_aio.server.storage.changes import JobEnded
from symbl_aio.server.storage.store import StorageError
from symbl_aio.server.submission_parameters import MAX_VOCABULARY
from symbl_aio.server.text_messages import text_utterances
from symbl_aio.server.thread_pool import run_in_thread
from symbl_aio.server.transcript_registry import Line, TranscriptRegistry, assign_times
from symbl_aio.server.upload_space import UploadSpace

logger = logging.getLogger("symbl_aio.server")


# The longest file, according to the FAQ of the API: four hours.
_MAX_SECONDS = 4 * 3600.0

# Formats with one length for one track. An mp3 or an ogg may be several files in a row, each with
# a length of its own, and the tracks of an mp4 differ.
_ONE_LENGTH = ("wav", "flac", "aiff")

# More messages are read in a thread, so that other callers need not wait for them.
_MAX_INLINE_MESSAGES = 500

# Characters of a conversation: as many as one text submission may have. A reader needs all of it.
_MAX_TEXT = 8 * 1024**2
# Characters that a shorter message counts for: each takes a kilobyte.
_LEAST_TEXT = 50

# The parameters that change what is found in a conversation.
_SETTINGS = (
    "confidenceThreshold",
    "detectPhrases",
    "detectEntities",
    "enableSummary",
    "entities",
    "customEntities",
    "trackers",
)

_PLACEHOLDER = (
    "[{what} received, not transcribed: this server recognises speech "
    "if it is started with recognition on and has the extra, "
    "pip install '.[asr]' in a checkout of symbl-aio]"
)


@frozen
class _Transcription:
    """Transcribed lines and the duration, in seconds from the start of the recording.

    ``notice``: the lines are a message of the server itself, not speech. ``language``: that of
    recognised speech.
    """

    lines: tuple[Line, ...]
    duration: float = 0.0
    notice: bool = False
    language: str | None = None


class SubmissionProcessor:
    """Turns submissions into utterances.

    ``recognizer`` None: no speech is recognised. ``probe_media`` False: headers are not read,
    so any bytes pass as a recording.
    """

    def __init__(
        self,
        *,
        conversations: Conversations,
        transcripts: TranscriptRegistry,
        outbound: OutboundClient,
        space: UploadSpace,
        probe_media: bool,
        recognizer: RecognitionPool | None,
        management: ManagementHandlers,
    ) -> None:
        self._conversations = conversations
        self._transcripts = transcripts
        self._outbound = outbound
        self._space = space
        self._probe_media = probe_media
        self._recognizer = recognizer
        self._management = management

    def check_recognition(self, parameters: Mapping[str, JSON]) -> None:
        """Raise a 400 ``ApiError`` for parameters that need more than this server recognises."""
        # Without recognition a test double takes everything: its transcripts are registered.
        if self._recognizer is not None:
            check_recognition(parameters, english_only=self._recognizer.english_only)

    async def process(self, job: Job, payload: SubmissionPayload) -> Publish:
        """Process a submission and return the function that publishes the result.

        Raises ProcessingError.
        """
        transcription = None if payload.kind == "text" else await self._transcribe(payload, job.id)

        async def publish(end: JobEnded) -> None:
            async with self._conversations.change(job.conversation_id, end) as conversation:
                await self._publish(conversation, payload, transcription)
                _check_size(conversation)

        return publish

    async def _publish(
        self,
        conversation: Conversation,
        payload: SubmissionPayload,
        transcription: _Transcription | None,
    ) -> None:
        # Read at publication: an earlier job may have extended the conversation.
        start = conversation.duration
        if transcription is None:
            messages = payload.parameters.get("messages")
            if isinstance(messages, list) and len(messages) > _MAX_INLINE_MESSAGES:
                utterances = await self._conversations.threads.run(
                    text_utterances, conversation, messages
                )
            else:
                utterances = text_utterances(conversation, messages)
        else:
            utterances = [
                Utterance(
                    line.text, conversation.get_or_add_speaker(line.speaker, line.email), begin, end
                )
                for line, begin, end in assign_times(transcription.lines, start)
            ]
        if transcription is not None and transcription.notice:
            # The server's own words must not become topics or insights.
            conversation.notices.update(line.text for line in transcription.lines)
        end = start + (transcription.duration if transcription else 0.0)
        if isinstance(name := payload.parameters.get("name"), str):
            conversation.name = name
        if (zone := callers_zone(payload.parameters)) is not None:
            conversation.set_zone(zone)
        settings = merge_settings(conversation.settings, payload.parameters)
        conversation.publish(
            utterances, end, add_stored(settings, payload.parameters, self._management)
        )

    async def _transcribe(self, payload: SubmissionPayload, job_id: str) -> _Transcription:
        """Transcribe media by a registered transcript, by recognition, or by a placeholder."""
        lines = self._registered_transcript(payload)
        if lines is None and payload.url is not None:
            payload.body = await self._download(payload.url)
            lines = self._registered_transcript(payload)
        if lines is not None:
            logger.info("job %s: %s, by the transcript registered for it", job_id, payload)
            return _Transcription(lines)
        path = payload.body.path if payload.body is not None else None
        if payload.body is not None and path is not None and self._probe_media:
            payload.media_info = await _probe_file(
                path, payload.body.size, video=payload.kind.startswith("video")
            )
        if path is not None and self._recognizer is not None:
            logger.info("job %s: %s, by speech recognition", job_id, payload)
            transcription = await _recognise(self._recognizer, path, payload, owner=self)
            if transcription.language is not None:
                logger.info("job %s: the language is %s", job_id, transcription.language)
            return transcription
        logger.info("job %s: %s, not transcribed", job_id, payload)
        duration = (payload.media_info and payload.media_info.duration) or 0.0
        line = Line(_PLACEHOLDER.format(what=payload), None, 0.0, 0.0)
        return _Transcription((line,), duration, notice=True)

    def _registered_transcript(self, payload: SubmissionPayload) -> tuple[Line, ...] | None:
        """Return the transcript registered by name, by content, or as the default."""
        name = payload.parameters.get("name")
        # A link is identified by its name; it is not downloaded before that.
        link = payload.url and unquote(urlsplit(payload.url).path.rpartition("/")[2])
        found = self._transcripts.by_name(name if isinstance(name, str) else None, link)
        if found is None and payload.body is not None:
            found = self._transcripts.by_hash(payload.body.sha256)
        return self._transcripts.default if found is None else found

    async def _download(self, url: str) -> SpooledBody:
        body = SpooledBody(self._space.directory, keep=True, hashed=True)
        try:
            with self._space.granted(body, None):
                await self._outbound.download(url, body, lambda: self._space.extend(body))
        except (OutboundError, ApiError, StorageError) as error:
            body.close()
            raise ProcessingError(str(error)) from error
        except BaseException:
            body.close()
            raise
        return body


def _probe_whole(path: Path, size: int) -> MediaInfo:
    """Read the headers of a file. Raises MediaError, also for a file that lost some bytes."""
    # A server before this one may have received it, and its disk may have failed since then.
    found = path.stat().st_size if path.exists() else 0
    if found != size:
        raise MediaError(f"its recording in the data directory has {found} of {size} bytes")
    return probe(path)


async def _probe_file(path: Path, size: int, *, video: bool) -> MediaInfo:
    """Read the headers of a file. Raises ProcessingError for media that the API refuses."""
    try:
        media_info = await run_in_thread(_probe_whole, path, size)
    except MediaError as error:
        raise ProcessingError(str(error)) from error
    if video and media_info.container not in ("mp4", "m4a", "mov"):
        raise ProcessingError(f"{media_info.container} is no video; only mp4 is")
    if not media_info.has_audio:
        raise ProcessingError("there is no audio track")
    # An estimate may be wrong by hours; recognition counts the seconds that it decodes.
    if (stated := media_info.stated_duration) is not None and stated > _MAX_SECONDS:
        raise ProcessingError(f"{stated:.0f} s is longer than the 4 hours allowed")
    return media_info


async def _recognise(
    recognizer: RecognitionPool, path: Path, payload: SubmissionPayload, *, owner: Hashable
) -> _Transcription:
    parameters = RecognitionParameters.of(payload.parameters)
    media_info, stated = payload.media_info, None
    if media_info is not None and media_info.container in _ONE_LENGTH:
        stated = media_info.stated_duration
    try:
        transcript = await recognizer.transcribe(
            path,
            Wanted(parameters.language, parameters.separate_channels, stated),
            seconds=media_info.duration if media_info is not None else None,
            size=payload.body.size if payload.body is not None else 0,
            owner=owner,
        )
    except RecognitionError as error:
        raise ProcessingError(str(error)) from error
    lines = []
    for number, utterances in enumerate(transcript.channels, 1):
        speaker = parameters.speaker_of(number)
        lines += [
            Line(said.text, speaker.name, said.start, said.end, speaker.email)
            for said in utterances
        ]
    lines.sort(key=lambda line: line.start or 0.0)
    return _Transcription(tuple(lines), transcript.duration, language=transcript.language)


def _check_size(conversation: Conversation) -> None:
    """Raise a ``ProcessingError`` for a conversation that has grown too long."""
    texts = (len(utterance.text) for utterance in conversation.utterances)
    if sum(size if size > _LEAST_TEXT else _LEAST_TEXT for size in texts) > _MAX_TEXT:
        raise ProcessingError(
            f"the conversation would have more than {_MAX_TEXT:,} characters, "
            f"{_LEAST_TEXT} at least in each message; begin another one"
        )
    if (reason := conversation.too_many_speakers()) is not None:
        raise ProcessingError(f"{reason}; begin another conversation")
    if conversation.settings.vocabulary_size > MAX_VOCABULARY:
        raise ProcessingError("the conversation would have too many trackers and entities")


def callers_zone(parameters: Mapping[str, JSON]) -> timezone | None:
    """Return the zone of ``timezoneOffset``, None without one."""
    offset = parameters.get("timezoneOffset")
    return timezone(timedelta(minutes=offset)) if isinstance(offset, int) else None


def merge_settings(before: Settings, parameters: Mapping[str, JSON]) -> Settings:
    """Return the settings of the conversation with the parameters of one more submission."""
    # Nothing else is read below: a setting that is missing in the list has no effect at all.
    parameters = {name: parameters[name] for name in _SETTINGS if name in parameters}
    if not parameters:
        return before
    threshold = parameters.get("confidenceThreshold")
    entities = [
        CustomEntity(str(e["customType"]), str(e["text"]), _text(e.get("value")))
        for key in ("entities", "customEntities")
        for e in _dicts(parameters.get(key))
    ]
    trackers = [
        Tracker(
            str(t["name"]),
            tuple(map(str, vocabulary)),
            _text(t.get("id")),
            texts_of(t.get("excludeVocabulary")),
        )
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


def add_stored(
    settings: Settings, parameters: Mapping[str, JSON], management: ManagementHandlers
) -> Settings:
    """Add the trackers and entities stored now; later changes have no effect on the result."""
    every, named = parameters.get("enableAllTrackers") is True, stored_tracker_ids(parameters)
    # Most submissions name none, and all stored ones are built anew.
    stored = management.trackers if every or named else {}
    trackers = [stored[tracker_id] for tracker_id in named if tracker_id in stored]
    trackers += stored.values() if every else ()
    entities = management.entities if settings.detect_entities else ()
    if not (trackers or entities):
        return settings
    return evolve(
        settings,
        trackers=tuple(dict.fromkeys((*settings.trackers, *trackers))),
        custom_entities=tuple(dict.fromkeys((*settings.custom_entities, *entities))),
    )


def stored_tracker_ids(parameters: Mapping[str, JSON]) -> list[str]:
    """Return the ids of stored trackers that a submission refers to."""
    return [
        str(item["id"])
        for item in _dicts(parameters.get("trackers"))
        if "vocabulary" not in item and item.get("id") is not None
    ]


def _dicts(value: JSON) -> list[dict[str, JSON]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: JSON) -> str | None:
    return value if isinstance(value, str) else None
