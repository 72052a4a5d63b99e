"""What a person decides about items of an outbox, one or many: resolve, retry, discard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar, overload

from symbl_aio import ConfigurationError
from symbl_aio._protocol.calls import check_id
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store.resolution import Deciding, Decision, Discard, Resolve, Retry
from symbl_aio.durable.items import Item
from symbl_aio.durable.naming import check_key, no_item
from symbl_aio.durable.selection import Decided, ItemFilter, Which

T = TypeVar("T")


class Decisions:
    """The decisions of an ``Outbox``."""

    _database: Database

    async def _call(self, work: Callable[[], T]) -> T:
        raise NotImplementedError

    @overload
    async def resolve(
        self,
        which: str,
        *,
        accepted: bool,
        conversation_id: str | None = None,
        job_id: str | None = None,
        dry_run: bool = False,
    ) -> Item: ...
    @overload
    async def resolve(self, which: Which, *, accepted: bool, dry_run: bool = False) -> Decided: ...
    async def resolve(
        self,
        which: str | Which,
        *,
        accepted: bool,
        conversation_id: str | None = None,
        job_id: str | None = None,
        dry_run: bool = False,
    ) -> Item | Decided:
        """Record what became of ambiguous items, and let their conversations go on.

        ``which``: a key, several keys, or an ``ItemFilter``. ``accepted=False``: the server
        does not have it, and it is sent again. ``True``: it has; with ``job_id`` that job is
        followed, without it the item is taken for completed. For an item that opens a
        conversation, ``conversation_id`` is needed; both are for one key alone. What was
        blocked behind it is queued again, in order.

        Returns the item; of several, what was changed and what was refused (``Decided``), since
        what is wrong with one of them stops no other. They are changed in parts, whole
        conversations at a time: cancelling it, and an error, undo no part that is done.
        ``dry_run`` returns the same, and changes nothing.

        Raises ``ConfigurationError`` for one item that is not ambiguous, ids that are missing
        or do not belong to it, and ``NotFoundError`` for one unknown key.
        """
        if not isinstance(accepted, bool):
            raise ConfigurationError(f"accepted is {accepted!r}; give True or False")
        if not accepted and (conversation_id is not None or job_id is not None):
            raise ConfigurationError(
                "conversation_id and job_id are of an accepted item; leave them out"
            )
        for name, given in (("conversation_id", conversation_id), ("job_id", job_id)):
            if given is not None:
                check_id(name, given)
                if not isinstance(which, str):
                    raise ConfigurationError(
                        "conversation_id and job_id are of one item; give its key alone"
                    )
        return await self._decide(Resolve(accepted, conversation_id, job_id), which, dry_run)

    @overload
    async def retry(self, which: str, *, dry_run: bool = False) -> Item: ...
    @overload
    async def retry(self, which: Which, *, dry_run: bool = False) -> Decided: ...
    async def retry(self, which: str | Which, *, dry_run: bool = False) -> Item | Decided:
        """Send items again that were refused, failed, were lost, blocked, or discarded.

        A failed or lost one was accepted once, and its content may be there; so may that of
        one that was ambiguous before it was discarded. So an ``ItemFilter`` without ``state``
        means what was refused or is blocked. What was blocked behind an item is queued again,
        too. Else as ``resolve``.

        Raises ``ConfigurationError`` for one item in any other state, an ambiguous one is for
        ``resolve``; and while another item has to be resolved or sent again before.
        ``NotFoundError`` for one unknown key.
        """
        return await self._decide(Retry(), which, dry_run)

    @overload
    async def discard(self, which: str, *, dry_run: bool = False) -> Item: ...
    @overload
    async def discard(self, which: Which, *, dry_run: bool = False) -> Decided: ...
    async def discard(self, which: str | Which, *, dry_run: bool = False) -> Item | Decided:
        """Discard items: the server does not get them any more, and what is behind goes on.

        For what is queued, blocked or ambiguous; of the last it stays unknown whether the
        server has it, so an ``ItemFilter`` without ``state`` means the other two. An upload
        that has begun goes on to its last byte, and is then broken off. What was to be added
        to a conversation that a discarded item should have opened is blocked until that is
        retried, or is discarded, too. The keys stay used. Else as ``resolve``.

        Raises ``ConfigurationError`` for one item that is being sent or has come to another
        end, and ``NotFoundError`` for one unknown key.
        """
        return await self._decide(Discard(), which, dry_run)

    async def _decide(self, decision: Decision, which: Any, dry_run: bool) -> Item | Decided:
        deciding = Deciding(self._database)
        if isinstance(which, str):
            one = partial(deciding.decide_one, decision, check_key(which), dry_run=dry_run)
            return await self._call(one)
        refused: dict[str, str] = {}
        if isinstance(which, ItemFilter):
            shares = await self._call(partial(deciding.shares, decision, which))
        elif isinstance(which, Iterable) and not isinstance(which, bytes):
            keys = list(dict.fromkeys(check_key(key) for key in which))
            shares, unknown = await self._call(partial(deciding.shares_of, keys))
            refused |= {key: no_item(key) for key in unknown}
        else:
            raise ConfigurationError(
                f"key is {which!r}; give a key, several keys, or an ItemFilter"
            )
        items: list[Item] = []
        resumed = 0
        for share in shares:
            done = await self._call(partial(deciding.decide, decision, share, dry_run=dry_run))
            items += done.items
            resumed += done.resumed
            refused |= done.refused
        return Decided(tuple(items), resumed, refused, dry_run)
