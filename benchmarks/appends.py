"""Do 100,000 appends over 10,000 conversations keep their order, and leave nothing behind?"""

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
"""Conversations before the measured ones."""


class Ledger(Account):
    """Notes for each conversation whether its appends came in order, each once and one by one."""

    def __init__(self) -> None:
        super().__init__(None)
        self.came: Counter[bytes] = Counter()
        self.out_of_order = 0
        self.open: set[bytes] = set()

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:
        if method == b"PUT":
            conversation = path.rpartition(b"/")[2]
            number = int(json.loads(body)["messages"][0]["payload"]["content"])
            if number != self.came[conversation] or conversation in self.open:
                self.out_of_order += 1
            self.came[conversation] += 1
            self.open.add(conversation)
            return http(
                b'{"conversationId":"%b","jobId":"%b-%d"}' % (conversation, conversation, number),
                b"201 Created",
            )
        if path.startswith(b"/v1/job/"):
            self.open.discard(path[8:].rpartition(b"-")[0])
            return http(b'{"id":"' + path[8:] + b'","status":"completed"}')
        told = {"appends": self.came.total(), "wrong": self.out_of_order}
        return http(json.dumps(told).encode())


async def serve(announce: Callable[[int], None]) -> None:
    await serve_account(announce, Ledger())


async def append(port: int, conversations: int) -> dict[str, float]:
    """Append to all conversations in turn, after some others: what is kept for good is there."""
    import aiohttp

    from symbl_aio import AccessToken, Config, Limits, Polls, SymblClient, Text

    config = Config(
        base_url=f"http://127.0.0.1:{port}",
        limits=Limits(jobs=AT_ONCE, queued=EACH * max(FIRST, conversations)),
        polls=Polls(floor=0.001, per_second=1e6),
    )
    process = psutil.Process()

    async def whole(symbl: SymblClient, name: str, conversations: int) -> None:
        submissions = [
            symbl.append(f"{name}{number}", Text(str(turn)))
            for turn in range(EACH)
            for number in range(conversations)
        ]
        for submission in submissions:
            await (await submission)

    async with SymblClient(AccessToken("t" * 32), config=config) as symbl:
        await whole(symbl, "a", FIRST)
        gc.collect()
        memory, blocks = process.memory_info().rss, sys.getallocatedblocks()
        began = perf_counter()
        await whole(symbl, "b", conversations)
        seconds = perf_counter() - began
        gc.collect()
        working_size = process.memory_info().rss
        blocks = sys.getallocatedblocks() - blocks
        await whole(symbl, "c", conversations)
        gc.collect()
        again = process.memory_info().rss - working_size
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/ledger") as response,
    ):
        told = await response.json()
    return {
        "seconds": seconds,
        "kept": working_size - memory,
        "memory": again,
        "blocks": blocks,
        "wrong": told["wrong"],
        "missing": EACH * (FIRST + 2 * conversations) - told["appends"],
    }


def ask(settings: Settings) -> Answer:
    conversations = settings.pick(10_000, 500)
    with serving(serve) as server:
        run = alone(append, port=server.told, conversations=conversations, patience=400).value
    appends = EACH * conversations
    figures = (
        Figure("wrong", "appends that came out of order or too early", run["wrong"], at_most=0),
        Figure("missing", "appends that did not come, or came twice", abs(run["missing"]),
               at_most=0),
        Figure("blocks", "objects kept when all is done, an append", run["blocks"] / appends,
               at_most=0.1),
        Figure("kept", f"freed memory that Python keeps after {appends:,} appends",
               run["kept"] / 2**20, "MiB"),
        Figure("memory", f"growth of the process by another {appends:,} appends",
               run["memory"] / 2**20, "MiB", at_most=8),
        Figure("rate", "appends a second, each after the job before it",
               appends / run["seconds"], "/s"),
    )  # fmt: skip
    return Answer(figures, data={"appends": appends, **run})


QUESTION = Question(
    "appends",
    "100,000 appends over 10,000 conversations",
    f"Ten appends to each conversation, in turn, queued all at once and {AT_ONCE} unfinished at "
    "a time. The stub notes the number of each append, and whether the job before it had been "
    "seen to end. It begins with 1,000 other conversations, so that whatever is kept for good is "
    "there when the memory is first looked at: what the rest leaves behind is a leak. Python gives "
    "little of what 100,000 waiting appends needed back to the system, so the process is looked at "
    "again after as many more.",
    ask,
)
