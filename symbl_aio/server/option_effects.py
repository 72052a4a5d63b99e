"""The effect of each parameter of a call: the server acts on it, refuses it, or may ignore it.

A parameter that is taken without an effect would be a lie: each has a row in
``docs/server-options.md``, with the reason why ignoring it does no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import frozen

from symbl_aio.server.http_json import JSON, ApiError

logger = logging.getLogger("symbl_aio.server")

Effect: TypeAlias = Literal["acted on", "refused", "harmless"]


@frozen
class OptionEffect:
    """``note`` completes the row of the document: the effect, or the reason."""

    effect: Effect
    note: str


_ACTED_ON = {
    "name": "the name of the conversation",
    "messages": "the text of the conversation",
    "url": "the recording is downloaded, after the address is checked",
    "webhookUrl": "is called with each status of the job",
    "confidenceThreshold": "insights and topics with a lower score are left out",
    "detectPhrases": "messages have the phrases of their tasks",
    "detectEntities": "entities are found",
    "entities": "custom entities are found",
    "customEntities": "as `entities`",
    "trackers": "their phrases are found",
    "enableAllTrackers": "all stored trackers are used",
    "enableSummary": "the summary grows with each append",
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
}
_HARMLESS = {
    "customVocabulary": "a hint; the words of the packaged model do not get better by hints",
    "mode": "every sampling rate is read",
    "timezoneOffset": "due dates are in UTC, as without it",
    "channelMetadata": "without a separate recognition of channels there is no speaker to name",
    "diarizationSpeakerCount": "without diarization there is nothing to count",
    "conversationType": "the rules are the same for sales and for others",
    "metadata": "describes a call to be scored, and no call is scored",
}
_HARMLESS_IN_READS = {
    "sort": "there is one order, by start, and another value is refused",
    "customTopicVocabulary": "topics are words of the conversation",
    "includeCallScore": "no call is scored",
}
_REFUSED_IN_READS = {
    "redact": "the rules would overlook personal data",
    "exclude": "as `redact`",
}
# Refused only where speech is recognised: a transcript that a test registered has no channels.
_REFUSED_BY_RECOGNITION = {
    "enableSeparateRecognitionPerChannel": "channels are mixed before speech is recognised",
    "enableSpeakerDiarization": "this server does not part speakers by their voices",
    "languageCode": "the packaged model knows English only",
}

SUBMISSIONS: Mapping[str, OptionEffect] = {
    **{name: OptionEffect("acted on", note) for name, note in _ACTED_ON.items()},
    **{name: OptionEffect("refused", note) for name, note in _REFUSED_BY_RECOGNITION.items()},
    **{name: OptionEffect("harmless", note) for name, note in _HARMLESS.items()},
}
READS: Mapping[str, OptionEffect] = {
    **{name: OptionEffect("acted on", note) for name, note in _ACTED_ON_IN_READS.items()},
    **{name: OptionEffect("refused", note) for name, note in _REFUSED_IN_READS.items()},
    **{name: OptionEffect("harmless", note) for name, note in _HARMLESS_IN_READS.items()},
}


class OptionCheck:
    """Refuses options that recognition cannot meet, and names unknown ones in the log.

    ``recognises``: speech is recognised at all. ``english_only``: by the packaged model.
    """

    def __init__(self, *, recognises: bool, english_only: bool) -> None:
        self._recognises = recognises
        self._english_only = english_only
        self._named: set[str] = set()

    def check(self, parameters: Mapping[str, JSON], *, media: bool) -> None:
        """Raise a 400 ``ApiError`` for an option of ``media`` that cannot be met."""
        for name in parameters.keys() - SUBMISSIONS.keys() - self._named:
            # A caller that invents names must not fill the log, or the memory.
            if len(self._named) < _MAX_NAMED:
                self._named.add(name)
                logger.warning("the parameter %.60r is unknown here and has no effect", name)
        if not (media and self._recognises):
            return
        for name, reason in _REFUSED_BY_RECOGNITION.items():
            if self._is_beyond(name, parameters.get(name)):
                raise ApiError(400, f'"{name}" is not offered with this value: {reason}.')

    def _is_beyond(self, name: str, value: JSON) -> bool:
        if name == "languageCode":
            return (
                self._english_only
                and isinstance(value, str)
                and value.strip() != ""
                and value.lower().split("-")[0] != "en"
            )
        return value is True


_MAX_NAMED = 100
