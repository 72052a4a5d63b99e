"""A restored backup: items that are unsent in it may have been sent meanwhile."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from symbl_aio import ConfigurationError, Text, TextOptions, Utterance
from symbl_aio.durable import ItemState, Outbox
from symbl_aio.durable._database.database import Database
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import KINDS, NAMELESS, Working, dispatch, said, until
from tests.shell import Shell

PATIENT = 20.0
SETTLED = {"ambiguity_timeout": 0.2, "worker_timeout": 0.5, "heartbeat": 0.1}


def back_up(database: Path, to: Path) -> None:
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def put_back(backup: Path, database: Path) -> None:
    for file in database.parent.glob(database.name + "-*"):
        file.unlink()
    shutil.copy(backup, database)


async def test_nothing_is_sent_twice_after_a_backup_was_put_back(
    working: Working, server: LocalSymbl, sqlite_database: str, tmp_path: Path
) -> None:
    file = Path(sqlite_database.removeprefix("sqlite:///"))
    backup = tmp_path / "backup.db"
    where = {"database": sqlite_database, **SETTLED}
    # One is accepted before the backup, and the others after it; "unsent" never.
    async with Outbox(sqlite_database) as outbox:
        server.hold_jobs()
        async with working(concurrency=1, **where):
            await outbox.submit(Text("accepted"), key="accepted")
            await outbox.append("accepted", Text("behind"), key="behind")
            await outbox.submit(Text("named"), key="named")
            await outbox.submit(Text("nameless"), NAMELESS, key="nameless")
            await outbox.append("nameless", Text("blocked"), key="blocked")
            await until(outbox, "accepted", ItemState.ACCEPTED)
            await asyncio.to_thread(back_up, file, backup)
            server.release()
            for key in ("behind", "named", "blocked"):
                assert (await outbox.result(key, timeout=PATIENT)).ok
    sent = ["accepted", "behind", "blocked", "named", "nameless"]
    assert sorted(said(server)) == sent
    put_back(backup, file)

    async with Outbox(sqlite_database) as outbox:
        async with asyncio.timeout(PATIENT):
            while True:
                with suppress(ConfigurationError):  # until the backup's worker is dead
                    assert await outbox.doubt_unsent() == 4
                    break
                await asyncio.sleep(0.02)
        async with working(**where):
            states = {
                key: (await outbox.result(key, timeout=PATIENT)).state
                for key in ("accepted", "behind", "named", "nameless", "blocked")
            }
    assert sorted(said(server)) == sent  # the server's log
    assert states == {
        "accepted": ItemState.COMPLETED,
        "behind": ItemState.COMPLETED,  # by its words, which are in the conversation once
        "named": ItemState.COMPLETED,  # by its name
        "nameless": ItemState.AMBIGUOUS,  # for a person
        "blocked": ItemState.BLOCKED,
    }


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_what_was_not_sent_is_sent_once_a_person_says_so(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    await outbox.submit(Text("one"), key="one")
    await outbox.append("one", Text("two"), key="two")
    assert await outbox.doubt_unsent() == 2
    async with working(**SETTLED):
        assert (await outbox.result("one", timeout=PATIENT)).state is ItemState.AMBIGUOUS
        assert said(server) == []
        await outbox.resolve("one", accepted=False)
        assert (await outbox.result("one", timeout=PATIENT)).ok
        # The item behind it is not resolved yet.
        assert (await outbox.result("two", timeout=PATIENT)).state is ItemState.AMBIGUOUS
        await outbox.resolve("two", accepted=False)
        assert (await outbox.result("two", timeout=PATIENT)).ok
    assert said(server) == ["one", "two"]


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_no_more_are_looked_at_at_once_than_the_account_has_slots(
    outbox: Outbox, tables: Database
) -> None:
    for number in range(5):
        await outbox.submit(Text("one"), key=f"k{number}")
    await outbox.doubt_unsent()
    assert dispatch(tables, cap=2) == 2


async def test_at_least_once_sends_it_again_when_nothing_is_found(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    await outbox.submit(Text("one"), key="one")
    await outbox.doubt_unsent()
    async with working(on_ambiguous="at_least_once", **SETTLED):
        assert (await outbox.result("one", timeout=PATIENT)).ok
    assert said(server) == ["one"]


async def test_an_earlier_conversation_of_the_same_name_proves_nothing(
    outbox: Outbox, tables: Database, working: Working, server: LocalSymbl
) -> None:
    """What began long before the backup was taken was not begun after it."""
    async with server.client() as symbl:
        await symbl.process(Text("An earlier one."), TextOptions(name="one"))
    await outbox.submit(Text("one"), key="one")
    assert await outbox.doubt_unsent() == 1
    with tables.begin() as connection:
        connection.execute(sa.update(tables.items).values(maybe_sent_since=tables.now + 3600.0))
    async with working(**SETTLED):
        assert (await outbox.result("one", timeout=PATIENT)).state is ItemState.AMBIGUOUS


async def test_what_was_sent_since_a_backup_of_last_month_is_found(
    outbox: Outbox, tables: Database, working: Working, server: LocalSymbl
) -> None:
    """By itself the API lists the conversations of the last seven days alone."""
    began = datetime.now(UTC) - timedelta(days=20)
    words = Utterance("one", start=began, end=began + timedelta(seconds=1))
    async with server.client() as symbl:
        sent = await symbl.submit(Text([words]), TextOptions(name="one"))
        await sent
    await outbox.submit(Text("one"), key="one")
    assert await outbox.doubt_unsent() == 1
    with tables.begin() as connection:
        long_ago = tables.now - timedelta(days=30).total_seconds()
        connection.execute(sa.update(tables.items).values(maybe_sent_since=long_ago))
    async with working(on_ambiguous="at_least_once", **SETTLED):
        item = await outbox.result("one", timeout=PATIENT)
    assert item.conversation_id == sent.conversation_id
    assert said(server) == ["one"]


async def test_it_is_refused_while_a_worker_is_alive(outbox: Outbox, working: Working) -> None:
    async with working():
        with pytest.raises(ConfigurationError, match=r"alive.*stop"):
            await outbox.doubt_unsent()


async def test_the_command_counts_what_it_put_into_doubt(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/outbox.db"
    async with Outbox(url) as outbox:
        await outbox.submit(Text("one"), key="one")
        told = await Shell(SYMBL_AIO_DATABASE=url).run("db", "restored", "--json")
        shown = await Shell(SYMBL_AIO_DATABASE=url).run("db", "restored")
    assert told.lines == [{"event": "restored", "doubted": 1}]
    assert (told.code, shown.code) == (0, 0)
    assert "1 item" in shown.out
