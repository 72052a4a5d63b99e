"""The command ``symbl-aio`` (extra ``cli``). It uses the public API only, like any program.

``commands`` declares the words and imports what does their work when it is asked for:
``follow`` that of the client's ones, ``demo`` that of the demo, ``work`` that of the outbox.
``show`` and ``screen`` print what happens, through ``output``, which never fails;
``running`` and ``endings`` turn the outcome into an exit code.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; the entry point of the console script."""
    from symbl_aio.cli.output import protect

    protect()
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
