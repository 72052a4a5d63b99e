"""Follow submissions and jobs to their end; when interrupted, report the unfinished ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from attrs import define

from symbl_aio import (
    AmbiguousSubmissionError,
    APIError,
    AppendBlockedError,
    ClientClosedError,
    DecodeError,
    Job,
    JobError,
    NotFoundError,
    Submission,
    SymblClient,
    SymblError,
)
from symbl_aio.cli.exit_codes import OK, code_of, describe, most_severe, remedy_of
from symbl_aio.cli.show_json import Show
from symbl_aio.cli.unfinished import RunningJob, Untouched

Begin = Callable[[SymblClient], Mapping[str, Submission | Job]]
"""Starts the work of a command; returns it by label."""


async def follow(
    client: SymblClient, begin: Begin, show: Show, untouched: Untouched, *, wait: bool = True
) -> int:
    """Open the client, start the work and follow all of it; return the exit code.

    With ``wait=False`` a submission is done once it is accepted. When the task is
    cancelled, the client is closed first, so that the report about it is final.
    ``untouched`` is cleared once the work has started.
    """
    work: Mapping[str, Submission | Job] = {}
    shown: dict[str, int] = {}
    try:
        async with client:
            work = begin(client)
            untouched.clear()
            await _check_reachable(work)
            code = await watch(work, show, wait=wait, shown=shown)
            if not wait:
                # No other place keeps the tokens; until they are read, Ctrl-C lists them.
                await show.read()
            return code
    except BaseException as error:
        # The client is closed by now, so every submission has its final outcome.
        if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt)) and work:
            await _report_unfinished(client, work, show, shown)
        raise


async def watch(
    work: Mapping[str, Submission | Job],
    show: Show,
    *,
    wait: bool = True,
    shown: dict[str, int] | None = None,
) -> int:
    """Show all of the work until it ends; return the exit code.

    ``shown`` receives the exit code of each source whose end was shown.
    """
    show.expect(list(work))
    outcomes = Outcomes({} if shown is None else shown)
    await asyncio.gather(
        *(_follow_one(name, item, show, wait, outcomes) for name, item in work.items())
    )
    if outcomes.first is not None:
        show.ended(outcomes.message(len(work)), outcomes.brief(len(work)))
    return most_severe(outcomes.codes.values())


@define
class Outcomes:
    """The exit code of each source that ended, and the first error."""

    codes: dict[str, int]
    first: tuple[str, SymblError] | None = None

    def failed(self, name: str, error: SymblError) -> None:
        self.codes[name] = code_of(error)
        if self.first is None:
            self.first = (name, error)

    def message(self, count: int) -> str:
        """Return one line about all failures: how many, the first of them, and its remedy."""
        assert self.first is not None
        name, error = self.first
        failed = sum(code != OK for code in self.codes.values())
        which = f"{name} failed" if failed == 1 else f"{failed} of {count} failed, first {name}"
        return f"{which}: {describe(error)}"

    def brief(self, count: int) -> str:
        """Return how many failed, and the remedy of the first, without its reason."""
        assert self.first is not None
        failed = sum(code != OK for code in self.codes.values())
        which = f"{failed} of {count} failed" if count > 1 else ""
        return "; ".join(filter(None, (which, remedy_of(self.first[1]))))


async def _follow_one(
    name: str, item: Submission | Job, show: Show, wait: bool, outcomes: Outcomes
) -> None:
    try:
        if isinstance(item, Submission):
            async for progress in item.progress():
                show.upload(name, progress.sent, progress.total)
            job = await item
            show.accepted(name, job, followed=wait)
        else:
            job = item
        if wait:
            async for event in job.events():
                show.status(name, event)
            await job
            show.completed(name, job)
        outcomes.codes[name] = OK
    except SymblError as error:
        show.failed(name, error)
        outcomes.failed(name, error)


async def _check_reachable(work: Mapping[str, Submission | Job]) -> None:
    """Raise if the server of a job is unreachable; polls would retry for a day.

    Raises ``NotFoundError`` for an id that a person gave and the server does not know: the grace
    of the polls is for a job that was accepted a moment ago, whose token has its conversation.
    """
    jobs = [item for item in work.values() if isinstance(item, Job)]
    for job in jobs[:1] + [job for job in jobs[1:] if job.conversation_id is None]:
        try:
            await job.refresh()
        except NotFoundError:
            if job.conversation_id is None:
                raise
        except (APIError, DecodeError, JobError):
            pass  # it answered; the polls judge the answer


async def _report_unfinished(
    client: SymblClient, work: Mapping[str, Submission | Job], show: Show, shown: Mapping[str, int]
) -> None:
    names: dict[str, str] = {}
    ambiguous, unsent = [], []
    for name, item in work.items():
        try:
            job = item if isinstance(item, Job) else await item
            names[job.token] = name
        except AmbiguousSubmissionError:
            ambiguous.append(name)
        except (ClientClosedError, AppendBlockedError):
            # Withdrawn when the client closed. One that was shown has failed before.
            if name not in shown:
                unsent.append(name)
        except SymblError as error:
            if name not in shown:
                show.failed(name, error)
    running = [RunningJob(names.get(token, "a job"), token) for token in client.unfinished]
    show.interrupted(running, ambiguous, unsent)
