"""Encode many entries in chunks, and insert each chunk in one transaction.

The number of statements for a chunk does not grow with it: the conversations are locked
first, and the entries then get their numbers in memory, by the rules of ``submit``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from attrs import define, field, frozen
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.exc import IntegrityError

from symbl_aio import (
    Audio,
    ConfigurationError,
    FileUnavailableError,
    MediaRejectedError,
    Options,
    Video,
)
from symbl_aio._fields import type_name
from symbl_aio._source_names import source_of
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.notifications import notify_ready
from symbl_aio.durable._store.heads import block_reason
from symbl_aio.durable._store.submit import (
    Encoded,
    check_queue,
    check_same,
    is_no_conversation,
    names_a_conversation,
    new_item,
)
from symbl_aio.durable.content import encode
from symbl_aio.durable.items import check_conversation, check_key, check_priority
from symbl_aio.media import MediaLike

_CHUNK_ITEMS: Final = 1000
"""Maximum items of a chunk, which is one transaction."""
_CHUNK_CHARACTERS: Final = 2**23
"""Characters of content after which a chunk is complete: it is kept in memory."""
_MAX_FILES: Final = 16
"""Files queued for the hashing threads at a time: their timeout runs while they wait."""
_YIELD_AFTER: Final = 50
"""Texts that are encoded before other tasks of the event loop run."""
_INPUT_ERRORS: Final = (ConfigurationError, MediaRejectedError, FileUnavailableError)
_MAX_RACES: Final = 20
"""Retries after another process has inserted one of the keys at the same moment."""


@frozen
class Entry:
    """One submission of many."""

    key: str
    """Its own key: the same key with the same content again is the same item."""
    media: MediaLike
    """As for ``Outbox.submit``."""
    options: Options | None = None
    """As for ``Outbox.submit``."""
    conversation: str | None = field(default=None, kw_only=True)
    """Conversation to append to, as for ``Outbox.append``; ``None`` opens a new one."""
    priority: int = field(default=0, kw_only=True)
    """From -1000 to 1000, the higher the sooner."""


@frozen
class Entered:
    """Result of ``submit_many``."""

    items: int
    """Number of entries given."""
    new: int
    """Number of entries whose key was new."""


Given: TypeAlias = Iterable[Entry] | AsyncIterable[Entry]


async def encode_chunks(items: Given) -> AsyncGenerator[list[Encoded], None]:
    """Yield the encoded entries in chunks. Pulls at most one chunk ahead.

    Raises, for the first wrong entry, what ``Outbox.submit`` raises, with its position.
    """
    reading = asyncio.Semaphore(_MAX_FILES)
    chunk: list[Encoded | asyncio.Task[Encoded]] = []
    characters = position = 0
    try:
        async with aclosing(_each(items)) as entries:
            async for entry in entries:
                if _names_a_file(entry):
                    chunk.append(asyncio.ensure_future(_encode_file(reading, position, entry)))
                else:
                    encoded = await _encode(position, entry)
                    characters += len(encoded.content)
                    chunk.append(encoded)
                    if position % _YIELD_AFTER == 0:
                        await asyncio.sleep(0)
                position += 1
                if len(chunk) == _CHUNK_ITEMS or characters >= _CHUNK_CHARACTERS:
                    yield [await one if isinstance(one, asyncio.Task) else one for one in chunk]
                    chunk, characters = [], 0
        if chunk:
            yield [await one if isinstance(one, asyncio.Task) else one for one in chunk]
    finally:
        # An error, or a closed generator, leaves files that are still being hashed.
        left = [one for one in chunk if isinstance(one, asyncio.Task)]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _each(items: Any) -> AsyncGenerator[Entry, None]:
    if isinstance(items, AsyncIterable):
        async for entry in items:
            yield entry
    elif isinstance(items, Iterable) and not isinstance(items, str | bytes):
        for entry in items:
            yield entry
    else:
        raise ConfigurationError(
            f"items is {type_name(items)}; give an iterable of Entry(...), async or not"
        )


def _names_a_file(entry: Entry) -> bool:
    # Other types are checked when the entry is encoded.
    media = getattr(entry, "media", None)
    return isinstance(media, str | os.PathLike | Audio | Video)


async def _encode_file(reading: asyncio.Semaphore, position: int, entry: Entry) -> Encoded:
    async with reading:
        return await _encode(position, entry)


async def _encode(position: int, entry: Entry) -> Encoded:
    if not isinstance(entry, Entry):  # callers without a type checker
        raise ConfigurationError(f"items[{position}] is {type_name(entry)}; give Entry(...)")
    try:
        key = check_key(entry.key)
    except ConfigurationError as error:
        raise ConfigurationError(f"items[{position}]: {error}") from None
    try:
        named = entry.conversation
        conversation = None if named is None else check_conversation(named)
        priority = check_priority(entry.priority)
        content = await encode(entry.media, entry.options)
    except _INPUT_ERRORS as error:
        raise type(error)(_at(position, key, error)) from error
    return Encoded(key, conversation, content, source_of(entry.media, None), priority, position)


def _at(position: int, key: str, error: Exception) -> str:
    """Return an error's message with the position and the key of its entry."""
    return f"items[{position}] (key {key!r}): {error}"


@define
class _Conversation:
    """A conversation of the chunk, as it is after the entries processed so far."""

    name: str
    """Its key in the table."""
    last: int
    """The last number in use."""
    conversation_id: str | None
    """The server's id, once known."""
    halted_by: str | None = None
    """Key of an ambiguous item."""
    busy: bool = False
    """Whether it has an unfinished item."""
    is_new: bool = False
    """Whether it has no row yet."""
    changed: bool = False
    """Whether an entry of the chunk was numbered in it."""


@define
class _Known:
    """An item that exists, or comes earlier in the same chunk."""

    key: str
    """Its key."""
    content: str
    """As it is stored."""
    opens: bool
    """Whether it opens its conversation."""
    conversation: str
    """Name of its conversation."""


def submit_chunk(
    database: Database, chunk: Sequence[Encoded], traceparent: str | None = None
) -> int:
    """Insert the new items of a chunk, or none of them; return their number. Blocks.

    ``traceparent``: the caller's span.

    Raises ``ConfigurationError``, with the position, for a key that has other content.
    """
    for _ in range(_MAX_RACES):
        try:
            return _submit_chunk(database, chunk, traceparent)
        except IntegrityError:  # another process inserted one of the keys at the same moment
            pass
    return _submit_chunk(database, chunk, traceparent)


def _submit_chunk(database: Database, chunk: Sequence[Encoded], traceparent: str | None) -> int:
    with database.begin() as connection:
        plan = _ChunkPlan(database, connection, chunk, traceparent)
        for entry in chunk:
            try:
                plan.add(entry)
            except ConfigurationError as error:
                raise ConfigurationError(_at(entry.position, entry.key, error)) from None
        plan.write(connection)
        return len(plan.rows)


class _ChunkPlan:
    """The rows that a chunk inserts, with its conversations locked to the transaction's end."""

    def __init__(
        self,
        database: Database,
        connection: sa.Connection,
        chunk: Sequence[Encoded],
        traceparent: str | None,
    ) -> None:
        self._database = database
        self._traceparent = traceparent
        self.rows: list[dict[str, Any]] = []
        keys = sorted({entry.key for entry in chunk})
        named = {entry.conversation for entry in chunk if entry.conversation is not None}
        # Locked first: other submissions to them are visible now, or come later.
        self._by_name: dict[str, _Conversation] = {}
        self._by_id: dict[str, _Conversation] = {}
        self._lock(connection, named | {e.key for e in chunk if not e.conversation})
        table = self._database.items
        # Conversations of appends, too: one may be the key of an append.
        wanted = sorted({*keys, *(named - self._by_name.keys())})
        of_them = database.is_among(table.c.key, wanted)
        known = (table.c.key, table.c.content, table.c.opens, table.c.conversation)
        self._known = {
            row.key: _Known(*row) for row in connection.execute(sa.select(*known).where(of_them))
        }
        # Both may have been inserted between the two statements.
        if missed := {item.conversation for item in self._known.values()} - self._by_name.keys():
            self._lock(connection, missed)
        busy = sa.select(table.c.conversation).distinct()
        busy = busy.where(database.is_among(table.c.conversation, sorted(self._by_name)))
        for name in connection.execute(busy.where(database.unfinished(table))).scalars():
            self._by_name[name].busy = True
        self._now: float = connection.execute(sa.select(database.now)).scalar_one()

    def _lock(self, connection: sa.Connection, names: Iterable[str]) -> None:
        table, wanted = self._database.conversations, sorted(names)
        rows = connection.execute(
            sa.select(table)
            .where(
                sa.or_(
                    self._database.is_among(table.c.name, wanted),
                    self._database.is_among(table.c.conversation_id, wanted),
                )
            )
            .order_by(table.c.name)
            .with_for_update()
        )
        for row in rows:
            check_queue(self._database, row)
            locked = _Conversation(row.name, row.last, row.conversation_id, row.halted_by)
            self._by_name[locked.name] = locked
            if locked.conversation_id is not None:
                self._by_id.setdefault(locked.conversation_id, locked)

    def _find(self, name: str) -> _Conversation | None:
        return self._by_name.get(name) or self._by_id.get(name)

    def add(self, entry: Encoded) -> None:
        """Add an entry's row, unless its item exists."""
        found = self._find(entry.conversation or entry.key)
        if (known := self._known.get(entry.key)) is not None:
            name = None if found is None else found.name
            check_same(known, entry, name)
            return
        if found is None:
            found = self._open(entry)
        elif entry.conversation is None:
            raise ConfigurationError(names_a_conversation(entry.key))
        why = None
        # A conversation without a row has no ambiguous item, and an opener or a known id.
        if not found.is_new:
            why = block_reason(found.busy, found.conversation_id, found.halted_by)
        found.last += 1
        found.changed = True
        ready = None if why else not found.busy
        row = new_item(self._database, entry, found.name, found.last, why, ready, self._traceparent)
        ended_at = None if why is None else self._now
        self.rows.append(row | {"queued_at": self._now, "ended_at": ended_at})
        # The next entry of the chunk sees the state that this one leaves behind.
        found.busy = found.busy or why is None
        self._known[entry.key] = _Known(
            entry.key, entry.content, entry.conversation is None, found.name
        )

    def _open(self, entry: Encoded) -> _Conversation:
        named = entry.conversation
        if named is not None and (other := self._known.get(named)) is not None:
            raise ConfigurationError(is_no_conversation(named, other.conversation))
        found = _Conversation(named or entry.key, 0, named, is_new=True)
        self._by_name[found.name] = found
        if named is not None:
            self._by_id.setdefault(named, found)
        return found

    def write(self, connection: sa.Connection) -> None:
        """Write the conversations and the items."""
        if not self.rows:
            return
        table, items = self._database.conversations, self._database.items
        changed = sorted(self._by_name.values(), key=lambda one: one.name)
        new = [one for one in changed if one.is_new]
        old = [one for one in changed if one.changed and not one.is_new]
        if new:
            named = [
                {
                    "name": one.name,
                    "last": one.last,
                    "conversation_id": one.conversation_id,
                    "queue": self._database.queue_name,
                }
                for one in new
            ]
            self._insert(connection, table, named)
        if old:
            counted = [{"name": one.name, "last": one.last} for one in old]
            if self._database.is_sqlite:
                taken = sa.update(table).where(table.c.name == sa.bindparam("name_"))
                rows = [{"name_": one["name"], "last": one["last"]} for one in counted]
                connection.execute(taken.values(last=sa.bindparam("last")), rows)
            else:
                given = _as_table(table, counted)
                taken = sa.update(table).where(table.c.name == given.c.name)
                connection.execute(taken.values(last=given.c.last))
        self._insert(connection, items, self.rows)
        if any(row["ready"] for row in self.rows):
            notify_ready(self._database, connection)

    def _insert(
        self, connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]
    ) -> None:
        """Insert rows so that their ids are in the order of the rows."""
        if self._database.is_sqlite:  # which has no round trips
            connection.execute(sa.insert(table), rows)
            return
        given = _as_table(table, rows)
        columns = list(rows[0])
        ordered = sa.select(*(given.c[name] for name in columns)).order_by(given.c.position)
        connection.execute(sa.insert(table).from_select(columns, ordered))


def _as_table(table: sa.Table, rows: list[dict[str, Any]]) -> sa.TableValuedAlias:
    """Return rows as a table of PostgreSQL, passed as one parameter."""
    # The driver takes longer for ten thousand parameters than the database for the rows.
    columns = [sa.column(name, table.c[name].type) for name in rows[0]]
    numbered = [row | {"position": position} for position, row in enumerate(rows)]
    return (
        sa.func.json_to_recordset(sa.literal(numbered, JSON))
        .table_valued(*columns, sa.column("position", sa.Integer), name="given")
        .render_derived(with_types=True)
    )
