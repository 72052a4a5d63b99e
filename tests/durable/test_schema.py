"""The tables are made by one who may, for those who may only use them."""

import asyncio
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from attrs import frozen
from psycopg import sql
from sqlalchemy import make_url

from examples.durable.postgres import Postgres
from symbl_aio import Config, ConfigurationError, Credentials, Text
from symbl_aio.durable import Outbox, Worker, migrate
from symbl_aio.testing import LocalSymbl
from tests.shell import Shell
from tests.support import QUICK

PATIENT = 20.0


@frozen
class Two:
    """One empty database, as its owner sees it, and as a role that may make nothing there."""

    owner: str
    guest: str
    role: str


@pytest.fixture
def two(pg: Postgres) -> Iterator[Two]:
    role, password = f"guest_{secrets.token_hex(6)}", secrets.token_hex(8)
    with psycopg.connect(pg.url, autocommit=True) as connection:
        made = sql.SQL("create role {} login password {}")
        connection.execute(made.format(sql.Identifier(role), sql.Literal(password)))
    owner = pg.create()
    guest = make_url(owner).set(username=role, password=password)
    yield Two(owner, guest.render_as_string(hide_password=False), role)
    pg.drop(owner)
    with psycopg.connect(pg.url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


async def test_a_role_that_may_make_no_table_hands_in_and_works(two: Two, server: LocalSymbl):
    migrated = await Shell().run("db", "migrate", "--database", two.owner, "--role", two.role)
    config = Config(base_url=server.base_url, **QUICK)
    async with (
        Outbox(two.guest) as outbox,
        Worker(two.guest, Credentials("app", "secret"), config=config),
    ):
        await outbox.submit(Text("Hello."), key="monday")
        item = await outbox.result("monday", timeout=PATIENT)

    assert migrated.code == 0
    assert item.ok


async def test_without_tables_such_a_role_is_told_what_it_may_not(two: Two):
    ended = await Shell().run("db", "migrate", "--database", two.guest)

    assert ended.code == 3
    assert "permission denied" in ended.err
    assert "symbl-aio db migrate --role" in ended.err
    assert two.guest not in ended.err


@pytest.mark.durable
async def test_all_may_make_the_tables_at_once(two: Two):
    await asyncio.gather(*(migrate(two.owner) for _ in range(4)))

    async with Outbox(two.owner) as outbox:
        assert (await outbox.stats()).counts == {}


async def test_a_file_has_no_roles(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="role"):
        await migrate(f"sqlite:///{tmp_path}/outbox.db", role="app")


# Databases that have lost a part, as after a restore of some tables alone


@pytest.mark.parametrize(
    ("lose", "lost"),
    [
        (["drop table symbl_queue"], "symbl_queue"),
        (["drop table symbl_item", "drop table symbl_worker"], "symbl_item, symbl_worker"),
        (["drop table symbl_schema"], "symbl_schema"),
        (["drop table symbl_schema", "drop table symbl_item"], "symbl_item, symbl_schema"),
        (["delete from symbl_schema"], "the row of symbl_schema"),
    ],
)
@pytest.mark.parametrize("words", [("db", "migrate"), ("stats",), ("jobs",)])
async def test_a_database_that_has_lost_a_table_is_to_be_restored(
    sqlite_database: str, lose: list[str], lost: str, words: tuple[str, ...]
):
    with sqlite3.connect(sqlite_database.removeprefix("sqlite:///")) as connection:
        for statement in lose:
            connection.execute(statement)
    connection.close()

    ended = await Shell().run(*words, "--database", sqlite_database)

    assert ended.code == 2
    assert f"has lost {lost}, " in ended.err
    assert "restore all tables of a backup" in ended.err
