from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from symbl_aio.server.storage.database import Database
from symbl_aio.server.storage.store import StorageError

INSERT = "INSERT INTO page_keys VALUES (?, 'key')"
COUNT = "SELECT count(*) FROM page_keys"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "x.sqlite3")
    await database.open()
    yield database
    await database.aclose()


def insert(name: str) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.execute(INSERT, (name,))


async def count(database: Database) -> int:
    return await database.submit(lambda c: int(c.execute(COUNT).fetchone()[0]))


async def test_work_that_waits_is_committed_as_one_group(
    database: Database, tmp_path: Path
) -> None:
    busy, go_on = threading.Event(), threading.Event()
    seen = []

    def block(connection: sqlite3.Connection) -> None:
        busy.set()
        go_on.wait()

    first = database.submit(block)
    await asyncio.to_thread(busy.wait)
    rest = [
        database.submit(
            insert(f"{n}"),
            # Another connection sees commits only.
            then=lambda _: seen.append(_count_from_outside(tmp_path)),
        )
        for n in range(20)
    ]
    go_on.set()
    await asyncio.gather(first, *rest)

    assert seen == [20] * 20


def _count_from_outside(directory: Path) -> int:
    outside = sqlite3.connect(directory / "x.sqlite3")
    try:
        return int(outside.execute(COUNT).fetchone()[0])
    finally:
        outside.close()


async def test_one_that_fails_leaves_the_rest_of_its_group(database: Database) -> None:
    works = [database.submit(insert(n)) for n in ("a", "b", "a", "c")]

    results = await asyncio.gather(*works, return_exceptions=True)

    assert isinstance(results[2], StorageError)
    assert not any(isinstance(result, Exception) for result in (*results[:2], results[3]))
    assert await count(database) == 3


async def test_an_exception_of_a_call_reaches_its_caller(database: Database) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute(INSERT, ("x",))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.submit(broken)
    assert await count(database) == 0


async def test_a_full_disk_is_an_error_of_the_group_and_nothing_of_it_is_stored(
    database: Database,
) -> None:
    pages = await database.submit(lambda c: int(c.execute("PRAGMA page_count").fetchone()[0]))
    await database.submit(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    large = "x" * 100_000

    with pytest.raises(StorageError, match="full"):
        await database.submit(lambda c: c.execute(INSERT, (large,)))

    await database.submit(lambda c: c.execute("PRAGMA max_page_count = 100000").fetchone())
    assert await count(database) == 0
    await database.submit(lambda c: c.execute(INSERT, (large,)))
    assert await count(database) == 1


async def test_closing_commits_everything_that_was_submitted(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite3")
    await database.open()
    works = [database.submit(insert(f"{n}")) for n in range(100)]
    await database.aclose()
    # The next server may open the file now, and the directory is unlocked.
    assert all(work.done() for work in works)
    assert "symbl_aio database" not in {thread.name for thread in threading.enumerate()}
    await database.aclose()
    await asyncio.gather(*works)

    assert _count_from_outside(tmp_path) == 100
    with pytest.raises(StorageError, match="closed"):
        database.submit(lambda c: None)


async def test_deleted_text_leaves_the_log_as_soon_as_a_reader_has_ended(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await database.submit(lambda c: c.execute(INSERT, ("Xanadu4711",)))
    reader = sqlite3.connect(tmp_path / "x.sqlite3", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute(COUNT).fetchone()

    for _ in range(2):
        await database.submit(lambda c: c.execute("DELETE FROM page_keys"), erases=True)
        assert b"Xanadu4711" in _bytes(tmp_path)
        assert [record.getMessage() for record in caplog.records] == [
            "deleted text stays in the log of the database for now"
        ]
    reader.close()
    await asyncio.to_thread(_wait_for_empty_log, tmp_path)  # the thread tries again by itself

    assert b"Xanadu4711" not in _bytes(tmp_path)


async def test_deleted_text_leaves_the_log_after_an_error(
    database: Database, tmp_path: Path
) -> None:
    await database.submit(lambda c: c.executemany(INSERT, [("Xanadu4711",), ("b",), ("c",)]))
    # SQLite refuses to empty the log while its own connection reads.
    reading = await database.submit(lambda c: iter(c.execute("SELECT * FROM page_keys")))
    await database.submit(lambda _: next(reading))

    await database.submit(lambda c: c.execute("DELETE FROM page_keys"), erases=True)
    assert b"Xanadu4711" in _bytes(tmp_path)
    await database.submit(lambda _: list(reading))
    await asyncio.to_thread(_wait_for_empty_log, tmp_path)

    assert b"Xanadu4711" not in _bytes(tmp_path)


async def test_deleted_text_of_a_killed_server_leaves_the_log_at_the_next_start(
    database: Database, tmp_path: Path
) -> None:
    await database.submit(lambda c: c.execute(INSERT, ("Xanadu4711",)))
    await database.submit(lambda c: c.execute("DELETE FROM page_keys"))
    copy = tmp_path / "copy"
    copy.mkdir()
    for end in ("", "-wal"):
        shutil.copy(tmp_path / f"x.sqlite3{end}", copy / f"x.sqlite3{end}")
    assert b"Xanadu4711" in _bytes(copy)

    restarted = Database(copy / "x.sqlite3")
    await restarted.open()
    await asyncio.to_thread(_wait_for_empty_log, copy)
    assert b"Xanadu4711" not in _bytes(copy)
    await restarted.aclose()


def _wait_for_empty_log(directory: Path) -> None:
    # The text has gone from all files a moment before the log is cut to no bytes.
    while (directory / "x.sqlite3-wal").stat().st_size:
        time.sleep(0.05)


def _bytes(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir() if path.is_file())


async def test_each_commit_reaches_the_disk(database: Database) -> None:
    found = await database.submit(
        lambda c: [c.execute(f"PRAGMA {n}").fetchone()[0] for n in ("journal_mode", "synchronous")]
    )

    assert found == ["wal", 2]  # 2: FULL
