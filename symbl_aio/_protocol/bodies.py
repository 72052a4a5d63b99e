"""JSON bodies for the Conversation, Experience and Management APIs.

Each function returns one body; its docstring names the page of the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio._error_classes import ConfigurationError
from symbl_aio._fields import (
    require,
    require_all,
    require_flag,
    require_number,
    require_url,
    require_word,
    text_of,
)
from symbl_aio._protocol.encode import plain
from symbl_aio.models import JSON
from symbl_aio.models.base import wire_name

_MAX_VALUE_LENGTH: Final = 128
_NANOS: Final = 1_000_000_000

# Their wire names are not the camel case of their names here.
_IRREGULAR_NAMES: Final = {
    "speaker_avatar_urls": "speakerAvatarURLs",
    "summary_url_expires_in": "summaryURLExpiresIn",
}


def wire_object(**given: JSON) -> dict[str, JSON]:
    """Return the parameters that are set, under their wire names."""
    return {
        _IRREGULAR_NAMES.get(name, wire_name(name)): value
        for name, value in given.items()
        if value is not None
    }


def with_extra(
    own: Mapping[str, JSON], extra: object, of: str, name: str = "extra"
) -> dict[str, JSON]:
    """Return a body with the caller's further parameters, beside its own at every depth.

    Raises ``ConfigurationError`` for one that the body has already; ``of`` is its kind here.
    """
    require(name, extra, Mapping, "a dict of the API's names")
    assert isinstance(extra, Mapping)
    whole = dict(own)
    for key, value in extra.items():
        inner, path = own.get(key), f"{name}[{key!r}]"
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            whole[key] = with_extra(inner, value, of, path)
        elif key in own:
            raise ConfigurationError(f"{path} has {of} of its own; use that")
        else:
            whole[key] = value
    return whole


def metadata(given: Mapping[str, str]) -> JSON:
    """Conversation API, "Update conversation" page: texts of at most 128 characters."""
    values: Mapping[str, object] = given
    require("metadata", given, Mapping, "a dict of str to str")
    for name, value in values.items():
        require("a name in metadata", name, str, "a string")
        if not isinstance(value, str) or len(value) > _MAX_VALUE_LENGTH:
            raise ConfigurationError(
                f"metadata[{name!r}] is not a string of at most {_MAX_VALUE_LENGTH} characters; "
                "give one"
            )
    return {"metadata": dict(given)}


def member(member_id: str, name: str, email: str | None) -> JSON:
    """Conversation API, "Update members" page."""
    require_word("name", name)
    if email is not None:
        require_word("email", email)
    return wire_object(id=member_id, name=name, email=email)


def speaker_events(events: Iterable[symbl_aio.SpeakerEvent]) -> JSON:
    """Conversation API, "Speaker events" page: seconds are split into whole ones and nanos."""
    from symbl_aio.drafts import SpeakerEvent  # on first use: making its classes takes a while

    written: list[JSON] = []
    for event in require_all("events", events, SpeakerEvent, "SpeakerEvent(...) values"):
        if event.offset is None or event.type not in ("started_speaking", "stopped_speaking"):
            raise ConfigurationError(
                f"a {event.type} event without offset, or of a call, is none of a conversation; "
                'give SpeakerEvent("started_speaking", user, offset)'
            )
        seconds, nanos = divmod(round(event.offset * _NANOS), _NANOS)
        offset = {"seconds": seconds, "nanos": nanos}
        written.append({"type": event.type, "user": plain(event.user), "offset": offset})
    return {"speakerEvents": written}


def transcript(
    format: str,
    *,
    paragraphs: bool | None,
    speakers: bool | None,
    all_phrases: bool | None,
    insight_phrases: bool | None,
) -> JSON:
    """Conversation API, "Formatted transcript" page."""
    if format not in ("markdown", "srt"):
        raise ConfigurationError(f'format is {format!r}; give "markdown" or "srt"')
    flags = {
        "paragraphs": paragraphs,
        "speakers": speakers,
        "all_phrases": all_phrases,
        "insight_phrases": insight_phrases,
    }
    for name, value in flags.items():
        if value is not None:
            require_flag(name, value)
    phrases = wire_object(
        highlight_all_key_phrases=all_phrases, highlight_only_insight_key_phrases=insight_phrases
    )
    return wire_object(
        content_type=f"text/{text_of(format)}",
        create_paragraphs=paragraphs,
        phrases=phrases or None,
        show_speaker_separation=speakers,
    )


def bookmarks(drafts: Iterable[symbl_aio.BookmarkDraft]) -> JSON:
    """Bookmarks pages: several in one call."""
    from symbl_aio.drafts import BookmarkDraft

    listed = require_all("drafts", drafts, BookmarkDraft, "BookmarkDraft(...) values")
    return [bookmark(draft) for draft in listed]


def bookmark(draft: symbl_aio.BookmarkDraft) -> JSON:
    """Bookmarks pages: by times or by messages, which ``BookmarkDraft`` sees to."""
    from symbl_aio.drafts import BookmarkDraft

    require("draft", draft, BookmarkDraft, "BookmarkDraft(label=..., description=..., user=...)")
    refs = [{"id": message_id} for message_id in draft.message_ids or ()]
    return wire_object(
        label=draft.label,
        description=draft.description,
        user=plain(draft.user),
        begin_time_offset=draft.begin_time_offset,
        duration=draft.duration,
        message_refs=refs or None,
    )


def experience(
    name: str,
    *,
    colors: symbl_aio.Colors | None,
    font_family: str | None,
    speaker_avatar_urls: Mapping[str, str] | None,
    **given: str | int | None,
) -> tuple[JSON, list[str]]:
    """Experience API page: the body, and the URLs in it, which may be signed.

    ``given``: further parameters under their Python names; those that are strings are URLs.
    """
    from symbl_aio.drafts import Colors

    if name not in ("verbose-text-summary", "video-summary", "audio-summary"):
        raise ConfigurationError(
            f'name is {name!r}; give "verbose-text-summary", "video-summary" or "audio-summary"'
        )
    for article, kind in (("a", "video"), ("an", "audio")):
        if name == f"{kind}-summary" and not given[f"{kind}_url"]:
            raise ConfigurationError(f"{kind}_url is missing; {article} {kind}-summary needs it")
    require(
        "speaker_avatar_urls",
        speaker_avatar_urls,
        (Mapping, type(None)),
        "a dict of ids to URLs",
    )
    require("colors", colors, (Colors, type(None)), "Colors(background=...)")
    if font_family is not None:
        require_word("font_family", font_family)
    urls: list[str] = []
    for parameter, value in given.items():
        if value is None:
            continue
        if parameter == "summary_url_expires_in":
            require(parameter, value, int, "an int of seconds, 0 for never")
            require_number(parameter, value, "an int of seconds, 0 for never")
        elif parameter in ("read_only", "enable_custom_domain"):
            require_flag(parameter, value)
        else:
            require_url(parameter, value)
            urls.append(str(value))
    avatars = dict(speaker_avatar_urls or {})
    for member_id, url in avatars.items():
        require_word("a member id in speaker_avatar_urls", member_id)
        require_url(f"speaker_avatar_urls[{member_id!r}]", url)
    body = wire_object(
        name=name,
        color=None if colors is None else plain(colors),
        font=None if font_family is None else {"family": font_family},
        speaker_avatar_urls=avatars or None,
        **given,
    )
    return body, [*urls, *avatars.values()]


def patches(changes: Iterable[symbl_aio.Patch]) -> JSON:
    """Management API, "Update tracker" and "Settings" pages: JSON Patch."""
    from symbl_aio.drafts import Patch

    written: list[JSON] = [
        {"op": change.op, "path": change.path}
        | ({} if change.op == "remove" else {"value": plain(change.value)})
        for change in require_all("changes", changes, Patch, "Patch(...) values")
    ]
    return written


def draft_body(name: str, draft: object, kind: type) -> JSON:
    """Encode one draft of a kind."""
    return plain(require(name, draft, kind, f"{kind.__name__}(...)"))


def draft_fields(name: str, draft: object, kind: type) -> dict[str, JSON]:
    """Encode one draft of a kind, as fields to be merged with others."""
    written = draft_body(name, draft, kind)
    return dict(written) if isinstance(written, Mapping) else {}


def draft_bodies(name: str, drafts: Iterable[object], kind: type) -> list[JSON]:
    """Encode many drafts of one kind. Raises ``ConfigurationError`` for an empty list."""
    listed = require_all(name, drafts, kind, f"{kind.__name__}(...) values")
    return [plain(draft) for draft in listed]
