from __future__ import annotations

import asyncio
import errno
import io
import os
import sqlite3
import tarfile
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from symbl_aio.server import APPLICATIONS, StorageError, restore_backup, write_backup
from tests.server.conftest import MP4, Caller, Start


async def texts(caller: Caller, conversation: str) -> list[str]:
    answer = await caller.get(f"/v1/conversations/{conversation}/messages")
    return [message["text"] for message in answer.body["messages"]]


async def restored(start: Start, file: Path, data: Path, before: Caller) -> Caller:
    await asyncio.to_thread(restore_backup, file, data)
    after = await start(data=data, default_transcript="Ann: Hello.")
    after.token = before.token
    await after.server.until(lambda: not after.server.unfinished)
    return after


async def test_a_backup_of_a_running_server_has_its_jobs_and_their_recordings(
    stored: Caller, start: Start, data: Path, tmp_path: Path
) -> None:
    opened = (await stored.text("One.")).body["conversationId"]
    await stored.server.until(lambda: not stored.server.unfinished)
    stored.server.hold_jobs()
    queued = [await stored.video(into=opened), await stored.text("Three.", into=opened)]

    size = await asyncio.to_thread(write_backup, data, tmp_path / "backup.tar")
    stored.server.release()
    await stored.server.until(lambda: not stored.server.unfinished)
    await stored.request("DELETE", f"/v1/conversations/{opened}")
    after = await restored(start, tmp_path / "backup.tar", tmp_path / "again", stored)

    assert size == (tmp_path / "backup.tar").stat().st_size
    assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600
    assert await texts(after, opened) == ["One.", "Hello.", "Three."]
    for answer in queued:
        job = await after.get(f"/v1/job/{answer.body['jobId']}")
        assert job.body["status"] == "completed"
    assert not [name for name in os.listdir(data) if name.startswith("backup-")]


async def test_a_backup_under_load_has_every_job_that_was_accepted_before(
    stored: Caller, start: Start, data: Path, tmp_path: Path
) -> None:
    accepted: list[str] = []
    finished = asyncio.Event()

    async def upload() -> None:
        while not finished.is_set():
            answer = await stored.video(MP4 + bytes(len(accepted)))
            if answer.status == 201:
                accepted.append(answer.body["jobId"])

    uploads = [asyncio.create_task(upload()) for _ in range(4)]
    backups = []
    for number in range(3):
        await stored.server.until(partial(has_more_than, accepted, 20 * number))
        before = list(accepted)
        file = tmp_path / f"{number}.tar"
        await asyncio.to_thread(write_backup, data, file)
        backups.append((file, before))
    finished.set()
    await asyncio.gather(*uploads)

    for file, before in backups:
        after = await restored(start, file, tmp_path / f"of {file.stem}", stored)
        for job in before:
            assert (await after.get(f"/v1/job/{job}")).body["status"] == "completed"


def test_a_directory_without_data_is_not_backed_up(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"{tmp_path} has no data"):
        write_backup(tmp_path, tmp_path / "backup.tar")
    assert list(tmp_path.iterdir()) == []


async def test_no_file_and_no_data_is_overwritten(
    stored: Caller, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    await asyncio.to_thread(write_backup, data, file)

    with pytest.raises(FileExistsError):
        await asyncio.to_thread(write_backup, data, file)
    with pytest.raises(StorageError, match=f"{data} is in use"):
        await asyncio.to_thread(restore_backup, file, data)
    await stored.server.aclose()
    with pytest.raises(StorageError, match=f"{data} has data already"):
        await asyncio.to_thread(restore_backup, file, data)


def has_more_than(items: list[str], count: int) -> bool:
    return len(items) > count


def tar_of(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no tar" * 1000,
        tar_of("../outside"),
        tar_of("/etc/passwd"),
        tar_of("bodies/../../outside"),
        tar_of("bodies/.."),
        tar_of("symbl.sqlite3", "other"),
        tar_of("bodies/a"),
    ],
)
def test_a_file_that_is_no_backup_is_refused(tmp_path: Path, content: bytes) -> None:
    file, data = tmp_path / "x.tar", tmp_path / "data"
    file.write_bytes(content)

    with pytest.raises(StorageError, match=f"{file} is no backup"):
        restore_backup(file, data)

    assert [path.name for path in data.iterdir()] == ["lock"]
    assert {path.name for path in tmp_path.iterdir()} == {"x.tar", "data"}


async def test_a_backup_without_one_of_its_bodies_is_refused(
    stored: Caller, data: Path, tmp_path: Path
) -> None:
    stored.server.hold_jobs()
    await stored.video()
    file, cut = tmp_path / "whole.tar", tmp_path / "cut.tar"
    await asyncio.to_thread(write_backup, data, file)
    with tarfile.open(file) as whole, tarfile.open(cut, "w") as part:
        member = whole.getmember("symbl.sqlite3")
        part.addfile(member, whole.extractfile(member))

    with pytest.raises(StorageError, match="lacks 1 bodies"):
        await asyncio.to_thread(restore_backup, cut, tmp_path / "again")


@pytest.mark.parametrize("pragma", ["user_version = 1000", "application_id = 1"])
async def test_a_database_that_this_version_cannot_read_is_not_backed_up(
    stored: Caller, data: Path, tmp_path: Path, pragma: str
) -> None:
    await stored.server.aclose()
    with closing(sqlite3.connect(data / "symbl.sqlite3")) as connection:
        connection.execute(f"PRAGMA {pragma}")

    with pytest.raises(
        StorageError, match=rf"{data} cannot be backed up to .*/b\.tar: .*(version|another)"
    ):
        write_backup(data, tmp_path / "b.tar")


async def test_a_damaged_database_is_not_backed_up(
    stored: Caller, data: Path, tmp_path: Path
) -> None:
    await stored.server.aclose()
    database = data / "symbl.sqlite3"
    database.write_bytes(database.read_bytes()[:20_000])

    with pytest.raises(StorageError, match=rf"{data} cannot be backed up to .*/b\.tar: "):
        write_backup(data, tmp_path / "b.tar")

    assert os.listdir(tmp_path) == ["data"]


async def test_a_full_disk_is_an_error_with_the_names_of_both_places(
    stored: Caller, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    await asyncio.to_thread(write_backup, data, tmp_path / "a.tar")
    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StorageError, match=rf"{data} cannot be backed up to .*/b\.tar: No space"):
        await asyncio.to_thread(write_backup, data, tmp_path / "b.tar")
    with pytest.raises(StorageError, match=r"a\.tar cannot be restored into .*again: No space"):
        await asyncio.to_thread(restore_backup, tmp_path / "a.tar", tmp_path / "again")

    assert [path.name for path in (tmp_path / "again").iterdir()] == ["lock"]


async def test_the_secret_that_was_made_up_is_the_same_after_a_restore(
    stored: Caller, data: Path, tmp_path: Path
) -> None:
    (data / APPLICATIONS).write_text("app:hash\n")
    await asyncio.to_thread(write_backup, data, tmp_path / "a.tar")
    restore_backup(tmp_path / "a.tar", tmp_path / "again")

    restored = tmp_path / "again" / APPLICATIONS
    assert restored.read_text() == "app:hash\n"
    assert restored.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("end", ["wal", "journal"])
async def test_a_log_of_another_database_is_not_mixed_with_a_backup(
    stored: Caller, data: Path, tmp_path: Path, end: str
) -> None:
    await asyncio.to_thread(write_backup, data, tmp_path / "backup.tar")
    target = tmp_path / "again"
    target.mkdir()
    (target / f"symbl.sqlite3-{end}").write_bytes(b"pages")

    with pytest.raises(StorageError, match="has data already"):
        await asyncio.to_thread(restore_backup, tmp_path / "backup.tar", target)

    assert (target / f"symbl.sqlite3-{end}").read_bytes() == b"pages"


async def test_a_backup_has_nothing_of_the_unused_bytes_of_the_database(
    stored: Caller, start: Start, data: Path, tmp_path: Path
) -> None:
    opened = (await stored.text("Kept.")).body["conversationId"]
    await stored.server.until(lambda: not stored.server.unfinished)
    await stored.server.aclose()
    # Where SQLite leaves a row that it moved to another page, and that was deleted there.
    _write_into_free_space(data / "symbl.sqlite3", b"deleted text")

    await asyncio.to_thread(write_backup, data, tmp_path / "backup.tar")
    after = await restored(start, tmp_path / "backup.tar", tmp_path / "again", stored)

    assert b"deleted text" not in (tmp_path / "backup.tar").read_bytes()
    assert await texts(after, opened) == ["Kept."]


def _write_into_free_space(database: Path, text: bytes) -> None:
    """Write a text between the list of cells and the cells of each page of a table."""
    content = bytearray(database.read_bytes())
    for page in range(4096, len(content), 4096):
        cells, begin = (int.from_bytes(content[page + at : page + at + 2], "big") for at in (3, 5))
        free = page + 8 + 2 * cells
        if content[page] == 0x0D and page + begin - free > len(text):
            content[free : free + len(text)] = text
    assert text in content
    database.write_bytes(content)
