"""A server starts without what few servers of tests need, and has it when a request needs it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from symbl_aio import server
from symbl_aio.server.late_imports import LATE_IMPORTS

STARTED = """
import asyncio, sys
import aiohttp
from symbl_aio.testing import LocalSymbl

async def main():
    async with LocalSymbl() as server:
        print(*sys.modules)
"""
USED = """
        credentials = {"type": "application", "appId": "app", "appSecret": "secret"}
        async with aiohttp.ClientSession(server.base_url) as session:
            async with session.post("/oauth2/token:generate", json=credentials) as answer:
                token = (await answer.json())["accessToken"]
            session.headers["x-api-key"] = token

            async with session.get("/v1/conversations/experiences/insights/list") as answer:
                page = (await answer.json())["url"]
            async with session.get(page) as answer:
                print("page", answer.status)
            async with session.ws_connect("/v1/streaming/one") as socket:
                await socket.send_json({"type": "start_request"})
                print((await socket.receive_json())["message"]["type"])
            call = {"operation": "start", "endpoint": {"type": "pstn", "phoneNumber": "+1 555"}}
            async with session.post("/v1/endpoint:connect", json=call) as answer:
                print("call", answer.status)
"""
END = """
asyncio.run(main())
"""


def run(program: str) -> str:
    """Run a program in a new interpreter, and return its output."""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_each_name_of_the_package_comes_from_the_module_that_type_checkers_see():
    source = ast.parse(Path(server.__file__).read_text("utf-8"))
    seen = {
        (node.module, name.name)
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if name.name == name.asname
    }
    homes = server._HOMES.items()

    assert seen == {(f"symbl_aio.server.{home}", n) for home, ns in homes for n in ns.split()}
    assert {name for name in dir(server) if getattr(server, name)} == {n for _, n in seen}


def test_a_server_in_memory_starts_without_live_audio_pages_language_and_client():
    loaded = set(run(STARTED + END).split())

    assert "symbl_aio.server.conversations.conversation" in loaded
    assert not loaded & {
        *LATE_IMPORTS,
        "sqlite3",
        "symbl_aio.client",
        "symbl_aio.config",
        "symbl_aio.report.page",
        "symbl_aio.server.language.actions",
        "symbl_aio.server.live.live_recognizer",
        "symbl_aio.server.storage.sqlite_store",
        "tarfile",
        "zoneinfo",
    }


def test_the_first_page_the_first_stream_and_the_first_call_are_served():
    _, *answers = run(STARTED + USED + END).splitlines()

    assert answers == ["page 200", "conversation_created", "call 200"]
