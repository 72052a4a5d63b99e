"""A proxy reaches whatever makes a client: the command line, web services, workers of an outbox.

Through one that wants a password, which is then seen nowhere.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest
from aiohttp import web
from fastapi import FastAPI

from symbl_aio import Config, Credentials, SymblClient, Text
from symbl_aio.contrib.aiohttp import CLIENT
from symbl_aio.contrib.aiohttp import Symbl as OfAiohttp
from symbl_aio.contrib.fastapi import Symbl as OfFastAPI
from symbl_aio.durable import Outbox, Worker
from symbl_aio.durable._database import dbos
from symbl_aio.durable._database.database import Database
from tests.shell import CREDENTIALS, Shell
from tests.support import QUICK, mp4_bytes

PASSWORD = "pr0xy:p@ss"
BASIC = "Basic bWU6cHIweHk6cEBzcw=="
SECRETS = (PASSWORD, "pr0xy", BASIC.split()[1])


@pytest.fixture
def through(proxy: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    """A proxy of the environment that wants a password, for every client of this process."""
    caplog.set_level(logging.DEBUG)
    proxy.wants = BASIC
    monkeypatch.setenv(
        "SYMBL_PROXY", proxy.base_url.replace("http://", "http://me:pr0xy%3Ap%40ss@")
    )
    return proxy


def check_passed(through: Any, server: Any, *shown: object) -> None:
    """Check that everything which arrived came by the proxy, and that the password is nowhere."""
    assert server.requests
    for request in server.requests:
        assert f"{request.method} ".encode() in through.passed
        assert request.path.encode() in through.passed
    assert any(request.path.startswith("/v1/process/") for request in server.requests)
    assert through.passed.count(b" HTTP/1.1\r\n") == len(server.requests)
    for text in shown:
        assert not [secret for secret in SECRETS if secret in str(text)]


async def test_a_command_goes_through_the_proxy(server, through, tmp_path, caplog):
    note = tmp_path / "note.mp4"
    note.write_bytes(mp4_bytes(1000))
    shell = Shell(
        **CREDENTIALS,
        SYMBL_BASE_URL=server.base_url,
        SYMBL_PROXY=os.environ["SYMBL_PROXY"],
    )
    ended = await shell.run("submit", note, "--json")
    assert ended.code == 0, ended.err
    check_passed(through, server, ended.out, ended.err, caplog.text)

    through.wants = "Basic another"
    ended = await shell.run("submit", note, "--json")
    assert ended.code != 0
    assert "SYMBL_PROXY" in ended.out + ended.err
    assert not [secret for secret in SECRETS if secret in ended.out + ended.err]


@pytest.mark.parametrize("kind", ["aiohttp", "fastapi"])
async def test_a_web_service_goes_through_the_proxy(server, through, caplog, kind):
    config = Config(base_url=server.base_url, **QUICK)
    credentials = Credentials("app", "secret")
    if kind == "aiohttp":
        app, symbl = web.Application(), OfAiohttp(credentials=credentials, config=config)
        symbl.attach(app)
        runner = web.AppRunner(app)
        await runner.setup()
        client: SymblClient = app[CLIENT]
        await client.process(Text("Hello."))
        shown = [repr(client), repr(config), repr(symbl)]
        await runner.cleanup()
    else:
        embedded = OfFastAPI(credentials=credentials, config=config)
        async with embedded.lifespan(FastAPI()):
            await embedded.client.process(Text("Hello."))
            shown = [repr(embedded.client), repr(config), repr(embedded)]
    check_passed(through, server, caplog.text, *shown)


async def test_a_worker_of_an_outbox_goes_through_the_proxy(server, through, tmp_path, caplog):
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    database = Database(url)
    dbos.create_tables(database)
    database.close()
    config = Config(base_url=server.base_url, **QUICK)
    async with (
        Outbox(url) as outbox,
        Worker(url, Credentials("app", "secret"), config=config, poll_interval=0.02) as worker,
    ):
        await outbox.submit(Text("Hello."), key="one")
        assert (await outbox.result("one", timeout=60)).ok
        shown = [repr(worker), repr(config), repr(await outbox.item("one"))]
    check_passed(through, server, caplog.text, *shown)
