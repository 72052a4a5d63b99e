"""A browser's audio passed through to a stream, and the stream's events back to the browser.

The common part of ``stream_through`` in ``contrib.fastapi`` and ``contrib.aiohttp``. Nothing is
stored. The browser's socket is read no faster than the API receives, and events that the
browser does not take are dropped after a thousand (``Missed``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from contextlib import suppress
from typing import Final, Protocol, Unpack
from urllib.parse import urlsplit

from symbl_aio import (
    Conversation,
    Stream,
    StreamLostError,
    StreamSettings,
    SymblClient,
    SymblError,
)
from symbl_aio._fields import misuse
from symbl_aio._log import Log
from symbl_aio.contrib import problems

_LOG: Final = Log("symbl_aio.contrib")

CLOSED_BY_FAULT: Final = 1011
"""The code with which the browser's socket is closed after an error."""

_CLOSED: Final = 1000
_CLOSED_BY_STOP: Final = 1012  # "service restart", as uvicorn closes it


class Visitor(Protocol):
    """The visitor's socket, of any framework."""

    async def receive(self) -> bytes | None:
        """Return the next audio; ``None`` once the visitor has ended it, or has left."""

    async def send(self, text: str) -> None:
        """Send a text, or nothing to a visitor who has left."""

    async def close(self, code: int) -> None:
        """Close the socket."""


def is_allowed(origin: str | None, host: str | None, allowed: Collection[str] | None) -> bool:
    """Return whether a page of an origin may open a socket on this host; log a refusal.

    Browsers let any page connect to any host, with the cookies of that host. ``allowed``:
    origins such as ``"https://example.com"``; ``None`` is the service's own host. Raises
    ``ConfigurationError`` for a single text, of which each part would be admitted.
    """
    if isinstance(allowed, str):
        raise misuse(f"origins is a str; give a list of origins, such as [{allowed!r}]")
    if origin is None:  # no browser
        return True
    if allowed is None:
        try:
            admitted = urlsplit(origin).netloc == host
        except ValueError:  # no origin of a browser
            admitted = False
    else:
        admitted = origin in allowed or "*" in allowed
    if not admitted:
        _LOG.warning(
            "a page of %r was refused a socket of %r: stream_through admits pages of the "
            "service's own host, or of its origins=",
            origin,
            host,
        )
    return admitted


async def pass_stream(
    client: SymblClient,
    visitor: Visitor,
    id: str | None,
    closing: asyncio.Event,
    **settings: Unpack[StreamSettings],
) -> Conversation:
    """Send a visitor's audio to a stream until it ends, and return the conversation.

    It also ends when ``closing`` is set, since the service stops. The visitor gets each event as
    JSON: ``kind`` and the fields of the event. After an error of the stream it gets the problem,
    with the kind ``"problem"``, and the error is raised. A visitor who takes no more does not
    hold it: the events and the close have ``Timeouts.stall`` seconds each. Cancelling it leaves
    no task and no socket.
    """
    patience = client.config.timeouts.stall
    try:
        async with client.stream(id, **settings) as stream:
            telling = asyncio.create_task(_send_events(stream, visitor))
            stopping = asyncio.create_task(closing.wait())
            try:
                await _send_audio(stream, visitor, until=(telling, stopping))
                conversation = await stream.stop()
                await asyncio.wait([telling], timeout=patience)
            finally:
                telling.cancel()
                stopping.cancel()
                await asyncio.wait([telling, stopping])
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await visitor.close(_CLOSED_BY_STOP if closing.is_set() else _CLOSED)
        return conversation
    except SymblError as error:
        await end_with_problem(visitor, error, within=patience)
        raise


async def end_with_problem(visitor: Visitor, error: Exception, within: float = 60.0) -> None:
    """Send an error as a problem, log it, and close the socket, within some seconds each."""
    problem = problems.problem(error)
    problems.log(problem, error)
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await visitor.send(json.dumps({"kind": "problem", **problem.as_dict()}))
    # Also to a visitor who takes nothing: a socket that counts as open would get it once more.
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await visitor.close(CLOSED_BY_FAULT)


async def _send_audio(
    stream: Stream, visitor: Visitor, until: tuple[asyncio.Task[object], ...]
) -> None:
    """Pass the audio on, until the visitor has ended it or one of the tasks has ended."""
    while True:
        receiving = asyncio.create_task(visitor.receive())
        try:
            # Not the audio alone: a silent visitor would never notice that the stream is lost.
            await asyncio.wait((receiving, *until), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not receiving.done():
                receiving.cancel()
                await asyncio.wait([receiving])
        if receiving.cancelled():
            return
        audio = receiving.result()
        if audio is None:
            return
        try:
            await stream.send(audio)
        except StreamLostError:
            return  # ``stop`` raises it again, unless the server has completed the conversation


async def _send_events(stream: Stream, visitor: Visitor) -> None:
    with suppress(SymblError):  # which ``send`` or ``stop`` of the stream raises
        async for event in stream:
            await visitor.send(event.to_json())


def is_end(text: str) -> bool:
    """Return whether a visitor's text is the end of the audio: a stop request, as the API's."""
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(request, dict) and request.get("type") == "stop_request"
