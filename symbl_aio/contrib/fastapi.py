"""FastAPI integration: a client that lives with the application, routes, and passthrough.

::

    symbl = Symbl(config=Config(webhook_base_url="https://example.com/symbl/webhooks", …))
    app = FastAPI(lifespan=symbl.lifespan)
    app.include_router(symbl.router, prefix="/symbl")
    symbl.handle_errors(app)

    @app.post("/recordings")
    async def take(request: Request) -> dict[str, str | None]:
        job = await upload_through(request, MediaOptions(name="Monday"))
        return {"job": job.id, "conversation": job.conversation_id}

Several worker processes (``uvicorn --workers 4``) are several clients, which share only the
journal's directory and the webhook secret. With these two shared:

- Every genuine webhook call is answered with 204, whichever worker it reaches. It brings
  the poll forward only in the worker that follows the job; the others drop it after a minute.
- Every job resolves in the worker that submitted it, by its own polls at the latest.
- Any worker answers ``GET /jobs/{job_id}`` and its events for any job of the account. For a
  job of another worker it makes a request, and follows the job a second time for its events;
  ``conversation_id`` is null there, so a page should keep the one of its upload's response.
- The next worker that starts follows the jobs of a crashed one, after ``kill -9`` too; no two
  workers follow the same.

Not guaranteed: each worker learns and keeps the job limit of the account by itself, so
together they are refused (429) more often; ``Limits(jobs=…)`` divides a known limit among
them. Appends to one conversation are in order within one worker only: send them to one.
An outbox (``Symbl(durable="postgresql://…")``, then ``symbl.outbox.append(…)``) keeps limit
and order for all of them, see ``durable``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Annotated, Any, Final, Unpack, cast

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    Request,
    Response,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)
from fastapi.encoders import encoders_by_class_tuples
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketState

from symbl_aio import (
    BadUploadError,
    Conversation,
    Job,
    MediaOptions,
    StreamSettings,
    Submission,
    SymblClient,
    SymblError,
)
from symbl_aio._fields import misuse
from symbl_aio.contrib import problems, sse
from symbl_aio.contrib.live import end_with_problem, is_allowed, is_end
from symbl_aio.contrib.passthrough import Incoming, read_incoming
from symbl_aio.contrib.service import Embedded
from symbl_aio.contrib.service_outbox import Durable as Durable
from symbl_aio.contrib.stop_signals import on_stop_signal
from symbl_aio.models.base import Model, as_json

_NAME: Final = "symbl_aio"

_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    "default": {"description": "A problem", "content": {problems.MEDIA_TYPE: {}}}
}

# For routes without a return annotation, whose values FastAPI encodes without pydantic.
encoders_by_class_tuples[as_json] = (Model,)


class Symbl(Embedded):
    """The client of a FastAPI application, with its lifespan, its routes and its errors.

    The arguments are those of ``Embedded``. ``FastAPI(lifespan=symbl.lifespan)`` starts and
    stops it; your own lifespan can enter ``symbl.lifespan(app)``. ``async with symbl:`` works
    without an application, for scripts and tests.
    """

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[Mapping[str, object]]:
        """Start the client, follow the jobs of the journal, and drain it at the end.

        Yields the state that your own lifespan has to ``yield`` if applications are mounted
        below this one. Streams of events end as soon as SIGINT or SIGTERM arrives, since
        uvicorn waits for them before it ends the lifespan. It also waits for uploads, without
        a limit unless ``--timeout-graceful-shutdown`` sets one.
        """
        # Around the start, too, which may wait for a database.
        with on_stop_signal(self.stop_streams):
            async with self:
                # For routes of this application; the yielded state reaches mounted ones, too.
                setattr(app.state, _NAME, self)
                yield {_NAME: self}

    @property
    def webhook_router(self) -> APIRouter:
        """A router with ``POST /webhooks/{nonce}/{mark}``, which must be open to the API.

        ``Config.webhook_base_url`` is the public address of ``…/webhooks``. It answers 403 to
        a caller outside of ``Config.webhook_networks``, otherwise the status of
        ``WebhookReceiver.receive``.
        """
        router = APIRouter()

        @router.post("/webhooks/{nonce}/{mark}", include_in_schema=False)
        async def webhook(nonce: str, mark: str, request: Request) -> Response:
            return Response(status_code=await self._answer_webhook(nonce, mark, request))

        return router

    @property
    def job_router(self) -> APIRouter:
        """A router with ``GET /jobs/{job_id}`` and ``GET /jobs/{job_id}/events``.

        The first is JSON with ``id``, ``conversation_id``, ``status`` and ``error`` (a
        problem, or null); the second is server-sent events, see ``sse.stream``. With an
        outbox there is also ``GET /items/{key}``: JSON with ``key``, ``state``,
        ``conversation_id`` and ``job_id``. They answer for any job and any item:
        ``include_router(…, dependencies=[…])`` can require a login.
        """
        router = APIRouter()

        @router.get("/jobs/{job_id}", responses=_RESPONSES)
        async def job(job_id: str) -> Response:
            """Return a job, with its status and its error."""
            try:
                return JSONResponse(sse.describe(*await self.find(job_id)))
            except SymblError as error:
                return _problem(error)

        @router.get(
            "/jobs/{job_id}/events",
            status_code=200,
            response_class=_Events,
            responses={204: {"description": "All events were received"}, **_RESPONSES},
        )
        async def events(job_id: str, request: Request) -> Response:
            """Stream the events of a job, first the past ones."""
            if sse.has_ended(request.headers.get("last-event-id")):
                return Response(status_code=204)
            try:
                found, _ = await self.find(job_id)
            except SymblError as error:
                return _problem(error)
            return _Events(self.stream(found))

        if self._durable is not None:

            @router.get("/items/{key:path}", responses=_RESPONSES)
            async def item(key: str) -> Response:
                """Return an item of the outbox, with its state."""
                try:
                    return JSONResponse(await self.describe_item(key))
                except SymblError as error:
                    return _problem(error)

        return router

    @property
    def router(self) -> APIRouter:
        """Both routers in one. Include it with any prefix."""
        router = APIRouter()
        router.include_router(self.webhook_router)
        router.include_router(self.job_router)
        return router

    def handle_errors(self, app: FastAPI) -> None:
        """Answer with a problem (RFC 9457) when a route raises an error of the library.

        See ``contrib.problems``; an error that is not the visitor's fault is logged as a warning.
        A WebSocket gets it as its last text, with the kind ``"problem"``, and is closed.
        """
        # Starlette sends no response for ``None``, which the type of a handler does not have.
        app.add_exception_handler(SymblError, cast("Any", _handle))

    async def _answer_webhook(self, nonce: str, mark: str, request: Request) -> int:
        try:
            peer = None if request.client is None else request.client.host
            return await self.answer_webhook(peer, nonce, mark, _chunks(request))
        except BadUploadError as error:
            return error.status
        except SymblError as error:
            return problems.problem(error).status


async def current_client(request: HTTPConnection) -> SymblClient:
    """Return the running client of the application: the dependency behind ``Client``.

    Raises ``ConfigurationError`` if the application does not run in ``Symbl.lifespan``.
    """
    return _service(request).client


def _service(request: HTTPConnection) -> Symbl:
    found = _running(request)
    if found is None:
        raise misuse(
            "the application has no client: use FastAPI(lifespan=symbl.lifespan), or enter "
            "symbl.lifespan(app) in a lifespan of your own; of mounted applications only the "
            "lifespan of the outermost one runs"
        )
    return found


def _running(request: HTTPConnection) -> Symbl | None:
    # A mounted application has the state of the one above it, and may have a client of its own.
    found = getattr(request.app.state, _NAME, None) or getattr(request.state, _NAME, None)
    return found if isinstance(found, Symbl) else None


Client = Annotated[SymblClient, Depends(current_client)]
"""The running client, as a parameter of a route: ``async def route(symbl: Client)``."""


async def read_upload(request: Request) -> Incoming:
    """Read a request up to the first bytes of its recording, as ``upload_through`` does.

    For a form whose fields decide how it is handled; then ``await incoming.pass_on(symbl)``.
    Raises as ``passthrough.read_incoming``.
    """
    found = _running(request)
    stall = None if found is None else found.client.config.timeouts.stall
    return await read_incoming(_chunks(request), request.headers, stall=stall)


async def upload_through(
    request: Request,
    options: MediaOptions | None = None,
    *,
    to: str | Submission | Job | None = None,
    key: str | None = None,
) -> Job:
    """Stream the body of a request to the API, and return the accepted job.

    The body is the recording itself, or a form whose last part is the recording; its format is
    detected from its first bytes. Nothing is stored, and it is never whole in memory. A route that
    uses it takes the ``Request``, and no body, form or file parameter, which would read it
    first. For ``options``, ``to``, ``key``, errors and cancellation see
    ``passthrough.Incoming.pass_on`` and ``passthrough.read_incoming``. A visitor who leaves
    before the last byte aborts it, and the API accepts nothing.
    """
    client = await current_client(request)
    incoming = await read_upload(request)
    return await incoming.pass_on(client, options, to=to, key=key)


async def stream_through(
    websocket: WebSocket,
    id: str | None = None,
    *,
    origins: Collection[str] | None = None,
    **settings: Unpack[StreamSettings],
) -> Conversation:
    """Pass a browser's audio through to a stream, and return the conversation.

    ::

        @app.websocket("/speak")
        async def speak(websocket: WebSocket, rate: int) -> None:
            await stream_through(websocket, sample_rate=rate, insight_types=["question"])

    Accepts the socket. Its binary frames are the audio; ``{"type": "stop_request"}``, or its
    closing, ends it. The visitor gets each event as JSON (``event.to_json()``), and
    the socket is closed once all are sent. The stop of the service ends the audio as well, and
    closes the socket with 1012. ``origins``: pages of these origins may open it;
    without them those of the service's own host. Behind a proxy that changes ``Host``, name
    them. For the rest see ``SymblClient.stream`` and ``contrib.live.pass_stream``.
    """
    headers = websocket.headers
    if not is_allowed(headers.get("origin"), headers.get("host"), origins):
        raise WebSocketException(1008)
    service = _service(websocket)
    _ = service.client  # raises before the handshake
    await websocket.accept()
    return await service.pass_stream(_Visitor(websocket), id, **settings)


class _Visitor:
    """A socket of Starlette, as ``contrib.live`` uses it."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> bytes | None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect" or is_end(message.get("text") or ""):
                return None
            if audio := message.get("bytes"):
                return bytes(audio)

    async def send(self, text: str) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._websocket.send_text(text)

    async def close(self, code: int) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._websocket.close(code)


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                if chunk:
                    yield chunk
    except ClientDisconnect:
        raise BadUploadError(400, "the visitor left before the end of the body") from None


async def _handle(connection: HTTPConnection, error: Exception) -> Response | None:
    if not isinstance(connection, WebSocket):
        return _problem(error)
    if connection.application_state is WebSocketState.CONNECTED:
        await end_with_problem(_Visitor(connection), error)
    elif connection.application_state is WebSocketState.CONNECTING:
        # Sent here: the Starlette of the lowest FastAPI drops the response that is returned.
        try:
            await connection.send_denial_response(_problem(error))
        except RuntimeError:  # the server can only refuse the handshake, with 403
            await connection.close()
    return None  # ``stream_through`` has sent the problem of a socket that is closed already


def _problem(error: Exception) -> Response:
    problem = problems.problem(error)
    problems.log(problem, error)
    return Response(
        problem.to_json(),
        problem.status,
        headers=problem.headers,
        media_type=problems.MEDIA_TYPE,
    )


class _Events(StreamingResponse):
    """A stream of events that is closed with its response, and not by garbage collection."""

    media_type = sse.MEDIA_TYPE

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        # Encoded "as is", or the compression of an older Starlette holds them back to the end.
        headers = {**sse.HEADERS, "Content-Encoding": "identity"}
        super().__init__(events, headers=headers)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)
