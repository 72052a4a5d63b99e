"""Random load and faults against the local server, and a ledger of all outcomes.

    python -m benchmarks.soak --seconds 120

The server runs in a process of its own, so that memory, file descriptors and CPU time
below are the client's. Two clients share the account: one stays open, the other is
closed again and again, and its jobs are attached to the next one. Every submission has a
mark, by which the outcome of each caller is compared with the log of the server. Exit status
1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil

from benchmarks.soak_storm import JOB_LIMIT, Server, Storm

WARM_UP: Final = 30.0
"""Seconds of the same load before the measurement, so that caches are full when it starts."""
MOST_GROWTH: Final = 4 * 2**20
"""Bytes by which memory may differ between the end of the warm-up and the end."""


class Meter:
    """Memory, file descriptors and CPU time of this process."""

    def __init__(self) -> None:
        self.process = psutil.Process(os.getpid())
        self.samples: list[tuple[float, int]] = []

    def memory(self) -> int:
        gc.collect()
        rss: int = self.process.memory_info().rss
        return rss

    def descriptors(self) -> int:
        count: int = self.process.num_fds()
        return count

    def cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    async def watch(self) -> None:
        while True:
            self.samples.append((time.monotonic(), self.memory()))
            await asyncio.sleep(2)


def slope(samples: list[tuple[float, int]]) -> str:
    """Return the growth in MiB a minute, by least squares over the second half."""
    points = samples[len(samples) // 2 :]
    at = sum(t for t, _ in points) / max(1, len(points))
    size = sum(m for _, m in points) / max(1, len(points))
    spread = sum((t - at) ** 2 for t, _ in points)
    rise = sum((t - at) * (m - size) for t, m in points) / spread if spread else 0.0
    return f"{rise * 60 / 2**20:+.2f} MiB a minute"


async def soak(seconds: float, seed: int, directory: Path) -> bool:
    """Run the load and print the ledger; return whether every promise was kept."""
    meter, server = Meter(), await Server.start(directory)
    errors: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: errors.append(str(context.get("exception") or context["message"]))
    )
    storm = Storm(server, directory, seed)
    descriptors = meter.descriptors()
    await storm.run(min(WARM_UP, seconds))
    await storm.settle()
    memory, cpu, began = meter.memory(), meter.cpu(), time.monotonic()
    server_cpu, server_memory, submitted = (
        storm.server_state["cpu"],
        storm.server_state["rss"],
        len(storm.books.reported),
    )
    watch = asyncio.create_task(meter.watch())
    await storm.run(seconds)
    took = time.monotonic() - began
    cpu, rate = meter.cpu() - cpu, (len(storm.books.reported) - submitted) / took
    watch.cancel()
    await asyncio.wait([watch])
    await storm.settle()
    storm.books.close()
    server_cpu = storm.server_state["cpu"] - server_cpu
    server_memory_after = storm.server_state["rss"]
    memory_after, descriptors_after = meter.memory(), meter.descriptors()
    await server.end()

    books, counts = storm.books, storm.books.counts
    verdict = {
        "duplicates": counts["duplicates"],
        "order violations": counts["order violations"],
        "wrong outcomes": len(books.mismatches),
        "pending futures": counts["pending futures"],
        "jobs that did not end": len(books.running),
        "jobs lost at a closing": abs(counts["jobs left by a closing"] - storm.reattached),
        "left tasks": storm.left_tasks,
        "errors in the event loop": len(errors),
        "file descriptors left": max(0, descriptors_after - descriptors),
        "jobs over the account's limit": max(0, storm.server_state["most"] - JOB_LIMIT),
        "MiB grown beyond the bound": max(0, memory_after - memory - MOST_GROWTH) >> 20,
    }
    mib = 2**20
    slowest = [after - before for before, after in zip(storm.pace, storm.pace[10:], strict=False)]
    rows: list[tuple[str, object]] = [
        ("seconds", f"{took:.0f} (seed {seed})"),
        ("submitted", len(books.reported)),
        ("submissions a second", f"{rate:.0f}"),
        ("in the slowest ten seconds", min(slowest, default="")),
        *((name, counts[name]) for name in (
            "accepted", "refused", "ambiguous", "ambiguous, and accepted", "ambiguous, and not",
            "ambiguous, proven", "blocked", "withdrawn", "closed before it was sent",
            "completed", "failed", "lost", "jobs left by a closing", "conversations read",
        )),
        ("jobs attached again", storm.reattached),
        ("clients restarted", storm.restarts),
        ("faults injected", storm.faults),
        ("most jobs at a time", f"{storm.server_state['most']} of {JOB_LIMIT}"),
        ("file descriptors", f"{descriptors} before, {descriptors_after} after"),
        ("memory of the client", f"{memory / mib:.1f} MiB before, {memory_after / mib:.1f} after"),
        ("its slope", slope(meter.samples)),
        ("memory of the server",
         f"{server_memory / mib:.1f} MiB before, {server_memory_after / mib:.1f} after"),
        ("its slope", slope(storm.server_memory)),
        ("CPU of the client", f"{100 * cpu / took:.0f} % of one core"),
        ("CPU of the server", f"{100 * server_cpu / took:.0f} % of one core"),
        ("cores, load", f"{os.cpu_count()}, {os.getloadavg()[0]:.1f}"),
    ]  # fmt: skip
    for name, value in rows:
        print(f"{name:<28}{value}")
    print("-- promises, each to be 0")
    for name, value in verdict.items():
        print(f"{name:<32}{value}")
    for complaint in [*books.mismatches, *errors][:20]:
        print("!!", complaint)
    print("-- errors of callers:", dict(books.errors.most_common()))
    kept = not any(verdict.values())
    print("every promise was kept" if kept else "A PROMISE WAS BROKEN")
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    # The warnings about clients that close with unfinished jobs would hide the ledger.
    logging.getLogger("symbl_aio").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as directory:
        kept = asyncio.run(soak(arguments.seconds, arguments.seed, Path(directory)))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
