"""Run one command to its end, and turn what happened into an exit code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

from rich.console import Console

from symbl_aio import SymblError
from symbl_aio.cli.endings import INTERRUPTED, USAGE, code_of
from symbl_aio.cli.screen import Screen
from symbl_aio.cli.show import Lines, Show

_OF_DURABLE: Final = ("dbos", "psycopg", "sqlalchemy")


def show_for(as_json: bool) -> Show:
    """Tell machines on stdout; or a person, on stdout and stderr."""
    if as_json:
        return Lines(sys.stdout)
    return Screen(Console(), Console(stderr=True))


def run(main: Callable[[], Coroutine[Any, Any, int]], show: Show) -> NoReturn:
    """Run what gives an exit code, and leave with it. An error of the library has a code, too."""
    try:
        code = asyncio.run(main())
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SymblError as error:
        show.error(str(error))
        code = code_of(error)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_DURABLE:
            raise
        show.error(
            f"this command needs {error.name}, which is not installed. Install the extra:  "
            "pip install '.[cli,durable]' in a checkout of symbl-aio"
        )
        code = USAGE
    finally:
        show.close()
    raise SystemExit(code)
