from __future__ import annotations

import asyncio
import errno
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from symbl_aio.server.fault_injection import FAULTS
from symbl_aio.server.job import Status

DROPPED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
GUIDE = Path(__file__).parents[2] / "docs" / "testing.md"


def test_every_fault_is_in_the_table_of_the_guide_with_its_requests() -> None:
    rows = re.findall(r"^\| `(\w+)(:?)[^`]*` \| (\w+) \|", GUIDE.read_text("utf-8"), re.MULTILINE)
    requests = {
        "_is_ordinary": "all",
        "_is_submission": "submissions",
        "_is_poll": "polls",
        "_is_live": "WebSockets",
    }

    assert rows == [
        (name, ":" if fault.argument else "", requests[fault.applies_to.__name__])
        for name, fault in FAULTS.items()
    ]


async def opened(caller: Any) -> str:
    return str((await caller.text("Hello.")).body["conversationId"])


@pytest.mark.parametrize("fault", ["accept_then_drop", "half_answer", "not_http"])
async def test_the_job_is_accepted_but_no_response_arrives(caller: Any, fault: str) -> None:
    into = await opened(caller)
    caller.server.inject(fault, on="PUT")

    with pytest.raises(aiohttp.ClientError):
        await caller.text("Again.", into=into)

    (received,) = caller.server.appended(into)
    assert received.complete
    assert received.status is None
    assert received.job_id in caller.server.jobs


@pytest.mark.parametrize("words", [1, 12_000])
async def test_half_of_an_answer_is_sent_however_long_it_is(caller: Any, words: int) -> None:
    accepted = (await caller.text(f"{'word ' * words}.")).body
    await caller.server.until(lambda: not caller.server.unfinished)
    caller.server.inject("half_answer", on="/v1/conversations")

    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.get(f"/v1/conversations/{accepted['conversationId']}/messages", verbose="true")


@pytest.mark.parametrize("fault", ["drop_before_body", "drop_mid_body", "reset"])
async def test_the_connection_is_dropped_before_the_body_arrived(caller: Any, fault: str) -> None:
    into = await opened(caller)
    caller.server.inject(fault)

    with pytest.raises(DROPPED):
        await caller.video(b"\x00\x00\x00\x18ftypmp42" + bytes(20_000_000), into=into)

    (received,) = caller.server.arrivals(into)[1:]
    assert not received.complete
    assert not received.accepted
    assert received.size < 20_000_000
    assert (received.size > 0) == (fault == "drop_mid_body")
    assert (await caller.text("Again.", into=into)).status == 201


async def test_a_reset_is_a_reset(caller: Any) -> None:
    await opened(caller)
    caller.server.inject("reset")

    with pytest.raises(aiohttp.ClientOSError) as raised:
        await caller.text("Hello.")

    assert raised.value.errno == errno.ECONNRESET


async def test_a_stalled_body_is_not_read_and_closing_ends_the_wait(caller: Any) -> None:
    await opened(caller)
    caller.server.inject("stall")
    upload = asyncio.create_task(caller.video(b"\x00\x00\x00\x18ftypmp42" + bytes(50_000_000)))
    await caller.server.until(lambda: len(caller.server.submissions) == 2)

    assert caller.server.submissions[1].size == 0
    await caller.server.aclose()
    with pytest.raises(DROPPED):
        await upload


async def test_a_slow_response_arrives_in_the_end(caller: Any) -> None:
    caller.server.inject("slow:0.01")

    assert (await caller.text("Hello.")).status == 201


async def test_a_status_instead_of_the_answer(caller: Any) -> None:
    into = await opened(caller)
    caller.server.inject("status:502", on="PUT", times=2)

    answers = [await caller.text("Again.", into=into) for _ in range(3)]

    assert [a.status for a in answers] == [502, 502, 201]
    assert list(answers[0].body) == ["message"]
    assert len(caller.server.appended(into)) == 1
    assert caller.server.arrivals(into)[1].complete


async def test_a_status_after_the_job_was_accepted(caller: Any) -> None:
    caller.server.inject("accept_then_status:504")

    assert (await caller.text("Hello.")).status == 504
    assert len(caller.server.jobs) == 1


async def test_an_early_answer_comes_before_the_body_is_read(caller: Any) -> None:
    await opened(caller)
    caller.server.inject("early:413")

    async def endless() -> Any:
        yield bytes(1000)
        await asyncio.Event().wait()

    answer = await caller.request(
        "POST",
        "/v1/process/video",
        data=endless(),
        headers={"Content-Type": "video/mp4", "Content-Length": "1000000"},
    )

    assert answer.status == 413
    assert answer.headers["Connection"] == "close"
    assert not caller.server.submissions[1].complete


async def test_a_retry_after_header_can_be_requested(caller: Any) -> None:
    caller.server.inject("retry_after:503:2")

    answer = await caller.text("Hello.")

    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert caller.server.jobs == {}


async def test_a_redirect_points_elsewhere(caller: Any) -> None:
    caller.server.inject("redirect:http://other.test/x?y=1")

    answer = await caller.text("Hello.")

    assert (answer.status, answer.headers["Location"]) == (307, "http://other.test/x?y=1")


async def test_a_good_status_with_a_bad_body(caller: Any) -> None:
    caller.server.inject("garbage")
    caller.server.inject("no_ids")

    unreadable = await caller.text("Hello.")
    without_ids = await caller.text("Hello.")

    assert (unreadable.status, type(unreadable.body)) == (201, str)
    assert (without_ids.status, without_ids.body) == (201, {})
    assert len(caller.server.jobs) == 2


@pytest.mark.parametrize(
    "fault,status,text",
    [("unknown_status", 200, "under_review"), ("flap", 200, "scheduled"), ("not_found", 404, None)],
)
async def test_a_poll_is_answered_wrongly_once(
    caller: Any, fault: str, status: int, text: str | None
) -> None:
    answer = await caller.text("Hello.")
    await caller.server.until(lambda: not caller.server.unfinished)
    caller.server.inject(fault)
    path = f"/v1/job/{answer.body['jobId']}"

    wrong, right = await caller.get(path), await caller.get(path)

    assert (wrong.status, wrong.body.get("status")) == (status, text)
    assert right.body["status"] == "completed"


async def test_a_job_fails_by_an_injected_fault(caller: Any) -> None:
    caller.server.inject("job_fails")
    answer = await caller.text("Hello.")
    await caller.server.until(lambda: not caller.server.unfinished)

    assert caller.server.jobs[answer.body["jobId"]].status is Status.FAILED


async def test_a_fault_applies_to_token_requests_only_by_name(caller: Any) -> None:
    caller.server.inject("status:500", on="POST")
    assert (await caller.text("Hello.")).status == 500
    assert caller.token is not None

    caller.token = None
    caller.server.inject("status:503", on="token")
    with pytest.raises(KeyError):
        await caller.text("Hello.")
    assert caller.server.requests[-1].status == 503


async def test_polls_and_paths_can_be_named(caller: Any) -> None:
    answer = await caller.text("Hello.")
    caller.server.inject("status:500", on="job")
    caller.server.inject("status:501", on="/v1/conversations/")

    conversation = await caller.get(f"/v1/conversations/{answer.body['conversationId']}")
    assert (await caller.get("/v1/conversations")).status == 200
    assert conversation.status == 501
    assert (await caller.get(f"/v1/job/{answer.body['jobId']}")).status == 500


async def test_faults_can_be_cleared(caller: Any) -> None:
    caller.server.inject("status:500", times=9)
    caller.server.clear_faults()

    assert (await caller.text("Hello.")).status == 201


@pytest.mark.parametrize(
    "fault,on",
    [
        ("explode", None),
        ("status", None),
        ("status:many", None),
        ("reset:now", None),
        ("retry_after:503", None),
        ("slow:ly", None),
        ("redirect", None),
        ("reset", "TRACE"),
        ("reset", "jobs"),
    ],
)
async def test_an_invalid_fault_is_refused(caller: Any, fault: str, on: str | None) -> None:
    with pytest.raises(ValueError):
        caller.server.inject(fault, on=on)
