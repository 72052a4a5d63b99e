"""The dry run: what an upload would do with each recording, and why. Sends nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

from attrs import define, field

from symbl_aio import SymblError
from symbl_aio.cli.exit_codes import OK, USAGE, describe, most_severe
from symbl_aio.cli.upload.decide import (
    Decision,
    Follow,
    Prove,
    Refuse,
    Send,
    Skip,
    decide,
    sent_behind,
    was_sent,
)
from symbl_aio.cli.upload.find_files import NOT_FOLLOWED, Found, Listing
from symbl_aio.cli.upload.fingerprint import READERS, Fingerprint, fingerprint, reading_threads
from symbl_aio.cli.upload.grouping import Grouped, Meeting
from symbl_aio.cli.upload.ledger import Ledger
from symbl_aio.cli.upload.moved_files import moves
from symbl_aio.cli.upload.show_json import Show
from symbl_aio.cli.upload.time_left import in_words

_SHOWN: Final = 20
"""Lines of a dry run about single meetings and recordings; --json prints all of them."""
_NAMED: Final = 8
"""Recordings of a meeting that such a line names."""


@define
class Plan:
    """What a run would do."""

    meetings: int = 0
    """Conversations that it would open or go on with."""
    counts: Counter[str] = field(factory=Counter)
    """Recordings by what it would do: send, follow, prove, skip, refuse, block."""
    seconds: float = 0.0
    """Length of the recordings that it would send, as far as their headers have it."""
    unknown: int = 0
    """How many of those have no length in their headers."""
    reasons: list[tuple[str, str, str]] = field(factory=list)
    """Label, action and reason of each recording that is not simply sent."""

    @property
    def exit_code(self) -> int:
        """The exit code of the dry run: that of wrong usage if a recording would be refused."""
        return USAGE if self.counts["refuse"] else OK

    def record(self, label: str, action: str, reason: str = "") -> None:
        """Count a recording by its action, and keep the reason if there is one to show."""
        self.counts[action] += 1
        if reason:
            self.reasons.append((label, action, reason))

    def add(self, label: str, decision: Decision, seconds: float | None) -> None:
        """Record the decision about a recording, of so many seconds if its header has them."""
        match decision:
            case Send(changed=changed):
                self.seconds += seconds or 0.0
                self.unknown += seconds is None
                self.record(label, "send", "it changed since it was sent" if changed else "")
            case Follow():
                self.record(label, "follow")
            case Prove():
                self.record(label, "prove", "it may have arrived")
            case Skip(reason=reason, moved=moved):
                self.record(label, "skip", reason if moved else "")
            case Refuse(reason=reason):
                self.record(label, "refuse", reason)


async def plan(
    meetings: Sequence[Meeting], ledger: Ledger, *, retry_failed: bool, again: bool
) -> Plan:
    """Read all recordings and decide about each. Raises nothing for a single recording."""
    made = Plan()
    readers = reading_threads()
    # A content is compared with that of earlier uploads: without any, the headers are enough.
    hashed = not ledger.is_empty
    at_once = asyncio.Semaphore(2 * READERS)
    in_place: set[int] = set()

    async def read(part: Found) -> Fingerprint:
        return await readers.run(
            partial(fingerprint, part, ledger.known(part.source), hashed=hashed)
        )

    async def one(meeting: Meeting) -> None:
        sends, blocking = False, ""
        async with at_once:
            for part, behind in zip(meeting.parts, sent_behind(meeting, ledger), strict=True):
                if blocking and not was_sent(part, meeting, ledger):
                    made.record(part.label, "block", f"{blocking} comes before it")
                    continue
                blocking = ""
                try:
                    found = await read(part)
                except (SymblError, OSError) as error:
                    made.record(part.label, "refuse", describe(error))
                    blocking = part.label
                    continue
                if hashed:
                    ledger.remember(part.source, found)
                decision = decide(
                    part,
                    found.sha256,
                    meeting,
                    ledger,
                    behind=behind,
                    retry_failed=retry_failed,
                    moves=await moves(part, found.sha256, meeting, ledger, read, in_place),
                    again=again,
                )
                made.add(part.label, decision, found.seconds)
                sends |= isinstance(decision, Send)
                if isinstance(decision, Refuse):
                    blocking = part.label
        made.meetings += sends

    try:
        async with asyncio.TaskGroup() as group:
            for meeting in meetings:
                group.create_task(one(meeting))
    finally:
        readers.threads.shutdown()
    order = {part.label: at for at, part in enumerate(p for m in meetings for p in m.parts)}
    made.reasons.sort(key=lambda reason: order[reason[0]])
    return made


async def dry_run(
    listing: Listing,
    grouped: Grouped,
    ledger: Ledger,
    show: Show,
    *,
    retry_failed: bool,
    again: bool,
) -> int:
    """Print what an upload would do, and return the exit code."""
    made = await plan(grouped.meetings, ledger, retry_failed=retry_failed, again=again)
    reasons = [
        *made.reasons,
        *((one.label, "leave out", reason) for one, reason in grouped.left_out),
        *((folder, "refuse", f"it cannot be read ({why})") for folder, why in listing.unreadable),
        *((folder, "leave out", NOT_FOLLOWED) for folder in listing.links),
    ]
    counts = made.counts
    groups = [meeting for meeting in grouped.meetings if meeting.key is not None]
    named = [
        *(f"{one.name}: {_listed([part.label for part in one.parts])}" for one in groups),
        *(f"{action}  {label}: {reason}" for label, action, reason in reasons),
    ]
    fields: dict[str, object] = {
        "recordings": len(listing.found),
        "meetings": made.meetings,
        "seconds": round(made.seconds, 3),
        "unknown_length": made.unknown,
        "counts": dict(counts),
        "left_out": len(grouped.left_out) + listing.left_out,
        "groups": [
            {"meeting": meeting.name, "sources": [part.label for part in meeting.parts]}
            for meeting in groups
        ],
        "reasons": [
            {"source": label, "action": action, "reason": reason}
            for label, action, reason in reasons
        ],
    }
    unknown = f", and {made.unknown:,} of unknown length" if made.unknown else ""
    length = in_words(made.seconds) if made.seconds else "0 s"
    lines = [
        f"{len(listing.found):,} recordings; {listing.left_out:,} other files are left out.",
        f"To send: {counts['send']:,} in {made.meetings:,} conversations, {length}{unknown}.",
        f"To skip: {counts['skip']:,}. To follow: {counts['follow']:,}. "
        f"To refuse: {counts['refuse']:,}. In doubt: {counts['prove']:,}. "
        f"Blocked: {counts['block']:,}.",
        *(f"  {line}" for line in named[:_SHOWN]),
    ]
    if len(named) > _SHOWN:
        lines.append(f"  and {len(named) - _SHOWN:,} more; --json prints all of them")
    show.planned(fields, lines)
    return most_severe([made.exit_code, USAGE if listing.unreadable else OK])


def _listed(labels: Sequence[str]) -> str:
    more = f", and {len(labels) - _NAMED:,} more" if len(labels) > _NAMED else ""
    return f"{', '.join(labels[:_NAMED])}{more}"
