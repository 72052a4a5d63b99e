from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from symbl_aio import ConfigurationError, DecodeError, GroupDraft, NotFoundError, Text, criteria
from symbl_aio.testing import LocalSymbl
from tests.host import Host, open_host
from tests.support import QUICK

SINCE = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with open_host() as running:
        yield running


async def test_all_pages_are_gone_through_and_each_conversation_is_given_once(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        made = [(await symbl.process(Text(f"Call {n}."))).id for n in range(5)]
        for page_size in (1, 2, 5, 100):
            assert [info.id async for info in symbl.conversations(page_size=page_size)] == made
        newest_first = [info.id async for info in symbl.conversations(order="desc", page_size=2)]
    assert newest_first == made[::-1]


async def test_conversations_are_found_by_their_metadata_and_by_their_group(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        made = [await symbl.process(Text(f"Call {n}.")) for n in range(3)]
        for conversation, pier in zip(made, ("4", "4", "5"), strict=True):
            await conversation.update_metadata({"pier": pier})
        wanted = [conversation.id for conversation in made[:2]]
        rsql = criteria({"pier": "4"})

        assert [info.id async for info in symbl.conversations(filter=rsql)] == wanted
        group = await symbl.groups.create(GroupDraft("Pier 4", rsql, "All of pier 4"))
        found = [info async for info in symbl.groups.conversations(group.id, page_size=1)]
    assert [info.id for info in found] == wanted
    assert found[0].metadata == {"pier": "4"}


async def test_pages_are_asked_for_as_the_iteration_comes_to_them(host: Host):
    host.says({"conversations": [{"id": "1"}, {"id": "2"}]}, {"conversations": []})
    async with host.client() as symbl, aclosing(symbl.conversations(start_time=SINCE)) as infos:
        assert host.asked == []
        assert (await anext(infos)).id == "1"
        assert (await anext(infos)).id == "2"
        assert len(host.asked) == 1
        with pytest.raises(StopAsyncIteration):
            await anext(infos)
    assert [asked.query["offset"] for asked in host.asked] == ["0", "2"]


async def test_a_short_page_is_not_taken_for_the_last_one(host: Host):
    pages = [[{"id": "1"}], [{"id": "2"}, {"id": "3"}], []]
    host.says(*({"conversations": page} for page in pages))
    async with host.client() as symbl:
        assert [info.id async for info in symbl.conversations(page_size=50)] == ["1", "2", "3"]
    assert [asked.query["offset"] for asked in host.asked] == ["0", "1", "3"]


async def test_a_host_that_repeats_a_page_is_not_asked_for_ever(host: Host):
    host.says({"conversations": [{"id": "1"}, {"id": "2"}]})
    async with host.client() as symbl:
        assert [info.id async for info in symbl.conversations()] == ["1", "2"]
        with pytest.raises(DecodeError, match="the same"):
            _ = [info async for info in symbl.conversations(page_size=2)]


async def test_the_seven_days_that_are_shown_do_not_move_from_page_to_page(host: Host):
    host.says({"conversations": [{"id": "1"}]}, {"conversations": []})
    end = datetime(2024, 3, 8, tzinfo=UTC)
    async with host.client() as symbl:
        _ = [info async for info in symbl.conversations()]
        first, second = (datetime.fromisoformat(asked.query["startTime"]) for asked in host.asked)
        assert first == second
        assert timedelta(days=7) <= datetime.now(UTC) - first < timedelta(days=7, minutes=1)
        _ = [info async for info in symbl.conversations(end_time=end)]
    assert host.last.query["startTime"] == "2024-03-01T00:00:00.000Z"


@pytest.mark.parametrize(
    "wrong,named",
    [
        ({"page_size": 0}, "page_size"),
        ({"page_size": 65_537}, "page_size"),
        ({"order": "up"}, "order"),
        ({"start_time": datetime(2024, 1, 1)}, "start_time"),
        (
            {
                "start_time": datetime(2024, 1, 1, tzinfo=UTC),
                "end_time": datetime(2024, 1, 1, tzinfo=UTC),
            },
            "start_time is not before end_time",
        ),
    ],
)
async def test_a_wrong_question_is_refused_before_it_is_asked(host: Host, wrong, named):
    async with host.client() as symbl:
        with pytest.raises(ConfigurationError, match=named):
            await anext(symbl.conversations(**wrong))
    assert host.asked == []


@pytest.mark.parametrize("misspelt", ["strat_time", "group_id", "offset"])
async def test_a_keyword_that_there_is_not_is_refused_before_it_is_asked(host: Host, misspelt):
    wrong: dict[str, Any] = {misspelt: "1"}
    async with host.client() as symbl:
        for infos in (symbl.conversations, partial(symbl.groups.conversations, "77")):
            with pytest.raises(TypeError, match=misspelt):
                await anext(infos(**wrong))
    assert host.asked == []


async def test_an_error_in_the_middle_is_raised_where_the_iteration_stands(host: Host):
    host.says({"conversations": [{"id": "1"}]}, (404, {"message": "no"}))
    async with host.client() as symbl:
        infos = symbl.conversations()
        assert (await anext(infos)).id == "1"
        with pytest.raises(NotFoundError):
            await anext(infos)
