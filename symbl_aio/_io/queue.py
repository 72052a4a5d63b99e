"""Settle submissions: accepted, put back, refused, or of unknown outcome.

Each of them ends once. The lanes and the governor are told, and what stood behind it goes
on, or ends with it. Nothing here waits or starts: who may start is for ``submissions`` to
ask after each change.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic

from symbl_aio._core.lanes import Lanes
from symbl_aio._core.slot_deadlines import Patience
from symbl_aio._core.slots import Governor
from symbl_aio._io.api import Accepted, Full, UnsettledError
from symbl_aio._io.reconcile import Doubt, Doubts
from symbl_aio._io.work import Work
from symbl_aio.config import Config
from symbl_aio.errors import (
    AmbiguousSubmissionError,
    AppendBlockedError,
    ClientClosedError,
    JobFailedError,
    SymblError,
)
from symbl_aio.events import (
    Event,
    SubmissionAccepted,
    SubmissionEnded,
    SubmissionQueued,
    SubmissionRefused,
)
from symbl_aio.job import Acceptance, Job, Submission


class Settling:
    """The submissions of one client that are not settled.

    ``accepted`` is called with what the server answered, the recording's seconds if known,
    whether a webhook reported already that the job ended, and what names the submission; it
    returns the job to be followed.

    Every method is done before another begins, so that what the lanes, the governor and
    the works say is one truth.
    """

    def __init__(
        self,
        config: Config,
        doubts: Doubts,
        *,
        tell: Callable[[Event], bool],
        accepted: Callable[[Accepted, float | None, bool, Callable[[], str] | None], Job],
        check_open: Callable[[], None],
    ) -> None:
        limits = config.limits
        self.governor = Governor(
            first=limits.jobs or limits.initial_jobs, most=limits.jobs or limits.max_jobs
        )
        self.lanes = Lanes()
        self.patience = Patience(limits.wait_for_slot)
        self.works: dict[str, Work] = {}
        self.closing = False
        self._policy = config.lanes
        self._doubts = doubts
        self._tell = tell
        self._accepted = accepted
        self._check_open = check_open
        self._by_key: dict[str, Submission] = {}
        self._holders: dict[str, list[str]] = {}

    def known(self, key: str) -> Submission | None:
        """Give the submission that bears a key, until its job has ended."""
        return self._by_key.get(key)

    def take(self, work: Work, lane: str) -> None:
        """Put a submission at the end of a lane."""
        key = work.key
        self.works[key], self._by_key[key] = work, work.submission
        self._doubts.note_name(key, work.name)
        self.lanes.add(lane, key)
        self._tell(SubmissionQueued(key, work.submission.conversation_id, work.source))

    # What waits

    def drop(self, work: Work, error: BaseException) -> None:
        """End a submission that has not started."""
        lane = self.lanes.name_of(work.key)
        assert lane is not None
        self.lanes.discard(work.key)
        self._settle(work, error)
        self._after_failure(work, lane, error)

    def close(self) -> None:
        """End all that have not started, and from now on whatever would wait again."""
        self.closing = True
        closed = ClientClosedError("the client was closed; nothing of this submission was sent")
        for work in [work for work in self.works.values() if work.task is None]:
            self.lanes.discard(work.key)
            self._settle(work, closed)

    # What has started

    def accept(self, work: Work, accepted: Accepted, duration: float | None) -> None:
        """The server took it: its job holds the slot, and perhaps the lane, until it ends."""
        key, conversation_id = work.key, accepted.conversation_id
        more = len(self.lanes) > 0
        self.governor.accept(key, accepted.job_id, monotonic(), more_waiting=more)
        if work.is_append:
            self._doubts.written.add(conversation_id, key, work.text)
        else:
            self.lanes.rename(first_lane(key), conversation_id)
            self._doubts.written.open(conversation_id, key, work.text)
            self._doubts.claim(conversation_id, work.name)
        if self._policy.advance_on == "accepted":
            self.lanes.release(key)
        self._holders.setdefault(accepted.job_id, []).append(key)
        self._tell(SubmissionAccepted(key, conversation_id, accepted.job_id, work.source))
        ended = self._doubts.own(work.nonce, accepted.job_id)
        self._settle(work, self._accepted(accepted, duration, ended, work.submission._named))

    def put_back(self, work: Work, full: Full) -> bool:
        """Let one wait again that was refused for want of a slot; false if it ends instead."""
        work.body = None
        self._unwrite(work)
        self.governor.refuse(work.key, monotonic(), retry_after=full.retry_after)
        self._tell(SubmissionRefused(work.key, self.governor.limit, work.source))
        if work.ending is not None or self.closing:
            closed = ClientClosedError("the client was closed; the submission was refused")
            self.fail(work, work.ending or closed)
            return False
        lane = self.lanes.name_of(work.key)
        if lane is not None and (cause := self.lanes.halted_by(lane)) is not None:
            self.fail(work, blocked(cause))
            return False
        self.lanes.put_back(work.key)
        return True

    def fail(self, work: Work, error: BaseException) -> None:
        """Nothing of it was, or will be, accepted."""
        lane = self.lanes.name_of(work.key)
        assert lane is not None
        self._unwrite(work)
        self.governor.free(work.key)
        self._settle(work, error)
        self._after_failure(work, lane, error)
        self.lanes.release(work.key)

    def doubt(self, work: Work, unsettled: UnsettledError) -> None:
        """Perhaps it was accepted: whoever comes after it must not be sent."""
        lane = self.lanes.name_of(work.key)
        assert lane is not None
        doubt = self._doubts.open(
            work.key,
            conversation_id=lane if work.is_append else None,
            name=work.name,
            text=work.text,
            sent_at=work.sent_at,
            nonce=work.nonce,
        )
        error = AmbiguousSubmissionError(
            f"submission {work.label} was sent whole, and whether it was accepted is not known "
            f"({unsettled.cause}); it is not sent again, error.reconcile() looks for proof",
            key=work.key,
            reconcile=partial(self._reconcile, doubt),
            sent=unsettled.sent,
        )
        # Without its frames, which hold the whole body: callers and halted lanes keep the error.
        error.__cause__ = unsettled.cause.with_traceback(None)
        self.governor.free(work.key)
        self._settle(work, error)
        if work.is_append:
            self._halt(lane, error)
        else:
            self._clear(lane, error)
        self.lanes.release(work.key)

    async def _reconcile(self, doubt: Doubt) -> Acceptance:
        if self.closing:
            raise ClientClosedError(
                "the client was closed; look at the conversation with another one"
            )
        self._check_open()
        return await self._doubts.find_proof(doubt)

    # What was accepted

    def hold(self, job: Job, conversation_id: str) -> None:
        """Let the appends of a conversation wait for a job that was attached again."""
        if self._policy.advance_on == "completed":
            holder = f"\n{job.id}"  # no caller's key has a line break
            self.lanes.hold(conversation_id, holder)
            self._holders.setdefault(job.id, []).append(holder)

    def job_ended(self, job: Job, error: SymblError | None) -> None:
        """Free the slot of a job, and let its lane move on or halt."""
        self.governor.end(job.id)
        for key in self._holders.pop(job.id, ()):
            self._by_key.pop(key, None)
            self.lanes.release(key)
        if not self._by_key:
            self._by_key.clear()
        if (
            isinstance(error, JobFailedError)
            and job.conversation_id is not None
            and self._policy.on_failure == "halt"
        ):
            self._halt(job.conversation_id, error)

    # Common to all

    def _unwrite(self, work: Work) -> None:
        if work.is_append and (lane := self.lanes.name_of(work.key)) is not None:
            self._doubts.written.withdraw(lane, work.key)

    def _after_failure(self, work: Work, lane: str, error: BaseException) -> None:
        """End what cannot come after a submission that failed, or must not."""
        if not work.is_append:
            self._clear(lane, error)
        elif self._policy.on_failure == "halt" and isinstance(error, Exception):
            self._halt(lane, error)

    def _halt(self, lane: str, cause: BaseException) -> None:
        for key in self.lanes.halt(lane, _without_frames(cause)):
            self._settle(self.works[key], blocked(cause))

    def _clear(self, lane: str, cause: BaseException) -> None:
        for key in self.lanes.clear(lane):
            self._settle(self.works[key], without_conversation(cause))

    def _settle(self, work: Work, outcome: Job | BaseException) -> None:
        del self.works[work.key]
        if not self.works:
            self.works.clear()  # an empty dict keeps the room of its fullest hour
        self.patience.forget(work.key)
        self._doubts.forget_name(work.key, work.name)
        told = isinstance(outcome, ClientClosedError)
        if not isinstance(outcome, Job):
            self._by_key.pop(work.key, None)
            told = self._tell(SubmissionEnded(work.key, outcome, work.source)) or told
        work.submission._settle(outcome, expected=told)


def first_lane(key: str) -> str:
    """Name the lane of a submission whose conversation has no id yet."""
    return f"\n{key}"  # no id has a line break, so none is equal to it


def blocked(cause: BaseException) -> AppendBlockedError:
    """Give the error of an append to a halted lane."""
    return AppendBlockedError(
        "nothing was sent: an earlier submission of this conversation ended with "
        f"{type(cause).__name__}; settle that, then conversation.resume_appends()",
        cause,
    )


def without_conversation(cause: BaseException) -> AppendBlockedError:
    """Give the error of an append to a conversation that was not opened."""
    return AppendBlockedError(
        "nothing was sent: the submission that was to open the conversation ended with "
        f"{type(cause).__name__}; settle that, then submit both again",
        cause,
    )


def _without_frames(error: BaseException) -> BaseException:
    """Give another one of the same content, which no traceback ties to its callers' variables."""
    kept = type(error).__new__(type(error), *error.args)
    kept.__dict__.update(error.__dict__)
    kept.__cause__ = error.__cause__
    return kept
