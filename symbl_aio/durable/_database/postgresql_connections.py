"""Connections to PostgreSQL: no wait for an answer is endless, and a pooler is detected.

The kernel's timeouts notice a machine or a network that is gone. They do not notice a proxy
or a server that hangs, whose kernel still acknowledges. So after a while without an answer
a new connection is tried: if that has no answer either, the database is silent, and each
waiting statement fails. A statement that is merely slow goes on.
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
"""Seconds after which PostgreSQL ends an idle transaction: a process that was paused in the middle
of one must not hold up the worker that takes over."""
THREADS: Final = "symbl_aio database"
"""Name of the threads in which ``Database.call`` runs."""
_IDLE: Final = 1.0
"""Seconds after which an unused connection is tested before it is used again."""
_RECONNECT_PAUSE: Final = 0.5
_MIN_CONNECT_TIMEOUT: Final = 2
"""Seconds: libpq allows no less."""
_IDLE_LIMIT: Final = f"idle_in_transaction_session_timeout = {int(1000 * IDLE_TRANSACTION)}"


class Connections:
    """The connections of one process to a PostgreSQL database.

    ``silence``: seconds without an answer after which a new connection is tried. The kernel's
    timeouts are three times as long at most; parameters that the URL sets are kept.
    """

    def __init__(self, url: sa.URL, silence: float) -> None:
        self._silence = silence
        missing = {
            name: str(value)
            for name, value in {
                "connect_timeout": max(_MIN_CONNECT_TIMEOUT, round(silence)),
                "keepalives": 1,
                "keepalives_idle": max(1, round(silence)),
                "keepalives_interval": max(1, round(silence / 2)),
                "keepalives_count": 4,
                "tcp_user_timeout": round(3000 * silence),
            }.items()
            if name not in url.query
        }
        self.url = url.set(drivername="postgresql+psycopg").update_query_dict(missing)
        """With the kernel's timeouts, for connections that DBOS makes itself."""
        self._settings = self.url.get_dialect()().create_connect_args(self.url)[1]
        self.is_pooled = False
        """Whether a pooler, which keeps no session state, is in between. Known once connected."""
        self.retries_connecting = False
        """Whether threads of DBOS wait for an unreachable database, instead of failing."""
        self._aborted = threading.Event()
        self._lock = threading.Lock()
        self._open: WeakSet[_Connection] = WeakSet()
        self._monitor: threading.Thread | None = None
        self.silent_at = 0.0
        """When the database was last found silent: older connections are not used again."""

    def make_engine(self, size: int) -> sa.Engine:
        """Return a pool of at most ``size`` connections, which connects when it is first used."""
        engine = sa.create_engine(self.url, pool_size=size, max_overflow=0, hide_parameters=True)
        event.listen(engine, "do_connect", self._connect_with_retries)
        event.listen(engine, "connect", self._prepare)
        event.listen(engine, "begin", self._limit_idle_time)
        event.listen(engine, "checkin", _record_use)
        event.listen(engine, "checkout", partial(self._test_if_idle, engine.dialect))
        return engine

    def abort(self) -> None:
        """Fail each wait for an answer with an error, at once; and connect no more."""
        self._aborted.set()
        for connection in self._waiting():
            connection.cut()

    # Connecting

    def _connect(
        self, _dialect: object, _record: object, arguments: Any, settings: Any
    ) -> psycopg.Connection[Any]:
        if self._aborted.is_set():
            raise psycopg.InterfaceError("the connections to the database were ended")
        connection = _Connection.connect(*arguments, **settings)
        connection.aborted = self._aborted
        with self._lock:
            self._open.add(connection)
            if self._monitor is None:
                self._monitor = threading.Thread(
                    target=self._run_monitor, name="symbl_aio silence", daemon=True
                )
                self._monitor.start()
        return connection

    def _connect_with_retries(
        self, dialect: object, record: object, arguments: Any, settings: Any
    ) -> psycopg.Connection[Any]:
        """Connect; for DBOS as soon as it is possible, once ``retries_connecting``."""
        while True:
            try:
                return self._connect(dialect, record, arguments, settings)
            except psycopg.OperationalError as error:
                if current_thread().name.startswith(THREADS):
                    raise
                # After an OperationalError DBOS itself waits, up to a minute and a half, and
                # retries without end: while it is launched, on the event loop.
                if not self.retries_connecting:
                    raise psycopg.InterfaceError(str(error)) from error
                if self._aborted.wait(_RECONNECT_PAUSE):
                    raise

    def _prepare(self, connection: psycopg.Connection[Any], record: Any) -> None:
        record.info["opened"] = monotonic()
        connection.autocommit = True
        (pid,) = connection.execute("select pg_backend_pid()").fetchone() or (0,)
        # Through a pooler the backend that answers is not the one named in the handshake.
        self.is_pooled = pid != connection.info.backend_pid
        if self.is_pooled:
            connection.prepare_threshold = None
        else:
            connection.execute(f"set {_IDLE_LIMIT}".encode())
        connection.autocommit = False

    def _limit_idle_time(self, connection: sa.Connection) -> None:
        """Limit the idle time of one transaction: behind a pooler the next has another session."""
        if not self.is_pooled:
            return
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql(f"set local {_IDLE_LIMIT}")

    def _test_if_idle(
        self, dialect: sa.Dialect, connection: Any, record: Any, _proxy: object
    ) -> None:
        """Reject a connection that was cut while it was idle, as ``pool_pre_ping`` does."""
        # That pings each time, which would be most of the statements of an idle worker. A
        # closed connection has a readable socket; a pooler keeps the socket open: ping then.
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

    def _run_monitor(self) -> None:
        while not self._aborted.wait(self._silence / 5):
            self._check()

    def _check(self) -> None:
        """Cut the waiting connections, if a new connection has no answer either."""
        now = monotonic()
        overdue = [
            connection
            for connection in self._waiting()
            if connection.awaits_answer
            and now - max(connection.since, connection.confirmed) > self._silence
        ]
        if not overdue:
            return
        if self._answers():
            for connection in overdue:
                connection.confirmed = monotonic()
            return
        self.silent_at = monotonic()
        for connection in self._waiting():
            # A listening connection expects no answer, so it would not notice the silence.
            if not connection.awaits_answer or connection.since <= now:
                connection.cut()

    def _waiting(self) -> list[_Connection]:
        with self._lock:
            return [connection for connection in self._open if connection.since]

    def _answers(self) -> bool:
        """Return whether a new connection is answered."""
        try:
            with _Probe.connect(**self._settings, autocommit=True) as connection:
                connection.until = monotonic() + self._silence
                connection.execute("select 1")
        except psycopg.Error as error:
            return "FATAL" in str(error)  # it answers, and takes no more connections
        return True


class _Connection(psycopg.Connection[Any]):
    """A connection whose waits are visible to other threads, which can cut it."""

    aborted: threading.Event
    """Set once all connections are to fail."""
    since: float = 0.0
    """When its present wait began; 0 while it does not wait."""
    confirmed: float = 0.0
    """When a probe was answered while this connection waited."""

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **settings: Any) -> T:
        self.since = monotonic()
        try:
            if self.aborted.is_set():  # or abort() sees this wait, and cuts it
                raise psycopg.InterfaceError("the connections to the database were ended")
            return super().wait(gen, *arguments, **settings)
        finally:
            self.since = 0.0

    @property
    def awaits_answer(self) -> bool:
        """Whether a statement runs; false for a connection that only listens."""
        return self.pgconn.transaction_status == TransactionStatus.ACTIVE

    def cut(self) -> None:
        """Fail its present wait as if the server had closed the connection."""
        since = self.since
        with suppress(OSError, psycopg.Error), socket(fileno=os.dup(self.pgconn.socket)) as found:
            # The number was that of its socket only if the same wait still goes on.
            if since and self.since == since:
                found.shutdown(SHUT_RDWR)


class _Probe(psycopg.Connection[Any]):
    """A connection whose waits have a deadline."""

    until: float = 0.0
    """The deadline, by ``monotonic``."""

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **settings: Any) -> T:
        return super().wait(self._with_deadline(gen), *arguments, **settings)

    def _with_deadline(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        try:
            state = next(gen)
            while True:
                ready = yield state
                # psycopg resumes this ten times a second while nothing is ready.
                if not ready and monotonic() > self.until:
                    self.pgconn.finish()
                    raise psycopg.OperationalError("the database does not answer")
                state = gen.send(ready)
        except StopIteration as ended:
            value: T = ended.value
            return value


def is_readable(handle: int) -> bool:
    """Return whether a socket has unread data: on an idle connection, its end."""
    with DefaultSelector() as selector:
        selector.register(handle, EVENT_READ)
        return bool(selector.select(0))


def _record_use(_connection: object, record: Any) -> None:
    record.info["used"] = monotonic()
