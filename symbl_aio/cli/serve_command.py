"""The command ``symbl-aio serve``: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

import click
from click.core import ParameterSource

from symbl_aio.cli.runner import FiniteRange, run, show_for
from symbl_aio.cli.shared_options import as_json

Recognition: TypeAlias = Literal["auto", "off"]

recognition = click.option(
    "--asr",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "off"]),
    help="Recognise speech when the extra asr is installed, or never.",
)

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


def _warn_of_secret(
    context: click.Context, option: click.Parameter, value: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    """Warn of a secret among the arguments, and return it."""
    given = context.get_parameter_source(option.name or "")
    if value and given is ParameterSource.COMMANDLINE:
        click.echo(
            f"Warning: {option.opts[0]} has a secret, and ps shows it to all users of this "
            "machine; set SYMBL_APP_SECRET, or name a file in --apps",
            err=True,
        )
    return value


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0: a free one."
)
@click.option(
    "--job-limit",
    default=50,
    show_default=True,
    type=click.IntRange(1),
    help="Unfinished jobs at a time, of each application.",
)
@click.option(
    "--job-seconds",
    default=0.0,
    show_default=True,
    type=FiniteRange(0),
    help="Least time that a job is in progress.",
)
@recognition
@click.option("--model", type=_DIRECTORY, help="A folder with a CTranslate2 Whisper model.")
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Where speech is recognised.",
)
@click.option(
    "--compute-type", default="int8", show_default=True, help="Its numbers, such as float16."
)
@click.option(
    "--recognisers",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Recordings that are recognised at a time.",
)
@click.option(
    "--recogniser-timeout",
    default=300.0,
    show_default=True,
    type=FiniteRange(0, min_open=True),
    metavar="SECONDS",
    help="Silence of a recogniser after which it is started again; it answers each two and a "
    "half minutes of sound.",
)
@click.option(
    "--data",
    "--directory",
    "data",
    envvar="SYMBL_AIO_DATA",
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Data directory; by default symbl-aio in ~/.local/share (XDG_DATA_HOME).",
)
@click.option(
    "--backup",
    type=_FILE,
    help="Back up the data directory to a new file, also while a server uses it, and end.",
)
@click.option("--restore", type=_FILE, help="Restore a backup into a new data directory, and end.")
@click.option("--memory", is_flag=True, help="Store nothing: everything ends with the server.")
@click.option(
    "--keep",
    "keep_days",
    metavar="DAYS",
    type=FiniteRange(0, min_open=True),
    help="Delete recordings and unchanged conversations after so many days. By default "
    "conversations stay until they are deleted, and recordings until their job has ended.",
)
@click.option("--allow-host", multiple=True, metavar="HOST", help="A private host it may call.")
@click.option("--allow-private", is_flag=True, help="It may call every private address.")
@click.option("--app-id", envvar="SYMBL_APP_ID", show_envvar=True, default="app", show_default=True)
@click.option(
    "--app-secret",
    envvar="SYMBL_APP_SECRET",
    show_envvar=True,
    callback=_warn_of_secret,
    help="Other users of this machine can see it in ps; the variable, or --apps, hides it. "
    'Without it "secret" on loopback, else one that is made up and printed once.',
)
@click.option(
    "--app",
    "app_pairs",
    multiple=True,
    metavar="ID:SECRET",
    callback=_warn_of_secret,
    help="An application with conversations and limits of its own; visible in ps, so better "
    "in --apps.",
)
@click.option("--apps", type=_FILE, help="A file with a line ID:HASH, or ID:SECRET, for each.")
@click.option(
    "--new-app", metavar="ID", help="Make a secret up, print it, add its hash to --apps, and end."
)
@click.option(
    "--public-url", metavar="URL", help="Its address for others, such as https://symbl.example.com."
)
@click.option(
    "--trusted-proxy",
    multiple=True,
    metavar="NETWORK",
    help="Believe X-Forwarded-For, -Proto and -Host from here, such as 127.0.0.1 or 10.0.0.0/8.",
)
@click.option(
    "--tls", type=click.Choice(["self-signed"]), help="Serve HTTPS without a certificate."
)
@click.option("--tls-cert", type=_FILE, help="Serve HTTPS: the certificate and its chain, in PEM.")
@click.option("--tls-key", type=_FILE, help="Its key, in PEM, if it is in a file of its own.")
@click.option("--access-log", is_flag=True, help="Log each request, without its secrets.")
@click.option(
    "--max-upload",
    default=4.0,
    show_default=True,
    type=FiniteRange(0, min_open=True),
    metavar="GIB",
    help="The largest recording.",
)
@as_json
def serve(
    as_json: bool,
    new_app: str | None,
    backup: Path | None,
    restore: Path | None,
    **options: Any,
) -> None:
    """Run the local server until Ctrl-C (exit code 0).

    It stores everything in its data directory, and continues with it at the next start. The
    first Ctrl-C, or SIGTERM, waits for running uploads; a second one does not.
    """
    if options["memory"] and options["keep_days"] is not None:
        raise click.UsageError("--memory keeps nothing: it goes without --keep.")
    if options["memory"] and (backup or restore):
        raise click.UsageError("--memory has no data directory to back up or restore.")
    if backup and restore:
        raise click.UsageError("Give --backup or --restore, not both.")
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli.serve import ServeOptions, back_up, restore_from, serve_until_stopped
        from symbl_aio.cli.serve_apps import add_application

        if new_app is not None:
            return add_application(options["apps"], new_app, show)
        if backup is not None:
            return back_up(show, ServeOptions(**options).directory, backup)
        if restore is not None:
            return restore_from(show, ServeOptions(**options).directory, restore)
        return await serve_until_stopped(show, ServeOptions(**options))

    run(main, show, service=True)
