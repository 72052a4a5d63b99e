"""The command ``symbl-aio`` (extra ``cli``). It uses the public API only, like any program.

``commands`` and ``outbox_commands`` declare the commands and their options. A command imports
its implementation when it runs: ``follow_jobs``, ``demo``, ``serve`` or ``outbox_actions``.
``show_json`` and ``show_terminal`` print its events through ``safe_streams``, which never raises
or blocks; ``runner`` and ``exit_codes`` turn the outcome into an exit code.
"""

from __future__ import annotations

import sys

from symbl_aio import __version__

__all__ = ["main"]

_INTERRUPTED = 130
_FAULT = 70


def main() -> None:
    """Run the command line; the entry point of the console script."""
    from symbl_aio.cli.safe_streams import GRACE, leave, protect

    # First, so that the error of a failed import is written to a stream that never raises.
    protect()
    try:
        code = _run()
        leave()
    except KeyboardInterrupt:
        code = _INTERRUPTED
        _ignore_stop_signals()
        leave(GRACE)
    except Exception:
        import traceback

        # Python's own exit code for it is 1: here the code of a failed job.
        sys.stderr.write(traceback.format_exc())
        code = _FAULT
        leave()
    # While Python ends, a signal would kill it, with another exit code.
    _ignore_stop_signals()
    raise SystemExit(code)


def _ignore_stop_signals() -> None:
    signal = sys.modules.get("signal")
    if signal is None:  # --version has no handlers
        return
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if (number := getattr(signal, name, None)) is not None:
            signal.signal(number, signal.SIG_IGN)


def _run() -> int:
    if sys.argv[1:] == ["--version"]:  # click and the commands take ten times as long to load
        sys.stdout.write(f"symbl-aio, version {__version__}\n")
        return 0
    import signal

    # The imports below take a while: from here on a stop signal raises ``KeyboardInterrupt``.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        import click

        from symbl_aio.cli.commands import cli
    except ModuleNotFoundError as error:
        return _without_extra(error)
    except KeyboardInterrupt:
        return _interrupted_early()
    try:
        # In its standalone mode click exits with 1 on Ctrl-C: here the code of a failed job.
        return cli.main(prog_name="symbl-aio", standalone_mode=False) or 0
    except ModuleNotFoundError as error:  # rich, which each command imports when it draws
        return _without_extra(error)
    except click.Abort:
        return _interrupted_early()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SystemExit as exited:
        return exited.code if isinstance(exited.code, int) else 1


def _without_extra(error: ModuleNotFoundError) -> int:
    """Print which part of the extra is missing; raise any other error."""
    name = (error.name or "").partition(".")[0]
    if name not in ("click", "rich"):
        raise error
    sys.stderr.write(
        f"symbl-aio: the command line needs {name}, which is not installed.\n"
        "Install the extra:  pip install '.[cli]' in a checkout of symbl-aio\n"
    )
    return 2


def _interrupted_early() -> int:
    """Print the command again, so that it can be repeated: nothing was sent."""
    import shlex

    words = ["symbl-aio", *sys.argv[1:]]
    sys.stderr.write("Interrupted before anything was sent.\n")
    # A signed link is a secret, and so is that of --app and --app-secret.
    if not any("://" in word or word.startswith("--app") for word in words):
        sys.stderr.write(f"  {shlex.join(words)}\n")
    return _INTERRUPTED
