"""Order and memory of 100,000 appends over 10,000 conversations."""

from __future__ import annotations

import gc
import json
import sys
from collections import Counter
from collections.abc import Callable
from time import perf_counter

import psutil

from benchmarks.harness import Answer, Figure, Question, Settings, alone, serving
from benchmarks.stub import Account, http, serve_account

AT_ONCE = 50
EACH = 10
FIRST = 1_000
"""Conversations that warm up the process before the measured ones."""
MOST_GROWTH = 8
"""MiB that may remain in use at the end."""


class Ledger(Account):
    """A stub that checks the appends of each conversation: in order, each once, one at a time."""

    def __init__(self) -> None:
        super().__init__(None)
        self.received: Counter[bytes] = Counter()
        self.out_of_order = 0
        self.open: set[bytes] = set()

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:
        if method == b"PUT":
            conversation = path.rpartition(b"/")[2]
            number = int(json.loads(body)["messages"][0]["payload"]["content"])
            if number != self.received[conversation] or conversation in self.open:
                self.out_of_order += 1
            self.received[conversation] += 1
            self.open.add(conversation)
            return http(
                b'{"conversationId":"%b","jobId":"%b-%d"}' % (conversation, conversation, number),
                b"201 Created",
            )
        if path.startswith(b"/v1/job/"):
            self.open.discard(path[8:].rpartition(b"-")[0])
            return http(b'{"id":"' + path[8:] + b'","status":"completed"}')
        counts = {"appends": self.received.total(), "wrong": self.out_of_order}
        return http(json.dumps(counts).encode())


async def serve(announce: Callable[[int], None]) -> None:
    await serve_account(announce, Ledger())


async def append(port: int, conversations: int) -> dict[str, float]:
    """Append to all conversations in turn, after a warm-up, and measure the memory.

    The warm-up has a client of its own: permanent imports and caches are loaded before the
    first measurement.
    """
    import aiohttp

    from symbl_aio import AccessToken, Config, Limits, Polls, SymblClient, Text

    config = Config(
        base_url=f"http://127.0.0.1:{port}",
        limits=Limits(jobs=AT_ONCE, queued=EACH * max(FIRST, conversations)),
        polls=Polls(floor=0.001, per_second=1e6),
    )
    process = psutil.Process()

    def memory() -> int:
        gc.collect()
        size: int = process.memory_info().rss
        return size

    async def whole(name: str, conversations: int) -> dict[str, float]:
        """Run the appends with a new client; return the memory of the process at each stage."""
        async with SymblClient(AccessToken("t" * 32), config=config) as symbl:
            began = perf_counter()
            submissions = [
                symbl.append(f"{name}{number}", Text(str(turn)))
                for turn in range(EACH)
                for number in range(conversations)
            ]
            queued = memory()
            for submission in submissions:
                await (await submission)
            del submissions, submission
            seconds, done = perf_counter() - began, memory()
        del symbl
        return {"seconds": seconds, "queued": queued, "done": done, "closed": memory()}

    await whole("a", FIRST)
    start, blocks = memory(), sys.getallocatedblocks()
    first = await whole("b", conversations)
    blocks = sys.getallocatedblocks() - blocks
    second = await whole("c", conversations)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/ledger") as response,
    ):
        counts = await response.json()
    return {
        "seconds": first["seconds"],
        "queue": first["queued"] - start,
        "open": first["done"] - start,
        "closed": first["closed"] - start,
        "again": second["closed"] - first["closed"],
        "blocks": blocks,
        "wrong": counts["wrong"],
        "missing": EACH * (FIRST + 2 * conversations) - counts["appends"],
    }


def ask(settings: Settings) -> Answer:
    conversations = settings.pick(10_000, 500)
    with serving(serve) as server:
        run = alone(append, port=server.announced, conversations=conversations, timeout=400).value
    appends = EACH * conversations
    figures = (
        Figure("wrong", "appends that came out of order or too early", run["wrong"], at_most=0),
        Figure("missing", "appends that did not come, or came twice", abs(run["missing"]),
               at_most=0),
        Figure("blocks", "objects kept when all is done, an append", run["blocks"] / appends,
               at_most=0.1),
        Figure("closed", "growth of the process when all is done and the client is closed",
               run["closed"] / 2**20, "MiB", at_most=MOST_GROWTH),
        Figure("again", f"growth by another {appends:,} appends",
               run["again"] / 2**20, "MiB", at_most=MOST_GROWTH),
        Figure("open", "growth while the client and its 100 connections are still open",
               run["open"] / 2**20, "MiB"),
        Figure("queue", f"what {appends:,} waiting appends take", run["queue"] / 2**20, "MiB"),
        Figure("rate", "appends a second, each after the job before it",
               appends / run["seconds"], "/s"),
    )  # fmt: skip
    return Answer(figures, data={"appends": appends, **run})


QUESTION = Question(
    "appends",
    "100,000 appends over 10,000 conversations",
    f"Ten appends to each conversation, in turn, queued all at once and {AT_ONCE} unfinished at "
    "a time. The stub records the number of each append, and whether a poll had found the end of "
    "the job before it. Another client appends to 1,000 other conversations first, so that "
    "permanent caches are full at the first measurement. The bar is not reached, though no object "
    "is left: Python frees its memory in arenas of 1 MiB, each only when it is empty, and every "
    "object that survives from the busiest moment keeps one. In an open client these are the "
    "states of its connections, which close after 15 s of idleness; after it, above all some 340 "
    "entries in the caches of yarl, aiohttp and the standard library (with those cleared, 6 to "
    "8 MiB stay). It does not accumulate: another round leaves no more.",
    ask,
)
