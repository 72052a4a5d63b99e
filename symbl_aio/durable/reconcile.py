"""Reconcile an item of unknown outcome: look for evidence that it was accepted.

Only positive evidence counts. The database holds what no single process knows: what all
workers sent to a conversation, and which jobs and conversations belong to other items.
"""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal

from attrs import frozen

from symbl_aio import NotFoundError, SymblClient
from symbl_aio._core.acceptance_evidence import SentTexts
from symbl_aio._protocol.calls import DEFAULT_WINDOW
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.tables import Row
from symbl_aio.durable._store.attempt_records import AttemptRecords
from symbl_aio.durable.content import Content

_MAX_LISTED: Final = 50_000
"""Conversations that are read at most; in a longer list nothing counts as found."""
_SKEW: Final = 60.0
"""Seconds that the server's clock may be behind the database's. One that is further behind
yields no evidence; one that is ahead could accept a conversation that was begun before."""


@frozen
class Evidence:
    """An accepted item's conversation, and its job if that is known."""

    conversation_id: str
    """The server's id of the conversation."""
    job_id: str | None
    """The job, ``None`` if only its result was found."""
    kind: Literal["webhook", "name", "content"]
    """By ``content`` the job has completed, too."""


class Reconciler:
    """Looks for evidence about items that any worker has sent."""

    def __init__(self, database: Database, records: AttemptRecords, client: SymblClient) -> None:
        self._database = database
        self._records = records
        self._client = client

    async def find(self, row: Row, content: Content, reported: str | None) -> Evidence | None:
        """Return evidence that an item was accepted, if any.

        ``reported``: the job id that a webhook call reported. Raises ``SymblError`` when the
        server does not answer.
        """
        if reported is not None and await self._is_own_job(reported, row):
            target = (
                await self._find_by_name(row, content, certain=True) if row.opens else row.target
            )
            if target is not None:
                return Evidence(target, reported, "webhook")
        if row.opens:
            target = await self._find_by_name(row, content)
            if target is None:
                return None
            is_processed = bool(await self._client.conversation(target).messages())
            return Evidence(target, None, "content" if is_processed else "name")
        is_there = await self._is_in_conversation(row, content)
        return Evidence(row.target, None, "content") if is_there else None

    async def _is_own_job(self, job_id: str, row: Row) -> bool:
        """Return whether the server knows a reported job, and no other item has it."""
        owner = await self._database.call(partial(self._records.job_owner, job_id=job_id))
        if owner not in (None, row.key):
            return False
        # The URL of the call is authenticated, its body is not: the server has to know the job.
        try:
            await self._client.job_status(job_id)
        except NotFoundError:
            return False
        return True

    async def _find_by_name(
        self, row: Row, content: Content, *, certain: bool = False
    ) -> str | None:
        """Return the one conversation of its name that an item can have opened.

        ``certain``: it is known that there is one. Otherwise only the item's own key as its
        name is evidence: the caller may give any other name every day.
        """
        given = content.name
        if given is not None and not certain:
            return None
        name = row.key if given is None else given
        since = row.sent_at if row.maybe_sent_since is None else row.maybe_sent_since
        not_before = since - _SKEW
        found: set[str] = set()
        listed = 0
        # Further back than the API lists by itself, for an item that was sent before.
        oldest = min(datetime.fromtimestamp(not_before, UTC), datetime.now(UTC) - DEFAULT_WINDOW)
        newest = self._client.conversations(start_time=oldest, order="desc", page_size=1000)
        async with aclosing(newest):
            async for info in newest:
                if info.start_time is None or info.start_time.timestamp() < not_before:
                    break  # all that follow are older
                if info.name == name:
                    found.add(info.id)
                listed += 1
                if listed >= _MAX_LISTED:
                    return None
        unclaimed = [
            one
            for one in found
            if not await self._database.call(partial(self._records.is_known_conversation, one))
        ]
        # Of several, none is certain to be the item's.
        return unclaimed[0] if len(unclaimed) == 1 else None

    async def _is_in_conversation(self, row: Row, content: Content) -> bool:
        """Return whether the conversation holds an item's text, which no other item explains."""
        text = content.text
        if text is None or row.attempt > 1:  # an earlier attempt may have written it
            return False
        others = await self._database.call(partial(self._records.sent_items, row))
        if others is None:
            return False
        written = SentTexts()
        for other in others:
            sent = Content(other.content).text
            if other.opens:
                written.open(row.conversation, other.key, sent)
            else:
                written.add(row.conversation, other.key, sent)
        messages = await self._client.conversation(row.target).messages()
        found = [message.text for message in messages]
        return written.proves(row.conversation, row.key, text, found)
