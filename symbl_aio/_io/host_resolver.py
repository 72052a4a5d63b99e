"""Resolve host names in threads of the client's own.

aiohttp asks for them in the event loop's default executor, which callers may have filled
with calls that wait for this client.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from symbl_aio._threads import Threads

_MOST_AT_ONCE: Final = 4
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver(AbstractResolver):
    """Ask the system for addresses, as aiohttp's own does."""

    def __init__(self) -> None:
        self._threads = Threads("symbl_aio names", _MOST_AT_ONCE)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host. Raises ``OSError`` if there is none."""
        future = self._threads.submit(partial(_look_up, host, port, family))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self._threads.abandon(future)
            raise

    async def close(self) -> None:
        """End the threads, without waiting for an answer that is due."""
        self._threads.shutdown()


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    results: list[ResolveResult] = []
    ask = partial(socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM)
    try:
        found = ask(flags=socket.AI_ADDRCONFIG)
    except socket.gaierror:
        if host.rstrip(".").casefold() != "localhost":
            raise
        found = ask()  # a machine without a network has its own loopback still
    for kind, _, protocol, _, address in found:
        if kind == socket.AF_INET6 and len(address) < 3:
            continue  # of a Python that was built without IPv6
        if kind == socket.AF_INET6 and len(address) > 3 and address[3]:
            # A link-local address is one only with the name of its interface.
            name, service = socket.getnameinfo(
                address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            )
        else:
            name, service = str(address[0]), str(address[1])
        results.append(
            ResolveResult(
                hostname=host, host=name, port=int(service), family=kind, proto=protocol,
                flags=_NUMERIC,
            )
        )  # fmt: skip
    return results
