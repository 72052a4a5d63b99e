"""Decisions about one recording, by its content and the ledger. No I/O."""

from __future__ import annotations

import shlex
from typing import Final, TypeAlias

from attrs import frozen

from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.ledger import Item, Ledger, State
from symbl_aio.cli.upload.moved_files import NONE, Moves

NOT_REPEATED: Final = "it failed in an earlier run; --retry-failed sends it again"
REGROUPED: Final = (
    "it was sent in another meeting, whose conversation has other recordings; repeat the "
    "--group-by of that time, or --again sends all of this one anew"
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
    moved: bool = False
    """Whether the file had another path when it was sent."""


@frozen
class Prove:
    """Whether the server has the recording is not known: look for proof."""

    item: Item
    """Its item."""
    moved: bool = False
    """Whether the file had another path when it was sent."""


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
    moves: Moves = NONE,
    again: bool = False,
) -> Decision:
    """Return what is to be done about a recording whose content has this hash.

    ``behind``: a later part of its meeting that was sent. ``moves``: where it may have been moved
    from. ``again``: send a moved recording once more.
    """
    item = ledger.item(part.source)
    # An open question comes first, also if the file has changed since.
    if item is not None and item.state is State.SENDING:
        return Prove(item)
    if item is not None and item.state is State.ACCEPTED:
        return Follow(item)
    if moves.vacated and not again:
        others = [
            one
            for one in ledger.with_content(sha256)
            if one.state is not State.FAILED and one.id in moves.vacated
        ]
        for other in others:
            if _can_move(other, meeting, ledger, moves):
                return _moved(other)
        if others and item is None:
            return Refuse(REGROUPED)
    if item is None:
        return _send(part, meeting, ledger, behind)
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


def _moved(item: Item) -> Decision:
    if item.state is State.SENDING:
        return Prove(item, moved=True)
    if item.state is State.ACCEPTED:
        return Follow(item, moved=True)
    return Skip(item, f"it was sent as {item.source}", moved=True)


def _can_move(item: Item, meeting: Meeting, ledger: Ledger, moves: Moves) -> bool:
    """Return whether a moved recording was sent as a part of this meeting.

    It was if it has another name in it, or if that meeting was moved as a whole: one that has
    gone, and has a recording in common with this one, is another meeting.
    """
    left = [] if item.meeting is None else ledger.of_meeting(item.meeting)
    if meeting.key is None:
        return len(left) <= 1
    there = ledger.of_meeting(meeting.key)
    return all(one.conversation == item.conversation for one in there) and (
        item.meeting == meeting.key
        or all(
            one.id in moves.vacated and (one.sha256 in moves.contents or one.state is State.FAILED)
            for one in left
        )
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
