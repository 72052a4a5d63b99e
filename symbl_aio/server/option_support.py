"""The effect of each parameter of a call: the server acts on it, refuses it, or may ignore it.

A parameter that is taken without an effect would be a lie: each has a row in
``docs/server-options.md``, with the reason why ignoring it does no harm. Where that depends on the
caller, the log names it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import frozen

from symbl_aio.server.http_json import JSON

logger = logging.getLogger("symbl_aio.server")

Effect: TypeAlias = Literal["acted on", "refused", "harmless", "logged"]


@frozen
class OptionEffect:
    """``note`` completes the row of the document: the effect, or the reason."""

    effect: Effect
    note: str


_ACTED_ON = {
    "name": "the name of the conversation, new or appended to",
    "messages": "the text of the conversation",
    "url": "the recording is downloaded, after the address is checked",
    "webhookUrl": "is called with each status of the job",
    "confidenceThreshold": "insights and topics with a lower score are left out",
    "detectPhrases": "messages have the phrases of their tasks",
    "detectEntities": "entities are found",
    "entities": "custom entities are found",
    "customEntities": "as `entities`",
    "trackers": "their phrases are found, and with the offset -1 their inflections",
    "enableAllTrackers": "all stored trackers are used",
    "enableSummary": "the summary grows with each append",
    "timezoneOffset": "due times are read in this zone",
    "languageCode": "recordings: passed to a multilingual model; other languages than English are "
    "refused with the packaged one",
    "enableSeparateRecognitionPerChannel": "recordings: each channel is recognised by itself, "
    "and has a speaker of its own",
    "channelMetadata": "recordings: names the speakers of the channels",
    "features": "`callScore` is answered without a score and with the reason; `insights` are found",
}
_ACTED_ON_IN_READS = {
    "verbose": "messages have their words",
    "sentiment": "messages and topics have a sentiment: good and bad words are counted",
    "parentRefs": "topics have their wider topics",
    "refresh": "the summary is chosen anew, or extended; topics always cover everything",
    "limit": "the length of a page",
    "offset": "the beginning of a page",
    "order": "by start, up or down",
    "startTime": "earlier conversations are left out",
    "endTime": "later conversations are left out",
    "filter": "conversations are chosen by RSQL",
    "subType": "entities of this kind are deleted",
    "name": "trackers: the one with this name",
    "redact": "what has a form, and names of speakers, is masked; a header says it is partial",
    "exclude": "with `redact`: these categories stay",
}
_HARMLESS = {
    "mode": "every sampling rate is read",
    "conversationType": "the rules are the same for sales and for others",
    "metadata": "describes a call to be scored, and no call is scored",
}
_ACTED_ON_IN_TRANSCRIPTS = {
    "contentType": "Markdown, or subtitles as SRT",
    "createParagraphs": "Markdown: the messages of a turn are one paragraph",
    "showSpeakerSeparation": "each line begins with its speaker",
    "phrases": "Markdown: its two flags, the rows `highlight…`",
    "highlightAllKeyPhrases": "the phrases of all messages and insights are marked",
    "highlightOnlyInsightKeyPhrases": "the phrases of insights are marked",
}
_ACTED_ON_IN_PAGES = {
    "name": "names what the page plays: nothing, a video or a recording",
    "videoUrl": "the page plays it",
    "audioUrl": "the page plays it",
    "readOnly": "true: speakers cannot be renamed on the page",
    "summaryURLExpiresIn": "the link ends after so many seconds",
}
_HARMLESS_IN_PAGES = {
    "logo": "the page has one look, and requests nothing from other hosts",
    "favicon": "as `logo`",
    "color": "as `logo`",
    "font": "as `logo`",
    "speakerAvatarURLs": "as `logo`",
}
_LOGGED_IN_PAGES = {
    "enableCustomDomain": "the link has the public address of the server",
    "disableSummaryURLAuthentication": "each link is signed, and opens one page",
}
_ACTED_ON_IN_MANAGEMENT = {
    "vocabulary": "trackers: phrases to be found, and their inflections",
    "excludeVocabulary": "trackers: phrases in which nothing is found",
    "criteria": "groups: conversations are chosen by RSQL",
    "values": "entities: texts to be found",
}
_HARMLESS_IN_MANAGEMENT = {
    "description": "describes a tracker or a group",
    "categories": "as `description`",
    "languages": "as `description`; every text is searched",
}
_HARMLESS_IN_READS = {
    "sort": "there is one order, by start, and another value is refused",
    "customTopicVocabulary": "topics are words of the conversation",
    "customVocabulary": "as `customTopicVocabulary`, its older name",
    "includeCallScore": "no call is scored",
}
_ACTED_ON_IN_STREAMS = {
    "config": "the next rows",
    "confidenceThreshold": "insights and topics with a lower score are left out",
    "detectEntities": "entities are found",
    "disconnectOnStopRequest": "false: the socket stays open for another start",
    "disconnectOnStopRequestTimeout": "for so many seconds",
    "encoding": "LINEAR16, MULAW, FLAC or Opus; another is refused",
    "insightTypes": "other insights are not sent; topics always are",
    "intents": "calls: intents are sent",
    "interimResults": "false: only complete results are sent",
    "languageCode": "another language than the model's is refused",
    "languages": "calls: the first is that of a recording; another than the model's is refused",
    "meetingTitle": "the name of the conversation",
    "noConnectionTimeout": "a lost socket may come back within so many seconds",
    "redaction": "names of speakers, and what has a form, are masked; with `identifyContent` "
    "entities are found",
    "sampleRateHertz": "8000 to 48000; another is refused",
    "sentiment": "messages have a sentiment",
    "speaker": "its keys come back with each result",
    "speechRecognition": "the rows `encoding`, `sampleRateHertz` and `interimResults`",
    "timezone": "calls: as `timezoneOffset`",
    "timezoneOffset": "due times are read in this zone",
    "trackers": "their phrases are found in complete results, and with `enableAllTrackers` those "
    "of all stored ones",
}
_HARMLESS_IN_STREAMS = {
    "audioConfig": "calls: no number is dialled",
    "dtmf": "as `audioConfig`",
    "engine": "there is one",
    "id": "the id in the address counts",
    "providerName": "as `audioConfig`",
    "pushSpeakerEvents": "speaker events are always taken",
    "transportConfig": "as `audioConfig`",
}
# Without an effect, and yet the caller may count on one.
_LOGGED_IN_STREAMS = {
    "actions": "no mail is sent; of a call the addresses are in `summaryInfo`",
    "customVocabulary": "with it, the speech model would lose sentences",
    "customVocabularyStrength": "as `customVocabulary`",
    "prebuiltTrackers": "there are none",
}
# Refused only where speech is recognised: a transcript that a test registered needs none.
_REFUSED = {
    "customVocabulary": "with it, the speech model loses sentences",
    "enableSpeakerDiarization": "this server does not distinguish voices",
    "diarizationSpeakerCount": "as `enableSpeakerDiarization`",
}


def _effects(effect: Effect, notes: Mapping[str, str]) -> dict[str, OptionEffect]:
    return {name: OptionEffect(effect, note) for name, note in notes.items()}


SUBMISSIONS: Mapping[str, OptionEffect] = {
    **_effects("acted on", _ACTED_ON),
    **_effects("refused", _REFUSED),
    **_effects("harmless", _HARMLESS),
}
READS: Mapping[str, OptionEffect] = {
    **_effects("acted on", _ACTED_ON_IN_READS),
    **_effects("harmless", _HARMLESS_IN_READS),
}

TRANSCRIPTS: Mapping[str, OptionEffect] = _effects("acted on", _ACTED_ON_IN_TRANSCRIPTS)
PAGES: Mapping[str, OptionEffect] = {
    **_effects("acted on", _ACTED_ON_IN_PAGES),
    **_effects("harmless", _HARMLESS_IN_PAGES),
    **_effects("logged", _LOGGED_IN_PAGES),
}
MANAGEMENT: Mapping[str, OptionEffect] = {
    **_effects("acted on", _ACTED_ON_IN_MANAGEMENT),
    **_effects("harmless", _HARMLESS_IN_MANAGEMENT),
    "settings": OptionEffect("logged", "they are stored and returned only"),
}
STREAMS: Mapping[str, OptionEffect] = {
    **_effects("acted on", _ACTED_ON_IN_STREAMS),
    **_effects("harmless", _HARMLESS_IN_STREAMS),
    **_effects("logged", _LOGGED_IN_STREAMS),
}


class UnknownOptions:
    """Names each option without an effect in the log, once: unknown, or known as such."""

    def __init__(self, known: Mapping[str, OptionEffect] = SUBMISSIONS) -> None:
        self._known = known
        self._named: set[str] = set()

    def name(self, parameters: Mapping[str, JSON]) -> None:
        """Log the options without an effect that were not logged before."""
        for name in parameters:
            if name in self._named:
                continue
            known = self._known.get(name)
            if known is None:
                shown = name if _NAME.fullmatch(name) else _UNNAMED
                # A caller that invents names must not fill the log, or the memory.
                if shown not in self._named and len(self._named) < _MAX_NAMED:
                    self._named.add(shown)
                    logger.warning("the option %r is unknown here and has no effect", shown)
            elif known.effect == "logged":
                self._named.add(name)
                logger.warning("the option %r has no effect: %s", name, known.note)


_MAX_NAMED = 100
# Without digits, and short: no token or secret that stands in the wrong place.
_NAME = re.compile(r"[A-Za-z_][A-Za-z_. -]{0,39}")
_UNNAMED = "..."
