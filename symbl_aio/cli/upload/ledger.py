"""The ledger of uploads: one SQLite file with each recording, and what became of it.

It survives ``kill -9`` and a power cut: the intent to send is on disk before the last byte
leaves. One process at a time uses a ledger. Writes that wait together are committed together.
The rows of a run's recordings are read once, and kept in memory: those of all years before
it, at ten thousand recordings a day, would take gigabytes.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import define, evolve, field, fields, frozen

from symbl_aio._threads import Stalled, Threads, Watch
from symbl_aio.cli.upload.fingerprint import Fingerprint, Stamp
from symbl_aio.cli.upload.ledger_file import LedgerError, connect

_PATIENCE: Final = 60.0
"""Seconds that the disk may take for a commit."""

_SOON: Final = 0.25
"""Seconds after which a write that nothing waits for is committed."""

_Statement: TypeAlias = tuple[str, tuple[Any, ...]]
_Value: TypeAlias = tuple[str, str]
"""A column, and the value that is looked for in it."""


class State(StrEnum):
    """What is known of a recording that was sent, or is about to be."""

    SENDING = "sending"
    """The intent is recorded: from here on the server may have it."""
    ACCEPTED = "accepted"
    """The server has it, and processes it."""
    COMPLETED = "completed"
    """Its job is completed."""
    FAILED = "failed"
    """The server refused it, or its job failed or was lost."""


@frozen
class Item:
    """A recording in the ledger. One that surely did not arrive is in no ledger."""

    id: int
    """Its number; a later item of one source replaces an earlier one."""
    source: str
    """The identity of the recording."""
    sha256: str
    """Hash of the content that was sent."""
    meeting: str | None
    """Key of its meeting; ``None`` on its own."""
    name: str
    """Name of the conversation that it opens, unique; empty for an append."""
    state: State
    """What is known of it."""
    since: float
    """When its last byte was about to be sent, Unix time in seconds."""
    conversation: str | None = None
    """The conversation, once it is known."""
    token: str | None = None
    """Token of the job; ``None`` if only the conversation is known."""
    messages: int | None = None
    """Of an append: messages of the conversation before it."""
    error: str | None = None
    """Why it failed."""
    seconds: float | None = None
    """Length of the recording."""


_COLUMNS: Final = tuple(f.name for f in fields(Item))
_SAVE_ITEM: Final = (
    f"INSERT OR REPLACE INTO item ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
)
_NEWEST: Final = (
    f"SELECT {', '.join(_COLUMNS)} FROM item AS one "
    "WHERE {} = ? AND id = (SELECT max(id) FROM item WHERE source = one.source)"
)
"""The newest items of the sources that have a value in a column."""
_WITH_CONTENT: Final = f"SELECT {', '.join(_COLUMNS)} FROM item WHERE sha256 = ?"
_KNOWN: Final = "SELECT size, modified_ns, inode, sha256, seconds FROM file WHERE source = ?"
_SAVE_FILE: Final = "INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?)"


@define(eq=False)
class Ledger:
    """The open ledger. ``open_ledger`` returns one; ``aclose`` unlocks its file."""

    path: Path
    _file: sqlite3.Connection
    _last: int = 0
    _notes: dict[str, str] = field(factory=dict)
    _items: dict[str, Item] = field(factory=dict)
    _known: dict[str, Fingerprint] = field(factory=dict)
    _by_content: dict[str, dict[int, Item]] = field(factory=dict)
    _meetings: dict[str, dict[str, None]] = field(factory=dict)
    # Of these the memory is newer than the file, or equal.
    _settled: set[str] = field(factory=set)
    # Up to these numbers the items of a source are of no use any more.
    _dropped: dict[str, int] = field(factory=dict)
    _read: set[_Value] = field(factory=set)
    _waiting: list[tuple[_Statement, asyncio.Future[None]]] = field(factory=list)
    _committing: asyncio.Task[None] | None = None
    _timer: asyncio.TimerHandle | None = None
    _threads: Watch = field(factory=lambda: Watch(Threads("symbl-aio ledger", 1), _PATIENCE))

    async def load(
        self, sources: Iterable[str] = (), *, meeting: str | None = None, sha256: str | None = None
    ) -> None:
        """Read the rows of recordings, of a meeting and of a content.

        The methods that return them read by themselves, but block the event loop meanwhile.
        Raises ``LedgerError``.
        """
        wanted = [("source", source) for source in sources]
        wanted += [("meeting", meeting)] if meeting is not None else []
        wanted += [("sha256", sha256)] if sha256 is not None else []
        wanted = [one for one in wanted if one not in self._read]
        if wanted:
            try:
                self._absorb(wanted, *await self._threads.run(partial(self._rows, wanted)))
            except Stalled as error:
                raise self._unreadable(error) from None

    def item(self, source: str) -> Item | None:
        """Return the newest item of a recording."""
        self._load("source", source)
        return self._items.get(source)

    def known(self, source: str) -> Fingerprint | None:
        """Return what was last read of a recording."""
        self._load("source", source)
        return self._known.get(source)

    def with_content(self, sha256: str) -> list[Item]:
        """Return all items that were sent with this content, also those that a later one replaced.

        The file of a content may have another path by now.
        """
        self._load("sha256", sha256)
        return list(self._by_content.get(sha256, {}).values())

    def of_meeting(self, key: str) -> list[Item]:
        """Return the newest items of a meeting, in the order in which they were sent."""
        self._load("meeting", key)
        found = [self._items[source] for source in self._meetings.get(key, ())]
        return sorted(found, key=lambda item: item.id)

    def conversation_of(self, key: str) -> str | None:
        """Return the conversation of a meeting, once one of its recordings was accepted."""
        known = (item.conversation for item in self.of_meeting(key))
        return next((one for one in known if one is not None), None)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever sent."""
        return self._last == 0

    def unended(self, state: State) -> int:
        """Return how many recordings of the ledger are ``SENDING``, or ``ACCEPTED``. Blocks."""
        others: set[str] = set()
        with suppress(sqlite3.Error):  # those in memory are counted all the same
            rows = self._file.execute(f"SELECT source FROM item WHERE state = '{state}'")
            others = {_loaded(source) for (source,) in rows} - self._settled
        return len(others) + sum(item.state is state for item in self._items.values())

    def next_id(self) -> int:
        """Return the number of a new item."""
        self._last += 1
        return self._last

    def save(self, item: Item, *, soon: bool = False) -> asyncio.Future[None]:
        """Store an item; it survives a power cut once the future is done.

        ``soon``: with the next write, or after a quarter of a second. The future raises
        ``LedgerError`` if it cannot be stored. Cancelling it, or not awaiting it, leaves the
        write as it is. Writes are made in the order of the calls.
        """
        self._keep(item)
        values = tuple(_stored(getattr(item, name)) for name in _COLUMNS)
        return self._write(_SAVE_ITEM, values, soon=soon)

    def forget(self, item: Item) -> asyncio.Future[None]:
        """Remove an item that surely did not arrive, as ``save`` stores one."""
        self._drop(item)
        return self._write("DELETE FROM item WHERE id = ?", (item.id,))

    def clear(self, item: Item) -> None:
        """Remove an item, and all earlier ones of its source: it is to be sent as a new one."""
        self._drop(item)
        self._write("DELETE FROM item WHERE source = ?", (_stored(item.source),))

    def overlook(self, item: Item) -> None:
        """Return an item no more, and leave it in the file: for a dry run."""
        self._drop(item)

    async def move(self, item: Item, source: str, meeting: str | None) -> Item:
        """Record that the file of an item has a new path, and perhaps a new meeting.

        Returns the item of the new path, where it is the newest.
        """
        self.forget(item)
        moved = evolve(item, id=self.next_id(), source=source, meeting=meeting)
        await self.save(moved)
        return moved

    def remember(self, source: str, read: Fingerprint) -> None:
        """Store what was read of a file, so that the next run need not read it again."""
        stamp = read.stamp
        if stamp is None or self.known(source) == read:
            return
        self._known[source] = read
        row = (stamp.size, stamp.modified_ns, stamp.inode, read.sha256, read.seconds)
        self._write(_SAVE_FILE, (_stored(source), *row), soon=True)

    def noted(self, name: str) -> str | None:
        """Return the value of a note."""
        return self._notes.get(name)

    def note(self, name: str, value: str) -> None:
        """Store a note for the next run."""
        if self._notes.get(name) != value:
            self._notes[name] = value
            self._write("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, value), soon=True)

    async def aclose(self) -> None:
        """Commit what waits, and close the file."""
        self._commit_now()
        while self._committing is not None:
            await asyncio.wait({self._committing})
        self._file.close()
        self._threads.threads.shutdown()

    # In memory

    def _keep(self, item: Item) -> None:
        if (before := self._items.get(item.source)) is not None and before.meeting is not None:
            self._meetings[before.meeting].pop(item.source, None)
        self._last = max(self._last, item.id)
        self._settled.add(item.source)
        self._items[item.source] = item
        self._by_content.setdefault(item.sha256, {})[item.id] = item
        if item.meeting is not None:
            self._meetings.setdefault(item.meeting, {})[item.source] = None

    def _drop(self, item: Item) -> None:
        self._settled.add(item.source)
        self._dropped[item.source] = item.id
        self._by_content.get(item.sha256, {}).pop(item.id, None)
        now = self._items.get(item.source)
        if now is None or now.id != item.id:  # of a content before this one
            return
        del self._items[item.source]
        if item.meeting is not None:
            self._meetings.get(item.meeting, {}).pop(item.source, None)

    # From disk

    def _load(self, column: str, value: str) -> None:
        if (column, value) not in self._read:
            self._absorb([(column, value)], *self._rows([(column, value)]))

    def _rows(
        self, wanted: Sequence[_Value]
    ) -> tuple[list[Item], list[Item], dict[str, Fingerprint]]:
        """Read the rows that have one of the values in its column. Blocks."""
        newest: list[Item] = []
        contents: list[Item] = []
        known: dict[str, Fingerprint] = {}
        try:
            for column, value in wanted:
                by_content = column == "sha256"
                query = _WITH_CONTENT if by_content else _NEWEST.format(column)
                for row in self._file.execute(query, (_stored(value),)):
                    values: dict[str, Any] = dict(zip(_COLUMNS, map(_loaded, row), strict=True))
                    values["state"] = State(values["state"])
                    (contents if by_content else newest).append(Item(**values))
                if column == "source":
                    for *stamp, sha256, seconds in self._file.execute(_KNOWN, (_stored(value),)):
                        known[value] = Fingerprint(sha256, seconds, Stamp(*stamp))
        except (sqlite3.Error, ValueError) as error:
            raise self._unreadable(error) from None
        return newest, contents, known

    def _absorb(
        self,
        read: Sequence[_Value],
        newest: Sequence[Item],
        contents: Sequence[Item],
        known: Mapping[str, Fingerprint],
    ) -> None:
        self._read.update(read)
        for item in newest:
            if item.source not in self._settled:
                self._keep(item)
        for item in contents:
            if item.id > self._dropped.get(item.source, 0):
                self._by_content.setdefault(item.sha256, {}).setdefault(item.id, item)
        for source, fingerprint in known.items():
            self._known.setdefault(source, fingerprint)

    def _unreadable(self, error: Exception) -> LedgerError:
        return LedgerError(f"the ledger {self.path} cannot be read ({error})")

    # On disk

    def _write(
        self, statement: str, values: tuple[Any, ...], *, soon: bool = False
    ) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        self._waiting.append(((statement, values), written))
        if self._committing is None:
            if not soon:
                self._commit_now()
            elif self._timer is None:
                self._timer = loop.call_later(_SOON, self._commit_now)
        return written

    def _commit_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._committing is None and self._waiting:
            self._committing = asyncio.create_task(self._commit_all(), name="symbl-aio ledger")

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                failure: LedgerError | None = None
                try:
                    await self._threads.run(partial(self._commit, [one for one, _ in batch]))
                except Exception as error:  # whatever it is, no writer may wait for ever
                    failure = LedgerError(
                        f"the ledger {self.path} cannot be written ({error}); mend that first"
                    )
                for _, written in batch:
                    if written.done():  # its writer was cancelled
                        continue
                    if failure is None:
                        written.set_result(None)
                    else:
                        written.set_exception(failure)
                        written.exception()  # not every writer waits
        finally:
            self._committing = None

    def _commit(self, statements: list[_Statement]) -> None:
        self._file.execute("BEGIN")
        try:
            for statement, values in statements:
                self._file.execute(statement, values)
            self._file.execute("COMMIT")
        except BaseException:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")
            raise


def _stored(value: object) -> object:
    """Return a value for SQLite: a path that UTF-8 cannot encode as the bytes of its name."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogateescape")
    return value


def _loaded(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def open_ledger(path: Path) -> Ledger:
    """Open a ledger, or create it, for this process alone. Blocks.

    Raises ``LedgerError`` if another process uses it, or if it is no ledger.
    """
    file = connect(path)
    try:
        ((last,),) = file.execute("SELECT ifnull(max(id), 0) FROM item")
        return Ledger(path, file, last, dict(file.execute("SELECT name, value FROM note")))
    except sqlite3.Error as error:
        file.close()
        raise LedgerError(f"the ledger {path} cannot be read ({error})") from None


def seen_in(path: Path, name: str) -> str | None:
    """Return the value of a note in a ledger that is not open. Blocks. Raises ``LedgerError``."""
    ledger = open_ledger(path)
    ledger._file.close()
    return ledger.noted(name)
