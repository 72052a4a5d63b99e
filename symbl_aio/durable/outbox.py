"""Store submissions from any process, and read their states from any other."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar

from symbl_aio import (
    ClientClosedError,
    Config,
    ConfigurationError,
    JobStatus,
    Options,
)
from symbl_aio._fields import require, require_seconds
from symbl_aio._protocol.webhook_calls import WebhookCall
from symbl_aio._shared_futures import check_loop, running_loop
from symbl_aio._source_names import source_of
from symbl_aio._threads import in_a_thread
from symbl_aio.durable._database import dbos
from symbl_aio.durable._database.database import SCHEMA, Database
from symbl_aio.durable._database.tables import QUEUE_NAME
from symbl_aio.durable._store import queue_control
from symbl_aio.durable._store.reads import PAGE, Watcher, read_item, read_page
from symbl_aio.durable._store.submit import Encoded, ItemInserts
from symbl_aio.durable._store.submit_many import Entered, Entry, encode_chunks, submit_chunk
from symbl_aio.durable._store.webhook_records import WebhookRecords
from symbl_aio.durable.content import encode
from symbl_aio.durable.items import (
    Item,
    ItemEvent,
    ItemState,
    check_conversation,
    check_key,
    check_priority,
)
from symbl_aio.durable.outbox_decisions import Resolution
from symbl_aio.durable.stats import OutboxStats, read_stats
from symbl_aio.media import MediaLike
from symbl_aio.webhooks import verify

T = TypeVar("T")

_IDLE_INTERVAL: Final = 0.25
"""Seconds between two checks whether a paused queue is idle."""


class Outbox(Resolution):
    """A queue of submissions in a database, which survives the crash of any process.

    ``database``: ``sqlite:///outbox.db``, or ``postgresql://user@host/name`` when several
    machines share the work; ``schema`` separates two applications on one PostgreSQL, and
    ``queue`` two accounts of one application: each has workers, slots and pauses of its own,
    and a key belongs to one of them. Any number of processes may have an outbox; it sends
    nothing, which is the task of a ``Worker``. ``webhook_secret``: that of the workers, for
    ``webhook``; without it ``SYMBL_WEBHOOK_SECRET``. ``wait_for_database``: seconds that
    ``start`` waits for a PostgreSQL that is away.

    Each item is sent once, in each conversation in the order of submission: after a crash an
    item is sent again only if it is certain that the server did not accept it. Otherwise its
    state is ``AMBIGUOUS``, the items behind it in its conversation are ``BLOCKED``, and an
    operator decides (``resolve``).

    Content, and the names of files, are stored in the database; tokens and secrets never.
    Use it as ``async with``, or call ``start`` and ``aclose``; before and after, every other
    method raises ``ClientClosedError``, and on another event loop ``ConfigurationError``.
    Cancelling a call that waits changes nothing; one that writes may have written. While the
    database is away, calls raise ``OutboxUnavailableError``.
    """

    def __init__(
        self,
        database: str,
        *,
        schema: str = SCHEMA,
        queue: str = QUEUE_NAME,
        webhook_secret: str | None = None,
        wait_for_database: float = 30.0,
    ) -> None:
        require_seconds("wait_for_database", wait_for_database)
        # Config validates the secret.
        given = Config(webhook_base_url=None)
        if webhook_secret is not None:
            given = given.evolve(webhook_secret=webhook_secret)
        self._secret = given.webhook_secret
        self._database = Database(database, schema, queue=queue)
        self._wait_for_database = wait_for_database
        self._is_open = False
        self._started = False
        self._watcher = Watcher(self._database)
        self._inserts = ItemInserts(self._database)
        self._webhooks = WebhookRecords(self._database)
        self._loop: asyncio.AbstractEventLoop

    def __repr__(self) -> str:
        return f"<Outbox in {self._database!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Outbox cannot be pickled or copied; make one in each process")

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
        """Connect, and create the tables if they are missing. Starting twice is an error.

        Raises ``OutboxUnavailableError`` when the database cannot be used.
        """
        if self._started:
            raise ConfigurationError("the outbox was started already; make a new one")
        self._loop = running_loop()
        self._started = True
        try:
            with self._database.translate_errors():
                create_tables = partial(dbos.create_tables, self._database)
                await self._database.call_at_start(create_tables, self._wait_for_database)
                self._is_open = True
        except BaseException:
            await in_a_thread(self._database.close)
            raise

    async def aclose(self) -> None:
        """Disconnect. The items stay. Closing twice is fine.

        Calls that wait for an item here raise ``ClientClosedError``. Cancelling it ends the
        wait, not the closing.
        """
        if self._is_open:
            check_loop(self._loop, "outbox")
        self._started = True  # it cannot be started any more
        self._is_open = False
        try:
            await self._watcher.aclose()
        finally:  # some frameworks cancel a task anew at each await
            await in_a_thread(self._database.close)

    async def _call(self, work: Callable[[], T]) -> T:
        self._check_open()
        with self._database.translate_errors():
            return await self._database.call(work)

    def _check_open(self) -> None:
        if not self._is_open:
            raise ClientClosedError(
                "the outbox is not open; use it as async with, or call start() before"
            )
        check_loop(self._loop, "outbox")

    # Submit

    async def submit(
        self,
        media: MediaLike,
        options: Options | None = None,
        *,
        key: str | None = None,
        priority: int = 0,
    ) -> Item:
        """Store media for a new conversation, which its key names from now on.

        ``media`` is a ``Text``, an ``AudioURL`` or ``VideoURL``, or a file by its path, as
        such or in ``Audio`` or ``Video``, on storage that all workers share; it is read
        once for its SHA-256, and a file that has changed before it is sent is refused. The
        same ``key`` with the same content again returns the existing item.

        Conversations get slots in the order of submission, those of a higher ``priority``
        (-1000 to 1000) first: give a bulk import a negative one, and it delays nothing else.

        Raises ``ConfigurationError`` for a wrong option, bytes or a stream, or a key that has
        other content, and ``MediaRejectedError`` for an unreadable file.
        """
        return await self._submit(None, media, options, key, priority)

    async def append(
        self,
        conversation: str,
        media: MediaLike,
        options: Options | None = None,
        *,
        key: str | None = None,
        priority: int = 0,
    ) -> Item:
        """Store media to append to a conversation, behind all items that it has.

        ``conversation``: the key of the item that opens it, whether or not that was
        accepted yet; or the conversation's id, wherever it was opened. An id that is given
        while the item that opens the conversation still waits for the server's answer is a
        conversation of its own here, with an order of its own. The item is ``BLOCKED`` at once
        if an operator must resolve or retry an earlier one. ``priority`` counts once it is the
        next of its conversation. Else as ``submit``.
        """
        name = check_conversation(conversation)
        return await self._submit(name, media, options, key, priority)

    async def submit_many(self, items: Iterable[Entry] | AsyncIterable[Entry]) -> Entered:
        """Store many items in order, new conversations and appends alike; return their number.

        Each ``Entry`` has the arguments of ``submit`` or ``append``. They are pulled, hashed
        and inserted in chunks of a thousand, each by a few statements in one transaction, so
        neither their number nor their contents are limited by memory. The same keys with the
        same contents again are the existing items: after an error, or a crash, submit all of
        them once more. ``jobs``, ``item`` and ``result`` return their states.

        Raises the errors of ``submit`` and ``append``, with the entry's position and key: its
        chunk is not inserted then, and those before stay. A plain iterable that blocks
        blocks the event loop. Cancelling it ends it after some chunk.
        """
        self._check_open()
        given = new = 0
        inserting: asyncio.Future[int] | None = None
        async with aclosing(encode_chunks(items)) as chunks:
            try:
                async for chunk in chunks:
                    if inserting is not None:
                        new += await inserting
                    given += len(chunk)
                    # While it is inserted, the next one is encoded.
                    work = partial(submit_chunk, self._database, chunk, _current_span())
                    inserting = asyncio.ensure_future(self._call(work))
            finally:  # the error of an earlier chunk is raised, and not that of a later one
                if inserting is not None:
                    new += await inserting
        return Entered(given, new)

    async def _submit(
        self,
        conversation: str | None,
        media: MediaLike,
        options: Options | None,
        key: str | None,
        priority: int,
    ) -> Item:
        # Without a key each call is a new item.
        key = secrets.token_hex(16) if key is None else check_key(key)
        priority = check_priority(priority)
        self._check_open()
        content = await encode(media, options)
        entry = Encoded(key, conversation, content, source_of(media, None), priority)
        return await self._call(partial(self._inserts.submit, entry, _current_span()))

    # Read

    async def item(self, key: str) -> Item:
        """Return an item as it is now. Raises ``NotFoundError`` for an unknown key."""
        row = await self._call(partial(read_item, self._database, check_key(key)))
        return self._database.as_item(row)

    async def result(self, key: str, *, timeout: float | None = None) -> Item:
        """Wait until an item has a final state, and return it.

        Any process may wait, with any number of calls at once. A call that waits already goes
        on waiting while the database is away. Raises ``TimeoutError`` after ``timeout``
        seconds, which changes nothing, and ``NotFoundError`` for an unknown key.
        """
        require_seconds("timeout", timeout, or_none=True)
        key = check_key(key)
        self._check_open()
        async with asyncio.timeout(timeout):
            return self._database.as_item(await self._watcher.wait(key))

    async def events(self, key: str) -> AsyncGenerator[ItemEvent, None]:
        """Yield each state that an item has reached and reaches, until a final one.

        A late caller gets the earlier states, too. Raises ``NotFoundError``.
        """
        key = check_key(key)
        yielded: set[ItemState] = set()
        known: tuple[ItemState, ...] = ()
        while True:
            self._check_open()
            item = self._database.as_item(await self._watcher.wait(key, known))
            for state, at in _reached(item):
                if state not in yielded:
                    yielded.add(state)
                    yield ItemEvent(key, state, at)
            if item.state.is_ending:
                return
            known = (item.state,)

    async def jobs(
        self, *, state: ItemState | None = None, conversation: str | None = None
    ) -> AsyncGenerator[Item, None]:
        """Yield the items in the order of submission: all, or those of a state or conversation.

        ``conversation`` as for ``append``. Items that are submitted meanwhile come at the end,
        or not at all if their transaction ends after later ones were read.
        """
        last = 0
        require("state", state, (ItemState, type(None)), "an ItemState, such as ItemState.FAILED")
        conversation = None if conversation is None else check_conversation(conversation)
        while True:
            page = partial(read_page, self._database, state, conversation, last)
            rows = await self._call(page)
            for row in rows:
                yield self._database.as_item(row)
            # A short page is the last one at the moment of its reading.
            if len(rows) < PAGE:
                return
            last = rows[-1].id

    async def stats(self) -> OutboxStats:
        """Return numbers of items, slots and workers, all of one moment.

        The counts by state read an index of all items (10 ms for 100,000): with millions of
        items call it every few seconds, not more often.
        """
        return await self._call(partial(read_stats, self._database))

    # Operate

    async def pause(self, *, wait: bool = False, timeout: float | None = None) -> None:
        """Stop dispatching slots, in all workers, until ``resume``.

        An item that holds one already is sent, and its job followed; all others wait.
        ``wait``: return when no item holds a slot. Raises ``TimeoutError`` after ``timeout``
        seconds of that; the queue stays paused, as it does if the wait is cancelled.
        """
        require_seconds("timeout", timeout, or_none=True)
        await self._call(partial(queue_control.set_paused, self._database, True))
        async with asyncio.timeout(timeout):
            is_idle = partial(queue_control.is_idle, self._database)
            while wait and not await self._call(is_idle):  # noqa: ASYNC110
                await asyncio.sleep(_IDLE_INTERVAL)

    async def resume(self) -> None:
        """Dispatch slots again. No-op for a queue that was not paused."""
        await self._call(partial(queue_control.set_paused, self._database, False))

    async def doubt_unsent(self) -> int:
        """Put into doubt all items that a restored backup has as unsent; return their number.

        Call it after the backup was restored, before any worker starts: since the backup was
        taken, each of them may have been sent. Its worker looks for evidence of that first, as
        for any item in doubt; without, the item ends ``AMBIGUOUS`` or is sent, by the worker's
        ``on_ambiguous``. The jobs of accepted items are followed as usual. Items submitted
        after the backup are unknown; if they are submitted again, they are sent again.

        Raises ``ConfigurationError`` while a worker is alive.
        """
        return await self._call(partial(queue_control.doubt_unsent, self._database))

    # Webhooks

    async def webhook(self, nonce: str, mark: str, body: bytes) -> int:
        """Record a webhook call that came to any machine; return the status to answer with.

        As ``WebhookReceiver.receive``, which answers a verified call with 204, whether or not
        its item is known. The call wakes the worker that has the item, or the one that will.
        """
        if self._secret is None:
            raise ConfigurationError("webhook_secret is missing; give that of the workers")
        self._check_open()
        call = verify(self._secret, nonce, mark, body)
        if isinstance(call, int):
            return call
        await self.on_webhook(nonce, call)
        return 204

    async def on_webhook(self, nonce: str, call: WebhookCall) -> None:
        """Record a call that ``webhooks.verify`` has returned, as ``webhook`` does."""
        self._check_open()
        ended = JobStatus.parse(call.status).is_terminal
        await self._call(partial(self._webhooks.record, nonce, call.job_id, ended=ended))


def _reached(item: Item) -> list[tuple[ItemState, float]]:
    times = [(ItemState.QUEUED, item.queued_at)]
    if item.accepted_at is not None:
        times.append((ItemState.ACCEPTED, item.accepted_at))
    if item.state.is_ending:
        times.append((item.state, item.ended_at or item.queued_at))
    return times


def _current_span() -> str | None:
    """Return the current span as a ``traceparent``, in a program that uses OpenTelemetry."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"
