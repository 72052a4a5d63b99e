"""Notifications between processes that share a database: an item is ready, or a webhook came.

PostgreSQL delivers them itself (LISTEN); of an SQLite file a cheap pragma shows that another
process has written. A notification may get lost, and nothing relies on one: each only starts
a poll early, and there are polls without any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from symbl_aio.durable._database.database import Database
from symbl_aio.durable.items import Attempt

_READY: Final = "ready"
_FILE_INTERVAL: Final = 0.1
"""Seconds between two looks at the version of an SQLite file."""
_POOLER_INTERVAL: Final = 1.0
"""Seconds between two polls behind a pooler, through which no notification arrives."""
_RECONNECT_PAUSE: Final = 5.0


def notify_ready(database: Database, connection: sa.Connection) -> None:
    """Notify all workers, on commit, that an item is ready."""
    if not database.is_sqlite:
        connection.execute(sa.select(_notification(database, _READY)))


def webhook_notification(database: Database, items: sa.FromClause) -> sa.ColumnElement[None]:
    """Return the call that notifies the worker which runs an item: a webhook call came for it."""
    attempt_id = items.c.key + Attempt.SEPARATOR + sa.cast(items.c.attempt, sa.Text)
    return _notification(database, attempt_id)


def _notification(
    database: Database, payload: str | sa.ColumnElement[str]
) -> sa.ColumnElement[None]:
    return sa.func.pg_notify(database.channel, payload)


class Notifications:
    """The notifications for one worker.

    ``ready``: set when an item may be ready. ``on_webhook``: called with an attempt for whose
    item a webhook call may have come, on the loop of ``run``. Either may come without a
    reason. ``poll_interval``: seconds between two polls without one.
    """

    def __init__(
        self,
        database: Database,
        *,
        ready: asyncio.Event,
        on_webhook: Callable[[Attempt], None],
        poll_interval: float,
    ) -> None:
        self._database = database
        self._ready = ready
        self._on_webhook = on_webhook
        self._poll_interval = poll_interval
        self._told: dict[Attempt, float] = {}
        """Times of the webhook calls that were read, for attempts that hold a slot."""

    async def run(self) -> None:
        """Receive notifications until cancelled. During an outage none arrives."""
        receive = self._poll_often
        if self._database.is_sqlite:
            receive = self._poll_file
        elif self._database.can_listen:
            receive = self._listen
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat(receive))
            tasks.create_task(self._repeat(self._poll_regularly))

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run work again and again: each exception counts as an outage, which passes."""
        while True:
            try:
                await work()
            except Exception as error:
                self._database.report("receiving notifications", error)
            await asyncio.sleep(_RECONNECT_PAUSE)

    # Polls

    async def _poll_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._poll_interval)
            await self._poll_webhooks()

    async def _poll_often(self) -> None:
        """Poll where LISTEN does not work: behind a pooler."""
        while True:
            self._ready.set()
            await self._poll_webhooks()
            await asyncio.sleep(min(_POOLER_INTERVAL, self._poll_interval))

    async def _poll_webhooks(self) -> None:
        for attempt in await self._database.call(self._read_webhooks):
            self._on_webhook(attempt)

    def _read_webhooks(self) -> list[Attempt]:
        table = self._database.items
        with self._database.read() as connection:
            rows = connection.execute(
                sa.select(table.c.key, table.c.attempt, table.c.told_at)
                .where(table.c.slot_at.is_not(None))
                .where(table.c.told_at.is_not(None))
            ).all()
        # Compared one by one: a call that is committed later may have an earlier time than one
        # that was read, as may any call after the clock was set back.
        before = self._told
        self._told = {Attempt(row.key, row.attempt): row.told_at for row in rows}
        return [one for one, at in self._told.items() if before.get(one) != at]

    # SQLite

    async def _poll_file(self) -> None:
        seen, interval = 0, min(_FILE_INTERVAL, self._poll_interval)
        connection = await self._database.call(self._database.engine.connect)
        try:
            while True:
                read = partial(self._read_file, connection, seen)
                version, attempts = await self._database.call(read)
                if version != seen:
                    self._ready.set()
                for attempt in attempts:
                    self._on_webhook(attempt)
                seen = version
                await asyncio.sleep(interval)
        finally:
            with suppress(RuntimeError, SQLAlchemyError):  # the database was closed before
                await self._database.call(connection.close)

    def _read_file(self, connection: sa.Connection, seen: int) -> tuple[int, list[Attempt]]:
        """Return the file's version, and the attempts to wake if it is not the one ``seen``."""
        # It changes when another connection has written.
        version: int = connection.exec_driver_sql("pragma data_version").scalar_one()
        connection.rollback()
        return version, [] if version == seen else self._read_webhooks()

    # PostgreSQL

    async def _listen(self) -> None:
        pooled = await self._database.call(self._start_listening)
        # Only now: before, a cancelled task would leave it open, and in no pool.
        connection: Any = pooled.driver_connection
        pooled.detach()  # it is this listener's alone
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[None] = loop.create_future()
        loop.add_reader(connection.fileno(), self._receive, connection, lost)
        began = monotonic()
        try:
            self._ready.set()
            await self._poll_webhooks()  # those that came while no connection listened
            # A listening connection notices that it was closed, but no silence.
            while not lost.done() and not self._database.was_silent(began):
                await asyncio.wait([lost], timeout=self._poll_interval)
            if lost.done():
                lost.result()
        finally:
            loop.remove_reader(connection.fileno())
            connection.close()

    def _start_listening(self) -> sa.PoolProxiedConnection:
        pooled = self._database.engine.raw_connection()
        connection: Any = pooled.driver_connection
        connection.autocommit = True
        connection.execute(f'listen "{self._database.channel}"')
        return pooled

    def _receive(self, connection: Any, lost: asyncio.Future[None]) -> None:
        try:
            connection.pgconn.consume_input()
        except connection.OperationalError as error:
            if not lost.done():
                lost.set_exception(error)
            return
        while (notification := connection.pgconn.notifies()) is not None:
            payload = notification.extra.decode()
            if payload == _READY:
                self._ready.set()
            else:
                self._on_webhook(Attempt.parse(payload))
