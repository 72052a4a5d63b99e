"""Hand in what is to be sent, from any process; and see what became of it, from any other."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypeGuard, TypeVar

from dbos import DBOSClient

from symbl_aio import (
    ClientClosedError,
    Config,
    ConfigurationError,
    JobStatus,
    OutboxUnavailableError,
    WebhookReceiver,
)
from symbl_aio._core.endpoints import check_id
from symbl_aio._fields import is_word
from symbl_aio._threads import in_a_thread
from symbl_aio._waiting import check_loop
from symbl_aio.durable import contents, engine
from symbl_aio.durable.contents import Options
from symbl_aio.durable.deciding import Deciding
from symbl_aio.durable.entering import Entering
from symbl_aio.durable.faults import passes
from symbl_aio.durable.hearing import hear
from symbl_aio.durable.items import Item, ItemEvent, ItemState
from symbl_aio.durable.looking import PAGE, Looking, OutboxStats
from symbl_aio.durable.tables import SCHEMA, Database
from symbl_aio.media import MediaLike

T = TypeVar("T")

_LOOK_AGAIN: Final = 0.25
"""Seconds between two looks at an item, where nothing tells that it has changed."""
_LONGEST_NAME: Final = 200
_MOST_PRIORITY: Final = 1000
_LONGEST_WAIT: Final = 5.0
"""Seconds between two looks at an item whose end is told, but for one that is taken back."""


class Outbox:
    """A queue of submissions in a database, that survives whatever dies.

    ``database``: ``sqlite:///outbox.db``, or ``postgresql://user@host/name`` when several
    machines share the work; ``schema`` keeps two applications on one PostgreSQL apart. Any
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
        self, database: str, *, schema: str = SCHEMA, webhook_secret: str | None = None
    ) -> None:
        # Which says what is wrong with a secret.
        given = Config(webhook_base_url=None)
        if webhook_secret is not None:
            given = given.evolve(webhook_secret=webhook_secret)
        self._secret = given.webhook_secret
        self._database = Database(database, schema)
        self._looking = Looking(self._database)
        self._client: DBOSClient | None = None
        self._started = False
        self._closed = asyncio.Event()
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
                self._client = await self._database.call(partial(engine.connect, self._database))
        except BaseException:
            await in_a_thread(self._database.close)
            raise

    async def aclose(self) -> None:
        """Disconnect. What was handed in stays. Closing twice is fine.

        Who waits for an item here is told by ``ClientClosedError``.
        """
        if self._client is not None:
            check_loop(self._loop, "outbox")
        self._started = True  # and over
        self._closed.set()
        client, self._client = self._client, None
        if client is not None:
            await self._database.call(client.destroy)
        await in_a_thread(self._database.close)

    async def _call(self, work: Callable[[], T]) -> T:
        self._opened()
        with self._database.telling():
            return await self._database.call(work)

    def _opened(self) -> DBOSClient:
        if self._client is None:
            raise ClientClosedError(
                "the outbox is not open; use it as async with, or call start() before"
            )
        check_loop(self._loop, "outbox")
        return self._client

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
        name = _check_conversation(conversation)
        return await self._hand_in(name, media, options, key, priority)

    async def _hand_in(
        self,
        conversation: str | None,
        media: MediaLike,
        options: Options | None,
        key: str | None,
        priority: int,
    ) -> Item:
        key = secrets.token_hex(16) if key is None else _check_key(key)
        priority = _check_priority(priority)
        self._opened()
        content = await contents.write(media, options)
        enter = Entering(self._database).enter
        return await self._call(partial(enter, conversation, content, key, priority))

    # Looking

    async def item(self, key: str) -> Item:
        """Give an item as it is now. Raises ``NotFoundError`` for an unknown key."""
        row = await self._call(partial(self._looking.row, _check_key(key)))
        return self._database.as_item(row)

    async def result(self, key: str, *, timeout: float | None = None) -> Item:
        """Wait until an item has ended, in whatever way, and give it.

        Any process may ask, any number at once. Who waits already goes on waiting while the
        database is away. Raises ``TimeoutError`` after ``timeout`` seconds, which changes
        nothing, and ``NotFoundError`` for an unknown key.
        """
        look = partial(self._looking.row, _check_key(key))
        async with asyncio.timeout(timeout):
            row = await self._call(look)
            while not ItemState(row.state).is_ending:
                try:
                    if self._database.is_sqlite:  # which tells nobody
                        await self._unless_closed(asyncio.sleep(_LOOK_AGAIN))
                    else:
                        attempt = engine.workflow_id(key, row.attempt)
                        with self._database.telling():
                            await self._unless_closed(
                                engine.wait(self._opened(), attempt, _LONGEST_WAIT)
                            )
                    row = await self._call(look)
                except OutboxUnavailableError as error:
                    if error.__cause__ is not None and not passes(error.__cause__):
                        raise
                    await self._unless_closed(asyncio.sleep(_LONGEST_WAIT))
        return self._database.as_item(row)

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
            await self._unless_closed(asyncio.sleep(_LOOK_AGAIN))

    async def _unless_closed(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for something, or until the outbox is closed."""
        waiting, closed = asyncio.ensure_future(work), asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait([waiting, closed], return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
        finally:
            waiting.cancel()
            closed.cancel()
            await asyncio.gather(waiting, closed, return_exceptions=True)

    async def jobs(
        self, *, state: ItemState | None = None, conversation: str | None = None
    ) -> AsyncGenerator[Item, None]:
        """Go through the items, in the order of their handing in: all, or those of a kind.

        ``conversation`` as for ``append``. What is handed in meanwhile comes at the end.
        """
        last = 0
        conversation = None if conversation is None else _check_conversation(conversation)
        while True:
            rows = await self._call(partial(self._looking.page, state, conversation, last))
            for row in rows:
                yield self._database.as_item(row)
            if len(rows) < PAGE:
                return
            last = rows[-1].id

    async def stats(self) -> OutboxStats:
        """Count what is there."""
        return await self._call(self._looking.stats)

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
        for nonce, job_id, raw_status in heard:
            ended = JobStatus.parse(raw_status).is_terminal
            await self._call(partial(hear, self._database, client, nonce, job_id, ended=ended))
        return status

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
        deciding = Deciding(self._database)
        return await self._decide(
            partial(deciding.resolve, _check_key(key), accepted, conversation_id, job_id)
        )

    async def retry(self, key: str) -> Item:
        """Send an item again that was refused, failed, was lost, blocked, or discarded.

        A failed or lost one was accepted once, and its content may be there; so may that of
        one that was ambiguous before it was discarded. What was
        blocked behind it is queued again, too. Raises ``ConfigurationError`` for any
        other state, an ambiguous item is for ``resolve``; and while another item has to be
        resolved or sent again before. ``NotFoundError`` for an unknown key.
        """
        decide = Deciding(self._database).retry
        return await self._decide(partial(decide, _check_key(key)))

    async def discard(self, key: str) -> Item:
        """Take an item back: the server does not get it any more, and what is behind it goes on.

        For what is queued, blocked or ambiguous; of the last it stays unknown whether the
        server has it. An upload that has begun goes on to its last byte, and is then broken
        off. What was to be added to a conversation that it should have opened is
        blocked until that is retried, or is discarded, too. The key stays used. Raises
        ``ConfigurationError`` for an item that is being sent or has come to another end,
        and ``NotFoundError`` for an unknown key.
        """
        decide = Deciding(self._database).discard
        return await self._decide(partial(decide, _check_key(key)))

    async def _decide(self, work: Callable[[], Item]) -> Item:
        return await self._call(partial(self._database.until_not_stuck, work))


def _reached(item: Item) -> list[tuple[ItemState, float]]:
    times = [(ItemState.QUEUED, item.queued_at)]
    if item.accepted_at is not None:
        times.append((ItemState.ACCEPTED, item.accepted_at))
    if item.state.is_ending:
        times.append((item.state, item.ended_at or item.queued_at))
    return times


def _check_conversation(conversation: object) -> str:
    if not _is_name(conversation):
        raise ConfigurationError(
            f"conversation is {conversation!r}; give the key of the item that opens it, "
            "or the conversation's id"
        )
    return conversation


def _check_key(key: object) -> str:
    if not _is_name(key):
        raise ConfigurationError(
            f"key is {key!r}; give a non-empty string of at most {_LONGEST_NAME} "
            "characters, none of them a control character or line break"
        )
    return key


def _check_priority(priority: object) -> int:
    if type(priority) is not int or abs(priority) > _MOST_PRIORITY:
        raise ConfigurationError(
            f"priority is {priority!r}; give a whole number from -{_MOST_PRIORITY} "
            f"to {_MOST_PRIORITY}, the higher the sooner"
        )
    return priority


def _is_name(given: object) -> TypeGuard[str]:
    return is_word(given) and len(given) <= _LONGEST_NAME
