"""The types that users meet on the main paths. Checked by mypy and pyright, never executed."""

from collections.abc import AsyncGenerator, Mapping
from typing import assert_type

from symbl_aio import (
    AbstractTopic,
    ActionItem,
    Analytics,
    Bookmark,
    BookmarkSummary,
    CallScore,
    Completed,
    ComprehensiveActionItem,
    Config,
    Conversation,
    ConversationGroup,
    ConversationInfo,
    DetectedTracker,
    Entity,
    EntityDraft,
    Everything,
    Experience,
    Failed,
    FollowUp,
    FormattedTranscript,
    GroupDraft,
    Insight,
    Intent,
    Job,
    JobStatus,
    Message,
    Notice,
    Outcome,
    Page,
    Patch,
    Progress,
    Question,
    SpeakerEvent,
    StoredEntity,
    StoredTracker,
    Submission,
    SummaryItem,
    SymblClient,
    TalkTime,
    Text,
    Topic,
    Tracker,
    User,
    Word,
    criteria,
    talk_time,
    to_srt,
)
from symbl_aio.durable import CompletedItem, Item, ItemState, Outbox, UncompletedItem
from symbl_aio.media import MediaLike
from symbl_aio.models import JSON


async def submitting(symbl: SymblClient, conversation: Conversation) -> None:
    assert_type(symbl.submit("standup.mp4"), Submission)
    job = await symbl.submit(Text("Hello."))
    assert_type(job, Job)
    assert_type(job.status, JobStatus)
    assert_type(await job, Conversation)
    assert_type(await job.wait(timeout=5), Conversation)
    assert_type(await symbl.process("standup.mp4"), Conversation)
    assert_type(conversation.append("standup.mp4"), Submission)
    assert_type(symbl.append("12", Text("Hello.")), Submission)
    async for outcome in symbl.map([Text("Hello.")]):
        assert_type(outcome, Outcome[Text])


async def reading(symbl: SymblClient, conversation: Conversation) -> None:
    messages = await conversation.messages(verbose=True, wait=True)
    assert_type(messages, Page[Message])
    assert_type(messages[0], Message)
    assert_type(messages[:2], tuple[Message, ...])
    assert_type(messages.elapsed, float)
    for message in messages:
        assert_type(message.sender, User)
        assert_type(message.sender.name, str | None)
        assert_type(message.words, tuple[Word, ...])
        assert_type(message.duration, float | None)
    assert_type(await conversation.topics(), Page[Topic])
    assert_type(await conversation.abstract_topics(), Page[AbstractTopic])
    assert_type(await conversation.questions(), Page[Question])
    assert_type(await conversation.action_items(), Page[ActionItem])
    assert_type(await conversation.comprehensive_action_items(), Page[ComprehensiveActionItem])
    assert_type(await conversation.follow_ups(), Page[FollowUp])
    for insight in await conversation.insights():
        assert_type(insight, Insight)
        if isinstance(insight, ActionItem):
            assert_type(insight.assignee, User | None)
    entities = await conversation.entities()
    assert_type(entities, Page[Entity])
    assert_type(entities[0].matches[0].value, str | None)
    assert_type(await conversation.analytics(), Analytics)
    assert_type(await conversation.trackers(), Page[DetectedTracker])
    assert_type(await conversation.summary(refresh=True), Page[SummaryItem])
    assert_type(await conversation.transcript("srt"), FormattedTranscript)
    assert_type(await conversation.intents(), Page[Intent])
    assert_type(await conversation.call_score(), CallScore)
    assert_type(await conversation.call_score_status(), Progress)
    assert_type(await conversation.bookmarks.list(), Page[Bookmark])
    assert_type(await conversation.bookmarks.summaries(), Page[BookmarkSummary])
    everything = await conversation.everything(["messages", "analytics"], wait=True)
    assert_type(everything, Everything)
    assert_type(everything.messages, tuple[Message, ...])
    assert_type(everything.analytics, Analytics | None)
    assert_type(Everything.from_json(everything.to_json()), Everything)
    assert_type(to_srt(messages), str)
    assert_type(talk_time(messages), tuple[TalkTime, ...])


async def changing(symbl: SymblClient, conversation: Conversation) -> None:
    assert_type(await conversation.info(), ConversationInfo)
    assert_type(await conversation.update_metadata({"a": "b"}), ConversationInfo)
    assert_type(await conversation.update_member("1", name="Ines"), Notice)
    event = SpeakerEvent("started_speaking", User(name="Ines"), 1.5)
    assert_type(await conversation.add_speaker_events([event]), Notice)
    assert_type(await conversation.create_experience("verbose-text-summary"), Experience)
    await conversation.bookmarks.delete((await conversation.bookmarks.list())[0].id)
    await conversation.create_experience("summary")  # type: ignore[arg-type]
    await conversation.transcript("vtt")  # type: ignore[arg-type]
    await conversation.everything(["mesages"])  # type: ignore[list-item]


async def managing(symbl: SymblClient) -> None:
    infos = symbl.conversations(filter=criteria({"agentId": "1"}), order="desc")
    assert_type(infos, AsyncGenerator[ConversationInfo, None])
    symbl.conversations(order="up")  # type: ignore[arg-type]
    symbl.conversations(strat_time=None)  # type: ignore[call-arg]
    symbl.groups.conversations("1", sort=1)  # type: ignore[arg-type]
    Config(tracker_paths="2023")  # type: ignore[arg-type]
    Patch("move", "/name")  # type: ignore[arg-type]
    assert_type(await symbl.trackers.create(Tracker("a", ["b"])), StoredTracker)
    assert_type(await symbl.trackers.list(), Page[StoredTracker])
    assert_type(await symbl.groups.create(GroupDraft("a", "b")), ConversationGroup)
    assert_type(await symbl.entities.create(EntityDraft("a", "b", ["c"])), StoredEntity)
    assert_type(await symbl.settings.get(), Mapping[str, JSON])
    # Without a look for None: a stored object is nothing without its id.
    await symbl.trackers.delete((await symbl.trackers.list())[0].id)
    await symbl.groups.delete((await symbl.groups.list())[0].id)
    await symbl.entities.delete((await symbl.entities.list())[0].id)


async def telling_outcomes_apart(symbl: SymblClient) -> None:
    async for outcome in symbl.map([Text("Hello.")], ordered=True):
        assert_type(outcome.index, int)
        assert_type(outcome.source, Text)
        assert_type(outcome.job, Job | None)
        assert_type(outcome.unwrap(), Conversation)
        if outcome.ok is True:  # pyright tells nothing apart by the truth of an attribute
            assert_type(outcome.conversation, Conversation)
            assert_type(outcome.job, Job)
        else:
            assert_type(outcome.error, Exception)
        if outcome.error is None:
            assert_type(outcome.conversation.id, str)
        if isinstance(outcome, Completed):
            assert_type(outcome.conversation, Conversation)
        match outcome:
            case Completed(conversation=conversation):
                assert_type(conversation, Conversation)
            case Failed(error=error, job=job):
                assert_type(error, Exception)
                assert_type(job, Job | None)
        look_at_any(outcome)


def look_at_any(outcome: Outcome[MediaLike]) -> None:
    outcome.unwrap()


async def telling_items_apart(outbox: Outbox) -> None:
    item = await outbox.result("monday", timeout=5)
    assert_type(item, Item)
    assert_type(item.conversation_id, str | None)
    if item.ok is True:
        assert_type(item.conversation_id, str)
    else:
        assert_type(item.error, str | None)
    if item.state is ItemState.COMPLETED:
        assert_type(item.conversation_id, str)
    if isinstance(item, CompletedItem):
        assert_type(item.conversation_id, str)
    match item:
        case CompletedItem(conversation_id=conversation_id):
            assert_type(conversation_id, str)
        case UncompletedItem(error=error):
            assert_type(error, str | None)
    async for listed in outbox.jobs(state=ItemState.COMPLETED):
        assert_type(listed, Item)
