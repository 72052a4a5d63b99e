"""The concurrent parts of a soak: callers, faults, restarts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from benchmarks.soak_books import Books
from benchmarks.soak_line import TIMEOUT, Line
from symbl_aio import (
    AmbiguousSubmissionError,
    Config,
    Job,
    Limits,
    MediaOptions,
    Polls,
    Retries,
    Submission,
    SymblError,
    Text,
    TextOptions,
    Timeouts,
    Video,
)
from symbl_aio.events import Drain

DRAINS: Final[list[Drain]] = ["uploads", "jobs", "none"]
JOB_LIMIT: Final = 50
CALLERS: Final = 24
"""Concurrent conversations of each of the two clients."""
CALLS_PER_FAULT: Final = 20

TOKEN_FAULTS: Final = ["drop_before_body", "status:500", "half_answer", "garbage"]
FAULTS: Final = [
    *((f, on) for f in ("accept_then_drop", "half_answer", "garbage", "no_ids", "not_http")
      for on in ("POST", "PUT")),
    *((f, on) for f in ("drop_before_body", "drop_mid_body", "reset", "early:429", "early:413",
                        "status:500", "status:502", "status:503", "status:408", "status:429",
                        "status:400", "retry_after:503:0", "slow:0.2", "job_fails")
      for on in ("POST", "PUT")),
    *((f, "job") for f in ("unknown_status", "flap", "not_found", "reset", "status:500",
                           "garbage", "half_answer", "drop_before_body", "status:429")),
]  # fmt: skip


class Server:
    """The server's process. ``soak_server`` lists the commands."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.base_url = ""
        self._process = process
        self._log = log
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def start(cls, directory: Path) -> Server:
        log = directory / "server.log"
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.soak_server", str(JOB_LIMIT)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                limit=2**26,
            )
        server = cls(process, log)
        server.base_url = await server._answer()
        return server

    async def command(self, *command: Any) -> Any:
        stdin = self._process.stdin
        assert stdin is not None
        async with self._one_at_a_time:
            stdin.write(json.dumps(command).encode() + b"\n")
            await stdin.drain()
            return await self._answer()

    async def _answer(self) -> Any:
        stdout = self._process.stdout
        assert stdout is not None
        line = await stdout.readline()
        if not line:
            output = self._log.read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"the server's process has ended:\n{output}")
        return json.loads(line)

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


class Storm:
    """The callers, faults and restarts, and their state."""

    def __init__(self, server: Server, directory: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.books = Books()
        self.server = server
        self.recording = directory / "talk.mp4"
        self.recording.write_bytes(mp4_bytes(300_000))
        self.small = mp4_bytes(4096)
        config = Config(
            base_url=server.base_url,
            limits=Limits(max_jobs=JOB_LIMIT),
            polls=Polls(floor=0.02, ceiling=0.5, per_second=5000),
            retries=Retries(base=0.01, cap=0.1),
            timeouts=Timeouts(answer=TIMEOUT),
        )
        self.steady, self.changing = Line(config, self.books), Line(config, self.books)
        self.over, self.fault_due = asyncio.Event(), asyncio.Event()
        self.left_tasks = 0
        self.restarts = 0
        self.reattached = 0
        self.faults = 0
        self.finished: list[str] = []
        self.server_state: dict[str, Any] = {}
        self.server_memory: list[tuple[float, int]] = []
        self.pace: list[int] = []
        """Number of submissions so far, second by second."""

    # The callers

    async def submit_conversations(self, line: Line) -> None:
        while not self.over.is_set():
            await line.ready.wait()
            await self._conversation(line)

    async def _conversation(self, line: Line) -> None:
        """Open a conversation and append to it, in bursts, until an outcome is uncertain."""
        generation, certain = line.generation, True
        first = self._submit(line, None)
        if first is None:
            return
        pending = deque([first])
        to: Submission | str = first[1]
        for _ in range(self.rng.randint(0, 40)):
            if self.over.is_set() or not certain:
                break
            called = self._submit(line, to)
            if called is not None:
                pending.append(called)
                if self.rng.random() < 0.03:
                    self.rng.choice(pending)[1].cancel()
            if called is None or len(pending) > 8:
                while pending:
                    job = await self._settle(line, *pending.popleft())
                    if isinstance(job, Job):
                        to = str(job.conversation_id)
                    elif isinstance(to, Submission):
                        certain = False
                    elif isinstance(job, AmbiguousSubmissionError) and (
                        line.generation != generation or not line.ready.is_set()
                    ):
                        # The client was closed during the upload: the server may still accept it.
                        certain = False
                if not line.ready.is_set():
                    await line.ready.wait()
                if line.generation != generation and isinstance(to, Submission):
                    certain = False
                generation = line.generation
                if certain and isinstance(to, str):
                    line.client.conversation(to).resume_appends()
        for mark, submission in pending:
            job = await self._settle(line, mark, submission)
            if isinstance(job, Job):
                to = str(job.conversation_id)
        if isinstance(to, str):
            await self._read(line, to)
            # A halted lane stays so until a caller resumes it: this one has examined the append.
            if line.ready.is_set():
                line.client.conversation(to).resume_appends()
            self.finished.append(to)

    def _submit(self, line: Line, to: Submission | str | None) -> tuple[int, Submission] | None:
        mark = self.books.call()
        if mark % CALLS_PER_FAULT == 0:
            self.fault_due.set()
        query = {"mark": mark}
        media, options = self._media(mark)
        given: Any = (
            TextOptions(extra_query=query) if options is TextOptions
            else MediaOptions(extra_query=query)
        )  # fmt: skip
        try:
            if to is None:
                return mark, line.client.submit(media, given)
            return mark, line.client.append(to, media, given)
        except SymblError as error:  # halted, closed, or a handle of the previous client
            self.books.record(mark, error)
            return None

    def _media(self, mark: int) -> tuple[Any, type]:
        dice = self.rng.random()
        if dice < 0.75:
            return Text(f"This is number {mark}. We go on."), TextOptions
        if dice < 0.85:
            return Video(self.small), MediaOptions
        if dice < 0.92:
            return Video(self.recording), MediaOptions
        if dice < 0.98:
            return Video(self._stream(whole=dice < 0.97), size=100_000), MediaOptions
        return Video(self.recording.with_name("missing.mp4")), MediaOptions

    async def _stream(self, *, whole: bool) -> AsyncIterator[bytes]:
        data = mp4_bytes(100_000)
        yield data[:60_000]
        await asyncio.sleep(0)
        if whole:
            yield data[60_000:]

    async def _settle(self, line: Line, mark: int, submission: Submission) -> Job | BaseException:
        (outcome,) = await asyncio.gather(submission, return_exceptions=True)
        self.books.record(mark, outcome)
        if isinstance(outcome, Job):
            line.watch(outcome)
        elif isinstance(outcome, AmbiguousSubmissionError):
            await self._reconcile(mark, outcome)
        return outcome

    async def _reconcile(self, mark: int, error: AmbiguousSubmissionError) -> None:
        with contextlib.suppress(SymblError):
            found = await error.reconcile()
            self.books.counts["ambiguous, proven"] += 1
            await self.collect()
            if not self.books.accepted[mark]:
                self.books.mismatches.append(
                    f"{mark} has proof by {found.how}, and was not accepted"
                )

    async def _read(self, line: Line, conversation_id: str) -> None:
        if self.rng.random() < 0.2:
            with contextlib.suppress(SymblError):
                await line.client.conversation(conversation_id).messages(wait=True)
                self.books.counts["conversations read"] += 1

    # Faults and restarts

    async def inject_faults(self) -> None:
        """Inject a fault after every ``CALLS_PER_FAULT`` calls.

        Not by the clock: injected faults wait for requests, so they would pile up during the
        backoff of the clients, and prolong it.
        """
        while not self.over.is_set():
            await self.fault_due.wait()
            self.fault_due.clear()
            fault, on = self.rng.choice(FAULTS)
            await self._inject(fault, on, self.rng.choice([1, 1, 1, 3]))
            if self.rng.random() < 0.005:
                await self.server.command("revoke")
            if self.rng.random() < 0.005:
                await self.server.command("hold")
                await self._over_within(0.3)
                await self.server.command("release")

    async def _inject(self, fault: str, on: str, times: int) -> None:
        await self.server.command("inject", fault, on, times)
        self.faults += 1

    async def restart(self) -> None:
        while not await self._over_within(self.rng.uniform(2, 8)):
            drain = self.rng.choice(DRAINS)
            tokens = await self.changing.close(drain, self.rng.uniform(0, 1))
            self.restarts += 1
            self.reattached += len(tokens)
            if self.rng.random() < 0.3:
                await self._inject(self.rng.choice(TOKEN_FAULTS), "token", self.rng.randint(1, 3))
            await self.changing.open(tokens)

    async def collect_regularly(self) -> None:
        while not await self._over_within(1.0):
            await self.collect()
            self.pace.append(len(self.books.reported))

    async def collect(self) -> None:
        finished, self.finished = self.finished, []
        state = await self.server.command("collect", finished)
        self.books.record_accepted(state.pop("accepted"))
        self.books.forget(finished)
        self.server_state = state
        self.server_memory.append((time.monotonic(), state["rss"]))

    async def _over_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.over.wait()
        except TimeoutError:
            return False
        return True

    # From the beginning to the end

    async def run(self, seconds: float) -> None:
        """Open both clients and run all parts for so many seconds; the clients stay open."""
        self.over.clear()
        await self.steady.open()
        await self.changing.open()
        others = [
            asyncio.create_task(work)
            for work in (self.inject_faults(), self.restart(), self.collect_regularly())
        ]
        callers = [
            asyncio.create_task(self.submit_conversations(line))
            for line in (self.steady, self.changing)
            for _ in range(CALLERS)
        ]
        failed, _ = await asyncio.wait(
            [*others, *callers], timeout=seconds, return_when=asyncio.FIRST_EXCEPTION
        )
        self.over.set()
        self.fault_due.set()
        for task in failed:
            task.result()
        await asyncio.gather(*others)
        await self.server.command("clear")
        await self.server.command("release")
        ended, hanging = await asyncio.wait(callers, timeout=TIMEOUT)
        for task in ended:
            task.result()
        for task in hanging:  # the ledger shows them as pending futures
            task.cancel()
        if hanging:
            await asyncio.wait(hanging)

    async def settle(self) -> None:
        """Close both clients after all jobs have ended, and check that nothing is left."""
        await self.server.command("quiet")
        for line in (self.steady, self.changing):
            tokens = await line.close("jobs", TIMEOUT)
            stats = line.client.stats()
            if tokens or (stats.queued, stats.uploading, stats.jobs) != (0, 0, 0):
                self.books.mismatches.append(f"the client closed with {tokens} and {stats}")
            occupied = line.client._engine._queue.slots.occupied
            if occupied:
                self.books.mismatches.append(f"{occupied} job slots did not come back")
        self.left_tasks += len(asyncio.all_tasks()) - 1
        await self.server.command("quiet")
        await self.collect()


def mp4_bytes(size: int) -> bytes:
    head = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"
    return head + bytes(size - len(head))
