"""Health probes and metrics of a worker: over HTTP, or in a file for a collector."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import Final, Self

from aiohttp import web
from attrs import frozen

from symbl_aio import ConfigurationError, SymblError
from symbl_aio.cli.exit_codes import why_not_listening
from symbl_aio.durable import OutboxStats, Worker, openmetrics

_LOG: Final = logging.getLogger("symbl_aio.cli")
_CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_LOOPBACK: Final = "127.0.0.1"
_WRITE_INTERVAL: Final = 15.0
"""Seconds between two writes of the metrics file."""
_MIN_AGE: Final = 5.0
"""Seconds for which statistics are cached, at least."""
_AGE_FACTOR: Final = 50
"""Cached for this many times the duration of the query, so that it takes 2 % of the time."""
_QUERY_TIMEOUT: Final = 5.0
"""Seconds after which a database without an answer is reported as down."""


@frozen
class Address:
    """A TCP address to listen on; without a host it is loopback."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address | None:
        """Parse ``PORT`` or ``HOST:PORT``; return ``None`` for any other text.

        Port 0 is refused: a probe has to know the port.
        """
        host, _, port = text.rpartition(":")
        if "/" in text or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
            return None
        return cls(host.removeprefix("[").removesuffix("]") or _LOOPBACK, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Exporter:
    """The metrics of one worker and of its database, with ``labels`` on every sample."""

    def __init__(self, worker: Worker, **labels: str) -> None:
        self._worker = worker
        self._labels = labels
        self._query: asyncio.Task[None] | None = None
        self._stats: OutboxStats | None = None
        self._cached_until = 0.0

    async def text(self) -> str:
        """Return all metrics as OpenMetrics text.

        At most one query runs at a time, and its result is cached for the calls after it.
        While the database does not answer, ``symbl_outbox_up`` is 0 and its numbers are left out.
        """
        query = self._query
        if query is None or (query.done() and monotonic() >= self._cached_until):
            query = self._query = asyncio.create_task(self._read_stats())
        # ``wait`` does not cancel it at the timeout: a late result serves the next call.
        await asyncio.wait([query], timeout=_QUERY_TIMEOUT)
        stats = self._stats if query.done() else None
        return openmetrics(stats, ready=self._worker.is_ready, **self._labels)

    async def _read_stats(self) -> None:
        began = monotonic()
        try:
            self._stats = await self._worker.stats()
        except Exception as error:
            self._stats = None  # never the numbers of before
            if not isinstance(error, SymblError):
                _LOG.warning("the metrics cannot be read (%s)", error)
        self._cached_until = monotonic() + max(_MIN_AGE, _AGE_FACTOR * (monotonic() - began))

    async def aclose(self) -> None:
        """Cancel the query that runs, if any."""
        if self._query is not None:
            self._query.cancel()
            await asyncio.wait([self._query])


class WorkerMonitor:
    """Reports on one worker: over HTTP, and in a file for a collector.

    ``health``: ``[HOST:]PORT``; ``prometheus``: the same, or a file. The HTTP servers run as
    long as the block, so that a worker that starts slowly is alive and not ready; the file is
    written from ``start_file`` on. Raises ``ConfigurationError`` for an address or a file that
    cannot be used.
    """

    def __init__(
        self, worker: Worker, *, health: str | None, prometheus: str | None, **labels: str
    ) -> None:
        self._worker = worker
        self._exporter = Exporter(worker, **labels)
        self._routes: dict[Address, list[web.RouteDef]] = {}
        self._file: Path | None = None
        self._writer: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()
        if health is not None:
            address = Address.parse(health)
            if address is None:
                raise ConfigurationError(f"--health is {health!r}; give PORT or HOST:PORT")
            probes = [web.get("/healthz", self._alive), web.get("/readyz", self._ready)]
            # Probes and metrics may share an address, and then share a server.
            self._routes.setdefault(address, []).extend(probes)
        if prometheus is not None:
            address = Address.parse(prometheus)
            if address is None:
                self._file = Path(prometheus)
                # A device, such as /dev/null, would be replaced, and removed at the end.
                if os.path.exists(self._file) and not os.path.isfile(self._file):
                    raise ConfigurationError(
                        f"--prometheus {prometheus!r} is no regular file; choose another"
                    )
            else:
                self._routes.setdefault(address, []).append(web.get("/metrics", self._metrics))

    async def __aenter__(self) -> Self:
        try:
            for address, routes in self._routes.items():
                await self._listen(address, routes)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None and self._file is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
            with suppress(OSError):  # its numbers are those of a worker that is gone
                self._file.unlink()
        await self._exporter.aclose()
        await self._stack.aclose()

    async def start_file(self) -> None:
        """Write the metrics file, now and every 15 seconds; a later failure is logged."""
        if self._file is None:
            return
        try:
            await self._write(self._file)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write {self._file} ({error.strerror}); choose another --prometheus"
            ) from error
        self._writer = asyncio.create_task(self._keep_writing(self._file))

    async def _keep_writing(self, file: Path) -> None:
        while True:
            await asyncio.sleep(_WRITE_INTERVAL)
            try:
                await self._write(file)
            except Exception as error:  # also for want of a thread or of memory
                why = getattr(error, "strerror", None) or error
                _LOG.warning("the metrics cannot be written to %s (%s)", file, why)

    async def _write(self, file: Path) -> None:
        await asyncio.to_thread(_write, file, await self._exporter.text())

    async def _listen(self, address: Address, routes: list[web.RouteDef]) -> None:
        app = web.Application()
        app.add_routes(routes)
        # No access log: probes call every few seconds. A short timeout: an idle connection of a
        # collector must not delay the end of the worker.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(
                f"cannot listen on {address} ({why_not_listening(error)}); choose another "
                "address for --health or --prometheus"
            ) from error

    async def _alive(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _ready(self, _: web.Request) -> web.Response:
        if self._worker.is_ready:
            return web.Response(text="ready\n")
        return web.Response(text="not ready\n", status=503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            text=await self._exporter.text(), headers={"Content-Type": _CONTENT_TYPE}
        )


def _write(path: Path, text: str) -> None:
    # Written beside the file and renamed, so that a collector never reads half of it; the dot
    # keeps the draft out of the pattern by which collectors find files.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise
