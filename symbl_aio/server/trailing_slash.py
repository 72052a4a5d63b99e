"""Slashes that some clients write at the end of a path, and twice at its start, are ignored."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from yarl import URL


def ignore_trailing_slash(server: web.Server) -> None:
    """Make the server see each path with one slash at its start, and none at its end.

    Done where requests are made, before a route is looked up: a second route for each path would
    cost every start half as much again.
    """
    make = server.request_factory

    def make_without_slash(message: Any, *arguments: Any) -> web.BaseRequest:
        doubled = message.path.startswith("//")
        if doubled or (message.url.raw_path.endswith("/") and message.url.raw_path != "/"):
            path, question, query = message.path.partition("?")
            path = "/" + path.lstrip("/") if doubled else path
            target = (path.removesuffix("/") or "/") + question + query
            message = message._replace(path=target, url=URL(target, encoded=True))
        return make(message, *arguments)

    server.request_factory = make_without_slash
