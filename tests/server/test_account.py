"""Several applications on one server share the machine and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from symbl_aio.server import Hosting, ServerLimits
from symbl_aio.server.app_secrets import hash_secret
from tests.support import Clock, LoopClock

from .conftest import Caller

Tenants = Callable[..., Awaitable[tuple[Caller, Caller]]]


class Tenant(Caller):
    """A caller of another application on the same server."""

    def __init__(self, first: Caller, app_id: str, secret: str) -> None:
        super().__init__(first.server)
        self.fields = {"type": "application", "appId": app_id, "appSecret": secret}

    async def request(self, method: str, path: str, **options: Any) -> Any:
        if self.token is None:
            got = await self.anonymous("POST", "/oauth2/token:generate", json=self.fields)
            self.token = got.body["accessToken"]
        return await super().request(method, path, **options)


@pytest.fixture
async def tenants(start: Any) -> AsyncIterator[Tenants]:
    callers: list[Caller] = []

    async def begin(**settings: Any) -> tuple[Caller, Caller]:
        apps = {"one": "secret-of-one", "two": hash_secret("secret-of-two")}
        first = await start(hosting=Hosting(apps=apps), **settings)
        callers.extend(
            [Tenant(first, "one", "secret-of-one"), Tenant(first, "two", "secret-of-two")]
        )
        return callers[-2], callers[-1]

    yield begin
    for caller in callers:
        await caller.aclose()


async def test_each_application_sees_only_its_own(tenants: Tenants) -> None:
    one, two = await tenants()
    made = (await one.text("Ann: Hello.")).body
    await one.server.until(lambda: not one.server.unfinished)
    tracker = {"name": "Price", "vocabulary": ["how much"]}
    group = {"name": "a", "criteria": "conversation.name==a"}
    entity = {"type": "a", "subType": "b", "values": ["c"]}
    for path, body in (("tracker", tracker), ("group", group), ("entity", entity)):
        assert (await one.request("POST", f"/v1/manage/{path}", json=body)).status == 201
    patch = [{"op": "add", "path": "/mine", "value": 1}]
    assert (await one.request("PATCH", "/v1/manage/settings", json=patch)).status == 200

    own = f"/v1/conversations/{made['conversationId']}"
    for path in (own, f"{own}/messages", f"{own}/members", f"/v1/job/{made['jobId']}"):
        assert (await one.get(path)).status == 200
        assert (await two.get(path)).status == 404
    assert (await two.get("/v1/conversations")).body == {"conversations": []}
    for kind in ("trackers", "groups", "entities"):
        assert (await two.get(f"/v1/manage/{kind}")).body == {kind: []}
    assert "mine" not in (await two.get("/v1/manage/settings")).body
    assert (await two.text("More.", into=made["conversationId"])).status == 404
    assert (await two.request("DELETE", own)).status == 404
    assert (await one.get(own)).status == 200


async def test_each_application_has_a_job_limit_of_its_own(tenants: Tenants) -> None:
    one, two = await tenants(job_limit=1)
    one.server.hold_jobs()

    assert (await one.text("One.")).status == 201
    assert (await one.text("One more.")).status == 429
    assert (await two.text("Two.")).status == 201
    assert one.server.unfinished == 2


async def test_a_link_leads_to_a_page_of_the_application_that_made_it(tenants: Tenants) -> None:
    one, two = await tenants()
    await two.text("Ann: A private word.", name="of two")
    await two.server.until(lambda: not two.server.unfinished)
    path = "/v1/conversations/experiences/insights/list"

    pages = []
    for tenant in (one, two):
        url = (await tenant.get(path)).body["url"]
        pages.append((await tenant.anonymous("GET", url.removeprefix(tenant.server.base_url))).body)

    assert "of two" not in pages[0]
    assert "of two" in pages[1]
    assert (await one.anonymous("GET", "/pages/all/0/guess")).status == 404


@pytest.mark.parametrize(
    "app,secret", [("one", "secret-of-two"), ("two", "secret-of-one"), ("three", "x")]
)
async def test_a_secret_is_that_of_its_application(tenants: Tenants, app: str, secret: str) -> None:
    one, _ = await tenants()
    fields = {"type": "application", "appId": app, "appSecret": secret}

    assert (await one.anonymous("POST", "/oauth2/token:generate", json=fields)).status == 401


async def test_an_application_survives_with_its_own_data(tenants: Tenants, tmp_path: Any) -> None:
    one, two = await tenants(data=tmp_path)
    await one.text("Of one.", name="of one")
    await two.text("Of two.", name="of two")
    await one.server.until(lambda: not one.server.unfinished)
    await one.server.aclose()

    one, two = await tenants(data=tmp_path)
    for tenant, name in ((one, "of one"), (two, "of two")):
        listed = (await tenant.get("/v1/conversations")).body["conversations"]
        assert [item["name"] for item in listed] == [name]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"secret-of-" not in path.read_bytes()


@pytest.mark.parametrize("wall_clock_jumps", [0, -3600, 86400])
async def test_wrong_secrets_have_a_rate_and_the_right_one_is_not_tried_meanwhile(
    start: Any, monkeypatch: pytest.MonkeyPatch, wall_clock_jumps: int
) -> None:
    time, wall = LoopClock(monkeypatch), Clock()
    caller = await start(
        limits=ServerLimits(wrong_secrets=3, wrong_secret_seconds=60.0), clock=wall
    )
    fields = {"type": "application", "appId": "app"}

    async def guess(secret: str, path: str = "token:generate") -> Any:
        return await caller.anonymous(
            "POST", f"/oauth2/{path}", json={**fields, "appSecret": secret}
        )

    for path in ("token:generate", "token:refresh", "token:generate"):
        assert (await guess("wrong", path)).status == 401
    wall.now += wall_clock_jumps
    refused = await guess("secret")
    assert refused.status == 429
    assert 30 < int(refused.headers["Retry-After"]) <= 60
    time.ahead += 60
    assert (await guess("secret")).status == 200


def test_hashes_are_not_those_of_a_plain_digest() -> None:
    assert hashlib.sha256(b"s").hexdigest() not in hash_secret("s")


@pytest.mark.heavy
async def test_the_long_texts_of_one_do_not_keep_the_readers_of_another_waiting(
    tenants: Tenants,
) -> None:
    one, two = await tenants()
    # Less than a hundred messages, whose answer needs no thread after their analysis.
    long = [(await one.text("I will see if you can send it, " * 3000)).body for _ in range(8)]
    short = (await two.text("I will see if you can send it, " * 80)).body
    await two.server.until(lambda: not two.server.unfinished)

    def read(caller: Caller, accepted: Any) -> asyncio.Task[Any]:
        path = f"/v1/conversations/{accepted['conversationId']}/messages"
        return asyncio.create_task(caller.get(path))

    others = [read(one, accepted) for accepted in long]
    # Answered after those have arrived.
    assert (await two.get("/v1/manage/trackers")).status == 200
    await read(two, short)

    # Not after all of them, or after as many as there are threads.
    assert sum(not other.done() for other in others) > 4
    await asyncio.gather(*others)


SLOW_CALL = "PUT /v1/conversations/{} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n"


async def test_the_connections_of_one_leave_some_to_another(tenants: Tenants) -> None:
    one, two = await tenants(limits=ServerLimits(connections=8))
    made = (await one.text("Ann: Hello.")).body
    await two.get("/v1/conversations")
    token, url = two.token, urlsplit(one.server.base_url)
    head = SLOW_CALL.format(made["conversationId"], one.token) + "Content-Length: 900\r\n\r\n {"
    await two.aclose()
    async with AsyncExitStack() as stack:
        crowd = [await asyncio.open_connection(url.hostname, url.port) for _ in range(12)]
        waiting = set()
        for reader, writer in crowd:
            stack.callback(writer.transport.abort)
            writer.write(head.encode())
            waiting.add(asyncio.create_task(reader.readline()))
        refused: set[asyncio.Task[bytes]] = set()
        while len(refused) < 6:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            refused |= done

        assert any(b" 503 " in task.result() for task in refused if task.exception() is None)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        headers = {"Authorization": f"Bearer {token}"}
        async with session.get(f"{url.geturl()}/v1/conversations", headers=headers) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("head_size,body_size", [(0, 290_000), (290_000, 1)])
async def test_the_requests_of_one_leave_memory_to_another(
    tenants: Tenants, head_size: int, body_size: int
) -> None:
    one, two = await tenants(limits=ServerLimits(buffered=300_000))
    made = (await one.text("Ann: Hello.")).body
    url = urlsplit(one.server.base_url)
    call = SLOW_CALL.format(f"{made['conversationId']}?name={'x' * head_size}", one.token)
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(call.encode() + b"Content-Length: 900000\r\n\r\n" + b" " * body_size)
    while one.server._buffered < 290_000:  # noqa: ASYNC110 - no event for a half request
        await asyncio.sleep(0)

    for caller, status in ((one, 503), (two, 201)):
        assert (await caller.text("Hello. " * 10_000)).status == status
    for caller, status in ((one, 503), (two, 200)):
        assert (await caller.get("/v1/manage/trackers", name="x" * 20_000)).status == status
    writer.transport.abort()


async def test_a_large_head_does_not_stay_with_an_idle_connection(tenants: Tenants) -> None:
    one, _ = await tenants()
    await one.get("/v1/manage/trackers")
    url = urlsplit(one.server.base_url)
    for size, left in ((1_000, True), (100_000, False)):
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        head = f"GET /v1/manage/trackers?name={'x' * size} HTTP/1.1\r\nHost: localhost\r\n"
        writer.write(f"{head}Authorization: Bearer {one.token}\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")

        assert b" 200 " in answer
        assert (b"Connection: close" not in answer) is left
        writer.transport.abort()
