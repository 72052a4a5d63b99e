"""What processes that share a database tell each other: that there is work, or news of an item.

PostgreSQL carries the notices itself (LISTEN); of an SQLite file it is seen, nearly for
nothing, that somebody has written. A notice may get lost, and none is relied on: each
says only that a look is worth while, and now and then there is one without.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from symbl_aio.durable._database.database import Database
from symbl_aio.durable.items import Turn

_LOG = logging.getLogger("symbl_aio.durable")

_READY: Final = "ready"
_SEEN_EVERY: Final = 0.1
"""Seconds between two glances at an SQLite file."""
_LOOK_OFTEN: Final = 1.0
_CONNECT_AGAIN: Final = 5.0


def tell_ready(database: Database, connection: sa.Connection) -> None:
    """Notify all workers, once the transaction is done, that an item is ready."""
    _tell(database, connection, _READY)


def tell_of(database: Database, connection: sa.Connection, turn: Turn) -> None:
    """Notify the worker that has an item, once the transaction is done, of news of it."""
    _tell(database, connection, turn.id)


def _tell(database: Database, connection: sa.Connection, what: str) -> None:
    if not database.is_sqlite:
        connection.execute(sa.select(sa.func.pg_notify(database.channel, what)))


class Notices:
    """Hears what is told, for one worker.

    ``ready``: called when an item may be ready. ``news``: called with a turn of
    whose item a webhook call has told. Both on the loop that ``run`` runs on, and
    either may be called for nothing. ``poll_interval``: seconds between two looks without notice.
    """

    def __init__(
        self,
        database: Database,
        *,
        ready: Callable[[], None],
        news: Callable[[Turn], None],
        poll_interval: float,
    ) -> None:
        self._database = database
        self._ready = ready
        self._news = news
        self._poll_interval = poll_interval
        self._last = 0.0
        """When the last news was told that was looked at."""

    async def run(self) -> None:
        """Hear, until cancelled. While the database is away, nothing is heard."""
        hear = self._look_often
        if self._database.is_sqlite:
            hear = self._glance
        elif self._database.can_listen:
            hear = self._listen
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_always(hear))
            tasks.create_task(_always(self._look_now_and_then))

    # Without notice

    async def _look_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._poll_interval)
            await self._look()

    async def _look_often(self) -> None:
        """Look where nobody can listen: behind a pooler."""
        while True:
            self._ready()
            await self._look()
            await asyncio.sleep(min(_LOOK_OFTEN, self._poll_interval))

    async def _look(self) -> None:
        for turn in await self._database.call(self._told):
            self._news(turn)

    def _told(self) -> list[Turn]:
        table = self._database.items
        with self._database.read() as connection:
            rows = connection.execute(
                sa.select(table.c.key, table.c.attempt, table.c.told_at)
                .where(table.c.slot_at.is_not(None))
                .where(table.c.told_at > self._last)
            ).all()
        self._last = max((row.told_at for row in rows), default=self._last)
        return [Turn(row.key, row.attempt) for row in rows]

    # SQLite

    async def _glance(self) -> None:
        seen, every = 0, min(_SEEN_EVERY, self._poll_interval)
        connection = await self._database.call(self._database.engine.connect)
        try:
            while True:
                seen, before = await self._database.call(lambda: _version(connection)), seen
                if seen != before:
                    self._ready()
                    await self._look()
                await asyncio.sleep(every)
        finally:
            with suppress(RuntimeError, SQLAlchemyError):  # the database was closed before
                await self._database.call(connection.close)

    # PostgreSQL

    async def _listen(self) -> None:
        connection: Any = await self._database.call(self._begin_listening)
        loop = asyncio.get_running_loop()
        broken: asyncio.Future[None] = loop.create_future()
        loop.add_reader(connection.fileno(), self._hear, connection, broken)
        began = monotonic()
        try:
            self._ready()
            await self._look()  # at what was told while nobody listened
            # Who listens notices by itself that a connection was closed, but no silence.
            while not broken.done() and not self._database.was_silent(began):
                await asyncio.wait([broken], timeout=self._poll_interval)
            if broken.done():
                broken.result()
        finally:
            loop.remove_reader(connection.fileno())
            connection.close()

    def _begin_listening(self) -> Any:
        pooled = self._database.engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()  # it is this listener's alone
        connection.autocommit = True
        connection.execute(f'listen "{self._database.channel}"')
        return connection

    def _hear(self, connection: Any, broken: asyncio.Future[None]) -> None:
        try:
            connection.pgconn.consume_input()
        except connection.OperationalError as error:
            if not broken.done():
                broken.set_exception(error)
            return
        while (notice := connection.pgconn.notifies()) is not None:
            what = notice.extra.decode()
            if what == _READY:
                self._ready()
            else:
                self._news(Turn.of(what))


def _version(connection: sa.Connection) -> int:
    """Return a number that is another one once somebody else has written."""
    found: int = connection.exec_driver_sql("pragma data_version").scalar_one()
    connection.rollback()
    return found


async def _always(work: Callable[[], Any]) -> None:
    """Do something again and again: what it raises is an outage, which passes."""
    while True:
        try:
            await work()
        except Exception as error:
            _LOG.warning("no notice can be heard (%s)", type(error).__name__)
        await asyncio.sleep(_CONNECT_AGAIN)
