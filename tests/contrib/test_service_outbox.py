"""An outbox inside a web service, whose items a worker in the same process sends."""

import asyncio
import hashlib
import hmac
import inspect
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from symbl_aio import ClientClosedError, ConfigurationError, Event, ItemEnded, Text
from symbl_aio.contrib.service import Embedded
from symbl_aio.contrib.service_outbox import Durable
from symbl_aio.durable import ItemState, Outbox, Worker
from symbl_aio.testing import LocalSymbl
from tests.contrib.site import get, settings, site_of
from tests.durable.processes import running

KINDS = pytest.mark.parametrize("kind", ["h11", "aiohttp"])
PATIENT = 20.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


def change(file: Path, statement: str) -> None:
    """Do to the database what only others can do."""
    with closing(sqlite3.connect(file, timeout=PATIENT)) as database:
        database.execute(statement)
        database.commit()


def embedded(server: LocalSymbl, durable: str | Durable, **config: Any) -> Embedded:
    return Embedded(**settings(server, **config), durable=durable)


@KINDS
async def test_what_a_service_hands_in_is_sent_beside_it_and_told_by_its_key(kind, server, url):
    async with site_of(kind, server, embedded={"durable": url}) as site:
        await site.symbl.outbox.submit(Text("Hello."), key="standups/monday")
        await site.symbl.outbox.append("standups/monday", Text("Goodbye."), key="the last")
        item = await site.symbl.outbox.result("the last", timeout=PATIENT)
        first = await get(f"{site.url}/symbl/items/standups/monday")
        last = await get(f"{site.url}/symbl/items/the%20last")
        unknown, problem = await get(f"{site.url}/symbl/items/friday")

    assert [received.method for received in server.submissions] == ["POST", "PUT"]
    assert first[0] == last[0] == 200
    assert last[1] == {
        "key": "the last",
        "state": "completed",
        "conversation_id": item.conversation_id,
        "job_id": item.job_id,
    }
    assert first[1]["conversation_id"] == item.conversation_id
    assert (unknown, problem["error"]) == (404, "NotFoundError")


@KINDS
async def test_without_an_outbox_there_is_no_route_for_items(kind, server):
    async with site_of(kind, server) as site:
        status, _ = await get(f"{site.url}/symbl/items/monday")

    assert status == 404


@KINDS
async def test_a_webhook_call_to_the_service_wakes_the_worker_of_its_item(kind, server, url):
    server.inject("no_webhook")
    server.hold_jobs()
    hooks: dict[str, Any] = {
        "webhook_base_url": "http://127.0.0.1:1/webhooks",
        "webhook_secret": "s",
    }
    async with site_of(kind, server, embedded={"durable": url}, **hooks) as site:
        await site.symbl.outbox.submit(Text("Hello."), key="monday")
        async for event in site.symbl.outbox.events("monday"):
            if event.state is ItemState.ACCEPTED:
                break
        server.release()
        (received,) = server.submissions
        await server.until(lambda: server.unfinished == 0)
        called = str(received.parameters["webhookUrl"]).removeprefix("http://127.0.0.1:1")
        said = f'{{"jobId": "{received.job_id}", "status": "completed"}}'.encode()
        status = await _call(f"{site.url}/symbl{called}", said)
        forged = await _call(f"{site.url}/symbl{called}0", said)
        # Unwoken, it would ask after half a minute.
        item = await site.symbl.outbox.result("monday", timeout=PATIENT)

    assert (status, forged) == (204, 404)
    assert item.ok


async def _call(url: str, body: bytes) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, data=body) as answer:
        return answer.status


async def test_a_call_that_cannot_be_kept_now_is_to_be_repeated(server, url, file):
    hooks: dict[str, Any] = {"webhook_base_url": "http://127.0.0.1:1", "webhook_secret": "s"}
    async with embedded(server, Durable(url, worker=False), **hooks) as service:
        change(file, "alter table symbl_item rename to out_of_reach")
        mark = hmac.new(b"s", b"nonce", hashlib.sha256).hexdigest()
        status = await service.on_webhook("nonce", mark, b'{"jobId": "1", "status": "completed"}')

    assert status == 503


async def test_a_webhook_call_is_verified_once(server, url, monkeypatch):
    marks: list[object] = []

    def is_genuine(secret: str, nonce: object, shown: object) -> bool:
        marks.append(shown)
        return True

    monkeypatch.setattr("symbl_aio.webhooks.is_genuine", is_genuine)
    hooks: dict[str, Any] = {"webhook_base_url": "http://127.0.0.1:1", "webhook_secret": "s"}
    async with embedded(server, Durable(url, worker=False), **hooks) as service:
        status = await service.on_webhook("n", "mark", b'{"jobId": "1", "status": "completed"}')

    assert (status, marks) == (204, ["mark"])


async def test_a_service_stops_soon_with_jobs_on_their_way_and_loses_none(server, url):
    server.hold_jobs()
    loop = asyncio.get_running_loop()
    async with embedded(server, Durable(url, worker_timeout=0.9)) as service:
        for number in range(5):
            await service.outbox.submit(Text("Hello."), key=f"c{number}")
        await server.until(lambda: server.unfinished == 5)
        began = loop.time()
    took = loop.time() - began

    assert await asyncio.to_thread(lambda: "the host's own threads") == "the host's own threads"
    server.release()
    async with embedded(server, Durable(url, worker_timeout=0.9)) as service:
        items = [await service.outbox.result(f"c{n}", timeout=PATIENT) for n in range(5)]
    assert all(item.ok for item in items)
    assert len(server.submissions) == 5
    assert took < 2.0


async def test_a_worker_that_was_taken_for_dead_comes_back(server, url, file):
    async with embedded(server, Durable(url, worker_timeout=0.6)) as service:
        change(file, "delete from symbl_worker")
        await service.outbox.submit(Text("Hello."), key="monday")
        item = await service.outbox.result("monday", timeout=PATIENT)

    assert item.ok
    # The dead one may have begun to send it, and stops before the last byte.
    assert [received.accepted for received in server.submissions].count(True) == 1


async def test_the_worker_of_a_service_has_observers_too(server, url):
    seen: list[Event | ItemEnded] = []
    async with embedded(server, Durable(url, observers=[seen.append])) as service:
        await service.outbox.submit(Text("Hello."), key="monday")
        await service.outbox.result("monday", timeout=PATIENT)

    assert [event.key for event in seen if isinstance(event, ItemEnded)] == ["monday"]
    with pytest.raises(ConfigurationError, match="observer"):
        Durable(url, observers=[None])  # type: ignore[list-item]


def test_a_service_has_every_setting_of_a_worker():
    by_client = {"credentials", "config"}
    of_worker = inspect.signature(Worker).parameters
    of_service = inspect.signature(Durable).parameters
    assert of_worker.keys() - by_client <= of_service.keys()
    for name in of_worker.keys() - by_client:
        assert of_service[name].default == of_worker[name].default, name


async def test_a_service_may_leave_the_sending_to_others(server, url):
    async with embedded(server, Durable(url, worker=False)) as service:
        await service.outbox.submit(Text("Hello."), key="monday")
        stats = await service.outbox.stats()

    assert (stats.counts, stats.workers) == ({ItemState.QUEUED: 1}, 0)
    assert server.requests == []


async def test_the_second_process_on_a_file_starts_and_sends_once_the_first_has_ended(
    server, url, caplog
):
    alone = {"server": server.base_url, "hooks": None, "secret": None}
    async with (
        running("work", database=url, **alone) as first,
        embedded(server, Durable(url, poll_interval=0.05)) as service,
    ):
        await service.outbox.submit(Text("Hello."), key="monday")
        items = [await service.outbox.result("monday", timeout=PATIENT)]
        assert (await service.outbox.stats()).workers == 1
        await first.stop()
        await service.outbox.submit(Text("Hello again."), key="tuesday")
        items.append(await service.outbox.result("tuesday", timeout=PATIENT))

    assert all(item.ok for item in items)
    assert len(server.submissions) == 2
    assert "another worker works on" in caplog.text


async def test_a_service_that_waits_for_the_worker_of_another_process_stops_at_once(server, url):
    alone = {"server": server.base_url, "hooks": None, "secret": None}
    async with running("work", database=url, **alone) as first:
        async with embedded(server, url) as service:
            pass
        with pytest.raises(ClientClosedError):
            _ = service.outbox
        assert await first.stop() == 0


async def test_the_second_worker_of_a_process_is_refused_and_leaves_nothing_open(
    server, url, tmp_path
):
    async with embedded(server, url):
        service = embedded(server, f"sqlite:///{tmp_path / 'other.db'}")
        with pytest.raises(ConfigurationError, match="runs a worker"):
            await service.__aenter__()
        with pytest.raises(ClientClosedError):
            _ = service.outbox


async def test_an_outbox_is_there_while_the_service_runs_and_if_it_was_asked_for(server, url):
    service = embedded(server, url)
    with pytest.raises(ClientClosedError, match="has not started"):
        _ = service.outbox
    async with service:
        assert isinstance(service.outbox, Outbox)
    with pytest.raises(ClientClosedError, match="has stopped"):
        _ = service.outbox

    async with Embedded(**settings(server)) as without:
        with pytest.raises(ConfigurationError, match="durable="):
            _ = without.outbox


def test_a_password_of_the_database_is_not_shown():
    assert "geheim" not in repr(Durable("postgresql://me:geheim@host/name"))


def test_without_the_extra_a_service_says_what_to_install():
    program = (
        "import asyncio, sys\n"
        "sys.modules['dbos'] = None\n"
        "from symbl_aio import Credentials\n"
        "from symbl_aio.contrib.service import Embedded\n"
        "async def main():\n"
        "    async with Embedded(Credentials('a', 'b'), durable='sqlite:///x.db'): pass\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert "ConfigurationError: durable needs dbos" in done.stderr
    assert "pip install '.[durable]' in a checkout of symbl-aio" in done.stderr
