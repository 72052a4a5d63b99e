"""A PgBouncer in transaction mode, before the PostgreSQL of the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

_PATIENCE = 10.0
_SETTINGS = """
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listening}
unix_socket_dir =
auth_type = trust
auth_file = {directory}/users
pool_mode = transaction
default_pool_size = {size}
server_round_robin = 1
"""


@contextmanager
def pooled(url: str, size: int = 8) -> Iterator[str]:
    """Run a pooler with ``size`` connections to PostgreSQL; yield its URL of the same database.

    Each transaction gets another of them than the one before. Skips without PgBouncer.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no PgBouncer: apt-get install pgbouncer")
    target = make_url(url)
    with tempfile.TemporaryDirectory(prefix="pooler-", dir="/tmp") as directory:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            listening: int = probe.getsockname()[1]
        settings = Path(directory) / "pgbouncer.ini"
        settings.write_text(
            _SETTINGS.format(
                host=target.host,
                port=target.port,
                listening=listening,
                directory=directory,
                size=size,
            )
        )
        (Path(directory) / "users").write_text(f'"{target.username}" ""\n')
        nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # as root it refuses to run
        if nobody is not None:
            os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        child = subprocess.Popen(
            [program, "--quiet", str(settings)],
            user=None if nobody is None else nobody.pw_uid,
            group=None if nobody is None else nobody.pw_gid,
            extra_groups=None if nobody is None else [],
        )
        try:
            _wait_for(listening)
            yield target.set(port=listening).render_as_string(hide_password=False)
        finally:
            child.terminate()
            child.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return
