from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from symbl_aio.server.hosting_settings import Hosting
from tests.server.conftest import Caller, Start


class WebhookReceiver:
    """A webhook endpoint that records the payloads it receives."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []
        self.url = ""
        self.status = 204

    async def handle(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/json"
        self.calls.append(await request.json())
        return web.Response(status=self.status)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    receiver = WebhookReceiver()
    app = web.Application()
    app.router.add_post("/called/{nonce}", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/called/n1"
    yield receiver
    await runner.cleanup()


async def test_every_change_of_status_is_reported_in_order(
    caller: Any, receiver: WebhookReceiver
) -> None:
    answer = await caller.text("Hello.", webhookUrl=receiver.url)
    await caller.server.until(lambda: len(caller.server.webhook_calls) == 3)

    job_id = answer.body["jobId"]
    assert receiver.calls == [
        {"jobId": job_id, "status": status} for status in ("scheduled", "in_progress", "completed")
    ]
    assert all(call.acknowledged for call in caller.server.webhook_calls)


async def test_file_submissions_name_their_webhook_in_the_query(
    caller: Any, receiver: WebhookReceiver
) -> None:
    await caller.video(webhookUrl=receiver.url)
    await caller.server.until(lambda: len(receiver.calls) == 3)


async def test_a_failed_job_is_reported_too(caller: Any, receiver: WebhookReceiver) -> None:
    caller.server.inject("job_fails")
    await caller.text("Hello.", webhookUrl=receiver.url)
    await caller.server.until(lambda: len(receiver.calls) == 3)

    assert receiver.calls[-1]["status"] == "failed"


async def test_an_empty_webhook_is_none(caller: Any) -> None:
    await caller.text("Hello.", webhookUrl="")
    await caller.server.until(lambda: not caller.server.unfinished)

    assert caller.server.webhook_calls == []


@pytest.mark.parametrize("url", ["ftp://x.test/", "http://[", "http:///x", "no url", 1, {}])
async def test_a_webhook_that_is_no_link_is_refused(caller: Any, url: Any) -> None:
    answers = [await caller.text("Hello.", webhookUrl=url)]
    if isinstance(url, str):
        answers.append(await caller.video(webhookUrl=url))

    for answer in answers:
        assert answer.status == 400
        assert 'webhookUrl" must be an http or https link' in answer.body["message"]
    assert not caller.server.jobs


async def test_a_webhook_that_cannot_be_called_disturbs_nothing(caller: Any) -> None:
    await caller.text("Hello.", webhookUrl="http://127.0.0.1:9/")
    await caller.server.until(lambda: len(caller.server.webhook_calls) == 3)

    assert not any(call.acknowledged for call in caller.server.webhook_calls)
    assert not caller.server.unfinished


async def test_a_refused_webhook_call_is_not_retried(
    caller: Any, receiver: WebhookReceiver
) -> None:
    receiver.status = 500
    await caller.text("Hello.", webhookUrl=receiver.url)
    await caller.server.until(lambda: len(caller.server.webhook_calls) == 3)

    assert len(receiver.calls) == 3
    assert not any(call.acknowledged for call in caller.server.webhook_calls)


async def test_no_webhook(caller: Any, receiver: WebhookReceiver) -> None:
    caller.server.inject("no_webhook")
    await caller.text("Hello.", webhookUrl=receiver.url)
    await caller.text("Hello.", webhookUrl=receiver.url)
    await caller.server.until(lambda: len(receiver.calls) == 3)

    assert len({call["jobId"] for call in receiver.calls}) == 1


async def test_a_duplicate_webhook(caller: Any, receiver: WebhookReceiver) -> None:
    caller.server.inject("duplicate_webhook")
    await caller.text("Hello.", webhookUrl=receiver.url)
    await caller.server.until(lambda: len(receiver.calls) == 6)

    assert [call["status"] for call in receiver.calls[-2:]] == ["completed", "completed"]


async def test_a_late_webhook_waits_until_released(caller: Any, receiver: WebhookReceiver) -> None:
    caller.server.inject("late_webhook")
    await caller.text("Hello.", webhookUrl=receiver.url)
    other = await caller.text("Hello.", webhookUrl=receiver.url)
    await caller.server.until(lambda: len(receiver.calls) == 3)
    assert {call["jobId"] for call in receiver.calls} == {other.body["jobId"]}

    caller.server.release_webhooks()
    await caller.server.until(lambda: len(receiver.calls) == 6)


async def test_an_early_webhook_arrives_before_the_response(
    caller: Any, receiver: WebhookReceiver
) -> None:
    caller.server.inject("early_webhook")

    answer = await caller.text("Hello.", webhookUrl=receiver.url)

    assert [call["status"] for call in receiver.calls][-1] == "completed"
    assert receiver.calls[0]["jobId"] == answer.body["jobId"]


@pytest.mark.parametrize(("other", "hosts"), [("other", 3), ("app", 1)])
async def test_hosts_that_answer_no_call_delay_no_call_to_others(
    start: Start, receiver: WebhookReceiver, other: str, hosts: int
) -> None:
    apps = {"app": "secret", "other": "secret"}
    caller = await start(job_limit=1000, hosting=Hosting(apps=apps))
    waiting = asyncio.Semaphore(0)
    ended = asyncio.Event()

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting.release()
        await ended.wait()
        writer.close()

    async with AsyncExitStack() as stack:
        stack.callback(ended.set)
        for _ in range(hosts):
            silent = await asyncio.start_server(stay_silent, "127.0.0.1", 0)
            stack.callback(silent.close)
            port = silent.sockets[0].getsockname()[1]
            url = f"http://127.0.0.1:{port}/"
            # More than the connections of an application, or to one host.
            for _ in range(110 // hosts):
                await caller.text("Hello.", webhookUrl=url)
        for _ in range(50):
            await waiting.acquire()
        second = Caller(caller.server)
        stack.push_async_callback(second.aclose)
        second.token = await token_of(caller, other)
        await second.text("Hello.", webhookUrl=receiver.url)
        async with asyncio.timeout(30):  # longer than a call may wait
            await caller.server.until(lambda: len(receiver.calls) == 3)


async def test_names_that_are_slow_to_resolve_delay_no_call_of_another_application(
    start: Start, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    look_up = socket.getaddrinfo

    def resolve(host: Any, *details: Any, **more: Any) -> Any:
        if str(host).startswith("slow"):
            ended.wait()  # for a name server that does not answer
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return look_up(host, *details, **more)

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    caller = await start(hosting=Hosting(apps={"app": "secret", "other": "secret"}))
    second = Caller(caller.server)
    try:
        # More than the threads of the event loop.
        for number in range(40):
            await caller.text("Hello.", webhookUrl=f"http://slow{number}.test/")
        second.token = await token_of(caller, "other")
        url = receiver.url.replace("127.0.0.1", "localhost")
        await second.text("Hello.", webhookUrl=url)
        async with asyncio.timeout(30):  # longer than a call may wait
            await caller.server.until(lambda: len(receiver.calls) == 3)
    finally:
        ended.set()
        await second.aclose()


async def token_of(caller: Caller, app_id: str) -> str:
    login = {"type": "application", "appId": app_id, "appSecret": "secret"}
    answer = await caller.anonymous("POST", "/oauth2/token:generate", json=login)
    token: str = answer.body["accessToken"]
    return token
