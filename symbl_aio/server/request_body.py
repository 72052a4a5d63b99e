"""Request bodies: read with limits of size, time and memory, never inflated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import HttpVersion11, hdrs, web

from symbl_aio.server.connections import connection_of
from symbl_aio.server.http_json import JSON, ApiError, parse_json, require_object
from symbl_aio.server.server_limits import BUFFERS, LIMITS


def check_encoding(request: web.Request) -> None:
    """Raise a 415 ``ApiError`` for a compressed body: a small one may inflate without end."""
    if hdrs.CONTENT_ENCODING not in request.headers:
        return
    for encoding in request.headers.getall(hdrs.CONTENT_ENCODING):
        if encoding.strip().lower() not in ("", "identity"):
            raise ApiError(415, "A body with a Content-Encoding is not accepted; send it as it is.")


def waits_to_send(request: web.Request) -> bool:
    """Return whether the caller may wait for "100 Continue" with (the rest of) its body.

    After a response to such a request nothing can follow on the connection: the caller may send
    the body, or leave it out.
    """
    # ``request_path`` takes the header out of ``headers``: aiohttp would answer it at once.
    return not request.content.is_eof() and any(
        name.lower() == b"expect" and value.lower() == b"100-continue"
        for name, value in request.raw_headers
    )


async def ask_for_body(request: web.Request) -> None:
    """Write "100 Continue" if the caller waits for it; called when the body is read first."""
    if waits_to_send(request) and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The size of the response is counted, and this belongs to none.
        request.writer.output_size = 0


async def body_chunks(request: web.Request) -> AsyncIterator[bytes]:
    """Yield a body as it arrives. Raises a 408 ``ApiError`` if it stops, or all but stops.

    Only the time spent waiting for the caller counts: a slow disk is not the caller's fault.
    """
    limits, loop = request.app[LIMITS], asyncio.get_running_loop()
    received, waited = 0, 0.0
    if not request.content.is_eof():
        await ask_for_body(request)
    while not request.content.is_eof():
        began = loop.time()
        patience = limits.silence + received / limits.min_rate - waited
        try:
            async with asyncio.timeout(min(limits.silence, patience)):
                chunk = await request.content.readany()
        except TimeoutError:
            raise ApiError(408, "The body did not arrive in time.") from None
        waited += loop.time() - began
        received += len(chunk)
        yield chunk
    # The rest, and of many requests the whole, came together with what was read before.
    yield request.content.read_nowait()


async def read_json(request: web.Request) -> JSON:
    """Read a body as JSON. Raises a 400, 408, 413, 415 or 503 ``ApiError``."""
    return parse_json(await read_body(request))


async def read_body(request: web.Request, max_size: int | None = None) -> bytes:
    """Read the text of a JSON body. Raises a 408, 413, 415 or 503 ``ApiError``.

    ``max_size``: bytes; by default the limit of an ordinary call.
    """
    limits, holder = request.app[LIMITS], connection_of(request).holder
    buffers = request.app[BUFFERS] if holder is None else holder.buffers
    largest = limits.body if max_size is None else max_size
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise ApiError(415, "JSON is accepted in UTF-8 only.")
    # An announced length is refused without reading.
    if (request.content_length or 0) > largest:
        raise _too_large(largest)
    body = bytearray()

    def add(chunk: bytes) -> None:
        if len(body) + len(chunk) > largest:
            raise _too_large(largest)
        if not buffers.allows(len(body), len(chunk)):
            raise ApiError(503, "Too many large requests at a time.", retry_after=1)
        body.extend(chunk)

    try:
        if request.content.is_eof():
            # As of most requests, the whole came with what was read before.
            add(request.content.read_nowait())
        else:
            async for chunk in body_chunks(request):
                add(chunk)
        return bytes(body)
    finally:
        buffers.release(len(body))


def _too_large(largest: int) -> ApiError:
    return ApiError(413, f"The body of this call has {largest} bytes at most.")


async def read_json_object(request: web.Request, max_size: int | None = None) -> dict[str, JSON]:
    """Read a body as a JSON object. Raises as ``read_json`` does."""
    return require_object(parse_json(await read_body(request, max_size)))
