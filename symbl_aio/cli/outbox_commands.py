"""Commands for an outbox: their options and help. ``outbox_actions`` does the work.

An action needs the extra ``durable`` (DBOS and SQLAlchemy), so its module is imported when a
command runs, and not for help or for the commands of the client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

import click
from click.core import ParameterSource

from symbl_aio.cli.runner import FiniteRange, run, show_for
from symbl_aio.cli.shared_options import Command, allow_http, as_json, base_url

# Copies of the defaults in ``durable``, whose import takes a second; a test compares them.
SCHEMA: Final = "symbl_aio"
QUEUE: Final = "symbl"
STATES: Final = (
    *("queued", "accepted", "completed", "failed", "lost"),
    *("refused", "ambiguous", "blocked", "discarded"),
)


def warn_of_password(
    context: click.Context, option: click.Parameter, url: str | None
) -> str | None:
    """Warn of a password among the arguments, and return the URL."""
    given = context.get_parameter_source(option.name or "")
    if url is not None and given is ParameterSource.COMMANDLINE and _has_password(url):
        click.echo(
            "Warning: --database has a password, and ps shows it to all users of this machine; "
            "set SYMBL_AIO_DATABASE instead, or leave the password to PGPASSFILE",
            err=True,
        )
    return url


def _has_password(url: str) -> bool:
    _, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    user, at, _ = place.rpartition("@")
    return bool(at and user.partition(":")[2]) or any(
        part.startswith("password=") for part in query.split("&")
    )


database = click.option(
    "--database",
    envvar="SYMBL_AIO_DATABASE",
    show_envvar=True,
    required=True,
    metavar="URL",
    callback=warn_of_password,
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


def of_outbox(command: Command) -> Command:
    """Add the options that all commands for an outbox have."""
    return database(schema(as_json(command)))


def of_queue(command: Command) -> Command:
    """Add the options of the commands for one queue of an outbox."""
    return of_outbox(queue(command))


def setting(name: str, help: str, **given: Any) -> Callable[[Command], Command]:
    """Return the option for one setting of ``Worker``, with its environment variable."""
    return click.option(
        f"--{name}",
        envvar=f"SYMBL_AIO_{name.replace('-', '_').upper()}",
        show_envvar=True,
        show_default=given.get("default") is not None,
        help=help,
        **given,
    )


SECONDS: Final[dict[str, Any]] = {
    "type": FiniteRange(min=0, min_open=True),
    "metavar": "SECONDS",
}


def _run(action: str, as_json: bool, *, service: bool = False, **arguments: Any) -> NoReturn:
    """Run a function of ``outbox_actions`` with the options that click has parsed."""
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli import outbox_actions

        code: int = await getattr(outbox_actions, action)(show, **arguments)
        return code

    run(main, show, service=service)


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
@setting(
    "wait-for-database",
    "How long the start waits for a PostgreSQL that is away.",
    default=30.0,
    type=FiniteRange(0),
    metavar="SECONDS",
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
def worker(as_json: bool, **options: Any) -> None:
    """Send the items of an outbox and follow their jobs, until Ctrl-C or SIGTERM (exit code 0).

    SIGUSR1 drains it: it takes nothing new, and ends when its own jobs have ended. A
    supervisor should restart it after any other exit code: 6 means that the other workers
    took it for dead.
    """
    _run("work", as_json, service=True, **options)


@click.command()
@of_queue
@click.option("--state", type=click.Choice(STATES), help="Those in this state.")
@click.option("--conversation", metavar="KEY", help="Those of this one, by its key or id.")
def jobs(as_json: bool, **options: Any) -> None:
    """List the items of an outbox, oldest first, and count all of them by state."""
    _run("list_items", as_json, **options)


def of_decision(command: Command) -> Command:
    """Add the options that choose the items of a decision: by key, or by conditions."""
    # Each decorator puts its option before those that the command has already.
    for option in reversed(_CHOICE):
        command = option(command)
    return command


_CONDITIONS: Final = ("state", "conversation", "older_than", "newer_than")
_CHOICE: Final = (
    click.argument("keys", nargs=-1, metavar="[KEY]..."),
    click.option("--all", "every", is_flag=True, help="All that this is usually for."),
    click.option(
        "--state",
        multiple=True,
        type=click.Choice(STATES),
        help="Those in this state; may be given more than once.",
    ),
    click.option("--conversation", metavar="KEY", help="Those of this one, by its key or id."),
    click.option(
        "--older-than",
        type=FiniteRange(0),
        metavar="SECONDS",
        help="Those that ended, or were submitted and wait, so long ago or longer.",
    ),
    click.option(
        "--newer-than", type=FiniteRange(0), metavar="SECONDS", help="So long ago at most."
    ),
    click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing."),
    queue,
    of_outbox,
)


@click.command()
@of_decision
def retry(as_json: bool, **options: Any) -> None:
    """Send items again: KEYs, or those that the options choose.

    Without --state: refused and blocked items. A failed or lost item was accepted once, and a
    discarded one may have been: look whether its content is there.
    """
    _decide("retry", as_json, options)


@click.command()
@of_decision
def discard(as_json: bool, **options: Any) -> None:
    """Discard items: KEYs, or those that the options choose; the items behind them go on.

    Without --state: queued and blocked items. Once an ambiguous item is discarded, no record
    shows that the server may have it.
    """
    _decide("discard", as_json, options)


@click.command()
@of_decision
@click.option(
    "--accepted/--not-accepted",
    default=None,  # without a default, so that the caller has to choose
    help="The server has them; or it has not, and they are sent again.",
)
@click.option("--conversation-id", metavar="ID", help="Of one accepted item that opens it.")
@click.option("--job-id", metavar="ID", help="Of one accepted item: follow this job.")
def resolve(as_json: bool, accepted: bool | None, **options: Any) -> None:
    """Record what became of ambiguous items, and let their conversations go on.

    These are KEYs, or the ambiguous ones that the options choose.
    """
    if accepted is None:
        raise click.UsageError("Say what is true: --accepted or --not-accepted.")
    _decide("resolve", as_json, options, accepted=accepted)


def _decide(decision: str, as_json: bool, options: dict[str, Any], **arguments: Any) -> NoReturn:
    """Run a decision about the items that ``options`` choose: KEYs, conditions, or all.

    A decision cannot be undone, so without a choice it is a ``UsageError``.
    """
    keys, every = options.pop("keys"), options.pop("every")
    given = {name: options.pop(name) for name in _CONDITIONS}
    conditions = {name: value for name, value in given.items() if value not in (None, ())}
    if bool(keys) + bool(conditions) + every != 1:
        raise click.UsageError(
            "Give KEYs; or what they have in common, such as --state; or --all. One of these."
        )
    ids = {name: options.pop(name, None) for name in ("conversation_id", "job_id")}
    arguments |= options
    if all(one is None for one in ids.values()):
        _run("decide", as_json, decision=decision, keys=keys, conditions=conditions, **arguments)
    if len(keys) != 1:
        raise click.UsageError("--conversation-id and --job-id are of one item; give its KEY.")
    _run("resolve_one", as_json, key=keys[0], **ids, **arguments)


@click.group()
def db() -> None:
    """Look after the database of an outbox."""


@db.command()
@of_outbox
@click.option("--role", metavar="NAME", help="Who may use the tables, in PostgreSQL.")
def migrate(as_json: bool, **options: Any) -> None:
    """Make the tables, or bring them up to date.

    Workers do it by themselves, if their user may make tables.
    """
    _run("migrate", as_json, **options)


@db.command()
@of_outbox
def restored(as_json: bool, **options: Any) -> None:
    """After a backup was put back: look for evidence before anything of it is sent.

    Run it before any worker starts. An item that the backup has as unsent may have been sent
    since.
    """
    _run("restored", as_json, queue=QUEUE, **options)


@click.command()
@of_queue
def stats(as_json: bool, **options: Any) -> None:
    """Count what waits, what holds a slot, what has ended lately, and who works."""
    _run("stats", as_json, **options)


@click.command()
@of_queue
@click.option("--wait", is_flag=True, help="Until nothing is under way any more.")
@click.option("--timeout", default=None, help="How long to wait; for ever.", **SECONDS)
def pause(as_json: bool, **options: Any) -> None:
    """Begin nothing new, in all workers, until resume. What is under way goes on.

    Exit code 3 if something was still under way after --timeout; the queue stays paused.
    """
    _run("pause", as_json, **options)


@click.command()
@of_queue
def resume(as_json: bool, **options: Any) -> None:
    """Begin new work again, in all workers."""
    _run("resume", as_json, **options)


COMMANDS: Final = (worker, jobs, retry, discard, resolve, db, stats, pause, resume)
