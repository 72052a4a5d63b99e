"""For FastAPI: a client that lives with the application, its routes, and uploads passed through.

::

    symbl = Symbl(config=Config(webhook_base_url="https://example.com/symbl/webhooks", …))
    app = FastAPI(lifespan=symbl.lifespan)
    app.include_router(symbl.router, prefix="/symbl")
    symbl.handle_errors(app)

    @app.post("/recordings")
    async def take(request: Request) -> dict[str, str | None]:
        job = await upload_through(request, MediaOptions(name="Monday"))
        return {"job": job.id, "conversation": job.conversation_id}

Several workers (``uvicorn --workers 4``) are several clients, which know nothing of each
other but the journal's directory and the webhook secret. With these two shared:

- Every genuine webhook call is answered with 204, whichever worker it reaches. It brings
  the poll forward only in the worker that follows the job; elsewhere it is forgotten after
  a minute.
- Every job resolves in the worker that submitted it, by its own polls at the latest.
- ``GET /jobs/{job_id}`` and its events are answered by any worker for any job of the
  account. What another worker submitted costs a request, its events a second follower; and
  its ``conversation_id`` is null there, so let a page keep what its upload was told.
- The jobs of a worker that died, by ``kill -9`` too, are followed by the next one that
  starts, and never by two.

Not guaranteed: each worker learns and keeps the job limit of the account by itself, so
together they are refused (429) more often; ``Limits(jobs=…)`` divides a known limit among
them. Appends to one conversation are in order within one worker only: send them to one.
An outbox (``Symbl(durable="postgresql://…")``, then ``symbl.outbox.append(…)``) keeps limit
and order for all of them, see ``durable``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.encoders import encoders_by_class_tuples
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from symbl_aio import (
    ConfigurationError,
    Job,
    MediaOptions,
    Submission,
    SymblClient,
    SymblError,
    WebhookReceiver,
)
from symbl_aio.contrib import problems, sse
from symbl_aio.contrib.passthrough import Incoming, read_incoming
from symbl_aio.contrib.problems import BadUploadError
from symbl_aio.contrib.service import Embedded
from symbl_aio.contrib.signals import told_of_stop
from symbl_aio.models.base import Model, as_json

_NAME: Final = "symbl_aio"

# For routes without a return annotation, where FastAPI asks pydantic nothing.
encoders_by_class_tuples[as_json] = (Model,)


class Symbl(Embedded):
    """The client of a FastAPI application, with its lifespan, its routes and its errors.

    The arguments are those of ``Embedded``. ``FastAPI(lifespan=symbl.lifespan)`` starts and
    stops it; a lifespan of one's own enters ``symbl.lifespan(app)``. ``async with symbl:``
    does without an application, for scripts and tests.
    """

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[Mapping[str, object]]:
        """Start the client, follow the jobs of the journal, and drain it at the end.

        Gives what a lifespan of one's own has to give on (``yield``) if applications are
        mounted below this one. Streams of events end as soon as SIGINT or SIGTERM comes,
        since uvicorn waits for them before it ends the lifespan. It waits for uploads, too,
        however long they take: ``--timeout-graceful-shutdown`` is the limit of that.
        """
        async with self:
            setattr(app.state, _NAME, self)
            with told_of_stop(self.stop_streams):
                yield {_NAME: self}

    @property
    def webhook_router(self) -> APIRouter:
        """A router with ``POST /webhooks/{nonce}/{mark}``, which must be open to the API.

        ``Config.webhook_base_url`` is the public address of ``…/webhooks``. Answers 403 to
        a peer outside of ``Config.webhook_networks``, else as ``WebhookReceiver`` says.
        """
        router = APIRouter()

        @router.post("/webhooks/{nonce}/{mark}", include_in_schema=False)
        async def webhook(nonce: str, mark: str, request: Request) -> Response:
            return Response(status_code=await self._answer(nonce, mark, request))

        return router

    @property
    def job_router(self) -> APIRouter:
        """A router with ``GET /jobs/{job_id}`` and ``GET /jobs/{job_id}/events``.

        The first is JSON with ``id``, ``conversation_id``, ``status`` and ``error`` (a
        problem, or null); the second is server-sent events, see ``sse.stream``. With an
        outbox there is ``GET /items/{key}``, too: JSON with ``key``, ``state``,
        ``conversation_id`` and ``job_id``. They tell about any job and any item:
        ``include_router(…, dependencies=[…])`` asks for a login.
        """
        router = APIRouter()

        @router.get("/jobs/{job_id}")
        async def job(job_id: str) -> Response:
            try:
                return JSONResponse(sse.describe(*await self.find(job_id)))
            except SymblError as error:
                return _problem(error)

        @router.get("/jobs/{job_id}/events")
        async def events(job_id: str, request: Request) -> Response:
            if sse.is_over(request.headers.get("last-event-id")):
                return Response(status_code=204)
            try:
                found, _ = await self.find(job_id)
            except SymblError as error:
                return _problem(error)
            return _Events(self.stream(found))

        if self._durable is not None:

            @router.get("/items/{key:path}")
            async def item(key: str) -> Response:
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
        """Answer with a problem (RFC 9457) whatever error of the library a route raises.

        See ``contrib.problems``; what is not the visitor's fault is logged as a warning.
        """
        app.add_exception_handler(SymblError, _handle)
        app.add_exception_handler(BadUploadError, _handle)

    async def _answer(self, nonce: str, mark: str, request: Request) -> int:
        try:
            if not self.allows(None if request.client is None else request.client.host):
                return 403
            body = b""
            async with aclosing(_chunks(request)) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > WebhookReceiver.MAX_BYTES:
                        break
            return await self.hear(nonce, mark, body)
        except BadUploadError as error:
            return error.status
        except SymblError as error:
            return problems.problem(error).status


async def current_client(request: Request) -> SymblClient:
    """Give the running client of the application. A dependency: ``Client`` is the way to say it.

    Raises ``ConfigurationError`` if the application does not run in ``Symbl.lifespan``.
    """
    found = getattr(request.state, _NAME, None) or getattr(request.app.state, _NAME, None)
    if not isinstance(found, Symbl):
        raise ConfigurationError(
            "the application has no client: use FastAPI(lifespan=symbl.lifespan), or enter "
            "symbl.lifespan(app) in a lifespan of your own"
        )
    return found.client


Client = Annotated[SymblClient, Depends(current_client)]
"""The running client, as a parameter of a route: ``async def route(symbl: Client)``."""


async def read_upload(request: Request) -> Incoming:
    """Read a request up to the first bytes of the recording in it, as for ``upload_through``.

    For a form whose fields decide what is to be done; then ``await incoming.pass_on(symbl)``.
    Raises as ``passthrough.read_incoming``.
    """
    return await read_incoming(_chunks(request), request.headers)


async def upload_through(
    request: Request,
    options: MediaOptions | None = None,
    *,
    to: str | Submission | Job | None = None,
    key: str | None = None,
) -> Job:
    """Stream the body of a request straight to the API, and give the job it was accepted as.

    The body is the recording itself, or a form whose last part it is; its kind is told by
    its first bytes. Nothing is stored, and it is never whole in memory. A route that uses it
    takes the ``Request``, and no body, form or file parameter, which would read it first.
    ``options``, ``to`` and ``key``, what is raised, and what cancelling does: see
    ``passthrough.Incoming.pass_on`` and ``passthrough.read_incoming``. A visitor who leaves before
    the last byte aborts it, and the API accepts nothing.
    """
    client = await current_client(request)
    incoming = await read_upload(request)
    return await incoming.pass_on(client, options, to=to, key=key)


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                if chunk:
                    yield chunk
    except ClientDisconnect:
        raise BadUploadError(400, "the visitor left before the end of the body") from None


async def _handle(request: Request, error: Exception) -> Response:
    return _problem(error)


def _problem(error: Exception) -> Response:
    told = problems.problem(error)
    problems.log(told, error)
    return Response(
        told.to_json(), told.status, headers=told.headers, media_type=problems.MEDIA_TYPE
    )


class _Events(StreamingResponse):
    """A stream of events that is closed with its response, and not when memory is tidied up."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, headers=sse.HEADERS, media_type=sse.MEDIA_TYPE)
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)
