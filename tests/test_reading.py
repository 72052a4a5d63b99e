"""Reading insights: from a real server, early, and where older hosts keep them."""

import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from symbl_aio import (
    ConfigurationError,
    EarlyReadWarning,
    JobFailedError,
    NotFoundError,
    Text,
    TextOptions,
    Tracker,
    Utterance,
)
from symbl_aio.errors import PermissionDeniedError
from symbl_aio.testing import LocalSymbl
from tests.host import Host, open_host
from tests.support import QUICK

TALK = Text(
    [
        Utterance("We have to paint the railings by Friday.", speaker="Ines"),
        Utterance("Omar will buy the paint. Who has the keys?", speaker="Omar"),
        Utterance("Let us meet at the quay tomorrow. The ferry is running late.", speaker="Ines"),
    ]
)
OPTIONS = TextOptions(
    name="Harbour board",
    detect_entities=True,
    detect_phrases=True,
    trackers=[Tracker("Delay", ["running late"])],
)


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with open_host() as running:
        yield running


async def test_all_that_a_conversation_holds_is_read_from_the_local_server(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(TALK, OPTIONS)

        messages = await conversation.messages(verbose=True, sentiment=True)
        assert {message.sender.name for message in messages} == {"Ines", "Omar"}
        assert all(message.words and message.sentiment for message in messages)
        ids = {message.id for message in messages}
        assert (await conversation.info()).name == "Harbour board"
        assert {user.name for user in await conversation.members()} == {"Ines", "Omar"}
        assert [question.text for question in await conversation.questions()] == [
            "Who has the keys?"
        ]
        items = await conversation.action_items()
        comprehensive = await conversation.comprehensive_action_items()
        assert items
        assert comprehensive
        assert {id for item in (*items, *comprehensive) for id in item.message_ids} <= ids
        mixed = await conversation.insights()
        assert {item.type for item in mixed} >= {"question", "action_item", "follow_up"}
        assert len(mixed) == len(items) + 1 + len(await conversation.follow_ups())
        assert (await conversation.topics(parent_refs=True)).status == 200
        assert {entity.type for entity in await conversation.entities()} >= {"date"}
        analytics = await conversation.analytics()
        assert {member.name for member in analytics.members} >= {"Ines", "Omar"}
        assert analytics.metric("total_talk_time") is not None
        (tracker,) = await conversation.trackers()
        assert tracker.name == "Delay"
        assert tracker.matches[0].message_refs[0].id in ids
        markdown = await conversation.transcript("markdown", speakers=True)
        assert markdown.text.startswith("Ines: ")
        assert "-->" in (await conversation.transcript("srt")).text


async def test_reading_while_a_job_runs_warns_once_and_names_the_line(server: LocalSymbl):
    server.hold_jobs()
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(TALK)
        conversation = symbl.conversation(job.conversation_id or "")

        with pytest.warns(EarlyReadWarning, match="still runs.*wait=True") as caught:
            assert list(await conversation.messages()) == []
        assert Path(caught[0].filename) == Path(__file__)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await conversation.messages()
            await conversation.insights()
        for read in ("analytics", "transcript", "everything", "insights"):
            with pytest.warns(EarlyReadWarning) as caught:
                await getattr(symbl.conversation(conversation.id), read)()
            assert [Path(one.filename) for one in caught] == [Path(__file__)], read
        server.release()
        await job


async def test_reading_with_wait_waits_for_the_jobs_of_the_conversation(server: LocalSymbl):
    server.hold_jobs()
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(TALK)
        conversation = symbl.conversation(job.conversation_id or "")
        other = await symbl.submit(Text("Another."))
        server.release(1)

        messages = await conversation.messages(wait=True)

        assert messages
        assert job.done()
        assert not other.done()
        server.release()
        await other


async def test_reading_with_wait_raises_what_the_job_raises(server: LocalSymbl):
    server.hold_jobs()
    server.inject("job_fails")
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(TALK)
        server.release()

        with pytest.raises(JobFailedError) as caught:
            await symbl.conversation(job.conversation_id or "").topics(wait=True)
        assert caught.value.job is job


async def test_what_no_job_works_on_is_read_without_a_word(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(TALK)

        assert await conversation.messages()
        assert await conversation.messages(wait=True)


async def test_trackers_are_looked_for_at_the_older_path_only_where_the_newer_is_unknown(
    host: Host,
):
    async with host.client() as symbl:
        conversation = symbl.conversation("12")
        for status in (404, 405):
            host.asked.clear()
            host.says((status, {"message": "no"}), [])
            assert list(await conversation.trackers()) == []
            assert [asked.path.rpartition("/")[2] for asked in host.asked] == [
                "trackers-detected",
                "trackers",
            ]
        host.asked.clear()
        host.says((403, {"message": "no"}))
        with pytest.raises(PermissionDeniedError):
            await conversation.trackers()
        assert len(host.asked) == 1
        host.says((404, {"message": "no such"}))
        with pytest.raises(NotFoundError, match="no such"):
            await conversation.trackers()


async def test_only_a_refresh_is_not_repeated(host: Host):
    async with host.client() as symbl:
        conversation = symbl.conversation("12")
        for read in (conversation.topics, conversation.summary):
            for refresh, attempts in ((True, 1), (False, 2), (None, 2)):
                host.asked.clear()
                host.says((500, {}), {"topics": [], "summary": []})
                if refresh:
                    with pytest.raises(Exception, match="500"):
                        await read(refresh=refresh)
                else:
                    await read(refresh=refresh)
                assert len(host.asked) == attempts


async def test_a_format_that_there_is_not_is_refused(host: Host):
    async with host.client() as symbl:
        with pytest.raises(ConfigurationError, match=r"format.*srt"):
            await symbl.conversation("12").transcript("vtt")  # type: ignore[arg-type]
    assert host.asked == []
