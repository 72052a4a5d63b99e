"""Cross-origin requests: a web page of any origin may call the server from a browser.

That is safe because a call shows a token in a header, which no browser sends by itself, as it
does a cookie.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from symbl_aio.server.fault_injection import Handler

_PREFLIGHT = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PUT, PATCH, DELETE",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "authorization, x-api-key, content-type",
    hdrs.ACCESS_CONTROL_MAX_AGE: "86400",
}


@web.middleware
async def answer_preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer the question of a browser whether a page may call; it carries no token."""
    if (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    ):
        return web.Response(status=204, headers=_PREFLIGHT)
    return await handler(request)


async def allow_every_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Allow the page to read the response, an error too: a signal before a response is sent."""
    response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
    response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "Retry-After"
