"""Commands about what an account stores: their options and help. ``account_actions`` works."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

import click

from symbl_aio.cli.runner import config, config_path, run
from symbl_aio.cli.shared_options import Command, formats, of_client
from symbl_aio.cli.show_rows import Rows

_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes"}


def moment(context: click.Context, option: click.Parameter, text: str | None) -> datetime | None:
    """Parse an ISO date or time, or an age such as ``30d``, ``12h`` or ``15m``."""
    if text is None:
        return None
    try:
        if (unit := _UNITS.get(text[-1:])) is not None and text[:-1].isdecimal():
            return datetime.now(UTC) - timedelta(**{unit: int(text[:-1])})
        found = datetime.fromisoformat(text)
        # A time without a zone is this machine's.
        return found.astimezone() if found.tzinfo is None else found
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is neither a date such as 2026-01-31 nor an age such as 30d"
        ) from None


def _run(
    action: str, as_json: bool, base_url: str | None, allow_http: bool, **arguments: Any
) -> NoReturn:
    """Run a function of ``account_actions`` with a client and the options that click has parsed."""
    rows = Rows(as_json)

    async def main() -> int:
        from symbl_aio import SymblClient
        from symbl_aio.cli import account_actions

        async with SymblClient(config=config(base_url, allow_http)) as client:
            code: int = await getattr(account_actions, action)(client, rows, **arguments)
        return code

    run(main, rows)


@click.command()
@click.option(
    "--since",
    callback=moment,
    metavar="TIME",
    default="7d",
    show_default=True,
    help="Started since then.",
)
@click.option("--until", callback=moment, metavar="TIME", help="Started before then.")
@click.option("--name", "text", metavar="TEXT", help="Whose names have this text; case is ignored.")
@click.option("--filter", "rsql", metavar="RSQL", help="As conversation.metadata.agentId==ann.")
@click.option("--group", metavar="ID", help="Of this group of conversations.")
@click.option("--limit", type=click.IntRange(1), metavar="NUMBER", help="At most so many.")
@of_client
def conversations(as_json: bool, **options: Any) -> None:
    """List conversations, the newest first: id, start, length and name.

    Times are dates such as 2026-01-31T09:00, or ages such as 30d, 12h and 15m.
    """
    _run("list_conversations", as_json, **options)


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="CONVERSATION...|-")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write CONVERSATION.FORMAT into DIR; one conversation in one format may go to stdout.",
)
@formats
@of_client
def export(ids: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Write conversations as JSON, subtitles and text. - stands for ids on standard input."""
    _run("export_conversations", as_json, ids=ids, **options)


def creating(fields: str) -> Callable[[Command], Command]:
    """Return the option for a file of objects with these fields."""
    return click.option(
        "--create",
        "file",
        type=click.Path(dir_okay=False, allow_dash=True),
        metavar="FILE",
        help="Create those of a YAML or JSON file that do not exist by name: a list of objects "
        f"with {fields}, as the API names them, or the lines of --json. - is stdin.",
    )


@click.command()
@creating("name and vocabulary")
@of_client
def trackers(as_json: bool, file: str | None, **options: Any) -> None:
    """List the account's trackers, or create some."""
    if file is None:
        _run("list_trackers", as_json, **options)
    _run("create", as_json, kind="trackers", file=file, **options)


@click.command()
@creating("name, criteria and description")
@of_client
def groups(as_json: bool, file: str | None, **options: Any) -> None:
    """List the account's groups of conversations, or create some."""
    if file is None:
        _run("list_groups", as_json, **options)
    _run("create", as_json, kind="groups", file=file, **options)


@click.command()
@of_client
@click.pass_context
def doctor(context: click.Context, as_json: bool, base_url: str | None, allow_http: bool) -> None:
    """Check this machine, the configuration, the way to the host and the account.

    Nothing is changed at the server. Each finding that needs attention has its remedy.
    """
    rows = Rows(as_json)

    async def main() -> int:
        from symbl_aio.cli.config_file import Loaded
        from symbl_aio.cli.doctor import examine

        loaded = context.find_object(Loaded) or Loaded(config_path())
        return await examine(loaded, lambda: config(base_url, allow_http), rows)

    run(main, rows)


COMMANDS: Final = (doctor, conversations, export, trackers, groups)
