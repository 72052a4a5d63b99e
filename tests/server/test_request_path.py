"""Paths that look like none of the API cost no more than others."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from symbl_aio.server.request_path import MAX_PATH


@pytest.mark.parametrize("piece", ["a/", "../", "a%2F/", "//", "/a/"])
async def test_a_path_of_many_slashes_costs_no_more_than_its_length(start: Any, piece: str) -> None:
    caller = await start()
    url = urlsplit(caller.server.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    path = "/" + piece * (300_000 // len(piece))
    began = time.process_time()
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    assert b" 401 " in await reader.readline()
    # It was more than ten seconds; with less, nothing but the parsing is left.
    assert time.process_time() - began < 1
    writer.transport.abort()


async def test_a_path_that_is_too_long_is_unknown(start: Any) -> None:
    caller = await start()

    assert (await caller.get(f"/v1/job/{'x' * MAX_PATH}")).status == 404
    assert (await caller.anonymous("GET", f"/v1/job/{'x' * MAX_PATH}")).status == 401


async def test_one_slash_at_the_end_of_a_path_is_ignored(start: Any) -> None:
    caller = await start()

    assert (await caller.get("/v1/conversations/", limit="1")).status == 200
    assert (await caller.get("/v1/conversations//")).status == 404


async def test_slashes_before_a_path_are_ignored(start: Any) -> None:
    caller = await start()

    for path in ("//v1/conversations", "///v1/conversations/?limit=1"):
        assert (await caller.get(path)).status == 200
    assert (await caller.get("//v1/conversations")).body == {"conversations": []}
    assert (await caller.get("//")).status == 404
