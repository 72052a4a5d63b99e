"""Callers who close their half of a connection behind a request, and read its response.

``nc -N`` does so, and scripts that write a request to a socket. aiohttp drops the response.
"""

from __future__ import annotations

from typing import Any

from aiohttp import StreamReader, web


class HalfClosableProtocol(web.RequestHandler):
    """aiohttp's protocol of one connection, which answers all whole requests before its end."""

    __slots__ = ("_has_ended", "_last_body")

    def __init__(self, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._has_ended = False
        # Of the request that arrived last, until all are answered.
        self._last_body: StreamReader | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages:
            self._last_body = self._messages[-1][1]

    # asyncio reads the result; aiohttp promises none.
    def eof_received(self) -> bool:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return whether the connection stays, since the caller may wait for a response.

        It ends for one who has no request here, or only a part of one, and with a WebSocket.
        """
        # TLS has no half: asyncio ends both.
        if self._last_body is None or self._upgraded or self.ssl_context is not None:
            return False
        self._has_ended = self._last_body.is_eof()
        return self._has_ended

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response; the last one ends the connection of a caller who has ended it."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            if not self._messages:
                self._last_body = None
                if self._has_ended:
                    self.close()
