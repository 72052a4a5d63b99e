"""An outbox inside a web service, and a worker for it in the same process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from attrs import field, frozen, validators

import symbl_aio  # for annotations alone: what they name is imported when they are evaluated
from symbl_aio import Config, ConfigurationError, CredentialsLike, SymblError
from symbl_aio._fields import a_word, check, is_a, is_int, is_number, is_text

if TYPE_CHECKING:  # an extra, imported when a service has an outbox
    import symbl_aio.durable

_LOG = logging.getLogger("symbl_aio.contrib")
_ENGINE: Final = ("dbos", "psycopg", "sqlalchemy")
_seconds = check(is_number, "a number of seconds")
_PAUSE: Final = 5.0
"""Seconds before a worker that could not come back tries again."""


@frozen(kw_only=True)
class Durable:
    """What a service needs for an outbox. Credentials and webhooks are those of its client.

    ``database`` and ``schema`` are those of ``durable.Outbox``, the other settings those of
    ``durable.Worker``. ``worker=False`` hands in only, and ``symbl-aio worker`` sends:
    needed where several processes of a service share an SQLite file, or where the program
    runs DBOS for itself.
    """

    database: str = field(
        repr=False,
        kw_only=False,
        validator=check(is_text, 'a URL such as "sqlite:///outbox.db"', secret=True),
    )
    """URL of the SQLite file or PostgreSQL database; not shown in ``repr``."""
    schema: str = field(default="symbl_aio", validator=a_word)
    """Schema of the tables in PostgreSQL."""
    queue: str = field(default="symbl", validator=a_word)
    """Queue of the account, where several share a PostgreSQL database."""
    worker: bool = field(default=True, validator=is_a(bool, "True or False"))
    """Whether this process sends too, or only hands in."""
    concurrency: int = field(default=50, validator=check(is_int, "an int of 1 or more"))
    """Items that are sent at once, 1 or more."""
    on_ambiguous: symbl_aio.durable.OnAmbiguous = field(
        default="at_most_once",
        validator=check(
            lambda v: v in ("at_most_once", "at_least_once"), '"at_most_once" or "at_least_once"'
        ),
    )
    """Whether an item of unknown outcome is sent again."""
    ambiguity_timeout: float = field(default=120.0, validator=_seconds)
    """Seconds for which proof of acceptance is looked for."""
    worker_timeout: float = field(default=15.0, validator=_seconds)
    """Seconds after which a silent worker is taken for dead."""
    heartbeat: float | None = field(default=None, validator=validators.optional(_seconds))
    """Seconds between two signs of life; ``None``: a third of ``worker_timeout``."""
    retention: float = field(default=7 * 86400.0, validator=_seconds)
    """Seconds for which ended items, and their keys, are remembered."""
    poll_interval: float = field(default=5.0, validator=_seconds)
    """Seconds between two looks for work that nothing has told of."""

    async def open(self, credentials: CredentialsLike | None, config: Config) -> OpenOutbox:
        """Open the outbox and start the worker.

        Raises ``ConfigurationError`` without the extra, and whatever ``Outbox`` and
        ``Worker`` raise when they start.
        """
        try:
            from symbl_aio.durable import Outbox, Worker
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _ENGINE:
                raise
            raise ConfigurationError(
                f"durable needs {error.name}, which is not installed; "
                "pip install '.[durable]' in a checkout of symbl-aio"
            ) from None

        def worker() -> symbl_aio.durable.Worker:
            return Worker(
                self.database,
                credentials,
                config=config,
                schema=self.schema,
                queue=self.queue,
                concurrency=self.concurrency,
                on_ambiguous=self.on_ambiguous,
                ambiguity_timeout=self.ambiguity_timeout,
                worker_timeout=self.worker_timeout,
                heartbeat=self.heartbeat,
                retention=self.retention,
                poll_interval=self.poll_interval,
            )

        first = worker() if self.worker else None
        outbox = Outbox(
            self.database,
            schema=self.schema,
            queue=self.queue,
            webhook_secret=config.webhook_secret,
        )
        await outbox.start()
        opened = OpenOutbox(outbox)
        if first is not None:
            try:
                await first.start()
            except BaseException:
                await outbox.aclose()
                raise
            opened.keep_at_work(first, worker)
        return opened


class OpenOutbox:
    """An open outbox, and the worker that works for it here, if any."""

    def __init__(self, outbox: symbl_aio.durable.Outbox) -> None:
        self.outbox = outbox
        self._timeout = 0.0
        self._keeper: asyncio.Task[None] | None = None

    def keep_at_work(
        self, worker: symbl_aio.durable.Worker, anew: Callable[[], symbl_aio.durable.Worker]
    ) -> None:
        """Look after a worker that has started, until ``aclose``."""
        self._keeper = asyncio.create_task(self._keep(worker, anew))

    async def _keep(
        self, worker: symbl_aio.durable.Worker, anew: Callable[[], symbl_aio.durable.Worker]
    ) -> None:
        """Start another one when this one had to end: no supervisor restarts it."""
        while True:
            why = "was taken for dead"
            try:
                await worker.wait_until_dead()
            except SymblError as error:
                why = "was ended"
                _LOG.error("the worker of this service has ended: %s", error)
            finally:
                await worker.aclose(self._timeout)
            worker = await self._start(anew)
            _LOG.warning("the worker %s, and is back as %s", why, worker.id)

    async def _start(
        self, anew: Callable[[], symbl_aio.durable.Worker]
    ) -> symbl_aio.durable.Worker:
        while True:
            worker = anew()
            try:
                await worker.start()
            except Exception as error:
                why = error if isinstance(error, SymblError) else type(error).__name__
                _LOG.warning("the worker cannot come back yet (%s)", why)
                await asyncio.sleep(_PAUSE)
            else:
                return worker

    async def webhook(self, nonce: str, mark: str, body: bytes) -> int:
        """Hand on a webhook call, and give the status to answer: 503 without the database."""
        try:
            return await self.outbox.webhook(nonce, mark, body)
        except Exception as error:
            if isinstance(error, ConfigurationError) and error.__cause__ is None:
                raise  # called on another event loop than the service's
            _LOG.warning("a webhook call could not be kept (%s)", type(error).__name__)
            return 503

    async def aclose(self, timeout: float) -> None:
        """Stop the worker, its uploads within ``timeout`` seconds, and close the outbox."""
        self._timeout = timeout
        try:
            if self._keeper is not None:
                self._keeper.cancel()
                await asyncio.wait([self._keeper])
                if not self._keeper.cancelled():
                    self._keeper.result()
        finally:
            await self.outbox.aclose()


def describe(item: symbl_aio.durable.Item) -> dict[str, str | None]:
    """Tell a visitor about an item: not why it failed, which may name files of this machine."""
    return {
        "key": item.key,
        "state": item.state.value,
        "conversation_id": item.conversation_id,
        "job_id": item.job_id,
    }
