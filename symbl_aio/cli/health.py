"""Health checks and metrics of a worker: at addresses, or in a file for a collector."""

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
from symbl_aio.durable import OutboxStats, Worker, openmetrics

_LOG: Final = logging.getLogger("symbl_aio.cli")
_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_LOOPBACK: Final = "127.0.0.1"
_WRITE_EVERY: Final = 15.0
_FRESH: Final = 5.0
"""Seconds for which statistics are served again, at least."""
_SHARE: Final = 50
"""How many times longer than reading them took: a database of millions is not read for ever."""
_ANSWER: Final = 5.0
"""Seconds after which a database that does not answer is told to be away."""


@frozen
class Address:
    """Where to listen. Without a host: on loopback alone."""

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> Address | None:
        """Return what ``PORT`` or ``HOST:PORT`` names, ``None`` for anything else.

        Port 0 is none: whoever asks has to know where.
        """
        host, _, port = text.rpartition(":")
        if "/" in text or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
            return None
        return cls(host.removeprefix("[").removesuffix("]") or _LOOPBACK, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Exporter:
    """The metrics of one worker, and of the database that it works on.

    ``labels`` are added to all samples.
    """

    def __init__(self, worker: Worker, **labels: str) -> None:
        self._worker = worker
        self._labels = labels
        self._question: asyncio.Task[None] | None = None
        self._stats: OutboxStats | None = None
        self._fresh_until = 0.0

    async def text(self) -> str:
        """Return all metrics as OpenMetrics text.

        The database is asked one question at a time, and not for each call. While it does
        not answer, ``symbl_outbox_up`` is 0 and its numbers are left out.
        """
        question = self._question
        if question is None or (question.done() and monotonic() >= self._fresh_until):
            question = self._question = asyncio.create_task(self._ask())
        await asyncio.wait([question], timeout=_ANSWER)
        found = self._stats if question.done() else None
        return openmetrics(found, ready=self._worker.is_ready, **self._labels)

    async def _ask(self) -> None:
        began = monotonic()
        try:
            self._stats = await self._worker.stats()
        except SymblError:
            self._stats = None
        self._fresh_until = monotonic() + max(_FRESH, _SHARE * (monotonic() - began))

    async def aclose(self) -> None:
        """Wait for no answer any more."""
        if self._question is not None:
            self._question.cancel()
            await asyncio.wait([self._question])


class Observed:
    """What tells others about one worker: addresses that answer, and a file that is written.

    ``health``: ``[HOST:]PORT``; ``prometheus``: that, or a file. Addresses answer while the
    block runs, so that a worker that starts slowly is alive and not ready; the file is
    written from ``begin`` on. Raises ``ConfigurationError`` for an address or a file that
    cannot be used.
    """

    def __init__(
        self, worker: Worker, *, health: str | None, prometheus: str | None, **labels: str
    ) -> None:
        self._worker = worker
        self._exporter = Exporter(worker, **labels)
        self._routes: dict[Address, list[web.RouteDef]] = {}
        self._file: Path | None = None
        self._writing: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()
        if health is not None:
            address = Address.read(health)
            if address is None:
                raise ConfigurationError(f"--health is {health!r}; give PORT or HOST:PORT")
            probes = [web.get("/healthz", self._alive), web.get("/readyz", self._ready)]
            self._routes.setdefault(address, []).extend(probes)
        if prometheus is not None:
            address = Address.read(prometheus)
            if address is None:
                self._file = Path(prometheus)
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
        if self._writing is not None and self._file is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
            with suppress(OSError):  # of a worker that has ended nothing is true any more
                self._file.unlink()
        await self._exporter.aclose()
        await self._stack.aclose()

    async def begin(self) -> None:
        """Write the file, now and every few seconds from now on; a later failure is logged."""
        if self._file is None:
            return
        try:
            await self._write(self._file)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write {self._file} ({error.strerror}); choose another --prometheus"
            ) from error
        self._writing = asyncio.create_task(self._write_again(self._file))

    async def _write_again(self, file: Path) -> None:
        while True:
            await asyncio.sleep(_WRITE_EVERY)
            try:
                await self._write(file)
            except OSError as error:
                _LOG.warning("the metrics cannot be written to %s (%s)", file, error.strerror)

    async def _write(self, file: Path) -> None:
        await asyncio.to_thread(_write, file, await self._exporter.text())

    async def _listen(self, address: Address, routes: list[web.RouteDef]) -> None:
        app = web.Application()
        app.add_routes(routes)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "no name of a host"
            raise ConfigurationError(
                f"cannot listen on {address} ({reason}); choose another address for "
                "--health or --prometheus"
            ) from error

    async def _alive(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _ready(self, _: web.Request) -> web.Response:
        if self._worker.is_ready:
            return web.Response(text="ready\n")
        return web.Response(text="not ready\n", status=503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=await self._exporter.text(), headers={"Content-Type": _TYPE})


def _write(path: Path, text: str) -> None:
    # In the same directory, by a name that no collector reads.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise
