"""The words for operators of an outbox: stats, pause, resume.

Like those of ``outbox``, they import ``durable`` when one of them runs.
"""

from __future__ import annotations

from typing import Final

import click

from symbl_aio.cli.outbox import SECONDS, of_outbox, queue
from symbl_aio.cli.running import run, show_for


@click.command()
@of_outbox
@queue
def stats(database: str, schema: str, queue: str, as_json: bool) -> None:
    """Count what waits, what holds a slot, what has ended lately, and who works."""
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli import operations

        return await operations.stats(database, show, schema, queue)

    run(main, show)


@click.command()
@of_outbox
@queue
@click.option("--wait", is_flag=True, help="Until nothing is under way any more.")
@click.option("--timeout", default=None, help="How long to wait; for ever.", **SECONDS)
def pause(
    database: str, schema: str, queue: str, as_json: bool, wait: bool, timeout: float | None
) -> None:
    """Begin nothing new, in all workers, until resume. What is under way goes on.

    Exit code 3 if something was still under way after --timeout; the queue stays paused.
    """
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli import operations

        return await operations.pause(database, show, schema, queue, wait=wait, timeout=timeout)

    run(main, show)


@click.command()
@of_outbox
@queue
def resume(database: str, schema: str, queue: str, as_json: bool) -> None:
    """Begin new work again, in all workers."""
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli import operations

        return await operations.resume(database, show, schema, queue)

    run(main, show)


COMMANDS: Final = (stats, pause, resume)
