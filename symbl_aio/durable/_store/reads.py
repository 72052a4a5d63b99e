"""Read items, and wait for them to change. No function here waits for a writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Final, TypeAlias

import sqlalchemy as sa
from attrs import define

from symbl_aio import ClientClosedError, NotFoundError, OutboxUnavailableError
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.tables import Row
from symbl_aio.durable.items import ItemState, unknown_key

Known: TypeAlias = tuple[ItemState, ...]
"""States that do not wake a waiter."""

PAGE: Final = 500
"""Rows that one statement of ``read_page`` returns at most."""
_MAX_KEYS: Final = 10_000
"""Keys in one statement: SQLite limits the number of parameters (to 32,766, if not less)."""
_MIN_INTERVAL: Final = 0.06
"""Seconds between two polls: at most 17 statements a second."""
_MAX_INTERVAL: Final = 0.15
_GROWTH: Final = 1.25
_AFTER_OUTAGE: Final = 1.0
_FULL_INTERVAL: Final = 5.0
"""Seconds after which a poll reads all items, in any state: some may have been deleted."""
UNFINISHED: Final = (ItemState.QUEUED, ItemState.ACCEPTED)


def read_item(database: Database, key: str) -> Row:
    """Return an item's row, without its content. Raises ``NotFoundError``."""
    query = sa.select(*database.without_content).where(database.items.c.key == key)
    with database.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise NotFoundError(404, unknown_key(key))
    return row


def read_changed(database: Database, groups: Mapping[Known, Sequence[str]]) -> Sequence[Row]:
    """Return the rows of items, by keys, whose state is not among the known states of a group.

    One statement for up to ``_MAX_KEYS`` items, without their contents.
    """
    parts = [groups]
    if sum(map(len, groups.values())) > _MAX_KEYS:
        parts = [
            {known: keys[first : first + _MAX_KEYS]}
            for known, keys in groups.items()
            for first in range(0, len(keys), _MAX_KEYS)
        ]
    table = database.items
    found: list[Row] = []
    with database.read() as connection:
        for part in parts:
            changed = [
                sa.and_(
                    database.is_among(table.c.key, keys),
                    *(table.c.state != state.value for state in known),
                )
                for known, keys in part.items()
            ]
            # Contents may be long, and this runs several times a second.
            query = sa.select(*database.without_content).where(sa.or_(*changed))
            found += connection.execute(query)
    return found


def read_page(
    database: Database, state: ItemState | None, conversation: str | None, last: int
) -> list[Row]:
    """Return the next rows after the one with the id ``last``, at most ``PAGE``.

    Without their contents: long texts of so many items would fill the memory.
    """
    table, conversations = database.items, database.conversations
    # By id and not by offset: concurrent submissions come at the end.
    query = sa.select(*database.without_content).where(table.c.id > last)
    query = query.order_by(table.c.id).limit(PAGE)
    query = query.where(database.in_queue(table))
    if state is not None:
        query = query.where(table.c.state == state.value)
    if conversation is not None:
        names = sa.select(conversations.c.name).where(database.is_named(conversation))
        query = query.where(table.c.conversation.in_(names))
    with database.read() as connection:
        return list(connection.execute(query))


# Waiting


@define(eq=False)
class _Waiter:
    key: str
    """Key of the item."""
    known: Known
    """States that do not wake it."""
    result: asyncio.Future[Row]
    """Set to the row, or to an error."""


class Watcher:
    """Wakes the tasks of one event loop that wait for an item to reach an unknown state.

    One poller for all of them: one statement for each poll. The interval is short after a
    change or a new waiter, and then grows. ``wake`` polls early, for a caller that knows of a
    change by other means (a notification of the database, for example).
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._new: set[_Waiter] = set()
        """Waiters whose items were not read yet."""
        self._waiting: set[_Waiter] = set()
        self._woken = asyncio.Event()
        self._due = self._last = self._last_full = 0.0
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, key: str, known: Known = UNFINISHED) -> Row:
        """Return an item's row, once its state is none of ``known``.

        Raises ``NotFoundError`` for an unknown key, ``OutboxUnavailableError`` if the first
        read fails, and ``ClientClosedError`` when the watcher is closed. After the first read
        an outage only delays it.
        """
        if self._closed:
            raise _closed()
        waiter = _Waiter(key, known, asyncio.get_running_loop().create_future())
        self._new.add(waiter)
        # Started by the first waiter: an outbox that only submits polls nothing.
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        self._woken.set()
        try:
            return await waiter.result
        finally:
            self._new.discard(waiter)
            self._waiting.discard(waiter)

    def wake(self) -> None:
        """Poll early: items may have changed. Call it on the event loop of the waiters."""
        self._due = min(self._due, self._last + _MIN_INTERVAL)
        self._woken.set()

    async def aclose(self) -> None:
        """Stop polling, and raise ``ClientClosedError`` for all waiters."""
        self._closed = True
        _fail((*self._new, *self._waiting), _closed)
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        interval = _MIN_INTERVAL
        while True:
            await self._sleep()
            try:
                # New waiters are answered at once, and raise an outage instead of waiting.
                if self._new:
                    interval = _MIN_INTERVAL
                    self._due = min(self._due, max(self._last, monotonic()) + _MIN_INTERVAL)
                    await self._poll_new()
                if self._waiting and monotonic() >= self._due:
                    full = monotonic() >= self._last_full + _FULL_INTERVAL
                    if full:
                        self._last_full = monotonic()
                    found = await self._poll(set(self._waiting), full=full)
                    interval = _MIN_INTERVAL if found else min(_MAX_INTERVAL, interval * _GROWTH)
                    self._last = monotonic()
                    self._due = self._last + interval
            except OutboxUnavailableError:
                self._due = monotonic() + _AFTER_OUTAGE
            except Exception as error:  # a waiter must not hang
                _fail((*self._new, *self._waiting), partial(_same, error))

    async def _sleep(self) -> None:
        """Sleep until the next poll is due, or a new waiter comes."""
        self._woken.clear()
        if self._new:
            return
        left = self._due - monotonic()
        if self._waiting and left <= 0:
            return
        try:
            async with asyncio.timeout(left if self._waiting else None):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _poll_new(self) -> None:
        new, self._new = self._new, set()
        self._waiting |= new
        try:
            await self._poll(new, full=True)
        except OutboxUnavailableError as error:
            message = str(error)
            _fail(new, lambda: OutboxUnavailableError(message))
            raise

    async def _poll(self, waiters: set[_Waiter], *, full: bool) -> bool:
        """Read the waiters' items, and wake waiters; return whether any was woken.

        ``full``: read all of the items, and not only those that changed.
        """
        groups: dict[Known, set[str]] = {}
        # Grouped by known states: each group is one condition of the statement.
        for waiter in waiters:
            groups.setdefault(() if full else waiter.known, set()).add(waiter.key)
        keys = {known: sorted(of_them) for known, of_them in groups.items()}
        with self._database.translate_errors():
            rows = await self._database.call(partial(read_changed, self._database, keys))
        return _wake(waiters, rows, full=full)


def _wake(waiters: set[_Waiter], rows: Sequence[Row], *, full: bool) -> bool:
    """Wake the waiters whose items reached an unknown state; return whether any was woken.

    ``full``: all items were read, so one without a row does not exist.
    """
    found = {row.key: (ItemState(row.state), row) for row in rows}
    woken = False
    for waiter in waiters:
        if waiter.result.done():
            continue
        if waiter.key not in found:
            if full:
                waiter.result.set_exception(NotFoundError(404, unknown_key(waiter.key)))
            continue
        state, row = found[waiter.key]
        if state not in waiter.known:
            waiter.result.set_result(row)
            woken = True
    return woken


def _fail(waiters: Sequence[_Waiter] | set[_Waiter], error: Callable[[], Exception]) -> None:
    for waiter in waiters:
        if not waiter.result.done():
            waiter.result.set_exception(error())


def _same(error: Exception) -> Exception:
    return error


def _closed() -> ClientClosedError:
    return ClientClosedError("the outbox was closed; its items stay, and workers send them")
