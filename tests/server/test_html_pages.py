from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from symbl_aio.server.conversations.conversation import Conversation, Settings
from symbl_aio.server.language.analysis_values import Speaker, Utterance
from symbl_aio.server.report_content import content_of
from tests.support import Clock

NAMES = {
    "verbose-text-summary": {},
    "video-summary": {"videoUrl": "https://media.example.test/a.mp4"},
    "audio-summary": {"audioUrl": "https://media.example.test/a.mp3"},
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def caller(start: Any, clock: Clock) -> Any:
    return await start(clock=clock, token_life=10**9)


async def conversation(caller: Any, *lines: str, **fields: Any) -> str:
    answer = await caller.text(*(lines or ("Ann: I will send it tomorrow.",)), **fields)
    await caller.server.until(lambda: not caller.server.unfinished)
    return f"/v1/conversations/{answer.body['conversationId']}"


async def link(caller: Any, path: str, **fields: Any) -> str:
    body = {"name": "verbose-text-summary", **fields}
    answer = await caller.request("POST", f"{path}/experiences", json=body)
    assert answer.status == 200
    url: str = answer.body["url"]
    assert url.startswith(caller.server.base_url)
    return url.removeprefix(caller.server.base_url)


@pytest.mark.parametrize("name", NAMES)
async def test_a_link_opens_the_transcript_without_a_token(caller: Any, name: str) -> None:
    path = await conversation(caller)

    answer = await caller.request(
        "POST",
        f"{path}/experiences",
        json={
            "name": name,
            **NAMES[name],
            "logo": "https://example.test/logo.png",
            "color": {"background": "#000000"},
            "font": {"family": "roboto"},
            "readOnly": True,
            "summaryURLExpiresIn": "0",
            "speakerAvatarURLs": {},
        },
    )
    assert answer.status == 200
    assert answer.body["name"] == name
    page = await caller.anonymous("GET", answer.body["url"].removeprefix(caller.server.base_url))

    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert ">Ann</bdi>" in page.body
    assert ">I will send it tomorrow.</span>" in page.body
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"


async def test_message_text_is_escaped(caller: Any) -> None:
    path = await conversation(caller, "<script>alert(1)</script>", name="<b>A & B</b>")
    await caller.put(f"{path}/experiences/url", {"url": 'https://example.test/"><script>'})

    page = await caller.anonymous("GET", await link(caller, path))

    assert "<script>" not in page.body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.body
    assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in page.body


@pytest.mark.parametrize("forged", ["/pages/{id}/0/0", "/pages/{id}/0/\u00e4", "/pages/x"])
async def test_a_link_cannot_be_guessed(caller: Any, forged: str) -> None:
    path = await conversation(caller)
    identity = path.rpartition("/")[2]

    page = await caller.anonymous("GET", forged.format(id=identity))

    assert page.status in (401, 404)
    assert "tomorrow" not in str(page.body)


async def test_a_link_is_for_one_conversation_and_one_time(caller: Any) -> None:
    mine, other = await conversation(caller), await conversation(caller, "Bob: Secret.")
    good = await link(caller, mine)
    _, pages, identity, expires, signature = good.split("/")

    for parts in (
        (other.rpartition("/")[2], expires, signature),
        (identity, str(int(expires) + 1), signature),
        (identity, "0", signature),
    ):
        assert (await caller.anonymous("GET", f"/{pages}/" + "/".join(parts))).status == 404


async def test_a_link_expires_at_the_requested_time(caller: Any, clock: Clock) -> None:
    path = await conversation(caller)
    short, usual, lasting = (
        await link(caller, path, summaryURLExpiresIn=60),
        await link(caller, path),
        await link(caller, path, summaryURLExpiresIn=0),
    )

    async def statuses() -> list[int]:
        return [(await caller.anonymous("GET", one)).status for one in (short, usual, lasting)]

    assert await statuses() == [200, 200, 200]
    clock.now += 60
    assert await statuses() == [410, 200, 200]
    clock.now += 30 * 86400
    assert await statuses() == [410, 410, 200]


async def test_the_page_of_a_deleted_conversation_is_gone(caller: Any) -> None:
    path = await conversation(caller)
    url = await link(caller, path)
    await caller.request("DELETE", path)

    assert (await caller.anonymous("GET", url)).status == 404


@pytest.mark.parametrize(
    "body,field",
    [
        ({}, "name"),
        ({"name": "summary"}, "name"),
        ({"name": "video-summary"}, "videoUrl"),
        ({"name": "audio-summary", "audioUrl": "file:///etc/passwd"}, "audioUrl"),
        ({"name": "verbose-text-summary", "color": "red"}, "color"),
        ({"name": "verbose-text-summary", "readOnly": "yes"}, "readOnly"),
        ({"name": "verbose-text-summary", "summaryURLExpiresIn": -1}, "summaryURLExpiresIn"),
        ({"name": "verbose-text-summary", "summaryURLExpiresIn": True}, "summaryURLExpiresIn"),
    ],
)
async def test_a_wrong_field_is_refused_by_its_name(caller: Any, body: Any, field: str) -> None:
    path = await conversation(caller)

    answer = await caller.request("POST", f"{path}/experiences", json=body)

    assert answer.status == 400
    assert f'"{field}"' in answer.body["message"]


async def test_insights_have_a_page_for_each_conversation_and_one_for_all(caller: Any) -> None:
    path = await conversation(caller, name="Standup")
    details = "/v1/conversations/experiences/insights/details/"

    one = await caller.get(details + path.rpartition("/")[2], includeCallScore="true")
    every = await caller.get("/v1/conversations/experiences/insights/list")

    page = await caller.anonymous("GET", one.body["url"].removeprefix(caller.server.base_url))
    assert "I will send it tomorrow." in page.body
    index = await caller.anonymous("GET", every.body["url"].removeprefix(caller.server.base_url))
    assert "Standup" in index.body
    assert (await caller.get(details + "1")).status == 404


async def test_the_url_of_the_recording_can_be_set(caller: Any) -> None:
    path = await conversation(caller)
    url = "https://media.example.test/a.mp3"

    answer = await caller.put(f"{path}/experiences/url", {"url": url})

    assert answer.status == 200
    page = await caller.anonymous("GET", await link(caller, path))
    assert f'src="{url}"' in page.body
    assert f"media-src {url};" in page.headers["Content-Security-Policy"]
    for wrong in ({}, {"url": "javascript:alert(1)"}, {"url": 1}):
        assert (await caller.put(f"{path}/experiences/url", wrong)).status == 400


async def test_the_page_plays_the_recording_that_the_link_was_made_with(caller: Any) -> None:
    path = await conversation(caller)
    url = "https://media.example.test/a.mp4"

    page = await caller.anonymous(
        "GET", await link(caller, path, name="video-summary", videoUrl=url)
    )

    assert '<video controls aria-label="Recording of' in page.body
    assert f'src="{url}"' in page.body


async def test_the_policy_of_a_page_allows_no_other_host_and_no_frame(caller: Any) -> None:
    page = await caller.anonymous("GET", await link(caller, await conversation(caller)))

    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "media-src" not in policy
    assert "http" not in policy


async def test_a_speaker_is_renamed_through_the_link(caller: Any) -> None:
    path = await conversation(caller, "Ann: I will send it.", "Bob: Thanks.")
    url = await link(caller, path)
    (member, *_) = (await caller.get(f"{path}/members")).body["members"]
    page = await caller.anonymous("GET", url)
    (base,) = re.findall(r' data-rename="([^"]+)"', page.body)
    members = url.rpartition("/")[0] + f"/{base}"

    answer = await caller.anonymous("PUT", f"{members}/{member['id']}", json={"name": " Anna "})

    assert (answer.status, answer.body) == (200, {"name": "Anna"})
    assert ">Anna</bdi>" in (await caller.anonymous("GET", url)).body
    messages = (await caller.get(f"{path}/messages")).body["messages"]
    assert [message["from"]["name"] for message in messages] == ["Anna", "Bob"]
    for wrong in ({}, {"name": " "}, {"name": 1}, {"name": "x" * 201}):
        answer = await caller.anonymous("PUT", f"{members}/{member['id']}", json=wrong)
        assert answer.status == 400
    answer = await caller.anonymous("PUT", f"{members}/9", json={"name": "Anna"})
    assert answer.status == 404


async def test_nothing_is_changed_through_a_link_that_is_read_only_forged_or_over(
    caller: Any, clock: Clock
) -> None:
    path = await conversation(caller)
    (member,) = (await caller.get(f"{path}/members")).body["members"]
    read_only = await link(caller, path, readOnly=True)
    short = await link(caller, path, summaryURLExpiresIn=1)
    clock.now += 1

    assert "data-rename" not in (await caller.anonymous("GET", read_only)).body
    _, pages, identity, expires, signature = read_only.split("/")
    writable = f"/{pages}/{identity}/{expires.rstrip('r')}/{signature}"
    for url, status in ((read_only, 403), (writable, 404), (short, 410)):
        target = f"{url}/members/{member['id']}"
        answer = await caller.anonymous("PUT", target, json={"name": "Eve"})
        assert answer.status == status
    (after,) = (await caller.get(f"{path}/members")).body["members"]
    assert after == member


async def test_a_long_conversation_is_shown_whole_with_its_summary(caller: Any) -> None:
    lines = [f"Ann: The plan {n} for the new library is important to us all." for n in range(600)]
    path = await conversation(caller, *lines)

    page = await caller.anonymous("GET", await link(caller, path))

    assert page.body.count('class="sentence"') == 600
    summary = (await caller.get(f"{path}/summary")).body["summary"]
    assert summary
    assert all(f">{item['text']}</a>" in page.body for item in summary)


async def test_a_recording_whose_url_is_none_leaves_the_page_without_a_player(caller: Any) -> None:
    path = await conversation(caller)
    await caller.put(f"{path}/experiences/url", {"url": "http://[::1/a.mp3"})

    page = await caller.anonymous("GET", await link(caller, path))

    assert page.status == 200
    assert "<audio" not in page.body


def test_the_sentences_of_a_page_are_in_the_order_of_their_times() -> None:
    ann, bob = Speaker("a", "Ann"), Speaker("b", "Bob")
    conversation = Conversation("1", "1", datetime(2026, 1, 1, tzinfo=UTC))
    later = Utterance("I will send the report tomorrow.", ann, 60.0, 62.0)
    earlier = Utterance("We begin.", bob, 0.0, 1.0)
    conversation.publish((later, earlier), 62.0, Settings())

    content = content_of(conversation)
    assert [(s.text, s.speaker) for s in content.sentences] == [
        (earlier.text, 0),
        (later.text, 1),
    ]
    assert [speaker.name for speaker in content.speakers] == ["Bob", "Ann"]
    assert [found.sentences for found in content.action_items] == [(1,)]
