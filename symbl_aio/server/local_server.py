"""The local server as one object: its settings, its parts, start and close."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import NoneType, TracebackType
from typing import TYPE_CHECKING, Literal, Self

from aiohttp import web

from symbl_aio.server import access_log
from symbl_aio.server.account import Account, Shared
from symbl_aio.server.app import App
from symbl_aio.server.change_notifier import ChangeNotifier
from symbl_aio.server.check_arguments import check_types
from symbl_aio.server.connections import Connections
from symbl_aio.server.conversations.registry import Conversations
from symbl_aio.server.conversations.retention import Retention
from symbl_aio.server.fault_injection import FaultContext, FaultInjector
from symbl_aio.server.guess_limit import GuessLimit
from symbl_aio.server.health_and_metrics import HealthAndMetricsHandlers
from symbl_aio.server.hosting_settings import Hosting
from symbl_aio.server.job_hold import JobGate
from symbl_aio.server.metrics import Gauge, Metrics
from symbl_aio.server.outbound_http import OutboundClient
from symbl_aio.server.proxy_headers import Origins, is_loopback
from symbl_aio.server.recognition_pool import RecognitionOptions, RecognitionPool
from symbl_aio.server.recognizer import Recognizer
from symbl_aio.server.request_log import RequestLog
from symbl_aio.server.request_path import limit_paths
from symbl_aio.server.server_controls import ServerControls
from symbl_aio.server.server_limits import BufferBudget, ServerLimits
from symbl_aio.server.storage.memory_store import TemporaryStorage
from symbl_aio.server.storage.store import Storage
from symbl_aio.server.submissions import SpoolSettings
from symbl_aio.server.token_handlers import TokenHandlers
from symbl_aio.server.transcript_registry import Transcript, TranscriptRegistry
from symbl_aio.server.upload_space import UploadSpace

if TYPE_CHECKING:
    from symbl_aio.server.live.live_recognizer import LiveRecognizer

logger = logging.getLogger("symbl_aio.server")


class LocalServer(ServerControls):
    """A server that speaks the Symbl API, for one application (``app_id``, ``app_secret``).

    ``Hosting.apps`` names others instead, each with conversations, jobs and limits of its own;
    what this object shows is then that of the first one.

    Use it as an async context manager, or call ``start()`` and ``aclose()``. It listens on
    ``host`` and ``port`` (0: any free port).

    ``job_limit``: the greatest number of unfinished jobs. ``token_life``: lifetime of a token
    in seconds. ``job_seconds``: the shortest time that a job stays in progress.
    ``data``: the data directory, in which everything survives a restart; None keeps everything
    in memory. ``keep_days``: how long recordings and unchanged conversations are kept there; by
    default conversations until they are deleted, and recordings until their job has ended.
    ``directory``: where request bodies are stored while a job needs them, without ``data``; by
    default the system's directory for temporary files. ``allowed_hosts``: host names that may be
    downloaded from and called although their addresses are not public. A server bound to
    loopback may call any address.

    ``asr``: ``"auto"`` recognises speech if the extra ``asr`` is installed, ``"off"`` never
    does; ``recognition``: by which model, and how. ``default_transcript`` is used for every
    upload without a transcript of its own. ``probe_media=False`` accepts media that cannot be
    decoded. ``keep_bodies=False`` writes no body to disk and ``hash_bodies=False`` computes no
    SHA-256: for tests that send gigabytes. ``retain``: how many requests, submissions and
    finished jobs to keep as objects at least, for a server that runs for long; None keeps all of
    them, and all conversations, for tests. ``record_requests=False`` keeps no request, submission
    or webhook call.
    ``limits``: of connections, bodies and disk space. ``hosting``: for a server that others
    reach. ``clock`` (seconds since 1970) decides when tokens and links to pages expire.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        job_limit: int = 50,
        app_id: str = "app",
        app_secret: str = "secret",
        token_life: float = 86400,
        asr: Literal["off", "auto"] = "off",
        job_seconds: float = 0.0,
        data: Path | str | None = None,
        keep_days: float | None = None,
        directory: Path | str | None = None,
        allowed_hosts: Collection[str] = (),
        default_transcript: Transcript | None = None,
        probe_media: bool = True,
        keep_bodies: bool = True,
        hash_bodies: bool = True,
        retain: int | None = None,
        record_requests: bool = True,
        recognition: RecognitionOptions | None = None,
        limits: ServerLimits | None = None,
        hosting: Hosting | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_types(str, "a string", host=host, app_id=app_id, app_secret=app_secret)
        check_types(int, "an int", port=port, job_limit=job_limit)
        check_types((int, float), "seconds", token_life=token_life, job_seconds=job_seconds)
        flags = {"probe_media": probe_media, "keep_bodies": keep_bodies, "hash_bodies": hash_bodies}
        flags["record_requests"] = record_requests
        check_types(bool, "True or False", **flags)
        check_types((Path, str, NoneType), "a path", data=data, directory=directory)
        check_types((int, float, NoneType), "days", keep_days=keep_days)
        check_types((int, NoneType), "an int, or None for all", retain=retain)
        check_types((list, tuple, set, frozenset), "a list of names", allowed_hosts=allowed_hosts)
        for index, name in enumerate(allowed_hosts):
            check_types(str, "the name of a host", **{f"allowed_hosts[{index}]": name})
        lines = (str, Sequence, NoneType)
        check_types(lines, "a text or a list of lines", default_transcript=default_transcript)
        check_types((ServerLimits, NoneType), "ServerLimits", limits=limits)
        check_types((Hosting, NoneType), "Hosting", hosting=hosting)
        check_types((RecognitionOptions, NoneType), "RecognitionOptions", recognition=recognition)
        if asr not in ("off", "auto"):
            raise ValueError(f'asr is {asr!r}; give "off" or "auto"')
        limits, hosting = limits or ServerLimits(), hosting or Hosting()
        self.app_id = app_id
        self.app_secret = app_secret
        self._host = host
        self._port = port
        self._keep_bodies = keep_bodies
        self._hash_bodies = hash_bodies
        self._changes = ChangeNotifier()
        self._gate = JobGate()
        # A log of requests has texts that a caller may have deleted from the data directory.
        retain_requests = retain if record_requests and data is None else 0
        self._log = RequestLog(retain_requests)
        self._faults = FaultInjector()
        self._storage = _storage(data, directory, keep_days, retain)
        self._transcripts = TranscriptRegistry(default_transcript)
        allow_private = (
            is_loopback(host) if hosting.allow_private is None else hosting.allow_private
        )
        self._origins = Origins(
            public_url=hosting.public_url, hosts=hosting.hosts, proxies=hosting.proxies
        )
        self._metrics = Metrics()
        self._tls = hosting.tls
        self._limits = limits
        self._buffers = BufferBudget(limits.buffered)
        self._connections = Connections(
            limits,
            self._buffers,
            tls=hosting.tls,
            options={
                "access_log": access_log.LOGGER if hosting.access_log else None,
                "access_log_class": access_log.AccessLogger,
                # The default of 64 KiB pauses and resumes the socket all the time under uploads.
                "read_bufsize": 1024 * 1024,
                # A small body may inflate to any size.
                "auto_decompress": False,
                "keepalive_timeout": limits.idle,
                "max_line_size": limits.line,
                "max_field_size": limits.field,
            },
        )
        self._is_draining = False
        self._closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._recognizer = make_recognizer(
            asr, recognition or RecognitionOptions(), self._metrics.count_speech
        )
        self._live_recognizer = None
        if self._recognizer is not None:
            self._live_recognizer = _live_recognizer(
                recognition or RecognitionOptions(), limits.live_audio, self._metrics.count_speech
            )
        shared = Shared(
            storage=self._storage,
            changes=self._changes,
            gate=self._gate,
            log=self._log,
            faults=self._faults,
            metrics=self._metrics,
            transcripts=self._transcripts,
            new_outbound=lambda: OutboundClient(
                allow_private=allow_private,
                allowed_hosts=allowed_hosts,
                max_download_size=limits.upload,
            ),
            recognizer=self._recognizer,
            live_recognizer=self._live_recognizer,
            clock=clock,
            token_life=token_life,
            job_limit=job_limit,
            job_seconds=job_seconds,
            keep_days=keep_days,
            retain=retain,
            retain_requests=retain_requests,
            probe_media=probe_media,
            most_sockets=limits.live_sockets,
            buffered=limits.buffered,
            closing=self._closing,
        )
        apps = {app_id: app_secret} if hosting.apps is None else hosting.apps
        self._accounts = [Account(name, secret, shared) for name, secret in apps.items()]
        # What this object shows, and what tests control, is that of the first.
        first = self._accounts[0]
        self._tokens, self._conversations = first.tokens, first.conversations
        self._jobs, self._webhooks = first.jobs, first.webhooks
        self._keep_days = keep_days
        self._retentions: list[Retention] = []
        self._runner: web.AppRunner | None = None

    async def start(self) -> Self:
        """Start to listen. Raises RuntimeError on a second start, OSError if the port is in use."""
        if self._runner is not None:
            raise RuntimeError("the server was started before")
        # Remembered to reject calls from other loops and threads.
        self._loop = asyncio.get_running_loop()
        try:
            await self._listen(self._loop)
        except BaseException:
            # A failed or cancelled start leaves no directory and no open port.
            await self.aclose()
            raise
        logger.info(
            "serving on %s; media without a registered transcript is %s",
            self.base_url,
            "not transcribed" if self._recognizer is None else "recognised",
        )
        return self

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        await self._storage.open()
        fault_context = FaultContext(
            self._jobs, self._webhooks, self._changes, self._log, self._closing
        )
        bodies = SpoolSettings(
            self._storage.bodies,
            self._keep_bodies,
            self._hash_bodies,
            synced=self._storage.survives,
        )
        space = UploadSpace(bodies.directory, self._limits)
        self._metrics.gauges += [
            Gauge("connections", "Open connections.", lambda: len(self._connections)),
            Gauge("buffered_bytes", "Requests in memory.", lambda: self._buffered),
            Gauge("live_conversations", "Streams and calls.", lambda: self.live),
            Gauge("disk_free_bytes", "Space for recordings.", space.free),
        ]
        for account in self._accounts:
            await account.open(bodies, space)
        # Of applications that are not served any more, old conversations are deleted, too.
        served = {account.app_id for account in self._accounts}
        for name in set(await self._storage.applications()) - served:
            store = self._storage.store(name)
            self._retentions.append(Retention(Conversations(store), store, self._keep_days))
            self._retentions[-1].start()
        tokens = TokenHandlers(
            self._accounts,
            GuessLimit(self._limits.wrong_secrets, self._limits.wrong_secret_seconds, loop.time),
            self._origins,
        )
        app = App(
            accounts=self._accounts,
            tokens=tokens,
            faults=self._faults,
            context=fault_context,
            log=self._log,
            limits=self._limits,
            buffers=self._buffers,
            connections=self._connections,
            origins=self._origins,
            metrics=self._metrics,
            routes=HealthAndMetricsHandlers(
                self._metrics,
                self._origins,
                obstacle=lambda: self._obstacle(space),
                authenticate=tokens.authenticate,
            ).routes(),
        )
        # Waiting handlers end when _closing is set, so the shutdown needs no long time.
        self._runner = web.AppRunner(app.build(), shutdown_timeout=0.1)
        await self._runner.setup()
        assert self._runner.server is not None
        limit_paths(self._runner.server)
        app.surround(self._runner.server)
        self._port = await self._connections.listen(self._runner.server, self._host, self._port)

    async def drain(self) -> None:
        """Refuse new submissions, and wait until those that are uploaded now are accepted.

        Other requests are answered as before, and each connection ends with its next response.
        Jobs are not waited for.
        """
        self._check_loop()
        self._is_draining = self._connections.are_closing = True
        for account in self._accounts:
            account.submissions.drain()
            account.live.drain()
        await self._changes.wait_until(lambda: not self.uploading)

    @property
    def _buffered(self) -> int:
        return sum(each.buffers.held for each in self._accounts) + self._buffers.held

    def _obstacle(self, space: UploadSpace) -> str | None:
        if self._is_draining:
            return "the server stops"
        return self._storage.obstacle() or space.obstacle()

    async def aclose(self) -> None:
        """Stop at once and leave no task, connection or file. Closing twice is safe.

        Only the words in live audio that has arrived are waited for, five seconds at most. After
        ``drain()``, requests that are on their way get their responses, for a moment.
        With a data directory, unfinished jobs stay there for the next server.
        """
        self._check_loop()
        if self._is_draining and self._runner is not None and self._runner.server is not None:
            # Of a request that is lost with its connection, its caller does not know whether it
            # was accepted.
            await self._connections.hang_up(self._runner.server)
        self._loop = None
        # Wake handlers and waiting tests first; they would block the cleanup below.
        self._closing.set()
        self._changes.notify()
        await self._connections.stop()
        for account in self._accounts:
            await account.live.close_sockets()
        if self._runner is not None:
            await self._runner.cleanup()
        await asyncio.gather(*(account.live.finish() for account in self._accounts))
        for account in self._accounts:
            await account.aclose()
        for retention in self._retentions:
            await retention.aclose()
        if self._recognizer is not None:
            await self._recognizer.aclose()
        if self._live_recognizer is not None:
            await self._live_recognizer.aclose()
        await self._storage.aclose()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def base_url(self) -> str:
        """The origin, such as ``http://127.0.0.1:8080``. Raises RuntimeError before the start."""
        if self._runner is None:
            raise RuntimeError("the server was not started")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self._port}"


def _storage(
    data: Path | str | None,
    directory: Path | str | None,
    keep_days: float | None,
    retain: int | None,
) -> Storage:
    # A server of a test starts without SQLite.
    if data is not None:
        from symbl_aio.server.storage.data_directory import DataDirectory

        return DataDirectory(Path(data), keeps_bodies=keep_days is not None)
    if retain is not None:
        from symbl_aio.server.storage.temporary_database import TemporaryDatabase

        return TemporaryDatabase(directory)
    return TemporaryStorage(directory)


def _live_recognizer(
    options: RecognitionOptions, most_audio: int, on_recognised: Callable[[float, float], None]
) -> LiveRecognizer:
    # Few servers of tests recognise speech.
    from symbl_aio.server.live.live_recognizer import LiveRecognizer

    return LiveRecognizer(options, most_audio, on_recognised)


def make_recognizer(
    asr: Literal["off", "auto"],
    options: RecognitionOptions,
    on_recognised: Callable[[float, float], None],
) -> RecognitionPool | None:
    """Return speech recognisers, or None if they are off or the extra is not installed."""
    if asr == "off" or not Recognizer.available(has_model=options.model is not None):
        return None
    options.check_model()
    return RecognitionPool(options, on_recognised)
