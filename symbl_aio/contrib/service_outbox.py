"""An outbox inside a web service, with a worker for it in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import field, frozen, validators

import symbl_aio  # for annotations: ``typing.get_type_hints`` imports the modules they name
from symbl_aio import (
    Config,
    ConfigurationError,
    CredentialsLike,
    Event,
    ItemEnded,
    SymblError,
)
from symbl_aio._callback_checks import observers_of
from symbl_aio._fields import a_word, check, is_a, is_int, is_number, is_text
from symbl_aio._log import Log
from symbl_aio._protocol.webhook_calls import WebhookCall

if TYPE_CHECKING:  # an extra, imported when a service has an outbox
    import symbl_aio.durable

_LOG = Log("symbl_aio.contrib")
_seconds = check(is_number, "a number of seconds")
_RESTART_DELAY: Final = 5.0
"""Seconds between two attempts to restart the worker."""


ItemObserver: TypeAlias = Callable[[Event | ItemEnded], None]


def _checked(observers: Sequence[ItemObserver]) -> tuple[ItemObserver, ...]:
    return observers_of(observers)  # whose parameter would be that of ``Durable``: any object


# Not kw_only for all: before attrs 25.4 no field of its own overrides that.
@frozen
class Durable:
    """The settings of a service's outbox. Credentials and webhooks are those of its client.

    ``database`` and ``schema`` are those of ``durable.Outbox``, the other settings those of
    ``durable.Worker``. With ``worker=False`` the service only stores items, and
    ``symbl-aio worker`` sends them: needed where the program runs DBOS for itself. Of several
    processes that share an SQLite file one has the worker; when it ends, another one does.
    """

    database: str = field(
        repr=False,
        validator=check(is_text, 'a URL such as "sqlite:///outbox.db"', secret=True),
    )
    """URL of the SQLite file or PostgreSQL database; not shown in ``repr``."""
    schema: str = field(kw_only=True, default="symbl_aio", validator=a_word)
    """Schema of the tables in PostgreSQL."""
    queue: str = field(kw_only=True, default="symbl", validator=a_word)
    """Queue of the account, where several share a PostgreSQL database."""
    worker: bool = field(kw_only=True, default=True, validator=is_a(bool, "True or False"))
    """Whether this process sends items, or only stores them."""
    concurrency: int = field(
        kw_only=True, default=50, validator=check(is_int, "an int of 1 or more")
    )
    """Items that are sent at once, 1 or more."""
    on_ambiguous: symbl_aio.durable.OnAmbiguous = field(
        kw_only=True,
        default="at_most_once",
        validator=check(
            lambda v: v in ("at_most_once", "at_least_once"), '"at_most_once" or "at_least_once"'
        ),
    )
    """Whether an item of unknown outcome is sent again."""
    ambiguity_timeout: float = field(kw_only=True, default=120.0, validator=_seconds)
    """Seconds for which proof of acceptance is looked for."""
    worker_timeout: float = field(kw_only=True, default=15.0, validator=_seconds)
    """Seconds after which a silent worker is taken for dead."""
    heartbeat: float | None = field(
        kw_only=True, default=None, validator=validators.optional(_seconds)
    )
    """Seconds between two signs of life; ``None``: a third of ``worker_timeout``."""
    retention: float = field(kw_only=True, default=7 * 86400.0, validator=_seconds)
    """Seconds for which ended items, and their keys, are remembered."""
    poll_interval: float = field(kw_only=True, default=5.0, validator=_seconds)
    """Seconds between two looks for work that nothing has told of."""
    wait_for_database: float = field(kw_only=True, default=30.0, validator=_seconds)
    """Seconds that the service waits for a PostgreSQL that is away when it starts."""
    observers: Sequence[ItemObserver] = field(kw_only=True, default=(), converter=_checked)
    """Plain functions that are called in the worker's own thread, with the events of its client
    and each ``ItemEnded``. Those of the service are called for the service's client alone."""

    async def open(self, credentials: CredentialsLike | None, config: Config) -> OpenOutbox:
        """Open the outbox and start the worker.

        Raises ``ConfigurationError`` without the extra, and the errors with which ``Outbox``
        and ``Worker`` start.
        """
        try:
            from symbl_aio.durable import Outbox, Worker
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("symbl_aio"):  # a defect, not a missing extra
                raise
            raise ConfigurationError(
                f"durable needs {error.name}, which is not installed; "
                "pip install '.[durable]' in a checkout of symbl-aio"
            ) from None

        def new_worker() -> symbl_aio.durable.Worker:
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
                wait_for_database=self.wait_for_database,
                observers=self.observers,
            )

        # First, so that a wrong setting fails before the outbox is open.
        worker = new_worker() if self.worker else None
        outbox = Outbox(
            self.database,
            schema=self.schema,
            queue=self.queue,
            webhook_secret=config.webhook_secret,
            wait_for_database=self.wait_for_database,
        )
        await outbox.start()
        opened = OpenOutbox(outbox, new_worker, self.poll_interval)
        if worker is not None:
            try:
                await opened.work(worker)
            except BaseException:
                await outbox.aclose()
                raise
        return opened


class OpenOutbox:
    """An open outbox, and the supervisor of its worker, if it has one in this process."""

    def __init__(
        self,
        outbox: symbl_aio.durable.Outbox,
        new_worker: Callable[[], symbl_aio.durable.Worker],
        poll_interval: float,
    ) -> None:
        self.outbox = outbox
        self._new_worker = new_worker
        self._poll_interval = poll_interval
        self._upload_timeout = 0.0
        self._supervisor: asyncio.Task[None] | None = None

    async def work(self, worker: symbl_aio.durable.Worker) -> None:
        """Start a worker, and replace it when it stops, until ``aclose``.

        While the worker of another process has the SQLite file, none starts here. Raises the
        errors with which ``Worker`` starts.
        """
        try:
            await worker.start()
        except ConfigurationError as error:
            # In a rolling restart the process before this one still has it, and a server may
            # end all of a service of which one process does not start.
            if not error.has_other_worker:
                raise
            _LOG.warning("this process stores items, and sends none meanwhile: %s", error)
            self._supervisor = asyncio.create_task(self._supervise(None))
        else:
            self._supervisor = asyncio.create_task(self._supervise(worker))

    async def _supervise(self, worker: symbl_aio.durable.Worker | None) -> None:
        # A process would be restarted by its supervisor; a worker inside a service has none.
        while True:
            if worker is not None:
                try:
                    await worker.wait_until_dead()
                    _LOG.warning("the worker of this service was taken for dead")
                except SymblError as error:
                    _LOG.error("the worker of this service has ended: %s", error)
                finally:
                    await worker.aclose(self._upload_timeout)
            worker = await self._restart()
            _LOG.warning("the worker of this service is %s now", worker.id)

    async def _restart(self) -> symbl_aio.durable.Worker:
        while True:
            worker = self._new_worker()
            try:
                await worker.start()
            except Exception as error:
                if isinstance(error, ConfigurationError) and error.has_other_worker:
                    await asyncio.sleep(self._poll_interval)
                    continue
                why = error if isinstance(error, SymblError) else type(error).__name__
                _LOG.warning("the worker cannot come back yet (%s)", why)
                await asyncio.sleep(_RESTART_DELAY)
            else:
                return worker

    async def on_webhook(self, nonce: str, call: WebhookCall) -> int:
        """Record a verified call, and return the status to answer: 503 without the database."""
        try:
            await self.outbox.on_webhook(nonce, call)
            return 204
        except Exception as error:
            if isinstance(error, ConfigurationError) and error.__cause__ is None:
                raise  # called on another event loop than the service's
            _LOG.warning("a webhook call could not be kept (%s)", type(error).__name__)
            return 503

    async def aclose(self, timeout: float) -> None:
        """Stop the worker, with up to ``timeout`` seconds for its uploads, and close the outbox."""
        self._upload_timeout = timeout
        try:
            if self._supervisor is not None:
                self._supervisor.cancel()
                await asyncio.wait([self._supervisor])
                if not self._supervisor.cancelled():
                    self._supervisor.result()  # raises an unexpected error
        finally:
            await self.outbox.aclose()


def describe(item: symbl_aio.durable.Item) -> dict[str, str | None]:
    """Return an item for a visitor, without its error, which may name files of this machine."""
    return {
        "key": item.key,
        "state": item.state.value,
        "conversation_id": item.conversation_id,
        "job_id": item.job_id,
    }
