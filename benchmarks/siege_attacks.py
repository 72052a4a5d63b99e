"""The attacks of a siege, each a caller without manners: ``python -m benchmarks.siege_attacks``.

Runs all of them against one server until the time is over, each from an address of its own in
127.0.0.0/8, and prints how often each was tried. Nothing is sent elsewhere than to that server.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

TOKEN_PATH: Final = "/oauth2/token:generate"
SMALL_WAIT: Final = 0.02
"""Seconds between the turns of one attacker: the machine has to serve the others, too."""

HALF = "\ud800"
# Made once: the attackers must not be slower than the server.
INFLATING = gzip.compress(b" " * 2**24)
CONTAINERS = b"[" + b"[]," * 5_000_000 + b"[]]"
SMALL_CHUNKS = b"1\r\nx\r\n" * 200_000
LARGE_HEAD = [f"X-{n}: {'x' * 8000}" for n in range(80)]
TEXTS = ("1,234,", "I will see ", "let me see ", "can you see ", "leave a message ", "tone ")


class Attacker:
    """One address that attacks one server, with an access token or without."""

    def __init__(self, url: str, number: int, token: str, count: Counter[str]) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.address = f"127.0.0.{10 + number}"
        self.token = token
        self.count = count
        self.held: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            self.host, self.port, local_addr=(self.address, 0), limit=2**20
        )

    async def send(self, head: str, body: bytes = b"", *, whole: bool = True) -> int:
        """Send a request and return its status, or 0; a half one stays open."""
        reader, writer = await self.connect()
        keep = False
        try:
            writer.write(head.encode("utf-8", "surrogateescape") + body)
            async with asyncio.timeout(5):
                await writer.drain()
                if not whole:
                    keep = True
                    return 0
                line = await reader.readline()
                return int(line.split()[1]) if line else 0
        finally:
            if keep:
                self.held.append(writer)
                # The attacker's own handles are few, too.
                while len(self.held) > 40:
                    self.held.pop(0).transport.abort()
            else:
                writer.transport.abort()

    def head(self, call: str, *lines: str, length: int | None = None, token: bool = False) -> str:
        shown = [f"Authorization: Bearer {self.token}"] if token else []
        size = [] if length is None else [f"Content-Length: {length}"]
        first = (f"{call} HTTP/1.1", "Host: localhost", "Content-Type: application/json")
        return "\r\n".join([*first, *size, *shown, *lines, "", ""])

    async def post(self, path: str, body: bytes, *lines: str, token: bool = False) -> int:
        return await self.send(
            self.head(f"POST {path}", *lines, length=len(body), token=token), body
        )

    # Without a token

    async def refused_heads(self) -> None:
        call = f"POST /v1/process/audio?name={'y' * 60_000}"
        await self.send(self.head(call, *LARGE_HEAD, length=1))

    async def inflating_bodies(self) -> None:
        size = len(INFLATING) + 1
        head = self.head(f"POST {TOKEN_PATH}", "Content-Encoding: gzip", length=size)
        await self.send(head, INFLATING, whole=False)

    async def large_bodies(self) -> None:
        await self.post(TOKEN_PATH, CONTAINERS)

    async def chunks_of_a_byte(self) -> None:
        head = self.head("POST /v1/process/audio", "Transfer-Encoding: chunked")
        await self.send(head, SMALL_CHUNKS, whole=False)

    async def silent_heads(self) -> None:
        await self.send("POST /v1/process/text HTTP/1.1\r\nHost: loc", whole=False)

    async def trickling_lines(self) -> None:
        await self.send(f"GET /{'x' * 500_000}", whole=False)

    async def silent_connections(self) -> None:
        await self.send("", whole=False)

    async def malformed_heads(self) -> None:
        await self.send("GET / HTTP/1.1\r\nAuthorization Bearer secret\r\n\r\n")

    async def wrong_secrets(self) -> None:
        await self.post(TOKEN_PATH, b'{"type":"application","appId":"app","appSecret":"guess"}')

    async def bad_json(self) -> None:
        for body in (b"[" * 15_000, b'{"appId": "\\ud800"}', b"\xff" * 100, b'{"n": 1e999}'):
            await self.post(TOKEN_PATH, body)
        await self.post(TOKEN_PATH, b"{}", "Content-Encoding: x-unreadable")

    async def unread_answers(self) -> None:
        await self.send(self.head("GET /v1/job/1") * 2000, whole=False)

    # With a token

    async def half_uploads(self) -> None:
        head = self.head("POST /v1/process/audio", length=10**8, token=True)
        await self.send(head.replace("application/json", "audio/wav"), b"RIFF" * 1000, whole=False)

    async def half_management_calls(self) -> None:
        await self.send(self.head("POST /v1/manage/group", length=1000, token=True), whole=False)

    async def records_that_break_lists(self) -> None:
        year = {"startTime": "9999-12-31T23:59:59.999Z", "endTime": "9999-12-31T23:59:59.999Z"}
        for message in (
            {"payload": {"content": "a"}, "from": {"name": HALF}},
            {"payload": {"content": "a"}, "duration": year},
        ):
            await self.json("/v1/process/text", {"messages": [message]})
        await self.json("/v1/manage/tracker", {"name": HALF, "vocabulary": ["a"]})
        await self.json("/v1/manage/entities", {"type": HALF, "subType": HALF, "values": [HALF]})

    async def many_containers(self) -> None:
        await self.post("/v1/process/text", CONTAINERS[-6_000_000:], token=True)

    async def slow_texts(self) -> None:
        for unit in TEXTS:
            text = unit * (20_000 // len(unit))
            await self.json("/v1/process/text", {"messages": [{"payload": {"content": text}}]})

    async def many_trackers(self) -> None:
        trackers = [
            {"name": f"t{n}", "vocabulary": [f"term {n} {m}" for m in range(20)]} for n in range(30)
        ]
        messages = [{"payload": {"content": f"We talk of term {n} and more."}} for n in range(500)]
        await self.json("/v1/process/text", {"messages": messages, "trackers": trackers})

    async def json(self, path: str, body: Any) -> int:
        # The escapes of json.dumps() are those of a caller: half of a pair passes as text.
        return await self.post(path, json.dumps(body).encode(), token=True)

    async def repeat(self, attack: Callable[[], Awaitable[object]]) -> None:
        while True:
            with suppress(OSError, TimeoutError, ValueError, asyncio.LimitOverrunError):
                await attack()
            self.count[attack.__name__] += 1
            await asyncio.sleep(SMALL_WAIT)


def attacks_of(attacker: Attacker) -> Sequence[Callable[[], Awaitable[object]]]:
    return [
        attacker.refused_heads, attacker.inflating_bodies, attacker.large_bodies,
        attacker.chunks_of_a_byte, attacker.silent_heads, attacker.trickling_lines,
        attacker.silent_connections,
        attacker.malformed_heads, attacker.wrong_secrets, attacker.bad_json,
        attacker.unread_answers, attacker.half_uploads, attacker.half_management_calls,
        attacker.records_that_break_lists, attacker.many_containers, attacker.slow_texts,
        attacker.many_trackers,
    ]  # fmt: skip


async def attack(url: str, token: str, seconds: float) -> Counter[str]:
    """Run every attack at once until the time is over."""
    count: Counter[str] = Counter()
    kinds = len(attacks_of(Attacker(url, 0, token, count)))
    attackers = [Attacker(url, number, token, count) for number in range(kinds)]
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
            for number, attacker in enumerate(attackers):
                tasks.create_task(attacker.repeat(attacks_of(attacker)[number]))
    for attacker in attackers:
        for writer in attacker.held:
            writer.transport.abort()
    return count


def main() -> None:
    url, seconds = sys.argv[1], float(sys.argv[2])
    token = sys.stdin.readline().strip()
    print(json.dumps(asyncio.run(attack(url, token, seconds))))


if __name__ == "__main__":
    main()
