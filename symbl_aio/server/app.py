"""Routes and middlewares of the server: request log, faults, errors, authentication."""

from __future__ import annotations

import logging

from aiohttp import web

from symbl_aio.server.fault_injection import (
    TOKEN_PATH,
    ConnectionDroppedError,
    FaultContext,
    FaultInjector,
    Handler,
)
from symbl_aio.server.html_pages import PAGE_PATH
from symbl_aio.server.http_json import ApiError, json_response
from symbl_aio.server.job_queue import Jobs
from symbl_aio.server.request_log import RequestLog
from symbl_aio.server.storage.store import StorageError
from symbl_aio.server.submission_parameters import Kind
from symbl_aio.server.submissions import MAX_JSON_SIZE, SubmissionHandlers
from symbl_aio.server.tokens import TokenIssuer

logger = logging.getLogger("symbl_aio.server")

_REFRESH_PATH = "/oauth2/token:refresh"
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
        routes: list[web.RouteDef],
    ) -> None:
        self._tokens = tokens
        self._submissions = submissions
        self._jobs = jobs
        self._faults = faults
        self._fault_context = context
        self._log = log
        self._routes = routes

    def build(self) -> web.Application:
        """Return the application. ``client_max_size`` limits JSON only; media goes to disk."""
        app = web.Application(
            middlewares=[
                # Outermost first: the log records what a fault or an error made of the response.
                self._log_request,
                self._inject_fault,
                self._errors_as_json,
                self._authenticate,
            ],
            client_max_size=MAX_JSON_SIZE,
        )
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
        return json_response({"id": job.id, "status": job.status.value})

    @web.middleware
    async def _log_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Record the headers of a submission before, and the status of any request after it."""
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
            self._log.record_response(request, status)
            self._fault_context.changes.notify()

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
            # The caller left: there is no one to respond to, and nothing to log.
            raise ConnectionDroppedError from None
        except Exception:
            # The path only: a query may contain secrets.
            logger.exception("%s %s", request.method, request.path)
            return json_response({"message": "The server has made a mistake."}, 500)

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the access token, except for token requests and signed links to pages."""
        path = request.path
        # Pages are protected by the signature in their path.
        if path not in (TOKEN_PATH, _REFRESH_PATH) and not path.startswith(PAGE_PATH):
            self._tokens.authenticate(request)
        return await handler(request)


def _route_name(method: str, kind: Kind) -> str:
    return f"submit.{method}.{kind.replace('/', '_')}"


def _kind_of_route(name: str) -> Kind:
    return next(kind for kind in _KINDS if kind.replace("/", "_") == name)
