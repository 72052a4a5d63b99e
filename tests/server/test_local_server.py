from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest

from symbl_aio.server import LocalServer, is_loopback
from tests.tables import table


async def test_a_server_is_a_context_on_a_free_port() -> None:
    before = asyncio.all_tasks()
    async with LocalServer() as server:
        assert server.base_url.startswith("http://127.0.0.1:")
        async with (
            aiohttp.ClientSession() as session,
            session.get(server.base_url) as response,
        ):
            assert response.status == 401

    assert asyncio.all_tasks() == before
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(server.base_url)


async def test_a_server_may_be_closed_that_was_never_started() -> None:
    server = LocalServer()
    with pytest.raises(RuntimeError):
        _ = server.base_url
    await server.aclose()


async def test_a_server_is_started_once(server: LocalServer) -> None:
    with pytest.raises(RuntimeError):
        await server.start()


async def test_a_port_in_use_is_an_error_and_leaves_nothing(
    server: LocalServer, tmp_path: Any
) -> None:
    port = int(server.base_url.rpartition(":")[2])
    other = LocalServer(port=port, directory=tmp_path)

    with pytest.raises(OSError, match="address"):
        await other.start()

    assert list(tmp_path.glob("*")) == []


@table(
    "host,loopback",
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("0.0.0.0", False), ("box", False)],
)
def test_a_server_knows_whether_it_is_bound_to_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


async def test_ipv6_has_brackets_in_its_url() -> None:
    async with LocalServer(host="::1") as server:
        assert server.base_url.startswith("http://[::1]:")


async def test_bound_elsewhere_the_server_does_not_call_private_addresses(
    start: Any, server: LocalServer
) -> None:
    caller = await start(host="0.0.0.0", default_transcript="Hello.")
    caller.server._host = "127.0.0.1"  # where to reach it

    await caller.text("Hello.", webhookUrl=f"{server.base_url}/v1/job/1")
    await caller.server.until(lambda: len(caller.server.webhook_calls) == 3)

    assert not any(call.acknowledged for call in caller.server.webhook_calls)
    assert server.requests == []


async def test_every_request_is_listed_with_its_answer(caller: Any) -> None:
    answer = await caller.text("Hello.")
    await caller.get("/v1/job/0")

    assert [(r.method, r.path, r.status) for r in caller.server.requests] == [
        ("POST", "/oauth2/token:generate", 200),
        ("POST", "/v1/process/text", 201),
        ("GET", "/v1/job/0", 404),
    ]
    assert caller.server.submissions[0].order == 0
    assert list(caller.server.jobs) == [answer.body["jobId"]]


async def test_waiting_for_a_body_to_arrive(caller: Any) -> None:
    go_on = asyncio.Event()

    async def body() -> Any:
        yield b"\x00\x00\x00\x18ftypmp42"
        await go_on.wait()
        yield bytes(100)

    upload = asyncio.create_task(
        caller.request(
            "POST",
            "/v1/process/video",
            data=body(),
            headers={"Content-Type": "video/mp4", "Content-Length": "112"},
        )
    )
    server = caller.server
    await server.until(lambda: server.submissions and server.submissions[0].size == 12)
    assert not server.submissions[0].complete
    go_on.set()
    await server.until(lambda: server.submissions[0].accepted)
    assert (await upload).status == 201


async def test_a_wait_can_be_cancelled(server: LocalServer) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await server.until(lambda: False)


async def test_many_conversations_run_side_by_side(caller: Any) -> None:
    answers = await asyncio.gather(*(caller.text(f"Number {n}.") for n in range(50)))
    await caller.server.until(lambda: not caller.server.unfinished)

    assert {a.status for a in answers} == {201}
    assert len({a.body["conversationId"] for a in answers}) == 50
    assert caller.server.max_unfinished <= 50


async def test_an_unexpected_exception_is_a_500(
    caller: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        "symbl_aio.server.conversations.list_query.conversation_items", lambda _: 1 / 0
    )

    answer = await caller.get("/v1/conversations")

    assert answer.status == 500
    assert list(answer.body) == ["message"]
    assert "ZeroDivisionError" in caplog.text


async def test_nothing_secret_is_logged(caller: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    await caller.text("Hello.", webhookUrl="http://127.0.0.1:9/very/secret")
    await caller.server.until(lambda: len(caller.server.webhook_calls) == 3)

    ours = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("symbl_aio"))
    assert ours
    assert caller.token not in ours
    assert "secret" not in ours


async def test_a_long_running_server_drops_the_oldest_records(start: Any) -> None:
    caller = await start(retain=3)
    server = caller.server
    answers = []
    for n in range(7):
        answers.append(await caller.text(f"{n}.", webhookUrl="http://127.0.0.1:9/"))
        await server.until(lambda: not server.unfinished)
    await server.until(lambda: len(server.webhook_calls) in (3, 4, 5, 6))

    assert [r.order for r in server.submissions] == [4, 5, 6]
    assert len(server.requests) <= 6
    assert list(server.jobs) == [a.body["jobId"] for a in answers[-3:]]
    assert (await caller.get(f"/v1/job/{answers[0].body['jobId']}")).body["status"] == "completed"


async def test_a_server_that_stops_responds_to_each_request_or_refuses_its_connection() -> None:
    """Of one that is lost with its connection, its caller does not know whether it was accepted."""
    outcomes: Counter[object] = Counter()
    text = {"messages": [{"payload": {"content": "All is well."}}]}

    async def call(session: aiohttp.ClientSession, headers: dict[str, str]) -> None:
        while True:
            try:
                async with session.post("/v1/process/text", json=text, headers=headers) as answer:
                    outcomes[answer.status] += 1
            except aiohttp.ClientConnectorError:
                return
            except aiohttp.ClientError as error:
                outcomes[repr(error)] += 1
                return

    for _ in range(5):
        async with LocalServer() as server, aiohttp.ClientSession(server.base_url) as session:
            application = {"type": "application", "appId": "app", "appSecret": "secret"}
            issued = await session.post("/oauth2/token:generate", json=application)
            headers = {"Authorization": f"Bearer {(await issued.json())['accessToken']}"}
            calls = [asyncio.create_task(call(session, headers)) for _ in range(30)]
            await server.until(lambda: len(server.submissions) > 100)
            await server.drain()
            await server.aclose()
            await asyncio.gather(*calls)

    assert set(outcomes) <= {201, 429, 503}
    assert outcomes[503]
