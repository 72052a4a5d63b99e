"""Send one item, once: the only place of a worker that submits anything.

Before the last byte goes out, the intent to send is recorded in the database. A crash before
that proves that nothing was accepted; after it only evidence can show it (``reconcile``).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from attrs import Factory, define, evolve

from symbl_aio import (
    AmbiguousSubmissionError,
    AppendBlockedError,
    AuthenticationError,
    ClientClosedError,
    ConcurrencyLimitError,
    FileChangedError,
    FileUnavailableError,
    Job,
    MediaOptions,
    Options,
    QueueFullError,
    ServerError,
    SymblClient,
    SymblError,
    Text,
    TextOptions,
    TransportError,
    UploadStalledError,
)
from symbl_aio._log import Log
from symbl_aio._outage import Outage
from symbl_aio._protocol.webhook_calls import webhook_url
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.tables import Row
from symbl_aio.durable._store.attempt_records import AttemptRecords
from symbl_aio.durable.content import Content, UnknownContentError
from symbl_aio.durable.heartbeat import Heartbeat
from symbl_aio.durable.items import Attempt

_LOG = Log("symbl_aio.durable")

# Nothing was accepted, and a later try may succeed: the item is not at fault.
_TRANSIENT: Final = (
    AppendBlockedError,
    AuthenticationError,
    ConcurrencyLimitError,
    FileUnavailableError,
    QueueFullError,
    ServerError,
    TransportError,
    UploadStalledError,
)


class NotAcceptedError(Exception):
    """Nothing of an item was accepted. ``is_final``: another try would fail alike."""

    def __init__(self, why: str, *, is_final: bool) -> None:
        super().__init__(why)
        self.is_final = is_final


@define(eq=False)
class _Intent:
    """The intent of one try to send an item's last byte."""

    token: str
    """Stored in the database: it names the try."""
    failed: bool = False
    """Whether it could not be recorded."""
    abandoned: bool = False
    """Whether the try has ended."""
    changing: threading.Lock = Factory(threading.Lock)
    """Held while a statement about it runs, in whichever thread."""


class Sender:
    """Sends the items of one worker."""

    checkpoint: Callable[[str], None] = staticmethod(lambda _point: None)
    """Called at the points where a crash is most harmful: tests crash there."""

    def __init__(
        self,
        database: Database,
        records: AttemptRecords,
        client: SymblClient,
        heartbeat: Heartbeat,
        worker: str,
    ) -> None:
        self.client = client
        self.outage = Outage()
        self._database = database
        self._records = records
        self._heartbeat = heartbeat
        self._worker = worker
        self._tries = itertools.count(1)

    def has_webhook(self, content: Content) -> bool:
        """Return whether an item carries a webhook URL of ours."""
        config = self.client.config
        if config.webhook_base_url is None or config.webhook_secret is None:
            return False
        return not content.is_given("webhook_url")

    async def send(self, attempt: Attempt, row: Row, content: Content) -> Job:
        """Send an item, and return its job. In an outage the item waits for its turn.

        Raises ``NotAcceptedError`` when nothing was accepted, ``AmbiguousSubmissionError`` when
        that is unknown, and ``ClientClosedError`` while the worker stops. Only after the second
        an intent is left.
        """
        try:
            await self.outage.admit(attempt)
            job = await self._send_once(attempt, row, content)
        finally:
            self.outage.release(attempt)
        self.outage.accepted()
        return job

    async def _send_once(self, attempt: Attempt, row: Row, content: Content) -> Job:
        self.checkpoint("sending")
        token = f"{self._worker}/{next(self._tries)}"
        intent = _Intent(token)
        try:
            return await self._send(row, content, partial(self._record_intent, attempt, intent))
        except AmbiguousSubmissionError:  # the intent stays: it is the reason to reconcile
            if self.outage.unanswered(attempt):
                _LOG.warning(
                    "no usable answers: items are sent one at a time until one is accepted"
                )
            raise
        except ClientClosedError:
            await self._clear_intent(attempt, intent)
            raise
        except FileChangedError:
            await self._clear_intent(attempt, intent)
            raise NotAcceptedError(content.changed, is_final=True) from None
        except UnknownContentError as error:  # before anything was sent
            raise NotAcceptedError(str(error), is_final=False) from error
        except SymblError as error:
            await self._clear_intent(attempt, intent)
            is_final = not isinstance(error, _TRANSIENT) and not intent.failed
            raise NotAcceptedError(str(error), is_final=is_final) from error

    async def _send(
        self, row: Row, content: Content, before_last_byte: Callable[[], Awaitable[None]]
    ) -> Job:
        media, options = content.media, self._options(row, content)
        if row.opens:
            return await self.client.submit(media, options, before_last_byte=before_last_byte)
        # Order and halts of a conversation are the database's, for all workers.
        self.client.conversation(row.target).resume_appends()
        return await self.client.append(
            row.target, media, options, before_last_byte=before_last_byte
        )

    def _options(self, row: Row, content: Content) -> Options | None:
        """Return the caller's options, with the item's webhook URL and name if they are not set."""
        given, config = content.options, self.client.config
        missing: dict[str, Any] = {}
        if self.has_webhook(content):
            assert config.webhook_base_url is not None
            assert config.webhook_secret is not None
            missing["webhook_url"] = webhook_url(
                config.webhook_base_url, config.webhook_secret, row.nonce
            )
        # The key as name is evidence that only this item opened the conversation.
        if row.opens and not content.is_given("name"):
            missing["name"] = row.key
        if given is not None:
            return evolve(given, **missing) if missing else given
        # Made with all of it at once, since each making validates all fields.
        make = TextOptions if isinstance(content.media, Text) else MediaOptions
        return make(**missing) if missing else None

    async def _record_intent(self, attempt: Attempt, intent: _Intent) -> None:
        # Until proven otherwise: an exception of the database leaves it so.
        intent.failed = True
        self.outage.check(attempt)
        recorded = await self._database.call(partial(self._record, attempt, intent))
        # A worker that was paused since then, for however long, must not send the last byte.
        if not recorded or intent.abandoned or not self._heartbeat.is_fresh():
            raise _IntentRefusedError
        intent.failed = False
        self.checkpoint("intent")

    def _record(self, attempt: Attempt, intent: _Intent) -> bool:
        with intent.changing:
            return not intent.abandoned and self._records.record_intent(attempt, intent.token)

    async def _clear_intent(self, attempt: Attempt, intent: _Intent) -> None:
        """Clear the intent: it is certain that nothing was accepted."""
        # First, so that a record that waits for its thread is not made after all.
        intent.abandoned = True
        await self._heartbeat.call(partial(self._clear, attempt, intent))

    def _clear(self, attempt: Attempt, intent: _Intent) -> None:
        with intent.changing:  # a record that still runs comes before it
            self._records.clear_intent(attempt, intent.token)


class _IntentRefusedError(Exception):
    """This worker was evicted, or another one has the item: it must not send."""
