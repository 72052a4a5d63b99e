"""Fault injection: the table of faults, and the requests to which each applies.

The other modules know nothing of faults, except for those that a job or a WebSocket carries
as names.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from attrs import define, frozen

from symbl_aio.server.change_notifier import ChangeNotifier
from symbl_aio.server.http_json import json_response
from symbl_aio.server.job_queue import Jobs
from symbl_aio.server.live.live_socket import wants_websocket
from symbl_aio.server.request_body import ask_for_body
from symbl_aio.server.request_log import Received, RequestLog
from symbl_aio.server.webhooks import WebhookDelivery

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TOKEN_PATH = "/oauth2/token:generate"
JOB_PATH = "/v1/job/"
PROCESS_PATH = "/v1/process/"

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


class ConnectionDroppedError(Exception):
    """The connection was closed; no response can be sent."""


@frozen
class FaultContext:
    """The state that a fault may read. ``closing`` is set when the server closes: stop waiting."""

    jobs: Jobs
    webhooks: WebhookDelivery
    changes: ChangeNotifier
    log: RequestLog
    closing: asyncio.Event


@frozen
class _FaultedRequest:
    """A request to which a fault applies. ``argument`` is the text after the fault's colon."""

    request: web.Request
    handler: Handler
    argument: str
    context: FaultContext

    @property
    def submission(self) -> Received | None:
        return self.context.log.current(self.request)

    def drop(self, *, reset: bool = False) -> ConnectionDroppedError:
        """Close the connection, with a FIN or with a TCP reset."""
        transport = self.request.transport
        if transport is not None:
            if reset:
                sock = transport.get_extra_info("socket")
                # SO_LINGER with zero seconds makes abort() send an RST.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()
            else:
                transport.close()
        return ConnectionDroppedError()

    def write_raw(self, data: bytes) -> ConnectionDroppedError:
        """Write bytes past the HTTP server, then close the connection."""
        if self.request.transport is not None:
            self.request.transport.write(data)
        return self.drop()

    async def discard_body(self, fraction: float = 1.0) -> None:
        """Read this fraction of the body and discard it."""
        limit = (self.request.content_length or 0) * fraction
        size = 0
        await ask_for_body(self.request)
        async for piece in self.request.content.iter_any():
            size += len(piece)
            if self.submission is not None:
                self.submission.size = size
            self.context.changes.notify()
            if fraction < 1 and size >= limit:
                return
        if self.submission is not None:
            # Recorded, so that tests can distinguish a body that was read whole.
            self.submission.complete = True

    async def normal_response(self) -> web.Response:
        """Handle the request normally and return the response, which is not sent yet."""
        response = await self.handler(self.request)
        assert isinstance(response, web.Response)
        return response


async def _accept_then_drop(faulted: _FaultedRequest) -> web.StreamResponse:
    """Accept the submission, then close the connection without a response."""
    await faulted.normal_response()
    raise faulted.drop()


async def _accept_then_status(faulted: _FaultedRequest) -> web.StreamResponse:
    """Accept the submission, then respond with another status."""
    await faulted.normal_response()
    return _status_response(faulted.argument)


async def _drop_before_body(faulted: _FaultedRequest) -> web.StreamResponse:
    """Close the connection before any byte of the body is read."""
    raise faulted.drop()


async def _drop_mid_body(faulted: _FaultedRequest) -> web.StreamResponse:
    """Close the connection after half of the body."""
    await faulted.discard_body(0.5)
    raise faulted.drop()


async def _reset(faulted: _FaultedRequest) -> web.StreamResponse:
    """Reset the connection (TCP RST)."""
    raise faulted.drop(reset=True)


async def _slow(faulted: _FaultedRequest) -> web.StreamResponse:
    """Delay the normal response, by one second without an argument."""
    response = await faulted.normal_response()
    try:
        # Closing the server ends the delay.
        async with asyncio.timeout(float(faulted.argument or 1)):
            await faulted.context.closing.wait()
    except TimeoutError:
        pass
    return response


async def _stall(faulted: _FaultedRequest) -> web.StreamResponse:
    # The body is not read, so the connection's window closes once its buffers are full.
    """Read nothing and send nothing until the server closes."""
    await faulted.context.closing.wait()
    raise faulted.drop()


async def _status(faulted: _FaultedRequest) -> web.StreamResponse:
    """Read the body and respond with a status; the request has no effect."""
    await faulted.discard_body()
    return _status_response(faulted.argument)


async def _early_status(faulted: _FaultedRequest) -> web.StreamResponse:
    """Respond with a status before the body is read."""
    response = _status_response(faulted.argument)
    # The rest of the body is unread, so the connection cannot be reused.
    response.force_close()
    return response


async def _retry_after(faulted: _FaultedRequest) -> web.StreamResponse:
    """Respond with a status and a ``Retry-After`` header: ``retry_after:STATUS:SECONDS``."""
    await faulted.discard_body()
    status, _, seconds = faulted.argument.partition(":")
    response = _status_response(status)
    response.headers["Retry-After"] = seconds
    return response


async def _redirect(faulted: _FaultedRequest) -> web.StreamResponse:
    """Redirect to the URL of the argument with 307."""
    await faulted.discard_body()
    return web.Response(status=307, headers={"Location": faulted.argument})


async def _half_answer(faulted: _FaultedRequest) -> web.StreamResponse:
    """Handle the request, send half of the response body, and close the connection.

    Of a long body, which is sent while it is made, no part is sent.
    """
    response = await faulted.normal_response()
    body, length = response.body, "Transfer-Encoding: chunked"
    if isinstance(body, bytes):
        body, length = body[: len(body) // 2], f"Content-Length: {len(body)}"
    else:
        body = b""
    head = (
        f"HTTP/1.1 {response.status} {response.reason}\r\n"
        f"Content-Type: application/json\r\n{length}\r\n\r\n"
    )
    raise faulted.write_raw(head.encode() + body)


async def _not_http(faulted: _FaultedRequest) -> web.StreamResponse:
    """Handle the request and send bytes that are not HTTP."""
    await faulted.normal_response()
    raise faulted.write_raw(b"\x15\x03\x01\x00\x02\x02\x16 this is no HTTP\r\n\r\n")


async def _garbage(faulted: _FaultedRequest) -> web.StreamResponse:
    """Handle the request and respond with its status and a body that is not JSON."""
    response = await faulted.normal_response()
    return web.Response(
        text='<html>{"conversationId": ', status=response.status, content_type="application/json"
    )


async def _no_ids(faulted: _FaultedRequest) -> web.StreamResponse:
    """Accept the submission and respond with an empty JSON object."""
    response = await faulted.normal_response()
    return json_response({}, response.status)


async def _unknown_status(faulted: _FaultedRequest) -> web.StreamResponse:
    """Report a job status that the API does not know."""
    await faulted.normal_response()
    return json_response({"id": faulted.request.match_info["job_id"], "status": "under_review"})


async def _flap(faulted: _FaultedRequest) -> web.StreamResponse:
    """Report a job as scheduled again."""
    await faulted.normal_response()
    return json_response({"id": faulted.request.match_info["job_id"], "status": "scheduled"})


async def _not_found(faulted: _FaultedRequest) -> web.StreamResponse:
    """Report a job as unknown (404)."""
    await faulted.discard_body()
    return _status_response("404")


async def _early_webhook(faulted: _FaultedRequest) -> web.StreamResponse:
    """Accept the submission and respond only after its last webhook call."""
    response = await faulted.normal_response()
    job = faulted.context.jobs.by_id.get((faulted.submission and faulted.submission.job_id) or "")
    if job is not None:
        context = faulted.context
        await context.changes.wait_until(
            lambda: context.closing.is_set() or context.webhooks.is_delivered(job)
        )
    return response


def _status_response(status: str) -> web.Response:
    """Return a response with a status of the caller's choice."""
    return json_response({"message": f"The server was told to answer {status}."}, int(status))


def _is_submission(request: web.Request) -> bool:
    return request.path.startswith(PROCESS_PATH)


def _is_poll(request: web.Request) -> bool:
    return request.path.startswith(JOB_PATH)


def _is_ordinary(request: web.Request) -> bool:
    return request.path != TOKEN_PATH


@frozen
class _FaultType:
    """The effect of a fault, and the requests it applies to when ``on`` is not given.

    ``run`` is None for a fault that a job or a WebSocket carries. ``argument`` checks the
    argument; None forbids one.
    """

    run: Callable[[_FaultedRequest], Awaitable[web.StreamResponse]] | None
    applies_to: Callable[[web.Request], bool] = _is_ordinary
    argument: Callable[[str], object] | None = None


def _is_live(request: web.Request) -> bool:
    return wants_websocket(request)


def _check_count(argument: str) -> None:
    if argument and int(argument) < 0:
        raise ValueError("give a number of frames, such as drop_after_frames:3")


def _check_seconds(argument: str) -> None:
    if argument:
        float(argument)


def _check_url(argument: str) -> None:
    if not argument:
        raise ValueError("say where to, such as redirect:http://127.0.0.1/")


def _check_status_and_seconds(argument: str) -> None:
    status, _, seconds = argument.partition(":")
    int(status)
    float(seconds)


# Each name, with the requests it applies to by default and the check of its argument.
FAULTS: Mapping[str, _FaultType] = {
    "accept_then_drop": _FaultType(_accept_then_drop, _is_submission),
    "accept_then_status": _FaultType(_accept_then_status, _is_submission, int),
    "drop_before_body": _FaultType(_drop_before_body),
    "drop_mid_body": _FaultType(_drop_mid_body, _is_submission),
    "reset": _FaultType(_reset),
    "slow": _FaultType(_slow, argument=_check_seconds),
    "stall": _FaultType(_stall, _is_submission),
    "status": _FaultType(_status, argument=int),
    "early": _FaultType(_early_status, argument=int),
    "retry_after": _FaultType(_retry_after, argument=_check_status_and_seconds),
    "redirect": _FaultType(_redirect, argument=_check_url),
    "half_answer": _FaultType(_half_answer),
    "not_http": _FaultType(_not_http),
    "garbage": _FaultType(_garbage),
    "no_ids": _FaultType(_no_ids, _is_submission),
    "unknown_status": _FaultType(_unknown_status, _is_poll),
    "flap": _FaultType(_flap, _is_poll),
    "not_found": _FaultType(_not_found, _is_poll),
    "early_webhook": _FaultType(_early_webhook, _is_submission),
    # Faults that a job carries from its acceptance on:
    "job_fails": _FaultType(None, _is_submission),
    "late_webhook": _FaultType(None, _is_submission),
    "duplicate_webhook": _FaultType(None, _is_submission),
    "no_webhook": _FaultType(None, _is_submission),
    # Faults that a WebSocket carries from its handshake on:
    "drop_after_frames": _FaultType(None, _is_live, _check_count),
    "freeze_after_frames": _FaultType(None, _is_live, _check_count),
    "no_pong": _FaultType(None, _is_live),
    "error_frame": _FaultType(None, _is_live),
    "late_completed": _FaultType(None, _is_live, _check_seconds),
}


@define(eq=False)
class _InjectedFault:
    name: str
    argument: str
    fault_type: _FaultType
    on: str | None
    times: int

    def applies_to(self, request: web.Request) -> bool:
        """Return whether the fault is meant for this request."""
        # Token requests are never matched by a method: a test that fails a POST keeps its token.
        match self.on:
            case None:
                return self.fault_type.applies_to(request)
            case "token":
                return request.path == TOKEN_PATH
            case "job":
                return _is_poll(request)
            case method if method in _METHODS:
                return request.method == method and _is_ordinary(request)
            case prefix:
                return request.path.startswith(prefix)


class FaultInjector:
    """The injected faults that no request has met yet, in order of injection."""

    def __init__(self) -> None:
        self.pending: list[_InjectedFault] = []

    def inject(self, fault: str, *, on: str | None, times: int) -> None:
        """Add a fault, such as ``status:502``. Raises ValueError for an unknown one."""
        name, _, argument = fault.partition(":")
        fault_type = FAULTS.get(name)
        if fault_type is None:
            raise ValueError(f"unknown fault {name!r}; there are {', '.join(sorted(FAULTS))}")
        if argument and fault_type.argument is None:
            raise ValueError(f"the fault {name!r} takes no argument")
        if fault_type.argument is not None:
            fault_type.argument(argument)
        if on is not None and on not in _METHODS | {"token", "job"} and not on.startswith("/"):
            raise ValueError(f"on={on!r}: give a method, 'token', 'job' or the start of a path")
        # Arguments were checked above: a wrong one fails in the test, not in a request.
        self.pending.append(_InjectedFault(name, argument, fault_type, on, times))

    def clear(self) -> None:
        """Remove the faults that no request has met yet."""
        self.pending.clear()

    async def handle(
        self, request: web.Request, handler: Handler, context: FaultContext
    ) -> web.StreamResponse:
        """Handle a request: by the first fault that applies to it, otherwise normally."""
        fault = self._consume(request, lambda fault_type: fault_type.run is not None)
        if fault is None or fault.fault_type.run is None:
            return await handler(request)
        return await fault.fault_type.run(
            _FaultedRequest(request, handler, fault.argument, context)
        )

    def take_job_faults(self, request: web.Request) -> frozenset[str]:
        """Consume and return the names of the faults for the job accepted with this request."""
        return frozenset(self.take_carried_faults(request))

    def take_carried_faults(self, request: web.Request) -> dict[str, str]:
        """Consume and return the faults for the job, or the socket, that this request opens.

        Each name comes with the text after its colon.
        """
        found: dict[str, str] = {}
        # Each name at most once; a second injection is for the next job.
        while fault := self._consume(
            request, lambda fault_type: fault_type.run is None, exclude=lambda name: name in found
        ):
            found[fault.name] = fault.argument
        return found

    def _consume(
        self,
        request: web.Request,
        matches: Callable[[_FaultType], bool],
        exclude: Callable[[str], bool] = lambda name: False,
    ) -> _InjectedFault | None:
        """Return the first matching fault and count down its remaining ``times``."""
        for fault in self.pending:
            if matches(fault.fault_type) and not exclude(fault.name) and fault.applies_to(request):
                fault.times -= 1
                if fault.times == 0:
                    self.pending.remove(fault)
                return fault
        return None
