"""Which files are no longer where they were sent from: by content, and not by name alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from attrs import frozen

from symbl_aio import MediaRejectedError, SymblError
from symbl_aio.cli.upload.find_files import Found, one_named
from symbl_aio.cli.upload.fingerprint import Fingerprint, stamp_of
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.ledger import Ledger

Reader: TypeAlias = Callable[[Found], Awaitable[Fingerprint]]
"""Reads a recording; raises as ``fingerprint`` does."""


@frozen(kw_only=True)
class Moves:
    """Where a recording may have been moved from."""

    vacated: frozenset[int] = frozenset()
    """Numbers of the items whose path no longer holds the content that was sent from it."""
    contents: frozenset[str] = frozenset()
    """Hashes of the recordings of its meeting, if it may have come from another one."""


NONE: Final = Moves()

_NOTHING: Final = "nothing"
_UNKNOWN: Final = "unknown"
"""Instead of a hash: a file that cannot be read counts as holding the content that was sent."""


async def moves(
    part: Found,
    sha256: str,
    meeting: Meeting,
    ledger: Ledger,
    read: Reader,
    in_place: set[int],
) -> Moves:
    """Return where a recording with this content may have been moved from.

    Paths that were sent with the content, and those of the meetings of that time, are compared
    with their content of now: a file that took the place of a renamed one does not hide the move.
    ``in_place``: numbers of items that were compared since the recording was listed, and whose
    paths still held their content; others are added.
    """
    item = ledger.item(part.source)
    if item is not None and item.sha256 == sha256:
        return NONE
    await ledger.load(sha256=sha256)
    sent = ledger.with_content(sha256)
    if not sent:
        return NONE
    keys = {one.meeting for one in sent if one.meeting is not None} - {meeting.key}
    sent += [one for key in keys for one in ledger.of_meeting(key)]
    vacated: set[int] = set()
    for one in sent:
        if one.source == part.source:
            vacated.add(one.id)
        # A file that was seen after this one was listed cannot have become it. Without that,
        # n copies of one content would take n * n looks at the disk.
        elif one.id not in in_place:
            now = await _content(one_named(one.source), ledger, read)
            (in_place if now in (one.sha256, _UNKNOWN) else vacated).add(one.id)
    beside = meeting.parts if keys else ()
    contents = {await _content(other, ledger, read) for other in beside}
    return Moves(vacated=frozenset(vacated), contents=frozenset(contents))


async def _content(found: Found | None, ledger: Ledger, read: Reader) -> str:
    """Return the hash of the content that is at a path now."""
    stamp = None if found is None else stamp_of(found.source)
    if found is None or stamp is None:
        return _NOTHING
    known = ledger.known(found.source)
    if known is None or known.stamp != stamp:
        try:
            known = await read(found)
        except MediaRejectedError:
            return _NOTHING
        except (SymblError, OSError):
            return _UNKNOWN
        ledger.remember(found.source, known)
    return known.sha256
