"""The outcomes that the callers of a soak got, beside the submissions that the server accepted."""

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
    """The outcome of each mark, in one byte, so that an hour of load needs little memory."""

    NOTHING, ACCEPTED, AMBIGUOUS, REFUSED = range(4)

    def __init__(self) -> None:
        self.reported = array("b")
        self.accepted = array("b")
        self.counts: Counter[str] = Counter()
        self.mismatches: list[str] = []
        self.errors: Counter[str] = Counter()
        self.running: set[str] = set()
        """Ids of the jobs that callers got and that have not ended."""
        self._first: dict[int, tuple[str | None, str]] = {}
        """Conversation and job of a mark that one of the two sides has named so far."""
        self._last: dict[str, int] = {}

    def call(self) -> int:
        self.reported.append(self.NOTHING)
        self.accepted.append(0)
        return len(self.reported) - 1

    def record(self, mark: int, outcome: Job | BaseException) -> None:
        if isinstance(outcome, Job):
            self.reported[mark] = self.ACCEPTED
            self.counts["accepted"] += 1
            self._compare(mark, (outcome.conversation_id, outcome.id))
            return
        self._first.pop(mark, None)
        self.errors[type(outcome).__name__] += 1
        ambiguous = isinstance(outcome, AmbiguousSubmissionError)
        self.reported[mark] = self.AMBIGUOUS if ambiguous else self.REFUSED
        if ambiguous:
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
            self.mismatches.append(f"job {job.id} ended with {error!r}")

    def record_accepted(self, accepted: list[tuple[int, str, str]]) -> None:
        """Record the submissions that the server accepted, in its order."""
        for mark, conversation_id, job_id in accepted:
            self.accepted[mark] += 1
            self.counts["duplicates"] += self.accepted[mark] > 1
            self.counts["order violations"] += self._last.get(conversation_id, -1) > mark
            self._last[conversation_id] = mark
            if self.reported[mark] in (self.NOTHING, self.ACCEPTED):
                self._compare(mark, (conversation_id, job_id))

    def _compare(self, mark: int, named: tuple[str | None, str]) -> None:
        """Compare the two sides of a mark, once both have named its job."""
        first = self._first.pop(mark, None)
        if first is None:
            self._first[mark] = named
        elif first != named:
            self.mismatches.append(f"{mark} is {first} on one side, and {named} on the other")

    def forget(self, conversation_ids: list[str]) -> None:
        for conversation_id in conversation_ids:
            self._last.pop(conversation_id, None)

    def close(self) -> None:
        """Compare both sides at the end."""
        self.mismatches += [f"only one side knows {named}" for named in self._first.values()]
        for mark, (reported, accepted) in enumerate(zip(self.reported, self.accepted, strict=True)):
            if reported == self.NOTHING:
                self.counts["pending futures"] += 1
            elif reported == self.ACCEPTED and not accepted:
                self.mismatches.append(f"{mark} was reported accepted, and was not")
            elif reported == self.REFUSED and accepted:
                self.mismatches.append(f"{mark} was reported not accepted, and was")
            elif reported == self.AMBIGUOUS:
                self.counts["ambiguous, and accepted" if accepted else "ambiguous, and not"] += 1
