"""Sockets that listen on every address of a host."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Any

_BACKLOG = 128


async def listening_sockets(host: str, port: int) -> AsyncIterator[socket.socket]:
    """Yield a socket for each address of a host. Raises OSError."""
    for family, address in await _addresses_of(host, port):
        # Port 0 is any free one, the same for all addresses of the host.
        where = (address[0], port, *address[2:])
        listener = socket.create_server(where, family=family, backlog=_BACKLOG)
        listener.setblocking(False)
        port = listener.getsockname()[1]
        yield listener


async def until_readable(listener: socket.socket) -> None:
    """Wait until a connection can be accepted."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(listener, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(listener)


async def _addresses_of(host: str, port: int) -> Iterable[tuple[int, tuple[Any, ...]]]:
    """Return the family and the address of each that a host has. Raises OSError."""
    kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
    try:
        # A number needs no thread of the event loop's, all of which may be busy.
        found = socket.getaddrinfo(host, port, type=kind, flags=flags | socket.AI_NUMERICHOST)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=kind, flags=flags)
    return dict.fromkeys((family, address) for family, _, _, _, address in found)
