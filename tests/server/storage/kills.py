"""Kill a server again and again under load, and keep a ledger of what its callers observe."""

from __future__ import annotations

import asyncio
import io
import random
import re
import sys
import wave
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from attrs import define, field

from symbl_aio import (
    AmbiguousSubmissionError,
    APIError,
    AppendBlockedError,
    Audio,
    Config,
    Credentials,
    NotFoundError,
    Polls,
    Retries,
    SymblClient,
    SymblError,
    Text,
    Tracker,
    TransportError,
)

RATE = 8000
LINE = re.compile(r"Line \d+ \d+ of it\.|[\d.]+ s of wav")


class Server:
    """``symbl-aio serve`` on one port and directory, as a process that can be killed."""

    def __init__(self, data: Path, port: int) -> None:
        self._data = data
        self._port = port
        self._process: asyncio.subprocess.Process | None = None
        self._log = (data.parent / "serve.log").open("ab")

    async def start(self) -> None:
        """Start it, and return once it listens."""
        words = ["serve", "--port", str(self._port), "--data", str(self._data), "--json"]
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "symbl_aio.cli", *words, "--asr", "off"),
            *("--job-seconds", "0.05"),
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
        )
        assert self._process.stdout is not None
        assert b"serving" in await self._process.stdout.readline()

    async def kill(self) -> None:
        """End it with SIGKILL, and wait until it has gone."""
        assert self._process is not None
        self._process.kill()
        await self._process.communicate()

    async def stop(self) -> int:
        """End it with SIGTERM, and return its exit code."""
        assert self._process is not None
        self._process.terminate()
        await self._process.communicate()
        self._log.close()
        return self._process.returncode or 0


@define(eq=False)
class Record:
    """One conversation as its only writer knows it. A line is a unique text of a message.

    ``accepted``: lines with a 201, in order. ``unknown``: lines without a usable answer.
    ``deleted``: None until a deletion was tried, then whether it was acknowledged.
    """

    id: str = ""
    accepted: list[str] = field(factory=list)
    unknown: set[str] = field(factory=set)
    metadata: dict[str, str] = field(factory=dict)
    deleted: bool | None = None


@define
class Ledger:
    """All that callers observed, and every broken promise."""

    kills: int = 0
    accepted: int = 0
    ambiguous: int = 0
    jobs_completed: int = 0
    reads: int = 0
    records: list[Record] = field(factory=list)
    trackers: list[str] = field(factory=list)
    faults: list[str] = field(factory=list)

    def lines(self) -> Iterable[str]:
        deleted = sum(record.deleted is True for record in self.records)
        yield (
            f"serve, {self.kills} kills: {self.accepted} submissions accepted, "
            f"{self.jobs_completed} jobs seen to their end, {self.ambiguous} ambiguous"
        )
        yield (
            f"  {len(self.records)} conversations, {deleted} of them deleted, "
            f"{len(self.trackers)} trackers, {self.reads} reads; {len(self.faults)} faults"
        )


def client(port: int) -> SymblClient:
    """Return a client as users make it, but patient: the server is away for seconds."""
    return SymblClient(
        Credentials("app", "secret"),
        config=Config(
            base_url=f"http://127.0.0.1:{port}",
            retries=Retries(attempts=100_000, max_elapsed=1200, base=0.1, cap=0.5),
            polls=Polls(floor=0.05, ceiling=0.5, per_second=100, not_found_grace=1),
            proxy=None,
        ),
    )


async def one_conversation(symbl: SymblClient, ledger: Ledger, number: int) -> None:
    """Submit, append, read, write and perhaps delete; every outcome goes into the ledger."""
    record = Record()
    ledger.records.append(record)
    conversation = None
    for step in range(random.randint(2, 7)):
        line = f"Line {number} {step} of it."
        if random.random() < 0.4:
            line = f"{step + 1}{number % 10}.5 s of wav"
            media: Text | Audio = Audio(recording(float(line.split()[0])))
        else:
            media = Text(line)
        try:
            job = await (conversation.append(media) if conversation else symbl.submit(media))
        except (AmbiguousSubmissionError, AppendBlockedError) as error:
            # No answer came: either outcome is right, and nothing can follow in order.
            ledger.ambiguous += isinstance(error, AmbiguousSubmissionError)
            record.unknown.add(line)
            return
        ledger.accepted += 1
        record.accepted.append(line)
        record.id = str(job.conversation_id)
        try:
            conversation = await job
            ledger.jobs_completed += 1
        except SymblError as error:
            ledger.faults.append(f"job {job.id} of {line!r}: {error!r}")
            return
        ledger.faults += check(record, [m.text for m in await conversation.messages()])
        ledger.reads += 1
        if random.random() < 0.3:
            await conversation.update_metadata({"step": str(step)})
            record.metadata["step"] = str(step)
    if conversation is not None and random.random() < 0.3:
        record.deleted = False
        with suppress(NotFoundError):  # by an earlier attempt, whose answer was lost
            await conversation.delete()
        record.deleted = True


async def manage(symbl: SymblClient, ledger: Ledger) -> None:
    """Create trackers; a call that is repeated after a lost answer conflicts with itself."""
    for number in range(10_000):
        name = f"tracker {number}"
        try:
            await symbl.trackers.create(Tracker(name, ["too dear"]))
        except APIError as error:
            if error.status != 409:
                raise
        except TransportError:
            continue  # its answer is lost: it may be there or not
        ledger.trackers.append(name)
        await asyncio.sleep(0.2)


def recording(seconds: float) -> bytes:
    """Return a wav of silence."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(RATE)
        file.writeframes(b"\x80" * int(seconds * RATE))
    return buffer.getvalue()


def check(record: Record, texts: list[str]) -> list[str]:
    """Return how the messages differ from the accepted lines, in order and each once."""
    found = [
        m[0] for text in texts if (m := re.search(r"Line \d+ \d+ of it\.|[\d.]+ s of wav", text))
    ]
    certain = [line for line in found if line not in record.unknown]
    if certain == record.accepted and len(found) == len(set(found)):
        return []
    return [f"conversation {record.id}: {found}, accepted {record.accepted}"]


async def storm(data: Path, port: int, kills: int, seed: int) -> Ledger:
    """Kill a server ``kills`` times under load, then stop it; return what callers observed.

    Twelve callers open conversations and append to them, with one client that is never closed:
    it sees the same server again and again.
    """
    random.seed(seed)
    ledger, server = Ledger(), Server(data, port)
    await server.start()
    stopping = asyncio.Event()
    async with client(port) as symbl:
        numbers = iter(range(1_000_000))

        async def caller() -> None:
            while not stopping.is_set():
                await one_conversation(symbl, ledger, next(numbers))

        callers = [asyncio.create_task(caller()) for _ in range(12)]
        manager = asyncio.create_task(manage(symbl, ledger))
        for _ in range(kills):
            await asyncio.sleep(random.uniform(0.1, 1.5))
            await server.kill()
            ledger.kills += 1
            await server.start()
        stopping.set()
        await asyncio.gather(*callers)
        manager.cancel()
        await asyncio.gather(manager, return_exceptions=True)
        # Once more: everything that was acknowledged is on the disk.
        await server.kill()
        await server.start()
        for record in ledger.records:
            ledger.faults += await difference(symbl, record)
        stored = {tracker.name for tracker in await symbl.trackers.list()}
        ledger.faults += [f"{name} is lost" for name in ledger.trackers if name not in stored]
    if code := await server.stop():
        ledger.faults.append(f"the server ended with {code}")
    left = sorted(path.name for path in (data / "bodies").iterdir())
    ledger.faults += [f"{name} was left behind" for name in left]
    return ledger


async def difference(symbl: SymblClient, record: Record) -> list[str]:
    """Return how a conversation differs from the record of its writer."""
    if not record.id:
        return []
    conversation = symbl.conversation(record.id)
    try:
        texts = [message.text for message in await conversation.messages()]
        info = await conversation.info()
    except NotFoundError:
        return [] if record.deleted is not None else [f"conversation {record.id} is lost"]
    if record.deleted:
        return [f"conversation {record.id} was deleted, and is there"]
    faults = check(record, texts)
    if record.metadata and dict(info.metadata or {}) != record.metadata:
        faults.append(f"conversation {record.id} has the metadata {info.metadata}")
    return faults
