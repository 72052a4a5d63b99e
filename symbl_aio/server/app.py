"""Routes and middlewares of the server: authentication, request log, faults, errors.

A request shows its token first. Nothing of a request without one is kept or read, but for the
small body of a token request.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from aiohttp import web
from attrs import evolve

from symbl_aio.server.access_log import loggable_path
from symbl_aio.server.account import Account, kind_of_route
from symbl_aio.server.connections import Connections
from symbl_aio.server.cross_origin import allow_every_origin, answer_preflight
from symbl_aio.server.fault_injection import (
    ConnectionDroppedError,
    FaultContext,
    FaultInjector,
    Handler,
)
from symbl_aio.server.html_pages import PAGE_PATH
from symbl_aio.server.http_json import ApiError, check_query, json_response
from symbl_aio.server.metrics import Metrics
from symbl_aio.server.operations import OPEN_PATHS
from symbl_aio.server.option_support import READS, UnknownOptions
from symbl_aio.server.public_address import ORIGINS, Origins
from symbl_aio.server.request_body import check_encoding, waits_to_send
from symbl_aio.server.request_log import RequestLog
from symbl_aio.server.server_limits import BUFFERS, LIMITS, BufferBudget, ServerLimits
from symbl_aio.server.storage.store import StorageError
from symbl_aio.server.token_handlers import REFRESH_PATH, TOKEN_PATH, TokenHandlers

logger = logging.getLogger("symbl_aio.server")

_OPEN_PATHS = OPEN_PATHS | {TOKEN_PATH, REFRESH_PATH}
# Streams have a query of their own, with the token in it.
_READ_PATHS = ("/v1/conversations", "/v1/groups/", "/v1/manage/", "/v1/job/")


class App:
    """Builds one ``aiohttp.web`` application from the parts of the server."""

    def __init__(
        self,
        *,
        accounts: Sequence[Account],
        tokens: TokenHandlers,
        faults: FaultInjector,
        context: FaultContext,
        log: RequestLog,
        limits: ServerLimits,
        buffers: BufferBudget,
        connections: Connections,
        origins: Origins,
        metrics: Metrics,
        routes: Sequence[web.RouteDef],
    ) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._faults = faults
        self._fault_context = context
        self._log = log
        self._limits = limits
        self._buffers = buffers
        self._connections = connections
        self._origins = origins
        self._metrics = metrics
        self._routes = routes
        # By the id of the request object, which lives until _log_request() has ended. Not in the
        # request itself: newer versions of aiohttp warn of a key that the oldest one needs.
        self._account_of: dict[int, Account] = {}
        self._unknown_options = UnknownOptions(READS)

    def build(self) -> web.Application:
        """Return the application."""
        app = web.Application(
            # Outermost first: the log records what a fault or an error made of the response.
            middlewares=[
                answer_preflight,
                self._log_request,
                self._authenticate,
                self._inject_fault,
                self._errors_as_json,
            ],
            client_max_size=self._limits.body,
        )
        app.on_response_prepare.append(allow_every_origin)
        app[LIMITS], app[BUFFERS], app[ORIGINS] = self._limits, self._buffers, self._origins
        app.router.add_routes([*self._tokens.routes(), *self._routes, *self._account_routes()])
        return app

    def _account_routes(self) -> Iterator[web.RouteDef]:
        """Yield each route of an account once, with a handler that finds the account's own."""
        routes = [account.routes() for account in self._accounts]
        if len(routes) == 1:
            yield from routes[0]
            return
        for same in zip(*routes, strict=True):
            handlers = {
                account: cast("Handler", route.handler)
                for account, route in zip(self._accounts, same, strict=True)
            }

            async def handle(
                request: web.Request, handlers: Mapping[Account, Handler] = handlers
            ) -> web.StreamResponse:
                return await handlers[self._account_of[id(request)]](request)

            yield evolve(same[0], handler=handle)

    @web.middleware
    async def _log_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Record a submission before it is handled, and the status of any request after it."""
        self._connections.begin(request)
        kind = kind_of_route(request.match_info.route.name or "")
        if kind is not None:
            self._log.record_submission(request, kind)
            self._fault_context.changes.notify()
        status: int | None = None
        try:
            response = await handler(request)
            status = response.status
            if waits_to_send(request):
                response.force_close()
            return response
        except ConnectionDroppedError:
            return web.Response()  # the connection is closed: aiohttp cannot send it
        finally:
            self._connections.end(request)
            self._account_of.pop(id(request), None)
            self._log.record_response(request, status)
            self._metrics.count_response(status)
            self._fault_context.changes.notify()

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the access token, except for token requests and signed links to pages."""
        path = request.path
        try:
            self._origins.check_host(request)
            check_query(request)
            if path.startswith(PAGE_PATH):
                # Pages are protected by the signature in their path.
                signed = (account for account in self._accounts if account.signed(request))
                self._account_of[id(request)] = next(signed, self._accounts[0])
            elif path not in _OPEN_PATHS:
                self._account_of[id(request)] = self._tokens.authenticate(request)
                self._connections.trust(request)
                self._log.record_headers(request)
                if request.method == "GET" and path.startswith(_READ_PATHS):
                    self._unknown_options.name(request.query)
            check_encoding(request)
        except ApiError as error:
            response = error.response()
            # Thousands of requests may wait behind this one on its connection.
            if not self._connections.is_trusted(request):
                response.force_close()
            return response
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
            logger.error("%s %s: %s", request.method, loggable_path(request), error)
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
