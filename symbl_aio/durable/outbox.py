"""Hand in what is to be sent, from any process; and see what became of it, from any other."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import Final, NoReturn, Self, TypeVar

from symbl_aio import (
    ClientClosedError,
    Config,
    ConfigurationError,
    JobStatus,
    WebhookReceiver,
)
from symbl_aio._fields import require, require_seconds
from symbl_aio._threads import in_a_thread
from symbl_aio._waiting import check_loop
from symbl_aio.durable import content as contents
from symbl_aio.durable import control, tracing
from symbl_aio.durable._database import dbos as engine
from symbl_aio.durable._database.database import QUEUE_NAME, SCHEMA, Database
from symbl_aio.durable._store.reads import PAGE, Looking, Row
from symbl_aio.durable._store.submit import Entering
from symbl_aio.durable._store.submit_many import enter_all
from symbl_aio.durable._store.watcher import Known, Watcher
from symbl_aio.durable.content import Options
from symbl_aio.durable.entries import Entered, Entry, encode
from symbl_aio.durable.hearing import hear
from symbl_aio.durable.items import Item, ItemEvent, ItemState
from symbl_aio.durable.naming import check_conversation, check_key, check_priority
from symbl_aio.durable.resolution import Decisions
from symbl_aio.durable.stats import OutboxStats, stats
from symbl_aio.media import MediaLike

T = TypeVar("T")

_LOOK_AGAIN: Final = 0.25
"""Seconds between two looks whether a paused queue is idle."""


class Outbox(Decisions):
    """A queue of submissions in a database, that survives whatever dies.

    ``database``: ``sqlite:///outbox.db``, or ``postgresql://user@host/name`` when several
    machines share the work; ``schema`` keeps two applications on one PostgreSQL apart, and
    ``queue`` two accounts of one application: each has workers, slots and pauses of its own,
    and a key belongs to one of them. Any
    number of processes may have one; none sends anything, which is what a ``Worker`` does.
    ``webhook_secret``: that of the workers, for ``webhook``; without it
    ``SYMBL_WEBHOOK_SECRET``.

    What is handed in is sent, in each conversation in the order of its handing in, once:
    after a crash an item is sent again only if it is certain that the server did not take
    it. Else its state is ``AMBIGUOUS``, what follows it in its conversation is ``BLOCKED``,
    and a person says what is true (``resolve``).

    Content, and the names of files, are stored in the database; tokens and secrets never.
    Use it as ``async with``, or call ``start`` and ``aclose``; before and after, all else
    raises ``ClientClosedError``, and on another event loop ``ConfigurationError``. Cancelling
    a call that waits changes nothing; one that writes may have written. While the database is
    away, calls raise ``OutboxUnavailableError``.
    """

    def __init__(
        self,
        database: str,
        *,
        schema: str = SCHEMA,
        queue: str = QUEUE_NAME,
        webhook_secret: str | None = None,
    ) -> None:
        # Which says what is wrong with a secret.
        given = Config(webhook_base_url=None)
        if webhook_secret is not None:
            given = given.evolve(webhook_secret=webhook_secret)
        self._secret = given.webhook_secret
        self._database = Database(database, schema, queue=queue)
        self._looking = Looking(self._database)
        self._is_open = False
        self._started = False
        self._watcher = Watcher(self._news)
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
        """Connect; make the tables if they are missing. Starting twice is an error.

        Raises ``OutboxUnavailableError`` when the database cannot be used.
        """
        if self._started:
            raise ConfigurationError("the outbox was started already; make a new one")
        self._started = True
        self._loop = asyncio.get_running_loop()
        try:
            with self._database.telling():
                await self._database.call(partial(engine.migrate, self._database))
                self._is_open = True
        except BaseException:
            await in_a_thread(self._database.close)
            raise

    async def aclose(self) -> None:
        """Disconnect. What was handed in stays. Closing twice is fine.

        Who waits for an item here is told by ``ClientClosedError``.
        """
        if self._is_open:
            check_loop(self._loop, "outbox")
        self._started = True  # and over
        self._is_open = False
        await self._watcher.aclose()
        await in_a_thread(self._database.close)

    async def _call(self, work: Callable[[], T]) -> T:
        self._opened()
        with self._database.telling():
            return await self._database.call(work)

    def _opened(self) -> None:
        if not self._is_open:
            raise ClientClosedError(
                "the outbox is not open; use it as async with, or call start() before"
            )
        check_loop(self._loop, "outbox")

    # Handing in

    async def submit(
        self,
        media: MediaLike,
        options: Options | None = None,
        *,
        key: str | None = None,
        priority: int = 0,
    ) -> Item:
        """Hand in media for a new conversation, which its key names from now on.

        ``media`` is a ``Text``, an ``AudioURL`` or ``VideoURL``, or a file by its path, as
        such or in ``Audio`` or ``Video``, on storage that all workers share; it is read
        once for its SHA-256, and what is not the same when its turn comes is refused. The
        same ``key`` with the same content again gives the item that is there.

        Conversations get slots in the order of their handing in, those of a higher
        ``priority`` (-1000 to 1000) first: give a bulk import a negative one, and it keeps
        up nothing else.

        Raises ``ConfigurationError`` for a wrong option, what another machine could not
        send, or a key that was used for something else, and ``MediaRejectedError`` for an
        unreadable file.
        """
        return await self._hand_in(None, media, options, key, priority)

    async def append(
        self,
        conversation: str,
        media: MediaLike,
        options: Options | None = None,
        *,
        key: str | None = None,
        priority: int = 0,
    ) -> Item:
        """Hand in media to be added to a conversation, behind all that was handed in for it.

        ``conversation``: the key of the item that opens it, whether or not that was
        accepted yet; or the conversation's id, wherever it was opened. An id that is given
        while the item that opens the conversation still waits for the server's answer is a
        conversation of its own here, with an order of its own. An item that a person must
        resolve or retry before it leaves it ``BLOCKED`` at once. ``priority`` counts once it
        is the next of its conversation. Else as ``submit``.
        """
        name = check_conversation(conversation)
        return await self._hand_in(name, media, options, key, priority)

    async def submit_many(self, items: Iterable[Entry] | AsyncIterable[Entry]) -> Entered:
        """Hand in many, in their order: new conversations and appends alike; count them.

        Each ``Entry`` is what ``submit`` or ``append`` would be given. They are pulled, hashed
        and entered in chunks of a thousand, each by a few statements in one transaction, so
        neither their number nor their contents are limited by memory. The same keys with the
        same contents again are the items that are there: after an error, or a crash, hand in
        all of them once more. Then ``jobs``, ``item`` and ``result`` tell what became of them.

        Raises what ``submit`` and ``append`` raise, with the entry's position and key: of its
        chunk nothing is entered then, and those before stay. A plain iterable that blocks
        holds up the event loop. Cancelling it ends it after some chunk.
        """
        self._opened()
        given = new = 0
        entering: asyncio.Future[int] | None = None
        async with aclosing(encode(items)) as chunks:
            try:
                async for chunk in chunks:
                    if entering is not None:
                        new += await entering
                    given += len(chunk)
                    # While it is entered, the next one is encoded.
                    work = partial(enter_all, self._database, chunk, tracing.current_span())
                    entering = asyncio.ensure_future(self._call(work))
            finally:  # what is wrong with an earlier chunk is told, and not with a later one
                if entering is not None:
                    new += await entering
        return Entered(given, new)

    async def _hand_in(
        self,
        conversation: str | None,
        media: MediaLike,
        options: Options | None,
        key: str | None,
        priority: int,
    ) -> Item:
        key = secrets.token_hex(16) if key is None else check_key(key)
        priority = check_priority(priority)
        self._opened()
        content = await contents.write(media, options)
        enter = Entering(self._database).enter
        span = tracing.current_span()
        return await self._call(partial(enter, conversation, content, key, priority, span))

    # Looking

    async def item(self, key: str) -> Item:
        """Give an item as it is now. Raises ``NotFoundError`` for an unknown key."""
        row = await self._call(partial(self._looking.row, check_key(key)))
        return self._database.as_item(row)

    async def result(self, key: str, *, timeout: float | None = None) -> Item:
        """Wait until an item has ended, in whatever way, and give it.

        Any process may ask, any number at once. Who waits already goes on waiting while the
        database is away. Raises ``TimeoutError`` after ``timeout`` seconds, which changes
        nothing, and ``NotFoundError`` for an unknown key.
        """
        require_seconds("timeout", timeout, or_none=True)
        key = check_key(key)
        watcher = self._watching()
        async with asyncio.timeout(timeout):
            return self._database.as_item(await watcher.wait(key))

    async def events(self, key: str) -> AsyncGenerator[ItemEvent, None]:
        """Yield each state that an item has reached and reaches, until it ends.

        Whoever comes late gets what was before. Raises ``NotFoundError``.
        """
        key = check_key(key)
        told: set[ItemState] = set()
        known: tuple[ItemState, ...] = ()
        while True:
            item = self._database.as_item(await self._watching().wait(key, known))
            for state, at in _reached(item):
                if state not in told:
                    told.add(state)
                    yield ItemEvent(key, state, at)
            if item.state.is_ending:
                return
            known = (item.state,)

    def _watching(self) -> Watcher:
        self._opened()
        return self._watcher

    async def _news(self, groups: Mapping[Known, Sequence[str]]) -> Sequence[Row]:
        return await self._call(partial(self._looking.news, groups))

    async def jobs(
        self, *, state: ItemState | None = None, conversation: str | None = None
    ) -> AsyncGenerator[Item, None]:
        """Go through the items, in the order of their handing in: all, or those of a kind.

        ``conversation`` as for ``append``. What is handed in meanwhile comes at the end.
        """
        last = 0
        require("state", state, (ItemState, type(None)), "an ItemState, such as ItemState.FAILED")
        conversation = None if conversation is None else check_conversation(conversation)
        while True:
            rows = await self._call(partial(self._looking.page, state, conversation, last))
            for row in rows:
                yield self._database.as_item(row)
            if len(rows) < PAGE:
                return
            last = rows[-1].id

    async def stats(self) -> OutboxStats:
        """Count what is there, by indexes: two statements.

        The counts by state read an index of all items (10 ms for 100,000): of a database of
        millions ask every few seconds, not more often.
        """
        return await self._call(partial(stats, self._database))

    # Operating

    async def pause(self, *, wait: bool = False, timeout: float | None = None) -> None:
        """Begin nothing new, in all workers, until ``resume``.

        What holds one already is sent, and its job followed. What is handed in waits.
        ``wait``: until no item holds a slot. Raises ``TimeoutError`` after ``timeout``
        seconds of that; the queue stays paused, as it does if the wait is cancelled.
        """
        await self._call(partial(control.set_paused, self._database, True))
        async with asyncio.timeout(timeout):
            is_idle = partial(control.is_idle, self._database)
            while wait and not await self._call(is_idle):  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_AGAIN)

    async def resume(self) -> None:
        """Begin new work again; harmless for a queue that was not paused."""
        await self._call(partial(control.set_paused, self._database, False))

    async def doubt_unsent(self) -> int:
        """Put all into doubt that a restored backup takes for unsent; return how many those are.

        Call it after the backup was put back, before any worker starts: since the backup was
        taken, each of them may have been sent. Before one is sent its worker looks for
        evidence that it was, as of any item in doubt; without, it ends ``AMBIGUOUS``, or is
        sent, as the worker's ``on_ambiguous`` says. What had been accepted is followed as
        ever. What was handed in after the backup is not known here; if it is handed in
        again, it is sent again.

        Raises ``ConfigurationError`` while a worker is alive.
        """
        return await self._call(partial(control.doubt_unsent, self._database))

    # Hearing

    async def webhook(self, nonce: str, mark: str, body: bytes) -> int:
        """Take in a webhook call that came to any machine; give the status to answer with.

        As ``WebhookReceiver.receive``, whose word for a genuine call is 204, whether or not
        its item is known. It wakes the worker that has the item, or the one that will.
        """
        if self._secret is None:
            raise ConfigurationError("webhook_secret is missing; give that of the workers")
        self._opened()
        heard: list[tuple[str, str, str]] = []
        receiver = WebhookReceiver(lambda *call: heard.append(call), self._secret)
        status = receiver.receive(nonce, mark, body)
        for nonce, job_id, raw_status in heard:
            ended = JobStatus.parse(raw_status).is_terminal
            await self._call(partial(hear, self._database, nonce, job_id, ended=ended))
        return status


def _reached(item: Item) -> list[tuple[ItemState, float]]:
    times = [(ItemState.QUEUED, item.queued_at)]
    if item.accepted_at is not None:
        times.append((ItemState.ACCEPTED, item.accepted_at))
    if item.state.is_ending:
        times.append((item.state, item.ended_at or item.queued_at))
    return times
