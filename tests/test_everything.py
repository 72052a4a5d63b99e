import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, get_args

import attrs
import pytest

from symbl_aio import (
    ConfigurationError,
    Conversation,
    DecodeError,
    EarlyReadWarning,
    Everything,
    NotFoundError,
    ServerError,
    Text,
    TextOptions,
    Tracker,
    Utterance,
)
from symbl_aio._pages import PARTS as TABLE
from symbl_aio.everything import InsightPart
from symbl_aio.testing import LocalSymbl
from tests.host import Host, open_host, sample
from tests.support import QUICK
from tests.tables import table

TALK = Text(
    [
        Utterance("We have to paint the railings by Friday.", speaker="Ines"),
        Utterance("Who has the keys? Let us meet tomorrow.", speaker="Omar"),
    ]
)
PARTS = {
    "messages": "messages",
    "topics": "topics",
    "questions": "questions",
    "action-items": "action_items",
    "follow-ups": "follow_ups",
    "entities": "entities_grouped",
    "members": "members",
    "analytics": "analytics",
    "trackers-detected": "trackers_detected",
    "summary": "summary",
    "abstract-topics": "abstract_topics",
    "comprehensive/action-items": "comprehensive_action_items",
    "bookmarks": "bookmarks",
    "callscore": "call_score",
    "intents": "intents",
    "": "conversation",
}


class Library(Host):
    """A host that has a sample for each part, but for those that are taken away."""

    gone: dict[str, int]
    first: asyncio.Event
    under_way = most = 0

    async def _handle(self, request: Any) -> Any:
        part = request.path.partition("/12")[2].strip("/")
        if request.path.startswith("/oauth2"):
            return await super()._handle(request)
        self.first.set()
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        status = self.gone.get(part, 200 if part in PARTS else 404)
        self.says((status, sample(PARTS[part]) if status == 200 else {"message": "no"}))
        return await super()._handle(request)


@pytest.fixture
async def library() -> AsyncIterator[Library]:
    async with open_host(Library()) as running:
        assert isinstance(running, Library)
        running.gone, running.first = {}, asyncio.Event()
        yield running


async def test_everything_is_gathered_and_kept_as_json(library: Library):
    async with library.client() as symbl:
        found = await symbl.conversation("12").everything(get_args(InsightPart))

    assert found.missing == ()
    for field in attrs.fields(Everything):
        assert getattr(found, field.name) or field.name == "missing", field.name
    assert found.messages[0].sender.name == "Ines"
    assert found.info.metadata["berth"] == "12"
    twin = Everything.from_json(found.to_json())
    assert twin == found
    assert twin.messages[0].raw == found.messages[0].raw
    assert twin.to_json() == found.to_json()


async def test_a_number_that_json_does_not_have_is_kept_as_null(library: Library):
    async with library.client() as symbl:
        text = (await symbl.conversation("12").everything()).to_json()
    kept = json.loads(text)
    kept["parts"]["messages"]["gain"] = "HERE"

    again = Everything.from_json(json.dumps(kept).replace('"HERE"', "1e999")).to_json()

    kept["parts"]["messages"]["gain"] = None
    assert json.loads(again) == kept


async def test_a_few_at_a_time_are_asked_for(library: Library):
    async with library.client() as symbl:
        await symbl.conversation("12").everything()

    assert 1 < library.most <= 4
    assert len(library.asked) == 11


async def test_what_the_host_does_not_have_is_named_and_the_rest_is_there(library: Library):
    library.gone = {"summary": 404, "entities": 405, "trackers-detected": 404}
    async with library.client() as symbl:
        found = await symbl.conversation("12").everything()

    assert found.missing == ("entities", "trackers", "summary")
    assert (found.entities, found.summary) == ((), ())
    assert found.messages
    assert Everything.from_json(found.to_json()) == found


async def test_another_error_ends_the_gathering(library: Library):
    library.gone = {"topics": 500}
    async with library.client() as symbl:
        with pytest.raises(ServerError):
            await symbl.conversation("12").everything()
        library.gone = {"": 404}
        with pytest.raises(NotFoundError):
            await symbl.conversation("12").everything()


async def test_only_the_parts_that_are_wanted_are_asked_for(library: Library):
    async with library.client() as symbl:
        conversation = symbl.conversation("12")
        found = await conversation.everything(["messages", "topics"], verbose=True, sentiment=True)
        assert {asked.path.rpartition("/")[2]: asked.query for asked in library.asked} == {
            "12": {},
            "messages": {"verbose": "true", "sentiment": "true"},
            "topics": {"sentiment": "true"},
        }
        assert found.questions == ()
        with pytest.raises(ConfigurationError, match="parts"):
            await conversation.everything(["message"])  # type: ignore[list-item]


async def test_everything_of_a_conversation_on_the_local_server(server: LocalSymbl):
    options = TextOptions(detect_entities=True, trackers=[Tracker("Keys", ["keys"])])
    async with server.client(**QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(TALK, options)
        conversation = symbl.conversation(job.conversation_id or "")
        with pytest.warns(EarlyReadWarning) as caught:
            early = await conversation.everything(["messages", "questions"])
        assert (len(caught), early.messages) == (1, ())
        server.release()
        found = await conversation.everything(wait=True)
    assert [question.text for question in found.questions] == ["Who has the keys?"]
    assert {user.name for user in found.members} == {"Ines", "Omar"}
    assert found.analytics is not None
    assert found.trackers[0].name == "Keys"
    assert Everything.from_json(found.to_json()) == found


async def test_a_gathering_that_is_cancelled_leaves_no_task_behind(library: Library):
    async with library.client() as symbl:
        gathering = asyncio.create_task(symbl.conversation("12").everything())
        await library.first.wait()
        gathering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathering
        named = [task.get_name() for task in asyncio.all_tasks()]
        assert not [name for name in named if " of 12" in name]


KEPT = json.dumps({"symbl_aio": 1, "info": {"id": "1"}, "parts": {}, "missing": []})


@table(
    "text",
    ["", "[]", "{}", '{"symbl_aio": 2}', '{"symbl_aio": 1}', "[" * 100_000,
     KEPT.replace('{"id": "1"}', "5"), KEPT.replace('"parts": {}', '"parts": {"messages": []}')],
)  # fmt: skip
def test_another_text_is_no_conversation(text):
    assert Everything.from_json(KEPT).info.id == "1"
    with pytest.raises(DecodeError) as caught:
        Everything.from_json(text)
    assert caught.value.raw == text


def test_the_table_of_parts_names_each_field_and_each_method_once():
    parts = get_args(InsightPart)
    assert tuple(TABLE) == parts
    assert set(parts) <= {field.name for field in attrs.fields(Everything)}
    assert [part for part in parts if not hasattr(Conversation, part)] == []
