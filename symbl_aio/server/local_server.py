"""The local server as one object: start it, look into it, make it misbehave, close it."""

from __future__ import annotations

import asyncio
import inspect
import ipaddress
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import NoneType, TracebackType
from typing import Literal, Self

from aiohttp import web

from symbl_aio.server.app import App
from symbl_aio.server.argument_types import check_types
from symbl_aio.server.change_notifier import ChangeNotifier
from symbl_aio.server.conversations.bookmarks import BookmarkHandlers
from symbl_aio.server.conversations.conversation import Conversations
from symbl_aio.server.conversations.handlers import ConversationHandlers
from symbl_aio.server.faults import FaultContext, FaultInjector
from symbl_aio.server.html_pages import PageHandlers
from symbl_aio.server.job_gate import HoldPoint, JobGate
from symbl_aio.server.jobs import Job, Jobs
from symbl_aio.server.management.handlers import ManagementHandlers
from symbl_aio.server.outbound_http import OutboundClient
from symbl_aio.server.processing import SubmissionProcessor
from symbl_aio.server.request_log import Received, RequestLog, Seen
from symbl_aio.server.speech_recognition import Recognizer
from symbl_aio.server.submissions import SpoolSettings, SubmissionHandlers
from symbl_aio.server.thread_pool import run_in_thread
from symbl_aio.server.tokens import TokenIssuer
from symbl_aio.server.transcript_registry import Transcript, TranscriptRegistry
from symbl_aio.server.webhooks import WebhookCall, WebhookDelivery

logger = logging.getLogger("symbl_aio.server")

_MAX_LINE_SIZE = 1024 * 1024
_MAX_FIELD_SIZE = 64 * 1024


class LocalServer:
    """A server that speaks the Symbl API, for one application (``app_id``, ``app_secret``).

    An async context manager; or ``start()`` and ``aclose()``. It listens on ``host`` and
    ``port`` (0: a free one).

    ``job_limit``: unfinished jobs at a time. ``token_life``: seconds. ``job_seconds``: the
    least time that a job is in progress. ``directory``: where bodies are kept while they
    are needed; by default the system's place for temporary files. ``allowed_hosts``: names
    that may be fetched or called though their addresses are not public; a server bound to
    loopback may call any.

    ``asr``: ``"auto"`` recognises speech if the extra ``asr`` is installed, ``"off"`` never
    does. ``default_transcript`` stands for every upload that has none of its own.
    ``probe_media=False`` takes undecodable media for good, ``keep_bodies=False`` and
    ``hash_bodies=False`` spare the disk and the SHA-256: for tests that send gigabytes.
    ``retain``: about so many requests, submissions and ended jobs are remembered, so that
    a server which runs for long does not grow; by default all of them, for tests.
    ``newer_management``: trackers are managed under the paths that the API has had since
    late 2022; by default under those of mid-2022, which mean other things.
    ``clock`` (seconds) is what tokens and links to pages age by.
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
        directory: Path | str | None = None,
        allowed_hosts: Collection[str] = (),
        default_transcript: Transcript | None = None,
        probe_media: bool = True,
        keep_bodies: bool = True,
        hash_bodies: bool = True,
        retain: int | None = None,
        newer_management: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_types(str, "a string", host=host, app_id=app_id, app_secret=app_secret)
        check_types(int, "an int", port=port, job_limit=job_limit)
        check_types((int, float), "seconds", token_life=token_life, job_seconds=job_seconds)
        flags = {"probe_media": probe_media, "keep_bodies": keep_bodies, "hash_bodies": hash_bodies}
        check_types(bool, "True or False", newer_management=newer_management, **flags)
        check_types((Path, str, NoneType), "a path", directory=directory)
        check_types((int, NoneType), "an int, or None for all", retain=retain)
        check_types((list, tuple, set, frozenset), "a list of names", allowed_hosts=allowed_hosts)
        for index, name in enumerate(allowed_hosts):
            check_types(str, "the name of a host", **{f"allowed_hosts[{index}]": name})
        lines = (str, Sequence, NoneType)
        check_types(lines, "a text or a list of lines", default_transcript=default_transcript)
        if asr not in ("off", "auto"):
            raise ValueError(f'asr is {asr!r}; give "off" or "auto"')
        self.app_id = app_id
        self.app_secret = app_secret
        self._host = host
        self._port = port
        self._directory = directory
        self._probe_media = probe_media
        self._keep_bodies = keep_bodies
        self._clock = clock
        self._hash_bodies = hash_bodies
        self._changes = ChangeNotifier()
        self._gate = JobGate()
        self._log = RequestLog(retain)
        self._faults = FaultInjector()
        self._tokens = TokenIssuer(app_id, app_secret, token_life, clock)
        self._conversations = Conversations()
        self._management = ManagementHandlers(self._conversations, newer=newer_management)
        self._transcripts = TranscriptRegistry(default_transcript)
        self._outbound = OutboundClient(
            allow_private=is_loopback(host), allowed_hosts=allowed_hosts
        )
        self._webhooks = WebhookDelivery(self._outbound, self._changes, retain)
        self._jobs = Jobs(
            limit=job_limit,
            min_seconds=job_seconds,
            gate=self._gate,
            changes=self._changes,
            on_status_change=self._webhooks.schedule,
            retain=retain,
        )
        self._closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._recognizer = make_recognizer(asr)
        self._bodies: Path | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> Self:
        """Listen. Starting twice is an error; OSError when the port cannot be had."""
        if self._runner is not None:
            raise RuntimeError("the server was started before")
        self._loop = asyncio.get_running_loop()
        try:
            await self._listen()
        except BaseException:
            await self.aclose()
            raise
        logger.info(
            "serving on %s; media without a registered transcript is %s",
            self.base_url,
            "not transcribed" if self._recognizer is None else "recognised",
        )
        return self

    async def _listen(self) -> None:
        self._bodies = Path(tempfile.mkdtemp(prefix="symbl-aio-", dir=self._directory))
        fault_context = FaultContext(
            self._jobs, self._webhooks, self._changes, self._log, self._closing
        )
        processing = SubmissionProcessor(
            transcripts=self._transcripts,
            outbound=self._outbound,
            directory=self._bodies,
            probe_media=self._probe_media,
            recognizer=self._recognizer,
            management=self._management,
        )
        app = App(
            tokens=self._tokens,
            submissions=SubmissionHandlers(
                jobs=self._jobs,
                conversations=self._conversations,
                processing=processing,
                management=self._management,
                changes=self._changes,
                bodies=SpoolSettings(self._bodies, self._keep_bodies, self._hash_bodies),
                log=self._log,
                take_job_faults=self._faults.take_job_faults,
            ),
            jobs=self._jobs,
            faults=self._faults,
            context=fault_context,
            log=self._log,
            routes=[
                *BookmarkHandlers(self._conversations).routes(),
                *PageHandlers(self._conversations, self._clock).routes(),
                *self._management.routes(),
                *ConversationHandlers(self._conversations, self._jobs).routes(),
            ],
        ).build()
        # Large reads: the default of 64 KiB pauses and resumes the socket all the time.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=0.1,
            read_bufsize=1024 * 1024,
            # The parameters of a file stand in the query, trackers and all (API section 2).
            max_line_size=_MAX_LINE_SIZE,
            max_field_size=_MAX_FIELD_SIZE,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, backlog=1024)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def aclose(self) -> None:
        """Stop at once. No task, no connection and no file is left. Closing twice is fine."""
        self._check_loop()
        self._loop = None
        self._closing.set()
        self._changes.notify()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._jobs.aclose()
        if self._recognizer is not None:
            await self._recognizer.aclose()
        await self._webhooks.aclose()
        await self._outbound.aclose()
        if self._bodies is not None:
            await run_in_thread(shutil.rmtree, self._bodies, ignore_errors=True)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # What arrived

    @property
    def base_url(self) -> str:
        """The origin, such as ``http://127.0.0.1:8080``; known once started."""
        if self._runner is None:
            raise RuntimeError("the server was not started")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def submissions(self) -> list[Received]:
        """Every submission whose head arrived, in order of arrival."""
        return self._log.submissions

    @property
    def requests(self) -> list[Seen]:
        """Every request, in the order in which they were answered."""
        return self._log.requests

    def arrivals(self, conversation_id: str) -> list[Received]:
        """The submissions to (or that opened) a conversation, refused ones too."""
        return [r for r in self._log.submissions if r.conversation_id == conversation_id]

    def appended(self, conversation_id: str) -> list[Received]:
        """The PUTs to a conversation that were accepted, in order of arrival."""
        return [r for r in self.arrivals(conversation_id) if r.method == "PUT" and r.accepted]

    @property
    def jobs(self) -> dict[str, Job]:
        """Every job that was accepted, by id, in order of acceptance."""
        return self._jobs.by_id

    @property
    def unfinished(self) -> int:
        """Jobs that have not ended."""
        return self._jobs.unfinished

    @property
    def max_unfinished(self) -> int:
        """The most unfinished jobs there were at any one time."""
        return self._jobs.max_unfinished

    @property
    def webhook_calls(self) -> list[WebhookCall]:
        """The webhook calls that were made, in order."""
        return self._webhooks.calls

    async def until(self, predicate: Callable[[], object]) -> None:
        """Wait until ``predicate()`` is true.

        It is tried now and after every change: a request or a part of its body arrived, a
        request was answered, a job moved, a webhook was called.
        """
        self._check_loop()
        if inspect.iscoroutinefunction(predicate):  # its coroutine would always count as true
            raise TypeError("predicate is async, and is not awaited; give a plain function")
        await self._changes.wait_until(predicate)

    def _check_loop(self) -> None:
        """Raise ``RuntimeError`` on another event loop, where this would wake nobody."""
        if self._loop is None:
            return
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if not is_here:
            raise RuntimeError(
                "the server was started on another event loop, or this is another thread; "
                "call it from the loop that started it (asyncio.run_coroutine_threadsafe)"
            )

    # What it shall do

    def register_transcript(
        self, transcript: Transcript, *, sha256: str | None = None, name: str | None = None
    ) -> None:
        """Say what is to be heard in an upload, known by its content or by its name.

        ``name`` is the ``name`` parameter of the submission, or the last part of a link.
        Text has one turn a line, ``Speaker: `` before it if known. Without hash and name it
        is for every upload that has no transcript of its own.
        """
        self._transcripts.register(transcript, sha256=sha256, name=name)

    def inject(self, fault: str, *, on: str | None = None, times: int = 1) -> None:
        """Make the next ``times`` matching requests go wrong, see ``faults.py`` for the names.

        ``on`` is a method (the token request left out), ``"token"``, ``"job"`` or the start
        of a path; without it, the requests that the fault is meant for. Raises ValueError.
        """
        check_types(str, 'the name of a fault, such as "reset"', fault=fault)
        check_types((str, NoneType), "a method or the start of a path", on=on)
        check_types(int, "an int", times=times)
        self._faults.inject(fault, on=on, times=times)

    def clear_faults(self) -> None:
        """Forget the faults that did not strike yet."""
        self._faults.clear()

    def hold_jobs(self, *, before: Literal["in_progress", "completed"] = "completed") -> None:
        """Let no job come further than this, until released."""
        self._check_loop()
        if before not in ("in_progress", "completed"):
            raise ValueError(f'before is {before!r}; give "in_progress" or "completed"')
        self._gate.hold(HoldPoint(before))

    def release(self, count: int | None = None) -> None:
        """Let ``count`` jobs go on, held now or later; None lets all go on from now on."""
        self._check_loop()
        check_types((int, NoneType), "an int, or None for all", count=count)
        self._gate.release(count)

    def release_webhooks(self) -> None:
        """Make the calls held back by the fault ``late_webhook``."""
        self._check_loop()
        self._webhooks.release_late()

    def revoke_tokens(self) -> None:
        """Make every token bad; the next token request gets a new one."""
        self._tokens.revoke()


def make_recognizer(asr: Literal["off", "auto"]) -> Recognizer | None:
    """What hears speech, or None when that is off or the extra is not there."""
    return Recognizer() if asr == "auto" and Recognizer.available() else None


def is_loopback(host: str) -> bool:
    """Tell whether binding to this host keeps the server to its own machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
