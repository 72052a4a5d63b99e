"""Cost of an import, a start and an idle client."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from time import perf_counter
from typing import Any

import psutil

from benchmarks.harness import (
    ROOT,
    Answer,
    Figure,
    Question,
    Settings,
    Spread,
    alone,
    alternate,
    field_of,
)
from benchmarks.instructions import missing, of_program

_IMPORT = """
import time
began = time.perf_counter()
{statement}
print(time.perf_counter() - began)
"""


CLIENT = "symbl_aio.SymblClient"
_CLIENT = "from symbl_aio import SymblClient"


def imported(name: str) -> float:
    """Return the seconds of an import in a fresh interpreter."""
    statement = _CLIENT if name == CLIENT else f"import {name}"
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT.format(statement=statement)],
        cwd=ROOT, check=True, capture_output=True, text=True,
        # Byte code is compiled once and kept, as in users' programs.
        env={key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
    )  # fmt: skip
    return float(done.stdout)


async def idle_clients(many: int) -> dict[str, float]:
    from symbl_aio import AccessToken, Config, SymblClient

    config = Config(base_url="http://127.0.0.1:9")
    async with SymblClient(AccessToken("token"), config=config):
        pass  # loads the code and caches that all clients share
    gc.collect()
    before, began = psutil.Process().memory_info().rss, perf_counter()
    clients = [SymblClient(AccessToken("token"), config=config) for _ in range(many)]
    for client in clients:
        await client.start()
    await asyncio.sleep(0)
    seconds = perf_counter() - began
    gc.collect()
    memory = psutil.Process().memory_info().rss - before
    for client in clients:
        await client.aclose()
    return {"memory": memory / many, "seconds": seconds / many}


async def idle_sessions(many: int) -> dict[str, float]:
    import aiohttp

    async with aiohttp.ClientSession():
        pass
    gc.collect()
    before, began = psutil.Process().memory_info().rss, perf_counter()
    sessions = [aiohttp.ClientSession() for _ in range(many)]
    seconds = perf_counter() - began
    gc.collect()
    memory = psutil.Process().memory_info().rss - before
    for session in sessions:
        await session.close()
    return {"memory": memory / many, "seconds": seconds / many}


def _instructions() -> list[Figure]:
    """Count the instructions of an import beside those of aiohttp, without the start."""
    if missing():
        return []
    start, ours, bare = map(of_program, ("pass", _CLIENT, "import aiohttp"))
    return [
        Figure(
            "client_instructions",
            "import of the client: instructions against those of aiohttp's",
            (ours - start) / (bare - start),
            "×",
            at_most=1.12,
        )
    ]


def ask(settings: Settings) -> Answer:
    rounds, many = settings.pick(21, 5), settings.pick(2000, 300)
    found, skipped = field_of(
        {"httpx": "httpx", "speechmatics.batch": "speechmatics-batch",
         "assemblyai": "assemblyai", "fal_client": "fal-client"}
    )  # fmt: skip
    names = ("symbl_aio", CLIENT, "aiohttp")
    for name in names:
        imported(name)  # into the page cache, and compiled
    turns = alternate({name: partial(imported, name) for name in names}, rounds)
    peers = alternate({name: partial(imported, name) for name in found}, settings.pick(5, 1))
    client = alone(idle_clients, many=many).value
    session = alone(idle_sessions, many=many).value
    figures = (
        Figure.spread("import_ratio", "import against aiohttp's",
                      Spread.of_ratios(turns["symbl_aio"], turns["aiohttp"]), "×", at_most=1.15),
        Figure.spread("client_ratio", "import of the client, and so of aiohttp, against aiohttp's",
                      Spread.of_ratios(turns[CLIENT], turns["aiohttp"]), "×"),
        *_instructions(),
        Figure("import", "from symbl_aio import SymblClient", min(turns[CLIENT]) * 1e3, "ms"),
        Figure("start", "make and start a client", client["seconds"] * 1e6, "µs"),
        Figure("idle", "memory of an idle client", client["memory"] / 1024, "KiB"),
        Figure("idle_session", "memory of an idle aiohttp.ClientSession",
               session["memory"] / 1024, "KiB"),
    )  # fmt: skip
    seconds = {**turns, **peers}
    return Answer(figures, found, skipped, {"seconds": {n: min(v) for n, v in seconds.items()}})


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    seconds = dict(sorted(data["seconds"].items(), key=lambda item: -item[1]))
    colours = ["#2a6fdb" if "symbl_aio" in name else "#9aa5b1" for name in seconds]
    bars = axes.barh(list(seconds), [1e3 * value for value in seconds.values()], color=colours)
    axes.bar_label(bars, [f" {1e3 * value:.0f} ms" for value in seconds.values()])
    axes.set_xlim(0, 1.15e3 * max(seconds.values()))
    axes.set_xlabel("milliseconds")
    axes.set_title("import …")
    axes.grid(axis="y", visible=False)


QUESTION = Question(
    "footprint",
    "Import, start, and an idle client",
    "Each import runs in an interpreter of its own, in turns with aiohttp's. Memory is the growth "
    "of a process for each of many started clients, which have no connection yet. `import "
    "symbl_aio` loads each module on first use: a program that needs an error or a setting does "
    "not load aiohttp. A program that uses the client loads aiohttp and a little more. That bar is "
    "not reached: of the instructions above aiohttp's, half build the 49 classes of attrs, most of "
    "it in `compile` for their methods, and without a single class of attrs the ratio would be "
    "1.11. Options, models, live audio, management and cattrs are imported when first used.",
    ask,
    draw,
)
