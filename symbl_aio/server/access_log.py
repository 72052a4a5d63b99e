"""The access log: one line for each request, without a secret in it."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from symbl_aio.server.html_pages import PAGE_PATH

LOGGER = logging.getLogger("symbl_aio.server.access")

_LONGEST = 200


class AccessLogger(AbstractAccessLogger):
    """Writes address, method, path, status, bytes and seconds of a request."""

    @property
    def enabled(self) -> bool:
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        self.logger.info(
            '%s "%s %s" %d %d %.3f',
            request.remote,
            request.method,
            loggable_path(request),
            response.status,
            response.body_length,
            time,
        )


def loggable_path(request: web.BaseRequest) -> str:
    """Return the path without its query, or the pattern of a path that may be a secret.

    The path is percent-encoded, so it has no line break.
    """
    resource = request.match_info.route.resource if isinstance(request, web.Request) else None
    if resource is None:
        return "-"  # an unknown path may be anything, a secret in the wrong place too
    if resource.canonical.startswith(PAGE_PATH):
        return resource.canonical
    return request.rel_url.raw_path[:_LONGEST]
