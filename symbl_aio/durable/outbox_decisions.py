"""An operator's decisions about items of an outbox, one or many: resolve, retry, discard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar, overload

from symbl_aio import ConfigurationError
from symbl_aio._protocol.calls import check_id
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store.decisions import Decision, Decisions, Discard, Resolve, Retry
from symbl_aio.durable.items import (
    Decided,
    Item,
    ItemFilter,
    Which,
    check_key,
    unknown_key,
)

T = TypeVar("T")


class Resolution:
    """The part of ``Outbox`` that changes items by an operator's decision."""

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
        """Record whether ambiguous items were accepted, and unblock their conversations.

        ``which``: a key, several keys, or an ``ItemFilter``. ``accepted=False``: the server
        does not have it, and it is sent again. ``True``: the server has it; with ``job_id``
        that job is followed, without it the item counts as completed. An item that opens a
        conversation needs ``conversation_id``; both ids are for one key alone. Items that were
        blocked behind it are queued again, in order.

        Returns the item; of several a ``Decided``, since an error in one stops no other. They
        are changed in batches of whole conversations: cancelling it, and an error, undo no
        batch that is done. ``dry_run`` returns the same, and changes nothing.

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

        A failed or lost item was accepted once, and the server may have its content; so it may
        that of an item that was ambiguous before it was discarded. So an ``ItemFilter`` without
        ``state`` selects refused and blocked items. Items that were blocked behind one are
        queued again, too. Else as ``resolve``.

        Raises ``ConfigurationError`` for one item in any other state (``resolve`` is for
        ambiguous ones), and while another item must be resolved or retried first.
        ``NotFoundError`` for one unknown key.
        """
        return await self._decide(Retry(), which, dry_run)

    @overload
    async def discard(self, which: str, *, dry_run: bool = False) -> Item: ...
    @overload
    async def discard(self, which: Which, *, dry_run: bool = False) -> Decided: ...
    async def discard(self, which: str | Which, *, dry_run: bool = False) -> Item | Decided:
        """Discard items: they are never sent, and the items behind them continue.

        For queued, blocked and ambiguous items; of the last it stays unknown whether the
        server has them, so an ``ItemFilter`` without ``state`` selects the other two. An upload
        that has begun runs up to its last byte, and is then aborted. Appends to a conversation
        that a discarded item should have opened are blocked until that item is retried, or
        they are discarded, too. The keys stay used. Else as ``resolve``.

        Raises ``ConfigurationError`` for one item that is being sent or has another final
        state, and ``NotFoundError`` for one unknown key.
        """
        return await self._decide(Discard(), which, dry_run)

    async def _decide(self, decision: Decision, which: Any, dry_run: bool) -> Item | Decided:
        decisions = Decisions(self._database)
        # One key raises its error; of several each has its own reason.
        if isinstance(which, str):
            one = partial(decisions.decide_one, decision, check_key(which), dry_run=dry_run)
            return await self._call(one)
        refused: dict[str, str] = {}
        if isinstance(which, ItemFilter):
            batches = await self._call(partial(decisions.batches, decision, which))
        elif isinstance(which, Iterable) and not isinstance(which, bytes):
            keys = list(dict.fromkeys(check_key(key) for key in which))
            batches, unknown = await self._call(partial(decisions.batches_of, keys))
            refused |= {key: unknown_key(key) for key in unknown}
        else:
            raise ConfigurationError(
                f"key is {which!r}; give a key, several keys, or an ItemFilter"
            )
        items: list[Item] = []
        resumed = 0
        # One transaction each, so that workers and producers get the locks in between.
        for batch in batches:
            result = await self._call(partial(decisions.decide, decision, batch, dry_run=dry_run))
            items += result.items
            resumed += result.resumed
            refused |= result.refused
        return Decided(tuple(items), resumed, refused, dry_run)
