"""Faults of the machine that the client runs on: no handles, disks that hang, full executors.

None of them is the recording's, so none of them may end its way for good.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiofiles.threadpool
import aiohttp
import pytest

from symbl_aio import (
    ClientClosedError,
    Config,
    Conversation,
    Credentials,
    FileUnavailableError,
    MediaRejectedError,
    Retries,
    SymblClient,
    SymblError,
    Text,
    Timeouts,
    TransportError,
    UploadStalledError,
)
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK, mp4_bytes

CREDENTIALS = Credentials("app", "secret")
PASSING = ["EMFILE", "ENFILE", "ENOMEM", "EIO", "ESTALE", "EAGAIN", "ENOBUFS", "ENOTCONN"]


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.mp4"
    path.write_bytes(mp4_bytes(200_000))
    return path


def client_of(server: LocalSymbl, **settings: Any) -> SymblClient:
    config = Config(base_url=server.base_url, chunk_size=2**16, **QUICK | settings)
    return SymblClient(CREDENTIALS, config=config)


# Faults that pass


class Faults:
    """Raises ``error`` in the first ``times`` calls of a function that touches ``path``."""

    def __init__(self, function: Callable[..., Any], path: Path, error: Exception, times: int):
        self.left = times
        self._function, self._path, self._error = function, path, error

    def __call__(self, path: Any, *args: Any, **kwargs: Any) -> Any:
        if path == self._path and self.left:
            self.left -= 1
            raise self._error
        return self._function(path, *args, **kwargs)


LOOKS: list[tuple[Any, str]] = [(os, "stat"), (aiofiles.threadpool, "sync_open")]


@pytest.mark.parametrize("owner, name", LOOKS, ids=["stat", "open"])
@pytest.mark.parametrize(
    "error",
    [*(OSError(getattr(errno, name), name) for name in PASSING), MemoryError()],
    ids=[*PASSING, "MemoryError"],
)
async def test_a_passing_fault_is_tried_again(
    server: LocalSymbl, talk: Path, monkeypatch, owner: Any, name: str, error: Exception
):
    faults = Faults(getattr(owner, name), talk, error, 2)
    monkeypatch.setattr(owner, name, faults)
    async with client_of(server) as client:
        await client.process(talk)
    assert faults.left == 0
    assert len(server.submissions) == 1


class FaultyFile(io.FileIO):
    """Fails at its second chunk, as long as ``left`` says so."""

    left = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() and FaultyFile.left:
            FaultyFile.left -= 1
            raise OSError(errno.EIO, "input/output error")
        return super().read(size)


async def test_a_disk_error_in_the_middle_is_tried_again(
    server: LocalSymbl, talk: Path, monkeypatch
):
    FaultyFile.left = 2
    monkeypatch.setattr(aiofiles.threadpool, "sync_open", lambda path, *_, **__: FaultyFile(path))
    async with client_of(server) as client:
        await client.process(talk)
    assert FaultyFile.left == 0
    assert len([one for one in server.submissions if one.accepted]) == 1


async def test_a_fault_that_does_not_pass_ends_as_an_error_of_its_own(
    server: LocalSymbl, talk: Path, monkeypatch
):
    faults = Faults(os.stat, talk, OSError(errno.ESTALE, "Stale file handle"), 99)
    monkeypatch.setattr(os, "stat", faults)
    async with client_of(server, retries=Retries(attempts=3, base=0.001, cap=0.01)) as client:
        with pytest.raises(
            FileUnavailableError, match=r"talk\.mp4' cannot be read .*Stale"
        ) as told:
            await client.process(talk)
        assert isinstance(told.value.__cause__, OSError)
        assert faults.left == 96
        assert client.stats().uploading == 0


@pytest.mark.parametrize("borrowed", [False, True])
async def test_a_host_that_no_thread_can_look_up_is_looked_up_again(
    server: LocalSymbl, monkeypatch, borrowed: bool
):
    start = threading.Thread.start
    refused: list[threading.Thread] = []

    def scarce(thread: threading.Thread) -> None:
        if len(refused) < 2 and thread.name.startswith(("symbl_aio names", "asyncio")):
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    base_url = server.base_url.replace("127.0.0.1", "localhost")
    async with (
        aiohttp.ClientSession() as session,
        SymblClient(
            CREDENTIALS,
            config=Config(base_url=base_url, **QUICK),
            session=session if borrowed else None,
        ) as client,
    ):
        await client.process(Text("Hello."))
    assert len(refused) == 2


async def test_a_process_without_threads_sent_nothing_and_says_so(server: LocalSymbl, monkeypatch):
    def none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    base_url = server.base_url.replace("127.0.0.1", "localhost")
    async with SymblClient(CREDENTIALS, config=Config(base_url=base_url, **QUICK)) as client:
        monkeypatch.setattr(threading.Thread, "start", none)
        with pytest.raises(TransportError, match="this process can start no thread") as raised:
            await client.process(Text("Hello."))
    assert (raised.value.sent, raised.value.final) == ("no", False)


async def test_a_missing_file_is_final_at_once(server: LocalSymbl, talk: Path, monkeypatch):
    faults = Faults(os.stat, talk, FileNotFoundError(errno.ENOENT, "no such file"), 99)
    monkeypatch.setattr(os, "stat", faults)
    async with client_of(server) as client:
        with pytest.raises(MediaRejectedError):
            await client.process(talk)
    assert faults.left == 98


FEW_HANDLES = """
import asyncio, resource, sys
from symbl_aio import *
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
async def main():
    config = Config(base_url=sys.argv[1], limits=Limits(jobs=50), polls=Polls(floor=0.05))
    async with SymblClient(Credentials("app", "secret"), config=config) as client:
        failed = [o.error async for o in client.map([Video(sys.argv[2])] * 60) if not o.ok]
    print([repr(error) for error in failed])
asyncio.run(main())
"""


@pytest.mark.heavy
async def test_more_slots_than_handles_fail_no_upload(server: LocalSymbl, talk: Path):
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FEW_HANDLES, server.base_url, str(talk),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    told, complaints = await done.communicate()
    assert (told.decode().strip(), complaints.decode()) == ("[]", "")


# Waits for threads


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What hangs until the test is over."""
    event = threading.Event()
    yield event
    event.set()


class Hanging:
    """Hangs in the ``held``-th call for ``path``."""

    def __init__(self, function: Callable[..., Any], path: Path, gate: threading.Event):
        self._function, self._path, self._gate = function, path, gate
        self.loop = asyncio.get_running_loop()
        self.hangs = asyncio.Event()

    def __call__(self, path: Any, *args: Any, **kwargs: Any) -> Any:
        if path == self._path:
            self.loop.call_soon_threadsafe(self.hangs.set)
            self._gate.wait()
        return self._function(path, *args, **kwargs)


class HangingFile(io.FileIO):
    """Hangs at its second chunk."""

    gate: threading.Event
    loop: asyncio.AbstractEventLoop
    hangs: asyncio.Event

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell():
            self.loop.call_soon_threadsafe(self.hangs.set)
            self.gate.wait()
        return super().read(size)


@pytest.fixture(params=["stat", "open", "read"])
async def hangs(
    request: pytest.FixtureRequest, talk: Path, gate: threading.Event, monkeypatch
) -> asyncio.Event:
    """Let the disk hang with ``talk``, at one of the things that are done with it."""
    if request.param == "read":
        HangingFile.gate, HangingFile.hangs = gate, asyncio.Event()
        HangingFile.loop = asyncio.get_running_loop()
        monkeypatch.setattr(
            aiofiles.threadpool, "sync_open", lambda path, *_, **__: HangingFile(path)
        )
        return HangingFile.hangs
    owner, name = LOOKS[0] if request.param == "stat" else LOOKS[1]
    hanging = Hanging(getattr(owner, name), talk, gate)
    monkeypatch.setattr(owner, name, hanging)
    return hanging.hangs


async def test_a_disk_that_hangs_is_a_stalled_upload(
    server: LocalSymbl, talk: Path, hangs: asyncio.Event
):
    settings: dict[str, Any] = {
        "timeouts": Timeouts(connect=0.5, stall=0.05),
        "retries": Retries(attempts=2, base=0.001, cap=0.001),
    }
    async with client_of(server, **settings) as client:
        with pytest.raises(UploadStalledError):
            await client.process(talk)
        assert hangs.is_set()
        await client.process(Text("another way than that disk"))


async def test_closing_does_not_wait_for_a_disk_that_hangs(
    server: LocalSymbl, talk: Path, hangs: asyncio.Event
):
    client = client_of(server)
    await client.start()
    submission = client.submit(talk)
    await hangs.wait()
    async with asyncio.timeout(15):
        await client.aclose(drain="none")
        with pytest.raises((SymblError, asyncio.CancelledError)):
            await submission
    await asyncio.sleep(0)  # one turn, in which the loop lets go of what was cancelled
    names = [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}]
    assert not [name for name in names if name.startswith("symbl_aio")]


HUNG_AT_EXIT = """
import asyncio, os, sys, threading
from symbl_aio import *
started = threading.Event()
real = os.stat
def stat(path, *args, **kwargs):
    if str(path).endswith("talk.mp4"):
        started.set()
        threading.Event().wait()
    return real(path, *args, **kwargs)
os.stat = stat
async def main():
    client = SymblClient(Credentials("app", "secret"), config=Config(base_url=sys.argv[1]))
    await client.start()
    client.submit(sys.argv[2])
    await asyncio.to_thread(started.wait)
    await client.aclose(drain="none")
asyncio.run(main())
print("over")
"""


async def test_a_program_ends_although_a_disk_hangs(server: LocalSymbl, talk: Path):
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HUNG_AT_EXIT, server.base_url, str(talk), stdout=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            told, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
    assert (running.returncode, told) == (0, b"over\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_callers_that_fill_the_default_executor_do_not_stop_the_client(
    server: LocalSymbl, talk: Path, host: str
):
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(6))
    base_url = server.base_url.replace("127.0.0.1", host)
    async with SymblClient(CREDENTIALS, config=Config(base_url=base_url, **QUICK)) as client:

        def call() -> Conversation:
            waiting = asyncio.run_coroutine_threadsafe(client.process(talk), loop)
            return waiting.result(60)

        done = await asyncio.gather(*(asyncio.to_thread(call) for _ in range(12)))
    assert len({one.id for one in done}) == 12


async def test_callers_that_fill_the_executor_of_a_borrowed_session_are_told_and_let_go(
    server: LocalSymbl,
):
    # aiohttp's own resolver needs a thread of that executor, and these callers have them all.
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(2))
    config = Config(
        base_url=server.base_url.replace("127.0.0.1", "localhost"),
        timeouts=Timeouts(connect=0.1, read=0.1, stall=0.1, answer=0.1),
        retries=Retries(attempts=2, base=0.001),
    )
    resolver = aiohttp.ThreadedResolver()
    connector = aiohttp.TCPConnector(resolver=resolver)
    async with (
        asyncio.timeout(60),
        aiohttp.ClientSession(connector=connector) as session,
        SymblClient(CREDENTIALS, config=config, session=session) as client,
    ):

        def call() -> Conversation:
            waiting = asyncio.run_coroutine_threadsafe(client.process(Text("Hello.")), loop)
            return waiting.result(60)

        ended = await asyncio.gather(
            *(asyncio.to_thread(call) for _ in range(4)), return_exceptions=True
        )
        # The two that held the threads are let go; who came behind them has one free by then.
        told = [one for one in ended if isinstance(one, BaseException)]
        assert len(told) >= 2
        assert [type(one) for one in told] == [TransportError] * len(told)
        assert {one.sent for one in told if isinstance(one, TransportError)} <= {"no", "maybe"}


async def test_a_client_with_a_borrowed_session_closes_while_its_executor_is_full(
    server: LocalSymbl,
):
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    gate = threading.Event()
    blocked = loop.run_in_executor(None, gate.wait)
    base_url = server.base_url.replace("127.0.0.1", "localhost")
    connector = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver())
    try:
        async with (
            asyncio.timeout(60),
            aiohttp.ClientSession(connector=connector) as session,
        ):
            client = SymblClient(CREDENTIALS, config=Config(base_url=base_url), session=session)
            await client.start()
            submission = client.submit(Text("Hello."))
            await client.aclose(drain="none")
            with pytest.raises(ClientClosedError):
                await submission
    finally:
        gate.set()
        await blocked


async def test_the_threads_of_a_client_are_named_and_end_with_it(server: LocalSymbl, talk: Path):
    def ours() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one.name.startswith("symbl_aio files")]

    before = set(ours())
    async with client_of(server) as client:
        await asyncio.gather(*(client.process(talk) for _ in range(5)))
        new = [one for one in ours() if one not in before]
        assert 1 <= len(new) <= 8
    for one in new:
        one.join(10)
        assert not one.is_alive()
