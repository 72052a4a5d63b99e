"""The changes of the server's state. A store commits them, several at once or none.

A change is a named tuple, which is cheap to make: a job makes up to eight. Only a change with a
secret, or with what a caller stored, is a frozen class, which can hide a field from ``repr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from attrs import field, frozen

from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.http_json import JSON
from symbl_aio.server.job import Job, Status

TokenKind: TypeAlias = Literal["access", "refresh"]


class ConversationSaved(NamedTuple):
    """A conversation is new (``before`` is None), or was changed."""

    before: Conversation | None
    after: Conversation


class ConversationDeleted(NamedTuple):
    """A conversation, its recordings and the texts of its jobs are deleted."""

    id: str


class JobAccepted(NamedTuple):
    """A job is queued, after those that were accepted before it."""

    job: Job


class JobStarted(NamedTuple):
    """A job is in progress. A restart runs it again from the start."""

    job: Job


class JobEnded(NamedTuple):
    """A job has completed or failed; its submission is no longer needed."""

    job: Job
    status: Status


class WebhookCalled(NamedTuple):
    """The call about a status was made, with or without success."""

    job_id: str
    status: Status


@frozen
class RecordSaved:
    """A record of the account is new, or was changed."""

    kind: str
    id: str
    record: Mapping[str, JSON] = field(repr=False)


class RecordDeleted(NamedTuple):
    """A record of the account is deleted."""

    kind: str
    id: str


@frozen
class TokenIssued:
    """A token was issued, and is known by its SHA-256. ``expires_at``: seconds, None for never."""

    kind: TokenKind
    digest: bytes = field(repr=False)
    expires_at: float | None


@frozen
class TokensRevoked:
    """One token was revoked, or all of them (``digest`` None)."""

    digest: bytes | None = field(repr=False)


@frozen
class PageKeySaved:
    """The key that signs links to pages."""

    key: bytes = field(repr=False)


Change: TypeAlias = (
    ConversationSaved
    | ConversationDeleted
    | JobAccepted
    | JobStarted
    | JobEnded
    | WebhookCalled
    | RecordSaved
    | RecordDeleted
    | TokenIssued
    | TokensRevoked
    | PageKeySaved
)
