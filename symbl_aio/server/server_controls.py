"""Inspection and control of a running server, for tests and demonstrations."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Literal

from symbl_aio.server.account import Account
from symbl_aio.server.change_notifier import ChangeNotifier
from symbl_aio.server.check_arguments import check_types
from symbl_aio.server.fault_injection import FaultInjector
from symbl_aio.server.job import Job
from symbl_aio.server.job_hold import HoldPoint, JobGate
from symbl_aio.server.job_queue import Jobs
from symbl_aio.server.request_log import Received, RequestLog, Seen
from symbl_aio.server.tokens import TokenIssuer
from symbl_aio.server.transcript_registry import Transcript, TranscriptRegistry
from symbl_aio.server.webhooks import WebhookCall, WebhookDelivery


class ServerControls:
    """What went through a server, and how it is to behave: the half of it that tests use.

    Of several applications, requests, jobs and webhook calls are those of the first.
    """

    _accounts: list[Account]
    _changes: ChangeNotifier
    _faults: FaultInjector
    _gate: JobGate
    _jobs: Jobs
    _log: RequestLog
    _loop: asyncio.AbstractEventLoop | None
    _tokens: TokenIssuer
    _transcripts: TranscriptRegistry
    _webhooks: WebhookDelivery

    # Inspect requests, jobs and webhooks

    @property
    def submissions(self) -> list[Received]:
        """Every submission whose headers arrived, in order of arrival."""
        return self._log.submissions

    @property
    def requests(self) -> list[Seen]:
        """Every request, in the order of the responses."""
        return self._log.requests

    def arrivals(self, conversation_id: str) -> list[Received]:
        """Return the submissions to a conversation, the first and refused ones included."""
        return [r for r in self._log.submissions if r.conversation_id == conversation_id]

    def appended(self, conversation_id: str) -> list[Received]:
        """Return the PUTs to a conversation that were accepted, in order of arrival."""
        return [r for r in self.arrivals(conversation_id) if r.method == "PUT" and r.accepted]

    @property
    def jobs(self) -> dict[str, Job]:
        """Every accepted job by id, in order of acceptance."""
        return self._jobs.by_id

    @property
    def unfinished(self) -> int:
        """The number of jobs that have not finished."""
        return sum(account.jobs.unfinished for account in self._accounts)

    @property
    def uploading(self) -> int:
        """The number of submissions whose bodies are on their way."""
        return sum(account.jobs.uploading for account in self._accounts)

    @property
    def live(self) -> int:
        """The number of live conversations: streams and calls that have not ended."""
        return sum(len(account.live) for account in self._accounts)

    @property
    def max_unfinished(self) -> int:
        """The greatest number of unfinished jobs at any one time."""
        return self._jobs.max_unfinished

    @property
    def webhook_calls(self) -> list[WebhookCall]:
        """The webhook calls made so far, in order."""
        return self._webhooks.calls

    async def until(self, predicate: Callable[[], object]) -> None:
        """Wait until ``predicate()`` is true.

        The predicate is evaluated now and after every change: a request or a part of its body
        arrived, a response was sent, a job changed its status, a webhook was called. Raises
        TypeError for an async function and RuntimeError on another event loop.
        """
        self._check_loop()
        if inspect.iscoroutinefunction(predicate):  # a coroutine object is always true
            raise TypeError("predicate is async, and is not awaited; give a plain function")
        await self._changes.wait_until(predicate)

    def _check_loop(self) -> None:
        """Raise RuntimeError on another event loop, where a change would not wake the caller."""
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

    # Control the behaviour

    def register_transcript(
        self,
        transcript: Transcript,
        *,
        sha256: str | None = None,
        name: str | None = None,
        stream: str | None = None,
        number: str | None = None,
        paced: bool = True,
    ) -> None:
        """Register the transcript of an upload, a stream or a call.

        ``sha256`` is that of an upload's content; ``name`` the ``name`` parameter of the
        submission, or the last part of a linked URL. ``stream`` is a connection id, and
        ``number`` a phone number or SIP URI that is called; ``"*"`` stands for each that has no
        transcript of its own. Without any of them the transcript is used for every upload that
        has none of its own.

        In text, each line is one turn, with ``Speaker: `` before it if the speaker is known. In a
        stream a line comes when audio of its length has arrived, in a call when the time has
        passed, and the rest at the end; with ``paced=False`` all lines come at the start.
        """
        check_types(bool, "True or False", paced=paced)
        self._transcripts.register(
            transcript, sha256=sha256, name=name, stream=stream, number=number, paced=paced
        )

    def register_recording(self, path: Path | str, *, number: str, paced: bool = True) -> None:
        """Register the recording of a call: its speech is recognised, as that of an upload is.

        ``number`` is a phone number or SIP URI, or ``"*"`` for each other one. A sentence comes
        when the time has passed at which it was spoken, or with ``paced=False`` at the start. A
        transcript of the same number comes first. Without recognition the call is silent.
        """
        check_types((Path, str), "a path", path=path)
        check_types(str, "a phone number or a SIP URI", number=number)
        check_types(bool, "True or False", paced=paced)
        self._transcripts.register_recording(Path(path), number=number, paced=paced)

    def inject(self, fault: str, *, on: str | None = None, times: int = 1) -> None:
        """Make the next ``times`` matching requests fail; ``docs/testing.md`` lists the names.

        ``on`` is a method (token requests excluded), ``"token"``, ``"job"`` or the start of a
        path. Without it, the fault applies to the requests that it is designed for. Raises
        ValueError for an unknown fault, argument or ``on``.
        """
        check_types(str, 'the name of a fault, such as "reset"', fault=fault)
        check_types((str, NoneType), "a method or the start of a path", on=on)
        check_types(int, "an int", times=times)
        self._faults.inject(fault, on=on, times=times)

    def clear_faults(self) -> None:
        """Remove the injected faults that no request has met yet."""
        self._faults.clear()

    def hold_jobs(self, *, before: Literal["in_progress", "completed"] = "completed") -> None:
        """Hold every job before this status, until ``release()``."""
        self._check_loop()
        if before not in ("in_progress", "completed"):
            raise ValueError(f'before is {before!r}; give "in_progress" or "completed"')
        self._gate.hold(HoldPoint(before))

    def release(self, count: int | None = None) -> None:
        """Release ``count`` jobs, held now or later; None releases all and stops holding."""
        self._check_loop()
        check_types((int, NoneType), "an int, or None for all", count=count)
        self._gate.release(count)

    def release_webhooks(self) -> None:
        """Make the calls that the fault ``late_webhook`` holds back."""
        self._check_loop()
        self._webhooks.release_late()

    def revoke_tokens(self) -> None:
        """Revoke every token; the next token request issues a new one."""
        self._tokens.revoke()
