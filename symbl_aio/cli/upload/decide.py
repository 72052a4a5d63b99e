"""Decisions about one recording, by its content and the ledger. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import frozen

from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.ledger import Item, Ledger, State

NOT_REPEATED: Final = "it failed in an earlier run; --retry-failed sends it again"


@frozen
class Send:
    """The recording is to be sent; ``changed`` if an earlier content of it was."""

    changed: bool = False
    """Whether other content of this path was sent before."""


@frozen
class Follow:
    """The server has the recording, and its job is to be followed."""

    item: Item
    """Its item, with the token of the job."""


@frozen
class Prove:
    """Whether the server has the recording is not known: look for proof."""

    item: Item
    """Its item."""


@frozen
class Skip:
    """The recording was done before."""

    item: Item
    """Its item."""
    reason: str
    """Why nothing is to be done."""
    moved: bool = False
    """Whether the file had another path then."""


@frozen
class Refuse:
    """The recording is not sent."""

    reason: str
    """Why, with a remedy."""
    failed: Item | None = None
    """The item, if it failed in an earlier run."""


Decision: TypeAlias = Send | Follow | Prove | Skip | Refuse


def decide(
    part: Found,
    sha256: str,
    meeting: Meeting,
    ledger: Ledger,
    *,
    behind: Found | None,
    retry_failed: bool,
    exists: Callable[[str], bool],
) -> Decision:
    """Return what is to be done about a recording whose content has this hash.

    ``behind``: a later part of its meeting that was sent. ``exists`` is called for the former
    path of a file with the same content.
    """
    item = ledger.item(part.source)
    if item is None:
        for other in ledger.with_content(sha256):
            if other.state is State.COMPLETED and not exists(other.source):
                return Skip(other, f"it was sent as {other.source}", moved=True)
        return _send(behind)
    # An open question comes first, also if the file has changed since.
    if item.state is State.SENDING:
        return Prove(item)
    if item.state is State.ACCEPTED:
        return Follow(item)
    if item.sha256 == sha256:
        if item.state is State.COMPLETED:
            return Skip(item, "it was done before")
        if not retry_failed:
            return Refuse(NOT_REPEATED, item)
        return _send(behind)
    if item.state is State.FAILED:
        return _send(behind)
    if meeting.key is not None:
        return Refuse("it changed after it was sent, and its conversation cannot be rewritten")
    return Send(changed=True)


def sent_behind(meeting: Meeting, ledger: Ledger) -> list[Found | None]:
    """Return for each part of a meeting a later one that was sent, if any."""
    behind: list[Found | None] = []
    sent: Found | None = None
    for part in reversed(meeting.parts):
        behind.append(sent)
        item = ledger.item(part.source)
        if item is not None and item.meeting == meeting.key and item.state is not State.FAILED:
            sent = part
    return behind[::-1]


def _send(behind: Found | None) -> Send | Refuse:
    if behind is None:
        return Send()
    return Refuse(
        f"it comes before {behind.label}, which was sent; to add it at the end, use "
        "symbl-aio append"
    )
