"""The PostgreSQL of the tests is one that can crash, and come back with what was committed."""

from __future__ import annotations

import psycopg
import pytest

from examples.durable.postgres import Postgres, postgres


def test_each_test_has_a_database_of_its_own(pg: Postgres, pg_database: str) -> None:
    other = pg.create(pg_database)
    try:
        with psycopg.connect(other) as connection:
            connection.execute("delete from symbl_aio.symbl_item")
            connection.execute("drop schema symbl_aio cascade")
        with psycopg.connect(pg_database) as connection:
            assert connection.execute("select count(*) from symbl_aio.symbl_item").fetchone()
    finally:
        pg.drop(other)


@pytest.mark.durable
def test_a_crash_ends_connections_and_keeps_what_was_committed() -> None:
    with postgres() as server:
        if not server.can_crash:
            pytest.skip("the server is somebody else's")
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("create table kept as select 7 as n")
            server.crash()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("select n from kept").fetchone() == (7,)
