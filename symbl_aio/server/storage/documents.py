"""JSON documents of conversations and submissions, as the database has them.

Escapes instead of UTF-8: a text may contain a lone surrogate, which SQLite refuses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import astuple, frozen

from symbl_aio.server.accepted_submission import SubmissionPayload
from symbl_aio.server.conversations.conversation import Bookmark, Conversation, Settings
from symbl_aio.server.language.analysis_values import CustomEntity, Speaker, Tracker, Utterance

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class StoredHead:
    """The fields of a conversation that a list shows, without the conversation."""

    id: str
    name: str
    started_at: datetime
    duration: float
    metadata: Mapping[str, str]
    members: Mapping[str, Speaker]

    @property
    def ended_at(self) -> datetime:
        return self.started_at + timedelta(seconds=self.duration)


def microseconds(instant: datetime) -> int:
    """Return the microseconds since 1970, exactly."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def encode_head(conversation: Conversation) -> str:
    """Return the head of a conversation as JSON."""
    return _dumps(
        {
            "name": conversation.name,
            # With its zone: "tomorrow" depends on it.
            "started_at": conversation.started_at.isoformat(),
            "duration": conversation.duration,
            "metadata": conversation.metadata,
            "members": [astuple(member) for member in conversation.members.values()],
        }
    )


def decode_head(conversation_id: str, text: str) -> StoredHead:
    """Return the head of a conversation from JSON."""
    fields = json.loads(text)
    members = [Speaker(*member) for member in fields["members"]]
    return StoredHead(
        conversation_id,
        fields["name"],
        datetime.fromisoformat(fields["started_at"]),
        fields["duration"],
        fields["metadata"],
        {member.id: member for member in members},
    )


def encode_document(conversation: Conversation) -> str:
    """Return the rest of a conversation as JSON, without its utterances."""
    settings = conversation.settings
    return _dumps(
        {
            "settings": {
                "confidence_threshold": settings.confidence_threshold,
                "detect_phrases": settings.detect_phrases,
                "detect_entities": settings.detect_entities,
                "summary": settings.summary,
                "custom_entities": [astuple(entity) for entity in settings.custom_entities],
                "trackers": [astuple(tracker) for tracker in settings.trackers],
            },
            "notices": sorted(conversation.notices),
            "bookmarks": [astuple(mark) for mark in conversation.bookmarks.values()],
            "bookmarks_made": conversation.bookmarks_made,
            "features": conversation.features,
            "features_job": conversation.features_job,
            "media_url": conversation.media_url,
            "aliases": conversation.aliases,
            "summarised": conversation.summarised,
            "summarised_count": conversation.summarised_count,
        }
    )


def decode_conversation(
    conversation_id: str, head: str, document: str, speech: Iterable[str]
) -> Conversation:
    """Return a conversation from its documents; ``speech`` is in order."""
    shown, fields = decode_head(conversation_id, head), json.loads(document)
    settings = fields["settings"]
    members = dict(shown.members)
    bookmarks = [_decode_bookmark(values) for values in fields["bookmarks"]]
    return Conversation(
        shown.id,
        shown.name,
        shown.started_at,
        metadata=dict(shown.metadata),
        members=members,
        duration=shown.duration,
        utterances=[
            Utterance(text, None if speaker is None else members[speaker], start, end)
            for part in speech
            for text, speaker, start, end in json.loads(part)
        ],
        settings=Settings(
            **{
                **settings,
                "custom_entities": tuple(CustomEntity(*e) for e in settings["custom_entities"]),
                "trackers": tuple(
                    # Those of the first version have no excluded phrases.
                    Tracker(name, tuple(vocabulary), tracker_id, *map(tuple, excluded))
                    for name, vocabulary, tracker_id, *excluded in settings["trackers"]
                ),
            }
        ),
        notices=set(fields["notices"]),
        bookmarks={bookmark.id: bookmark for bookmark in bookmarks},
        bookmarks_made=fields["bookmarks_made"],
        features=tuple(fields["features"]),
        features_job=fields["features_job"],
        media_url=fields["media_url"],
        aliases=fields["aliases"],
        summarised=tuple(fields["summarised"]),
        summarised_count=fields["summarised_count"],
    )


def encode_speech(utterances: Sequence[Utterance]) -> str:
    """Return utterances as JSON; a speaker is the id of a member."""
    return _dumps([(u.text, u.speaker and u.speaker.id, u.start, u.end) for u in utterances])


def encode_submission(payload: SubmissionPayload) -> str:
    """Return a submission as JSON, with the size and the hash of its body."""
    body = payload.body
    return _dumps(
        {
            "kind": payload.kind,
            "parameters": payload.parameters,
            "body": None if body is None else {"size": body.size, "sha256": body.sha256},
        }
    )


def _decode_bookmark(values: Sequence[Any]) -> Bookmark:
    bookmark_id, begin, duration, messages, *texts = values
    return Bookmark(
        bookmark_id, begin, duration, None if messages is None else tuple(messages), *texts
    )


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
