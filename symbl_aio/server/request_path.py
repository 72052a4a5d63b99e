"""The path of each request, and its ``Expect``, changed before a route is looked up.

One slash at its end, which some clients write, is ignored, and slashes before its first one, as a
base URL with a slash at its end makes them. A path longer than any of the API is
none: aiohttp looks for a route at each of its slashes, and copies the rest each time, which takes
minutes for the slashes of one request line of a megabyte, before a token is checked.

``Expect`` is taken out: aiohttp would ask for a body before the token is checked. The handlers ask
for it when they read it; an expectation other than ``100-continue`` is ignored.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import hdrs, web
from multidict import CIMultiDictProxy
from yarl import URL

# Characters. An id in a path may be chosen by a caller; the vendor's own have 16.
MAX_PATH: Final = 4096
# Has no route, so the response is 401 or 404, as for any other unknown path.
_TOO_LONG: Final = "/path-too-long"


def limit_paths(server: web.Server) -> None:
    """Make the server see each request with a path of this API's form.

    Done where requests are made: a second route for each path would cost every start half as
    much again.
    """
    make = server.request_factory

    def make_with_limited_path(message: Any, *arguments: Any) -> web.BaseRequest:
        raw = message.url.raw_path
        # The library takes "//v1" for a host, so its path lacks it.
        doubled = message.path.startswith("//")
        if doubled or len(raw) > MAX_PATH or (raw.endswith("/") and raw != "/"):
            path, question, query = message.path.partition("?")
            path = "/" + path.lstrip("/") if doubled else path
            is_long = len(path if doubled else raw) > MAX_PATH
            target = (_TOO_LONG if is_long else path.removesuffix("/") or "/") + question + query
            message = message._replace(path=target, url=URL(target, encoded=True))
        if hdrs.EXPECT in message.headers:
            headers = message.headers.copy()
            headers.popall(hdrs.EXPECT)
            message = message._replace(headers=CIMultiDictProxy(headers))
        return make(message, *arguments)

    server.request_factory = make_with_limited_path
