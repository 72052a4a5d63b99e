from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web


class Hook:
    """A webhook of our own that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []
        self.url = ""
        self.status = 204

    async def handle(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/json"
        self.told.append(await request.json())
        return web.Response(status=self.status)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook()
    app = web.Application()
    app.router.add_post("/called/{nonce}", hook.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/called/n1"
    yield hook
    await runner.cleanup()


async def test_every_change_of_status_is_told_in_order(caller: Any, hook: Hook) -> None:
    answer = await caller.text("Hello.", webhookUrl=hook.url)
    await caller.server.until(lambda: len(caller.server.webhook_calls) == 3)

    job_id = answer.body["jobId"]
    assert hook.told == [
        {"jobId": job_id, "status": status} for status in ("scheduled", "in_progress", "completed")
    ]
    assert all(call.acknowledged for call in caller.server.webhook_calls)


async def test_file_submissions_name_their_webhook_in_the_query(caller: Any, hook: Hook) -> None:
    await caller.video(webhookUrl=hook.url)
    await caller.server.until(lambda: len(hook.told) == 3)


async def test_a_failed_job_is_told_too(caller: Any, hook: Hook) -> None:
    caller.server.inject("job_fails")
    await caller.text("Hello.", webhookUrl=hook.url)
    await caller.server.until(lambda: len(hook.told) == 3)

    assert hook.told[-1]["status"] == "failed"


async def test_an_empty_webhook_is_none(caller: Any) -> None:
    await caller.text("Hello.", webhookUrl="")
    await caller.server.until(lambda: not caller.server.unfinished)

    assert caller.server.webhook_calls == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "ftp://x.test/", "http://[", "no url"])
async def test_a_webhook_that_cannot_be_called_disturbs_nothing(caller: Any, url: str) -> None:
    await caller.text("Hello.", webhookUrl=url)
    await caller.server.until(lambda: len(caller.server.webhook_calls) == 3)

    assert not any(call.acknowledged for call in caller.server.webhook_calls)
    assert not caller.server.unfinished


async def test_a_webhook_that_says_no_is_not_called_again(caller: Any, hook: Hook) -> None:
    hook.status = 500
    await caller.text("Hello.", webhookUrl=hook.url)
    await caller.server.until(lambda: len(caller.server.webhook_calls) == 3)

    assert len(hook.told) == 3
    assert not any(call.acknowledged for call in caller.server.webhook_calls)


async def test_no_webhook(caller: Any, hook: Hook) -> None:
    caller.server.inject("no_webhook")
    await caller.text("Hello.", webhookUrl=hook.url)
    await caller.text("Hello.", webhookUrl=hook.url)
    await caller.server.until(lambda: len(hook.told) == 3)

    assert len({told["jobId"] for told in hook.told}) == 1


async def test_a_duplicate_webhook(caller: Any, hook: Hook) -> None:
    caller.server.inject("duplicate_webhook")
    await caller.text("Hello.", webhookUrl=hook.url)
    await caller.server.until(lambda: len(hook.told) == 6)

    assert [told["status"] for told in hook.told[-2:]] == ["completed", "completed"]


async def test_a_late_webhook_waits_until_released(caller: Any, hook: Hook) -> None:
    caller.server.inject("late_webhook")
    await caller.text("Hello.", webhookUrl=hook.url)
    await caller.server.until(lambda: not caller.server.unfinished)
    assert hook.told == []

    caller.server.release_webhooks()
    await caller.server.until(lambda: len(hook.told) == 3)


async def test_an_early_webhook_overtakes_the_answer(caller: Any, hook: Hook) -> None:
    caller.server.inject("early_webhook")

    answer = await caller.text("Hello.", webhookUrl=hook.url)

    assert [told["status"] for told in hook.told][-1] == "completed"
    assert hook.told[0]["jobId"] == answer.body["jobId"]
