"""The events of a job as server-sent events, for a page that shows how far it has come.

Both frameworks send what ``stream`` gives. An encoder of forty lines serves both: what
there is for either adds tasks that outlive the visitor, or a heartbeat that cannot be set.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Final

from symbl_aio import (
    ClientClosedError,
    ConfigurationError,
    Job,
    JobEvent,
    JobFailedError,
    JobStatus,
    SymblError,
)
from symbl_aio.contrib.problems import problem

MEDIA_TYPE: Final = "text/event-stream"

HEADERS: Final = {
    "Cache-Control": "no-store",
    # nginx would keep the events back until it has enough of them.
    "X-Accel-Buffering": "no",
}

HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment is sent, so that nobody thinks the line dead."""

_COMMENT: Final = b":\n\n"


def describe(job: Job, status: JobStatus) -> dict[str, object]:
    """Give what is known of a job with this status as the members of a JSON object.

    ``error`` is a problem if the job failed, else null.
    """
    failed = status is JobStatus.FAILED
    return {
        "id": job.id,
        "conversation_id": job.conversation_id,
        "status": status.value,
        "error": problem(JobFailedError("", job)).as_dict() if failed else None,
    }


def is_over(last_event_id: str | None) -> bool:
    """Say whether a page that comes back has seen the end already (``Last-Event-ID``).

    Answer it with 204, which keeps an ``EventSource`` from coming again.
    """
    return last_event_id in (JobStatus.COMPLETED.value, JobStatus.FAILED.value)


async def stream(
    job: Job, closing: asyncio.Event, *, heartbeat: float = HEARTBEAT
) -> AsyncGenerator[bytes, None]:
    """Give the events of a job as they are sent, first those that already happened.

    Each transition is an event ``status`` with the members of ``describe``, and ``at``; the
    last one is ``completed`` or ``failed``, and its name is also its id. A job that cannot be
    followed to its end, or not now because ``closing`` is set or the client closed, ends with
    an event ``problem`` instead: of status 503 if it pays to come back, as an
    ``EventSource`` does by itself. While nothing happens there is a comment every
    ``heartbeat`` seconds. Leaving it early leaves no task.
    """
    events = job.events()

    async def next_event() -> JobEvent | None:
        return await anext(events, None)

    stopping = asyncio.create_task(closing.wait(), name="symbl_aio stop of a stream")
    moving = asyncio.create_task(next_event(), name="symbl_aio event of a stream")
    try:
        while True:
            done, _ = await asyncio.wait(
                (moving, stopping), timeout=heartbeat, return_when=asyncio.FIRST_COMPLETED
            )
            if moving in done:
                event = moving.result()
                if event is None:
                    return
                told = {**describe(job, event.status), "at": event.at.isoformat()}
                yield _event("status", told, last=event.status.is_terminal)
                moving = asyncio.create_task(next_event(), name=moving.get_name())
            elif stopping in done:
                raise ClientClosedError("the service is stopping", job)
            else:
                yield _COMMENT
    except ConfigurationError:  # used on another event loop: not for the visitor to mend
        raise
    except SymblError as error:
        yield _event("problem", problem(error).as_dict())
    finally:
        for task in (moving, stopping):
            task.cancel()
        await asyncio.wait((moving, stopping))
        if not moving.cancelled():
            moving.exception()


def _event(name: str, told: Mapping[str, object], *, last: bool = False) -> bytes:
    lines = [f"event: {name}", f"data: {json.dumps(told, separators=(',', ':'))}"]
    if last:
        lines.append(f"id: {told['status']}")
    return "\n".join([*lines, "", ""]).encode()
