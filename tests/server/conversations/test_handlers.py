from __future__ import annotations

import asyncio
import json
import threading
import tracemalloc
from typing import Any
from urllib.parse import urlsplit

import pytest

from symbl_aio.server import http_json

PARTS = {
    "messages": "messages",
    "topics": "topics",
    "questions": "questions",
    "action-items": "actionItems",
    "comprehensive/action-items": "actionItems",
    "follow-ups": "followUps",
    "insights": "insights",
    "entities": "entities",
    "members": "members",
    "summary": "summary",
    "abstract-topics": "abstractTopics",
    "intents": "intents",
    "bookmarks": "bookmarks",
    "bookmarks-summary": "bookmarksSummary",
}
LONG = (
    "Ann: The rocket engine failed its pressure test on Monday.",
    "Bob: Oh.",
    "Bob: The fuel pump let the pressure drop, so the rocket engine stopped early.",
    "Ann: I will send the pressure test report to the supplier tomorrow.",
    "Bob: Thank you.",
    "Ann: We should order another fuel pump from the supplier.",
    "Bob: Yes.",
    "Ann: The next pressure test is a week away.",
    "Bob: Good.",
    "Ann: The rocket engine needs another fuel pump by then.",
)


async def conversation(caller: Any, *lines: str, **fields: Any) -> str:
    answer = await caller.text(*(lines or ("Ann: Hello there.", "Bob: Good morning.")), **fields)
    assert answer.status == 201
    await caller.server.until(lambda: not caller.server.unfinished)
    return f"/v1/conversations/{answer.body['conversationId']}"


@pytest.mark.parametrize("part,key", PARTS.items())
async def test_each_part_is_a_list_in_its_wrapper(caller: Any, part: str, key: str) -> None:
    path = await conversation(caller)

    answer = await caller.get(f"{path}/{part}")

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert list(answer.body) == [key]
    assert isinstance(answer.body[key], list)


@pytest.mark.parametrize("part", ["trackers-detected", "trackers"])
async def test_trackers_are_a_bare_list(caller: Any, part: str) -> None:
    path = await conversation(caller)

    assert (await caller.get(f"{path}/{part}")).body == []


async def test_analytics_have_metrics_and_members(caller: Any) -> None:
    path = await conversation(caller)

    assert set((await caller.get(f"{path}/analytics")).body) == {"metrics", "members"}


async def test_a_conversation_has_the_submitted_name_or_its_id(caller: Any) -> None:
    named = await conversation(caller, name="Standup")
    nameless = await conversation(caller)

    assert (await caller.get(named)).body["name"] == "Standup"
    answer = (await caller.get(nameless)).body
    assert answer["name"] == answer["id"] == nameless.rpartition("/")[2]
    assert answer["type"] == "meeting"


async def test_a_submitted_tracker_has_excluded_phrases_too(caller: Any) -> None:
    tracker = {"name": "Orders", "vocabulary": ["order"], "excludeVocabulary": ["out of order"]}
    path = await conversation(caller, "It is out of order.", "I order it.", trackers=[tracker])

    (found,) = (await caller.get(f"{path}/trackers-detected")).body
    assert [ref["text"] for ref in found["matches"][0]["messageRefs"]] == ["I order it."]


async def test_an_append_with_a_name_renames_the_conversation(caller: Any) -> None:
    path = await conversation(caller, name="Standup")

    for name, shown in (("", "Standup"), ("Monday", "Monday"), (None, "Monday")):
        await caller.text("More.", into=path.rpartition("/")[2], name=name)
        await caller.server.until(lambda: not caller.server.unfinished)
        assert (await caller.get(path)).body["name"] == shown


@pytest.mark.parametrize(
    "method,part",
    [
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        *(("GET", f"/{part}") for part in (*PARTS, "analytics", "trackers-detected", "callscore")),
        ("PUT", "/members/1"),
        ("PUT", "/speakers"),
        ("POST", "/transcript"),
        ("POST", "/experiences"),
        ("PUT", "/experiences/url"),
        ("POST", "/bookmarks"),
        ("POST", "/bookmarks/bulk"),
    ],
)
async def test_an_unknown_conversation_is_404(caller: Any, method: str, part: str) -> None:
    answer = await caller.request(method, f"/v1/conversations/4000000000000000{part}", json={})

    assert answer.status == 404
    assert list(answer.body) == ["message"]


async def test_messages_follow_the_query(caller: Any) -> None:
    path = await conversation(caller)

    plain = (await caller.get(f"{path}/messages")).body["messages"][0]
    full = (await caller.get(f"{path}/messages", verbose="true", sentiment="true")).body
    assert not plain.keys() & {"words", "sentiment"}
    assert full["messages"][0].keys() >= {"words", "sentiment"}
    assert (await caller.get(f"{path}/messages", verbose="yes")).status == 400


async def test_topics_follow_the_query(caller: Any) -> None:
    path = await conversation(caller)

    for name in ("sentiment", "parentRefs", "refresh"):
        assert (await caller.get(f"{path}/topics", **{name: "true"})).status == 200
        assert (await caller.get(f"{path}/topics", **{name: "1"})).status == 400


async def test_insights_are_the_three_kinds_mixed(caller: Any) -> None:
    path = await conversation(
        caller,
        "Ann: Can you send me the report?",
        "Bob: I will send you the report tomorrow.",
        "Ann: I will call the customer on Monday.",
    )

    mixed = (await caller.get(f"{path}/insights")).body["insights"]
    apart = [
        item
        for part in ("questions", "action-items", "follow-ups")
        for item in (await caller.get(f"{path}/{part}")).body[PARTS[part]]
    ]
    assert sorted(i["id"] for i in mixed) == sorted(i["id"] for i in apart)
    assert {i["type"] for i in mixed} >= {"question"}
    messages = {m["id"] for m in (await caller.get(f"{path}/messages")).body["messages"]}
    assert all(set(i["messageIds"]) <= messages for i in mixed)


async def test_ids_stay_the_same_when_more_is_appended(caller: Any) -> None:
    path = await conversation(caller, "Ann: Is it late?")
    before = [(await caller.get(f"{path}/{part}")).body for part in ("messages", "questions")]
    await caller.text("Bob: No.", into=path.rpartition("/")[2])
    await caller.server.until(lambda: not caller.server.unfinished)
    after = [(await caller.get(f"{path}/{part}")).body for part in ("messages", "questions")]

    assert after[0]["messages"][0] == before[0]["messages"][0]
    assert after[1] == before[1]


async def test_requested_entities_and_trackers_are_found(caller: Any) -> None:
    path = await conversation(
        caller,
        "Ann: The basic plan costs forty dollars.",
        detectEntities=True,
        entities=[{"customType": "product", "text": "basic plan"}],
        trackers=[{"name": "Price", "vocabulary": ["costs", "cheap"]}],
    )

    entities = (await caller.get(f"{path}/entities")).body["entities"]
    assert ("product", "basic plan") in [(e.get("customType"), e["text"]) for e in entities]
    (tracker,) = (await caller.get(f"{path}/trackers-detected")).body
    assert tracker["name"] == "Price"
    assert tracker["matches"][0]["value"] == "costs"


async def test_metadata_can_be_set(caller: Any) -> None:
    path = await conversation(caller)

    first = await caller.put(path, {"metadata": {"agent": "7"}})
    second = await caller.put(path, {"metadata": {"team": "red"}})

    assert first.status == 200
    assert second.body == {
        "id": path.rpartition("/")[2],
        "metadata": {"agent": "7", "team": "red"},
    }
    assert (await caller.get(path)).body["metadata"] == second.body["metadata"]


@pytest.mark.parametrize(
    "body", [{}, [], {"metadata": "x"}, {"metadata": {"a": 1}}, {"metadata": {"a": "x" * 129}}]
)
async def test_metadata_must_be_short_strings(caller: Any, body: Any) -> None:
    path = await conversation(caller)

    assert (await caller.put(path, body)).status == 400


async def test_metadata_of_which_one_value_is_wrong_changes_nothing(caller: Any) -> None:
    path = await conversation(caller)

    assert (await caller.put(path, {"metadata": {"agent": "7", "team": 8}})).status == 400
    assert "metadata" not in (await caller.get(path)).body


async def test_a_deleted_conversation_is_gone(caller: Any) -> None:
    path = await conversation(caller)

    answer = await caller.request("DELETE", path)

    assert answer.status == 200
    assert list(answer.body) == ["message"]
    assert (await caller.get(path)).status == 404
    assert (await caller.request("DELETE", path)).status == 404
    assert (await caller.text("More.", into=path.rpartition("/")[2])).status == 404


async def test_a_member_can_be_renamed_everywhere(caller: Any) -> None:
    path = await conversation(caller)
    members = (await caller.get(f"{path}/members")).body["members"]
    ann = next(m for m in members if m["name"] == "Ann")
    new = {"id": ann["id"], "name": "Anna", "email": "anna@example.test"}

    answer = await caller.put(f"{path}/members/{ann['id']}", new)

    assert answer.status == 200
    assert list(answer.body) == ["message"]
    assert new in (await caller.get(f"{path}/members")).body["members"]
    message = (await caller.get(f"{path}/messages")).body["messages"][0]
    assert message["from"] == new


async def test_the_names_of_two_members_can_be_swapped(caller: Any) -> None:
    path = await conversation(caller, "Ann: I begin.", "Bob: I go on.")
    members = (await caller.get(f"{path}/members")).body["members"]
    ann, bob = (member["id"] for member in members)

    for member, name in ((ann, "Bob"), (bob, "Ann")):
        answer = await caller.put(f"{path}/members/{member}", {"id": member, "name": name})
        assert answer.status == 200
    assert (await caller.get(f"{path}/members")).body["members"] == [
        {"id": ann, "name": "Bob"},
        {"id": bob, "name": "Ann"},
    ]
    # What is said later under a name is of the member who has it now.
    await caller.text("Ann: I ask.", "Bob: I answer.", into=path.rpartition("/")[2])
    await caller.server.until(lambda: not caller.server.unfinished)
    messages = (await caller.get(f"{path}/messages")).body["messages"]
    assert [(m["text"], m["from"]["id"], m["from"]["name"]) for m in messages] == [
        ("I begin.", ann, "Bob"),
        ("I go on.", bob, "Ann"),
        ("I ask.", bob, "Ann"),
        ("I answer.", ann, "Bob"),
    ]


async def test_what_is_said_later_under_the_old_name_is_of_the_renamed_member(caller: Any) -> None:
    path = await conversation(caller, "Speaker: I begin.")
    (member,) = (await caller.get(f"{path}/members")).body["members"]
    await caller.put(f"{path}/members/{member['id']}", {"id": member["id"], "name": "Ann"})
    await caller.text("Speaker: I go on.", into=path.rpartition("/")[2])
    await caller.server.until(lambda: not caller.server.unfinished)

    messages = (await caller.get(f"{path}/messages")).body["messages"]
    assert [m["from"]["name"] for m in messages] == ["Ann", "Ann"]
    assert len((await caller.get(f"{path}/members")).body["members"]) == 1


async def test_members_become_one_by_the_address_that_they_have_now(caller: Any) -> None:
    path = await conversation(caller, "Ann: I begin.", "Bob: I go on.")
    members = (await caller.get(f"{path}/members")).body["members"]
    ann, bob = (member["id"] for member in members)

    async def put(member: str, name: str, email: str) -> list[Any]:
        body = {"id": member, "name": name, "email": email}
        assert (await caller.put(f"{path}/members/{member}", body)).status == 200
        found: list[Any] = (await caller.get(f"{path}/members")).body["members"]
        return found

    await put(ann, "Ann", "first@example.test")
    await put(ann, "Ann", "ann@example.test")
    assert len(await put(bob, "Bob", "First@example.test")) == 2
    assert await put(bob, "Anna", "Ann@example.test") == [
        {"id": ann, "name": "Anna", "email": "Ann@example.test"}
    ]


async def test_a_member_that_is_renamed_without_an_address_keeps_it(caller: Any) -> None:
    said = {"payload": {"content": "Hi."}, "from": {"name": "Ann", "email": "ann@example.test"}}
    answer = await caller.request("POST", "/v1/process/text", json={"messages": [said]})
    await caller.server.until(lambda: not caller.server.unfinished)
    path = f"/v1/conversations/{answer.body['conversationId']}"
    (ann,) = (await caller.get(f"{path}/members")).body["members"]
    assert ann["email"] == "ann@example.test"

    for sent in ({"name": "Anna"}, {"name": "Anna", "email": None}):
        await caller.put(f"{path}/members/{ann['id']}", {"id": ann["id"], **sent})
        (member,) = (await caller.get(f"{path}/members")).body["members"]
        assert member == {**ann, "name": "Anna"}
    other = {"id": ann["id"], "name": "Anna", "email": "anna@example.test"}
    await caller.put(f"{path}/members/{ann['id']}", other)
    assert (await caller.get(f"{path}/members")).body["members"] == [other]


async def test_members_with_the_same_address_become_one(caller: Any) -> None:
    path = await conversation(caller)
    for member in (await caller.get(f"{path}/members")).body["members"]:
        sent = {"id": member["id"], "name": "Ann", "email": "ann@example.test"}
        assert (await caller.put(f"{path}/members/{member['id']}", sent)).status == 200

    (one,) = (await caller.get(f"{path}/members")).body["members"]
    messages = (await caller.get(f"{path}/messages")).body["messages"]
    assert [m["from"]["id"] for m in messages] == [one["id"]] * 2


async def test_a_wrong_member_is_refused(caller: Any) -> None:
    path = await conversation(caller)
    member = (await caller.get(f"{path}/members")).body["members"][0]["id"]

    for body in (
        {"id": member},
        {"id": "other", "name": "X"},
        {"id": member, "name": " "},
        {"id": member, "name": "X", "email": 1},
    ):
        assert (await caller.put(f"{path}/members/{member}", body)).status == 400
    assert (await caller.put(f"{path}/members/0", {"id": "0", "name": "X"})).status == 404


async def test_a_transcript_is_formatted(caller: Any) -> None:
    path = await conversation(caller, "Ann: Hello.", "Bob: Hi.")
    ask = {"contentType": "text/markdown", "showSpeakerSeparation": True}

    markdown = await caller.request("POST", f"{path}/transcript", json=ask)
    subtitles = await caller.request("POST", f"{path}/transcript", json={"contentType": "text/srt"})

    assert markdown.body == {
        "transcript": {
            "payload": "Ann: Hello.<br/><br/>Bob: Hi.",
            "contentType": "text/markdown",
        }
    }
    assert subtitles.body["transcript"]["contentType"] == "text/srt"
    assert subtitles.body["transcript"]["payload"].startswith("1\n00:00:00,000 --> ")


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"contentType":"text/plain"}'])
async def test_a_transcript_needs_its_form(caller: Any, body: bytes) -> None:
    path = await conversation(caller)

    assert (await caller.request("POST", f"{path}/transcript", data=body)).status == 400


async def test_redaction_masks_personal_data_and_says_that_it_is_partial(caller: Any) -> None:
    path = await conversation(caller, "Ann Lee: I am Ann, write to ann.lee@example.test.")

    plain = await caller.get(f"{path}/messages", redact="false", exclude="")
    masked = await caller.get(f"{path}/messages", redact="true", verbose="true", exclude="")
    named = await caller.get(f"{path}/messages", redact="true", exclude='["PERSON_NAME"]')

    assert "Ann" in plain.body["messages"][0]["text"]
    assert "X-Redaction" not in plain.headers
    (message,) = masked.body["messages"]
    assert message["text"] == "I am [PERSON_NAME], write to [EMAIL_ADDRESS]."
    assert not {"Ann", "ann.lee@example.test."} & {word["word"] for word in message["words"]}
    assert masked.headers["X-Redaction"] == "partial"
    assert named.body["messages"][0]["text"] == "I am Ann, write to [EMAIL_ADDRESS]."


@pytest.mark.parametrize("exclude", ["PERSON_NAME", '{"a":1}', "[1]"])
async def test_categories_to_keep_are_a_list(caller: Any, exclude: str) -> None:
    path = await conversation(caller)

    answer = await caller.get(f"{path}/messages", redact="true", exclude=exclude)

    assert answer.status == 400
    assert '"exclude"' in answer.body["message"]


async def test_a_summary_is_refreshed_or_linked_by_a_post(caller: Any) -> None:
    path = await conversation(caller, *LONG)
    summary = await caller.get(f"{path}/summary")

    refreshed = await caller.request("POST", f"{path}/summary", params={"refresh": "true"})
    empty = await caller.request("POST", f"{path}/summary", json={})
    page = await caller.request("POST", f"{path}/summary", json={"name": "verbose-text-summary"})

    assert refreshed.status == empty.status == page.status == 200
    assert refreshed.body == empty.body == summary.body
    assert page.body["name"] == "verbose-text-summary"
    assert page.body["url"].startswith("http")


async def test_a_slash_at_the_end_of_a_path_changes_nothing(caller: Any) -> None:
    path = await conversation(caller, "Ann: Hello.")

    plain, slashed = await caller.get(f"{path}/messages"), await caller.get(f"{path}/messages/")
    speakers = await caller.put(f"{path}/speakers/", {"speakerEvents": []})
    token = await caller.anonymous(
        "POST",
        "/oauth2/token:generate/",
        json={"type": "application", "appId": "app", "appSecret": "secret"},
    )

    assert slashed.status == 200
    assert slashed.body == plain.body
    # The base URL of some clients ends with a slash.
    assert (await caller.get(f"/{path}/messages", verbose="")).body == plain.body
    assert speakers.status != 404
    assert token.status == 200


async def test_a_summary_consists_of_messages(caller: Any) -> None:
    path = await conversation(caller, *LONG)

    summary = (await caller.get(f"{path}/summary")).body["summary"]

    messages = {m["id"]: m for m in (await caller.get(f"{path}/messages")).body["messages"]}
    assert 0 < len(summary) < len(LONG)
    for item in summary:
        (ref,) = item["messageRefs"]
        lines = messages[ref["id"]]
        assert {k: item[k] for k in ("text", "startTime", "endTime")} == {
            k: lines[k] for k in ("text", "startTime", "endTime")
        }


async def test_a_summary_stays_until_it_is_refreshed(caller: Any) -> None:
    path = await conversation(caller, *LONG, enableSummary=True)
    identity = path.rpartition("/")[2]
    first = (await caller.get(f"{path}/summary")).body
    await caller.text(*(line.replace("rocket", "jet") for line in LONG), into=identity)
    await caller.server.until(lambda: not caller.server.unfinished)

    # enableSummary was set: the appended messages are added to the summary.
    grown = (await caller.get(f"{path}/summary")).body
    assert grown["summary"][: len(first["summary"])] == first["summary"]
    assert len(grown["summary"]) > len(first["summary"])
    assert (await caller.get(f"{path}/summary", refresh="false")).body == grown
    anew = (await caller.get(f"{path}/summary", refresh="true")).body
    assert (await caller.get(f"{path}/summary")).body == anew


async def test_a_summary_made_on_request_does_not_grow_by_itself(caller: Any) -> None:
    path = await conversation(caller, *LONG)
    first = (await caller.get(f"{path}/summary")).body
    await caller.text(*LONG, into=path.rpartition("/")[2])
    await caller.server.until(lambda: not caller.server.unfinished)

    assert (await caller.get(f"{path}/summary")).body == first
    grown = (await caller.get(f"{path}/summary", refresh="false")).body
    assert len(grown["summary"]) > len(first["summary"])


async def test_there_is_no_summary_while_a_job_runs(caller: Any) -> None:
    path = await conversation(caller, *LONG)
    caller.server.hold_jobs()
    await caller.text("More.", into=path.rpartition("/")[2])

    answer = await caller.get(f"{path}/summary")

    assert answer.status == 404
    assert list(answer.body) == ["message"]
    caller.server.release()
    await caller.server.until(lambda: not caller.server.unfinished)
    assert (await caller.get(f"{path}/summary")).status == 200


async def test_a_placeholder_message_has_no_summary_and_no_intents(start: Any) -> None:
    caller = await start(probe_media=False)
    identity = (await caller.audio(b"ID3" + bytes(64))).body["conversationId"]
    await caller.server.until(lambda: not caller.server.unfinished)

    for part in ("summary", "intents"):
        assert (await caller.get(f"/v1/conversations/{identity}/{part}")).body == {part: []}


async def test_topics_have_parents_on_request_and_those_are_the_abstract_ones(caller: Any) -> None:
    path = await conversation(
        caller,
        "Ann: The pension plan is cheap.",
        "Bob: Every plan has a price.",
        "Ann: That plan is a burden.",
        "Bob: The pension plan is the best.",
    )

    topics = (await caller.get(f"{path}/topics", parentRefs="true")).body["topics"]
    abstract = (await caller.get(f"{path}/abstract-topics")).body["abstractTopics"]

    by_text = {topic["text"]: topic for topic in topics}
    assert by_text["pension plan"]["parentRefs"] == [{"type": "topic", "text": "plan"}]
    assert by_text["plan"]["parentRefs"] == []
    assert [topic["text"] for topic in abstract] == ["plan"]
    assert abstract[0]["type"] == "abstract_topic"
    assert abstract[0]["messageIds"] == by_text["plan"]["messageIds"]


async def test_a_plain_intent_is_found(caller: Any) -> None:
    path = await conversation(caller, "Ann: Hello.", "Bob: Please stop calling me.")

    (intent,) = (await caller.get(f"{path}/intents")).body["intents"]

    messages = (await caller.get(f"{path}/messages")).body["messages"]
    assert intent["intent"] == "do_not_call"
    assert intent["text"] == messages[1]["text"]
    assert intent["messageIds"] == [messages[1]["id"]]


async def test_a_call_is_never_scored_but_its_status_is_reported(caller: Any) -> None:
    caller.server.hold_jobs()
    answer = await caller.text("Hi.", features={"featureList": ["insights", "callScore"]})
    path = f"/v1/conversations/{answer.body['conversationId']}"

    status = (await caller.get(f"{path}/callscore/status")).body
    assert status["jobId"] == answer.body["jobId"]
    assert status["status"] in ("scheduled", "in_progress")
    assert (await caller.get(f"{path}/callscore")).status == 404
    caller.server.release()
    await caller.server.until(lambda: not caller.server.unfinished)

    assert (await caller.get(f"{path}/callscore/status")).body["status"] == "completed"
    assert (await caller.get(f"{path}/lm-insights/status")).body["status"] == "completed"
    scored = await caller.get(f"{path}/callscore")
    assert scored.status == 200
    assert "score" not in scored.body
    assert scored.body["criteria"] == []
    assert scored.body["summary"].startswith("[not scored")


async def test_a_score_that_was_not_requested_is_unknown(caller: Any) -> None:
    path = await conversation(caller)
    only_insights = await conversation(caller, features={"featureList": ["insights"]})

    for part in ("callscore", "callscore/status", "lm-insights/status"):
        assert (await caller.get(f"{path}/{part}")).status == 404
    assert (await caller.get(f"{only_insights}/callscore")).status == 404
    assert (await caller.get(f"{only_insights}/lm-insights/status")).status == 200


@pytest.mark.heavy
async def test_a_long_text_is_analysed_while_others_are_served(caller: Any) -> None:
    path = await conversation(caller, "I will see if 1,234,567 of them can you see. " * 4000)
    reading = asyncio.create_task(caller.get(f"{path}/insights"))
    served = 0
    while not reading.done():
        assert (await caller.get("/v1/manage/trackers")).status == 200
        served += 1
    assert (await reading).status == 200
    # On the event loop, the analysis would end before the second of them.
    assert served >= 5


async def test_a_text_without_a_full_stop_is_cut_into_messages(caller: Any) -> None:
    text = ("so we went on, and on " * 500).strip()
    path = await conversation(caller, text)
    got = await caller.get(f"{path}/messages")
    texts = [message["text"] for message in got.body["messages"]]
    assert " ".join(texts) == text
    assert max(map(len, texts)) <= 1000
    assert all(text.endswith(",") for text in texts[:-1])


@pytest.mark.parametrize(
    "body,shown",
    [
        ({"showSpeakerSeparation": "true"}, "Ann: I will send the report."),
        ({"createParagraphs": "TRUE"}, "I will send the report. It is long."),
        ({"phrases": {"highlightAllKeyPhrases": "true"}}, "I will <mark>send the report</mark>."),
        ({"contentType": "TEXT/Markdown"}, "I will send the report.<br/>"),
    ],
)
async def test_the_options_of_a_transcript_may_be_text(
    caller: Any, body: dict[str, Any], shown: str
) -> None:
    path = await conversation(caller, "Ann: I will send the report. It is long.")

    sent = {"contentType": "text/markdown", **body}
    answer = await caller.request("POST", f"{path}/transcript", json=sent)

    assert answer.body["transcript"]["payload"].startswith(shown)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"contentType": "text/html"},
        {"contentType": "text/srt", "createParagraphs": "yes"},
        {"contentType": "text/srt", "phrases": True},
        {"contentType": "text/markdown", "phrases": {"highlightAllKeyPhrases": 1}},
    ],
)
async def test_a_wrong_option_of_a_transcript_is_refused(caller: Any, body: dict[str, Any]) -> None:
    path = await conversation(caller)

    assert (await caller.request("POST", f"{path}/transcript", json=body)).status == 400


async def test_empty_parameters_of_a_read_count_as_absent(caller: Any) -> None:
    path = await conversation(caller)

    for call in ("messages?verbose=&sentiment=&redact=", "topics?parentRefs=", "summary?refresh="):
        assert (await caller.get(f"{path}/{call}")).status == 200
    assert (await caller.get(f"{path}/messages?verbose=true&verbose=false")).status == 400


async def test_each_reference_of_an_entity_points_to_its_words(caller: Any) -> None:
    path = await conversation(
        caller,
        "It starts next week.",
        "It starts on Monday, and Monday is soon.",
        detectEntities=True,
    )

    entities = (await caller.get(f"{path}/entities")).body["entities"]
    found = {entity["text"]: entity for entity in entities}
    assert found["next week"]["type"] == found["Monday"]["type"] == "date"
    assert len(found["Monday"]["messageRefs"]) == 2
    for text, entity in found.items():
        assert all(ref["text"][ref["offset"] :].startswith(text) for ref in entity["messageRefs"])


async def test_a_person_who_has_not_spoken_can_be_the_assignee(caller: Any) -> None:
    path = await conversation(caller, "Ann: Maria will draft the contract for Bob.", "Bob: Good.")

    (item,) = (await caller.get(f"{path}/action-items")).body["actionItems"]
    assert item["assignee"] == {"name": "Maria"}
    assert [e["value"] for e in item["entities"]] == [{"name": "Bob"}]
    path = await conversation(caller, "Ann: Bob will draft the contract.", "Bob: Good.")
    (item,) = (await caller.get(f"{path}/action-items")).body["actionItems"]
    assert item["assignee"]["name"] == "Bob"
    assert [e["value"] for e in item["entities"]] == [{"name": "Bob", "assignee": True}]


LONG_NAME = "x" * 501


@pytest.mark.parametrize(
    "method,path,body,named",
    [
        (
            "POST",
            "/v1/process/text",
            {"messages": [{"payload": {"content": "a"}, "from": {"name": LONG_NAME}}]},
            "messages[0].from.name",
        ),
        (
            "POST",
            "/v1/process/text",
            {"messages": [{"payload": {"content": "a"}}], "name": LONG_NAME},
            "name",
        ),
        (
            "POST",
            "/v1/process/audio/url",
            {
                "url": "http://127.0.0.1/a.wav",
                "channelMetadata": [{"channel": 1, "speaker": {"name": LONG_NAME}}],
            },
            "channelMetadata",
        ),
        ("PUT", "{one}/members/{member}", {"id": "{member}", "name": LONG_NAME}, "name"),
        (
            "PUT",
            "{one}/speakers",
            {
                "speakerEvents": [
                    {"type": "started_speaking", "user": {"name": LONG_NAME}, "offset": {}}
                ]
            },
            "speakerEvents[0].user",
        ),
        ("PUT", "{one}", {"metadata": {LONG_NAME: "a"}}, "metadata."),
        ("PUT", "{one}", {"metadata": {f"k{n}": "a" for n in range(201)}}, "metadata"),
        (
            "POST",
            "{one}/bookmarks",
            {
                "label": "a",
                "description": "b",
                "user": {"name": LONG_NAME},
                "beginTimeOffset": 0,
                "duration": 1,
            },
            "user",
        ),
    ],
)
async def test_a_name_that_each_answer_would_repeat_is_short(
    caller: Any, method: str, path: str, body: Any, named: str
) -> None:
    one = await conversation(caller)
    member = (await caller.get(f"{one}/members")).body["members"][0]["id"]
    if "id" in body:
        body = {**body, "id": member}

    answer = await caller.request(method, path.format(one=one, member=member), json=body)

    assert answer.status == 400
    assert answer.body["message"].startswith(f'"{named}')
    assert len(answer.body["message"]) < 400


@pytest.mark.heavy
async def test_a_long_answer_takes_a_fraction_of_the_memory_of_its_bytes(
    caller: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_json, "_BLOCK", 64 * 1024)
    lines = [f"Ann: {'word ' * 99}{number}." for number in range(150)]
    path = await conversation(caller, *lines)
    url = f"{caller.server.base_url}{path}/messages"
    headers = {"Authorization": f"Bearer {caller.token}"}
    size = 0
    await caller.get(f"{path}/messages")
    tracemalloc.start()
    try:
        async with caller._session.get(url, params={"verbose": "true"}, headers=headers) as answer:
            async for piece in answer.content.iter_any():
                size += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert size > 2_000_000
    # A block, its pieces on their way to the socket, and what the caller reads.
    assert peak < size / 2


@pytest.mark.heavy
async def test_a_long_answer_is_the_same_in_every_form_of_http(caller: Any) -> None:
    lines = [f"Ann: {'word ' * 99}{number}." for number in range(100)]
    path = await conversation(caller, *lines) + "/messages?verbose=true&redact=true"
    got = await caller.get(path)
    url = urlsplit(caller.server.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = f"{path} HTTP/1.{{}}\r\nHost: x\r\nAuthorization: Bearer {caller.token}\r\n\r\n"

    writer.write(f"HEAD {head.format(1)}GET {head.format(0)}".encode())
    answers = [await reader.readuntil(b"\r\n\r\n") for _ in range(2)]
    body = await reader.read()
    writer.close()

    assert got.headers["Transfer-Encoding"] == "chunked"
    assert len(got.body["messages"]) == len(lines)
    assert json.loads(body) == got.body
    for answer in answers:
        assert b" 200 OK" in answer
        assert b"X-Redaction: partial" in answer
        assert b"Access-Control-Allow-Origin: *" in answer


@pytest.mark.parametrize("call", ["summary", "speakers"])
async def test_what_looks_at_all_messages_keeps_no_other_caller_waiting(
    caller: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = await conversation(caller, *LONG)
    threads = []

    def record(*_: object, **__: object) -> list[Any]:
        threads.append(threading.current_thread())
        return []

    module = "symbl_aio.server.conversations"
    monkeypatch.setattr(f"{module}.conversation.choose_summary", record)
    monkeypatch.setattr(f"{module}.handlers.apply_speaker_events", record)
    if call == "summary":
        await caller.get(f"{path}/summary", refresh="true")
    else:
        await caller.put(f"{path}/speakers", {"speakerEvents": []})

    assert threads
    assert threading.main_thread() not in threads
