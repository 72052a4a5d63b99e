"""Routes, and what surrounds each handler: authentication, request log, faults, errors.

A request shows its token first. Nothing of a request without one is kept or read, but for the
small body of a token request.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, partial
from typing import Final, Literal, TypeAlias, cast

from aiohttp import web
from attrs import frozen

from symbl_aio.server.access_log import loggable_path
from symbl_aio.server.account import Account, kind_of_path
from symbl_aio.server.connection import Connection
from symbl_aio.server.connections import Connections, connection_of
from symbl_aio.server.cross_origin import EVERY_ORIGIN, is_preflight, preflight_response
from symbl_aio.server.fault_injection import (
    ConnectionDroppedError,
    FaultContext,
    FaultInjector,
    Handler,
)
from symbl_aio.server.health_and_metrics import OPEN_PATHS
from symbl_aio.server.html_pages import PAGE_PATH
from symbl_aio.server.http_json import ApiError, check_query, json_response
from symbl_aio.server.metrics import Metrics
from symbl_aio.server.option_support import READS, UnknownOptions
from symbl_aio.server.proxy_headers import ORIGINS, Origins
from symbl_aio.server.request_body import check_encoding, waits_to_send
from symbl_aio.server.request_log import RequestLog
from symbl_aio.server.server_limits import BUFFERS, LIMITS, SMALL, BufferBudget, ServerLimits
from symbl_aio.server.storage.store import StorageError
from symbl_aio.server.submission_parameters import Kind
from symbl_aio.server.token_handlers import REFRESH_PATH, TOKEN_PATH, TokenHandlers

logger = logging.getLogger("symbl_aio.server")

_OPEN_PATHS = OPEN_PATHS | {TOKEN_PATH, REFRESH_PATH}
# Streams have a query of their own, with the token in it.
_READ_PATHS = ("/v1/conversations", "/v1/groups/", "/v1/manage/", "/v1/job/")

_Proof: TypeAlias = Literal["none", "signature", "token"]


@frozen
class _Route:
    """What is known of a route before its requests, the same in every server.

    ``proof``: what a request shows first. ``reads``: it may have options that are unknown.
    ``kind``: of a submission.
    """

    proof: _Proof
    reads: bool
    kind: Kind | None = None


# One for each account, and one under None where a request needs no proof.
_Handlers: TypeAlias = Mapping[Account | None, Handler]


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
        self._unknown_options = UnknownOptions(READS)
        self._handlers: list[_Handlers] = []
        self._dispatch: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

    def build(self) -> web.Application:
        """Return the application; ``surround()`` is needed before it is served."""
        app = web.Application(client_max_size=self._limits.body)
        app[LIMITS], app[BUFFERS], app[ORIGINS] = self._limits, self._buffers, self._origins
        app[_APP] = self
        routes = [*self._tokens.routes(), *self._routes]
        self._handlers = [self._for_all(cast("Handler", route.handler)) for route in routes]
        for same in zip(*(account.routes() for account in self._accounts), strict=True):
            handlers = (cast("Handler", route.handler) for route in same)
            self._handlers.append(dict(zip(self._accounts, handlers, strict=True)))
            routes.append(same[0])
        self._handlers.append(self._for_all(_refuse))
        for resource in _resources(tuple((route.method, route.path) for route in routes)):
            app.router.register_resource(resource)
        return app

    def surround(self, server: web.Server) -> None:
        """Record each request of the server, and respond also where there is no route.

        Not by a middleware: the first one costs a request as much as all checks of its head.
        """
        self._dispatch = server.request_handler
        server.request_handler = self._handle

    def _for_all(self, handler: Handler) -> _Handlers:
        return dict.fromkeys((None, *self._accounts), handler)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handle a request, and record it with the status of its response."""
        assert isinstance(request, web.Request)
        connection = connection_of(request)
        self._connections.begin(connection, request)
        status: int | None = None
        try:
            try:
                response = await self._dispatch(request)
            except web.HTTPException:
                # No route has this path and method; the errors of routes end in guard().
                if is_preflight(request):
                    response = preflight_response()
                else:
                    facts = _facts_of(request.method, request.path)
                    response = await self.guard(_NO_ROUTE, facts, request)
            status = response.status
            is_last = self._connections.are_closing or connection.kept > SMALL
            if is_last or waits_to_send(request):
                response.force_close()
            response.headers.extend(EVERY_ORIGIN)
            return response
        except ConnectionDroppedError:
            return web.Response()  # the connection is closed: aiohttp cannot send it
        finally:
            self._connections.end(connection)
            self._log.record_response(request, status)
            self._metrics.count_response(status)
            self._fault_context.changes.notify()

    @staticmethod
    async def guard(index: int, route: _Route, request: web.Request) -> web.StreamResponse:
        """Check a request before its handler is called, which a fault may replace.

        ``index``: of the handlers. A route is of all servers; the request is of one.
        """
        self = request.app[_APP]
        if route.kind is not None:
            # Before its token is checked.
            self._log.record_submission(request, route.kind)
            self._fault_context.changes.notify()
        connection = connection_of(request)
        try:
            account = self._check(route, request, connection)
        except ApiError as error:
            response = error.response()
            # Thousands of requests may wait behind this one on its connection.
            if connection.holder is None:
                response.force_close()
            return response
        handle = partial(_with_errors_as_json, self._handlers[index][account])
        if self._faults.pending:
            return await self._faults.handle(request, handle, self._fault_context)
        return await handle(request)

    def _check(self, route: _Route, request: web.Request, connection: Connection) -> Account | None:
        """Return the account of a request. Raises an ``ApiError`` for one that is refused."""
        self._origins.check_host(request)
        query = request.rel_url.raw_query_string
        if query:
            check_query(query)
        account = None
        if route.proof == "token":
            account = self._tokens.authenticate(request)
            self._connections.trust(connection, account)
            if route.kind is not None:
                self._log.record_headers(request)
            elif query and route.reads:
                self._unknown_options.name(request.query)
        elif route.proof == "signature":
            signed = (account for account in self._accounts if account.signed(request))
            account = next(signed, self._accounts[0])
        check_encoding(request)
        return account


_NO_ROUTE: Final = -1
_APP: Final = web.AppKey("symbl_aio.app", App)


@cache
def _resources(routes: tuple[tuple[str, str], ...]) -> Sequence[web.AbstractResource]:
    """Return what finds the route of a request, by method and path, in every server.

    It takes most of a start to make, and a suite of tests starts thousands of servers.
    """
    router = web.UrlDispatcher()
    for index, (method, path) in enumerate(routes):
        guarded = partial(App.guard, index, _facts_of(method, path, kind_of_path(path)))
        web.route(method, path, guarded).register(router)
    return tuple(router.resources())


async def _refuse(request: web.Request) -> web.StreamResponse:
    error = request.match_info.http_exception
    assert error is not None
    raise error


def _facts_of(method: str, path: str, kind: Kind | None = None) -> _Route:
    proof: _Proof = "none" if path in _OPEN_PATHS else "token"
    if path.startswith(PAGE_PATH):
        # Pages are protected by the signature in their path.
        proof = "signature"
    return _Route(proof, method == "GET" and path.startswith(_READ_PATHS), kind)


async def _with_errors_as_json(handler: Handler, request: web.Request) -> web.StreamResponse:
    try:
        return await handler(request)
    except Exception as error:
        return _error_response(request, error)


def _error_response(request: web.Request, error: Exception) -> web.Response:
    """Convert an error of a handler to the documented ``{"message"}`` body.

    Raises ConnectionDroppedError if the caller left.
    """
    match error:
        case ApiError():
            return error.response()
        case StorageError():
            logger.error("%s %s: %s", request.method, loggable_path(request), error)
            return ApiError(503, "The server cannot store it now.", retry_after=10).response()
        case web.HTTPException():
            response = json_response({"message": f"{error.reason}."}, error.status)
            # RFC 9110 requires it with 405.
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        case ConnectionError() | web.RequestPayloadError():
            transport = request.transport
            if transport is None or transport.is_closing():
                # The caller left: there is no one to respond to, and nothing to log.
                raise ConnectionDroppedError from None
            # The caller is there; its body is no HTTP.
            response = json_response({"message": "The body is malformed."}, 400)
            response.force_close()
            return response
    # The method and the place only: a path, or the text of an error, may have a secret.
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{place.filename}:{place.lineno}"
    logger.error("%s broke with %s at %s", request.method, type(error).__name__, where)
    return json_response({"message": "The server has made a mistake."}, 500)
