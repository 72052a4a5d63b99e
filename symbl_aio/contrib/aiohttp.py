"""aiohttp.web integration: a client that lives with the application, routes, passthrough.

::

    symbl = Symbl(config=Config(webhook_base_url="https://example.com/symbl/webhooks", …))
    app = web.Application()
    symbl.setup(app, prefix="/symbl")

    async def take(request: web.Request) -> web.Response:
        job = await upload_through(request, MediaOptions(name="Monday"))
        return web.json_response({"job": job.id, "conversation": job.conversation_id})

The guarantees with several worker processes are those of ``contrib.fastapi``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, suppress
from typing import Final, TypeVar, Unpack

from aiohttp import ClientError, StreamReader, WSMsgType, web
from aiohttp.typedefs import Handler

from symbl_aio import (
    BadUploadError,
    ClientClosedError,
    Job,
    MediaOptions,
    StreamSettings,
    Submission,
    SymblClient,
    SymblError,
)
from symbl_aio._fields import misuse
from symbl_aio.contrib import problems, sse
from symbl_aio.contrib.live import is_allowed, is_end
from symbl_aio.contrib.passthrough import Incoming, read_incoming
from symbl_aio.contrib.service import Embedded
from symbl_aio.contrib.service_outbox import Durable as Durable

T = TypeVar("T")

CLIENT: Final = web.AppKey("symbl_aio", SymblClient)
"""Key of the running client: ``request.config_dict[CLIENT]``, in mounted applications too."""


_HEARTBEAT: Final = 30.0
"""Seconds after which a visitor who has left without a word is noticed."""

_SERVICE: Final = web.AppKey("symbl_aio.service", Embedded)


class _Bodies:
    """The request bodies that are being read. The stop cuts off those that are not complete."""

    def __init__(self) -> None:
        self._reading: set[StreamReader] = set()
        self._cut_off: set[StreamReader] = set()
        self._has_stopped = False

    def stop(self) -> None:
        """Cut off the incomplete bodies, and those that are read from now on."""
        self._has_stopped = True
        for body in self._reading:
            self._cut(body)

    async def read(self, body: StreamReader) -> AsyncGenerator[bytes, None]:
        """Yield a body. Raises ``ClientClosedError`` once it is cut off."""
        self._reading.add(body)
        try:
            if self._has_stopped:
                self._cut(body)
            async for chunk in body.iter_any():
                yield chunk
            if body in self._cut_off:
                raise ClientClosedError("the service stops; send it again")
        finally:
            self._reading.discard(body)
            self._cut_off.discard(body)

    def _cut(self, body: StreamReader) -> None:
        # aiohttp discards incoming data now, and the reader would wait for ever. No exception:
        # aiohttp reads on after the response, and would log it as unhandled.
        if not body.is_eof():
            self._cut_off.add(body)
            body.feed_eof()


_BODIES: Final = web.AppKey("symbl_aio.bodies", _Bodies)


class Symbl(Embedded):
    """The client of an ``aiohttp.web`` application, with its routes and its errors.

    The arguments are those of ``Embedded``.
    """

    def setup(self, app: web.Application, prefix: str = "/symbl") -> None:
        """Call ``attach``, and add both sorts of routes below ``prefix``, open to all."""
        self.attach(app)
        app.add_routes([*self.webhook_routes(prefix), *self.job_routes(prefix)])

    def attach(self, app: web.Application) -> None:
        """Start and drain the client with the application, and answer errors with problems.

        An error of the library that a route raises becomes a problem (RFC 9457), see
        ``contrib.problems``; one that is not the visitor's fault is logged as a warning. When
        the application shuts down, streams of events and live audio end, and aiohttp stops
        reading request bodies: an upload that is incomplete then is answered with 503, and
        nothing of it is accepted; complete ones are waited for according to ``drain``.
        """
        app.middlewares.append(_errors)
        app.cleanup_ctx.append(self._lifespan)
        app.on_shutdown.append(self._stop)

    def webhook_routes(self, prefix: str = "") -> list[web.RouteDef]:
        """Return ``POST /webhooks/{nonce}/{mark}``, which must be open to the API.

        ``Config.webhook_base_url`` is the public address of ``…/webhooks``. It answers 403 to
        a caller outside of ``Config.webhook_networks``, otherwise the status of
        ``WebhookReceiver.receive``.
        """
        below = prefix.rstrip("/")
        return [web.post(f"{below}/webhooks/{{nonce}}/{{mark}}", self._webhook)]

    def job_routes(self, prefix: str = "") -> list[web.RouteDef]:
        """Return ``GET /jobs/{job_id}`` and ``GET /jobs/{job_id}/events``.

        The first is JSON with ``id``, ``conversation_id``, ``status`` and ``error`` (a
        problem, or null); the second is server-sent events, see ``sse.stream``. With an
        outbox there is also ``GET /items/{key}``: JSON with ``key``, ``state``,
        ``conversation_id`` and ``job_id``. They answer for any job and any item: add them to
        an application that requires a login. A visitor who leaves is noticed at the next
        heartbeat.
        """
        below = prefix.rstrip("/")
        # Without HEAD, for which aiohttp would run the handler: a stream has no end of its own.
        routes = [
            web.get(f"{below}/jobs/{{job_id}}", self._job, allow_head=False),
            web.get(f"{below}/jobs/{{job_id}}/events", self._events, allow_head=False),
        ]
        if self._durable is not None:
            routes.append(web.get(f"{below}/items/{{key:.+}}", self._item, allow_head=False))
        return routes

    async def _lifespan(self, app: web.Application) -> AsyncIterator[None]:
        async with self:
            app[CLIENT], app[_SERVICE], app[_BODIES] = self.client, self, _Bodies()
            yield

    async def _stop(self, app: web.Application) -> None:
        if _BODIES in app:  # else it has not started
            app[_BODIES].stop()
        await self.drain()

    async def _webhook(self, request: web.Request) -> web.Response:
        nonce, mark = request.match_info["nonce"], request.match_info["mark"]
        status = await self.answer_webhook(request.remote, nonce, mark, _chunks(request))
        return web.Response(status=status)

    async def _job(self, request: web.Request) -> web.Response:
        return web.json_response(sse.describe(*await self.find(request.match_info["job_id"])))

    async def _item(self, request: web.Request) -> web.Response:
        return web.json_response(await self.describe_item(request.match_info["key"]))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if sse.has_ended(request.headers.get("last-event-id")):
            return web.Response(status=204)
        found, _ = await self.find(request.match_info["job_id"])
        response = web.StreamResponse(headers={**sse.HEADERS, "Content-Type": sse.MEDIA_TYPE})
        await response.prepare(request)
        async with aclosing(self.stream(found)) as events:
            with suppress(ConnectionError):
                async for event in events:
                    await response.write(event)
        return response


async def read_upload(request: web.Request) -> Incoming:
    """Read a request up to the first bytes of its recording, as ``upload_through`` does.

    For a form whose fields decide how it is handled; then ``await incoming.pass_on(client)``.
    Raises as ``passthrough.read_incoming``.
    """
    client = request.config_dict.get(CLIENT)
    stall = None if client is None else client.config.timeouts.stall
    return await read_incoming(_chunks(request), request.headers, stall=stall)


async def upload_through(
    request: web.Request,
    options: MediaOptions | None = None,
    *,
    to: str | Submission | Job | None = None,
    key: str | None = None,
) -> Job:
    """Stream the body of a request to the API, and return the accepted job.

    The body is the recording itself, or a form whose last part is the recording; its format is
    detected from its first bytes. Nothing is stored, it is never whole in memory, and the
    application's ``client_max_size`` does not apply. For ``options``, ``to``, ``key``, errors
    and cancellation see ``passthrough.Incoming.pass_on`` and ``passthrough.read_incoming``.
    A visitor who leaves before the last byte aborts it, and the API accepts nothing.
    """
    client = _of_application(request, CLIENT)
    incoming = await read_upload(request)
    return await incoming.pass_on(client, options, to=to, key=key)


async def stream_through(
    request: web.Request,
    id: str | None = None,
    *,
    origins: Collection[str] | None = None,
    **settings: Unpack[StreamSettings],
) -> web.WebSocketResponse:
    """Pass a browser's audio through to a stream, and return the response of the handler.

    ::

        async def speak(request: web.Request) -> web.WebSocketResponse:
            return await stream_through(request, sample_rate=int(request.query["rate"]))

    The request must be that of a WebSocket. Its binary frames are the audio;
    ``{"type": "stop_request"}``, or its closing, ends it. The visitor gets each event as JSON
    (``event.to_json()``), and the socket is closed once all are sent. The stream's
    conversation is that of the first event. The stop of the service ends the audio as well, and
    closes the socket with 1012. ``origins``: pages of these origins may open it;
    without them those of the service's own host. Behind a proxy that changes ``Host``, name
    them. An error of the stream closes the socket with 1011, and is logged.
    """
    if not is_allowed(request.headers.get("Origin"), request.headers.get("Host"), origins):
        raise web.HTTPForbidden
    service = _of_application(request, _SERVICE)
    websocket = web.WebSocketResponse(heartbeat=_HEARTBEAT)
    await websocket.prepare(request)
    # Its problem was sent to the visitor, and a response can no longer be chosen.
    with suppress(SymblError):
        await service.pass_stream(_Visitor(websocket), id, **settings)
    return websocket


def _of_application(request: web.Request, key: web.AppKey[T]) -> T:
    """Return a value that the service has put into the application, or one above it."""
    found: T | None = request.config_dict.get(key)
    if found is None:
        raise misuse(
            "the application has no running client: call Symbl().setup(app), or attach(app), "
            "before it starts"
        )
    return found


class _Visitor:
    """A socket of aiohttp, as ``contrib.live`` uses it."""

    def __init__(self, websocket: web.WebSocketResponse) -> None:
        self._websocket = websocket

    async def receive(self) -> bytes | None:
        while True:
            message = await self._websocket.receive()
            if message.type is WSMsgType.BINARY and message.data:
                audio: bytes = message.data
                return audio
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return None
            if message.type is WSMsgType.TEXT and is_end(message.data):
                return None

    async def send(self, text: str) -> None:
        with suppress(ConnectionError, ClientError):
            await self._websocket.send_str(text)

    async def close(self, code: int) -> None:
        with suppress(ConnectionError, ClientError):
            await self._websocket.close(code=code)


async def _chunks(request: web.Request) -> AsyncGenerator[bytes, None]:
    bodies = request.config_dict.get(_BODIES) or _Bodies()
    try:
        async with aclosing(bodies.read(request.content)) as chunks:
            async for chunk in chunks:
                yield chunk
    except (ConnectionError, ClientError, web.RequestPayloadError):
        raise BadUploadError(400, "the visitor left before the end of the body") from None


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except SymblError as error:
        problem = problems.problem(error)
        problems.log(problem, error)
        return web.Response(
            body=problem.to_json(),
            status=problem.status,
            headers={**problem.headers, "Content-Type": problems.MEDIA_TYPE},
        )
