"""What the commands for operators do. Imported when one of them runs: it needs ``durable``."""

from __future__ import annotations

from symbl_aio.cli.endings import OK, UNREACHABLE, UNWRITTEN
from symbl_aio.cli.show import Show
from symbl_aio.cli.work import opened


async def stats(database: str, show: Show, schema: str, queue: str) -> int:
    """Show the statistics of an outbox."""
    async with opened(database, schema, queue=queue) as outbox:
        show.stats(await outbox.stats())
    return OK if show.written else UNWRITTEN


async def pause(
    database: str, show: Show, schema: str, queue: str, *, wait: bool, timeout: float | None
) -> int:
    """Pause the queue; wait until nothing is under way, if that is asked for."""
    async with opened(database, schema, queue=queue) as outbox:
        try:
            await outbox.pause(wait=wait, timeout=timeout)
        except TimeoutError:
            show.error(f"the queue is paused, and items are still under way after {timeout:g} s")
            return UNREACHABLE
    show.paused(True)
    return OK


async def resume(database: str, show: Show, schema: str, queue: str) -> int:
    """Resume the queue."""
    async with opened(database, schema, queue=queue) as outbox:
        await outbox.resume()
    show.paused(False)
    return OK


async def restored(database: str, show: Show, schema: str) -> int:
    """Put into doubt what a restored backup takes for unsent."""
    async with opened(database, schema) as outbox:
        show.restored(await outbox.doubt_unsent())
    return OK
