from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from symbl_aio.server.storage import schema


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def test_a_new_file_gets_all_migrations_once(connection: sqlite3.Connection) -> None:
    schema.migrate(connection)
    schema.migrate(connection)

    assert schema.schema_version(connection) == len(schema.MIGRATIONS)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert {"conversations", "speech", "jobs", "webhooks", "records"} <= {
        name for (name,) in tables
    }


def test_migrations_are_applied_in_order_from_the_version_of_the_file(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.migrate(connection)
    more = ("CREATE TABLE a (x); INSERT INTO a VALUES (1)", "UPDATE a SET x = x + 1")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *more))
    schema.migrate(connection)
    schema.migrate(connection)

    assert connection.execute("SELECT x FROM a").fetchall() == [(2,)]


def test_a_migration_that_fails_changes_nothing(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.migrate(connection)
    version = schema.schema_version(connection)
    monkeypatch.setattr(
        schema,
        "MIGRATIONS",
        (*schema.MIGRATIONS, "CREATE TABLE a (x); INSERT INTO nowhere VALUES (1)"),
    )
    with pytest.raises(sqlite3.Error, match="nowhere"):
        schema.migrate(connection)
    connection.execute("ROLLBACK")

    assert schema.schema_version(connection) == version
    assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'a'").fetchall() == []


def test_a_database_of_a_newer_version_is_refused(connection: sqlite3.Connection) -> None:
    schema.migrate(connection)
    connection.execute("PRAGMA user_version = 1000")

    with pytest.raises(schema.SchemaError, match=r"1000.*newer version"):
        schema.migrate(connection)


def test_a_database_of_another_program_is_refused(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE theirs (x)")

    with pytest.raises(schema.SchemaError, match="another program"):
        schema.migrate(connection)
