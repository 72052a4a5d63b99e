"""Items that an older release queued, with an older DBOS, are completed by a newer one.

Each ``written_by_….sql`` is a whole SQLite database at a moment when its worker died. What was
released stays as it is; another release, or another engine, adds one of its own with
``python -m tests.durable.test_upgrade``. The engine makes other tables on Python 3.12 and newer:
each Python takes up here what the others have left.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest
from attrs import evolve

from symbl_aio import Config, Credentials, Polls, Text
from symbl_aio.durable import ItemState, Outbox, Worker
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import NAMELESS, Working, said, until
from tests.support import QUICK

HERE = Path(__file__).parent


@pytest.fixture(params=sorted(path.name for path in HERE.glob("written_by_*.sql")))
def written(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that an older release has left."""
    connection = sqlite3.connect(tmp_path / "outbox.db")
    connection.executescript((HERE / request.param).read_text("utf-8"))
    connection.close()
    return f"sqlite:///{tmp_path}/outbox.db"


async def test_what_an_older_release_has_queued_is_brought_to_its_end(
    written: str, working: Working, server: LocalSymbl
) -> None:
    async with Outbox(written) as outbox:
        states = {item.key: item.state async for item in outbox.jobs()}
        assert states == {
            "ended": ItemState.COMPLETED,
            "running": ItemState.ACCEPTED,
            "doubtful": ItemState.QUEUED,
            "behind": ItemState.QUEUED,
            "waiting": ItemState.QUEUED,
            "waiting-more": ItemState.QUEUED,
        }
        assert (await outbox.item("doubtful")).sending
        # The same key is the same item, and a new append comes behind it.
        assert (await outbox.submit(Text("waiting"), key="waiting")).number == 1
        assert (await outbox.append("waiting", Text("new"), key="new")).number == 3
        polls = evolve(QUICK["polls"], not_found_grace=0.05)
        async with working(
            database=written,
            config={"polls": polls},
            ambiguity_timeout=0.1,
            heartbeat=0.1,
            worker_timeout=0.5,
        ):
            assert (await outbox.result("new", timeout=20)).ok
            assert (await outbox.result("running", timeout=20)).state is ItemState.LOST
            assert (await outbox.result("behind", timeout=20)).state is ItemState.BLOCKED
            assert (await outbox.item("doubtful")).state is ItemState.AMBIGUOUS
            assert said(server) == ["waiting", "waiting-more", "new"]
            await outbox.resolve("doubtful", accepted=False)
            assert (await outbox.result("behind", timeout=20)).ok
    assert said(server)[3:] == ["doubtful", "behind"]


async def write() -> str:
    """Return a database whose worker has items in every step."""
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/outbox.db"
        async with LocalSymbl() as server, Outbox(url) as outbox:
            polls = Polls(floor=0.01, ceiling=0.05)
            worker = Worker(
                url,
                Credentials(server.app_id, server.app_secret),
                config=Config(base_url=server.base_url, polls=polls),
                concurrency=2,
            )
            async with worker:
                await outbox.submit(Text("ended"), key="ended")
                await outbox.result("ended")
                server.hold_jobs()
                await outbox.submit(Text("running"), key="running")
                await until(outbox, "running", ItemState.ACCEPTED)
                server.inject("status:502", on="POST")
                await outbox.submit(Text("doubtful"), NAMELESS, key="doubtful")
                while not (await outbox.item("doubtful")).sending:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await outbox.append("doubtful", Text("behind"), key="behind")
                await outbox.submit(Text("waiting"), key="waiting")
                await outbox.append("waiting", Text("waiting-more"), key="waiting-more")
                await asyncio.sleep(1.0)  # nothing reports that the engine has written all it will
                connection = sqlite3.connect(f"{directory}/outbox.db")
                found = "\n".join(connection.iterdump()) + "\n"
                connection.close()
                server.release()
                return found.replace(worker.id, "a-worker")


if __name__ == "__main__":
    on = f"dbos_{version('dbos')}_python_{sys.version_info[0]}_{sys.version_info[1]}"
    name = f"written_by_{on.replace('.', '_')}.sql"
    (HERE / name).write_text(asyncio.run(write()), "utf-8")
