"""A database that goes silent: no connection is reset, and no statement is answered."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic

import pytest
import sqlalchemy as sa

from symbl_aio import Config, Credentials, OutboxUnavailableError, Text
from symbl_aio.contrib.service_outbox import Durable
from symbl_aio.durable import ItemState, Outbox
from symbl_aio.durable._database.database import Database
from symbl_aio.testing import LocalSymbl
from tests.durable.chaos import WORKER_TIMEOUT, in_conversations, said, scene
from tests.durable.conftest import until
from tests.durable.holes import Hole, hole
from tests.forks import ROOT
from tests.support import QUICK

pytestmark = [pytest.mark.durable, pytest.mark.timeout(120)]

SILENCE = 0.5


@pytest.fixture
async def silent(pg_database: str) -> AsyncIterator[Hole]:
    async with hole(pg_database) as found:
        yield found


async def test_a_statement_without_an_answer_is_an_error_and_the_next_one_is_answered(
    silent: Hole,
) -> None:
    database = Database(silent.url, silence=SILENCE)
    one = partial(ask, database, "select 1")
    try:
        assert await database.call(one) == 1
        silent.swallow()
        began = monotonic()
        with pytest.raises(OutboxUnavailableError), database.translate_errors():
            await database.call(partial(ask, database, "select 2"))
        assert monotonic() - began < 10.0
        silent.mend()
        assert await database.call(one) == 1
    finally:
        await asyncio.to_thread(database.close)


async def test_a_slow_statement_is_left_alone(pg_database: str) -> None:
    database = Database(pg_database, silence=SILENCE)
    try:
        slow = partial(ask, database, "select 1 from pg_sleep(3)")
        assert await database.call(slow) == 1
    finally:
        await asyncio.to_thread(database.close)


async def test_closing_does_not_wait_for_it(silent: Hole) -> None:
    database = Database(silent.url, silence=60.0)
    assert await database.call(partial(ask, database, "select 1")) == 1
    silent.swallow()
    waiting = asyncio.ensure_future(database.call(partial(ask, database, "select 2")))
    await asyncio.sleep(0)
    began = monotonic()
    await asyncio.to_thread(database.close)
    with pytest.raises(sa.exc.DBAPIError):
        await waiting
    assert monotonic() - began < 8.0


def ask(database: Database, statement: str) -> object:
    with database.read() as connection:
        return connection.execute(sa.text(statement)).scalar()


@asynccontextmanager
async def command(
    database: str, server: LocalSymbl, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``symbl-aio worker`` beside the block."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "symbl_aio.cli", "worker", "--json",
        "--database", database, "--base-url", server.base_url, "--worker-timeout", "2", *arguments,
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "SYMBL_APP_ID": server.app_id, "SYMBL_APP_SECRET": server.app_secret},
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def test_sigterm_ends_a_worker_all_the_same(
    silent: Hole, pg_database: str, server: LocalSymbl
) -> None:
    server.hold_jobs()
    async with Outbox(pg_database) as outbox, command(silent.url, server) as child:
        for n in range(8):
            await outbox.submit(Text("Hello."), key=f"item-{n}")
        for n in range(8):
            await until(outbox, f"item-{n}", ItemState.ACCEPTED)
        silent.swallow()
        began = monotonic()
        child.send_signal(signal.SIGTERM)
        assert await child.wait() == 0
        assert monotonic() - began < 10.0


async def test_a_worker_without_an_answer_for_long_ends_with_a_code_of_its_own(
    silent: Hole, pg_database: str, server: LocalSymbl
) -> None:
    async with Outbox(pg_database) as outbox, command(silent.url, server) as child:
        await outbox.submit(Text("Hello."), key="monday")
        assert (await outbox.result("monday", timeout=30)).ok
        silent.swallow()
        began = monotonic()
        _, errors = await child.communicate()
        assert child.returncode == 8, errors.decode()
        assert 4 * WORKER_TIMEOUT < monotonic() - began < 30.0
        assert b"has not answered" in errors


async def test_others_take_over_and_the_worker_comes_back_with_the_database(
    silent: Hole, pg_database: str
) -> None:
    items = in_conversations(conversations=8, length=2)
    async with scene(pg_database, webhooks=False, concurrency=4) as found:
        await found.hand_in(items, said)
        await found.server.ask("hold")
        cut = await found.add_worker(database=silent.url)
        await found.until("accepted", 4)
        before = await cut.ask("id")
        silent.swallow()
        await found.add_worker()
        await found.server.ask("release")
        await found.until("ended", len(items))
        silent.mend()
        assert await cut.ask("id after", before) != before
        ledger = await found.finish()
    assert (ledger.lost, ledger.duplicates, ledger.inversions) == (0, 0, 0)
    assert ledger.states == {"completed": len(items)}


async def test_a_service_reports_it_lives_on_and_has_a_worker_again(
    silent: Hole, pg_database: str, server: LocalSymbl, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: queue.SimpleQueue[bool] = queue.SimpleQueue()

    class Ended(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "the worker of this service has ended" in record.getMessage():
                logged.put(record.levelno == logging.ERROR)

    monkeypatch.setattr(logging.getLogger("symbl_aio.contrib"), "handlers", [Ended()])
    config = Config(base_url=server.base_url, **QUICK)
    given = Durable(silent.url, worker_timeout=1.0)
    opened = await given.open(Credentials(server.app_id, server.app_secret), config)
    try:
        await opened.outbox.submit(Text("Hello."), key="monday")
        assert (await opened.outbox.result("monday", timeout=30)).ok
        silent.swallow()
        assert await asyncio.to_thread(logged.get, timeout=60)
        silent.mend()
        async with Outbox(pg_database) as outbox:
            await outbox.submit(Text("Hello."), key="tuesday")
            assert (await outbox.result("tuesday", timeout=60)).ok
    finally:
        await opened.aclose(0.0)
