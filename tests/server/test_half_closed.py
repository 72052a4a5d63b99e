"""A caller who closes its half of a connection behind its requests reads all responses."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from symbl_aio.server import LocalServer
from symbl_aio.server.hosting_settings import Hosting
from symbl_aio.server.tls import load_context
from tests.server.conftest import Caller, Start

CREDENTIALS = json.dumps({"type": "application", "appId": "app", "appSecret": "secret"}).encode()


def request(path: str, body: bytes = b"", *, length: int | None = None, **headers: str) -> bytes:
    headers |= {"Host": "localhost", "Content-Type": "application/json"}
    headers["Content-Length"] = str(len(body) if length is None else length)
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def sent_and_closed(server: LocalServer, *pieces: bytes) -> bytes:
    """Return all that the server sends to a caller who sends this, and then no more."""
    url = urlsplit(server.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.. (\d+) ", received)]


async def test_the_response_to_a_whole_request_is_sent(server: LocalServer) -> None:
    received = await sent_and_closed(server, request("/oauth2/token:generate", CREDENTIALS))

    assert statuses(received) == [200]
    assert json.loads(received.partition(b"\r\n\r\n")[2])["accessToken"]


async def test_a_submission_is_accepted_and_its_caller_knows_it(caller: Caller) -> None:
    await caller.get("/v1/conversations")
    text = json.dumps({"messages": [{"payload": {"content": "Hello."}}]}).encode()
    post = request("/v1/process/text", text, Authorization=f"Bearer {caller.token}")

    received = await sent_and_closed(caller.server, post[:-9], post[-9:])

    assert statuses(received) == [201]
    assert list(caller.server.jobs) == [json.loads(received.partition(b"\r\n\r\n")[2])["jobId"]]


async def test_an_answer_of_many_blocks_is_sent_to_its_end(start: Start) -> None:
    caller = await start()
    opened = await caller.text(*(f"Ann: Line {n} of it. {'word ' * 60}" for n in range(2000)))
    await caller.server.until(lambda: not caller.server.unfinished)
    path = f"/v1/conversations/{opened.body['conversationId']}/messages"

    received = await sent_and_closed(
        caller.server, request(path, Authorization=f"Bearer {caller.token}")
    )

    assert received.endswith(b"\r\n0\r\n\r\n")
    assert received.count(b" of it.") == 2000


async def test_requests_in_a_row_are_all_answered(caller: Caller) -> None:
    await caller.get("/v1/conversations")
    get = request("/v1/conversations", Authorization=f"Bearer {caller.token}")

    assert statuses(await sent_and_closed(caller.server, get * 5)) == [200] * 5


@pytest.mark.parametrize(
    "sent,expected",
    [
        (b"", []),
        (b"GET / HT", []),
        (request("/oauth2/token:generate", b"{", length=100), []),
        (request("/healthz") + b"GET /healthz HTTP/1.1\r\n", [200]),
        (b"NONSENSE\r\n\r\n", [400]),
    ],
    ids=["nothing", "half a head", "half a body", "one and a half", "no HTTP"],
)
async def test_what_is_no_whole_request_ends_the_connection(
    server: LocalServer, sent: bytes, expected: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    assert statuses(await sent_and_closed(server, sent)) == expected
    await server.until(lambda: not len(server._connections))
    assert caplog.text == ""


async def test_a_websocket_ends_with_the_half_of_its_caller(caller: Caller) -> None:
    await caller.get("/v1/conversations")
    opening = request(
        "/v1/streaming/one",
        Authorization=f"Bearer {caller.token}",
        Connection="Upgrade",
        Upgrade="websocket",
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key="x" * 22 + "==",
    )
    url = urlsplit(caller.server.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(opening)
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.write_eof()

    assert await reader.read() == b""
    writer.close()


async def test_tls_has_no_half(start: Start, tmp_path: Path, caplog: Any) -> None:
    authority = trustme.CA()
    pem = tmp_path / "certificate.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
    caller = await start(host="localhost", hosting=Hosting(tls=load_context(pem, None)))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    url = urlsplit(caller.server.base_url)
    _, writer = await asyncio.open_connection(url.hostname, url.port, ssl=trusting)
    writer.write(request("/healthz"))
    writer.close()

    await writer.wait_closed()
    await caller.server.until(lambda: not len(caller.server._connections))
    assert caplog.text == ""


async def test_an_idle_caller_who_ends_is_gone_at_once(server: LocalServer) -> None:
    url = urlsplit(server.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(request("/healthz"))
    assert b"200 OK" in await reader.readuntil(b"}")
    writer.write_eof()

    assert await reader.read() == b""
    writer.close()
