"""Look for proof that an item of unknown outcome was accepted. Positive proof alone counts.

What one process cannot know, the database does: what all workers sent to a conversation,
and which jobs and conversations belong to other items.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import Final, Literal

from attrs import frozen

from symbl_aio import NotFoundError, SymblClient
from symbl_aio._core.evidence import Written
from symbl_aio.durable import content as contents
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._store.attempts import Records, Row

_MOST_LISTED: Final = 50_000
_SKEW: Final = 60.0
"""Seconds that the server's clock may be behind the database's. One that is further behind
proves nothing; one that is ahead could prove by a conversation that was begun before."""


@frozen
class Found:
    """What was accepted: its conversation, and its job if that is known.

    By ``content`` its job has ended, too.
    """

    conversation_id: str
    job_id: str | None
    how: Literal["webhook", "name", "content"]


class Proof:
    """Finds out what became of what one worker, or any other, has sent."""

    def __init__(self, database: Database, records: Records, client: SymblClient) -> None:
        self._database = database
        self._records = records
        self._client = client

    async def of(self, row: Row, heard: str | None) -> Found | None:
        """Return proof that an item was accepted. ``heard``: the job that a webhook call told of.

        Raises ``SymblError`` when the server could not be asked.
        """
        if heard is not None and await self._is_its_own(heard, row):
            target = await self._by_name(row, certain=True) if row.opens else row.target
            if target is not None:
                return Found(target, heard, "webhook")
        if row.opens:
            target = await self._by_name(row)
            if target is None:
                return None
            is_read = bool(await self._client.conversation(target).messages())
            return Found(target, None, "content" if is_read else "name")
        return Found(row.target, None, "content") if await self._by_content(row) else None

    async def _is_its_own(self, job_id: str, row: Row) -> bool:
        """Believe a webhook call if the server knows the job, and no other item owns it."""
        owner = await self._database.call(partial(self._records.owner, job_id=job_id))
        if owner not in (None, row.key):
            return False
        try:
            await self._client.job_status(job_id)
        except NotFoundError:
            return False
        return True

    async def _by_name(self, row: Row, *, certain: bool = False) -> str | None:
        """Find the conversation that an item opened: the one of its name that it can be.

        ``certain``: there is one. Else the item's own key proves it, but no name that the
        caller has given and may give every day.
        """
        given = contents.name_of(row.content)
        if given is not None and not certain:
            return None
        name = row.key if given is None else given
        since = row.sent_at if row.maybe_sent_since is None else row.maybe_sent_since
        not_before = since - _SKEW
        found: set[str] = set()
        listed = 0
        newest = self._client.conversations(order="desc", page_size=1000)
        async with aclosing(newest):
            async for info in newest:
                if info.start_time is None or info.start_time.timestamp() < not_before:
                    break  # and so are all that follow
                if info.name == name:
                    found.add(info.id)
                listed += 1
                if listed >= _MOST_LISTED:
                    return None
        unclaimed = [
            one
            for one in found
            if not await self._database.call(partial(self._records.is_claimed, one))
        ]
        return unclaimed[0] if len(unclaimed) == 1 else None

    async def _by_content(self, row: Row) -> bool:
        """Say whether the conversation holds an item's text, and nothing else can be why."""
        text = contents.text_of(row.content)
        if text is None or row.attempt > 1:  # an earlier attempt may have written it
            return False
        others = await self._database.call(partial(self._records.written, row))
        if others is None:
            return False
        written = Written()
        for other in others:
            said = contents.text_of(other.content)
            if other.opens:
                written.open(row.conversation, other.key, said)
            else:
                written.add(row.conversation, other.key, said)
        messages = await self._client.conversation(row.target).messages()
        found = [message.text for message in messages]
        return written.proves(row.conversation, row.key, text, found)
