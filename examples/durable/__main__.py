"""200 uploads that survive eight ``kill -9``: ``make demo-durable``.

``python -m examples.durable`` starts a PostgreSQL, the local server, a process for webhooks and
three workers on this machine, sends 200 films to 40 conversations, and kills workers meanwhile.
At the end it checks the promises against the log of the server; the exit status is 1 if one was
broken.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from attrs import define
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from examples.durable import ledger, recordings
from examples.durable.lines import Child
from examples.durable.postgres import postgres
from examples.durable.workers import Workers
from symbl_aio.durable import ItemState, Outbox

CONVERSATIONS, EACH = 40, 5
WORKERS, KILLS, CAP = 3, 8, 10
JOB_SECONDS, ANSWER_SECONDS = 0.8, 0.2
WORKER_TIMEOUT, AMBIGUITY_TIMEOUT = 2.0, 6.0
LONGEST = 150.0
POLL_INTERVAL = 0.25


@define
class DemoLog:
    """The output of the demo, line by line; the progress bar needs a terminal."""

    console: Console
    bar: Progress
    began: float

    def write(self, text: str) -> None:
        self.console.print(
            f"{time.monotonic() - self.began:5.1f} s  {text}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


@define
class Demo:
    """The running demo: it hands in files, kills workers, and waits for the end."""

    log: DemoLog
    outbox: Outbox
    server: Child
    workers: Workers
    handed_in: list[recordings.Recording]
    ambiguous: int = 0
    kills: int = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.hand_in())
            tasks.create_task(self.kill_workers())
            tasks.create_task(self.watch())

    async def hand_in(self) -> None:
        for recording in self.handed_in:
            if recording.number == 1:
                await self.outbox.submit(recording.path, key=recording.key)
            else:
                await self.outbox.append(recording.conversation, recording.path, key=recording.key)
        self.log.write(f"{len(self.handed_in)} files are handed in")

    async def kill_workers(self) -> None:
        """Kill a random worker at equal steps of accepted files."""
        step = len(self.handed_in) // (KILLS + 1)
        for kill in range(1, KILLS + 1):
            await self.server.ask("accepted", kill * step)
            place = random.randrange(WORKERS)
            pid = await self.workers.kill(place)
            self.kills += 1
            self.log.write(
                f"kill -9 {pid}: worker {place + 1} is gone after {kill * step} of "
                f"{len(self.handed_in)} files"
            )
            await self.workers.start(place)

    async def watch(self) -> None:
        """Poll the outbox until all items have ended; resolve ambiguous items."""
        task = self.log.bar.add_task("", total=len(self.handed_in))
        while True:
            counts = (await self.outbox.stats()).counts
            self.log.bar.update(task, completed=counts.get(ItemState.COMPLETED, 0))
            if counts.get(ItemState.AMBIGUOUS):
                await self.resolve()
            elif sum(n for state, n in counts.items() if state.is_ending) == len(self.handed_in):
                return
            await asyncio.sleep(POLL_INTERVAL)

    async def resolve(self) -> None:
        """Resolve ambiguous items as a person does: by a look at the server."""
        known = dict((await self.server.ask("seen"))["accepted"])
        hashes = {recording.key: recording.sha256 for recording in self.handed_in}
        async for item in self.outbox.jobs(state=ItemState.AMBIGUOUS):
            self.ambiguous += 1
            accepted_as = known.get(hashes[item.key])
            self.log.write(
                f"{item.key} is ambiguous; a look at the server: it is"
                + (" there" if accepted_as else " not there, and is sent again")
            )
            await self.outbox.resolve(
                item.key, accepted=accepted_as is not None, conversation_id=accepted_as
            )


async def demo(database: str, directory: Path, console: Console) -> int:
    columns = (TextColumn("        completed"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    log = DemoLog(console, bar, time.monotonic())
    os.environ["SYMBL_WEBHOOK_SECRET"] = secret = secrets.token_urlsafe()
    async with AsyncExitStack() as stack:
        outbox = await stack.enter_async_context(Outbox(database, webhook_secret=secret))
        server = await Child.start("examples.durable.server", JOB_SECONDS, ANSWER_SECONDS)
        stack.push_async_callback(server.end)
        receiver = await Child.start("examples.durable.receiver", database)
        stack.push_async_callback(receiver.end)
        workers = Workers(
            {
                "database": database,
                "concurrency": CAP,
                "worker-timeout": WORKER_TIMEOUT,
                "ambiguity-timeout": AMBIGUITY_TIMEOUT,
                "webhook-base-url": receiver.announced,
            },
            {name: value for name, value in os.environ.items() if name != "SYMBL_ACCESS_TOKEN"}
            | {
                "SYMBL_BASE_URL": server.announced,
                "SYMBL_APP_ID": "app",
                "SYMBL_APP_SECRET": "secret",
            },
        )
        stack.push_async_callback(workers.end, gracefully=False)
        log.write(
            f"PostgreSQL, the local server ({server.announced}) and a process for webhooks run"
        )
        await asyncio.gather(*map(workers.start, range(WORKERS)))
        log.write(f"{WORKERS} workers run, which may have {CAP} jobs at a time, all together")
        running = Demo(
            log,
            outbox,
            server,
            workers,
            await asyncio.to_thread(recordings.make, directory, CONVERSATIONS, EACH),
        )
        try:
            with bar:
                async with asyncio.timeout(LONGEST):
                    await running.run()
        except TimeoutError:
            console.print(f"After {LONGEST:g} s it is not done. The last output of the workers:")
            console.print("\n".join(workers.output[-10:]), markup=False, highlight=False)
            return 1
        log.write("all items have ended; the workers stop")
        codes = await workers.end(gracefully=True)
        found = ledger.read(await server.ask("seen"), running.handed_in)
        show(console, found, running)
        broken = found.broken(CAP) + [f"a worker ended with {code}" for code in codes if code]
    for promise in broken:
        console.print(f"Broken: {promise}.", style="bold red")
    return 1 if broken else 0


def show(console: Console, found: ledger.Ledger, running: Demo) -> None:
    table = Table(
        title="From the log of the server", title_justify="left", show_header=False, box=None
    )
    for name, value in (
        ("files handed in", f"{len(running.handed_in)}, in {CONVERSATIONS} conversations"),
        ("accepted, and completed", f"{found.accepted}, {found.completed}"),
        ("lost", found.lost),
        ("sent twice", found.twice),
        ("out of order", found.out_of_order),
        ("most jobs at a time", f"{found.most} of {CAP}"),
        ("ambiguous", f"{running.ambiguous}, resolved by a look at the server"),
        ("webhooks taken", found.webhooks),
        ("workers killed", running.kills),
        ("items taken over", running.workers.taken_over),
    ):
        table.add_row(f"  {name}", str(value))
    console.print()
    console.print(table)


def main() -> int:
    console = Console()
    console.print(
        f"{CONVERSATIONS * EACH} films for {CONVERSATIONS} conversations by {WORKERS} workers, "
        f"of which one is killed {KILLS} times",
        style="bold cyan",
        highlight=False,
    )
    with tempfile.TemporaryDirectory() as directory, postgres() as server:
        database = server.create()
        try:
            return asyncio.run(demo(database, Path(directory), console))
        except KeyboardInterrupt:
            return 130
        finally:
            server.drop(database)


if __name__ == "__main__":
    sys.exit(main())
