from collections.abc import AsyncIterator

import pytest

from symbl_aio import BookmarkDraft, ConfigurationError, NotFoundError, ServerError, Text, User
from symbl_aio.testing import LocalSymbl
from tests.host import Host, open_host
from tests.support import QUICK

INES = User(name="Ines", user_id="ines@harbour.example", email="ines@harbour.example")


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with open_host() as running:
        yield running


async def test_a_bookmark_lives(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(
            Text("We will paint the railings on Friday. Omar has the keys to the ferry house.")
        )
        first = (await conversation.messages())[0]
        marks = conversation.bookmarks

        made = await marks.create(
            BookmarkDraft(
                label="Decision",
                description="The railings",
                user=INES,
                begin_time_offset=0,
                duration=30,
            )
        )
        assert (made.label, made.begin_time_offset, made.duration) == ("Decision", 0.0, 30.0)
        assert made.user.name == "Ines"
        assert made.id
        (other,) = await marks.create_many(
            [BookmarkDraft(label="Who", description="Omar", user=INES, message_ids=[first.id])]
        )
        assert [ref.id for ref in other.message_refs] == [first.id]
        assert {mark.id for mark in await marks.list()} == {made.id, other.id}
        changed = await marks.update(
            made.id,
            BookmarkDraft(label="Paint", description="Red", user=INES, message_ids=[first.id]),
        )
        assert (changed.label, (await marks.get(made.id)).description) == ("Paint", "Red")
        assert {item.bookmark_id for item in await marks.summary(made.id)} <= {made.id}
        assert {one.bookmark_id for one in await marks.summaries()} == {made.id, other.id}
        await marks.delete(made.id)
        with pytest.raises(NotFoundError):
            await marks.get(made.id)


async def test_only_making_one_is_not_repeated(host: Host):
    draft = BookmarkDraft(label="a", description="b", user=INES, message_ids=["1"])
    async with host.client() as symbl:
        marks = symbl.conversation("12").bookmarks
        for make in (marks.create(draft), marks.create_many([draft])):
            host.asked.clear()
            host.says((500, {}), {"id": "1"})
            with pytest.raises(ServerError):
                await make
            assert len(host.asked) == 1
        for change in (marks.update("b1", draft), marks.delete("b1")):
            host.asked.clear()
            host.says((500, {}), {"id": "1"})
            await change
            assert len(host.asked) == 2
        with pytest.raises(ConfigurationError, match="drafts"):
            await marks.create_many([])
