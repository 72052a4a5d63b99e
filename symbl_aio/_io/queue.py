"""The submissions that are not settled: whose turn it is, who has a slot, and what ends with what.

No task and no await. Each method is one transition of lanes, slots and deadlines together, and
returns the submissions that end with it; ``submissions`` starts, settles and emits.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context, copy_context
from itertools import count, islice
from secrets import token_hex
from time import monotonic
from typing import Final, TypeAlias

from attrs import define, field

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio._core.conversation_lanes import Lanes
from symbl_aio._core.slots import JobSlots, Permission, SlotDeadlines
from symbl_aio._fields import is_word
from symbl_aio._io.single_use_body import Payload
from symbl_aio._source_names import labelled
from symbl_aio.config import Config
from symbl_aio.errors import (
    AppendBlockedError,
    ClientClosedError,
    ConcurrencyLimitError,
    ConfigurationError,
    JobFailedError,
    QueueFullError,
    SymblError,
)
from symbl_aio.job import Submission
from symbl_aio.media import Audio, Media, Recording, Text, Video

_IDENTITIES: Final = map(str, count(1))
_HEADS_COMPARED: Final = 64
"""How many waiting submissions are compared to find the one that is cheapest to send."""


@define(eq=False)
class PendingSubmission:
    """A submission that is not settled."""

    key: str
    """Its key."""
    source: str | None
    """Name of the media, for events."""
    submission: Submission
    """The caller's handle."""
    media: Media | Recording
    """What to send."""
    options: symbl_aio.Options | None
    """How to process it."""
    is_append: bool
    """Whether it is added to a conversation that exists."""
    name: str | None
    """The name that the caller gave to the conversation it opens."""
    nonce: str | None
    """The part of its webhook URL that identifies it; ``None`` without webhooks."""
    before_last_byte: Callable[[], Awaitable[None]] | None = None
    """Awaited before its last byte is handed over."""
    measured: int | None = None
    """The size of its file, once that was looked up."""
    context: Context = field(factory=copy_context)
    """The caller's context, in which it is sent."""
    task: asyncio.Task[None] | None = None
    """Sends it, once it has its turn and a slot."""
    payload: Payload | None = None
    """Its body, once it is being sent."""
    cancelled_by: BaseException | None = None
    """Why it was cancelled, if it was."""
    sent_at: float = 0.0
    """When it was last started, before its first byte, by the monotonic clock."""
    identity: str = field(factory=_IDENTITIES.__next__)
    """Its own for ever, where its key is free again once it has ended."""

    @property
    def label(self) -> str:
        """Key and source, for messages and log lines."""
        return labelled(self.key, self.source)

    @property
    def size(self) -> int | None:
        """About how many bytes it will send; ``None`` until its file was looked up."""
        return _known_size(self.media) if self.measured is None else self.measured

    @property
    def text(self) -> str | None:
        """All of its words, if it is text."""
        media = self.media
        return " ".join(m.text for m in media.messages) if isinstance(media, Text) else None

    @property
    def path(self) -> str | os.PathLike[str] | None:
        """Its file, if it is one."""
        if isinstance(self.media, Recording):
            return self.media.path
        if isinstance(self.media, Audio | Video):
            source = self.media.source
            return source if isinstance(source, str | os.PathLike) else None
        return None

    def cancel(self, reason: BaseException) -> bool:
        """Cancel a started one. Returns false, and does nothing, if the server may have it."""
        if self.task is None or (self.payload is not None and self.payload.complete):
            return False
        if self.payload is not None:
            self.payload.revoke()
        # The first reason stays: the caller was given that one.
        self.cancelled_by = self.cancelled_by or reason
        self.task.cancel()
        return True


Ended: TypeAlias = list[tuple[PendingSubmission, BaseException]]
"""Submissions that ended without a job, each with its error, in the order of their lanes."""


class SubmissionQueue:
    """The unsettled submissions of one client, their lanes and the job slots of the account."""

    def __init__(self, config: Config) -> None:
        limits = config.limits
        self.slots = JobSlots(
            first=limits.jobs or limits.initial_jobs, most=limits.jobs or limits.max_jobs
        )
        self.pending: dict[str, PendingSubmission] = {}
        self.is_closed = False
        self.lanes = Lanes()
        self._deadlines = SlotDeadlines(limits.wait_for_slot)
        self._policy = config.lanes
        self._most = limits.queued
        self._by_key: dict[str, Submission] = {}
        self._key_stem = token_hex(12)
        self._keys_made = 0
        self._holders: dict[str, tuple[str, ...]] = {}

    def new_key(self) -> str:
        """Return a key that no other client makes."""
        self._keys_made += 1
        return f"{self._key_stem}{self._keys_made:08x}"

    def known(self, key: str) -> Submission | None:
        """Return the submission of a key, until its job has ended."""
        return self._by_key.get(key)

    def lane_of(self, key: str) -> str | None:
        """Return the lane that a submission waits in or holds: its conversation id, once known."""
        return self.lanes.name_of(key)

    def halted(self) -> tuple[str, ...]:
        """Return the ids of the conversations whose lane is halted."""
        return tuple(self.lanes.halted())

    # Waiting

    def check_lane(self, lane: str) -> None:
        """Raise ``QueueFullError`` or, for a halted lane, ``AppendBlockedError``."""
        if self.lanes.waiting >= self._most:
            raise QueueFullError(
                f"{self.lanes.waiting} submissions are waiting (Limits.queued); "
                "await some of them, or use client.map, which takes no more than it can send"
            )
        if (cause := self.lanes.halted_by(lane)) is not None:
            raise blocked(cause)

    def add(self, pending: PendingSubmission, lane: str) -> None:
        """Put a submission at the end of a lane."""
        key = pending.key
        self.pending[key] = pending
        self._by_key[key] = pending.submission
        self.lanes.add(lane, key)

    def start_next(self, now: float) -> PendingSubmission | None:
        """Start the next submission in a slot. Returns it, or ``None`` if none may start now."""
        permission = self.slots.may_start(now)
        if permission is Permission.NO:
            return None
        is_probe = permission is Permission.PROBE
        key = self._cheapest() if is_probe else next(self.lanes.ready(), None)
        if key is None:
            return None
        self.lanes.start(key)
        self.slots.start(key, now)
        self._deadlines.start(key)
        return self.pending[key]

    def heads(self) -> Iterator[PendingSubmission]:
        """Yield the first submissions that are ready, the one whose turn it is first."""
        for key in islice(self.lanes.ready(), _HEADS_COMPARED):
            yield self.pending[key]

    def _cheapest(self) -> str | None:
        # A probe may be refused, so it is the submission that costs least to send.
        cheapest = min(
            self.heads(),
            key=lambda pending: float("inf") if pending.size is None else pending.size,
            default=None,
        )
        return None if cheapest is None else cheapest.key

    def expire(self, now: float) -> Ended:
        """End the submissions that have waited for a slot longer than ``Limits.wait_for_slot``."""
        ended: Ended = []
        if self._deadlines.seconds is None:
            self.lanes.newly_ready.clear()
            return ended
        while True:
            newly_ready, self.lanes.newly_ready = self.lanes.newly_ready, []
            for key in newly_ready:
                if key in self.pending:
                    self._deadlines.wait(key, now)
            if not (late := self._deadlines.expired(now)):
                return ended
            for key in late:  # the one behind it becomes ready, and may be late as well
                pending = self.pending[key]
                full = ConcurrencyLimitError(
                    429,
                    "no job slot became free within "
                    f"Limits.wait_for_slot={self._deadlines.seconds} s",
                    where=f"submission {pending.label}",
                )
                ended += self.discard(pending, full)

    def wakes_at(self) -> float | None:
        """Return when time alone lets a submission start or expire; ``None`` if it never does."""
        times = []
        if (deadline := self._deadlines.next_at()) is not None:
            times.append(deadline)
        # A probe needs a submission that is ready; without one the next event wakes, not the clock.
        probe_at = self.slots.wakes_at()
        if probe_at is not None and next(self.lanes.ready(), None) is not None:
            times.append(probe_at)
        return min(times, default=None)

    def discard(self, pending: PendingSubmission, error: BaseException) -> Ended:
        """End a submission that has not started."""
        lane = self._lane_of(pending)
        self.lanes.discard(pending.key)
        self._remove(pending)
        return [(pending, error), *self._after_failure(pending, lane, error)]

    def close(self) -> Ended:
        """End all submissions that have not started, and refuse to take one back."""
        self.is_closed = True
        closed = ClientClosedError("the client was closed; nothing of this submission was sent")
        waiting = [pending for pending in self.pending.values() if pending.task is None]
        for pending in waiting:
            self.lanes.discard(pending.key)
            self._remove(pending)
        return [(pending, closed) for pending in waiting]

    # Started

    def accept(self, pending: PendingSubmission, job_id: str, conversation_id: str) -> None:
        """Pass the slot, and perhaps the lane, to the job until it ends."""
        key = pending.key
        self.slots.accept(key, job_id, more_waiting=self.lanes.waiting > 0)
        if not pending.is_append:
            self.lanes.rename(provisional_lane(key), conversation_id)
        if self._policy.advance_on == "accepted":
            self.lanes.release(key)
        # A server that repeats a job id has one job for several submissions.
        self._holders[job_id] = (*self._holders.get(job_id, ()), key)
        self._remove(pending, accepted=True)

    def refuse(self, pending: PendingSubmission, retry_after: float | None) -> None:
        """Release the slot of a submission that the full account refused (429)."""
        pending.payload = None
        self.slots.refuse(pending.key, monotonic(), retry_after=retry_after)

    def put_back(self, pending: PendingSubmission) -> Ended | None:
        """Put a refused submission back at the head of its lane.

        Returns ``None`` if it waits again, else the submissions that end instead.
        """
        if pending.cancelled_by is not None or self.is_closed:
            closed = ClientClosedError("the client was closed; the submission was refused")
            return self.fail(pending, pending.cancelled_by or closed)
        if (cause := self.lanes.halted_by(self._lane_of(pending))) is not None:
            return self.fail(pending, blocked(cause))
        self.lanes.put_back(pending.key)
        return None

    def fail(self, pending: PendingSubmission, error: BaseException) -> Ended:
        """End a started submission of which the server accepted nothing."""
        lane = self._lane_of(pending)
        self.slots.free(pending.key)
        self._remove(pending)
        ended = [(pending, error), *self._after_failure(pending, lane, error)]
        self.lanes.release(pending.key)
        return ended

    def end_ambiguous(self, pending: PendingSubmission, error: BaseException) -> Ended:
        """End a submission that may have been accepted. Its followers must not be sent."""
        lane = self._lane_of(pending)
        self.slots.free(pending.key)
        self._remove(pending)
        behind = self._halt(lane, error) if pending.is_append else self._clear(lane, error)
        self.lanes.release(pending.key)
        return [(pending, error), *behind]

    # Accepted

    def adopt(self, job_id: str, conversation_id: str | None) -> None:
        """Count a job that was attached by its id, and hold its conversation's appends."""
        self.slots.adopt(job_id)
        if conversation_id is not None:
            self.hold(job_id, conversation_id)

    def hold(self, job_id: str, conversation_id: str) -> None:
        """Hold the appends of a conversation until an attached job has ended."""
        if self._policy.advance_on == "completed":
            self.lanes.hold(conversation_id, _holder(job_id))

    def end_job(self, job_id: str, conversation_id: str | None, error: SymblError | None) -> Ended:
        """Free the slot of a job, and let its lane move on or halt."""
        self.slots.end(job_id)
        self.lanes.release(_holder(job_id))
        for key in self._holders.pop(job_id, ()):
            self._by_key.pop(key, None)
            self.lanes.release(key)
        if not self._by_key:
            self._by_key.clear()  # an empty dict keeps the room of its fullest hour
        if (
            isinstance(error, JobFailedError)
            and conversation_id is not None
            and self._policy.on_failure == "halt"
        ):
            return self._halt(conversation_id, error)
        return []

    def resume(self, conversation_id: str) -> None:
        """Accept appends to a halted conversation again."""
        self.lanes.resume(conversation_id)

    # Common to all

    def _lane_of(self, pending: PendingSubmission) -> str:
        lane = self.lanes.name_of(pending.key)
        assert lane is not None
        return lane

    def _after_failure(self, pending: PendingSubmission, lane: str, error: BaseException) -> Ended:
        """End the submissions that cannot, or must not, follow one that failed."""
        if not pending.is_append:
            return self._clear(lane, error)
        if self._policy.on_failure == "halt" and isinstance(error, Exception):
            return self._halt(lane, error)
        return []

    def _halt(self, lane: str, cause: BaseException) -> Ended:
        halted = self.lanes.halt(lane, _without_frames(cause))
        return [(self._remove(self.pending[key]), blocked(cause)) for key in halted]

    def _clear(self, lane: str, cause: BaseException) -> Ended:
        cleared = self.lanes.clear(lane)
        return [(self._remove(self.pending[key]), without_conversation(cause)) for key in cleared]

    def _remove(self, pending: PendingSubmission, *, accepted: bool = False) -> PendingSubmission:
        del self.pending[pending.key]
        if not self.pending:
            self.pending.clear()  # an empty dict keeps the room of its fullest hour
        self._deadlines.forget(pending.key)
        if not accepted:
            self._by_key.pop(pending.key, None)
        return pending


def _known_size(media: Media | Recording) -> int | None:
    """Return about how many bytes will be sent, as far as that is known without a disk."""
    if isinstance(media, Text):
        return sum(len(message.text) for message in media.messages)
    if isinstance(media, (Audio, Video)):
        return len(media.source) if isinstance(media.source, bytes) else media.size
    return None if isinstance(media, Recording) else 0


def check_key(key: object) -> str:
    """Return a caller's key. Raises ``ConfigurationError`` if it cannot be one."""
    if not is_word(key):
        raise ConfigurationError(
            f"key is {key!r}; give a non-empty string without control characters or line breaks"
        )
    return key


def provisional_lane(key: str) -> str:
    """Return the lane of a submission whose conversation has no id yet."""
    return f"\n{key}"  # no id has a line break, so none is equal to it


def _holder(job_id: str) -> str:
    """Return the key under which an attached job holds its lane."""
    return f"\n{job_id}"  # no caller's key has a line break


def blocked(cause: BaseException) -> AppendBlockedError:
    """Return the error of an append to a halted lane."""
    return AppendBlockedError(
        "nothing was sent: an earlier submission of this conversation ended with "
        f"{type(cause).__name__}; settle that, then conversation.resume_appends()",
        cause,
    )


def without_conversation(cause: BaseException) -> AppendBlockedError:
    """Return the error of an append to a conversation that was not opened."""
    return AppendBlockedError(
        "nothing was sent: the submission that was to open the conversation ended with "
        f"{type(cause).__name__}; settle that, then submit both again",
        cause,
    )


def _without_frames(error: BaseException) -> BaseException:
    """Copy an error without its traceback, which would keep the variables of its callers."""
    kept = type(error).__new__(type(error), *error.args)
    kept.__dict__.update(error.__dict__)
    kept.__cause__ = error.__cause__
    return kept
