"""A siege: ``symbl-aio serve`` under many attacks at once, beside an honest client.

    python -m benchmarks.siege --seconds 120

Three processes on this machine: the server, the attackers (``siege_attacks``), and the honest
client, which submits, waits, reads and lists as a program does. Ends by itself, and with exit
status 1 unless the honest client is served in time and never refused, and the server stays
small, gives its descriptors back and lists every conversation.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from time import perf_counter
from typing import Any, Final

import aiohttp
import psutil
from attrs import define, field

MOST_SECONDS: Final = 1.0
"""The 99th percentile of an honest request, in seconds."""
MOST_MEMORY: Final = 256 * 2**20
"""Bytes of the server, at any time."""
SETTLING: Final = 60.0
"""Seconds after the attacks, at most, until the descriptors are back."""
SLACK: Final = 8
"""Descriptors more than before the attacks that count as back: the database may open some."""

SECRET: Final = "of-the-honest-client-4711"


@define
class Outcome:
    """What the honest client and the meter saw."""

    seconds: list[float] = field(factory=list)
    statuses: Counter[int | str] = field(factory=Counter)
    lost: list[str] = field(factory=list)
    memory: int = 0
    descriptors: tuple[int, int] = (0, 0)
    attacks: Counter[str] = field(factory=Counter)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[int(len(ordered) * share)] if ordered else float("inf")

    def faults(self, most_seconds: float = MOST_SECONDS) -> list[str]:
        """Return each promise that was broken, in a sentence.

        ``most_seconds`` bounds the 99th percentile; on a machine that others use it says little.
        """
        (before, after), p99 = self.descriptors, self.percentile(0.99)
        refused = {status: n for status, n in self.statuses.items() if status not in (200, 201)}
        return [
            sentence
            for broken, sentence in (
                (p99 > most_seconds, f"the 99th percentile is {p99:.2f} s"),
                (refused, f"the honest client was refused: {refused}"),
                (self.lost, f"jobs have not completed: {self.lost[:3]}"),
                (self.memory > MOST_MEMORY, f"the server had {self.memory / 2**20:.0f} MiB"),
                (after > before + SLACK, f"{after - before} descriptors did not come back"),
                (not self.attacks, "there was no attack"),
            )
            if broken
        ]


class Honest:
    """A client as its users write it: one request after another, on one connection."""

    def __init__(self, url: str, outcome: Outcome) -> None:
        self.url = url
        self.outcome = outcome
        self.session = aiohttp.ClientSession()
        self.token = ""

    async def request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        began = perf_counter()
        status: int | str
        try:
            async with self.session.request(
                method,
                self.url + path,
                json=body,
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=aiohttp.ClientTimeout(total=30),
            ) as answer:
                status, found = answer.status, await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            status, found = type(error).__name__, {}
        self.outcome.seconds.append(perf_counter() - began)
        self.outcome.statuses[status] += 1
        return dict(found)

    async def log_in(self) -> None:
        fields = {"type": "application", "appId": "app", "appSecret": SECRET}
        self.token = (await self.request("POST", "/oauth2/token:generate", fields))["accessToken"]

    async def converse(self) -> None:
        """Submit a text, follow its job, read the result, list, and delete it."""
        messages = [
            {"payload": {"content": "We will send the offer tomorrow."}, "from": {"name": "Ann"}}
        ]
        accepted = await self.request("POST", "/v1/process/text", {"messages": messages})
        if "jobId" not in accepted:
            return
        job = {"status": "scheduled"}
        began = perf_counter()
        while job.get("status") in ("scheduled", "in_progress") and perf_counter() - began < 30:
            job = await self.request("GET", f"/v1/job/{accepted['jobId']}")
            await asyncio.sleep(0.02)
        one = f"/v1/conversations/{accepted['conversationId']}"
        read = await self.request("GET", f"{one}/messages")
        if job.get("status") != "completed" or len(read.get("messages", ())) != 1:
            self.outcome.lost.append(f"{accepted['jobId']}: {job}")
        await self.request("GET", "/v1/conversations")
        await self.request("DELETE", one)


async def siege(seconds: float) -> Outcome:
    """Besiege a server for so long, and return what was seen."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="siege-") as folder:
        server = await _start("symbl_aio.cli", *_serve(folder), SYMBL_APP_SECRET=SECRET)
        attackers: asyncio.subprocess.Process | None = None
        try:
            assert server.stdout is not None
            url = json.loads(await server.stdout.readline())["base_url"]
            honest = Honest(url, outcome)
            process = psutil.Process(server.pid)
            await honest.log_in()
            await honest.converse()
            before = process.num_fds()
            attackers = await _start("benchmarks.siege_attacks", url, str(seconds))
            meter = asyncio.create_task(_measure(process, outcome))
            attacked = asyncio.create_task(attackers.communicate(honest.token.encode() + b"\n"))
            while not attacked.done():
                await honest.converse()
            outcome.attacks.update(json.loads((await attacked)[0]))
            await honest.converse()
            meter.cancel()
            outcome.descriptors = (before, await _settled(process, before))
            await honest.session.close()
        finally:
            for child in (attackers, server):
                if child is not None and child.returncode is None:
                    child.kill()
                    await child.wait()
    return outcome


def _serve(folder: str) -> tuple[str, ...]:
    return ("serve", "--port", "0", "--json", "--asr", "off", "--directory", folder)


async def _start(module: str, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *arguments),
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def _measure(process: psutil.Process, outcome: Outcome) -> None:
    with suppress(psutil.NoSuchProcess):
        while True:
            outcome.memory = max(outcome.memory, process.memory_info().rss)
            await asyncio.sleep(0.1)


async def _settled(process: psutil.Process, before: int) -> int:
    """Wait until the descriptors are back, or for ``SETTLING`` seconds; return their number."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLING):
            # Of another process: there is no event to wait for.
            while process.num_fds() > before + SLACK:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    return process.num_fds()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    outcome = asyncio.run(siege(parser.parse_args().seconds))
    before, after = outcome.descriptors
    for name, times in sorted(outcome.attacks.items()):
        print(f"{name.replace('_', ' '):28} {times:>8}")
    print(f"honest requests: {len(outcome.seconds)}, by status: {dict(outcome.statuses)}")
    print(f"p50 {outcome.percentile(0.5):.3f} s, p99 {outcome.percentile(0.99):.3f} s")
    print(f"server: at most {outcome.memory / 2**20:.0f} MiB, descriptors {before} -> {after}")
    faults = outcome.faults()
    print("\n".join(faults) or "every promise was kept")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
