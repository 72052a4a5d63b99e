"""The command ``symbl-aio`` (extra ``cli``). It uses the public API only, like any program.

``commands`` declares the words and imports what does their work when it is asked for:
``follow`` that of the client's ones, ``demo`` that of the demo, ``work`` that of the outbox.
``show`` and ``screen`` print what happens, through ``output``, which never fails or blocks;
``running`` and ``endings`` turn the outcome into an exit code.
"""

from __future__ import annotations

import shlex
import signal
import sys

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; the entry point of the console script."""
    from symbl_aio.cli.output import GRACE, leave, protect

    protect()
    try:
        code = _run()
        leave()
    except KeyboardInterrupt:
        code = _INTERRUPTED
        leave(GRACE)
    raise SystemExit(code)


def _run() -> int:
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        import click

        from symbl_aio.cli.commands import cli
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.stderr.write(
            f"symbl-aio: the command line needs {error.name}, which is not installed.\n"
            "Install the extra:  pip install '.[cli]' in a checkout of symbl-aio\n"
        )
        return 2
    except KeyboardInterrupt:
        return _nothing_begun()
    try:
        # click's own way would end Ctrl-C with 1, the exit code of a job that failed.
        return cli.main(prog_name="symbl-aio", standalone_mode=False) or 0
    except click.Abort:
        return _nothing_begun()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1


def _nothing_begun() -> int:
    words = ["symbl-aio", *sys.argv[1:]]
    sys.stderr.write("Interrupted before anything was sent.\n")
    if not any("://" in word for word in words):  # a link may be signed, which is a secret
        sys.stderr.write(f"  {shlex.join(words)}\n")
    return _INTERRUPTED
