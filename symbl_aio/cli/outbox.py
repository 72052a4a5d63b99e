"""The words for what is kept in a database: worker, jobs, retry, discard, resolve, db.

They need the extra ``durable``, which is imported when one of them runs (``work``), and
not before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import click

from symbl_aio.cli.running import run, show_for

Command: TypeAlias = Callable[..., Any]

# What ``durable`` has by default, told without importing it; a test compares the two.
SCHEMA: Final = "symbl_aio"
QUEUE: Final = "symbl"
STATES: Final = (
    *("queued", "accepted", "completed", "failed", "lost"),
    *("refused", "ambiguous", "blocked", "discarded"),
)

database = click.option(
    "--database",
    envvar="SYMBL_AIO_DATABASE",
    show_envvar=True,
    required=True,
    metavar="URL",
    help="sqlite:///outbox.db, or postgresql://user@host/name.",
)
schema = click.option(
    "--schema",
    envvar="SYMBL_AIO_SCHEMA",
    show_envvar=True,
    default=SCHEMA,
    show_default=True,
    help="Of the tables, in PostgreSQL.",
)
queue = click.option(
    "--queue",
    envvar="SYMBL_AIO_QUEUE",
    show_envvar=True,
    default=QUEUE,
    show_default=True,
    help="Of the account, where several share a PostgreSQL database.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, on stdout.")


base_url = click.option("--base-url", metavar="URL", help="Origin of the API.  [SYMBL_BASE_URL]")
allow_http = click.option(
    "--allow-http",
    is_flag=True,
    envvar="SYMBL_ALLOW_HTTP",
    help="Allow plain http to other machines.  [SYMBL_ALLOW_HTTP=1]",
)


def of_outbox(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that all of them have."""
    return database(schema(as_json(command)))


def setting(name: str, help: str, **given: Any) -> Callable[[Command], Command]:
    """Return the option of one setting of ``Worker``, which a variable may hold, too."""
    return click.option(
        f"--{name}",
        envvar=f"SYMBL_AIO_{name.replace('-', '_').upper()}",
        show_envvar=True,
        show_default=given.get("default") is not None,
        help=help,
        **given,
    )


SECONDS: Final[dict[str, Any]] = {
    "type": click.FloatRange(min=0, min_open=True),
    "metavar": "SECONDS",
}


@click.command()
@of_outbox
@queue
@setting(
    "concurrency",
    "Unfinished jobs at a time, of all workers together; the same for all.",
    default=50,
    type=click.IntRange(1),
)
@setting(
    "on-ambiguous",
    "Leave an item of unknown outcome to a person, or send it again.",
    default="at_most_once",
    type=click.Choice(["at_most_once", "at_least_once"]),
)
@setting(
    "ambiguity-timeout", "How long evidence is looked for before that.", default=120.0, **SECONDS
)
@setting(
    "worker-timeout",
    "A worker silent for so long is taken for dead; the same for all.",
    default=15.0,
    **SECONDS,
)
@setting("heartbeat", "Between two signs of life; a third of that time.", default=None, **SECONDS)
@setting(
    "retention", "How long ended items and their keys are remembered.", default=604800.0, **SECONDS
)
@setting(
    "poll-interval", "Between two looks for work that nothing told of.", default=5.0, **SECONDS
)
@click.option(
    "--health",
    envvar="SYMBL_AIO_HEALTH",
    show_envvar=True,
    metavar="[HOST:]PORT",
    help="Serve /healthz and /readyz there; on loopback without HOST.",
)
@click.option(
    "--prometheus",
    envvar="SYMBL_AIO_PROMETHEUS",
    show_envvar=True,
    metavar="FILE|[HOST:]PORT",
    help="Serve /metrics there, or write them to a file for a collector.",
)
@click.option(
    "--webhook-base-url",
    envvar="SYMBL_WEBHOOK_BASE_URL",
    show_envvar=True,
    metavar="URL",
    help="Where the API reaches your webhooks; the secret is in SYMBL_WEBHOOK_SECRET.",
)
@base_url
@allow_http
def worker(
    database: str,
    schema: str,
    as_json: bool,
    health: str | None,
    prometheus: str | None,
    webhook_base_url: str | None,
    base_url: str | None,
    allow_http: bool,
    **settings: Any,
) -> None:
    """Send what is in an outbox and follow its jobs, until Ctrl-C or SIGTERM (exit code 0).

    SIGUSR1 drains it: it takes nothing new, and ends when its own jobs have ended. Let
    something start it again when it ends with another code: one that was taken for dead
    stops with exit code 6.
    """
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli import work

        return await work.work(
            database,
            show,
            schema=schema,
            health=health,
            prometheus=prometheus,
            webhook_base_url=webhook_base_url,
            base_url=base_url,
            allow_http=allow_http,
            **settings,
        )

    run(main, show, service=True)


@click.command()
@of_outbox
@queue
@click.option("--state", type=click.Choice(STATES), help="Those in this state.")
@click.option("--conversation", metavar="KEY", help="Those of this one, by its key or id.")
def jobs(
    database: str,
    schema: str,
    queue: str,
    as_json: bool,
    state: str | None,
    conversation: str | None,
) -> None:
    """List what is in an outbox, oldest first, and count all of it by state."""
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli import work

        return await work.list_items(database, show, schema, queue, state, conversation)

    run(main, show)


def of_decision(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose the items of a decision, by key or by what they share."""
    for option in reversed(_CHOICE):
        command = option(command)
    return command


_CHOICE: Final = (
    click.argument("keys", nargs=-1, metavar="[KEY]..."),
    click.option("--all", "every", is_flag=True, help="All that this is usually for."),
    click.option(
        "--state",
        "states",
        multiple=True,
        type=click.Choice(STATES),
        help="Those in this state; may be given more than once.",
    ),
    click.option("--conversation", metavar="KEY", help="Those of this one, by its key or id."),
    click.option(
        "--older-than",
        type=click.FloatRange(0),
        metavar="SECONDS",
        help="Those that ended, or were handed in and wait, so long ago or longer.",
    ),
    click.option(
        "--newer-than", type=click.FloatRange(0), metavar="SECONDS", help="So long ago at most."
    ),
    click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing."),
    queue,
    of_outbox,
)


@click.command()
@of_decision
def retry(
    database: str, schema: str, queue: str, as_json: bool, dry_run: bool, **choice: Any
) -> None:
    """Send items again: KEYs, or those that the options choose.

    Without --state these are what was refused or is blocked. What failed or was lost was
    accepted once, and what was discarded may have been: look whether its content is there.
    """
    _check_choice(choice)
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli import work

        chosen = work.Choice(**choice)
        return await work.retry(database, show, schema, queue, chosen, dry_run=dry_run)

    run(main, show)


@click.command()
@of_decision
def discard(
    database: str, schema: str, queue: str, as_json: bool, dry_run: bool, **choice: Any
) -> None:
    """Discard items: KEYs, or those that the options choose; what is behind them goes on.

    Without --state these are queued and blocked ones. Of an ambiguous one nobody knows
    afterwards that it may be there.
    """
    _check_choice(choice)
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli import work

        chosen = work.Choice(**choice)
        return await work.discard(database, show, schema, queue, chosen, dry_run=dry_run)

    run(main, show)


@click.command()
@of_decision
@click.option(
    "--accepted/--not-accepted",
    default=None,  # nothing is taken for granted here
    help="The server has them; or it has not, and they are sent again.",
)
@click.option("--conversation-id", metavar="ID", help="Of one accepted item that opens it.")
@click.option("--job-id", metavar="ID", help="Of one accepted item: follow this job.")
def resolve(
    database: str,
    schema: str,
    queue: str,
    as_json: bool,
    dry_run: bool,
    accepted: bool | None,
    conversation_id: str | None,
    job_id: str | None,
    **choice: Any,
) -> None:
    """Record what became of ambiguous items, and let their conversations go on.

    These are KEYs, or the ambiguous ones that the options choose.
    """
    if accepted is None:
        raise click.UsageError("Say what is true: --accepted or --not-accepted.")
    _check_choice(choice)
    if (conversation_id or job_id) and len(choice["keys"]) != 1:
        raise click.UsageError("--conversation-id and --job-id are of one item; give its KEY.")
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli import work

        return await work.resolve(
            database,
            show,
            schema,
            queue,
            work.Choice(**choice),
            accepted=accepted,
            conversation_id=conversation_id,
            job_id=job_id,
            dry_run=dry_run,
        )

    run(main, show)


def _check_choice(choice: dict[str, Any]) -> None:
    """Insist on items by key, by conditions, or all: nothing is decided by default."""
    keys, every = choice["keys"], choice["every"]
    conditions = [
        value
        for name, value in choice.items()
        if name not in ("keys", "every") and value not in (None, ())
    ]
    if (bool(keys) + bool(conditions) + every) != 1:
        raise click.UsageError(
            "Give KEYs; or what they have in common, such as --state; or --all. One of these."
        )


@click.group()
def db() -> None:
    """Look after the database of an outbox."""


@db.command()
@of_outbox
@click.option("--role", metavar="NAME", help="Who may use the tables, in PostgreSQL.")
def migrate(database: str, schema: str, as_json: bool, role: str | None) -> None:
    """Make the tables, or bring them up to date.

    Workers do it by themselves, if their user may make tables.
    """
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli import work

        return await work.migrate(database, show, schema, role)

    run(main, show)


@db.command()
@of_outbox
def restored(database: str, schema: str, as_json: bool) -> None:
    """After a backup was put back: look for evidence before anything of it is sent.

    Run it before any worker starts. What the backup takes for unsent may have been sent since.
    """
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli import operations

        return await operations.restored(database, show, schema)

    run(main, show)


COMMANDS: Final = (worker, jobs, retry, discard, resolve, db)
