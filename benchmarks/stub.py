"""A server that costs as little as Python allows: fixed answers, no framework, no parsing.

It replaces the API where the cost of the client is the figure. ``hammer``, a client that costs
even less, measures the limit of the stub in the same run. Times in job ids are those of the
monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import socket
from collections.abc import Callable
from time import monotonic, perf_counter, process_time
from typing import Any

from benchmarks.harness import field_of


def http(
    body: bytes,
    status: bytes = b"200 OK",
    content_type: bytes = b"application/json; charset=utf-8",
) -> bytes:
    """Return a whole HTTP response."""
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        status, content_type, len(body), body,
    )  # fmt: skip


class Account:
    """The state of the stub. ``ends_in`` returns the seconds of a job; ``None``: done at once."""

    def __init__(self, ends_in: Callable[[], float] | None) -> None:
        self.ends_in = ends_in
        self.accepted = 0
        self.polls = 0

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:
        if path.startswith(b"/v1/process/"):
            self.accepted += 1
            ends_at = monotonic() + self.ends_in() if self.ends_in else 0.0
            number = str(self.accepted).encode()
            job_id = b"%.6f-" % ends_at + number
            return http(
                b'{"conversationId":"c' + number + b'","jobId":"' + job_id + b'"}', b"201 Created"
            )
        if path.startswith(b"/v1/job/"):
            self.polls += 1
            job_id = path[8:]
            ends_at = float(job_id.partition(b"-")[0])
            status = b"completed" if monotonic() >= ends_at else b"in_progress"
            return http(b'{"id":"' + job_id + b'","status":"' + status + b'"}')
        if path == b"/counts":
            return http(b'{"accepted":%d,"polls":%d}' % (self.accepted, self.polls))
        return http(b'{"message":"not found"}', b"404 Not Found")


class Connection(asyncio.Protocol):
    """One keep-alive connection; pipelined requests are answered together."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._held = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        held = self._held + data if self._held else data
        answers = []
        while (end := held.find(b"\r\n\r\n")) >= 0:
            head = held[:end]
            at = head.lower().find(b"\r\ncontent-length:")
            size = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(held) < end + 4 + size:
                break
            method, path, _ = head.split(b" ", 2)
            body, held = held[end + 4 : end + 4 + size], held[end + 4 + size :]
            answers.append(self._account.answer(method, path, body))
        self._held = held
        if answers:
            self._transport.write(b"".join(answers))


async def serve(
    announce: Callable[[int], None], median: float | None = None, sigma: float = 0.0
) -> None:
    """Serve until cancelled. Jobs end at once, or after log-normal times of that ``median``."""
    rng = random.Random(7)
    ends_in = None if median is None else lambda: median * rng.lognormvariate(0.0, sigma)
    await serve_account(announce, Account(ends_in))


async def serve_account(announce: Callable[[int], None], account: Account) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(account), "127.0.0.1", 0, backlog=1024)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def hammer(port: int, jobs: int, connections: int) -> dict[str, float]:
    """Send the requests of so many jobs as prepared bytes, to measure the limit of the stub."""
    body = b'{"messages":[{"payload":{"content":"Hello from a benchmark."}}]}'
    post = b"POST /v1/process/text HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    post += body
    get = b"GET /v1/job/0.0-1 HTTP/1.1\r\nHost: x\r\n\r\n"
    picked = selectors.DefaultSelector()
    left, open_, turn = jobs, 0, {}
    began, cpu = perf_counter(), process_time()
    for _ in range(connections):
        link = socket.create_connection(("127.0.0.1", port))
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        picked.register(link, selectors.EVENT_READ)
        link.send(post)
        turn[link] = get
        left, open_ = left - 1, open_ + 1
    while open_:
        for key, _ in picked.select():
            link = key.fileobj  # type: ignore[assignment]
            link.recv(4096)
            following = turn[link]
            if following is post:
                if left <= 0:
                    picked.unregister(link)
                    link.close()
                    open_ -= 1
                    continue
                left -= 1
            link.send(following)
            turn[link] = get if following is post else post
    return {"seconds": perf_counter() - began, "cpu": process_time() - cpu}


def with_loop(loop: str, work: Any) -> Any:
    """Run a coroutine on the standard event loop or on uvloop's."""
    if loop == "uvloop" and field_of({"uvloop": "uvloop"})[0]:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    return asyncio.run(work)
