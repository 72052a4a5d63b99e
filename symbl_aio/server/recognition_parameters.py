"""The submission parameters of speech recognition: those it acts on, and those it refuses.

An option that would be accepted and then ignored leads to results that the caller does not
expect, so it is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from symbl_aio.server.http_json import JSON, ApiError

_DIARIZATION = (
    '"{name}" is not offered: this server does not distinguish voices. If each speaker has '
    'a channel of the recording, use "enableSeparateRecognitionPerChannel".'
)
_VOCABULARY = (
    '"customVocabulary" is not offered: with it, the speech model loses sentences. Leave it out.'
)


@frozen
class ChannelSpeaker:
    """The speaker of a channel."""

    name: str | None = None
    email: str | None = None


@frozen
class RecognitionParameters:
    """The parameters that change what is recognised.

    ``language``: a code, None to detect it. ``separate_channels``: recognise each channel by
    itself. ``speakers``: those that the caller named, by the number of the channel, from 1.
    """

    language: str | None
    separate_channels: bool
    speakers: Mapping[int, ChannelSpeaker]

    @classmethod
    def of(cls, parameters: Mapping[str, JSON]) -> RecognitionParameters:
        """Return those of a submission whose parameters were checked."""
        language = parameters.get("languageCode")
        separate = parameters.get("enableSeparateRecognitionPerChannel") is True
        channels = parameters.get("channelMetadata") if separate else None
        return cls(
            language if isinstance(language, str) and language else None,
            separate,
            dict(_speakers(channels)) if isinstance(channels, list) else {},
        )

    def speaker_of(self, channel: int) -> ChannelSpeaker:
        """Return the speaker of a channel; one without a name is numbered."""
        if not self.separate_channels:
            return ChannelSpeaker()
        known = self.speakers.get(channel, ChannelSpeaker())
        # Without a name the speakers of all channels would count as one person.
        return known if known.name or known.email else ChannelSpeaker(f"Speaker {channel}")


def _speakers(channels: list[JSON]) -> list[tuple[int, ChannelSpeaker]]:
    found = []
    for item in channels:
        assert isinstance(item, dict)
        number, speaker = item.get("channel"), item.get("speaker")
        assert isinstance(number, int)
        assert isinstance(speaker, dict)
        name, email = (
            value if isinstance(value := speaker.get(key), str) and value else None
            for key in ("name", "email")
        )
        found.append((number, ChannelSpeaker(name, email)))
    return found


def check_recognition(parameters: Mapping[str, JSON], *, english_only: bool) -> None:
    """Raise a 400 ``ApiError`` for what this server's recognition does not do."""
    # With an explicit false the count has no meaning.
    wanted = parameters.get("enableSpeakerDiarization") is not False
    for name in ("enableSpeakerDiarization", "diarizationSpeakerCount"):
        if wanted and parameters.get(name):
            raise ApiError(400, _DIARIZATION.format(name=name))
    if parameters.get("customVocabulary"):
        raise ApiError(400, _VOCABULARY)
    language = RecognitionParameters.of(parameters).language
    if english_only and language is not None and language.partition("-")[0].lower() != "en":
        raise ApiError(
            400,
            f'"languageCode" is "{language}", and the speech model of this server recognises '
            "English only. Start it with a multilingual model for other languages.",
        )
