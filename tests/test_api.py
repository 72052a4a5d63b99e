"""Every method that makes a call: what goes over the wire, and what comes of the answer.

``docs/api.md`` shows the same calls; here its tables are held to what is really sent.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from attrs import field, frozen

from symbl_aio import (
    AbstractTopic,
    ActionItem,
    Bookmark,
    BookmarkDraft,
    Colors,
    Conversation,
    EntityDraft,
    GroupDraft,
    JobStatus,
    Patch,
    Pstn,
    SpeakerEvent,
    SymblClient,
    Tracker,
    TrackerDraft,
    User,
)
from symbl_aio._protocol import calls
from symbl_aio.job import Job
from symbl_aio.media import Kind
from tests.host import Asked, Host, open_host, sample

DOCUMENT = (Path(__file__).parents[1] / "docs" / "api.md").read_text("utf-8")

C = "/v1/conversations/12"
DRAFT = BookmarkDraft(
    label="Decision", description="The railings", user=User(name="Ines"),
    begin_time_offset=12, duration=30,
)  # fmt: skip
DRAFT_SENT = {
    "label": "Decision",
    "description": "The railings",
    "user": {"name": "Ines"},
    "beginTimeOffset": 12,
    "duration": 30,
}
GROUP = GroupDraft("Pier 4", "conversation.metadata.pier==4", "All of pier 4")
GROUP_SENT = {
    "name": "Pier 4",
    "criteria": "conversation.metadata.pier==4",
    "description": "All of pier 4",
}
ENTITY = EntityDraft("vessel", "ferry", ["Night boat"])
ENTITY_SENT = {
    "type": "vessel",
    "subType": "ferry",
    "values": ["Night boat"],
    "category": "Custom",
}
TRACKER = Tracker("Delay", ["running late"])
TRACKER_SENT = {"name": "Delay", "vocabulary": ["running late"]}
NEWER_TRACKER = TrackerDraft(
    "Delay", ["running late"], description="Lateness", categories=["Service"], languages=["en"],
    exclude_vocabulary=["late lunch"],
)  # fmt: skip
NEWER_TRACKER_SENT = TRACKER_SENT | {
    "description": "Lateness",
    "categories": ["Service"],
    "languages": ["en"],
    "excludeVocabulary": ["late lunch"],
}
INES = User(id="a3d1", name="Ines", email="ines@harbour.example")


@frozen
class Row:
    """A call by its name in the document, what it must send, and what its answer becomes."""

    name: str
    make: Callable[[SymblClient, Conversation], Any]
    sent: Asked
    answer: Any
    means: Callable[[Any], bool]
    config: dict[str, Any] = field(factory=dict)


def asked(line: str, body: Any = None, **query: str) -> Asked:
    method, _, path = line.partition(" ")
    return Asked(method, path.replace("…", C), query, body)


def texts(*expected: str) -> Callable[[Any], bool]:
    return lambda page: [item.text for item in page] == list(expected)


async def listed(items: Any) -> list[Any]:
    return [item async for item in items]


NEWER = {"tracker_paths": "2024"}
SINCE = datetime(2024, 1, 1, tzinfo=UTC)
NOTHING: Callable[[Any], bool] = lambda value: value is None  # noqa: E731

ROWS = [
    Row("symbl.job_status()", lambda s, c: s.job_status("j1"), asked("GET /v1/job/j1"),
        {"id": "j1", "status": "in_progress"}, lambda found: found is JobStatus.IN_PROGRESS),
    Row("symbl.conversations()", lambda s, c: listed(s.conversations(
            start_time=SINCE, end_time=datetime(2024, 2, 1, tzinfo=UTC), order="asc",
            sort="conversation.startTime", filter="conversation.metadata.berth==12",
            page_size=50)),
        asked("GET /v1/conversations", limit="50", offset="2", order="asc",
              startTime="2024-01-01T00:00:00.000Z", endTime="2024-02-01T00:00:00.000Z",
              sort="conversation.startTime", filter="conversation.metadata.berth==12"),
        [sample("conversations"), {"conversations": []}],
        lambda infos: [info.id for info in infos] == ["1", "2"]),
    Row("conversation.info()", lambda s, c: c.info(), asked("GET …"), sample("conversation"),
        lambda info: info.metadata["berth"] == "12"),
    Row("conversation.update_metadata()", lambda s, c: c.update_metadata({"berth": "14"}),
        asked("PUT …", {"metadata": {"berth": "14"}}), sample("metadata"),
        lambda info: (info.metadata, info.name) == ({"berth": "14"}, None)),
    Row("conversation.delete()", lambda s, c: c.delete(), asked("DELETE …"), sample("notice"),
        NOTHING),
    Row("conversation.messages()", lambda s, c: c.messages(
            verbose=True, sentiment=True, redact=True, exclude=["PERSON_NAME", "CITY"]),
        asked("GET …/messages", verbose="true", sentiment="true", redact="true",
              exclude='["PERSON_NAME","CITY"]'),
        sample("messages"), texts("The bridge opens on Tuesday.", "Who told you?")),
    Row("conversation.topics()", lambda s, c: c.topics(
            sentiment=True, parent_refs=True, custom_topic_vocabulary=False, refresh=False),
        asked("GET …/topics", sentiment="true", parentRefs="true",
              customTopicVocabulary="false", refresh="false"),
        sample("topics"), texts("ferry timetable", "harbour")),
    Row("conversation.questions()", lambda s, c: c.questions(), asked("GET …/questions"),
        sample("questions"), texts("Who told you?", "When?")),
    Row("conversation.action_items()", lambda s, c: c.action_items(), asked("GET …/action-items"),
        sample("action_items"), lambda page: page[0].assignee.name == "Omar"),
    Row("conversation.follow_ups()", lambda s, c: c.follow_ups(), asked("GET …/follow-ups"),
        sample("follow_ups"), texts("Let us meet at the quay tomorrow afternoon.")),
    Row("conversation.insights()", lambda s, c: c.insights(), asked("GET …/insights"),
        sample("insights"), lambda page: [type(item).__name__ for item in page] == [
            "Question", "ActionItem", "FollowUp", "Insight"]),
    Row("conversation.entities()", lambda s, c: c.entities(), asked("GET …/entities"),
        sample("entities"), lambda page: [item.type for item in page] == [
            "date", "custom", "daterange"]),
    Row("conversation.members()", lambda s, c: c.members(), asked("GET …/members"),
        sample("members"), lambda page: [user.name for user in page] == ["Ines", "Speaker 2"]),
    Row("conversation.update_member()", lambda s, c: c.update_member(
            "m1", name="Ines", email="ines@harbour.example"),
        asked("PUT …/members/m1",
              {"id": "m1", "name": "Ines", "email": "ines@harbour.example"}),
        sample("notice"), lambda notice: notice.message.startswith("The change")),
    Row("conversation.add_speaker_events()", lambda s, c: c.add_speaker_events(
            [SpeakerEvent("started_speaking", INES, 0.25),
             SpeakerEvent("stopped_speaking", INES, 15)]),
        asked("PUT …/speakers", {"speakerEvents": [
            {"type": "started_speaking", "offset": {"seconds": 0, "nanos": 250_000_000},
             "user": {"id": "a3d1", "name": "Ines", "email": "ines@harbour.example"}},
            {"type": "stopped_speaking", "offset": {"seconds": 15, "nanos": 0},
             "user": {"id": "a3d1", "name": "Ines", "email": "ines@harbour.example"}}]}),
        sample("notice"), lambda notice: notice.id is None),
    Row("conversation.analytics()", lambda s, c: c.analytics(), asked("GET …/analytics"),
        sample("analytics"), lambda found: found.metric("total_silence").seconds == 30.5),
    Row("conversation.trackers()", lambda s, c: c.trackers(), asked("GET …/trackers-detected"),
        sample("trackers_detected"), lambda page: page[0].matches[0].message_refs[0].is_exact),
    Row("conversation.trackers()", lambda s, c: c.trackers(), asked("GET …/trackers"),
        [(404, {"message": "no"}), sample("trackers_detected_object")],
        lambda page: [tracker.name for tracker in page] == ["Delay"]),
    Row("conversation.summary()", lambda s, c: c.summary(refresh=True),
        asked("GET …/summary", refresh="true"), sample("summary"),
        lambda page: page[1].bookmark_id == "9001"),
    Row("conversation.transcript()", lambda s, c: c.transcript(
            "markdown", paragraphs=True, speakers=True, all_phrases=True, insight_phrases=False),
        asked("POST …/transcript", {
            "contentType": "text/markdown", "createParagraphs": True,
            "showSpeakerSeparation": True,
            "phrases": {"highlightAllKeyPhrases": True,
                        "highlightOnlyInsightKeyPhrases": False}}),
        sample("transcript_markdown"), lambda made: made.text.endswith("Omar: Who told you?")),
    Row("conversation.transcript()", lambda s, c: c.transcript("srt"),
        asked("POST …/transcript", {"contentType": "text/srt"}), sample("transcript_srt"),
        lambda made: made.content_type == "text/srt" and made.text.startswith("1\n")),
    Row("conversation.abstract_topics()", lambda s, c: c.abstract_topics(),
        asked("GET …/abstract-topics"), sample("abstract_topics"),
        lambda page: isinstance(page[0], AbstractTopic)),
    Row("conversation.comprehensive_action_items()",
        lambda s, c: c.comprehensive_action_items(),
        asked("GET …/comprehensive/action-items"), sample("comprehensive_action_items"),
        lambda page: isinstance(page[0], ActionItem) and page[0].message_ids == (
            "7001200340056001", "7001200340056003")),
    Row("conversation.bookmarks.list()", lambda s, c: c.bookmarks.list(),
        asked("GET …/bookmarks"), sample("bookmarks"), lambda page: page[0].duration == 30.0),
    Row("conversation.bookmarks.create()", lambda s, c: c.bookmarks.create(DRAFT),
        asked("POST …/bookmarks", DRAFT_SENT), sample("bookmarks")["bookmarks"][0],
        lambda mark: isinstance(mark, Bookmark) and mark.user.name == "Ines"),
    Row("conversation.bookmarks.create_many()", lambda s, c: c.bookmarks.create_many([DRAFT]),
        asked("POST …/bookmarks/bulk", [DRAFT_SENT]), sample("bookmarks"),
        lambda page: page[0].id == "9001"),
    Row("conversation.bookmarks.get()", lambda s, c: c.bookmarks.get("b1"),
        asked("GET …/bookmarks/b1"), sample("bookmarks"), lambda mark: mark.id == "9001"),
    Row("conversation.bookmarks.update()", lambda s, c: c.bookmarks.update("b1", BookmarkDraft(
            label="Decision", description="The railings", user=INES, message_ids=["5", "6"])),
        asked("PUT …/bookmarks/b1", {
            "label": "Decision", "description": "The railings",
            "user": {"id": "a3d1", "name": "Ines", "email": "ines@harbour.example"},
            "messageRefs": [{"id": "5"}, {"id": "6"}]}),
        {"bookmark": {"id": "b1"}}, lambda mark: mark.id == "b1"),
    Row("conversation.bookmarks.delete()", lambda s, c: c.bookmarks.delete("b1"),
        asked("DELETE …/bookmarks/b1"), {"deleted": True}, NOTHING),
    Row("conversation.bookmarks.summary()", lambda s, c: c.bookmarks.summary("b1"),
        asked("GET …/bookmarks/b1/summary"), sample("summary"), lambda page: len(page) == 2),
    Row("conversation.bookmarks.summaries()", lambda s, c: c.bookmarks.summaries(),
        asked("GET …/bookmarks-summary"), sample("bookmarks_summary"),
        lambda page: page[0].summary[0].text == "The board spoke of the ferry."),
    Row("conversation.call_score()", lambda s, c: c.call_score(), asked("GET …/callscore"),
        sample("call_score"), lambda found: found.criteria[0].negative_feedback == "Long."),
    Row("conversation.call_score_status()", lambda s, c: c.call_score_status(),
        asked("GET …/callscore/status"), sample("progress"),
        lambda found: (found.job_id, found.status) == ("6f1c", "completed")),
    Row("conversation.insights_status()", lambda s, c: c.insights_status(),
        asked("GET …/lm-insights/status"), {"status": "paused"},
        lambda found: found.status == "unknown"),
    Row("conversation.intents()", lambda s, c: c.intents(), asked("GET …/intents"),
        sample("intents"), lambda page: page[0].intent == "answering_machine"),
    Row("conversation.create_experience()", lambda s, c: c.create_experience(
            "audio-summary", audio_url="https://media.example/a.mp3",
            video_url="https://media.example/a.mp4", logo="https://media.example/l.png",
            favicon="https://media.example/f.png",
            colors=Colors(background="#0A2136", topics_filter="#FF0000", insights_filter="#00F"),
            font_family="roboto", summary_url_expires_in=0, read_only=True,
            enable_custom_domain=False, speaker_avatar_urls={"m1": "https://media.example/m.png"}),
        asked("POST …/experiences", {
            "name": "audio-summary", "audioUrl": "https://media.example/a.mp3",
            "videoUrl": "https://media.example/a.mp4", "logo": "https://media.example/l.png",
            "favicon": "https://media.example/f.png",
            "color": {"background": "#0A2136", "topicsFilter": "#FF0000",
                      "insightsFilter": "#00F"},
            "font": {"family": "roboto"}, "summaryURLExpiresIn": 0, "readOnly": True,
            "enableCustomDomain": False,
            "speakerAvatarURLs": {"m1": "https://media.example/m.png"}}),
        sample("experience"), lambda made: made.url.endswith("s3cr3t-t0ken")),
    Row("conversation.set_media_url()", lambda s, c: c.set_media_url("https://media.example/b"),
        asked("PUT …/experiences/url", {"url": "https://media.example/b"}), sample("notice"),
        lambda notice: notice.message != ""),
    Row("conversation.insights_ui()", lambda s, c: c.insights_ui(include_call_score=True),
        asked("GET /v1/conversations/experiences/insights/details/12", includeCallScore="true"),
        {"url": "https://pages.harbour.example/?t=1"}, lambda made: made.url.endswith("t=1")),
    Row("symbl.insights_ui()", lambda s, c: s.insights_ui(),
        asked("GET /v1/conversations/experiences/insights/list"),
        {"url": "https://pages.harbour.example/?t=2"}, lambda made: made.url.endswith("t=2")),

    Row("symbl.trackers.create()", lambda s, c: s.trackers.create(TRACKER),
        asked("POST /v1/manage/tracker", TRACKER_SENT), sample("stored_tracker"),
        lambda made: made.id == "5002"),
    Row("symbl.trackers.create()", lambda s, c: s.trackers.create(NEWER_TRACKER),
        asked("POST /v1/manage/trackers", NEWER_TRACKER_SENT), sample("stored_tracker"),
        lambda made: made.vocabulary == ("running late", "not on time"), NEWER),
    Row("symbl.trackers.create_many()", lambda s, c: s.trackers.create_many([TRACKER]),
        asked("POST /v1/manage/trackers", [TRACKER_SENT]), sample("stored_trackers"),
        lambda page: page[0].exclude_vocabulary == ("late lunch",)),
    Row("symbl.trackers.create_many()", lambda s, c: s.trackers.create_many([TRACKER]),
        asked("POST /v1/manage/trackers/bulk", [TRACKER_SENT]), sample("stored_trackers"),
        lambda page: page[0].created_on is not None, NEWER),
    Row("symbl.trackers.get()", lambda s, c: s.trackers.get("77"),
        asked("GET /v1/manage/tracker/77"), sample("stored_tracker"),
        lambda found: found.name == "Delay"),
    Row("symbl.trackers.get()", lambda s, c: s.trackers.get("77"),
        asked("GET /v1/manage/trackers/77"), sample("stored_tracker")["tracker"],
        lambda found: found.name == "Delay", NEWER),
    Row("symbl.trackers.list()", lambda s, c: s.trackers.list(),
        asked("GET /v1/manage/trackers"), sample("stored_tracker"), lambda page: len(page) == 1),
    Row("symbl.trackers.list()", lambda s, c: s.trackers.list(),
        asked("GET /v1/manage/trackers"), sample("stored_trackers"), lambda page: len(page) == 1,
        NEWER),
    Row("symbl.trackers.by_name()", lambda s, c: s.trackers.by_name("Delay"),
        asked("GET /v1/manage/trackers", name="Delay"), {"trackers": []},
        lambda page: len(page) == 0),
    Row("symbl.trackers.by_name()", lambda s, c: s.trackers.by_name("Delay"),
        asked("GET /v1/manage/trackers", name="Delay"), sample("stored_trackers"),
        lambda page: page[0].name == "Delay", NEWER),
    Row("symbl.trackers.update()", lambda s, c: s.trackers.update("77", TRACKER),
        asked("PUT /v1/manage/tracker/77", {"id": "77", **TRACKER_SENT}),
        sample("stored_tracker"), lambda made: len(made.vocabulary) == 2),
    Row("symbl.trackers.patch()", lambda s, c: s.trackers.patch("77", [
            Patch("replace", "/name", "Late"), Patch("add", "/vocabulary", ["too late"]),
            Patch("remove", "/languages"), Patch("replace", "/description")]),
        asked("PATCH /v1/manage/trackers/77", [
            {"op": "replace", "path": "/name", "value": "Late"},
            {"op": "add", "path": "/vocabulary", "value": ["too late"]},
            {"op": "remove", "path": "/languages"},
            {"op": "replace", "path": "/description", "value": None}]),
        sample("stored_tracker"), lambda made: made.id == "5002", NEWER),
    Row("symbl.trackers.delete()", lambda s, c: s.trackers.delete("77"),
        asked("DELETE /v1/manage/tracker/77"), sample("deleted"), NOTHING),
    Row("symbl.trackers.delete()", lambda s, c: s.trackers.delete("77"),
        asked("DELETE /v1/manage/trackers/77"), sample("deleted"), NOTHING, NEWER),

    Row("symbl.groups.create()", lambda s, c: s.groups.create(GROUP),
        asked("POST /v1/manage/group", GROUP_SENT), sample("group"),
        lambda made: made.id == "6002"),
    Row("symbl.groups.create_many()", lambda s, c: s.groups.create_many([GROUP, GROUP]),
        asked("POST /v1/manage/groups", [GROUP_SENT, GROUP_SENT]), sample("groups"),
        lambda page: page[0].criteria.endswith("==4")),
    Row("symbl.groups.get()", lambda s, c: s.groups.get("77"),
        asked("GET /v1/manage/group/77"), sample("group_bare"),
        lambda found: found.name == "Pier 4"),
    Row("symbl.groups.list()", lambda s, c: s.groups.list(), asked("GET /v1/manage/groups"),
        sample("groups"), lambda page: len(page) == 1),
    Row("symbl.groups.update()", lambda s, c: s.groups.update("77", GROUP),
        asked("PUT /v1/manage/group/77", {"id": "77", **GROUP_SENT}), sample("group"),
        lambda made: made.description == "All of pier 4"),
    Row("symbl.groups.delete()", lambda s, c: s.groups.delete("77"),
        asked("DELETE /v1/manage/group/77"), sample("deleted"), NOTHING),
    Row("symbl.groups.conversations()",
        lambda s, c: listed(s.groups.conversations("77", start_time=SINCE)),
        asked("GET /v1/groups/77/conversations", limit="100", offset="2",
              startTime="2024-01-01T00:00:00.000Z"),
        [sample("conversations"), {"conversations": []}], lambda infos: len(infos) == 2),
    Row("symbl.entities.create()", lambda s, c: s.entities.create(ENTITY),
        asked("POST /v1/manage/entities", ENTITY_SENT), sample("stored_entity"),
        lambda made: made.values == ("Star of Tarifa", "Night boat")),
    Row("symbl.entities.create_many()", lambda s, c: s.entities.create_many([ENTITY]),
        asked("POST /v1/manage/entities/bulk", [ENTITY_SENT]), sample("stored_entities"),
        lambda page: page[0].sub_type == "ferry"),
    Row("symbl.entities.get()", lambda s, c: s.entities.get("77"),
        asked("GET /v1/manage/entities/77"), sample("stored_entity_wrapped"),
        lambda found: found.category == "Custom"),
    Row("symbl.entities.list()", lambda s, c: s.entities.list(),
        asked("GET /v1/manage/entities"), sample("stored_entities")["entities"],
        lambda page: len(page) == 1),
    Row("symbl.entities.update()", lambda s, c: s.entities.update("77", ENTITY),
        asked("PUT /v1/manage/entities/77", ENTITY_SENT), sample("stored_entity"),
        lambda made: made.id == "8002"),
    Row("symbl.entities.delete()", lambda s, c: s.entities.delete("77"),
        asked("DELETE /v1/manage/entities/77"), sample("deleted"), NOTHING),
    Row("symbl.entities.delete_sub_type()", lambda s, c: s.entities.delete_sub_type("ferry"),
        asked("DELETE /v1/manage/entities", subType="ferry"), sample("deleted"), NOTHING),
    Row("symbl.settings.get()", lambda s, c: s.settings.get(), asked("GET /v1/manage/settings"),
        sample("settings"), lambda found: found == sample("settings")),
    Row("symbl.settings.patch()", lambda s, c: s.settings.patch(
            [Patch("replace", "/intelligence/bookmarks/duration", 60)]),
        asked("PATCH /v1/manage/settings", [
            {"op": "replace", "path": "/intelligence/bookmarks/duration", "value": 60}]),
        sample("settings"), lambda found: found["intelligence"]["bookmarks"]["duration"] == 60),

    Row("symbl.telephony.start()", lambda s, c: s.telephony.start(Pstn("+14155550123")),
        asked("POST /v1/endpoint:connect", {
            "operation": "start", "endpoint": {"type": "pstn", "phoneNumber": "14155550123"},
            "actions": [], "data": {"session": {}}}),
        {"connectionId": "c1", "conversationId": "51"}, lambda call: call.id == "c1"),
    Row("call.stop()", lambda s, c: s.telephony.call("c1", "51").stop(),
        asked("POST /v1/endpoint:connect", {"operation": "stop", "connectionId": "c1"}),
        {"connectionId": "c1", "conversationId": "51", "summaryInfo": []},
        lambda ended: ended.conversation_id == "51"),
]  # fmt: skip


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with open_host() as running:
        yield running


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_each_method_makes_its_call_and_reads_its_answer(host: Host, row: Row):
    several = isinstance(row.answer, list) and row.sent.path.endswith(("conversations", "trackers"))
    host.says(*row.answer) if several and row.config == {} else host.says(row.answer)

    async with host.client(**row.config) as symbl:
        made = row.make(symbl, symbl.conversation("12"))
        assert isinstance(made, Awaitable)
        result = await made

    assert host.last == row.sent
    assert row.means(result)


# The document

IDS = {
    "/12": "/{conversationId}", "/j1": "/{jobId}", "/m1": "/{memberId}", "/b1": "/{bookmarkId}",
    "/77": "/{id}",
}  # fmt: skip


def line(call: Asked) -> str:
    """Write a request as the document does: ids by their names, a query only if it tells apart."""
    path = call.path
    for known, name in IDS.items():
        path = re.sub(re.escape(known) + r"(?=/|$)", name, path)
    apart = next((f"?{name}=" for name in ("name", "subType") if name in call.query), "")
    return f"{call.method} {path}{apart}"


def documented() -> Counter[tuple[str, str]]:
    """Give every pair of a method and a call that the tables of the document show."""
    rows: Counter[tuple[str, str]] = Counter()
    for text in DOCUMENT.splitlines():
        cells = [cell.strip() for cell in text.strip("|").split("|")]
        calls = [re.fullmatch(r"`([A-Z]+ /.*)`", cell) for cell in cells[1:]]
        rows.update(
            (cells[0].split("`")[1], found[1]) for found in calls if found and "`" in cells[0]
        )
    return rows


def test_the_document_shows_the_calls_that_are_made():
    shown = {row for row in documented() if "submit" not in row[0] and "append" not in row[0]}

    elsewhere = {  # a job is followed, and a report has the time of day
        ("job.refresh()", "GET /v1/job/{jobId}"),
        ("call.push()", "POST /v1/event/{connectionId}"),
    }

    assert shown - elsewhere == {(row.name, line(row.sent)) for row in ROWS}


def test_the_document_shows_the_submissions_and_the_job():
    kinds = get_args(Kind)
    sent = [calls.submission(kind) for kind in kinds]
    sent += [calls.submission(kind, "12") for kind in kinds]
    expected = {f"{call.method} {call.path.replace('/12', '/{conversationId}')}" for call in sent}

    assert expected == {call for name, call in documented() if re.search("submit|append", name)}
    assert f"GET {calls.job('1').path}".replace("/1", "/{jobId}") in DOCUMENT
    assert f"`POST {calls.token().path}`" in DOCUMENT


def test_the_document_shows_each_endpoint_of_the_api():
    """Counted as the API's index counts them: all but telephony and WebSockets."""
    calls = {call for _, call in documented()}

    def count(pattern: str) -> int:
        return sum(bool(re.fullmatch(pattern, call)) for call in calls)

    assert count(r"\w+ /v1/process/.*") == 10
    assert count(r".* /v1/job/.*") == 1
    assert count(r".*/(abstract-topics|comprehensive/action-items)") == 2
    assert count(r".*/bookmarks(/bulk|/{bookmarkId})?") == 6
    assert count(r".*(/bookmarks/{bookmarkId}/summary|/bookmarks-summary)") == 2
    assert count(r".*/(callscore|callscore/status|lm-insights/status|intents)") == 4
    assert count(r".*/experiences/insights/.*") == 2
    assert count(r".*/(experiences|experiences/url)") == 2
    assert count(r"\w+ /v1/manage/tracker(/.*)?|\w+ /v1/manage/trackers(\?name=)?") == 7
    assert count(r"\w+ /v1/manage/trackers/.*") == 4  # two more share the paths of 2022
    assert count(r"\w+ /v1/(manage/)?groups?(/.*)?") == 7
    assert count(r"\w+ /v1/manage/entities.*") == 7
    assert count(r"\w+ /v1/manage/settings") == 2
    plain = (
        "messages|topics|questions|action-items|follow-ups|insights|entities|members|"
        "members/{memberId}|speakers|analytics|trackers-detected|summary|transcript"
    )
    assert count(r"\w+ /v1/conversations(/{conversationId})?") == 4
    assert count(rf"\w+ /v1/conversations/{{conversationId}}/({plain})") == 14


def test_every_public_method_that_asks_the_server_is_in_the_document():
    from symbl_aio import Bookmarks, Entities, Groups, Settings, Trackers

    owners = {
        "conversation": Conversation, "conversation.bookmarks": Bookmarks,
        "symbl.trackers": Trackers, "symbl.groups": Groups, "symbl.entities": Entities,
        "symbl.settings": Settings,
    }  # fmt: skip
    shown = {name for name, _ in documented()} | {"conversation.everything()"}
    for owner, cls in owners.items():
        for name in dir(cls):
            if not name.startswith("_") and callable(getattr(cls, name)):
                if name in ("append", "resume_appends"):
                    continue
                assert f"{owner}.{name}()" in shown
    assert hasattr(Job, "refresh")
