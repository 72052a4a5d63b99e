from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from symbl_aio.server import LocalServer, StorageError, default_directory
from symbl_aio.server.storage import data_directory
from symbl_aio.server.storage.data_directory import DataDirectoryError, lock_directory


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


@pytest.mark.parametrize("existing", [True, False])
async def test_only_this_user_can_read_it(tmp_path: Path, existing: bool) -> None:
    data = tmp_path / "a" / "data"
    if existing:
        data.mkdir(parents=True, mode=0o755)
    before = os.umask(0)
    try:
        async with LocalServer(data=data):
            assert mode(data) == mode(data / "bodies") == "0o700"
            names = {path.name: mode(path) for path in data.iterdir() if path.is_file()}
    finally:
        os.umask(before)

    assert "symbl.sqlite3-wal" in names
    assert set(names.values()) == {"0o600"}


async def test_a_second_server_is_refused_with_the_name_of_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_directory.claim, "__defaults__", (0.1,))
    async with LocalServer(data=tmp_path):
        with pytest.raises(StorageError, match=f"{tmp_path} is in use .*process {os.getpid()}"):
            await LocalServer(data=tmp_path).start()
    async with LocalServer(data=tmp_path):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from symbl_aio.server.storage.data_directory import lock_directory;"
        "lock = lock_directory(pathlib.Path(sys.argv[1]), 0); print('locked', flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(DataDirectoryError, match=f"process {process.pid}"):
        lock_directory(tmp_path, patience=0)
    process.kill()
    process.communicate()

    lock_directory(tmp_path, patience=0).close()


async def test_a_directory_with_other_files_is_refused_and_not_changed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "thesis.odt").write_text("mine")

    with pytest.raises(StorageError, match=rf"{home} is no data directory.*thesis.odt"):
        await LocalServer(data=home).start()

    assert os.listdir(home) == ["thesis.odt"]
    assert mode(home) == "0o755"


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    content = b"no database" * 1000
    (tmp_path / "symbl.sqlite3").write_bytes(content)

    with pytest.raises(StorageError, match=str(tmp_path)):
        await LocalServer(data=tmp_path).start()

    assert (tmp_path / "symbl.sqlite3").read_bytes() == content


async def test_a_path_that_cannot_be_created_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match=f"{tmp_path}/file/data .*Not a directory"):
        await LocalServer(data=tmp_path / "file" / "data").start()


async def test_a_directory_of_another_user_comes_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_another_user(path: Path, mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))

    # The tests may run as root, whom nothing is forbidden.
    monkeypatch.setattr(Path, "chmod", of_another_user)
    os.chmod(tmp_path, 0o755)

    with pytest.raises(StorageError, match=rf"{tmp_path} .*not permitted.*belong to the user"):
        await LocalServer(data=tmp_path).start()


async def test_the_rest_of_a_backup_of_another_user_delays_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def of_another_user(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    # Of root, that is, whose backup was killed: the tests may run as root.
    monkeypatch.setattr("shutil.rmtree", of_another_user)
    (tmp_path / "backup-1").mkdir()

    async with LocalServer(data=tmp_path):
        pass

    assert f"{tmp_path / 'backup-1'} cannot be removed (Permission denied)" in caplog.text


@pytest.mark.parametrize(
    ("given", "expected"),
    [("/x/share", "/x/share/symbl-aio"), ("relative", "/home/ann/.local/share/symbl-aio")],
)
def test_the_default_is_where_the_user_keeps_data(
    monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", given)
    monkeypatch.setenv("HOME", "/home/ann")

    assert default_directory() == Path(expected)


async def test_a_damaged_database_comes_with_the_remedy(tmp_path: Path) -> None:
    async with LocalServer(data=tmp_path):
        pass
    with (tmp_path / "symbl.sqlite3").open("r+b") as file:
        file.seek(4096)
        file.write(b"\x99" * 40_000)

    with pytest.raises(StorageError, match=r"is damaged \(.*\): restore a backup into a new"):
        await LocalServer(data=tmp_path).start()


@pytest.mark.parametrize("is_missing", [True, False])
async def test_recordings_without_their_database_are_not_removed(
    tmp_path: Path, is_missing: bool
) -> None:
    async with LocalServer(data=tmp_path):
        pass
    (tmp_path / "bodies" / "tmp1").write_bytes(b"accepted")
    (tmp_path / "symbl.sqlite3").unlink()
    if not is_missing:
        (tmp_path / "symbl.sqlite3").touch()

    for _ in range(2):
        with pytest.raises(StorageError, match=rf"{tmp_path} has recordings, but no database"):
            await LocalServer(data=tmp_path).start()

    assert (tmp_path / "bodies" / "tmp1").read_bytes() == b"accepted"


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_nothing_is_accepted_once_the_database_has_gone(
    start: Any, data: Path, is_replaced: bool
) -> None:
    """SQLite goes on with the removed file, whose content ends with the process."""
    caller = await start(data=data)
    assert (await caller.text("All is well.")).status == 201
    database = data / "symbl.sqlite3"
    database.rename(data.parent / "before")
    if is_replaced:
        database.touch()

    assert (await caller.text("Nothing is well.")).status == 503
    ready = await caller.get("/readyz")
    assert ready.status == 503
    assert "removed, moved or replaced" in ready.body["reason"]
