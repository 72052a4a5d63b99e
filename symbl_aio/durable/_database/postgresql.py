"""How PostgreSQL is reached: no wait for it is endless, and a pooler is noticed.

The kernel's timeouts notice a machine or a network that is gone. They do not notice a proxy
or a server that hangs, whose kernel still acknowledges. So a statement that had no answer
for a while is compared with a new connection: if that is not answered either, the database
is silent, and all who wait for it get an error. A statement that is merely slow goes on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ, DefaultSelector
from socket import SHUT_RDWR, socket
from threading import current_thread
from time import monotonic
from typing import Any, Final, TypeVar
from weakref import WeakSet

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy import event, exc

T = TypeVar("T")

IDLE_TRANSACTION: Final = 5.0
"""Seconds after which PostgreSQL ends a transaction of one who was paused in the middle of it,
so that it holds up nobody who takes over."""
THREADS: Final = "symbl_aio database"
"""Name of the threads in which our own calls are made."""
_IDLE: Final = 1.0
"""Seconds after which an unused connection is tried before it is used again."""
_AGAIN: Final = 0.5
_LEAST_CONNECTING: Final = 2
"""Of seconds: less is not possible with libpq."""
_IDLING: Final = f"idle_in_transaction_session_timeout = {int(1000 * IDLE_TRANSACTION)}"


class Connections:
    """The connections of one process to a PostgreSQL database.

    ``silence``: seconds without an answer after which a new connection is tried. What the
    kernel waits for is three times as long at most; parameters of the URL are left alone.
    """

    def __init__(self, url: sa.URL, silence: float) -> None:
        self._silence = silence
        missing = {
            name: str(value)
            for name, value in {
                "connect_timeout": max(_LEAST_CONNECTING, round(silence)),
                "keepalives": 1,
                "keepalives_idle": max(1, round(silence)),
                "keepalives_interval": max(1, round(silence / 2)),
                "keepalives_count": 4,
                "tcp_user_timeout": round(3000 * silence),
            }.items()
            if name not in url.query
        }
        self.url = url.set(drivername="postgresql+psycopg").update_query_dict(missing)
        """With the kernel's timeouts, for connections that are made elsewhere."""
        self._settings = self.url.get_dialect()().create_connect_args(self.url)[1]
        self.is_pooled = False
        """Whether a pooler is between: then a session's state is not kept. Known once connected."""
        self.is_patient = False
        """Whether other threads than ours wait for the database to come back, rather than raise."""
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._open: WeakSet[_Connection] = WeakSet()
        self._watcher: threading.Thread | None = None
        self.silent_at = 0.0
        """When the database was found to be silent: what was connected before is not used."""

    def make_engine(self, size: int) -> sa.Engine:
        """Make a pool of at most ``size`` connections, which connects when it is first used."""
        engine = sa.create_engine(self.url, pool_size=size, max_overflow=0, hide_parameters=True)
        event.listen(engine, "do_connect", self._connect_patiently)
        event.listen(engine, "connect", self._prepare)
        event.listen(engine, "begin", self._limit_idling)
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", partial(self._try_if_idle, engine.dialect))
        return engine

    def end(self) -> None:
        """End each wait for an answer with an error, at once; and connect no more."""
        self._ended.set()
        for connection in self._waiting():
            connection.cut()

    # Connecting

    def _connect(
        self, _dialect: object, _record: object, arguments: Any, settings: Any
    ) -> psycopg.Connection[Any]:
        if self._ended.is_set():
            raise psycopg.InterfaceError("the connections to the database were ended")
        connection = _Connection.connect(*arguments, **settings)
        connection.ended = self._ended
        with self._lock:
            self._open.add(connection)
            if self._watcher is None:
                self._watcher = threading.Thread(
                    target=self._watch, name="symbl_aio silence", daemon=True
                )
                self._watcher.start()
        return connection

    def _connect_patiently(
        self, dialect: object, record: object, arguments: Any, settings: Any
    ) -> psycopg.Connection[Any]:
        """Connect; for the engine underneath as soon as it is possible, once ``is_patient``.

        That waits longer after each error, up to a minute and a half.
        """
        is_patient = self.is_patient and not current_thread().name.startswith(THREADS)
        while True:
            try:
                return self._connect(dialect, record, arguments, settings)
            except psycopg.OperationalError:
                if not is_patient or self._ended.wait(_AGAIN):
                    raise

    def _prepare(self, connection: psycopg.Connection[Any], record: Any) -> None:
        record.info["opened"] = monotonic()
        connection.autocommit = True
        (pid,) = connection.execute("select pg_backend_pid()").fetchone() or (0,)
        # A pooler tells a client another process than the one that answers.
        self.is_pooled = pid != connection.info.backend_pid
        if self.is_pooled:
            connection.prepare_threshold = None
        else:
            connection.execute(f"set {_IDLING}".encode())
        connection.autocommit = False

    def _limit_idling(self, connection: sa.Connection) -> None:
        """Limit a transaction by itself, where the next one may have another session."""
        if not self.is_pooled:
            return
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql(f"set local {_IDLING}")

    def _try_if_idle(
        self, dialect: sa.Dialect, connection: Any, record: Any, _proxy: object
    ) -> None:
        """Refuse a connection that was cut while it was idle, as ``pool_pre_ping`` does.

        That asks each time, which is most of what an idle worker would ask. Of a connection
        that was closed the socket tells it; a pooler keeps it open, so that one is asked.
        """
        if record.info.get("opened", 0.0) < self.silent_at:
            raise exc.DisconnectionError
        if monotonic() - record.info.get("used", 0.0) < _IDLE:
            return
        if not self.is_pooled:
            if is_readable(connection.pgconn.socket):
                raise exc.DisconnectionError
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise exc.DisconnectionError from error

    # Waiting

    def _watch(self) -> None:
        while not self._ended.wait(self._silence / 5):
            self._look()

    def _look(self) -> None:
        """Cut the connections that wait in vain, if the database answers nobody."""
        now = monotonic()
        doubted = [
            connection
            for connection in self._waiting()
            if connection.asks and now - max(connection.since, connection.vouched) > self._silence
        ]
        if not doubted:
            return
        if self._answers():
            for connection in doubted:
                connection.vouched = monotonic()
            return
        self.silent_at = monotonic()
        for connection in self._waiting():
            # Who listens has nothing to wait for: it would not notice that nothing comes.
            if not connection.asks or connection.since <= now:
                connection.cut()

    def _waiting(self) -> list[_Connection]:
        with self._lock:
            return [connection for connection in self._open if connection.since]

    def _answers(self) -> bool:
        """Return whether a new connection is answered."""
        try:
            with _Brief.connect(**self._settings, autocommit=True) as connection:
                connection.until = monotonic() + self._silence
                connection.execute("select 1")
        except psycopg.Error as error:
            return "FATAL" in str(error)  # it is there, and takes no more connections
        return True


class _Connection(psycopg.Connection[Any]):
    """A connection that others can see wait, and cut."""

    ended: threading.Event
    since: float = 0.0
    """When its present wait began, zero between two."""
    vouched: float = 0.0
    """When another connection was answered, while this one was not."""

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **settings: Any) -> T:
        self.since = monotonic()
        try:
            if self.ended.is_set():  # seen here, or this wait is seen by who has set it
                raise psycopg.InterfaceError("the connections to the database were ended")
            return super().wait(gen, *arguments, **settings)
        finally:
            self.since = 0.0

    @property
    def asks(self) -> bool:
        """Whether an answer is to come, as it is not for who listens."""
        return self.pgconn.transaction_status == TransactionStatus.ACTIVE

    def cut(self) -> None:
        """End its present wait as if the server had closed the connection."""
        since = self.since
        with suppress(OSError, psycopg.Error), socket(fileno=os.dup(self.pgconn.socket)) as found:
            # Only if that wait still goes on was the number that of its socket.
            if since and self.since == since:
                found.shutdown(SHUT_RDWR)


class _Brief(psycopg.Connection[Any]):
    """A connection that waits until a certain time."""

    until: float = 0.0

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **settings: Any) -> T:
        return super().wait(self._briefly(gen), *arguments, **settings)

    def _briefly(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        try:
            state = next(gen)
            while True:
                ready = yield state
                if not ready and monotonic() > self.until:  # asked ten times a second
                    self.pgconn.finish()
                    raise psycopg.OperationalError("the database does not answer")
                state = gen.send(ready)
        except StopIteration as ended:
            value: T = ended.value
            return value


def is_readable(handle: int) -> bool:
    """Return whether something came over a socket that nobody has read: of an idle one, its end."""
    with DefaultSelector() as selector:
        selector.register(handle, EVENT_READ)
        return bool(selector.select(0))


def _note_use(_connection: object, record: Any) -> None:
    record.info["used"] = monotonic()
