"""Calls of web pages, from any origin."""

from __future__ import annotations

from typing import Any

import pytest

ORIGIN = {"Origin": "https://page.test"}


@pytest.mark.parametrize(
    "path",
    ["/oauth2/token:generate", "/v1/process/audio", "/v1/conversations/1/messages", "/v1/nothing"],
)
async def test_a_preflight_needs_no_token(caller: Any, path: str) -> None:
    headers = {
        **ORIGIN,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization,content-type,x-api-key",
    }
    answer = await caller.anonymous("OPTIONS", path, headers=headers)

    assert (answer.status, answer.body) == (204, "")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "x-api-key", "content-type"} <= set(allowed)
    assert int(answer.headers["Access-Control-Max-Age"]) > 0


async def test_every_response_may_be_read_by_the_page(caller: Any) -> None:
    caller.server.inject("status:503", on="GET", times=1)
    answers = [
        await caller.get("/v1/conversations"),
        await caller.get("/v1/conversations"),
        await caller.get("/v1/conversations/unknown"),
        await caller.get("/v1/nothing"),
        await caller.anonymous("GET", "/v1/conversations", headers=ORIGIN),
    ]

    assert [answer.status for answer in answers] == [503, 200, 404, 404, 401]
    assert {answer.headers["Access-Control-Allow-Origin"] for answer in answers} == {"*"}


async def test_the_headers_that_a_caller_has_to_see_may_be_read_by_the_page(caller: Any) -> None:
    sent = await caller.text("My number is 555-123-4567.")
    path = f"/v1/conversations/{sent.body['conversationId']}/messages?redact=true"
    answer = await caller.get(path)

    assert answer.headers["X-Redaction"] == "partial"
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"Retry-After", "X-Redaction"} <= set(exposed)


async def test_a_question_that_is_no_preflight_needs_a_token(caller: Any) -> None:
    assert (await caller.anonymous("OPTIONS", "/v1/conversations", headers=ORIGIN)).status == 401
