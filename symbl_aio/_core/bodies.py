"""What is written to the Conversation, Experience and Management APIs.

Every function gives a JSON body; the page that asks for it is named in its docstring.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from symbl_aio._core.wire import plain
from symbl_aio.errors import ConfigurationError
from symbl_aio.models import JSON
from symbl_aio.options import wire_name

if TYPE_CHECKING:
    from symbl_aio.drafts import BookmarkDraft, Colors, Patch, SpeakerEvent

_LONGEST_VALUE: Final = 128
_NANOS: Final = 1_000_000_000

# These are not the camel case of their names here.
_OTHER_NAMES: Final = {
    "speaker_avatar_urls": "speakerAvatarURLs",
    "summary_url_expires_in": "summaryURLExpiresIn",
}


def named(**given: JSON) -> dict[str, JSON]:
    """Give what is set, under the names of the wire."""
    return {
        _OTHER_NAMES.get(name, wire_name(name)): value
        for name, value in given.items()
        if value is not None
    }


def metadata(given: Mapping[str, str]) -> JSON:
    """Conversation API, "Update conversation" page: texts of at most 128 characters."""
    values: Mapping[str, object] = given
    for name, value in values.items():
        if not isinstance(value, str) or len(value) > _LONGEST_VALUE:
            raise ConfigurationError(
                f"metadata[{name!r}] is not a string of at most {_LONGEST_VALUE} characters"
            )
    return {"metadata": dict(given)}


def speaker_events(events: Iterable[SpeakerEvent]) -> JSON:
    """Conversation API, "Speaker events" page: seconds are split into whole ones and nanos."""
    written: list[JSON] = []
    for event in events:
        seconds, nanos = divmod(round(event.offset * _NANOS), _NANOS)
        offset = {"seconds": seconds, "nanos": nanos}
        written.append({"type": event.type, "user": plain(event.user), "offset": offset})
    if not written:
        raise ConfigurationError("events is empty; give SpeakerEvent values")
    return {"speakerEvents": written}


def transcript(
    content_type: str,
    *,
    paragraphs: bool | None,
    speakers: bool | None,
    all_phrases: bool | None,
    insight_phrases: bool | None,
) -> JSON:
    """Conversation API, "Formatted transcript" page."""
    phrases = named(
        highlight_all_key_phrases=all_phrases, highlight_only_insight_key_phrases=insight_phrases
    )
    return named(
        content_type=content_type,
        create_paragraphs=paragraphs,
        phrases=phrases or None,
        show_speaker_separation=speakers,
    )


def bookmark(draft: BookmarkDraft) -> JSON:
    """Bookmarks pages: by times or by messages, which ``BookmarkDraft`` sees to."""
    refs = [{"id": message_id} for message_id in draft.message_ids or ()]
    return named(
        label=draft.label,
        description=draft.description,
        user=plain(draft.user),
        begin_time_offset=draft.begin_time_offset,
        duration=draft.duration,
        message_refs=refs or None,
    )


def experience(name: str, *, colors: Colors | None, font_family: str | None, **given: JSON) -> JSON:
    """Experience API page. ``given``: further parameters under their Python names."""
    look = {
        "color": None if colors is None else plain(colors),
        "font": None if font_family is None else {"family": font_family},
    }
    return named(name=name, **look, **given)


def patches(changes: Iterable[Patch]) -> JSON:
    """Management API, "Update tracker" and "Settings" pages: JSON Patch."""
    written: list[JSON] = [
        {"op": change.op, "path": change.path}
        | ({} if change.op == "remove" else {"value": plain(change.value)})
        for change in changes
    ]
    if not written:
        raise ConfigurationError("changes is empty; give Patch values")
    return written


def named_fields(draft: object) -> dict[str, JSON]:
    """Write one draft, whose fields are to stand beside others."""
    written = plain(draft)
    return dict(written) if isinstance(written, Mapping) else {}


def each(drafts: Iterable[object], what: str) -> list[JSON]:
    """Write many drafts of one kind; none at all is a mistake."""
    written = [plain(draft) for draft in drafts]
    if not written:
        raise ConfigurationError(f"{what} is empty; give at least one")
    return written
