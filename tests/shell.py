"""Run the command line as its users do: with an environment, by words, to an exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

from attrs import frozen
from click.testing import CliRunner

from symbl_aio.cli.commands import cli
from tests.forks import Program
from tests.support import QUICK_VARIABLES

ROOT = Path(__file__).parents[1]
CREDENTIALS = {"SYMBL_APP_ID": "app", "SYMBL_APP_SECRET": "secret"}


@frozen
class Ended:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def events(self) -> list[object]:
        return [line.get("event") for line in self.lines]


class Shell:
    """Runs ``symbl-aio`` with an environment of its own."""

    def __init__(self, **variables: str) -> None:
        # Neither the variables nor the configuration file of the person who runs the tests.
        none: dict[str, str | None] = {n: None for n in os.environ if n.startswith("SYMBL_")}
        none["SYMBL_AIO_CONFIG"] = os.path.join(os.devnull, "none")
        self._env: dict[str, str | None] = {**none, **QUICK_VARIABLES, **variables}

    async def run(self, *arguments: str | Path) -> Ended:
        """Run a command to its end, in a thread: an event loop of its own, as in a process."""
        result = await asyncio.to_thread(
            CliRunner(env=self._env).invoke, cli, [*map(str, arguments)], prog_name="symbl-aio"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    def environment(self) -> dict[str, str]:
        """Return the variables of a process."""
        inherited = {k: v for k, v in os.environ.items() if k not in self._env}
        own = {k: v for k, v in self._env.items() if v is not None}
        return inherited | own | {"PYTHONPATH": str(ROOT)}

    async def start(self, *arguments: str | Path, **streams: int | None) -> Program:
        """Start a process, for what only a process can take: signals, and broken streams."""
        return await Program.start(
            "symbl_aio.cli", *map(str, arguments), env=self.environment(), **streams
        )

    async def start_python(self, *arguments: str | Path) -> asyncio.subprocess.Process:
        """Start it in a new interpreter, as users do."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", "-m", "symbl_aio.cli"),
            *map(str, arguments),
            env=self.environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def end(self, process: Process | Program) -> Ended:
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())
