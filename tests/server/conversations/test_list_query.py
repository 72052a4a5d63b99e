from __future__ import annotations

import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from symbl_aio.server.conversations.list_query import parse_filter
from symbl_aio.server.http_json import ApiError
from tests.tables import table

NOW = datetime.now(UTC)


def days_ago(days: float) -> str:
    return (NOW - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
async def three(caller: Any) -> list[str]:
    """Conversations of 20, 2 and 1 days ago, opened in another order."""
    ids = {}
    for days in (1, 20, 2):
        message = {"payload": {"content": "Hi."}, "duration": {"startTime": days_ago(days)}}
        answer = await caller.request(
            "POST", "/v1/process/text", json={"messages": [message], "name": f"{days} days"}
        )
        ids[days] = answer.body["conversationId"]
        await caller.put(
            f"/v1/conversations/{ids[days]}",
            {"metadata": {"agent": "a" if days > 1 else "b", "team": "red"}},
        )
    return [ids[20], ids[2], ids[1]]


async def query_conversations(caller: Any, **query: str) -> list[str]:
    answer = await caller.get("/v1/conversations", **query)
    assert answer.status == 200
    return [c["id"] for c in answer.body["conversations"]]


async def test_the_last_seven_days_by_default_oldest_first(caller: Any, three: list[str]) -> None:
    assert await query_conversations(caller) == three[1:]


async def test_a_window_is_from_start_to_end(caller: Any, three: list[str]) -> None:
    assert await query_conversations(caller, startTime=days_ago(30)) == three
    assert (
        await query_conversations(caller, startTime=days_ago(30), endTime=days_ago(1.5))
        == three[:2]
    )
    assert await query_conversations(caller, endTime=days_ago(1.5)) == three[1:2]


async def test_empty_parameters_count_as_absent(caller: Any, three: list[str]) -> None:
    empty = dict.fromkeys(
        ("limit", "offset", "order", "sort", "filter", "startTime", "endTime"), ""
    )
    assert await query_conversations(caller, **empty) == three[1:]


async def test_an_order_may_have_capitals_and_a_plus_may_be_bare(
    caller: Any, three: list[str]
) -> None:
    start = (NOW - timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%S")
    answer = await caller.get(f"/v1/conversations?order=DESC&startTime={start}+00:00")
    assert [c["id"] for c in answer.body["conversations"]] == three[::-1]


async def test_a_time_that_is_none_costs_no_more_than_its_length(caller: Any) -> None:
    began = time.process_time()
    assert (await caller.get(f"/v1/conversations?startTime={'T' * 200_000}")).status == 400
    # It was minutes.
    assert time.process_time() - began < 1


async def test_a_parameter_with_two_values_is_refused_by_name(caller: Any) -> None:
    answer = await caller.get("/v1/conversations?limit=1&limit=2")
    assert answer.status == 400
    assert '"limit"' in answer.body["message"]
    assert (await caller.get("/v1/conversations?limit=1&limit=1")).status == 200


async def test_pages_are_cut_after_ordering(caller: Any, three: list[str]) -> None:
    start = days_ago(30)

    assert await query_conversations(caller, startTime=start, limit="2") == three[:2]
    assert await query_conversations(caller, startTime=start, limit="2", offset="2") == three[2:]
    assert await query_conversations(caller, startTime=start, limit="0") == []
    assert (
        await query_conversations(caller, startTime=start, order="desc", offset="1") == three[1::-1]
    )


@pytest.mark.parametrize(
    "rsql,found",
    [
        ("conversation.metadata.agent==a", [0, 1]),
        ("conversation.metadata.agent=='a' and conversation.name=='2 days'", [1]),
        ("conversation.metadata.agent!=a;conversation.metadata.team==red", [2]),
        (f"conversation.startTime=gt={days_ago(10)}", [1, 2]),
        (f"conversation.startDate<={days_ago(10)}", [0]),
        (f"conversation.endTime>={days_ago(1.5)}", [2]),
        ("conversation.metadata.nothing==a", []),
        ('conversation.metadata.agent!="a and b; c"', [0, 1, 2]),
    ],
    # Names without the times, so that every process collects the same tests.
    ids=["agent", "two", "other team", "after", "until", "ended after", "nobody", "quoted"],
)
async def test_a_filter_chooses(caller: Any, three: list[str], rsql: str, found: list[int]) -> None:
    chosen = await query_conversations(caller, startTime=days_ago(30), filter=rsql)

    assert chosen == [three[index] for index in found]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "-1"},
        {"limit": "65537"},
        {"offset": "x"},
        {"order": "up"},
        {"sort": "conversation.mood"},
        {"startTime": "yesterday"},
        {"startTime": "2030-01-01T00:00:00Z"},
        {"endTime": "2100-01-01T00:00:00Z"},
        {"filter": "agent"},
        {"filter": "conversation.mood==good"},
        {"filter": "conversation.startTime==noon"},
        {"filter": "conversation.name==a,conversation.name==b"},
        {"filter": "conversation.name==a;conversation.metadata.a==b;conversation.metadata.c==d"},
    ],
)
async def test_a_wrong_query_is_refused(caller: Any, query: dict[str, str]) -> None:
    answer = await caller.get("/v1/conversations", **query)

    assert answer.status == 400
    assert list(answer.body) == ["message"]


@table(
    "text",
    [
        "conversation.name==a" + " " * 200_000 + "(",
        "conversation.name==" + " " * 200_000 + "(",
        "conversation.name" + " " * 200_000 + "b",
        "conversation." + "a" * 200_000,
        "conversation.name==a;" * 20_000 + "conversation.name==a",
        'conversation.name=="' + '\\"' * 100_000,
        "conversation.name==\"a' and " + "'\\" * 100_000,
    ],
    ids=["end", "value", "operator", "name", "terms", "quotes", "other quotes"],
)
def test_a_long_filter_is_refused_at_once(text: str) -> None:
    start = time.thread_time()
    with pytest.raises(ApiError):
        parse_filter(text)
    # The square of its length would be minutes.
    assert time.thread_time() - start < 1.0


@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize("digits", [1, 25, 5000])
async def test_a_number_beyond_all_lists_is_refused_by_name(
    caller: Any, name: str, digits: int
) -> None:
    answer = await caller.get("/v1/conversations", **{name: "9" * digits})

    assert answer.status == (200 if digits == 1 else 400)
    assert digits == 1 or answer.body["message"].startswith(f'"{name}" must be a whole number')


@pytest.mark.heavy
async def test_a_long_list_takes_the_memory_of_a_part_of_it(start: Any, tmp_path: Path) -> None:
    caller = await start(data=tmp_path / "data")
    lines = [f"{number:0400}: Hello." for number in range(2_000)]
    for _ in range(20):
        await caller.text(*lines)
        await caller.server.until(lambda: not caller.server.unfinished)

    before = await query_conversations(caller)
    tracemalloc.start()
    try:
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {caller.token}"}) as session,
            session.get(f"{caller.server.base_url}/v1/conversations") as answer,
        ):
            size = sum([len(piece) async for piece in answer.content.iter_any()])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(before) == 20
    assert size > 18_000_000
    assert peak < size
