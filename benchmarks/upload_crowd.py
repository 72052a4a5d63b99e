"""Cost of fifty uploads at once from slow disks, or to a slow server."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final

from benchmarks.harness import Answer, Figure, Question, Settings, alone, serving
from benchmarks.recordings import HEAD, MIB, recordings
from benchmarks.senders import PATH, TYPE, Opening, Target, Upload, cost, send, senders_found
from benchmarks.sink import serve
from benchmarks.upload_delay import percentile
from benchmarks.uploads import colour, key_of

CROWD: Final = 50
PACE: Final = MIB
"""Bytes a second, of each disk or of each connection to the server."""

_PIECE: Final = 64 * 1024


class SlowFile(io.RawIOBase):
    """A file object on a disk that reads ``PACE`` bytes a second; reading blocks."""

    name = "slow.mp4"

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), _PIECE, self._size - self._at)
        time.sleep(count / PACE)
        buffer[:count] = (HEAD if self._at == 0 else b"").ljust(count, b"\0")
        self._at += count
        return count


async def slow_chunks(size: int) -> AsyncIterator[bytes]:
    """The same disk as an async iterable, which waits without a thread."""
    began, given = time.monotonic(), 0
    while given < size:
        count = min(_PIECE, size - given)
        await asyncio.sleep(max(0.0, began + (given + count) / PACE - time.monotonic()))
        yield (HEAD if given == 0 else b"").ljust(count, b"\0")
        given += count


@asynccontextmanager
async def ours(target: Target, size: int) -> AsyncIterator[Upload]:
    from symbl_aio import AccessToken, Config, Limits, SymblClient, Video

    config = Config(base_url=target.origin, limits=Limits(jobs=target.at_once + 1))
    async with SymblClient(AccessToken("t" * 32), config=config) as symbl:

        async def upload(_: str) -> None:
            await symbl.submit(Video(slow_chunks(size), size=size))

        yield upload


@asynccontextmanager
async def bare_aiohttp(target: Target, size: int) -> AsyncIterator[Upload]:
    import aiohttp

    async with aiohttp.ClientSession(target.origin) as session:

        async def upload(_: str) -> None:
            headers = {**TYPE, "Content-Length": str(size)}
            async with session.post(PATH, data=slow_chunks(size), headers=headers) as response:
                await response.json()

        yield upload


@asynccontextmanager
async def httpx_client(target: Target, size: int) -> AsyncIterator[Upload]:
    import httpx

    async with httpx.AsyncClient(base_url=target.origin, timeout=None) as client:

        async def upload(_: str) -> None:
            headers = {**TYPE, "Content-Length": str(size)}
            response = await client.post(PATH, content=slow_chunks(size), headers=headers)
            response.raise_for_status().json()

        yield upload


@asynccontextmanager
async def requests_in_threads(target: Target, size: int) -> AsyncIterator[Upload]:
    import requests

    def post() -> None:
        with requests.post(target.origin + PATH, data=SlowFile(size), headers=TYPE) as response:
            response.raise_for_status()

    with ThreadPoolExecutor(target.at_once) as threads:
        loop = asyncio.get_running_loop()
        yield lambda _: loop.run_in_executor(threads, post)


@asynccontextmanager
async def speechmatics(target: Target, size: int) -> AsyncIterator[Upload]:
    from speechmatics.batch import AsyncClient

    async with AsyncClient(api_key="k" * 32, url=target.origin + "/v2") as client:

        async def upload(_: str) -> None:
            await client.submit_job(SlowFile(size))

        yield upload


SLOW: Final[Mapping[str, Callable[[Target, int], Any]]] = {
    "symbl-aio": ours,
    "aiohttp + aiofiles, 64 KiB": bare_aiohttp,
    "httpx": httpx_client,
    "requests in a thread": requests_in_threads,
    "speechmatics-batch": speechmatics,
}


async def send_slowly(sender: str, port: int, size: int) -> dict[str, Any]:
    """Send from ``CROWD`` slow disks at once; for a process of its own."""
    opening: Opening = lambda target: SLOW[sender](target, size)  # noqa: E731
    return await cost(opening, Target(port, at_once=CROWD), [""] * CROWD, watch=True)


def ask(settings: Settings) -> Answer:
    mib, rounds = settings.pick(4, 1), settings.pick(3, 1)
    found, skipped = senders_found()
    for name in ("curl -T", "symbl-aio on uvloop"):
        found.pop(name, None)
        skipped.pop(name, None)
    runs: dict[str, dict[str, list[dict[str, float]]]] = {"disk": {}, "server": {}}

    def note(where: str, name: str, value: dict[str, Any]) -> None:
        runs[where].setdefault(name, []).append({
            "seconds": value["seconds"],
            "cpu": value["cpu"],
            "mib": value["extra"] / MIB,
            "late": percentile(value["delays"], 99.9) * 1e3,
        })  # fmt: skip

    with serving(serve) as quick, serving(serve, pace=PACE) as slow, recordings(mib * MIB) as paths:
        for _ in range(rounds):
            for name in found:
                if name in SLOW:
                    done = alone(send_slowly, sender=name, port=quick.announced, size=mib * MIB)
                    note("disk", name, done.value)
                done = alone(
                    send, sender=name, port=slow.announced, paths=paths * CROWD, watch=True
                )
                note("server", name, done.value)

    ideal = mib * MIB / PACE
    figures = []
    for where, by_name in runs.items():
        for name, each in by_name.items():
            key, what = f"{where}_{key_of(name)}", f"slow {where}, {name}"
            median = {k: sorted(run[k] for run in each)[len(each) // 2] for k in each[0]}
            figures += [
                Figure(f"{key}_time", f"{what}: time against the slow side's own",
                       median["seconds"] / ideal, "×"),
                Figure(f"{key}_mib", f"{what}: peak", median["mib"], "MiB"),
                Figure(f"{key}_late", f"{what}: loop late, p99.9", median["late"], "ms"),
                Figure(f"{key}_cpu", f"{what}: CPU", median["cpu"], "s"),
            ]  # fmt: skip
    return Answer(tuple(figures), found, skipped, {"runs": runs, "ideal": ideal})


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    names = list(data["runs"]["server"])[::-1]
    for where, shift, hatch in (("disk", 0.2, ""), ("server", -0.2, "//")):
        by_name = data["runs"][where]
        shown = [name for name in names if name in by_name]
        times = [sorted(run["seconds"] for run in by_name[n])[len(by_name[n]) // 2] for n in shown]
        at = [names.index(name) + shift for name in shown]
        bars = axes.barh(at, times, 0.38, color=[colour(n) for n in shown], hatch=hatch,
                         edgecolor="white", label=f"slow {where}")  # fmt: skip
        axes.bar_label(bars, [f" {seconds:.1f} s" for seconds in times], fontsize=9)
    axes.set_yticks(range(len(names)), names)
    axes.axvline(data["ideal"], color="#c0392b", linestyle="--")
    axes.text(
        data["ideal"], len(names) - 0.5, " what the slow side needs", color="#c0392b", fontsize=9
    )
    axes.margins(x=0.12)
    axes.set_xlabel("seconds until all are accepted")
    axes.set_title(f"{CROWD} uploads at once")
    axes.legend(loc="center right")
    axes.grid(axis="y", visible=False)


QUESTION = Question(
    "upload_crowd",
    f"{CROWD} uploads at once, from slow disks and to a slow server",
    "4 MiB each. Slow disk: each source yields 1 MiB a second, as an async iterable for senders "
    "that accept one and as a blocking file object for the others (requests gets a thread for "
    "each; symbl-rest takes only whole bytes and is left out). Slow server: each connection reads "
    "1 MiB a second, once the buffers of the socket are full.",
    ask,
    draw,
)
