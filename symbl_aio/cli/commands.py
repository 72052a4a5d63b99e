"""The commands of the client and of the demonstration: their options and help.

A command imports its implementation when it runs: ``--help`` and ``--version`` load neither
aiohttp nor the server.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import click

from symbl_aio import __version__
from symbl_aio.cli import account_commands, outbox_commands, unfinished
from symbl_aio.cli.exit_codes import MEANINGS, OK, UNWRITTEN
from symbl_aio.cli.job_tokens import restored
from symbl_aio.cli.listen_command import listen
from symbl_aio.cli.report_command import report
from symbl_aio.cli.runner import config, console_on, run, show_for, use_profile
from symbl_aio.cli.serve_command import Recognition, recognition, serve
from symbl_aio.cli.shared_options import Command, language, of_client
from symbl_aio.cli.unfinished import Resumption, RunningJob, Untouched
from symbl_aio.cli.upload.command import settle, upload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from symbl_aio import Job, MediaOptions, Submission, SymblClient
    from symbl_aio.cli.show_json import Show
    from symbl_aio.cli.sources import Given, Kind

    Begin: TypeAlias = Callable[[SymblClient, Given, MediaOptions], Submission]

# "\b" keeps click from wrapping the lines of the list.
EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {text}" for code, text in MEANINGS.items())

no_wait = click.option("--no-wait", is_flag=True, help="Return once accepted; print the tokens.")
conversation_name = click.option("--name", metavar="TEXT", help="Name of the conversation.")
kind = click.option(
    "--kind",
    type=click.Choice(["audio", "video"]),
    help="Of a link, if its ending does not name it.",
)
files = click.argument("files", nargs=-1, metavar="FILE...")
unsent = click.option(
    "--from",
    "kept",
    type=click.Path(dir_okay=False),
    help="Those that an interrupted command had not sent: what it kept, or what --json printed.",
)


def of_media(command: Command) -> Command:
    """Add the options of all commands with recordings."""
    command = files(unsent(conversation_name(language(kind(no_wait(of_client(command)))))))
    # Each decorator puts its option before those that the command has already.
    for option in reversed(_OUTBOX_OPTIONS):
        command = option(command)
    return command


_OUTBOX_OPTIONS: Final = (
    click.option(
        "--database",
        metavar="URL",
        callback=outbox_commands.warn_of_password,
        help="Put the items into this outbox, for a worker to send, and return.",
    ),
    click.option("--schema", help="Of the outbox's tables, in PostgreSQL."),
    click.option(
        "--key",
        metavar="TEXT",
        help="Name of the one item in the outbox; else files and links name their own.",
    ),
    click.option(
        "--priority",
        type=click.IntRange(-1000, 1000),
        help="In the outbox: the higher the sooner; 0 without it.",
    ),
)


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--profile", metavar="NAME", help="Of the configuration file.  [SYMBL_AIO_PROFILE]")
@click.pass_context
def cli(context: click.Context, profile: str | None) -> None:
    """Recordings in, transcripts and insights out: a client of the Symbl.ai async API.

    Credentials are read from SYMBL_APP_ID and SYMBL_APP_SECRET (or SYMBL_ACCESS_TOKEN), the
    host from SYMBL_BASE_URL, such as http://127.0.0.1:8080, else both from the profiles in
    ~/.config/symbl-aio/config.toml. `symbl-aio demo` needs neither.
    """
    use_profile(context, profile)


for command in (
    *outbox_commands.COMMANDS,
    *account_commands.COMMANDS,
    report,
    serve,
    upload,
    settle,
    listen,
):
    cli.add_command(command)


@cli.command()
@click.argument("file", required=False, metavar="[FILE]")
@click.option("--append", "second", metavar="FILE", help="A second part for the conversation.")
@recognition
@click.option("--svg", type=click.Path(dir_okay=False), hidden=True)
def demo(file: str | None, second: str | None, asr: Recognition, svg: str | None) -> None:
    """Show the main job on a recording, with a local server: no account, no network.

    FILE is an mp4, m4a, mp3 or wav; without it, two short recordings of the checkout and a note.
    """
    from rich.console import Console

    from symbl_aio.cli import demo as demonstration
    from symbl_aio.cli.safe_streams import stderr, stdout
    from symbl_aio.cli.show_terminal import Screen

    # The picture is drawn from the recorded lines; bars are redrawn and would be in it many times.
    out: Any = stdout()
    console = (
        Console(file=out, record=True, force_terminal=True, width=124) if svg else console_on(out)
    )
    screen = Screen(console, console_on(stderr()), bars=svg is None)

    async def main() -> int:
        code = await demonstration.run(file, second, asr, console, screen)
        if svg:
            demonstration.draw(console, Path(svg))
        return code

    run(main, screen)


@cli.command()
@of_media
def submit(files: tuple[str, ...], **options: Any) -> None:
    """Submit recordings, each as a new conversation, and wait until they are processed.

    FILE is a path, a direct http(s) link, or - for one recording on standard input.
    """

    def begin(client: SymblClient, media: Given, options: MediaOptions) -> Submission:
        return client.submit(media, options)

    _submit(None, begin, ["submit"], files, **options)


@cli.command()
@click.argument("conversation")
@of_media
def append(conversation: str, files: tuple[str, ...], **options: Any) -> None:
    """Append recordings to a conversation, in the order given, one after the other.

    FILE is a path, a direct http(s) link, or - for one recording on standard input.
    """

    def begin(client: SymblClient, media: Given, options: MediaOptions) -> Submission:
        return client.append(conversation, media, options)

    _submit(conversation, begin, ["append", conversation], files, **options)


@cli.command()
@click.argument("tokens", nargs=-1, metavar="TOKEN...")
@click.option(
    "--from",
    "kept",
    type=click.Path(dir_okay=False),
    help="Those of a file: what Ctrl-C kept, or what --json printed.",
)
@of_client
def wait(
    tokens: tuple[str, ...],
    kept: str | None,
    as_json: bool,
    base_url: str | None,
    allow_http: bool,
) -> None:
    """Wait for jobs by their tokens, as printed when they were accepted, or by job id."""
    if not tokens and kept is None:
        raise click.UsageError("Give at least one TOKEN, or --from FILE.")
    common = _common(as_json, base_url, allow_http)
    show = show_for(as_json, Resumption(("symbl-aio", "wait", *common)))
    tokens = tuple(map(restored, tokens))
    untouched = Untouched([RunningJob(token, token) for token in tokens])
    read: dict[str, str] = {}

    def main() -> Coroutine[Any, Any, int]:
        # The file is read here, before the event loop starts: it may be a pipe.
        if kept is not None:
            read.update(unfinished.tokens(kept))
            untouched.running += [RunningJob(name, token) for token, name in read.items()]
        return wait_for_all()

    async def wait_for_all() -> int:
        from symbl_aio import SymblClient
        from symbl_aio.cli.follow_jobs import follow
        from symbl_aio.cli.sources import labels

        def begin(client: SymblClient) -> Mapping[str, Job]:
            jobs = [client.job(token) for token in (*tokens, *read)]
            names = [*(job.id for job in jobs[: len(tokens)]), *read.values()]
            return dict(zip(labels(names), jobs, strict=True))

        client = SymblClient(config=config(base_url, allow_http))
        return await follow(client, begin, show, untouched)

    run(main, show, interrupted=partial(_report, untouched, show))


@cli.command()
@click.argument("conversation")
@of_client
def messages(conversation: str, as_json: bool, base_url: str | None, allow_http: bool) -> None:
    """Print the transcript of a conversation; with --json each message as the API sent it."""
    show = show_for(as_json)

    async def read() -> int:
        from symbl_aio import SymblClient

        async with SymblClient(config=config(base_url, allow_http)) as client:
            show.messages(await client.conversation(conversation).messages())
        return OK if show.written else UNWRITTEN

    run(read, show)


def _report(untouched: Untouched, show: Show) -> None:
    """Report a command that was interrupted before its work had started."""
    if untouched:
        show.interrupted(untouched.running, [], untouched.unsent)


def _common(as_json: bool, base_url: str | None, allow_http: bool) -> tuple[str, ...]:
    """Return the options to repeat in the command that continues this one."""
    return (
        *(["--json"] if as_json else []),
        *([] if base_url is None else ["--base-url", base_url]),
        *(["--allow-http"] if allow_http else []),
    )


def _submit(
    conversation: str | None,
    begin: Begin,
    command: Sequence[str],
    files: tuple[str, ...],
    *,
    database: str | None,
    schema: str | None,
    key: str | None,
    priority: int | None,
    **options: Any,
) -> NoReturn:
    if not files and options["kept"] is None:
        raise click.UsageError("Give at least one FILE, or --from FILE.")
    if database is not None:
        if options["kept"] is not None:
            raise click.UsageError("--from goes on with what was sent from here: no --database.")
        _submit_to_outbox(
            conversation,
            files,
            database,
            schema or outbox_commands.SCHEMA,
            key,
            priority or 0,
            **options,
        )
    for name, value in (("schema", schema), ("key", key), ("priority", priority)):
        if value is not None:
            raise click.UsageError(f"--{name} is of an outbox; give its --database, too.")
    _submit_to_api(begin, command, files, **options)


def _submit_to_outbox(
    conversation: str | None,
    files: tuple[str, ...],
    database: str,
    schema: str,
    key: str | None,
    priority: int,
    *,
    name: str | None,
    language: str | None,
    kind: Kind | None,
    as_json: bool,
    **_of_client: Any,
) -> NoReturn:
    from symbl_aio.cli import sources

    if key is not None and len(files) > 1:
        raise click.UsageError("--key names one item; give one FILE.")
    # A worker opens the files later, in a process of its own.
    if sources.STDIN in files:
        raise click.UsageError("What a worker is to send has to stay: give a file, and not -.")
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio import MediaOptions
        from symbl_aio.cli import outbox_actions
        from symbl_aio.durable import Entry

        options = MediaOptions(name=name, language_code=language)
        # Keys are unique in the whole outbox, and the same file may go to two conversations.
        prefix = "" if conversation is None else f"{conversation}/"
        with sources.opened(files, kind) as given:
            entries = [
                Entry(
                    key or prefix + sources.redacted(file),
                    media,
                    options,
                    conversation=conversation,
                    priority=priority,
                )
                for file, media in zip(files, given, strict=True)
            ]
            return await outbox_actions.submit(
                show, database=database, schema=schema, queue=outbox_commands.QUEUE, entries=entries
            )

    run(main, show)


def _submit_to_api(
    begin: Begin,
    command: Sequence[str],
    files: tuple[str, ...],
    *,
    kept: str | None,
    name: str | None,
    language: str | None,
    kind: Kind | None,
    no_wait: bool,
    as_json: bool,
    base_url: str | None,
    allow_http: bool,
) -> NoReturn:
    common = _common(as_json, base_url, allow_http)
    send_command = (
        *("symbl-aio", *command),
        *([] if name is None else ["--name", name]),
        *([] if language is None else ["--language", language]),
        *([] if kind is None else ["--kind", kind]),
        *(["--no-wait"] if no_wait else []),
        *common,
    )
    by_label: dict[str, str] = {}
    show = show_for(as_json, Resumption(("symbl-aio", "wait", *common), send_command, by_label))
    untouched = Untouched()

    def main() -> Coroutine[Any, Any, int]:
        from symbl_aio.cli import sources

        given = [*files, *([] if kept is None else unfinished.unsent_files(kept))]
        names = sources.labels([sources.redacted(file) for file in given])
        by_label.update(zip(names, given, strict=True))
        untouched.unsent += names
        # Standard input is read before there is an event loop, where Ctrl-C ends the reading.
        stack = ExitStack()
        return send(stack, stack.enter_context(sources.opened(given, kind)))

    async def send(stack: ExitStack, media: list[Given]) -> int:
        from symbl_aio import MediaOptions, SymblClient
        from symbl_aio.cli.follow_jobs import follow

        with stack:  # removes the copy of standard input
            options = MediaOptions(name=name, language_code=language)

            def submit_all(client: SymblClient) -> Mapping[str, Submission]:
                pairs = zip(by_label, media, strict=True)
                return {label: begin(client, item, options) for label, item in pairs}

            client = SymblClient(config=config(base_url, allow_http))
            return await follow(client, submit_all, show, untouched, wait=not no_wait)

    run(main, show, interrupted=partial(_report, untouched, show))
