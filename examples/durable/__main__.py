"""Make 200 uploads survive eight murders: ``make demo-durable``, or ``python -m examples.durable``.

A PostgreSQL, the local server, a process for webhooks and three workers are started on this
machine. While 200 films go to 40 conversations, workers are killed with ``kill -9``. In the
end the server's log says whether a promise was broken, and so does the exit status.
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
class Story:
    """What goes on, told as it happens; the bar is there for people only."""

    console: Console
    bar: Progress
    began: float

    def tell(self, text: str) -> None:
        self.console.print(
            f"{time.monotonic() - self.began:5.1f} s  {text}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


@define
class Play:
    """The demo, with everything started."""

    story: Story
    outbox: Outbox
    server: Child
    workers: Workers
    handed_in: list[recordings.Recording]
    ambiguous: int = 0
    kills: int = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.hand_in())
            tasks.create_task(self.murder())
            tasks.create_task(self.watch())

    async def hand_in(self) -> None:
        for recording in self.handed_in:
            if recording.number == 1:
                await self.outbox.submit(recording.path, key=recording.key)
            else:
                await self.outbox.append(recording.conversation, recording.path, key=recording.key)
        self.story.tell(f"{len(self.handed_in)} files are handed in")

    async def murder(self) -> None:
        """Kill a worker, whichever, each time that so many files more were accepted."""
        step = len(self.handed_in) // (KILLS + 1)
        for kill in range(1, KILLS + 1):
            await self.server.ask("accepted", kill * step)
            place = random.randrange(WORKERS)
            pid = await self.workers.kill(place)
            self.kills += 1
            self.story.tell(
                f"kill -9 {pid}: worker {place + 1} is gone after {kill * step} of "
                f"{len(self.handed_in)} files"
            )
            await self.workers.start(place)

    async def watch(self) -> None:
        """Look at the outbox until all has ended, and settle what needs a person."""
        task = self.story.bar.add_task("", total=len(self.handed_in))
        while True:
            counts = (await self.outbox.stats()).counts
            self.story.bar.update(task, completed=counts.get(ItemState.COMPLETED, 0))
            if counts.get(ItemState.AMBIGUOUS):
                await self.settle()
            elif sum(n for state, n in counts.items() if state.is_ending) == len(self.handed_in):
                return
            await asyncio.sleep(POLL_INTERVAL)

    async def settle(self) -> None:
        """Do what a person does with an ambiguous item: look at the server, and say so."""
        known = dict((await self.server.ask("seen"))["accepted"])
        hashes = {recording.key: recording.sha256 for recording in self.handed_in}
        async for item in self.outbox.jobs(state=ItemState.AMBIGUOUS):
            self.ambiguous += 1
            there = known.get(hashes[item.key])
            self.story.tell(
                f"{item.key} is ambiguous; a look at the server: it is"
                + (" there" if there else " not there, and is sent again")
            )
            await self.outbox.resolve(item.key, accepted=there is not None, conversation_id=there)


async def demo(database: str, directory: Path, console: Console) -> int:
    columns = (TextColumn("        completed"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    story = Story(console, bar, time.monotonic())
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
                "webhook-base-url": receiver.first,
            },
            {name: value for name, value in os.environ.items() if name != "SYMBL_ACCESS_TOKEN"}
            | {
                "SYMBL_BASE_URL": server.first,
                "SYMBL_APP_ID": "app",
                "SYMBL_APP_SECRET": "secret",
            },
        )
        stack.push_async_callback(workers.end, kindly=False)
        story.tell(f"PostgreSQL, the local server ({server.first}) and a process for webhooks run")
        await asyncio.gather(*map(workers.start, range(WORKERS)))
        story.tell(f"{WORKERS} workers run, which may have {CAP} jobs at a time, all together")
        play = Play(
            story,
            outbox,
            server,
            workers,
            await asyncio.to_thread(recordings.make, directory, CONVERSATIONS, EACH),
        )
        try:
            with bar:
                async with asyncio.timeout(LONGEST):
                    await play.run()
        except TimeoutError:
            console.print(f"After {LONGEST:g} s it is not done. The workers said last:")
            console.print("\n".join(workers.said[-10:]), markup=False, highlight=False)
            return 1
        story.tell("all has ended; the workers are told to stop")
        codes = await workers.end(kindly=True)
        found = ledger.read(await server.ask("seen"), play.handed_in)
        show(console, found, play)
        broken = found.broken(CAP) + [f"a worker ended with {code}" for code in codes if code]
    for promise in broken:
        console.print(f"Broken: {promise}.", style="bold red")
    return 1 if broken else 0


def show(console: Console, found: ledger.Ledger, play: Play) -> None:
    table = Table(
        title="What the server's log says", title_justify="left", show_header=False, box=None
    )
    for name, value in (
        ("files handed in", f"{len(play.handed_in)}, in {CONVERSATIONS} conversations"),
        ("accepted, and completed", f"{found.accepted}, {found.completed}"),
        ("lost", found.lost),
        ("sent twice", found.twice),
        ("out of order", found.out_of_order),
        ("most jobs at a time", f"{found.most} of {CAP}"),
        ("ambiguous", f"{play.ambiguous}, settled by a look at the server"),
        ("webhooks taken", found.webhooks),
        ("workers killed", play.kills),
        ("items taken over", play.workers.taken_over),
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
