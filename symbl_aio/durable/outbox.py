"""Hand in what is to be sent, from any process; and see what became of it, from any other."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar

import sqlalchemy as sa
from attrs import frozen
from dbos import DBOSClient
from sqlalchemy.exc import IntegrityError

from symbl_aio import (
    ClientClosedError,
    Config,
    ConfigurationError,
    JobStatus,
    NotFoundError,
    WebhookReceiver,
)
from symbl_aio._core.endpoints import check_id
from symbl_aio.durable import engine, items
from symbl_aio.durable.items import Item, ItemEvent, ItemState, Options
from symbl_aio.durable.tables import SCHEMA, Database
from symbl_aio.media import MediaLike

T = TypeVar("T")
Row: TypeAlias = sa.Row[Any]

_LOOK_AGAIN: Final = 0.25
"""Seconds between two looks at an item, where nothing tells that it has changed."""
_LONGEST_WAIT: Final = 30.0
"""Seconds between two looks at an item whose end is told."""
_PAGE: Final = 500

_CAN_BE_RETRIED: Final = frozenset(
    {ItemState.FAILED, ItemState.LOST, ItemState.REFUSED, ItemState.BLOCKED}
)


@frozen
class OutboxStats:
    """What is in a database now.

    ``counts`` has all states that occur. ``oldest``: seconds since the oldest item that is
    queued was handed in. ``workers``: those that have started, and were neither closed nor
    taken for dead by another.
    """

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
    Use it as ``async with``, or call ``start`` and ``aclose``; before and after, all else
    raises ``ClientClosedError``. Cancelling a call that waits changes nothing; one that
    writes may have written. While the database is away, calls raise what SQLAlchemy raises.
    """

    def __init__(
        self, database: str, *, schema: str = SCHEMA, webhook_secret: str | None = None
    ) -> None:
        # Which says what is wrong with a secret.
        self._secret = Config(webhook_secret=webhook_secret).webhook_secret
        self._database = Database(database, schema)
        self._client: DBOSClient | None = None

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
        """Connect; make the tables if they are missing. After ``aclose``, make a new one."""
        try:
            await self._database.call(partial(engine.migrate, self._database))
            self._client = await self._database.call(partial(engine.connect, self._database))
        except BaseException:
            await asyncio.to_thread(self._database.close)
            raise

    async def aclose(self) -> None:
        """Disconnect. What was handed in stays. Closing twice is fine."""
        client, self._client = self._client, None
        if client is not None:
            await self._database.call(client.destroy)
        await asyncio.to_thread(self._database.close)

    async def _call(self, work: Callable[[], T]) -> T:
        self._opened()
        return await self._database.call(work)

    def _opened(self) -> DBOSClient:
        if self._client is None:
            raise ClientClosedError(
                "the outbox is not open; use it as async with, or call start() before"
            )
        return self._client

    # Handing in

    async def submit(
        self, media: MediaLike, options: Options | None = None, *, key: str | None = None
    ) -> Item:
        """Hand in media for a new conversation, which its key names from now on.

        ``media`` is a ``Text``, an ``AudioURL`` or ``VideoURL``, or a file by its path, as
        such or in ``Audio`` or ``Video``, on storage that all workers share; it is read
        once for its SHA-256, and what is not the same when its turn comes is refused. The
        same ``key`` with the same content again gives the item that is there.

        Raises ``ConfigurationError`` for a wrong option, what another machine could not
        send, or a key that was used for something else, and ``MediaRejectedError`` for an
        unreadable file.
        """
        return await self._hand_in(None, media, options, key)

    async def append(
        self,
        conversation: str,
        media: MediaLike,
        options: Options | None = None,
        *,
        key: str | None = None,
    ) -> Item:
        """Hand in media to be added to a conversation, behind all that was handed in for it.

        ``conversation``: the key of the item that opens it, whether or not that was
        accepted yet; or the conversation's id, wherever it was opened. An id that is given
        while the item that opens the conversation still waits for the server's answer is a
        conversation of its own here, with an order of its own. Else as ``submit``.
        """
        return await self._hand_in(_check_conversation(conversation), media, options, key)

    async def _hand_in(
        self, conversation: str | None, media: MediaLike, options: Options | None, key: str | None
    ) -> Item:
        key = secrets.token_hex(16) if key is None else _check_key(key)
        client = self._opened()
        content = await items.write(media, options)
        enter = partial(self._enter, client, conversation, content, key)
        try:
            return await self._call(enter)
        except IntegrityError:
            return await self._call(enter)  # somebody else was faster, and is there now

    def _enter(self, client: DBOSClient, conversation: str | None, content: str, key: str) -> Item:
        table = self._database.items
        with self._database.begin() as connection:
            known = connection.execute(sa.select(table).where(table.c.key == key)).first()
            if known is not None:
                self._check_same(connection, known, conversation, content)
                return self._database.as_item(known)
            name, number = self._take_number(connection, conversation, key)
            entered = connection.execute(
                sa.insert(table)
                .values(
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
                .returning(table)
            ).one()
            self._enqueue(client, connection, entered)
            return self._database.as_item(entered)

    def _check_same(
        self, connection: sa.Connection, known: Row, conversation: str | None, content: str
    ) -> None:
        if not items.is_same(known.content, content):
            used_for = "other media or options"
        elif known.opens != (conversation is None):
            used_for = "a new conversation" if known.opens else "an append"
        elif conversation is not None and self._lane(connection, conversation) != (
            known.conversation
        ):
            used_for = "another conversation"
        else:
            return
        raise ConfigurationError(
            f"key {known.key!r} was used for {used_for}; give each submission a key of its own"
        )

    def _take_number(
        self, connection: sa.Connection, conversation: str | None, key: str
    ) -> tuple[str, int]:
        """Give the conversation's name here, and the next number in it.

        Until the transaction ends nobody else gets one, so numbers are in the order of
        what was committed.
        """
        table = self._database.conversations
        name = self._lane(connection, key if conversation is None else conversation)
        if conversation is None:
            if name is not None:
                raise ConfigurationError(
                    f"key {key!r} names a conversation that exists; give another key"
                )
            connection.execute(sa.insert(table).values(name=key, last=1))
            return key, 1
        if name is None:
            self._check_no_item(connection, conversation)
            connection.execute(
                sa.insert(table).values(name=conversation, last=1, conversation_id=conversation)
            )
            return conversation, 1
        number = connection.execute(
            sa.update(table)
            .where(table.c.name == name)
            .values(last=table.c.last + 1)
            .returning(table.c.last)
        ).scalar_one()
        return name, number

    def _lane(self, connection: sa.Connection, conversation: str) -> str | None:
        """Give a conversation's name here, if it is known, and hold it in a transaction."""
        table = self._database.conversations
        names = sa.or_(table.c.name == conversation, table.c.conversation_id == conversation)
        name: str | None = connection.execute(
            sa.select(table.c.name)
            .where(names)
            .order_by(table.c.name != conversation)
            .limit(1)
            .with_for_update()
        ).scalar()
        return name

    def _check_no_item(self, connection: sa.Connection, conversation: str) -> None:
        table = self._database.items
        opener = connection.execute(
            sa.select(table.c.conversation).where(table.c.key == conversation)
        ).scalar()
        if opener is not None:
            raise ConfigurationError(
                f"conversation {conversation!r} is the key of an append; give {opener!r}, "
                "which that was appended to"
            )

    def _enqueue(self, client: DBOSClient, connection: sa.Connection, row: Row) -> None:
        engine.enqueue(
            client,
            connection,
            row.key,
            attempt=row.attempt,
            conversation=row.conversation,
            number=row.number,
        )

    # Looking

    async def item(self, key: str) -> Item:
        """Give an item as it is now. Raises ``NotFoundError`` for an unknown key."""
        return self._database.as_item(await self._call(partial(self._row, key)))

    async def result(self, key: str, *, timeout: float | None = None) -> Item:
        """Wait until an item has ended, in whatever way, and give it.

        Any process may ask, any number at once. Raises ``TimeoutError`` after ``timeout``
        seconds, which changes nothing, and ``NotFoundError`` for an unknown key.
        """
        async with asyncio.timeout(timeout):
            while True:
                row = await self._call(partial(self._row, key))
                item = self._database.as_item(row)
                if item.state.is_ending:
                    return item
                if self._database.is_sqlite:  # which tells nobody
                    await asyncio.sleep(_LOOK_AGAIN)
                else:
                    attempt = engine.workflow_id(key, row.attempt)
                    await engine.wait(self._opened(), attempt, _LONGEST_WAIT)

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
        """Go through the items, in the order of their handing in: all, or those of a kind.

        ``conversation`` as for ``append``. What is handed in meanwhile comes at the end.
        """
        last = 0
        while True:
            rows = await self._call(partial(self._page, state, conversation, last))
            for row in rows:
                yield self._database.as_item(row)
            if len(rows) < _PAGE:
                return
            last = rows[-1].id

    def _page(self, state: ItemState | None, conversation: str | None, last: int) -> list[Row]:
        table, conversations = self._database.items, self._database.conversations
        query = sa.select(table).where(table.c.id > last).order_by(table.c.id).limit(_PAGE)
        if state is not None:
            query = query.where(table.c.state == state.value)
        if conversation is not None:
            names = sa.select(conversations.c.name).where(
                sa.or_(
                    conversations.c.name == conversation,
                    conversations.c.conversation_id == conversation,
                )
            )
            query = query.where(table.c.conversation.in_(names))
        with self._database.read() as connection:
            return list(connection.execute(query))

    async def stats(self) -> OutboxStats:
        """Count what is there."""
        return await self._call(self._stats)

    def _stats(self) -> OutboxStats:
        table, workers = self._database.items, self._database.workers
        with self._database.read() as connection:
            counts = connection.execute(
                sa.select(table.c.state, sa.func.count()).group_by(table.c.state)
            )
            found = {ItemState(state): count for state, count in counts}
            oldest = connection.execute(
                sa.select(self._database.now - sa.func.min(table.c.queued_at)).where(
                    table.c.state == ItemState.QUEUED.value
                )
            ).scalar()
            there = connection.execute(
                sa.select(sa.func.count()).select_from(workers).where(workers.c.beat > 0.0)
            )
            return OutboxStats(found, oldest, there.scalar_one())

    # Hearing

    async def webhook(self, nonce: str, mark: str, body: bytes) -> int:
        """Take in a webhook call that came to any machine; give the status to answer with.

        As ``WebhookReceiver.receive``, whose word for a genuine call is 204, whether or not
        its item is known. It wakes the worker that has the item, or the one that will.
        """
        if self._secret is None:
            raise ConfigurationError("webhook_secret is missing; give that of the workers")
        client = self._opened()
        heard: list[tuple[str, str, str]] = []
        receiver = WebhookReceiver(lambda *call: heard.append(call), self._secret)
        status = receiver.receive(nonce, mark, body)
        for call in heard:
            await self._call(partial(self._hear, client, *call))
        return status

    def _hear(self, client: DBOSClient, nonce: str, job_id: str, raw_status: str) -> None:
        ended = JobStatus.parse(raw_status).is_terminal
        table = self._database.items
        with self._database.read() as connection:
            row = connection.execute(sa.select(table).where(table.c.nonce == nonce)).first()
        if row is None:
            return
        # Of an accepted item only the end is news; of one in doubt every word is.
        state = ItemState(row.state)
        if state is ItemState.QUEUED or (state is ItemState.ACCEPTED and ended):
            engine.tell(client, engine.workflow_id(row.key, row.attempt), job_id, ended=ended)

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
        ``ConfigurationError`` for an item that is not ambiguous, ids that are missing or do
        not belong to it, and ``NotFoundError`` for an unknown key.
        """
        if not accepted and (conversation_id is not None or job_id is not None):
            raise ConfigurationError(
                "conversation_id and job_id are of an accepted item; leave them out"
            )
        for name, given in (("conversation_id", conversation_id), ("job_id", job_id)):
            if given is not None:
                check_id(name, given)
        client = self._opened()
        return await self._call(
            partial(self._resolve, client, key, accepted, conversation_id, job_id)
        )

    def _resolve(
        self,
        client: DBOSClient,
        key: str,
        accepted: bool,
        conversation_id: str | None,
        job_id: str | None,
    ) -> Item:
        table, conversations = self._database.items, self._database.conversations
        with self._database.begin() as connection:
            row, conversation = self._hold(connection, key)
            if row.state != ItemState.AMBIGUOUS.value:
                raise ConfigurationError(
                    f"item {key!r} is {row.state}, and only ambiguous ones are resolved"
                )
            if not accepted:
                self._queue_again(client, connection, row, sent_by=None, sent_at=None)
            else:
                conversation_id = _conversation_id_of(row, conversation, conversation_id)
                if job_id is not None:
                    self._check_no_other_job(connection, row, job_id)
                known = {"conversation_id": conversation_id, "job_id": job_id}
                if job_id is None:
                    connection.execute(
                        sa.update(table)
                        .where(table.c.key == key)
                        .values(
                            state=ItemState.COMPLETED.value,
                            attempt=table.c.attempt + 1,
                            error=None,
                            ended_at=self._database.now,
                            **known,
                        )
                    )
                else:
                    self._queue_again(
                        client,
                        connection,
                        row,
                        state=ItemState.ACCEPTED,
                        accepted_at=self._database.now,
                        **known,
                    )
            self._release(client, connection, row, is_blocked=True)
            connection.execute(
                sa.update(conversations)
                .where(conversations.c.name == row.conversation)
                .values(
                    halted_by=None,
                    conversation_id=conversation_id or conversation.conversation_id,
                )
            )
        return self._database.as_item(self._row(key))

    def _check_no_other_job(self, connection: sa.Connection, row: Row, job_id: str) -> None:
        table = self._database.items
        other = connection.execute(
            sa.select(table.c.key).where(table.c.job_id == job_id).where(table.c.key != row.key)
        ).scalar()
        if other is not None:
            raise ConfigurationError(
                f"job_id {job_id!r} is that of item {other!r}; give that of item {row.key!r}"
            )

    async def retry(self, key: str) -> Item:
        """Send an item again that was refused, failed, was lost, or blocked.

        A failed or lost one was accepted once, and its content may be there. What was
        blocked behind it is queued again, too. Raises ``ConfigurationError`` for any
        other state, an ambiguous item is for ``resolve``; and while another item has to be
        resolved or sent again before. ``NotFoundError`` for an unknown key.
        """
        return await self._call(partial(self._retry, self._opened(), key))

    def _retry(self, client: DBOSClient, key: str) -> Item:
        with self._database.begin() as connection:
            row, conversation = self._hold(connection, key)
            state = ItemState(row.state)
            if state not in _CAN_BE_RETRIED:
                remedy = "; say what became of it: resolve" if state is ItemState.AMBIGUOUS else ""
                raise ConfigurationError(f"item {key!r} is {state.value}{remedy}")
            if conversation.halted_by is not None:
                raise ConfigurationError(
                    f"item {conversation.halted_by!r} of the conversation is ambiguous; "
                    "resolve that first"
                )
            is_blocked = conversation.conversation_id is None
            if is_blocked and not row.opens:
                raise ConfigurationError(
                    f"item {row.conversation!r} has not opened the conversation; retry that first"
                )
            self._queue_again(
                client,
                connection,
                row,
                sent_by=None,
                sent_at=None,
                job_id=None,
                conversation_id=None,
                accepted_at=None,
            )
            self._release(client, connection, row, is_blocked=is_blocked)
        return self._database.as_item(self._row(key))

    def _release(
        self, client: DBOSClient, connection: sa.Connection, row: Row, *, is_blocked: bool
    ) -> None:
        """Queue again what was blocked in the conversation of an item, in order.

        While it ``is_blocked``, the next of the waiting items may be about to be: its
        attempt under way finds that there is a newer one, and ends.
        """
        table = self._database.items
        waiting = connection.execute(
            sa.select(table)
            .where(table.c.conversation == row.conversation)
            .where(table.c.key != row.key)
            .where(table.c.state.in_([ItemState.BLOCKED.value, ItemState.QUEUED.value]))
            .order_by(table.c.number)
            .with_for_update()
        ).all()
        for other in waiting:
            if other.state == ItemState.BLOCKED.value:
                self._queue_again(client, connection, other)
            elif is_blocked:
                self._queue_again(client, connection, other)
                is_blocked = False

    def _queue_again(
        self,
        client: DBOSClient,
        connection: sa.Connection,
        row: Row,
        *,
        state: ItemState = ItemState.QUEUED,
        **changes: object,
    ) -> None:
        table = self._database.items
        queued = connection.execute(
            sa.update(table)
            .where(table.c.key == row.key)
            .values(
                state=state.value,
                attempt=table.c.attempt + 1,
                error=None,
                ended_at=None,
                **changes,
            )
            .returning(table)
        ).one()
        self._enqueue(client, connection, queued)

    # Rows

    def _hold(self, connection: sa.Connection, key: str) -> tuple[Row, Row]:
        """Give an item and its conversation, which nobody else changes meanwhile."""
        table, conversations = self._database.items, self._database.conversations
        row = connection.execute(
            sa.select(table).where(table.c.key == key).with_for_update()
        ).first()
        row = _there(row, key)
        conversation = connection.execute(
            sa.select(conversations)
            .where(conversations.c.name == row.conversation)
            .with_for_update()
        ).one()
        return row, conversation

    def _row(self, key: str) -> Row:
        table = self._database.items
        with self._database.read() as connection:
            return _there(
                connection.execute(sa.select(table).where(table.c.key == key)).first(), key
            )


def _conversation_id_of(row: Row, conversation: Row, given: str | None) -> str:
    """Give the id of an accepted item's conversation, if there can be only one."""
    if row.opens and given is None:
        raise ConfigurationError(
            f"conversation_id is missing: item {row.key!r} opens a conversation; "
            "give the id that the server gave it"
        )
    known: str | None = given if row.opens else conversation.conversation_id
    assert known is not None
    if given is not None and given != known:
        raise ConfigurationError(
            f"conversation_id is {given!r}, but item {row.key!r} was appended to {known!r}; "
            "leave it out"
        )
    return known


def _there(row: Row | None, key: str) -> Row:
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


def _check_conversation(conversation: object) -> str:
    if not isinstance(conversation, str) or not conversation.strip():
        raise ConfigurationError(
            f"conversation is {conversation!r}; give the key of the item that opens it, "
            "or the conversation's id"
        )
    return conversation


def _check_key(key: object) -> str:
    if not isinstance(key, str) or not key.strip() or not key.isprintable() or len(key) > 200:
        raise ConfigurationError(
            f"key is {key!r}; give a printable string of at most 200 characters"
        )
    return key
