"""Cost of ``symbl-aio upload``: CPU a recording, on a terminal, as JSON, and by ``client.map``."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
import tempfile
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import (
    ROOT,
    Answer,
    Figure,
    Question,
    Settings,
    Spread,
    alone,
    alternate,
    serving,
)

RECORDINGS: Final = 400
SCREEN: Final = {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
# An account whose limit is known, and polls that do not wait for their turn.
HURRY: Final = {"SYMBL_LIMITS_INITIAL_JOBS": "50", "SYMBL_POLLS_PER_SECOND": "100"}


async def serve(announce: Callable[[Any], None]) -> None:
    """Run the local server, which knows what was said in every recording."""
    from symbl_aio.testing import LocalSymbl

    async with LocalSymbl(default_transcript="Ann: We ship it.", keep_bodies=False) as symbl:
        announce(symbl.base_url)
        await asyncio.Event().wait()


async def map_all(paths: list[str], server: str) -> int:
    """Send the same recordings by ``client.map``, as in the guide; return how many completed."""
    from symbl_aio import Config, Credentials, Limits, Polls, SymblClient

    config = Config(base_url=server, limits=Limits(initial_jobs=50), polls=Polls(per_second=100.0))
    async with SymblClient(Credentials("app", "secret"), config=config) as symbl:
        return sum([outcome.error is None async for outcome in symbl.map(paths)])


@contextmanager
def _recordings(count: int) -> Iterator[Path]:
    """Write short recordings for the block, no two of which are alike."""
    with tempfile.TemporaryDirectory(prefix="symbl-bench-") as folder:
        for number in range(count):
            with wave.open(f"{folder}/{number:05}.wav", "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(number.to_bytes(2, "little") * 800)
        yield Path(folder)


def command(folder: Path, *, options: tuple[str, ...] = (), terminal: bool = False) -> float:
    """Upload a folder by the command, as if for the first time; return its CPU seconds."""
    with serving(serve) as server, tempfile.TemporaryDirectory() as state:
        known = {
            "SYMBL_BASE_URL": server.announced,
            "SYMBL_APP_ID": "app",
            "SYMBL_APP_SECRET": "secret",
            "XDG_STATE_HOME": state,
        }
        environment = os.environ | SCREEN | HURRY | known
        words = [sys.executable, "-m", "symbl_aio.cli", "upload", *options, str(folder)]
        with _terminal() if terminal else open(os.devnull, "w") as screen:
            child = subprocess.Popen(
                words, cwd=ROOT, env=environment, stdout=screen, stderr=screen,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"{' '.join(words[2:])} ended with {child.returncode}")
        return used.ru_utime + used.ru_stime


@contextmanager
def _terminal() -> Iterator[int]:
    """Open a terminal whose output is read to its end, and yield its file descriptor."""
    ours, theirs = pty.openpty()
    reader = threading.Thread(target=_read_all, args=(ours,))
    reader.start()
    try:
        yield theirs
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)


def _read_all(terminal: int) -> None:
    with suppress(OSError):  # how Linux tells the end of a terminal
        while os.read(terminal, 65536):
            pass


def mapped(folder: Path, count: int) -> float:
    """Return the CPU seconds of a program that does the same by ``client.map``."""
    with serving(serve) as server:
        paths = sorted(str(path) for path in folder.glob("*.wav"))
        done = alone(map_all, timeout=600, paths=paths, server=server.announced)
    assert done.value == count
    return done.cpu


def ask(settings: Settings) -> Answer:
    count, rounds = settings.pick(RECORDINGS, 40), settings.pick(2, 1)
    with _recordings(count) as folder, _recordings(1) as one:
        cpu = alternate(
            {
                "one": partial(command, one, options=("--json",)),
                "json": partial(command, folder, options=("--json",)),
                "plain": partial(command, folder),
                "terminal": partial(command, folder, terminal=True),
                "map": partial(mapped, folder, count),
            },
            rounds,
        )
    started = min(cpu["one"])
    each = {
        name: Spread.of([1e3 * (seconds - started) / (count - 1) for seconds in taken])
        for name, taken in cpu.items()
    }
    figures = (
        Figure.spread("terminal_ratio", "CPU on a terminal, against --json",
                      Spread.of_ratios(cpu["terminal"], cpu["json"]), "×",
                      at_most=settings.pick(1.5, 3)),
        Figure.spread("json", "--json, CPU a recording", each["json"], "ms",
                      at_most=settings.pick(8, 30)),
        Figure.spread("terminal", "on a terminal, CPU a recording", each["terminal"], "ms"),
        Figure.spread("plain", "plain lines, CPU a recording", each["plain"], "ms"),
        Figure.spread("map", "client.map, CPU a recording", each["map"], "ms"),
        Figure("start", "an upload of one recording, CPU", started, "s"),
    )  # fmt: skip
    return Answer(figures)


QUESTION = Question(
    "upload_command",
    "A folder of recordings by one command",
    f"{RECORDINGS:,} short recordings, uploaded to the local server by `symbl-aio upload`, each "
    "time as if for the first time: hashed, entered into the ledger before the last byte is sent, "
    "followed to the end of its job. Costs are those of the command's process alone, less those of "
    "an upload of one; `client.map` does the same work without a ledger.",
    ask,
)
