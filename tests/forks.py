"""Processes that start at once: forked from one that has imported what they run.

An interpreter that imports the package, and the engine of the outbox, takes seconds; a fork of
one that has done so takes milliseconds. Each process of pytest has one to fork from, once a
test needs it, which runs nothing itself: no thread, no event loop.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import runpy
import sys
import warnings
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.reduction import DupFd
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import IO, Any, Self

ROOT = Path(__file__).parents[1]
_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["tests.prepared"])


class Fork:
    """A process that runs a function, which can be paused, killed and waited for."""

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process = process
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(process.sentinel, self._exited)

    @classmethod
    async def start(cls, run: Callable[..., object], *arguments: Any) -> Self:
        """Run ``run(*arguments)``; both are pickled, sockets and pipes among them."""
        process = _FORKSERVER.Process(
            target=_run, args=(dict(os.environ), run, arguments), daemon=True
        )
        await asyncio.to_thread(process.start)
        return cls(process)

    @property
    def alive(self) -> bool:
        return not self._exit.done()

    @property
    def code(self) -> int | None:
        """The exit code, below 0 for a signal; ``None`` while it runs."""
        return self._exit.result() if self._exit.done() else None

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def send(self, signal: int) -> None:
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal)

    async def kill(self) -> None:
        """End it at once (SIGKILL), and wait until it has."""
        if self.alive:
            self.send(SIGKILL)
        await self.ended()

    async def ended(self) -> int:
        """Wait for its end; return its exit code, below 0 for a signal."""
        return await asyncio.shield(self._exit)

    def _exited(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        self._exit.set_result(self._process.exitcode or 0)


class Program:
    """A module that runs in a fork as ``python -W error -m`` would run it.

    It has the methods of asyncio's ``Process``. A test of which modules a program imports, or of
    warnings when it imports them, needs a new interpreter.
    """

    def __init__(self, fork: Fork, streams: Mapping[int, asyncio.StreamReader]) -> None:
        self._fork = fork
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout = streams.get(1)
        self.stderr = streams.get(2)

    @classmethod
    async def start(
        cls,
        module: str,
        *arguments: str,
        env: Mapping[str, str],
        stdin: int | None = DEVNULL,
        stdout: int | None = PIPE,
        stderr: int | None = PIPE,
    ) -> Self:
        """Run a module, in this directory. A stream that is ``None`` is closed.

        Any other is a ``PIPE``, ``DEVNULL`` or a file descriptor; stderr may be ``STDOUT``.
        """
        ours: dict[int, int] = {}
        theirs: dict[int, _Descriptor] = {}
        for number, given in enumerate((stdin, stdout, stderr)):
            if given == PIPE:
                reading, writing = os.pipe()
                ours[number], end = (reading, writing) if number else (writing, reading)
                theirs[number] = _Descriptor(end, closes=True)
            elif given == STDOUT:
                theirs[number] = _Descriptor(theirs[1].number)
            elif given == DEVNULL:
                theirs[number] = _Descriptor(os.open(os.devnull, os.O_RDWR), closes=True)
            elif given is not None:
                theirs[number] = _Descriptor(given)
        fork = await Fork.start(_run_module, dict(env), os.getcwd(), theirs, module, arguments)
        for descriptor in theirs.values():
            descriptor.close()
        readers = {number: await _reader(end) for number, end in ours.items() if number}
        program = cls(fork, readers)
        if 0 in ours:
            program.stdin = await _writer(ours[0])
        return program

    @property
    def pid(self) -> int:
        return self._fork.pid

    @property
    def returncode(self) -> int | None:
        return self._fork.code

    def send_signal(self, signal: int) -> None:
        self._fork.send(signal)

    def terminate(self) -> None:
        self._fork.send(SIGTERM)

    def kill(self) -> None:
        self._fork.send(SIGKILL)

    async def wait(self) -> int:
        return await self._fork.ended()

    async def communicate(self, given: bytes | None = None) -> tuple[bytes, bytes]:
        """Write to its stdin and close it; return all that is left of stdout and stderr."""
        if self.stdin is not None:
            with suppress(ConnectionError):
                self.stdin.write(given or b"")
                await self.stdin.drain()
            self.stdin.close()
        out, err = await asyncio.gather(*(_rest(of) for of in (self.stdout, self.stderr)))
        await self.wait()
        return out, err


class _Descriptor:
    """A file descriptor, of which the fork gets a copy."""

    def __init__(self, number: int, *, closes: bool = False) -> None:
        self.number = number
        self._closes = closes

    def close(self) -> None:
        if self._closes:
            os.close(self.number)

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _received, (DupFd(self.number),)


def _received(descriptor: Any) -> int:
    number: int = descriptor.detach()
    return number


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    return reader


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(descriptor, "wb", 0)
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def _rest(reader: asyncio.StreamReader | None) -> bytes:
    return b"" if reader is None else await reader.read()


def _run_module(
    environment: Mapping[str, str],
    directory: str,
    streams: Mapping[int, int],
    module: str,
    arguments: tuple[str, ...],
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    for number in range(3):
        if number in streams:
            os.dup2(streams[number], number)
            os.close(streams[number])
        else:
            with suppress(OSError):
                os.close(number)
    sys.stdin, sys.stdout, sys.stderr = (_stream(number, streams) for number in range(3))
    warnings.simplefilter("error")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _stream(number: int, streams: Mapping[int, int]) -> Any:
    """Open a standard stream as an interpreter does: one that is closed is ``None``."""
    if number not in streams:
        return None
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "utf-8").partition(":")
    if number == 2 or not errors:
        errors = "backslashreplace" if number == 2 else "strict"
    mode = "w" if number else "r"
    stream: IO[str] = os.fdopen(number, mode, encoding=encoding, errors=errors, closefd=False)
    return stream


def _run(
    environment: Mapping[str, str], run: Callable[..., object], arguments: tuple[Any, ...]
) -> None:
    # What was forked from may have started in another test, with its variables.
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    run(*arguments)
