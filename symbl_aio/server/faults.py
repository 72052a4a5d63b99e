"""Misbehaving on request: a table of faults, and which request each of them strikes.

The ordinary code knows nothing of this, but for the few faults of a job's own, which
it carries as names.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from attrs import define, frozen

from symbl_aio.server.change_notifier import Pulse
from symbl_aio.server.http_json import answer
from symbl_aio.server.jobs import Jobs
from symbl_aio.server.request_log import Log, Received
from symbl_aio.server.webhooks import Webhooks

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TOKEN_PATH = "/oauth2/token:generate"
JOB_PATH = "/v1/job/"
PROCESS_PATH = "/v1/process/"

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


class DroppedError(Exception):
    """The connection is gone: there is nobody to answer."""


@frozen
class Scene:
    """What a fault may look at. ``over``: the server closes, nothing is to wait any longer."""

    jobs: Jobs
    webhooks: Webhooks
    pulse: Pulse
    log: Log
    over: asyncio.Event


@frozen
class _Strike:
    """One request, struck. ``argument`` is what stood after the fault's colon."""

    request: web.Request
    handler: Handler
    argument: str
    scene: Scene

    @property
    def received(self) -> Received | None:
        return self.scene.log.of(self.request)

    def drop(self, *, reset: bool = False) -> DroppedError:
        """Close the connection, with a FIN or with a TCP reset."""
        transport = self.request.transport
        if transport is not None:
            if reset:
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()
            else:
                transport.close()
        return DroppedError()

    def raw(self, data: bytes) -> DroppedError:
        """Write bytes past the HTTP server, then close."""
        if self.request.transport is not None:
            self.request.transport.write(data)
        return self.drop()

    async def swallow(self, share: float = 1.0) -> None:
        """Read this share of the body and forget it."""
        enough = (self.request.content_length or 0) * share
        size = 0
        async for piece in self.request.content.iter_any():
            size += len(piece)
            if self.received is not None:
                self.received.size = size
            self.scene.pulse.ring()
            if share < 1 and size >= enough:
                return
        if self.received is not None:
            self.received.complete = True

    async def handled(self) -> web.Response:
        """What the server answers when nothing is wrong, not sent yet."""
        response = await self.handler(self.request)
        assert isinstance(response, web.Response)
        return response


async def _accept_then_drop(strike: _Strike) -> web.StreamResponse:
    await strike.handled()
    raise strike.drop()


async def _accept_then_status(strike: _Strike) -> web.StreamResponse:
    await strike.handled()
    return _told(strike.argument)


async def _drop_before_body(strike: _Strike) -> web.StreamResponse:
    raise strike.drop()


async def _drop_mid_body(strike: _Strike) -> web.StreamResponse:
    await strike.swallow(0.5)
    raise strike.drop()


async def _reset(strike: _Strike) -> web.StreamResponse:
    raise strike.drop(reset=True)


async def _slow(strike: _Strike) -> web.StreamResponse:
    response = await strike.handled()
    try:
        async with asyncio.timeout(float(strike.argument or 1)):
            await strike.scene.over.wait()
    except TimeoutError:
        pass
    return response


async def _stall(strike: _Strike) -> web.StreamResponse:
    # Nobody reads, so that the connection's window closes once its buffers are full.
    await strike.scene.over.wait()
    raise strike.drop()


async def _status(strike: _Strike) -> web.StreamResponse:
    await strike.swallow()
    return _told(strike.argument)


async def _early(strike: _Strike) -> web.StreamResponse:
    response = _told(strike.argument)
    response.force_close()
    return response


async def _retry_after(strike: _Strike) -> web.StreamResponse:
    await strike.swallow()
    status, _, seconds = strike.argument.partition(":")
    response = _told(status)
    response.headers["Retry-After"] = seconds
    return response


async def _redirect(strike: _Strike) -> web.StreamResponse:
    await strike.swallow()
    return web.Response(status=307, headers={"Location": strike.argument})


async def _half_answer(strike: _Strike) -> web.StreamResponse:
    response = await strike.handled()
    body = response.body
    assert isinstance(body, bytes)
    head = (
        f"HTTP/1.1 {response.status} {response.reason}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    raise strike.raw(head.encode() + body[: len(body) // 2])


async def _not_http(strike: _Strike) -> web.StreamResponse:
    await strike.handled()
    raise strike.raw(b"\x15\x03\x01\x00\x02\x02\x16 this is no HTTP\r\n\r\n")


async def _garbage(strike: _Strike) -> web.StreamResponse:
    response = await strike.handled()
    return web.Response(
        text='<html>{"conversationId": ', status=response.status, content_type="application/json"
    )


async def _no_ids(strike: _Strike) -> web.StreamResponse:
    response = await strike.handled()
    return answer({}, response.status)


async def _unknown_status(strike: _Strike) -> web.StreamResponse:
    await strike.handled()
    return answer({"id": strike.request.match_info["job_id"], "status": "under_review"})


async def _flap(strike: _Strike) -> web.StreamResponse:
    await strike.handled()
    return answer({"id": strike.request.match_info["job_id"], "status": "scheduled"})


async def _not_found(strike: _Strike) -> web.StreamResponse:
    await strike.swallow()
    return _told("404")


async def _early_webhook(strike: _Strike) -> web.StreamResponse:
    response = await strike.handled()
    job = strike.scene.jobs.known.get((strike.received and strike.received.job_id) or "")
    if job is not None:
        scene = strike.scene
        await scene.pulse.until(lambda: scene.over.is_set() or scene.webhooks.settled(job))
    return response


def _told(status: str) -> web.Response:
    return answer({"message": f"The server was told to answer {status}."}, int(status))


def _is_submission(request: web.Request) -> bool:
    return request.path.startswith(PROCESS_PATH)


def _is_poll(request: web.Request) -> bool:
    return request.path.startswith(JOB_PATH)


def _is_ordinary(request: web.Request) -> bool:
    return request.path != TOKEN_PATH


@frozen
class _Kind:
    """``strikes``: the requests that it strikes when nobody says which."""

    run: Callable[[_Strike], Awaitable[web.StreamResponse]] | None
    strikes: Callable[[web.Request], bool] = _is_ordinary
    argument: Callable[[str], object] | None = None


def _seconds(argument: str) -> None:
    if argument:
        float(argument)


def _link(argument: str) -> None:
    if not argument:
        raise ValueError("say where to, such as redirect:http://127.0.0.1/")


def _status_and_seconds(argument: str) -> None:
    status, _, seconds = argument.partition(":")
    int(status)
    float(seconds)


_FAULTS: Mapping[str, _Kind] = {
    "accept_then_drop": _Kind(_accept_then_drop, _is_submission),
    "accept_then_status": _Kind(_accept_then_status, _is_submission, int),
    "drop_before_body": _Kind(_drop_before_body),
    "drop_mid_body": _Kind(_drop_mid_body, _is_submission),
    "reset": _Kind(_reset),
    "slow": _Kind(_slow, argument=_seconds),
    "stall": _Kind(_stall, _is_submission),
    "status": _Kind(_status, argument=int),
    "early": _Kind(_early, argument=int),
    "retry_after": _Kind(_retry_after, argument=_status_and_seconds),
    "redirect": _Kind(_redirect, argument=_link),
    "half_answer": _Kind(_half_answer),
    "not_http": _Kind(_not_http),
    "garbage": _Kind(_garbage),
    "no_ids": _Kind(_no_ids, _is_submission),
    "unknown_status": _Kind(_unknown_status, _is_poll),
    "flap": _Kind(_flap, _is_poll),
    "not_found": _Kind(_not_found, _is_poll),
    "early_webhook": _Kind(_early_webhook, _is_submission),
    # What a job carries with it from its acceptance on:
    "job_fails": _Kind(None, _is_submission),
    "late_webhook": _Kind(None, _is_submission),
    "duplicate_webhook": _Kind(None, _is_submission),
    "no_webhook": _Kind(None, _is_submission),
}


@define(eq=False)
class _Injected:
    name: str
    argument: str
    kind: _Kind
    on: str | None
    times: int

    def strikes(self, request: web.Request) -> bool:
        match self.on:
            case None:
                return self.kind.strikes(request)
            case "token":
                return request.path == TOKEN_PATH
            case "job":
                return _is_poll(request)
            case method if method in _METHODS:
                return request.method == method and _is_ordinary(request)
            case prefix:
                return request.path.startswith(prefix)


class Faults:
    """The faults that are still to come, in the order in which they were injected."""

    def __init__(self) -> None:
        self._waiting: list[_Injected] = []

    def inject(self, fault: str, *, on: str | None, times: int) -> None:
        """Plan a fault, such as ``status:502``. Raises ValueError for what is not known."""
        name, _, argument = fault.partition(":")
        kind = _FAULTS.get(name)
        if kind is None:
            raise ValueError(f"unknown fault {name!r}; there are {', '.join(sorted(_FAULTS))}")
        if argument and kind.argument is None:
            raise ValueError(f"the fault {name!r} takes no argument")
        if kind.argument is not None:
            kind.argument(argument)
        if on is not None and on not in _METHODS | {"token", "job"} and not on.startswith("/"):
            raise ValueError(f"on={on!r}: give a method, 'token', 'job' or the start of a path")
        self._waiting.append(_Injected(name, argument, kind, on, times))

    def clear(self) -> None:
        """Forget the faults that did not strike yet."""
        self._waiting.clear()

    async def exchange(
        self, request: web.Request, handler: Handler, scene: Scene
    ) -> web.StreamResponse:
        """Handle a request, wrongly if a fault is waiting for it."""
        fault = self._take(request, lambda kind: kind.run is not None)
        if fault is None or fault.kind.run is None:
            return await handler(request)
        return await fault.kind.run(_Strike(request, handler, fault.argument, scene))

    def of_job(self, request: web.Request) -> frozenset[str]:
        """The faults that the job accepted with this request carries."""
        names = set()
        while fault := self._take(
            request, lambda kind: kind.run is None, but=lambda name: name in names
        ):
            names.add(fault.name)
        return frozenset(names)

    def _take(
        self,
        request: web.Request,
        wanted: Callable[[_Kind], bool],
        but: Callable[[str], bool] = lambda name: False,
    ) -> _Injected | None:
        for fault in self._waiting:
            if wanted(fault.kind) and not but(fault.name) and fault.strikes(request):
                fault.times -= 1
                if fault.times == 0:
                    self._waiting.remove(fault)
                return fault
        return None
