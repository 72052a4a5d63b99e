"""The events of a job as server-sent events, for a page that shows its progress.

One encoder of forty lines serves both frameworks: the packages for either add tasks that
outlive the visitor, or a heartbeat whose interval is fixed.
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
    # nginx would buffer the events.
    "X-Accel-Buffering": "no",
}

HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment is sent, so that no proxy closes the connection."""

_COMMENT: Final = b":\n\n"


def describe(job: Job, status: JobStatus) -> dict[str, object]:
    """Return a job with this status as the members of a JSON object.

    ``error`` is a problem if the job failed, else null.
    """
    failed = status is JobStatus.FAILED
    return {
        "id": job.id,
        "conversation_id": job.conversation_id,
        "status": status.value,
        "error": problem(JobFailedError("", job)).as_dict() if failed else None,
    }


def has_ended(last_event_id: str | None) -> bool:
    """Return whether a page that reconnects has received the last event (``Last-Event-ID``).

    Answer it with 204, after which an ``EventSource`` does not reconnect.
    """
    return last_event_id in (JobStatus.COMPLETED.value, JobStatus.FAILED.value)


async def stream(
    job: Job, closing: asyncio.Event, *, heartbeat: float = HEARTBEAT
) -> AsyncGenerator[bytes, None]:
    """Yield the encoded events of a job, first those that already happened.

    Each transition is an event ``status`` with the members of ``describe``, and ``at``; the
    last status is ``completed`` or ``failed``, and is also the event's id. If the job cannot be
    followed to its end, or not now because ``closing`` is set or the client closed, the last
    event is ``problem`` instead: of status 503 if reconnecting makes sense, as an
    ``EventSource`` does by itself. Without events there is a comment every ``heartbeat``
    seconds. Closing it early leaves no task.
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
                data = {**describe(job, event.status), "at": event.at.isoformat()}
                yield _event("status", data, last=event.status.is_terminal)
                moving = asyncio.create_task(next_event(), name=moving.get_name())
            elif stopping in done:
                raise ClientClosedError("the service is stopping", job)
            else:
                yield _COMMENT
    except ConfigurationError:
        # Used on another event loop: a mistake in the service, not the visitor's.
        raise
    except SymblError as error:
        yield _event("problem", problem(error).as_dict())
    finally:
        for task in (moving, stopping):
            task.cancel()
        # Both have ended before the generator does, so no task outlives the stream.
        await asyncio.wait((moving, stopping))
        if not moving.cancelled():
            moving.exception()  # retrieved, or asyncio would log it


def _event(name: str, data: Mapping[str, object], *, last: bool = False) -> bytes:
    lines = [f"event: {name}", f"data: {json.dumps(data, separators=(',', ':'))}"]
    if last:
        lines.append(f"id: {data['status']}")
    return "\n".join([*lines, "", ""]).encode()
