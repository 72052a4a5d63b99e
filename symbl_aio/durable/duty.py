"""What a worker does for one item: send it once, find out what became of it, follow its job.

Before the last byte goes out it is noted who sends (``Duty._note``). A crash before the
note proves that nothing was accepted; after it, only evidence tells: a webhook call, the
conversation's own content, the name that only this item can have given.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, TypeVar

import sqlalchemy as sa
from attrs import evolve
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from symbl_aio import (
    AmbiguousSubmissionError,
    AuthenticationError,
    ClientClosedError,
    ConcurrencyLimitError,
    Job,
    JobFailedError,
    JobLostError,
    MediaOptions,
    NotFoundError,
    QueueFullError,
    ServerError,
    SymblClient,
    SymblError,
    Text,
    TextOptions,
    TransportError,
    UploadStalledError,
)
from symbl_aio._core.callbacks import webhook_url
from symbl_aio._core.evidence import Written
from symbl_aio.durable import items
from symbl_aio.durable.engine import Report
from symbl_aio.durable.items import ItemState, Media, Options
from symbl_aio.durable.liveness import Liveness
from symbl_aio.durable.tables import Database

T = TypeVar("T")
Row: TypeAlias = sa.Row[Any]

AfterDoubt: TypeAlias = Literal["at_most_once", "at_least_once"]
"""What to do with an item of which no evidence tells whether it was accepted."""

_LOG = logging.getLogger("symbl_aio.durable")

# Nothing was accepted, and another time it may be: the item is not at fault.
_PASSING: Final = (
    AuthenticationError,
    ConcurrencyLimitError,
    QueueFullError,
    ServerError,
    TransportError,
    UploadStalledError,
)
_SUPERSEDED: Final[Report] = {"state": "superseded", "hears": False}
"""A person had the item queued again; another attempt is its own now."""
_LONGEST_PAUSE: Final = 60.0
_MOST_LISTED: Final = 50_000


class Duty:
    """The steps of ``engine``'s workflow, for one worker. None of them raises.

    ``patience``: seconds between two looks for evidence. ``doubt_for``: seconds after the
    sending at which the look is the last one. ``interval``: seconds that a running job's
    webhook is waited for, before the server is asked.
    """

    def __init__(
        self,
        database: Database,
        client: SymblClient,
        liveness: Liveness,
        worker: str,
        *,
        after_doubt: AfterDoubt,
        patience: float,
        doubt_for: float,
        interval: float,
    ) -> None:
        self.patience = patience
        self.interval = interval
        self.active: set[str] = set()
        self.passed: Callable[[str], None] = lambda _point: None
        """Called at the points where a crash hurts most: tests crash there."""
        self._database = database
        self._client = client
        self._liveness = liveness
        self._worker = worker
        self._after_doubt = after_doubt
        self._doubt_for = doubt_for

    def begin(self, workflow_id: str) -> None:
        """Note that a workflow runs in this process."""
        self.active.add(workflow_id)

    def end(self, workflow_id: str) -> None:
        """Note that it does not any more."""
        self.active.discard(workflow_id)

    # Sending

    async def attempt(self, key: str, attempt: int) -> Report:
        """Send an item, unless it may have been sent before or must not be."""
        row, conversation = await self._load(key)
        if row.attempt != attempt:
            return _SUPERSEDED
        hears = self._hears(row)
        if row.job_id is not None:
            return {"state": "accepted", "hears": hears}
        if row.sent_by is not None:
            return {"state": "unknown", "hears": hears}
        if _blocked(row, conversation) is not None:
            return await self._call_again(lambda: self._write_blocked(key, attempt))
        if (why := await items.check_file(row.content)) is not None:
            return await self._end(key, ItemState.REFUSED, why)
        pause = 1.0
        while True:
            await self._liveness.wait_until_fit()
            try:
                job = await self._send(row, conversation.conversation_id)
            except AmbiguousSubmissionError as error:
                return await self._reconcile(key, error, hears)
            except ClientClosedError:
                await self._forget(key)
                await _for_ever()
            except _PASSING as error:
                await self._forget(key)
                _LOG.warning("item %s waits: %s", key, error)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)
            except SymblError as error:
                await self._forget(key)
                if not isinstance(error.__cause__, _NotNotedError | SQLAlchemyError):
                    return await self._end(key, ItemState.REFUSED, str(error))
                await asyncio.sleep(pause)  # this worker was declared dead, or an outage
            else:
                self.passed("answered")
                await self._accept(key, job.id, job.conversation_id)
                self.passed("accepted")
                return {"state": "accepted", "hears": hears}

    async def _send(self, row: Row, conversation_id: str | None) -> Job:
        media, options = items.read(row.content)
        options = self._with_options_of_ours(row, media, options)

        async def note() -> None:
            if not await self._database.call(lambda: self._note(row.key)):
                raise _NotNotedError
            self.passed("noted")

        if row.opens:
            return await self._client.submit(media, options, before_last_byte=note)
        assert conversation_id is not None
        # What halts is decided by the database, for all workers.
        self._client.conversation(conversation_id).resume_appends()
        return await self._client.append(conversation_id, media, options, before_last_byte=note)

    def _with_options_of_ours(
        self, row: Row, media: Media, options: Options | None
    ) -> Options | None:
        """Add the item's own webhook URL and name, unless the caller has set them."""
        given = options or (TextOptions() if isinstance(media, Text) else MediaOptions())
        config = self._client.config
        if self._hears(row):
            assert config.webhook_base_url is not None
            assert config.webhook_secret is not None
            url = webhook_url(config.webhook_base_url, config.webhook_secret, row.nonce)
            given = evolve(given, webhook_url=url)
        if row.opens and given.name is None:
            given = evolve(given, name=row.key)
        return given

    def _hears(self, row: Row) -> bool:
        config = self._client.config
        if config.webhook_base_url is None or config.webhook_secret is None:
            return False
        _, options = items.read(row.content)
        return options is None or options.webhook_url is None

    def _note(self, key: str) -> bool:
        """Note that this worker is about to send an item whole, if it may."""
        table, workers = self._database.items, self._database.workers
        alive = workers.c.beat > 0.0
        with self._database.begin() as connection:
            # Held to the end of the transaction: nobody declares this worker dead meanwhile.
            me = connection.execute(
                sa.select(workers.c.id)
                .where(workers.c.id == self._worker)
                .where(alive)
                .with_for_update(read=True)
            ).first()
            if me is None:
                return False
            noted = connection.execute(
                sa.update(table)
                .where(table.c.key == key)
                .where(sa.or_(table.c.sent_by.is_(None), table.c.sent_by == self._worker))
                .values(sent_by=self._worker, sent_at=self._database.now)
            )
            return noted.rowcount == 1

    async def _forget(self, key: str) -> None:
        """Take the note back: it is certain that nothing was accepted."""
        table = self._database.items
        await self._change(
            sa.update(table)
            .where(table.c.key == key)
            .where(table.c.sent_by == self._worker)
            .values(sent_by=None, sent_at=None)
        )

    async def _reconcile(self, key: str, error: AmbiguousSubmissionError, hears: bool) -> Report:
        """Take what this process alone can prove; else the database's evidence has its turn."""
        try:
            found = await error.reconcile()
        except ClientClosedError:
            await _for_ever()
        except SymblError:
            return {"state": "unknown", "hears": hears}
        if found.job is not None:
            await self._accept(key, found.job.id, found.conversation_id)
            return {"state": "accepted", "hears": hears}
        return await self._accepted_without_job(key, found.conversation_id, found.how)

    # Finding out

    async def settle(self, key: str, attempt: int, job_id: str | None) -> Report:
        """Look for evidence of acceptance. ``job_id``: what a webhook call has told."""
        row, conversation = await self._load(key)
        if row.attempt != attempt:
            return _SUPERSEDED
        hears = self._hears(row)
        try:
            if row.job_id is not None or (
                job_id is not None and await self._is_ours(job_id, row, conversation)
            ):
                return {"state": "accepted", "hears": hears}
            if row.opens and (found := await self._by_name(row)) is not None:
                return await self._accepted_without_job(key, found, "name")
            if not row.opens and await self._by_content(row, conversation):
                return await self._accepted_without_job(
                    key, conversation.conversation_id, "content"
                )
        except ClientClosedError:
            await _for_ever()
        except SymblError as error:
            _LOG.warning("item %s stays in doubt: %s", key, error)
            return {"state": "unknown", "hears": hears}
        if row.waited < self._doubt_for:
            return {"state": "unknown", "hears": hears}
        if self._after_doubt == "at_least_once":
            table = self._database.items
            await self._change(
                sa.update(table).where(table.c.key == key).values(sent_by=None, sent_at=None)
            )
            return {"state": "again", "hears": hears}
        return await self._end(
            key,
            ItemState.AMBIGUOUS,
            "it was sent whole, and nothing tells whether it was accepted",
        )

    async def _is_ours(self, job_id: str, row: Row, conversation: Row) -> bool:
        """Believe a webhook call if the server knows the job, and no other item owns it."""
        try:
            await self._client.job(job_id).refresh()
        except NotFoundError:
            return False
        conversation_id = conversation.conversation_id
        if row.opens:  # no call names the conversation, but it bears a name of its own
            conversation_id = await self._by_name(row)
            if conversation_id is None:
                return False
        try:
            await self._accept(row.key, job_id, conversation_id)
        except IntegrityError:
            return False
        return True

    async def _by_name(self, row: Row) -> str | None:
        """Find the conversation that an item opened, if only that item can have named it so."""
        if items.name_of(row.content) is not None:
            return None  # the caller's own names may be used every day
        found: set[str] = set()
        listed = 0
        async for info in self._client.conversations(order="desc", page_size=1000):
            if info.name == row.key:
                found.add(info.id)
            listed += 1
            if listed >= _MOST_LISTED:
                return None
        return found.pop() if len(found) == 1 else None

    async def _by_content(self, row: Row, conversation: Row) -> bool:
        """Say whether the conversation holds an item's text, and nothing else can be why."""
        text = items.text_of(row.content)
        if text is None:
            return False
        others = await self._database.call(lambda: self._written_before(row))
        if not others or not others[0].opens:
            return False  # what else is in it, nobody knows
        written = Written()
        for other in others:
            said = items.text_of(other.content)
            if other.opens:
                written.open(conversation.name, other.key, said)
            else:
                written.add(conversation.name, other.key, said)
        messages = await self._client.conversation(conversation.conversation_id).messages()
        return written.proves(
            conversation.name, row.key, text, [message.text for message in messages]
        )

    def _written_before(self, row: Row) -> list[Row]:
        table = self._database.items
        with self._database.begin() as connection:
            return list(
                connection.execute(
                    sa.select(table)
                    .where(table.c.conversation == row.conversation)
                    .where(table.c.number <= row.number)
                    .where(
                        sa.or_(
                            table.c.sent_by.is_not(None),
                            table.c.job_id.is_not(None),
                            table.c.key == row.key,
                        )
                    )
                    .order_by(table.c.number)
                )
            )

    # Following

    async def follow(self, key: str, attempt: int, hears: bool) -> Report:
        """Follow a job: to its end, or by one question if webhooks tell when to ask."""
        row, _ = await self._load(key)
        if row.attempt != attempt:
            return _SUPERSEDED
        self.passed("following")
        job = self._client.job(row.job_id, row.conversation_id)
        try:
            if hears:
                await job.refresh()
                if not job.status.is_terminal:
                    return {"state": "accepted", "hears": True}
            await job
        except JobFailedError as error:
            report = await self._end(key, ItemState.FAILED, str(error))
        except (JobLostError, NotFoundError) as error:
            report = await self._end(key, ItemState.LOST, str(error))
        except ClientClosedError:
            await _for_ever()
        except SymblError as error:
            _LOG.warning("the job of item %s was not answered for: %s", key, error)
            return {"state": "accepted", "hears": hears}
        else:
            report = await self._end(key, ItemState.COMPLETED, None)
        self.passed("ended")
        return report

    # Writing down

    async def _accept(self, key: str, job_id: str | None, conversation_id: str | None) -> None:
        await self._call_again(lambda: self._write_accepted(key, job_id, conversation_id))

    def _write_accepted(self, key: str, job_id: str | None, conversation_id: str | None) -> None:
        table, conversations = self._database.items, self._database.conversations
        with self._database.begin() as connection:
            row = connection.execute(
                sa.update(table)
                .where(table.c.key == key)
                .values(
                    state=ItemState.ACCEPTED.value,
                    job_id=job_id,
                    conversation_id=conversation_id,
                    accepted_at=self._database.now,
                )
                .returning(table.c.opens, table.c.conversation)
            ).one()
            if row.opens:
                connection.execute(
                    sa.update(conversations)
                    .where(conversations.c.name == row.conversation)
                    .values(conversation_id=conversation_id)
                )

    async def _accepted_without_job(
        self, key: str, conversation_id: str | None, how: str
    ) -> Report:
        await self._accept(key, None, conversation_id)
        if how == "content":  # which is there once the job has ended
            return await self._end(key, ItemState.COMPLETED, None)
        return await self._end(
            key, ItemState.LOST, f"it was accepted (proof by {how}), and its job's id is not known"
        )

    async def _end(self, key: str, state: ItemState, why: str | None) -> Report:
        await self._call_again(lambda: self._write_end(key, state, why))
        return {"state": state.value, "hears": False}

    def _write_end(self, key: str, state: ItemState, why: str | None) -> None:
        table, conversations = self._database.items, self._database.conversations
        with self._database.begin() as connection:
            row = connection.execute(
                sa.update(table)
                .where(table.c.key == key)
                .values(state=state.value, error=why, ended_at=self._database.now)
                .returning(table.c.conversation)
            ).one()
            if state is ItemState.AMBIGUOUS:
                connection.execute(
                    sa.update(conversations)
                    .where(conversations.c.name == row.conversation)
                    .values(halted_by=key)
                )

    def _write_blocked(self, key: str, attempt: int) -> Report:
        """End an item as blocked, unless a person undoes at this moment what blocks it."""
        table, conversations = self._database.items, self._database.conversations
        with self._database.begin() as connection:
            name = sa.select(table.c.conversation).where(table.c.key == key).scalar_subquery()
            conversation = connection.execute(
                sa.select(conversations).where(conversations.c.name == name).with_for_update()
            ).one()
            row = connection.execute(sa.select(table).where(table.c.key == key)).one()
            why = _blocked(row, conversation)
            if row.attempt != attempt:
                return _SUPERSEDED
            if why is None:
                return {"state": "again", "hears": False}
            connection.execute(
                sa.update(table)
                .where(table.c.key == key)
                .values(state=ItemState.BLOCKED.value, error=why, ended_at=self._database.now)
            )
            return {"state": ItemState.BLOCKED.value, "hears": False}

    async def _change(self, statement: sa.Update) -> None:
        def write() -> None:
            with self._database.begin() as connection:
                connection.execute(statement)

        await self._call_again(write)

    async def _load(self, key: str) -> tuple[Row, Row]:
        return await self._call_again(lambda: self._read(key))

    def _read(self, key: str) -> tuple[Row, Row]:
        table, conversations = self._database.items, self._database.conversations
        with self._database.begin() as connection:
            row = connection.execute(
                sa.select(table, (self._database.now - table.c.sent_at).label("waited")).where(
                    table.c.key == key
                )
            ).one()
            conversation = connection.execute(
                sa.select(conversations).where(conversations.c.name == row.conversation)
            ).one()
            return row, conversation

    async def _call_again(self, work: Callable[[], T]) -> T:
        """Do what the database is needed for, as soon as it is there. A step never fails."""
        pause = 0.1
        while True:
            try:
                return await self._database.call(work)
            except IntegrityError:
                raise
            except SQLAlchemyError as error:
                _LOG.warning("the database cannot be reached (%s)", type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(5.0, 2 * pause)


class _NotNotedError(Exception):
    """This worker was declared dead, or another one has the item: it must not send."""


def _blocked(row: Row, conversation: Row) -> str | None:
    if conversation.halted_by is not None:
        return f"item {conversation.halted_by} of the conversation is ambiguous; resolve it"
    if not row.opens and conversation.conversation_id is None:
        return "the item that was to open the conversation did not; retry that"
    return None


async def _for_ever() -> None:
    """Wait for the end of this process: whoever takes over goes on from what is recorded."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")
