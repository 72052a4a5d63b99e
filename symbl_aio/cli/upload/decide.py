"""Decisions about one recording, by its content and the ledger. No I/O."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import frozen

from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.ledger import Item, Ledger, State

NOT_REPEATED: Final = "it failed in an earlier run; --retry-failed sends it again"
REGROUPED: Final = (
    "it was sent with another --group-by, so its conversation has other recordings; repeat that "
    "one, or --again sends all anew"
)


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
    again: bool = False,
) -> Decision:
    """Return what is to be done about a recording whose content has this hash.

    ``behind``: a later part of its meeting that was sent. ``exists`` is called for the former
    path of a file with the same content. ``again``: send a moved recording once more.
    """
    item = ledger.item(part.source)
    if item is None:
        for other in () if again else ledger.with_content(sha256):
            if other.state is State.COMPLETED and not exists(other.source):
                if not _can_move(other, meeting, ledger, exists):
                    return Refuse(REGROUPED)
                return Skip(other, f"it was sent as {other.source}", moved=True)
        return _send(part, meeting, ledger, behind)
    # An open question comes first, also if the file has changed since.
    if item.state is State.SENDING:
        return Prove(item)
    if item.state is State.ACCEPTED:
        return Follow(item)
    if item.sha256 == sha256:
        if item.state is State.COMPLETED:
            if not is_of(meeting, item, ledger):
                return Refuse(REGROUPED)
            return Skip(item, "it was done before")
        if not retry_failed:
            return Refuse(NOT_REPEATED, item)
        return _send(part, meeting, ledger, behind)
    if item.state is State.FAILED:
        return _send(part, meeting, ledger, behind)
    if meeting.key is not None:
        return Refuse(
            "it changed after it was sent, and its conversation cannot be rewritten; --again "
            "sends the whole meeting as a new one"
        )
    return Send(changed=True)


def _can_move(item: Item, meeting: Meeting, ledger: Ledger, exists: Callable[[str], bool]) -> bool:
    """Return whether a moved recording was sent as a part of this meeting, moved as a whole."""
    left = [] if item.meeting is None else ledger.of_meeting(item.meeting)
    if meeting.key is None:
        return len(left) <= 1
    there = ledger.of_meeting(meeting.key)
    return all(one.conversation == item.conversation for one in there) and not any(
        exists(one.source) for one in left
    )


def is_of(meeting: Meeting, item: Item, ledger: Ledger) -> bool:
    """Return whether an item was sent as a part of this meeting.

    It was if the meeting has the key of that time, or exactly the recordings of that time.
    """
    if item.meeting == meeting.key:
        return True
    together = [item] if item.meeting is None else ledger.of_meeting(item.meeting)
    return {one.source for one in together} == {part.source for part in meeting.parts}


def sent_behind(meeting: Meeting, ledger: Ledger) -> list[Found | None]:
    """Return for each part of a meeting a later one that was sent, if any."""
    behind: list[Found | None] = []
    sent: Found | None = None
    for part in reversed(meeting.parts):
        behind.append(sent)
        if was_sent(part, meeting, ledger):
            sent = part
    return behind[::-1]


def was_sent(part: Found, meeting: Meeting, ledger: Ledger) -> bool:
    """Return whether a part of a meeting is in its conversation, or may be."""
    item = ledger.item(part.source)
    return item is not None and item.meeting == meeting.key and item.state is not State.FAILED


def _send(part: Found, meeting: Meeting, ledger: Ledger, behind: Found | None) -> Send | Refuse:
    if behind is None:
        return Send()
    assert meeting.key is not None  # a recording on its own has none behind it
    target = ledger.conversation_of(meeting.key) or "CONVERSATION"
    name = part.label if part.link is None else "LINK"
    append = shlex.join(["symbl-aio", "append", target, *_after_dashes(name)])
    return Refuse(
        f"it comes before {behind.label}, which was sent; --again sends the whole meeting as a "
        f"new one. Or move it away, and add it at the end: {append}"
    )


def _after_dashes(name: str) -> list[str]:
    return ["--", name] if name.startswith("-") else [name]
