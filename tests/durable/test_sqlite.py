"""An outbox works in a file, whichever SQLite this Python was built with."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from symbl_aio import ConfigurationError, Credentials, OutboxUnavailableError, Text
from symbl_aio.durable import ItemState, Outbox, Worker, migrate
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.sqlite import check_version
from symbl_aio.durable.heartbeat import WorkerLock
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import Working, said


def test_each_connection_knows_the_time_in_milliseconds(sqlite_database: str):
    database = Database(sqlite_database)
    # The engine underneath makes its own connections, from the URL alone.
    for engine in (database.engine, sa.create_engine(database.url)):
        with engine.connect() as connection:
            asked = "select unixepoch('subsec'), typeof(unixepoch('subsec') * 1000)"
            now, kind = connection.exec_driver_sql(asked).one()
        assert kind == "real"
        assert now == pytest.approx(time.time(), abs=10)
        assert round(now * 1000) == now * 1000
        engine.dispose()
    database.close()


def test_the_clock_is_no_part_of_a_name(sqlite_database: str):
    database = Database(sqlite_database)

    assert f"sqlite:///{database.name}" == sqlite_database
    assert f"sqlite:///{database.file}" == sqlite_database
    assert "plugin" not in repr(database)
    database.close()


@pytest.mark.parametrize("name", ["a" * 300 + ".db", "a" * 300 + "/outbox.db", ".", "file/a.db"])
async def test_a_file_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    database = f"sqlite:///{tmp_path}/{name}"
    worker = Worker(database, Credentials("app", "secret"))
    for one in (Outbox(database), worker):
        with pytest.raises(OutboxUnavailableError, match="cannot be used"):
            await one.start()
    with pytest.raises(OutboxUnavailableError, match="cannot be used"):
        await migrate(database)


# A file whose tables were made under Python 3.12 or newer, and so ask for ``subsec`` themselves.
FOREIGN = re.compile(r"\(strftime\('%s', *'now'\) \* 1000\)")


async def test_a_file_made_by_a_newer_python_is_worked_on(
    tmp_path: Path, server: LocalSymbl, working: Working
):
    await migrate(f"sqlite:///{tmp_path}/made.db")
    made = sqlite3.connect(tmp_path / "made.db")
    script = FOREIGN.sub("(unixepoch('subsec') * 1000)", "\n".join(made.iterdump()))
    made.close()
    assert script.count("unixepoch('subsec')") >= 10
    file = sqlite3.connect(tmp_path / "outbox.db")
    file.executescript(script)
    file.close()
    url = f"sqlite:///{tmp_path}/outbox.db"

    async with Outbox(url) as outbox, working(database=url):
        await outbox.submit(Text("Hello."), key="monday")
        assert (await outbox.result("monday", timeout=20)).ok
    assert said(server) == ["Hello."]

    file = sqlite3.connect(tmp_path / "outbox.db")
    (created,) = file.execute("select created_at from workflow_status").fetchone()
    file.close()
    assert created / 1000 == pytest.approx(time.time(), abs=60)


# A file that is moved, replaced, or reached by several paths


def put_back(file: Path, backup: Path) -> None:
    """Move the files of a database away, and a backup to their place."""
    for left in list(file.parent.glob(f"{file.name}*")):
        if not left.name.endswith(".worker"):
            left.rename(left.with_name(f"old-{left.name}"))
    backup.rename(file)


async def test_an_outbox_uses_the_file_that_replaced_its_own(
    sqlite_database: str, sqlite_template: Path, tmp_path: Path
) -> None:
    file = tmp_path / "outbox.db"
    async with Outbox(sqlite_database) as outbox:
        await outbox.submit(Text("It is in the old file."), key="old")
        put_back(file, Path(shutil.copy(sqlite_template, tmp_path / "backup")))
        await outbox.submit(Text("It is in the new one."), key="new")
        assert [item.key async for item in outbox.jobs()] == ["new"]
    rows = sqlite3.connect(file)
    assert rows.execute("select key from symbl_item").fetchall() == [("new",)]
    rows.close()


async def test_an_outbox_makes_no_file_where_its_own_was_moved_away(
    sqlite_database: str, tmp_path: Path
) -> None:
    file = tmp_path / "outbox.db"
    async with Outbox(sqlite_database) as outbox:
        await outbox.submit(Text("It is kept."), key="one")
        file.rename(tmp_path / "away")
        with pytest.raises(OutboxUnavailableError, match="its file is away: No such file"):
            await outbox.submit(Text("It is kept, too."), key="two")
        (tmp_path / "away").rename(file)
        await outbox.submit(Text("It is kept, too."), key="two")
        assert [item.key async for item in outbox.jobs()] == ["one", "two"]


async def test_a_worker_whose_file_was_replaced_ends_and_sends_nothing_of_the_other(
    sqlite_database: str, server: LocalSymbl, working: Working, tmp_path: Path
) -> None:
    file = tmp_path / "outbox.db"
    async with Outbox(sqlite_database) as outbox:
        await outbox.submit(Text("Hello."), key="monday")
        backup = Path(shutil.copy(file, tmp_path / "backup"))
        for beside in ("-wal", "-shm"):  # a copy between two writes
            shutil.copy(f"{file}{beside}", f"{backup}{beside}")
        sqlite3.connect(backup).execute("pragma wal_checkpoint(truncate)").connection.close()
        async with working(database=sqlite_database) as worker:
            assert (await outbox.result("monday", timeout=20)).ok
            put_back(file, backup)
            with pytest.raises(ConfigurationError, match="symbl-aio db restored"):
                await worker.wait_until_dead()
        assert (await outbox.item("monday")).state is ItemState.QUEUED
        assert await outbox.doubt_unsent() == 1
    assert said(server) == ["Hello."]


async def test_a_link_to_a_file_is_the_same_file(
    sqlite_database: str, working: Working, tmp_path: Path
) -> None:
    (tmp_path / "release").mkdir()
    link = tmp_path / "release" / "outbox.db"
    link.symlink_to(tmp_path / "outbox.db")
    async with working(database=sqlite_database):
        with pytest.raises(ConfigurationError, match="another worker works on"):
            WorkerLock(link)
    assert list(link.parent.iterdir()) == [link]


async def test_a_relative_path_is_that_of_when_the_outbox_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    outbox = Outbox("sqlite:///outbox.db")
    monkeypatch.chdir("elsewhere")  # as a daemon does
    async with outbox:
        await outbox.submit(Text("Hello."), key="monday")
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == []
    async with Outbox("sqlite:///../outbox.db") as outbox:
        assert (await outbox.item("monday")).key == "monday"


@pytest.mark.parametrize("found", [(3, 7, 17), (3, 26, 0), (3, 34, 1)])
def test_an_sqlite_that_is_too_old_is_refused_with_its_version(found: tuple[int, int, int]):
    with pytest.raises(ConfigurationError, match=r"3\.35\.0 or newer") as refused:
        check_version(found)

    assert ".".join(map(str, found)) in str(refused.value)
    assert "postgresql://" in str(refused.value)


@pytest.mark.parametrize("found", [(3, 35, 0), (3, 40, 1), (3, 42, 0), (4, 0, 0)])
def test_an_sqlite_that_has_what_is_needed_is_taken(found: tuple[int, int, int]):
    check_version(found)


async def test_it_is_refused_before_the_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    url = f"sqlite:///{tmp_path}/outbox.db"
    credentials = Credentials("app", "secret")

    with pytest.raises(ConfigurationError, match=r"is 3\.34\.1"):
        Outbox(url)
    with pytest.raises(ConfigurationError, match=r"is 3\.34\.1"):
        Worker(url, credentials)
    with pytest.raises(ConfigurationError, match=r"is 3\.34\.1"):
        await migrate(url)
    assert not await asyncio.to_thread(lambda: list(tmp_path.iterdir()))
