"""What the callers of a soak were told, beside what the server accepted."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter

from symbl_aio import (
    AmbiguousSubmissionError,
    AppendBlockedError,
    ClientClosedError,
    Job,
    JobFailedError,
    JobLostError,
)


class Books:
    """A byte for each mark, so that the books of an hour weigh nothing."""

    NOTHING, ACCEPTED, DOUBTFUL, REFUSED = range(4)

    def __init__(self) -> None:
        self.told = array("b")
        self.accepted = array("b")
        self.counts: Counter[str] = Counter()
        self.lies: list[str] = []
        self.errors: Counter[str] = Counter()
        self.running: set[str] = set()
        """Ids of the jobs that were accepted, as far as the callers know, and have not ended."""
        self._jobs: dict[int, tuple[str | None, str]] = {}
        self._last: dict[str, int] = {}

    def call(self) -> int:
        self.told.append(self.NOTHING)
        self.accepted.append(0)
        return len(self.told) - 1

    def tell(self, mark: int, outcome: Job | BaseException) -> None:
        if isinstance(outcome, Job):
            self.told[mark] = self.ACCEPTED
            self.counts["accepted"] += 1
            self._jobs[mark] = (outcome.conversation_id, outcome.id)
            return
        self.errors[type(outcome).__name__] += 1
        doubtful = isinstance(outcome, AmbiguousSubmissionError)
        self.told[mark] = self.DOUBTFUL if doubtful else self.REFUSED
        if doubtful:
            self.counts["ambiguous"] += 1
        elif isinstance(outcome, AppendBlockedError):
            self.counts["blocked"] += 1
        elif isinstance(outcome, asyncio.CancelledError):
            self.counts["withdrawn"] += 1
        elif isinstance(outcome, ClientClosedError):
            self.counts["closed before it was sent"] += 1
        else:
            self.counts["refused"] += 1

    def ended(self, job: Job, error: BaseException | None) -> None:
        if isinstance(error, ClientClosedError):
            self.counts["jobs left by a closing"] += 1
            return
        self.running.discard(job.id)
        if error is None:
            self.counts["completed"] += 1
        elif isinstance(error, JobFailedError):
            self.counts["failed"] += 1
        elif isinstance(error, JobLostError):
            self.counts["lost"] += 1
        else:
            self.lies.append(f"job {job.id} ended with {error!r}")

    def enter(self, accepted: list[tuple[int, str, str]]) -> None:
        """Take in what the server accepted, in its order."""
        for mark, conversation_id, job_id in accepted:
            self.accepted[mark] += 1
            self.counts["duplicates"] += self.accepted[mark] > 1
            self.counts["order violations"] += self._last.get(conversation_id, -1) > mark
            self._last[conversation_id] = mark
            told = self._jobs.pop(mark, None)
            if told is not None and told != (conversation_id, job_id):
                self.lies.append(f"{mark} was told {told}, and is {(conversation_id, job_id)}")

    def forget(self, conversation_ids: list[str]) -> None:
        for conversation_id in conversation_ids:
            self._last.pop(conversation_id, None)

    def close(self) -> None:
        """Compare, once both sides are done."""
        for mark, (told, accepted) in enumerate(zip(self.told, self.accepted, strict=True)):
            if told == self.NOTHING:
                self.counts["pending futures"] += 1
            elif told == self.ACCEPTED and not accepted:
                self.lies.append(f"{mark} was told accepted, and was not")
            elif told == self.REFUSED and accepted:
                self.lies.append(f"{mark} was told not accepted, and was")
            elif told == self.DOUBTFUL:
                self.counts["ambiguous, and accepted" if accepted else "ambiguous, and not"] += 1
