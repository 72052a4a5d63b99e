"""A server that reads uploads and discards them, too cheaply to affect the measurement.

Each connection has a thread, which calls ``recv`` again and again into one buffer. One answer
has the fields of both Symbl and Speechmatics.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from benchmarks.stub import http

_BUFFER: Final = 256 * 1024
_NUMBERS: Final = itertools.count(1)
_DONE: Final = http(b'{"status":"completed"}')
_END_OF_CHUNKS: Final = b"\r\n0\r\n\r\n"


async def serve(
    announce: Callable[[Any], None], certificate: str | None = None, pace: int | None = None
) -> None:
    """Serve on a free port. ``pace``: bytes a second of each connection."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    if pace is not None:
        # Bytes in the buffers of a receiver no longer cost the sender, so the buffer is small.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_take, args=(connection, context, pace), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    announce(listener.getsockname()[1])
    await asyncio.Event().wait()


def _taken(number: int) -> bytes:
    ids = b'{"conversationId":"c%d","jobId":"j%d","id":"j%d"}' % (number, number, number)
    return http(ids, b"201 Created")


def _take(connection: socket.socket, context: ssl.SSLContext | None, pace: int | None) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    try:
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        with connection:
            _take_all(connection, pace)
    except OSError:
        pass  # the sender counts a connection that it closed early


def _take_all(connection: socket.socket, pace: int | None) -> None:
    view = memoryview(bytearray(_BUFFER if pace is None else 16 * 1024))
    held = b""
    while True:
        while (end := held.find(b"\r\n\r\n")) < 0:
            more = connection.recv(65536)
            if not more:
                return
            held += more
        head, held = held[:end].lower(), held[end + 4 :]
        if b"\r\nexpect: 100-continue" in head:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if b"\r\ntransfer-encoding: chunked" in head:
            _take_chunked(connection, view, held)
        else:
            at = head.find(b"\r\ncontent-length:")
            size = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            _take_sized(connection, view, size - len(held), pace)
        held = b""
        connection.sendall(_DONE if head.startswith(b"get ") else _taken(next(_NUMBERS)))


def _take_sized(connection: socket.socket, view: memoryview, left: int, pace: int | None) -> None:
    began, size = time.monotonic(), left
    while left > 0:
        count = connection.recv_into(view)
        if not count:
            raise ConnectionResetError
        left -= count
        if pace is not None and (early := began + (size - left) / pace - time.monotonic()) > 0:
            time.sleep(early)


def _take_chunked(connection: socket.socket, view: memoryview, held: bytes) -> None:
    # Recordings here are zeros, so no body contains the end marker by chance.
    tail = held[-7:]
    while not tail.endswith(_END_OF_CHUNKS):
        count = connection.recv_into(view)
        if not count:
            raise ConnectionResetError
        tail = (tail + bytes(view[max(0, count - 7) : count]))[-7:]
