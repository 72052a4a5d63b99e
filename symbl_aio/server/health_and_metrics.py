"""The calls of an operator's tools: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from symbl_aio.server.http_json import json_response
from symbl_aio.server.metrics import CONTENT_TYPE, Metrics
from symbl_aio.server.proxy_headers import Origins, is_loopback

HEALTH_PATH, READY_PATH, METRICS_PATH = "/healthz", "/readyz", "/metrics"
OPEN_PATHS = frozenset({HEALTH_PATH, READY_PATH, METRICS_PATH})


class HealthAndMetricsHandlers:
    """Handles the three calls. They need no access token.

    ``obstacle`` returns why the server cannot accept work now, or None. Metrics are for this
    machine only: for others, and for what a proxy passes on, ``authenticate`` decides.
    """

    def __init__(
        self,
        metrics: Metrics,
        origins: Origins,
        *,
        obstacle: Callable[[], str | None],
        authenticate: Callable[[web.Request], object],
    ) -> None:
        self._metrics = metrics
        self._origins = origins
        self._obstacle = obstacle
        self._authenticate = authenticate

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(HEALTH_PATH, self._health),
            web.get(READY_PATH, self._ready),
            web.get(METRICS_PATH, self._show_metrics),
        ]

    async def _health(self, request: web.Request) -> web.Response:
        """Respond while the event loop runs at all."""
        return json_response({"status": "ok"})

    async def _ready(self, request: web.Request) -> web.Response:
        """Respond with 503 and the reason while submissions would be refused."""
        obstacle = self._obstacle()
        if obstacle is None:
            return json_response({"status": "ready"})
        return json_response({"status": "not ready", "reason": obstacle}, 503)

    async def _show_metrics(self, request: web.Request) -> web.Response:
        if self._origins.was_forwarded(request) or not is_loopback(request.remote or ""):
            self._authenticate(request)
        return web.Response(
            body=self._metrics.text().encode(), headers={"Content-Type": CONTENT_TYPE}
        )
