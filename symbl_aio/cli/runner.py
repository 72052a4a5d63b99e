"""Run one command to its end, and turn its outcome into an exit code."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

import click

from symbl_aio import SymblError
from symbl_aio.cli.exit_codes import FAULT, INTERRUPTED, USAGE, code_of, describe
from symbl_aio.cli.safe_streams import GRACE, clean, leave, stderr, stdout
from symbl_aio.cli.show_json import Lines, Show
from symbl_aio.cli.unfinished import PLAIN, Resumption

if TYPE_CHECKING:
    from rich.console import Console

    from symbl_aio import Config

_OF_DURABLE: Final = ("dbos", "psycopg", "sqlalchemy")


def show_for(as_json: bool, resumption: Resumption = PLAIN) -> Show:
    """Return the output of a command: JSON on stdout, or text on stdout and stderr."""
    if as_json:
        return Lines(stdout(), stderr(), resumption)
    from symbl_aio.cli.show_terminal import Screen

    return Screen(console_on(stdout()), console_on(stderr()), resumption=resumption)


def console_on(stream: Any) -> Console:
    """Return a console on an output. It is interactive in a terminal that can redraw lines.

    With FORCE_COLOR, as in CI, it has colours elsewhere, too.
    """
    from rich.console import Console

    return Console(file=stream, force_interactive=None if stream.isatty() else False)


class Reporting(Protocol):
    """The part of a command's output that reports how it ended."""

    def error(self, message: str) -> None: ...
    def close(self) -> None: ...


def run(
    main: Callable[[], Coroutine[Any, Any, int]],
    show: Reporting,
    *,
    interrupted: Callable[[], None] | None = None,
    service: bool = False,
) -> NoReturn:
    """Run ``main`` and exit with the code of its coroutine. An expected error is one line.

    ``main`` itself is called before the event loop starts, so it may block. SIGTERM and SIGHUP
    interrupt it, and cancel its coroutine, as Ctrl-C does; then ``interrupted`` is called. At
    the end a command waits for a paused reader of its output without a limit; after a stop
    signal, which always ends a ``service``, for a second. A signal that comes later than the end
    of the work only ends the waiting.
    """
    try:
        code = _outcome(main, show, interrupted)
        leave(GRACE if service or code == INTERRUPTED else None)
    except KeyboardInterrupt:
        code = INTERRUPTED
        show.close()
        leave(GRACE)
    raise SystemExit(code)


def _outcome(
    main: Callable[[], Coroutine[Any, Any, int]],
    show: Reporting,
    interrupted: Callable[[], None] | None,
) -> int:
    """Run ``main`` to its end, print an error, and return the exit code."""
    try:
        try:
            # ``main`` runs outside of the event loop, where asyncio handles no signals.
            take_stop_signals()
            code = asyncio.run(_interruptible(main()))
        finally:
            take_stop_signals()  # asyncio restored the handlers that kill without a message
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = INTERRUPTED
        if interrupted is not None:
            interrupted()
    except (SymblError, OSError, UnicodeError) as error:
        # Python raises UnicodeError for a host name that IDNA cannot encode.
        show.error(describe(error))
        code = code_of(error)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_DURABLE:
            raise
        show.error(
            f"this command needs {error.name}, which is not installed. Install the extra:  "
            "pip install '.[cli,durable]' in a checkout of symbl-aio"
        )
        code = USAGE
    except Exception:
        # Python's own exit code for a traceback is 1: here the code of a failed job.
        stderr().write(traceback.format_exc())
        code = FAULT
    finally:
        show.close()
    return code


def config(base_url: str | None, allow_http: bool, **settings: Any) -> Config:
    """Return the settings of the environment, overridden by those of the command line."""
    from symbl_aio import Config

    # Only options that were given: any other value would override the environment.
    if base_url is not None:
        settings["base_url"] = base_url
    if allow_http:
        settings["allow_http"] = True
    return Config(**settings)


def config_path() -> Path:
    """Return the path of the configuration file, whether it exists or not.

    ``SYMBL_AIO_CONFIG``, else in ``XDG_CONFIG_HOME`` or ``~/.config``.
    """
    if given := os.environ.get("SYMBL_AIO_CONFIG"):
        return Path(given)
    # A user without a home directory, as that of a service, has no file: "~" stays in the path.
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(home) / "symbl-aio" / "config.toml"


def use_profile(context: click.Context, profile: str | None) -> None:
    """Set the variables of the configuration file, until the command has ended.

    Without a file nothing is imported. A wrong file, or profile, is one line and exit code 2.
    """
    path = config_path()
    # Not ``Path.exists``, which raises for a folder that is another user's, as that of ``HOME``
    # under ``sudo -u``. A file that is named has to be readable.
    named = any(map(os.environ.get, ("SYMBL_AIO_CONFIG", "SYMBL_AIO_PROFILE")))
    if profile is None and not named and not os.path.exists(path):
        return
    from symbl_aio import ConfigurationError
    from symbl_aio.cli.config_file import apply, load, restore

    try:
        loaded = load(path, profile)
    except ConfigurationError as error:
        raise WrongFile(str(error)) from None
    context.obj = loaded
    context.call_on_close(partial(restore, apply(loaded)))


class FiniteRange(click.FloatRange):
    """A number in a range. NaN is in every range of click, and the infinities in most."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the number. Raises ``BadParameter``."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number


class WrongFile(click.ClickException):
    """The configuration file cannot be used."""

    exit_code = USAGE

    def show(self, file: Any = None) -> None:
        """Print it as any other error of a command."""
        click.echo(f"symbl-aio: {clean(self.message)}", err=True)


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that stop a command like Ctrl-C; ``nohup`` makes it ignore SIGHUP."""
    known = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    return tuple(number for number in known if signal.getsignal(number) is not signal.SIG_IGN)


def take_stop_signals() -> None:
    """Make SIGTERM and SIGHUP raise ``KeyboardInterrupt``, as Ctrl-C does."""
    with suppress(ValueError):  # only the main thread may
        for number in stop_signals():
            signal.signal(number, signal.default_int_handler)


async def _interruptible(main: Coroutine[Any, Any, int]) -> int:
    task = asyncio.current_task()
    assert task is not None

    def stop() -> None:
        if not task.cancelling():  # a second signal must not cut off the report of running jobs
            task.cancel()

    loop = asyncio.get_running_loop()
    # Only the main thread may, and not on Windows.
    with suppress(ValueError, RuntimeError, NotImplementedError):
        for number in (signal.SIGINT, *stop_signals()):
            loop.add_signal_handler(number, stop)
    return await main
