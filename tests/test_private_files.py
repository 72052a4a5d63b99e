"""Folders and files of the outbox and the journal are this user's alone, whatever the umask."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from symbl_aio import Config, Credentials, Text
from symbl_aio._private_files import make_file, make_folder
from symbl_aio.contrib.journal import JobJournal
from symbl_aio.durable import Outbox, Worker, migrate
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes are of POSIX")


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Allow everything, as the worst of umasks."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """Return the mode of a folder, and of all that is in it."""
    return {
        one.relative_to(folder.parent).as_posix(): oct(stat.S_IMODE(one.stat().st_mode))
        for one in (folder, *folder.rglob("*"))
    }


def test_missing_folders_and_files_are_private_and_existing_ones_stay(tmp_path: Path):
    tmp_path.chmod(0o755)
    make_folder(tmp_path / "a" / "b")
    make_file(tmp_path / "a" / "file")
    assert modes(tmp_path / "a") == {"a": "0o700", "a/b": "0o700", "a/file": "0o600"}
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    (tmp_path / "shared").mkdir(0o775)
    (tmp_path / "shared" / "file").write_text("kept")
    make_folder(tmp_path / "shared")
    make_file(tmp_path / "shared" / "file")
    assert modes(tmp_path / "shared") == {"shared": "0o775", "shared/file": "0o666"}
    assert (tmp_path / "shared" / "file").read_text() == "kept"


@pytest.mark.parametrize("first", ["outbox", "worker", "migrate"])
async def test_an_outbox_and_its_worker_keep_their_files_private(
    tmp_path: Path, server: LocalSymbl, first: str
) -> None:
    folder = tmp_path / "data" / "symbl"
    database = f"sqlite:///{folder}/outbox.db"
    if first == "migrate":
        await migrate(database)
    config = Config(base_url=server.base_url, **QUICK)
    worker = Worker(database, Credentials("app", "secret"), config=config, poll_interval=0.02)
    outbox = Outbox(database)
    for one in (worker, outbox) if first == "worker" else (outbox, worker):
        await one.start()
    await outbox.submit(Text("We begin."), key="one")
    await outbox.result("one")
    found = modes(tmp_path / "data")
    await worker.aclose()
    await outbox.aclose()
    assert found.pop("data") == found.pop("data/symbl") == "0o700"
    assert {"data/symbl/outbox.db", "data/symbl/outbox.db-wal", "data/symbl/outbox.db-shm"} < set(
        found
    )
    assert set(found.values()) == {"0o600"}


async def test_a_journal_keeps_its_files_private(tmp_path: Path, server: LocalSymbl) -> None:
    folder = tmp_path / "data" / "journal"
    journal = JobJournal(folder)
    async with server.client(observers=[journal], **QUICK) as client:
        await journal.resume(client)
        server.hold_jobs()
        await client.submit(Text("We begin."))
        found = modes(tmp_path / "data")
        server.release()
        await client.aclose(drain="none")
    journal.close()
    assert found.pop("data") == found.pop("data/journal") == "0o700"
    assert [name.rpartition(".")[2] for name in sorted(found)] == ["jobs", "jobs-wal"]
    assert set(found.values()) == {"0o600"}
