"""Cross-origin requests: a web page of any origin may call the server from a browser.

That is safe because a call shows a token in a header, which no browser sends by itself, as it
does a cookie.
"""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web
from multidict import CIMultiDict

_PREFLIGHT: Final = CIMultiDict(
    {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PUT, PATCH, DELETE",
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "authorization, x-api-key, content-type",
        hdrs.ACCESS_CONTROL_MAX_AGE: "86400",
    }
)

EVERY_ORIGIN: Final = CIMultiDict(
    {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
        hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "Retry-After, X-Redaction",
    }
)
"""The headers that allow the page to read a response: of each one, an error too."""


def is_preflight(request: web.Request) -> bool:
    """Return whether a browser asks if a page may call; it shows no token."""
    return (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    )


def preflight_response() -> web.Response:
    """Return the answer to a preflight, of any path."""
    return web.Response(status=204, headers=_PREFLIGHT)
