"""Options of the processing, one typed field for each parameter of the API.

Only fields that are set are sent; the server's defaults apply to the rest. A parameter's name
on the wire is the camel case of its field's name, without exception: ``wire_name``.
Where a parameter travels (body or query) is decided when the request is encoded.

Pages of the API: Async API, each of the ten submission calls.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

from attrs import field, fields, frozen
from attrs.validators import optional

from symbl_aio._error_classes import ConfigurationError
from symbl_aio._fields import (
    a_flag,
    a_text,
    a_word,
    all_words,
    as_tuple,
    check,
    is_a,
    is_int,
    is_share,
    is_web_url,
    is_word,
    list_of,
    required_strings,
    strings,
    words,
)
from symbl_aio.models.base import JSON, wire_name

__all__ = [
    "ChannelMetadata",
    "CustomEntity",
    "Features",
    "MediaOptions",
    "Options",
    "SalesMetadata",
    "Speaker",
    "TextOptions",
    "Tracker",
    "TrackerRef",
]


def _entities(value: Iterable[CustomEntity] | None) -> tuple[CustomEntity, ...] | None:
    return as_tuple(value)


def _trackers(
    value: Iterable[Tracker | TrackerRef] | None,
) -> tuple[Tracker | TrackerRef, ...] | None:
    return as_tuple(value)


def _channels(value: Iterable[ChannelMetadata] | None) -> tuple[ChannelMetadata, ...] | None:
    return as_tuple(value)


def _string_or_strings(value: str | Iterable[str] | None) -> str | tuple[str, ...] | None:
    return as_tuple(value)


def _names(value: Iterable[str]) -> frozenset[str]:
    names = as_tuple(value)
    if not all_words(names):
        raise ConfigurationError(
            f"in_query is {reprlib.repr(value)}; give a list of field names, such as "
            "['webhook_url']"
        )
    return frozenset(names or ())


def _json_object(field_name: str, value: object) -> Mapping[str, JSON]:
    """Copy a mapping, so that the caller's later changes cannot reach queued submissions."""
    if not isinstance(value, Mapping) or not all(map(is_word, value)):
        raise ConfigurationError(f"{field_name} is no mapping of names; give a dict with str keys")
    try:
        text = json.dumps(dict(value), allow_nan=False, ensure_ascii=False)
        copy: dict[str, JSON] = json.loads(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{field_name} holds what JSON cannot say ({error}); give strings, finite numbers, "
            "booleans, None, lists and dicts"
        ) from None
    return copy


def _extra_body(value: Mapping[str, JSON]) -> Mapping[str, JSON]:
    return _json_object("extra_body", value)


def _extra_query(value: Mapping[str, JSON]) -> Mapping[str, JSON]:
    copy = _json_object("extra_query", value)
    if none := [name for name, item in copy.items() if item is None]:
        raise ConfigurationError(f"extra_query[{none[0]!r}] is None; leave it out instead")
    return copy


@frozen
class CustomEntity:
    """An entity of the caller's own: spoken ``text`` is reported as ``custom_type``."""

    custom_type: str = field(validator=a_word)
    """The reported kind, a word of your own."""
    text: str = field(validator=a_word)
    """The words to detect."""
    value: str | None = field(default=None, validator=optional(a_text))
    """The meaning of the words, if it differs from them."""


@frozen
class Tracker:
    """A tracker for this submission alone: a name and its phrases."""

    name: str = field(validator=a_word)
    """Its name in the results."""
    vocabulary: tuple[str, ...] = field(converter=required_strings, validator=words)
    """The phrases to detect; similar ones are detected too."""


@frozen
class TrackerRef:
    """A tracker stored in the account, by its id."""

    id: str = field(validator=a_word)
    """The id, as ``client.trackers`` lists it."""


@frozen
class Speaker:
    """The speaker on a channel."""

    name: str | None = field(default=None, validator=optional(a_text))
    """The speaker's name."""
    email: str | None = field(default=None, validator=optional(a_text))
    """The speaker's e-mail address."""


@frozen
class ChannelMetadata:
    """The speaker of one channel. Channels are counted from 1 in the API's samples."""

    channel: int = field(
        validator=check(lambda v: is_int(v) and v >= 0, "the channel's number, an int")
    )
    """Number of the channel, 0 or more."""
    speaker: Speaker = field(validator=is_a(Speaker, "Speaker(name=..., email=...)"))
    """The speaker on it."""


@frozen
class Features:
    """Results to compute besides the usual ones, such as ``"insights"`` and ``"callScore"``."""

    feature_list: tuple[str, ...] = field(converter=required_strings, validator=words)
    """Names of the results, as the API writes them."""


@frozen
class SalesMetadata:
    """The criteria of a call score.

    ``sales_stage``, lower case: qualification, discovery, demo, negotiation or general.
    """

    sales_stage: str | None = field(default=None, validator=optional(a_word))
    """Stage of the sale; one of the words above."""
    prospect_name: str | None = field(default=None, validator=optional(a_text))
    """Name of the prospect."""


_NOT_PARAMETERS: Final = frozenset({"extra_body", "extra_query", "in_query"})


@frozen(kw_only=True, init=False, eq=False, repr=False)
class SharedOptions:
    """The parameters of every kind of media. Use ``TextOptions`` or ``MediaOptions``."""

    name: str | None = field(default=None, validator=optional(a_text))
    """Title of the conversation; the conversation's id if not given."""

    confidence_threshold: float | None = field(
        default=None, validator=optional(check(is_share, "a number from 0.0 to 1.0"))
    )
    """Least score of reported insights, 0.0 to 1.0; the server may require 0.5."""

    detect_phrases: bool | None = field(default=None, validator=a_flag)
    """Mark the phrases in messages that carry an action."""

    entities: tuple[CustomEntity, ...] | None = field(
        default=None,
        converter=_entities,
        validator=list_of("CustomEntity(custom_type=..., text=...)", CustomEntity),
    )
    """Entities of the caller's own."""

    detect_entities: bool | None = field(default=None, validator=a_flag)
    """Detect entities at all; without it the conversation's entities stay empty."""

    trackers: tuple[Tracker | TrackerRef, ...] | None = field(
        default=None,
        converter=_trackers,
        validator=list_of(
            "Tracker(name=..., vocabulary=[...]) or TrackerRef(id=...)", Tracker, TrackerRef
        ),
    )
    """Trackers to detect: for this submission alone, or stored in the account."""

    enable_all_trackers: bool | None = field(default=None, validator=a_flag)
    """Detect all trackers of the account."""

    enable_summary: bool | None = field(default=None, validator=a_flag)
    """Create a summary."""

    webhook_url: str | None = field(
        default=None,
        repr=False,
        validator=optional(
            check(is_web_url, "an http(s) URL in a string, or '' for none at all", secret=True)
        ),
    )
    """Where the server reports each change of the job's status. Not shown in ``repr``."""

    timezone_offset: int | None = field(
        default=None, validator=optional(check(is_int, "minutes, an int"))
    )
    """The speakers' offset from UTC in minutes."""

    conversation_type: str | tuple[str, ...] | None = field(
        default=None,
        converter=_string_or_strings,
        validator=optional(
            check(lambda v: is_word(v) or all_words(v), "a string or a list of strings")
        ),
    )
    """``"sales"`` or ``"general"``; sent as given, a string or a list of strings."""

    features: Features | None = field(
        default=None, validator=optional(is_a(Features, "Features(feature_list=[...])"))
    )
    """Further results, such as a call score."""

    metadata: SalesMetadata | None = field(
        default=None,
        validator=optional(
            is_a(SalesMetadata, "SalesMetadata(sales_stage=..., prospect_name=...)")
        ),
    )
    """The criteria of the call score."""

    extra_body: Mapping[str, JSON] = field(factory=dict, hash=False, converter=_extra_body)
    """Parameters without a field of their own, for the JSON body, under the API's names.

    The body of a file is the file itself: use ``extra_query`` there.
    """

    extra_query: Mapping[str, JSON] = field(factory=dict, hash=False, converter=_extra_query)
    """Parameters without a field of their own, for the query, under the API's names.

    A list or dict becomes one parameter of JSON text.
    """

    in_query: frozenset[str] = field(factory=frozenset, converter=_names)
    """Fields, by their names here, to send in the query where the body is the usual place.

    Some hosts read ``webhook_url`` and ``enable_summary`` of texts, or the diarisation of
    URLs, only there. Files have all parameters in the query anyway.
    """

    def __attrs_post_init__(self) -> None:
        kind = type(self).__name__
        parameters = {f.name for f in fields(type(self))} - _NOT_PARAMETERS
        if unknown := sorted(self.in_query - parameters):
            raise ConfigurationError(
                f"{kind}.in_query names {unknown[0]!r}; give field names such as 'webhook_url'"
            )
        for name in self.given():
            for extra in ("extra_body", "extra_query"):
                if wire_name(name) in getattr(self, extra):
                    raise ConfigurationError(
                        f"{kind}.{extra}[{wire_name(name)!r}] and {kind}.{name} are both set; "
                        f"give one of them (in_query=[{name!r}] moves the field to the query)"
                    )

    def is_given(self, name: str) -> bool:
        """Return whether the caller set a parameter: by its field, or by the API's name for it."""
        extras = self.extra_body.keys() | self.extra_query.keys()
        return getattr(self, name) is not None or wire_name(name) in extras

    def given(self) -> dict[str, object]:
        """Return the parameters that the caller set, by the names of their fields."""
        return {
            f.name: value
            for f in fields(type(self))
            if f.name not in _NOT_PARAMETERS and (value := getattr(self, f.name)) is not None
        }


@frozen(kw_only=True)
class TextOptions(SharedOptions):
    """Parameters of ``Text``. All are optional, and only those that are set are sent."""


@frozen(kw_only=True)
class MediaOptions(SharedOptions):
    """Parameters of recordings, as files or URLs. Only those that are set are sent."""

    custom_vocabulary: tuple[str, ...] | None = field(
        default=None, converter=strings, validator=optional(words)
    )
    """Words and phrases that the recognition should expect."""

    language_code: str | None = field(default=None, validator=optional(a_word))
    """Spoken language, BCP-47, such as ``"en-US"``. Insights are made for English only."""

    mode: Literal["phone", "default"] | None = field(
        default=None,
        validator=optional(check(lambda v: v in ("phone", "default"), '"phone" or "default"')),
    )
    """``"phone"`` for recordings of about 8 kHz, ``"default"`` from 16 kHz up."""

    enable_separate_recognition_per_channel: bool | None = field(default=None, validator=a_flag)
    """Treat each channel as one speaker. Billed as duration times channels."""

    channel_metadata: tuple[ChannelMetadata, ...] | None = field(
        default=None,
        converter=_channels,
        validator=list_of("ChannelMetadata(channel=1, speaker=Speaker(name=...))", ChannelMetadata),
    )
    """The speaker of each channel; used only with the field above."""

    enable_speaker_diarization: bool | None = field(default=None, validator=a_flag)
    """Separate the speakers by voice (English and Spanish). Overrides recognition by channel."""

    diarization_speaker_count: int | None = field(
        default=None,
        validator=optional(check(lambda v: is_int(v) and v >= 1, "an int of 1 or more")),
    )
    """Number of speakers, 1 or more; the true number yields the best result."""


Options: TypeAlias = TextOptions | MediaOptions
"""Parameters of any media: those of texts, or those of recordings."""
