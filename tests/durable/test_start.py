"""The start of an outbox and a worker: without a database, or with one that is lost meanwhile."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from symbl_aio import Config, Credentials, OutboxUnavailableError, Text
from symbl_aio.contrib.service import Embedded
from symbl_aio.contrib.service_outbox import Durable
from symbl_aio.durable import Outbox, Worker
from symbl_aio.durable._database import dbos
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import Notifications
from symbl_aio.testing import LocalSymbl
from tests.contrib.site import settings
from tests.durable.conftest import Working
from tests.durable.holes import hole

PATIENCE = 30.0
LONG = 600.0

on_postgres = pytest.mark.durable


def a_worker(database: str, server: LocalSymbl, **given: Any) -> Worker:
    credentials = Credentials(server.app_id, server.app_secret)
    return Worker(database, credentials, config=Config(base_url=server.base_url), **given)


@contextmanager
def logged(text: str) -> Iterator[asyncio.Event]:
    """Yield an event that is set once a warning of the outbox contains a text."""
    loop, found = asyncio.get_running_loop(), asyncio.Event()

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if text in record.getMessage():
                loop.call_soon_threadsafe(found.set)

    handler = Watching()
    logger = logging.getLogger("symbl_aio.durable")
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


@on_postgres
async def test_an_outbox_and_a_worker_start_once_their_database_is_there(
    pg_database: str, server: LocalSymbl
) -> None:
    async with hole(pg_database) as network, asyncio.timeout(PATIENCE):
        network.cut()
        with logged("cannot be used yet") as waiting:
            outbox = Outbox(network.url, wait_for_database=LONG)
            starting = asyncio.create_task(outbox.start())
            await waiting.wait()
            network.mend()
            await starting
            await outbox.submit(Text("Hello."), key="monday")
            await outbox.aclose()
        network.cut()
        with logged("the start waits for up to 600 s") as waiting:
            worker = a_worker(network.url, server, wait_for_database=LONG)
            starting = asyncio.create_task(worker.start())
            await waiting.wait()
            assert not worker.is_ready
            network.mend()
            await starting
        async with Outbox(pg_database) as outbox:
            assert (await outbox.result("monday")).ok
        await worker.aclose()


@on_postgres
async def test_a_start_waits_no_longer_than_it_was_told(
    pg_database: str, server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    async with hole(pg_database) as network, asyncio.timeout(PATIENCE):
        network.cut()
        for start in (
            Outbox(network.url, wait_for_database=0.5).start,
            a_worker(network.url, server, wait_for_database=0.5).start,
        ):
            caplog.clear()
            with pytest.raises(OutboxUnavailableError, match="cannot be used"):
                await start()
            assert "the start waits for up to 0.5 s" in caplog.text
        network.mend()
        async with a_worker(network.url, server):
            pass


@on_postgres
async def test_a_database_that_refuses_is_not_waited_for(
    pg_database: str, server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    url = sa.make_url(pg_database)
    with psycopg.connect(pg_database, autocommit=True) as connection:
        connection.execute("drop role if exists locked")
        connection.execute("create role locked nologin")
    for refused, why in (
        (url.set(database="nowhere"), 'database "nowhere" does not exist'),
        (url.set(username="stranger"), 'role "stranger" does not exist'),
        (url.set(username="locked"), 'role "locked" is not permitted to log in'),
    ):
        given = refused.render_as_string(hide_password=False)
        for start in (
            Outbox(given, wait_for_database=LONG).start,
            a_worker(given, server, wait_for_database=LONG).start,
        ):
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(OutboxUnavailableError, match=why):
                    await start()
    assert "the start waits" not in caplog.text


@on_postgres
async def test_a_service_that_is_stopped_while_it_waits_for_its_database_does_not_start(
    pg_database: str, server: LocalSymbl
) -> None:
    async with hole(pg_database) as network, asyncio.timeout(PATIENCE):
        network.cut()
        durable = Durable(network.url, wait_for_database=LONG)
        service = Embedded(**settings(server), durable=durable)
        with logged("cannot be used yet") as waiting:
            starting = asyncio.create_task(service.__aenter__())
            await waiting.wait()
            service.stop_streams()
            with pytest.raises(Exception, match="stopped before its outbox was open"):
                await starting
        network.mend()
        async with service:
            await service.outbox.submit(Text("Hello."), key="monday")
            assert (await service.outbox.result("monday")).ok


def before(worker: Worker, words: str, act: Callable[[], object]) -> None:
    """Call a function in the worker's thread before its first statement with these words."""
    left = [act]

    def execute(_connection: Any, _cursor: Any, statement: str, *_rest: object) -> None:
        if words in statement and left:
            left.pop()()

    sa.event.listen(worker._database.engine, "before_cursor_execute", execute)


@on_postgres
@pytest.mark.parametrize(
    "words", ["INSERT INTO symbl_aio.symbl_worker", "application_versions", "executor_id"]
)
async def test_a_database_that_is_lost_during_a_start_fails_it_and_leaves_nothing(
    pg_database: str, server: LocalSymbl, words: str
) -> None:
    """DBOS would wait for it on the worker's event loop, without a word."""
    async with hole(pg_database) as network:
        loop, is_cut = asyncio.get_running_loop(), threading.Event()

        def cut() -> None:
            network.cut()
            is_cut.set()

        def lose() -> None:
            loop.call_soon_threadsafe(cut)
            is_cut.wait()

        worker = a_worker(network.url, server)
        before(worker, words, lose)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(OutboxUnavailableError, match="cannot be used"):
                await worker.start()
        assert is_cut.is_set()
    async with a_worker(pg_database, server):
        pass


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_start_that_is_cancelled_at_any_step_leaves_no_worker(
    database: str, tables: Database, server: LocalSymbl
) -> None:
    """Another one would leave it a share of the slots until the worker timeout has passed."""
    alive = sa.select(sa.func.count()).where(tables.workers.c.beat > 0)
    loop = asyncio.get_running_loop()
    for words in ("INSERT INTO symbl_worker", "INSERT INTO symbl_queue"):
        worker = a_worker(database, server)
        starting = asyncio.create_task(worker.start())
        before(worker, words, partial(loop.call_soon_threadsafe, starting.cancel))
        with suppress(asyncio.CancelledError):
            await starting
        assert starting.cancelled()
        with tables.read() as connection:
            assert connection.execute(alive).scalar() == 0


class Faulty(Worker):
    async def _stop(self, timeout: float) -> None:
        await super()._stop(timeout)
        raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_worker_that_stops_with_a_fault_leaves_its_place_to_another(
    database: str, working: Working
) -> None:
    worker = Faulty(database, Credentials("app", "secret"))
    await worker.start()
    thread = worker._thread
    with pytest.raises(RuntimeError, match="new thread"):
        await worker.aclose()
    assert thread is not None
    assert not thread.is_alive()
    async with working():
        pass


@pytest.mark.durable  # DBOS has five seconds to end
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_worker_starts_after_one_whose_engine_took_long_to_end(
    database: str, working: Working
) -> None:
    release = threading.Event()
    slow = threading.Thread(target=release.wait, daemon=True)
    slow.start()
    async with working():
        # As one of its own threads that waits for a lock in the database, or for the processor.
        dbos._instance()._background_threads.append(slow)
    assert dbos._instance() is not None
    asyncio.get_running_loop().call_later(0.1, release.set)
    async with working():
        pass


@on_postgres
async def test_a_listener_that_is_cancelled_while_it_connects_leaves_no_connection(
    pg_database: str,
) -> None:
    """As by a worker that stops right after its start."""
    database = Database(pg_database, connections=1)
    await database.call(lambda: database.engine.connect().close())
    notifications = Notifications(
        database, ready=asyncio.Event(), on_webhook=lambda _: None, poll_interval=60.0
    )
    listening = asyncio.create_task(notifications._listen())
    await asyncio.sleep(0)  # its thread connects
    listening.cancel()
    await asyncio.wait([listening])
    await database.finish_calls(PATIENCE)
    assert database._connections is not None
    opened = list(database._connections._open)
    del listening
    gc.collect()
    await asyncio.to_thread(database.close)
    assert opened
    assert all(connection.closed for connection in opened)
