"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import click

Command: TypeAlias = Callable[..., Any]

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, on stdout.")
base_url = click.option("--base-url", metavar="URL", help="Origin of the API.  [SYMBL_BASE_URL]")
allow_http = click.option(
    "--allow-http",
    is_flag=True,
    envvar="SYMBL_ALLOW_HTTP",
    help="Allow plain http to other machines.  [SYMBL_ALLOW_HTTP=1]",
)
language = click.option("--language", metavar="CODE", help="Language spoken, such as en-US.")
formats = click.option(
    "--format",
    "formats",
    metavar="LIST",
    help="Of json,srt,vtt,md,txt,html; all but html without it.",
)


def of_client(command: Command) -> Command:
    """Add the options of all commands with a client."""
    return as_json(base_url(allow_http(command)))
