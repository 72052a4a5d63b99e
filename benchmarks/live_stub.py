"""A server of streams that costs as little as Python allows: it counts audio, and recognises none.

Frames are skipped by their heads; only requests and pings are unmasked. On a start request it
listens, on a stop request it completes the conversation. While audio comes, each
``EVENT_EVERY`` bytes of it bring one recognition, of a fixed sentence.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

EVENT_EVERY: Final = 6400
"""Bytes of audio, a fifth of a second at 16 kHz."""

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def _text(value: Any) -> bytes:
    body = json.dumps(value).encode()
    head = b"\x81" + (
        bytes([len(body)]) if len(body) < 126 else b"\x7e" + len(body).to_bytes(2, "big")
    )
    return head + body


def _message(kind: str, **fields: Any) -> bytes:
    return _text({"type": "message", "message": {"type": kind, **fields}})


_ID: Final = {"conversationId": "12"}
LISTENING: Final = _message("conversation_created", data=_ID) + _message("started_listening")
COMPLETED: Final = _message("conversation_completed", data=_ID)
_WORDS: Final = [
    {
        "word": word,
        "startTime": {"seconds": "3", "nanos": "800000000"},
        "endTime": {"seconds": "4", "nanos": "200000000"},
    }
    for word in "The ferry at four is running late today".split()
]
RECOGNISED: Final = _message(
    "recognition_result",
    isFinal=False,
    payload={
        "raw": {
            "alternatives": [
                {
                    "words": _WORDS,
                    "transcript": "the ferry at four is running late today",
                    "confidence": 0.91,
                }
            ]
        }
    },
    punctuated={"transcript": "The ferry at four is running late today."},
    user={"id": "u-1", "name": "Ines"},
)


class Connection(asyncio.Protocol):
    """One WebSocket. ``speaks``: recognitions are sent while audio comes."""

    def __init__(self, speaks: bool) -> None:
        self._speaks = speaks
        self._held = b""
        self._is_open = False
        self._unanswered = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        held = self._held + data if self._held else data
        if not self._is_open:
            if b"\r\n\r\n" not in held:
                self._held = held
                return
            head, held = held.split(b"\r\n\r\n", 1)
            self._open(head)
        self._held = self._frames(held)

    def _open(self, head: bytes) -> None:
        lines = (line.partition(b":") for line in head.split(b"\r\n"))
        headers = {name.lower(): value.strip() for name, _, value in lines}
        key = headers[b"sec-websocket-key"]
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._is_open = True

    def _frames(self, data: bytes) -> bytes:
        """Handle all whole frames; return the rest."""
        at, end = 0, len(data)
        while end - at >= 2:
            kind, size, body = data[at] & 15, data[at + 1] & 127, at + 6
            if size == 126:
                if end - at < 4:
                    break
                size, body = (data[at + 2] << 8) + data[at + 3], at + 8
            if end < body + size:
                break
            if kind == 2:
                self._unanswered += size
            else:
                mask = data[body - 4 : body]
                masked = data[body : body + size]
                self._handle(kind, bytes(b ^ mask[i & 3] for i, b in enumerate(masked)))
            at = body + size
        while self._speaks and self._unanswered >= EVENT_EVERY:
            self._unanswered -= EVENT_EVERY
            self._transport.write(RECOGNISED)
        return data[at:]

    def _handle(self, kind: int, body: bytes) -> None:
        if kind == 1:
            is_start = json.loads(body)["type"] == "start_request"
            self._transport.write(LISTENING if is_start else COMPLETED)
        elif kind == 9:
            self._transport.write(bytes([0x8A, len(body)]) + body)
        elif kind == 8:
            self._transport.write(bytes([0x88, len(body)]) + body)
            self._transport.close()


async def serve(announce: Callable[[object], None], *, speaks: bool = False) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(speaks), "127.0.0.1", 0)
    announce(server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()
