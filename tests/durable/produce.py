"""Submit appends from a process of its own, eight at a time; print the time of each.

Arguments: the database, a name for the keys, the number of conversations, and of appends by
each of the eight. Waits for a line on its input, and writes JSON: key, conversation, and
the clock before and after, of each.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import monotonic

from symbl_aio import Text
from symbl_aio.durable import Outbox

AT_ONCE = 8


def tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def main(database: str, name: str, conversations: int, each: int) -> None:
    handed_in: list[tuple[str, str, float, float]] = []

    async def produce(outbox: Outbox, producer: int) -> None:
        for turn in range(each):
            key, conversation = (
                f"{name}-{producer}-{turn}",
                f"c-{(producer + turn) % conversations}",
            )
            began = monotonic()
            await outbox.append(conversation, Text(key), key=key)
            handed_in.append((key, conversation, began, monotonic()))

    async with Outbox(database) as outbox:
        tell("ready")
        await asyncio.to_thread(sys.stdin.readline)
        async with asyncio.TaskGroup() as group:
            for producer in range(AT_ONCE):
                group.create_task(produce(outbox, producer))
    tell(handed_in)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
