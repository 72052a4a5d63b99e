"""A server, a page that takes its webhooks, workers, and what may happen to them.

``Scene`` starts and ends the processes; ``Ledger`` says what became of the items, by the
server's log and by nothing that the engine believes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import Any, Final

import sqlalchemy as sa
from attrs import define, field, frozen

from symbl_aio import MediaOptions, OutboxUnavailableError, Text
from symbl_aio.durable import Item, ItemState, Outbox
from symbl_aio.durable._database.database import Database
from symbl_aio.durable.content import Media
from tests.durable.processes import Process

SECRET: Final = "of the webhooks"
WORKER_TIMEOUT: Final = 2.0
BEAT: Final = 0.5

_PATIENCE: Final = 90.0
_AGAIN: Final = 0.1


@frozen
class Handed:
    """What was handed in: the conversation, the place in it, and the key."""

    conversation: str
    number: int
    key: str = field()

    @key.default
    def _tells_both(self) -> str:
        return self.conversation if self.number == 1 else f"{self.conversation}-{self.number}"


@frozen
class Ledger:
    """What the server saw of a number of items. ``ambiguous``: told so, before anybody helped.

    ``unexplained``: of those, the ones that the server did accept.
    """

    items: int
    lost: int
    duplicates: int
    inversions: int
    overlaps: int
    most: int
    ambiguous: int
    unexplained: int
    states: dict[str, int]
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.items:5} items  lost {self.lost}  duplicates {self.duplicates}  "
            f"inversions {self.inversions}  overlaps {self.overlaps}  most at once {self.most:2}  "
            f"ambiguous {self.ambiguous} ({self.unexplained} accepted)  {self.seconds:5.1f} s  "
            + ", ".join(f"{state} {count}" for state, count in sorted(self.states.items()))
        )


@define
class Scene:
    """The processes of one run. Worker 0 is the first in ``workers``; a dead one leaves a gap."""

    tables: Database
    server: Process
    outbox: Outbox
    settings: dict[str, Any]
    workers: list[Process | None] = field(factory=list)
    handed: list[Handed] = field(factory=list)
    _began: float = field(factory=monotonic)

    async def add_worker(self, **settings: Any) -> Process:
        worker = await Process.start("work", **{**self.settings, **settings})
        self.workers.append(worker)
        return worker

    async def kill(self, number: int) -> None:
        """``kill -9`` a worker."""
        worker = self.workers[number]
        assert worker is not None
        self.workers[number] = None
        await worker.kill()

    async def restart(self, number: int) -> None:
        """Start a worker again where there is none."""
        assert self.workers[number] is None
        self.workers[number] = await Process.start("work", **self.settings)

    async def pause_for_long(self, number: int) -> None:
        """Stop a worker until the worker timeout has passed for long, then let it go on."""
        worker = self.workers[number]
        assert worker is not None
        name = await worker.ask("id")
        worker.pause()
        try:
            async with asyncio.timeout(_PATIENCE):
                while (silent := await self.silent_for(name)) is not None:
                    if silent > 1.5 * WORKER_TIMEOUT:  # and nobody was there to notice
                        break
                    await asyncio.sleep(_AGAIN)
        finally:
            worker.resume()

    async def until_taken_for_dead(self, worker: str) -> None:
        """Wait until the other workers have taken one for dead."""
        async with asyncio.timeout(_PATIENCE):
            while await self.silent_for(worker) is not None:  # noqa: ASYNC110
                await asyncio.sleep(_AGAIN)

    async def silent_for(self, worker: str) -> float | None:
        """Give the seconds since a worker said that it lives, ``None`` once it was taken for dead.

        A pause is said to be long by the database's clock, as workers do.
        """

        def read() -> float | None:
            table = self.tables.workers
            with self.tables.read() as connection:
                silent: float | None = connection.execute(
                    sa.select(self.tables.now - table.c.beat).where(table.c.id == worker)
                ).scalar()
                return silent

        return await self.tables.call(read)

    async def hand_in_at_once(self, conversation: str, length: int) -> None:
        """Hand in a conversation whose appends come all at the same time."""
        await self.hand_in([Handed(conversation, 1)], said)
        keys = [f"{conversation}-{letter}" for letter in range(2, length + 1)]
        given = [
            self.outbox.append(conversation, said(Handed(conversation, 0, key)), key=key)
            for key in keys
        ]
        for item in await asyncio.gather(*given):
            self.handed.append(Handed(conversation, item.number, item.key))

    async def hand_in(self, items: Iterable[Handed], media: Callable[[Handed], Media]) -> None:
        for item in items:
            given = media(item)
            options = None if isinstance(given, Text) else MediaOptions(name=item.key)
            if item.number == 1:
                await self.outbox.submit(given, options, key=item.key)
            else:
                await self.outbox.append(item.conversation, given, options, key=item.key)
            self.handed.append(item)

    async def until(self, command: str, count: int) -> None:
        """Wait until the server has seen so much."""
        async with asyncio.timeout(_PATIENCE):
            await self.server.ask(command, count)

    async def until_ended(self) -> list[Item]:
        """Wait until nothing happens by itself any more; give those that a person must help."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                try:
                    counts = (await self.outbox.stats()).counts
                except OutboxUnavailableError:  # it is down, which is the point
                    counts = {ItemState.QUEUED: 1}
                if not counts.get(ItemState.QUEUED) and not counts.get(ItemState.ACCEPTED):
                    return [item async for item in self.outbox.jobs(state=ItemState.AMBIGUOUS)]
                await asyncio.sleep(_AGAIN)

    async def finish(self) -> Ledger:
        """Wait for the end of all, helping where a person must, and say what became of it."""
        ambiguous: dict[str, bool] = {}
        while doubtful := await self.until_ended():
            accepted = {key: ids for key, *ids in (await self.server.ask("seen"))["accepted"]}
            for item in doubtful:
                ambiguous[item.key] = is_there = item.key in accepted
                conversation_id, job_id = accepted.get(item.key, (None, None))
                await self.outbox.resolve(
                    item.key, accepted=is_there, conversation_id=conversation_id, job_id=job_id
                )
        return await self._ledger(ambiguous)

    async def _ledger(self, ambiguous: dict[str, bool]) -> Ledger:
        seen = await self.server.ask("seen")
        states = Counter([item.state.value async for item in self.outbox.jobs()])
        order: dict[str, list[str]] = defaultdict(list)
        for key, conversation_id, _ in seen["accepted"]:
            order[conversation_id].append(key)
        times = Counter(key for key, *_ in seen["accepted"])
        return Ledger(
            items=len(self.handed),
            lost=sum(times[item.key] == 0 for item in self.handed),
            duplicates=sum(count - 1 for count in times.values()),
            inversions=self._inversions(order.values()),
            overlaps=seen["overlaps"],
            most=seen["most"],
            ambiguous=len(ambiguous),
            unexplained=sum(ambiguous.values()),
            states=dict(states),
            seconds=monotonic() - self._began,
        )

    def _inversions(self, conversations: Iterable[Sequence[str]]) -> int:
        """Count the items that arrived after a later one, or in somebody else's conversation."""
        known = {item.key: item for item in self.handed}
        wrong = 0
        for keys in conversations:
            latest = 0
            for key in keys:
                item = known[key]
                wrong += item.number < latest or item.conversation != known[keys[0]].conversation
                latest = max(latest, item.number)
        return wrong


def in_conversations(conversations: int, length: int) -> list[Handed]:
    """Give items of so many conversations, all openings first."""
    return [
        Handed(f"c{conversation:03}", number)
        for number in range(1, length + 1)
        for conversation in range(conversations)
    ]


def said(item: Handed) -> Text:
    """Give words of an item's own, of which the first is its key."""
    return Text(f"{item.key} has the floor, and we ship number {item.number}.")


@asynccontextmanager
async def scene(
    database: str,
    *,
    webhooks: bool,
    concurrency: int,
    job_seconds: float = 0.0,
    **settings: Any,
) -> AsyncIterator[Scene]:
    """Run a server and a page for its webhooks beside the block, and the workers it adds."""
    async with AsyncExitStack() as stack:
        # Far above what the workers are to keep: whatever they exceed, shows.
        server = await Process.start("server", job_limit=10_000, job_seconds=job_seconds)
        stack.push_async_callback(server.kill)
        outbox = await stack.enter_async_context(Outbox(database))
        hooks = None
        if webhooks:
            web = await Process.start("web", database=database, secret=SECRET)
            stack.push_async_callback(web.kill)
            hooks = web.told
        tables = Database(database)
        stack.callback(tables.close)
        found = Scene(
            tables,
            server,
            outbox,
            {
                "database": database,
                "server": server.told,
                "hooks": hooks,
                "secret": SECRET,
                "concurrency": concurrency,
                "heartbeat": BEAT,
                "worker_timeout": WORKER_TIMEOUT,
            }
            | settings,
        )
        try:
            yield found
        finally:
            for worker in found.workers:
                if worker is not None:
                    worker.resume()
                    await worker.kill()
