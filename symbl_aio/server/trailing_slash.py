"""One slash at the end of a path, which some clients write, is ignored."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from yarl import URL


def ignore_trailing_slash(server: web.Server) -> None:
    """Make the server see each request without a slash at the end of its path.

    Done where requests are made, before a route is looked up: a second route for each path would
    cost every start half as much again.
    """
    make = server.request_factory

    def make_without_slash(message: Any, *arguments: Any) -> web.BaseRequest:
        if message.url.raw_path.endswith("/") and message.url.raw_path != "/":
            path, question, query = message.path.partition("?")
            target = path.removesuffix("/") + question + query
            message = message._replace(path=target, url=URL(target, encoded=True))
        return make(message, *arguments)

    server.request_factory = make_without_slash
