"""The command ``symbl-aio listen``: its options and help."""

from __future__ import annotations

from typing import Any

import click

from symbl_aio.cli.runner import config, run, show_for
from symbl_aio.cli.shared_options import language, of_client


@click.command()
@click.argument("file", default="-", metavar="[FILE|-]")
@click.option("--realtime", is_flag=True, help="Send FILE at the speed of speech.")
@click.option(
    "--rate",
    default=16_000,
    show_default=True,
    type=click.IntRange(8_000, 48_000),
    help="Samples a second of standard input, unless it is a wav.",
)
@click.option("--title", metavar="TEXT", help="Title of the conversation.")
@click.option("--speaker", metavar="NAME", help="Name of the speaker.")
@language
@of_client
def listen(
    file: str,
    realtime: bool,
    rate: int,
    as_json: bool,
    base_url: str | None,
    allow_http: bool,
    **settings: Any,
) -> None:
    """Print captions and insights as they come, of a recording or of standard input.

    FILE is a recording; a wav of 16 bits, or any other if PyAV is installed (extra live). Without
    it, standard input is 16-bit samples of one channel, little endian, or a wav:

    \b
        arecord -q -f S16_LE -r 16000 -c 1 | symbl-aio listen
    """
    show = show_for(as_json)

    async def main() -> int:
        from symbl_aio.cli.listen import captions_of

        return await captions_of(
            file, show, config(base_url, allow_http), realtime=realtime, rate=rate, **settings
        )

    run(main, show)
