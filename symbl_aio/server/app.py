"""Routes and middlewares of the server: authentication, request log, faults, errors.

A request shows its token first. Nothing of a request without one is kept or read, but for the
small body of a token request.
"""

from __future__ import annotations

import logging
import traceback

from aiohttp import web

from symbl_aio.server.connections import Connections
from symbl_aio.server.fault_injection import (
    TOKEN_PATH,
    ConnectionDroppedError,
    FaultContext,
    FaultInjector,
    Handler,
)
from symbl_aio.server.html_pages import PAGE_PATH
from symbl_aio.server.http_json import JSON, ApiError, json_response
from symbl_aio.server.job_queue import Jobs
from symbl_aio.server.metrics import Metrics
from symbl_aio.server.operations import OPEN_PATHS
from symbl_aio.server.origins import ORIGINS, Origins
from symbl_aio.server.request_body import check_encoding
from symbl_aio.server.request_log import RequestLog
from symbl_aio.server.server_limits import BUFFERS, LIMITS, BufferBudget, ServerLimits
from symbl_aio.server.storage.store import StorageError
from symbl_aio.server.submission_parameters import Kind
from symbl_aio.server.submissions import SubmissionHandlers
from symbl_aio.server.tokens import TokenIssuer

logger = logging.getLogger("symbl_aio.server")

_REFRESH_PATH = "/oauth2/token:refresh"
_OPEN_PATHS = OPEN_PATHS | {TOKEN_PATH, _REFRESH_PATH}
_KINDS: tuple[Kind, ...] = ("text", "audio/url", "audio", "video/url", "video")


class App:
    """Builds one ``aiohttp.web`` application from the parts of the server."""

    def __init__(
        self,
        *,
        tokens: TokenIssuer,
        submissions: SubmissionHandlers,
        jobs: Jobs,
        faults: FaultInjector,
        context: FaultContext,
        log: RequestLog,
        limits: ServerLimits,
        buffers: BufferBudget,
        connections: Connections,
        origins: Origins,
        metrics: Metrics,
        routes: list[web.RouteDef],
    ) -> None:
        self._tokens = tokens
        self._submissions = submissions
        self._jobs = jobs
        self._faults = faults
        self._fault_context = context
        self._log = log
        self._limits = limits
        self._buffers = buffers
        self._connections = connections
        self._origins = origins
        self._metrics = metrics
        self._routes = routes

    def build(self) -> web.Application:
        """Return the application."""
        app = web.Application(
            # Outermost first: the log records what a fault or an error made of the response.
            middlewares=[
                self._log_request,
                self._authenticate,
                self._inject_fault,
                self._errors_as_json,
            ],
            client_max_size=self._limits.body,
        )
        app[LIMITS], app[BUFFERS], app[ORIGINS] = self._limits, self._buffers, self._origins
        app.router.add_post(TOKEN_PATH, self._tokens.generate)
        app.router.add_post(_REFRESH_PATH, self._tokens.refresh)
        app.router.add_delete("/oauth2/token:revoke", self._tokens.revoke_current)
        for kind in _KINDS:
            path = f"/v1/process/{kind}"
            handle = self._submissions.handle
            app.router.add_post(path, handle, name=_route_name("post", kind))
            app.router.add_put(path + "/{conversation_id}", handle, name=_route_name("put", kind))
        app.router.add_get("/v1/job/{job_id}", self._get_job)
        app.router.add_routes(self._routes)
        return app

    async def _get_job(self, request: web.Request) -> web.Response:
        """Handle ``GET /v1/job/{jobId}`` (section 3)."""
        job = await self._jobs.find(request.match_info["job_id"])
        if job is None:
            raise ApiError(404, "The job is unknown.")
        # The API has no word for it: an extra key, and only for a job that has failed.
        reason: dict[str, JSON] = {} if job.reason is None else {"reason": job.reason}
        return json_response({"id": job.id, "status": job.status.value, **reason})

    @web.middleware
    async def _log_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Record a submission before it is handled, and the status of any request after it."""
        self._connections.begin(request)
        route = request.match_info.route.name or ""
        if route.startswith("submit."):
            _, _, kind = route.split(".", 2)
            self._log.record_submission(request, _kind_of_route(kind))
            self._fault_context.changes.notify()
        status: int | None = None
        try:
            response = await handler(request)
            status = response.status
            return response
        except ConnectionDroppedError:
            return web.Response()  # the connection is closed: aiohttp cannot send it
        finally:
            self._connections.end(request)
            self._log.record_response(request, status)
            self._metrics.count_response(status)
            self._fault_context.changes.notify()

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the access token, except for token requests and signed links to pages."""
        path = request.path
        try:
            self._origins.check_host(request)
            # Pages are protected by the signature in their path.
            if path not in _OPEN_PATHS and not path.startswith(PAGE_PATH):
                self._tokens.authenticate(request)
                self._connections.trust(request)
                self._log.record_headers(request)
            check_encoding(request)
        except ApiError as error:
            return error.response()
        return await handler(request)

    @web.middleware
    async def _inject_fault(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Replace the normal handling of a request if a fault was injected for it."""
        return await self._faults.handle(request, handler, self._fault_context)

    @web.middleware
    async def _errors_as_json(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Convert every error to the documented ``{"message"}`` body."""
        try:
            return await handler(request)
        except ApiError as error:
            return error.response()
        except StorageError as error:
            logger.error("%s %s: %s", request.method, request.path, error)
            return ApiError(503, "The server cannot store it now.", retry_after=10).response()
        except web.HTTPException as error:
            response = json_response({"message": f"{error.reason}."}, error.status)
            # RFC 9110 requires it with 405.
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except (ConnectionError, web.RequestPayloadError):
            transport = request.transport
            if transport is None or transport.is_closing():
                # The caller left: there is no one to respond to, and nothing to log.
                raise ConnectionDroppedError from None
            # The caller is there; its body is no HTTP.
            response = json_response({"message": "The body is malformed."}, 400)
            response.force_close()
            return response
        except Exception as error:
            # The method and the place only: a path, or the text of an error, may have a secret.
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename}:{place.lineno}"
            logger.error("%s broke with %s at %s", request.method, type(error).__name__, where)
            return json_response({"message": "The server has made a mistake."}, 500)


def _route_name(method: str, kind: Kind) -> str:
    return f"submit.{method}.{kind.replace('/', '_')}"


def _kind_of_route(name: str) -> Kind:
    return next(kind for kind in _KINDS if kind.replace("/", "_") == name)
