"""The routes of live audio and calls. Their handlers are made with the first request to one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from aiohttp import web

from symbl_aio.server.live.paths import (
    CONNECT_PATH,
    EVENT_PATH,
    LISTENER_PATHS,
    SPEAKER_PATHS,
)

if TYPE_CHECKING:  # made, and imported, by the caller of live_routes()
    from symbl_aio.server.live.handlers import LiveHandlers


def live_routes(make_handlers: Callable[[], LiveHandlers]) -> list[web.RouteDef]:
    """Return the routes of the sockets and of the calls.

    ``make_handlers`` is called once, with the first request to any of them.
    """
    handlers = cache(make_handlers)

    async def speak(request: web.Request) -> web.StreamResponse:
        return await handlers().speak(request)

    async def listen(request: web.Request) -> web.StreamResponse:
        return await handlers().listen(request)

    async def connect(request: web.Request) -> web.StreamResponse:
        return await handlers().calls.connect(request)

    async def event(request: web.Request) -> web.StreamResponse:
        return await handlers().calls.event(request)

    # An id is any text: clients choose base64, with slashes in it.
    return [
        *(web.get(path + "{connection_id:.+}", speak) for path in SPEAKER_PATHS),
        *(web.get(path + "{connection_id:.+}", listen) for path in LISTENER_PATHS),
        web.post(CONNECT_PATH, connect),
        web.post(EVENT_PATH + "{connection_id}", event),
    ]
