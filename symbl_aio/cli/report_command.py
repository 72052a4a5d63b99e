"""The command ``symbl-aio report``: conversations as one HTML page."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from symbl_aio.cli.exit_codes import OK
from symbl_aio.cli.runner import config, run, show_for
from symbl_aio.cli.shared_options import of_client

if TYPE_CHECKING:
    from symbl_aio import Everything
    from symbl_aio.report import Recording

_STORED: Final = ".json"
"""Ends the name of a conversation that ``Everything.to_json`` wrote."""


@click.command()
@click.argument("conversations", nargs=-1, required=True, metavar="CONVERSATION...")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE|-",
    type=click.Path(dir_okay=False, allow_dash=True),
    callback=lambda _context, _option, name: Path("/dev/stdout" if name == "-" else name),
    help="The page to write, - for stdout; a file is replaced once the new one is whole.",
)
@click.option(
    "--media",
    "recordings",
    multiple=True,
    metavar="FILE|URL",
    help="The recording of a conversation, for a player; once for each, in their order.",
)
@click.option("--title", metavar="TEXT", help="Of the page; else that of the conversation.")
@of_client
def report(
    conversations: tuple[str, ...],
    output: Path,
    recordings: tuple[str, ...],
    title: str | None,
    as_json: bool,
    base_url: str | None,
    allow_http: bool,
) -> None:
    """Write conversations as one HTML page: transcript, insights, charts and a player.

    CONVERSATION is an id, or a .json file that upload, export or Everything.to_json wrote. The
    page needs no network. A recording of up to 8 MB is put into the page; a larger one is
    linked, so it must move with the page.
    """
    if len(recordings) > len(conversations):
        raise click.UsageError("--media is given more often than CONVERSATION.")
    show = show_for(as_json)

    def main() -> Coroutine[Any, Any, int]:
        # Before there is an event loop, so files are read where they are asked for.
        stored = _stored(conversations)
        return write(stored, _players(recordings, output))

    async def write(stored: dict[str, Everything], players: Sequence[Recording]) -> int:
        from symbl_aio.cli.upload.output_files import write_atomically
        from symbl_aio.report import to_html

        ids = [name for name in conversations if name not in stored]
        # With stored ones alone it needs neither a server nor credentials.
        fetched = await _fetched(ids, base_url, allow_http) if ids else {}
        found = [(stored | fetched)[name] for name in conversations]
        page = to_html(*found, recordings=players, title=title)
        await asyncio.to_thread(write_atomically, output, page)
        # In a pipe, a line behind the page would be part of it.
        if await asyncio.to_thread(output.is_file):
            show.report(str(output), [one.info.id for one in found], len(page.encode()))
        return OK

    run(main, show)


def _stored(conversations: Iterable[str]) -> dict[str, Everything]:
    """Read the conversations in files; the other names are ids. Raises ``ConfigurationError``."""
    from symbl_aio import ConfigurationError, DecodeError, Everything

    found = {}
    for name in conversations:
        path = Path(name)
        if name and os.path.isdir(name):  # an id may be too long for a file's name
            raise ConfigurationError(f"{name} is a folder; name its {_STORED} files")
        if path.suffix == _STORED:
            try:
                found[name] = Everything.from_json(path.read_text("utf-8-sig"))
            except (DecodeError, UnicodeError):
                raise ConfigurationError(
                    f"{name} was not written by upload, export or Everything.to_json; give an id, "
                    f"or a {_STORED} file of one of them"
                ) from None
        elif path.suffix and os.path.exists(name):
            raise ConfigurationError(f"{name} is no {_STORED} file of upload or export, and no id")
    return found


async def _fetched(
    ids: Iterable[str], base_url: str | None, allow_http: bool
) -> dict[str, Everything]:
    from symbl_aio import SymblClient

    async with SymblClient(config=config(base_url, allow_http)) as client:
        return {id: await client.conversation(id).everything(sentiment=True) for id in ids}


def _players(recordings: tuple[str, ...], output: Path) -> list[Recording]:
    from symbl_aio import ConfigurationError
    from symbl_aio.report import recording

    try:
        return [recording(one, page=output) for one in recordings]
    except ValueError as error:
        raise ConfigurationError(f"--media: {error}") from None
