"""The commands ``upload`` and ``settle``: their options and help. ``action`` does the work."""

from __future__ import annotations

from typing import Any

import click

from symbl_aio.cli.runner import FiniteRange
from symbl_aio.cli.shared_options import formats, language, of_client

ledger_option = click.option(
    "--ledger",
    type=click.Path(dir_okay=False),
    help="File that records what was sent; by default one for each account, in your state folder.",
)


@click.command()
@click.argument("paths", nargs=-1, metavar="FOLDER|FILE|URL|-...")
@click.option(
    "-o",
    "--output",
    "output",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write transcripts below DIR, in the same tree of folders, as each recording ends.",
)
@click.option("--beside", is_flag=True, help="Write transcripts beside the recordings.")
@formats
@click.option(
    "--group-by",
    metavar="folder|REGEX|CSV",
    help="Recordings of one conversation: those of a folder, those with the same text in the "
    "groups of REGEX, which is searched in the path below FOLDER, or those of a CSV file with "
    "the columns file and meeting.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing.")
@click.option("--retry-failed", is_flag=True, help="Send again what failed in an earlier run.")
@click.option("--again", is_flag=True, help="Send again what was done in an earlier run, too.")
@click.option("--watch", is_flag=True, help="Go on with the recordings that appear later.")
@click.option(
    "--quiet-for",
    type=FiniteRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: a file without a change for so long has stopped growing.",
)
@click.option(
    "--report", type=click.Path(dir_okay=False), help="Write a row for each recording: .csv, .json."
)
@language
@click.option(
    "--kind", type=click.Choice(["audio", "video"]), help="Of links whose ending is neither."
)
@click.option(
    "--patience",
    type=FiniteRange(0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to look for evidence that a recording arrived whose answer was lost.",
)
@ledger_option
@of_client
def upload(paths: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Upload folders of recordings, each recording once; the same command continues.

    A recording that was done is skipped, by its content, and what Ctrl-C, a crash or a reboot
    interrupted goes on. - stands for names on standard input, one on each line.
    """
    from symbl_aio.cli.upload.action import run_upload

    if not paths and not (options["group_by"] or "").lower().endswith(".csv"):
        raise click.UsageError("Give at least one FOLDER, FILE or URL.")
    if options["beside"] and options["output"] is not None:
        raise click.UsageError("--beside and -o are two places; give one.")
    if options["dry_run"] and options["report"] is not None:
        raise click.UsageError("--dry-run writes no report; --json prints all that it found.")
    run_upload(paths, as_json, **options)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--accepted/--not-accepted",
    default=None,  # without a default, so that the caller has to choose
    help="The server has them; or it has not, and the next upload sends them.",
)
@click.option(
    "--conversation-id", metavar="ID", help="Of one accepted FILE that opened a conversation."
)
@ledger_option
@of_client
def settle(files: tuple[str, ...], as_json: bool, accepted: bool | None, **options: Any) -> None:
    """Record what became of recordings that may have arrived, for the next upload."""
    from symbl_aio.cli.upload.action import run_settle

    if accepted is None:
        raise click.UsageError("Choose: --accepted or --not-accepted.")
    if len(files) != 1 and options["conversation_id"] is not None:
        raise click.UsageError("--conversation-id is of one FILE.")
    run_settle(files, as_json, accepted=accepted, **options)
