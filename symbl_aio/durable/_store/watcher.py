"""One watcher for all who wait for items of an outbox: one statement a round, however many.

It works by polling alone: soon after something has changed or somebody has come, then less and
less often. ``wake`` is for whatever else tells that items have changed (a notification of the
database, say): the next round then comes at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from attrs import define

from symbl_aio import ClientClosedError, NotFoundError, OutboxUnavailableError
from symbl_aio.durable.items import ItemState
from symbl_aio.durable.naming import no_item

Row: TypeAlias = sa.Row[Any]
Known: TypeAlias = tuple[ItemState, ...]
"""States that are no news to somebody who waits."""
Look: TypeAlias = Callable[[Mapping[Known, Sequence[str]]], Awaitable[Sequence[Row]]]

_SOONEST: Final = 0.06
"""Seconds between two rounds at least: 17 statements a second at most."""
_LATEST: Final = 0.15
_GROWTH: Final = 1.25
_AFTER_OUTAGE: Final = 1.0
_WHOLE_EVERY: Final = 5.0
"""Seconds after which a round asks for all items, whatever their state: some may be gone."""
UNFINISHED: Final = (ItemState.QUEUED, ItemState.ACCEPTED)


@define(eq=False)
class _Waiter:
    key: str
    """Of the item."""
    known: Known
    """States that are no news to it."""
    told: asyncio.Future[Row]
    """Gets the row, or an error."""


class Watcher:
    """Tells those who wait on one event loop when an item has a state that is news to them.

    ``look`` returns the rows of the items with these keys whose state is not among the known
    ones of the group, by one statement. It raises ``OutboxUnavailableError`` while the database
    is away.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._new: set[_Waiter] = set()
        """Those whose items were not looked at yet."""
        self._waiting: set[_Waiter] = set()
        self._woken = asyncio.Event()
        self._due = self._last = self._last_whole = 0.0
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, key: str, known: Known = UNFINISHED) -> Row:
        """Return an item's row, once its state is none of ``known``.

        Raises ``NotFoundError`` for an unknown key, ``OutboxUnavailableError`` if the first
        look fails, and ``ClientClosedError`` when the watcher is closed. After the first look
        an outage only delays it.
        """
        if self._closed:
            raise _closed()
        waiter = _Waiter(key, known, asyncio.get_running_loop().create_future())
        self._new.add(waiter)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        self._woken.set()
        try:
            return await waiter.told
        finally:
            self._new.discard(waiter)
            self._waiting.discard(waiter)

    def wake(self) -> None:
        """Look soon: items may have changed. To be called on the loop of those who wait."""
        self._due = min(self._due, self._last + _SOONEST)
        self._woken.set()

    async def aclose(self) -> None:
        """Raise ``ClientClosedError`` for all who wait, and look no more."""
        self._closed = True
        _fail((*self._new, *self._waiting), _closed)
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        interval = _SOONEST
        while True:
            await self._sleep()
            try:
                if self._new:
                    interval = _SOONEST
                    self._due = min(self._due, max(self._last, monotonic()) + _SOONEST)
                    await self._look_first()
                if self._waiting and monotonic() >= self._due:
                    found = await self._look_again()
                    interval = _SOONEST if found else min(_LATEST, interval * _GROWTH)
                    self._last = monotonic()
                    self._due = self._last + interval
            except OutboxUnavailableError:
                self._due = monotonic() + _AFTER_OUTAGE
            except Exception as error:  # rather an error than a wait without an end
                _fail((*self._new, *self._waiting), partial(_same, error))

    async def _sleep(self) -> None:
        """Wait for somebody who is new, or for the next round."""
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

    async def _look_first(self) -> None:
        new, self._new = self._new, set()
        self._waiting |= new
        try:
            rows = await self._look({(): sorted({waiter.key for waiter in new})})
        except OutboxUnavailableError as error:
            said = str(error)
            _fail(new, lambda: OutboxUnavailableError(said))
            raise
        _tell(new, rows, whole=True)

    async def _look_again(self) -> bool:
        """Ask for what is news to those who wait; return whether there was any."""
        waiting = set(self._waiting)
        whole = monotonic() >= self._last_whole + _WHOLE_EVERY
        if whole:
            self._last_whole = monotonic()
        groups: dict[Known, set[str]] = {}
        for waiter in waiting:
            groups.setdefault(() if whole else waiter.known, set()).add(waiter.key)
        rows = await self._look({known: sorted(keys) for known, keys in groups.items()})
        return _tell(waiting, rows, whole=whole)


def _tell(waiters: set[_Waiter], rows: Sequence[Row], *, whole: bool) -> bool:
    """Pass the rows to those to whom they are news; return whether there was anybody.

    ``whole``: an item without a row is none.
    """
    found = {row.key: (ItemState(row.state), row) for row in rows}
    told = False
    for waiter in waiters:
        if waiter.told.done():
            continue
        if waiter.key not in found:
            if whole:
                waiter.told.set_exception(NotFoundError(404, no_item(waiter.key)))
            continue
        state, row = found[waiter.key]
        if state not in waiter.known:
            waiter.told.set_result(row)
            told = True
    return told


def _fail(waiters: Sequence[_Waiter] | set[_Waiter], error: Callable[[], Exception]) -> None:
    for waiter in waiters:
        if not waiter.told.done():
            waiter.told.set_exception(error())


def _same(error: Exception) -> Exception:
    return error


def _closed() -> ClientClosedError:
    return ClientClosedError("the outbox was closed; what was handed in goes on")
