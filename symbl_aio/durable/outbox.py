"""Hand in what is to be sent, from any process; and see what became of it, from any other."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import sqlalchemy as sa
from attrs import frozen
from dbos import DBOSClient
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from symbl_aio import ConfigurationError, JobStatus, NotFoundError, WebhookReceiver
from symbl_aio.durable import engine, items
from symbl_aio.durable.items import Item, ItemEvent, ItemState, Media, Options
from symbl_aio.durable.tables import SCHEMA, Database

_LOOK_AGAIN: Final = 0.25
"""Seconds between two looks of ``events`` at an item."""
_LONGEST_WAIT: Final = 30.0
_PAGE: Final = 500

_CAN_BE_RETRIED: Final = frozenset(
    {ItemState.FAILED, ItemState.LOST, ItemState.REFUSED, ItemState.BLOCKED}
)


@frozen
class OutboxStats:
    """What is in a database now. ``oldest``: seconds that the oldest queued item has waited."""

    counts: Mapping[ItemState, int]
    oldest: float | None
    workers: int


class Outbox:
    """A queue of submissions in a database, that survives whatever dies.

    ``database``: ``sqlite:///outbox.db``, or ``postgresql://user@host/name`` when several
    machines share the work; ``schema`` keeps two applications on one PostgreSQL apart. Any
    number of processes may have one; none sends anything, which is what a ``Worker`` does.
    ``webhook_secret``: that of the workers, for ``webhook``.

    What is handed in is sent, in each conversation in the order of its handing in, once:
    after a crash an item is sent again only if it is certain that the server did not take
    it. Else its state is ``AMBIGUOUS``, what follows it in its conversation is ``BLOCKED``,
    and a person says what is true (``resolve``).

    Content, and the names of files, are stored in the database; tokens and secrets never.
    Use it as ``async with``, or call ``start`` and ``aclose``. Cancelling a call that waits
    changes nothing; one that writes may have written.
    """

    def __init__(
        self, database: str, *, schema: str = SCHEMA, webhook_secret: str | None = None
    ) -> None:
        self._database = Database(database, schema)
        self._secret = webhook_secret
        self._client: DBOSClient

    def __repr__(self) -> str:
        return f"<Outbox in {self._database!r}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Connect; make the tables if they are missing."""
        await self._database.call(self._start)

    def _start(self) -> None:
        engine.migrate(self._database)
        self._client = engine.connect(self._database)

    async def aclose(self) -> None:
        """Disconnect. What was handed in stays."""
        await self._database.call(self._client.destroy)
        await asyncio.to_thread(self._database.close)

    # Handing in

    async def submit(
        self,
        media: Media | str | os.PathLike[str],
        options: Options | None = None,
        *,
        key: str | None = None,
    ) -> Item:
        """Hand in media for a new conversation, which its key names from now on.

        ``media`` is a ``Text``, an ``AudioURL`` or ``VideoURL``, or a file by its path, as
        such or in ``Audio`` or ``Video``, on storage that all workers share; it is read
        once for its SHA-256, and what is not the same when its turn comes is refused. The
        same ``key`` with the same content again gives the item that is there.

        Raises ``ConfigurationError`` for what another machine could not send, or a key that
        was used for something else, and ``MediaRejectedError`` for an unreadable file.
        """
        return await self._database.call(partial(self._put, media, options, key, None))

    async def append(
        self,
        conversation: str,
        media: Media | str | os.PathLike[str],
        options: Options | None = None,
        *,
        key: str | None = None,
    ) -> Item:
        """Hand in media to be added to a conversation, behind all that was handed in for it.

        ``conversation``: the key of the item that opens it, whether or not that was
        accepted yet, or the conversation's id. Else as ``submit``.
        """
        if not str(conversation).strip():
            raise ConfigurationError("conversation is empty; give a key or a conversation's id")
        return await self._database.call(partial(self._put, media, options, key, conversation))

    def _put(
        self,
        media: Media | str | os.PathLike[str],
        options: Options | None,
        key: str | None,
        conversation: str | None,
    ) -> Item:
        if isinstance(media, str | os.PathLike):
            media = Path(media)
        content = items.write(media, options)
        key = secrets.token_hex(16) if key is None else _check_key(key)
        try:
            with self._database.begin() as connection:
                known = self._find(connection, key)
                if known is None:
                    self._insert(connection, key, conversation, content)
                    known = self._find(connection, key)
        except IntegrityError:
            with self._database.begin() as connection:  # somebody else was faster
                known = self._find(connection, key)
            if known is None:
                raise ConfigurationError(
                    f"key {key!r} names a conversation that exists; give another key"
                ) from None
        assert known is not None
        if known.content != content or (
            conversation is None if not known.opens else conversation not in (None, key)
        ):
            raise ConfigurationError(
                f"key {key!r} was used for something else; give each submission its own"
            )
        return self._database.as_item(known)

    def _insert(
        self, connection: sa.Connection, key: str, conversation: str | None, content: str
    ) -> None:
        name, number = self._take_number(connection, key, conversation)
        connection.execute(
            sa.insert(self._database.items).values(
                key=key,
                conversation=name,
                number=number,
                opens=conversation is None,
                content=content,
                nonce=secrets.token_urlsafe(16),
                attempt=1,
                state=ItemState.QUEUED.value,
                queued_at=self._database.now,
            )
        )
        self._enqueue(connection, key, name, number, 1)

    def _take_number(
        self, connection: sa.Connection, key: str, conversation: str | None
    ) -> tuple[str, int]:
        """Give the conversation's name here, and the next number in it.

        Until the transaction ends nobody else gets one, so numbers are in the order of
        what was committed.
        """
        table = self._database.conversations
        if conversation is None:
            connection.execute(sa.insert(table).values(name=key, last=1))
            return key, 1
        known = connection.execute(
            sa.select(table.c.name).where(
                sa.or_(table.c.name == conversation, table.c.conversation_id == conversation)
            )
        ).scalar()
        name = conversation if known is None else known
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        taken = insert(table).values(
            name=name, last=1, conversation_id=None if known is not None else conversation
        )
        number = connection.execute(
            taken.on_conflict_do_update(
                index_elements=[table.c.name], set_={"last": table.c.last + 1}
            ).returning(table.c.last)
        ).scalar_one()
        return name, number

    def _enqueue(
        self, connection: sa.Connection, key: str, name: str, number: int, attempt: int
    ) -> None:
        engine.enqueue(
            self._client,
            connection,
            key,
            workflow_id=workflow_id(key, attempt),
            conversation=name,
            number=number,
        )

    # Looking

    async def item(self, key: str) -> Item:
        """Give an item as it is now. Raises ``NotFoundError`` for an unknown key."""
        return self._database.as_item(await self._database.call(partial(self._row, key)))

    async def result(self, key: str, *, timeout: float | None = None) -> Item:
        """Wait until an item has ended, in whatever way, and give it.

        Any process may ask, any number at once. Raises ``TimeoutError`` after ``timeout``
        seconds, which changes nothing, and ``NotFoundError`` for an unknown key.
        """
        async with asyncio.timeout(timeout):
            while True:
                row = await self._database.call(partial(self._row, key))
                item = self._database.as_item(row)
                if item.state.is_ending:
                    return item
                await engine.wait(self._client, workflow_id(key, row.attempt), _LONGEST_WAIT)

    async def events(self, key: str) -> AsyncGenerator[ItemEvent, None]:
        """Give each state that an item has reached and reaches, until it ends.

        Whoever comes late gets what was before. Raises ``NotFoundError``.
        """
        told: set[ItemState] = set()
        while True:
            item = await self.item(key)
            for state, at in _reached(item):
                if state not in told:
                    told.add(state)
                    yield ItemEvent(key, state, at)
            if item.state.is_ending:
                return
            await asyncio.sleep(_LOOK_AGAIN)

    async def jobs(
        self, *, state: ItemState | None = None, conversation: str | None = None
    ) -> AsyncGenerator[Item, None]:
        """Go through the items, in the order of their handing in: all, or those of a kind."""
        last: tuple[float, str] | None = None
        while True:
            rows = await self._database.call(partial(self._page, state, conversation, last))
            for row in rows:
                yield self._database.as_item(row)
            if len(rows) < _PAGE:
                return
            last = (rows[-1].queued_at, rows[-1].key)

    def _page(
        self, state: ItemState | None, conversation: str | None, last: tuple[float, str] | None
    ) -> list[sa.Row[tuple[object, ...]]]:
        table = self._database.items
        query = sa.select(table).order_by(table.c.queued_at, table.c.key).limit(_PAGE)
        if state is not None:
            query = query.where(table.c.state == state.value)
        if conversation is not None:
            query = query.where(
                sa.or_(
                    table.c.conversation == conversation, table.c.conversation_id == conversation
                )
            )
        if last is not None:
            query = query.where(sa.tuple_(table.c.queued_at, table.c.key) > sa.tuple_(*last))
        with self._database.begin() as connection:
            return list(connection.execute(query))

    async def stats(self) -> OutboxStats:
        """Count what is there."""
        return await self._database.call(self._stats)

    def _stats(self) -> OutboxStats:
        table, workers = self._database.items, self._database.workers
        with self._database.begin() as connection:
            counts = connection.execute(
                sa.select(table.c.state, sa.func.count()).group_by(table.c.state)
            )
            found = {ItemState(state): count for state, count in counts}
            oldest = connection.execute(
                sa.select(self._database.now - sa.func.min(table.c.queued_at)).where(
                    table.c.state == ItemState.QUEUED.value
                )
            ).scalar()
            beating = connection.execute(
                sa.select(sa.func.count()).select_from(workers).where(workers.c.beat > 0.0)
            )
            return OutboxStats(found, oldest, beating.scalar_one())

    # Hearing

    async def webhook(self, nonce: str, mark: str, body: bytes) -> int:
        """Take in a webhook call that came to any machine; give the status to answer with.

        As ``WebhookReceiver.receive``, whose word for a genuine call is 204. It wakes the
        worker that has the item, or the one that will.
        """
        if self._secret is None:
            raise ConfigurationError("webhook_secret is missing; give that of the workers")
        heard: list[tuple[str, str, str]] = []
        receiver = WebhookReceiver(lambda *call: heard.append(call), self._secret)
        status = receiver.receive(nonce, mark, body)
        for nonce, job_id, raw_status in heard:
            await self._database.call(partial(self._hear, nonce, job_id, raw_status))
        return status

    def _hear(self, nonce: str, job_id: str, raw_status: str) -> None:
        ended = JobStatus.parse(raw_status).is_terminal
        table = self._database.items
        with self._database.begin() as connection:
            row = connection.execute(sa.select(table).where(table.c.nonce == nonce)).first()
        if row is None:
            return
        # Of an accepted item only the end is news; of one in doubt every word is.
        state = ItemState(row.state)
        if state is ItemState.QUEUED or (state is ItemState.ACCEPTED and ended):
            engine.tell(self._client, workflow_id(row.key, row.attempt), job_id, ended=ended)

    # What a person says

    async def resolve(
        self,
        key: str,
        *,
        accepted: bool,
        conversation_id: str | None = None,
        job_id: str | None = None,
    ) -> Item:
        """Say what became of an ambiguous item, and let its conversation go on.

        ``accepted=False``: the server does not have it, and it is sent again. ``True``: it
        has; with ``job_id`` that job is followed, without it the item is taken for
        completed. For an item that opens a conversation, ``conversation_id`` is needed.
        What was blocked behind it is queued again, in order. Raises
        ``ConfigurationError`` for an item that is not ambiguous.
        """
        if job_id is not None and not accepted:
            raise ConfigurationError("job_id is of an accepted item; leave it out")
        return await self._database.call(
            partial(self._resolve, key, accepted, conversation_id, job_id)
        )

    def _resolve(
        self, key: str, accepted: bool, conversation_id: str | None, job_id: str | None
    ) -> Item:
        table, conversations = self._database.items, self._database.conversations
        with self._database.begin() as connection:
            row = self._locked(connection, key)
            if row.state != ItemState.AMBIGUOUS.value:
                raise ConfigurationError(f"item {key!r} is {row.state}, not ambiguous")
            this, whose = table.c.key == key, conversations.c.name == row.conversation
            connection.execute(sa.update(conversations).where(whose).values(halted_by=None))
            if not accepted:
                self._queue_again(connection, row, sent_by=None)
            else:
                if row.opens and conversation_id is None:
                    raise ConfigurationError(
                        f"conversation_id is missing: item {key!r} opens a conversation; "
                        "give the id that the server gave it"
                    )
                if row.opens:
                    connection.execute(
                        sa.update(conversations)
                        .where(whose)
                        .values(conversation_id=conversation_id)
                    )
                known = connection.execute(
                    sa.select(conversations.c.conversation_id).where(whose)
                ).scalar()
                connection.execute(
                    sa.update(table).where(this).values(conversation_id=known, job_id=job_id)
                )
                if job_id is not None:
                    self._queue_again(connection, row)
                else:
                    connection.execute(
                        sa.update(table)
                        .where(this)
                        .values(state=ItemState.COMPLETED.value, error=None)
                    )
            self._release(connection, row.conversation)
        return self._database.as_item(self._row(key))

    async def retry(self, key: str) -> Item:
        """Send an item again that was refused, failed, was lost, or blocked.

        A failed or lost one was accepted once, and its content may be there. What was
        blocked behind it is queued again, too. Raises ``ConfigurationError`` for any
        other state; an ambiguous item is for ``resolve``.
        """
        return await self._database.call(partial(self._retry, key))

    def _retry(self, key: str) -> Item:
        conversations = self._database.conversations
        with self._database.begin() as connection:
            row = self._locked(connection, key)
            halted_by = connection.execute(
                sa.select(conversations.c.halted_by).where(conversations.c.name == row.conversation)
            ).scalar()
            if halted_by is not None:
                raise ConfigurationError(
                    f"item {halted_by!r} of the conversation is ambiguous; resolve that first"
                )
            state = ItemState(row.state)
            if state not in _CAN_BE_RETRIED:
                remedy = "; say what became of it: resolve" if state is ItemState.AMBIGUOUS else ""
                raise ConfigurationError(f"item {key!r} is {state.value}{remedy}")
            self._queue_again(connection, row, sent_by=None, job_id=None)
            self._release(connection, row.conversation)
        return self._database.as_item(self._row(key))

    def _release(self, connection: sa.Connection, conversation: str) -> None:
        """Queue what was blocked in a conversation."""
        table = self._database.items
        blocked = connection.execute(
            sa.select(table)
            .where(table.c.conversation == conversation)
            .where(table.c.state == ItemState.BLOCKED.value)
            .order_by(table.c.number)
        ).all()
        for row in blocked:
            self._queue_again(connection, row)

    def _queue_again(
        self,
        connection: sa.Connection,
        row: sa.Row[tuple[object, ...]],
        **changes: None,
    ) -> None:
        table, attempt = self._database.items, row.attempt + 1
        connection.execute(
            sa.update(table)
            .where(table.c.key == row.key)
            .values(
                state=ItemState.QUEUED.value,
                attempt=attempt,
                error=None,
                accepted_at=None,
                ended_at=None,
                **changes,
            )
        )
        self._enqueue(connection, row.key, row.conversation, row.number, attempt)

    # Rows

    def _find(self, connection: sa.Connection, key: str) -> sa.Row[tuple[object, ...]] | None:
        table = self._database.items
        return connection.execute(sa.select(table).where(table.c.key == key)).first()

    def _locked(self, connection: sa.Connection, key: str) -> sa.Row[tuple[object, ...]]:
        table = self._database.items
        row = connection.execute(
            sa.select(table).where(table.c.key == key).with_for_update()
        ).first()
        return _there(row, key)

    def _row(self, key: str) -> sa.Row[tuple[object, ...]]:
        with self._database.begin() as connection:
            return _there(self._find(connection, key), key)


def workflow_id(key: str, attempt: int) -> str:
    """Name the workflow of an item's attempt."""
    return f"{key}#{attempt}"


def _there(row: sa.Row[tuple[object, ...]] | None, key: str) -> sa.Row[tuple[object, ...]]:
    if row is None:
        raise NotFoundError(404, f"no item has the key {key!r}")
    return row


def _reached(item: Item) -> list[tuple[ItemState, float]]:
    times = [(ItemState.QUEUED, item.queued_at)]
    if item.accepted_at is not None:
        times.append((ItemState.ACCEPTED, item.accepted_at))
    if item.state.is_ending:
        times.append((item.state, item.ended_at or item.queued_at))
    return times


def _check_key(key: object) -> str:
    if not isinstance(key, str) or not key.strip() or not key.isprintable() or len(key) > 200:
        raise ConfigurationError(
            f"key is {key!r}; give a printable string of at most 200 characters"
        )
    return key
