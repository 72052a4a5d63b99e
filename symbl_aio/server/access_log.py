"""The access log: one line for each request but successful probes, without a secret in it."""

from __future__ import annotations

import logging
import re
from typing import TypeGuard

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from symbl_aio.server.health_and_metrics import OPEN_PATHS
from symbl_aio.server.proxy_headers import ORIGINS

LOGGER = logging.getLogger("symbl_aio.server.access")

_PLACE = re.compile(r"\{(\w+)\}")
# Digits, and the UUID of a job. The signature of a page is hexadecimal, too, but longer.
_ID = re.compile(r"[0-9]{1,20}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class AccessLogger(AbstractAccessLogger):
    """Writes address, method, path, status, bytes and seconds of a request."""

    @property
    def enabled(self) -> bool:
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        path = loggable_path(request)
        # A load balancer that probes each second would fill the log: 86,400 lines a day.
        if path in OPEN_PATHS and response.status == 200:
            return
        self.logger.info(
            '%s "%s %s" %d %d %.3f',
            _caller(request),
            request.method,
            path,
            response.status,
            response.body_length,
            time,
        )


def _caller(request: web.BaseRequest) -> str | None:
    """Return the address of the caller, also behind a known proxy."""
    if _is_routed(request):
        return request.app[ORIGINS].client(request)
    return request.remote


def _is_routed(request: web.BaseRequest) -> TypeGuard[web.Request]:
    """Return whether an application has the request; none has one that is no HTTP."""
    return isinstance(request, web.Request) and request._match_info is not None


def loggable_path(request: web.BaseRequest) -> str:
    """Return the pattern of the route, with the ids of this server in their places.

    Anything else may be a secret in the wrong place: a token where an id belongs, a path that no
    route has.
    """
    if not _is_routed(request) or request.match_info.route.resource is None:
        return "-"
    values, resource = request.match_info, request.match_info.route.resource
    return _PLACE.sub(
        lambda place: value if _ID.fullmatch(value := values[place[1]]) else place[0],
        resource.canonical,
    )
