"""The words of the command line, their options and their help."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NoReturn, TypeAlias

import click
from rich.console import Console

from symbl_aio import Job, MediaOptions, Submission, SymblClient
from symbl_aio.cli import demo as demonstration
from symbl_aio.cli import outbox
from symbl_aio.cli.endings import MEANINGS, OK
from symbl_aio.cli.follow import follow, labels
from symbl_aio.cli.running import run, show_for
from symbl_aio.cli.screen import Screen
from symbl_aio.cli.serve import DEFAULT_SECRET, serve_until_stopped
from symbl_aio.server import LocalServer

Speech: TypeAlias = Literal["auto", "off"]

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {text}" for code, text in MEANINGS.items())

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, on stdout.")
no_wait = click.option("--no-wait", is_flag=True, help="Return once accepted; print the tokens.")
conversation_name = click.option("--name", metavar="TEXT", help="Name of the conversation.")
language = click.option("--language", metavar="CODE", help="Language spoken, such as en-US.")
speech = click.option(
    "--asr",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "off"]),
    help="Recognise speech when the extra asr is installed, or never.",
)
files = click.argument("files", nargs=-1, required=True, metavar="FILE...")


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="symbl-aio")
def cli() -> None:
    """Recordings in, transcripts and insights out: a client of the Symbl.ai async API.

    Credentials are read from SYMBL_APP_ID and SYMBL_APP_SECRET (or SYMBL_ACCESS_TOKEN), the
    host from SYMBL_BASE_URL, such as http://127.0.0.1:8080. `symbl-aio demo` needs neither.
    """


for command in outbox.COMMANDS:
    cli.add_command(command)


@cli.command()
@click.argument("file", required=False, metavar="[FILE]")
@click.option("--append", "second", metavar="FILE", help="A second part for the conversation.")
@speech
@click.option("--svg", type=click.Path(dir_okay=False), hidden=True)
def demo(file: str | None, second: str | None, asr: Speech, svg: str | None) -> None:
    """Show the main job on a recording, with a local server: no account, no network.

    FILE is an mp4, m4a, mp3 or wav; without it, two short recordings of the checkout and a note.
    """
    # A picture is drawn from what was printed; bars that come and go have no place in it.
    console = Console(record=True, force_terminal=True, width=124) if svg else Console()
    screen = Screen(console, Console(stderr=True), bars=svg is None)

    try:
        run(lambda: demonstration.run(file, second, asr, console, screen), screen)
    finally:
        if svg:
            Path(svg).write_text(_picture(console), "utf-8")


@cli.command()
@files
@conversation_name
@language
@no_wait
@as_json
def submit(
    files: tuple[str, ...], name: str | None, language: str | None, no_wait: bool, as_json: bool
) -> None:
    """Submit recordings, each as a new conversation, and wait until they are processed."""

    def begin(client: SymblClient, options: MediaOptions) -> Mapping[str, Submission]:
        return {
            label: client.submit(file, options)
            for label, file in zip(labels(files), files, strict=True)
        }

    _send(begin, name, language, no_wait, as_json)


@cli.command()
@click.argument("conversation")
@files
@conversation_name
@language
@no_wait
@as_json
def append(
    conversation: str,
    files: tuple[str, ...],
    name: str | None,
    language: str | None,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Append recordings to a conversation, in the order given, one after the other."""

    def begin(client: SymblClient, options: MediaOptions) -> Mapping[str, Submission]:
        return {
            label: client.append(conversation, file, options)
            for label, file in zip(labels(files), files, strict=True)
        }

    _send(begin, name, language, no_wait, as_json)


@cli.command()
@click.argument("tokens", nargs=-1, required=True, metavar="TOKEN...")
@as_json
def wait(tokens: tuple[str, ...], as_json: bool) -> None:
    """Wait for jobs by their tokens, as printed when they were accepted, or by job id."""
    show = show_for(as_json)

    def begin(client: SymblClient) -> Mapping[str, Job]:
        jobs = [client.job(token) for token in tokens]
        return dict(zip(labels([job.id for job in jobs]), jobs, strict=True))

    run(lambda: follow(SymblClient(), begin, show), show)


@cli.command()
@click.argument("conversation")
@as_json
def messages(conversation: str, as_json: bool) -> None:
    """Print the transcript of a conversation; with --json each message as the API sent it."""
    show = show_for(as_json)

    async def read() -> int:
        async with SymblClient() as client:
            show.messages(await client.conversation(conversation).messages())
        return OK

    run(read, show)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0: a free one."
)
@click.option(
    "--job-limit",
    default=50,
    show_default=True,
    type=click.IntRange(1),
    help="Unfinished jobs at a time.",
)
@click.option(
    "--job-seconds",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Least time that a job is in progress.",
)
@speech
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where uploads are kept while they are needed.",
)
@click.option("--allow-host", multiple=True, metavar="HOST", help="A private host it may call.")
@click.option("--app-id", envvar="SYMBL_APP_ID", show_envvar=True, default="app", show_default=True)
@click.option(
    "--app-secret",
    envvar="SYMBL_APP_SECRET",
    show_envvar=True,
    default=DEFAULT_SECRET,
    show_default=True,
)
@as_json
def serve(
    host: str,
    port: int,
    job_limit: int,
    job_seconds: float,
    asr: Speech,
    directory: Path | None,
    allow_host: tuple[str, ...],
    app_id: str,
    app_secret: str,
    as_json: bool,
) -> None:
    """Run the local server until Ctrl-C (exit code 0)."""
    show = show_for(as_json)
    server = LocalServer(
        host=host,
        port=port,
        job_limit=job_limit,
        app_id=app_id,
        app_secret=app_secret,
        asr=asr,
        job_seconds=job_seconds,
        directory=directory,
        allowed_hosts=allow_host,
    )
    address = f"{host}:{port}"
    run(
        lambda: serve_until_stopped(
            server, show, address=address, app_id=app_id, app_secret=app_secret
        ),
        show,
    )


def _send(
    begin: Callable[[SymblClient, MediaOptions], Mapping[str, Submission]],
    name: str | None,
    language: str | None,
    no_wait: bool,
    as_json: bool,
) -> NoReturn:
    show = show_for(as_json)

    async def send() -> int:
        options = MediaOptions(name=name, language_code=language)
        return await follow(
            SymblClient(), lambda client: begin(client, options), show, wait=not no_wait
        )

    run(send, show)


def _picture(console: Console) -> str:
    # Without the fonts that rich would have the reader's machine fetch from a stranger's host.
    drawn = console.export_svg(title="symbl-aio demo")
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
