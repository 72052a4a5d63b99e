"""The command ``symbl-aio`` (extra ``cli``). It uses the public API only, like any program.

``commands`` declares the words, ``follow`` does the work of the client's ones, ``demo``
that of the demo, ``show`` and ``screen`` tell about it, ``endings`` turns what happened
into an exit code.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; the entry point of the console script."""
    try:
        from symbl_aio.cli.commands import cli
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.stderr.write(
            f"symbl-aio: the command line needs {error.name}, which is not installed.\n"
            "Install the extra:  pip install '.[cli]' in a checkout of symbl-aio\n"
        )
        raise SystemExit(2) from None
    cli(prog_name="symbl-aio")
