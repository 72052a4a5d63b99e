"""DBOS: a version that was tested, no pickles, and a remedy in the error where it is missing."""

from __future__ import annotations

import base64
import pickle
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import sqlalchemy as sa
from dbos._serialization import DBOSDefaultSerializer

from symbl_aio import Text
from symbl_aio.durable import Outbox
from symbl_aio.durable._database import dbos
from symbl_aio.durable._database.database import Database
from symbl_aio.durable.items import Attempt
from tests.durable.conftest import KINDS, Working, dispatch

ROOT = Path(__file__).parents[2]


def test_the_engine_is_of_a_version_that_was_tried():
    # 3.4.0 is the oldest that has what is asked of it, and was the newest when it was tried.
    # A newer one within the range continues its workflows: test_upgrade.py shows that.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    # An older driver than 3.2 does not ask, while nothing comes, whether to wait any longer.
    assert project["optional-dependencies"]["durable"] == ["dbos>=3.4,<4", "psycopg[binary]>=3.2"]
    major, minor = map(int, version("dbos").split(".")[:2])
    assert (3, 4) <= (major, minor) < (4, 0)


class Payload:
    """Runs code when it is unpickled: it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_a_row_that_is_pickled_runs_no_code_in_a_worker(
    outbox: Outbox, tables: Database, working: Working, tmp_path: Path
) -> None:
    marker = tmp_path / "pickled code has run"
    for key in ("one", "two"):
        await outbox.submit(Text(key), key=key)
    assert dispatch(tables) == 2  # their workflows wait for any worker
    status, inputs = (_table(tables, name) for name in ("workflow_status", "workflow_input"))
    pickled = base64.b64encode(pickle.dumps(Payload(marker))).decode()
    with tables.begin() as connection:
        for table, values in (
            (status, {"serialization": DBOSDefaultSerializer.name()}),
            (inputs, {"inputs": pickled}),
        ):
            change = sa.update(table).where(table.c.workflow_uuid == Attempt("one", 1).id)
            assert connection.execute(change.values(**values)).rowcount == 1
    async with working():
        assert (await outbox.result("two")).ok  # dequeued after the other
        assert not marker.exists()
        assert await tables.call(dbos.Workflows(tables).failed) == [Attempt("one", 1)]
    async with working():  # it looks for failed workflows when it starts, and then each minute
        assert (await outbox.result("one")).ok
    assert not marker.exists()


def _table(database: Database, name: str) -> sa.Table:
    schema = None if database.is_sqlite else database.schema
    return sa.Table(name, sa.MetaData(schema=schema), autoload_with=database.engine)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_program_reads_its_own_pickles_again_after_its_worker_has_ended(
    outbox: Outbox, working: Working
) -> None:
    pickled = DBOSDefaultSerializer.serialize({"of": "the program"})
    async with working():
        with pytest.raises(dbos.PickleRefusedError):
            DBOSDefaultSerializer.deserialize(pickled)
    assert DBOSDefaultSerializer.deserialize(pickled) == {"of": "the program"}


def test_without_the_extra_the_remedy_is_named():
    program = (
        "import sys; sys.modules['dbos'] = sys.modules['sqlalchemy'] = None\n"
        "import symbl_aio\n"
        "try:\n"
        "    import symbl_aio.durable\n"
        "except ImportError as error:\n"
        "    sys.exit(f'{error.name}: {error}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    missing, _, said = done.stderr.strip().partition(": ")
    assert missing.partition(".")[0] in ("dbos", "sqlalchemy")
    assert said == (
        f"symbl_aio.durable needs {missing}, which is not installed; "
        "pip install '.[durable]' in a checkout of symbl-aio"
    )
