"""Follow submissions and jobs to their end, and say what was left when interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from symbl_aio import (
    AmbiguousSubmissionError,
    ClientClosedError,
    Job,
    Submission,
    SymblClient,
    SymblError,
)
from symbl_aio.cli.endings import OK, code_of, gravest
from symbl_aio.cli.leftover import Running
from symbl_aio.cli.show import Show

Work = Callable[[SymblClient], Mapping[str, Submission | Job]]


def labels(sources: Sequence[str]) -> list[str]:
    """Name each source once: a file given twice is told apart."""
    seen: dict[str, int] = {}
    named = []
    for source in sources:
        seen[source] = seen.get(source, 0) + 1
        named.append(source if seen[source] == 1 else f"{source} ({seen[source]})")
    return named


async def follow(client: SymblClient, begin: Work, show: Show, *, wait: bool = True) -> int:
    """Open the client, begin the work and follow all of it; give the exit code.

    With ``wait=False`` a submission is done once it is accepted. When the task is
    cancelled, the client is closed first, so that what is told about it is final.
    """
    work: Mapping[str, Submission | Job] = {}
    try:
        async with client:
            work = begin(client)
            return await watch(work, show, wait=wait)
    except BaseException:
        if client.unfinished or work:
            await _tell_what_is_left(client, work, show)
        raise


async def watch(work: Mapping[str, Submission | Job], show: Show, *, wait: bool = True) -> int:
    """Tell about all of the work until its end; give the exit code."""
    show.expect(list(work))
    return gravest(
        await asyncio.gather(*(_one(name, item, show, wait) for name, item in work.items()))
    )


async def _one(name: str, item: Submission | Job, show: Show, wait: bool) -> int:
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
    except SymblError as error:
        show.failed(name, error)
        return code_of(error)
    return OK


async def _tell_what_is_left(
    client: SymblClient, work: Mapping[str, Submission | Job], show: Show
) -> None:
    names: dict[str, str] = {}
    unsure, unsent = [], []
    for name, item in work.items():
        try:
            job = item if isinstance(item, Job) else await item
            names[job.token] = name
        except AmbiguousSubmissionError:
            unsure.append(name)
        except ClientClosedError:
            unsent.append(name)
        except SymblError:
            pass  # told when it happened
    running = [Running(names.get(token, "a job"), token) for token in client.unfinished]
    show.interrupted(running, unsure, unsent)
