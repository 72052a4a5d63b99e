from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from symbl_aio.server import ServerLimits
from symbl_aio.server.live.session import LiveSession
from tests.server.conftest import Answer
from tests.server.live.conftest import LiveCaller, StartLive

TALK = "Ann: Can you send me the report?\nI am not interested."
PSTN = {"type": "pstn", "phoneNumber": "15551234567"}


async def connect(live: LiveCaller, operation: str = "start", **fields: Any) -> Answer:
    body = {"operation": operation, **fields}
    return await live.caller.request("POST", "/v1/endpoint:connect", json=body)


@pytest.mark.parametrize(
    ("registered", "endpoint"),
    [
        ("+1 (555) 123-4567", PSTN),
        ("15551234567", {"type": "pstn", "phoneNumber": "+15551234567", "dtmf": ",,12#"}),
        ("sip:8021@example.com", {"type": "sip", "uri": "sip:8021@Example.com"}),
    ],
)
async def test_a_call_plays_the_transcript_of_its_number(
    live: LiveCaller, registered: str, endpoint: dict[str, Any]
) -> None:
    live.server.register_transcript(TALK, number=registered, paced=False)
    started = await connect(live, endpoint=endpoint, data={"session": {"name": "Sales"}})
    assert started.status == 200
    identity = started.body["connectionId"]
    listener = await live.connect(f"/session/subscribe/{identity}")
    await listener.until("message_response", sequenceNumber=1)
    stopped = await connect(live, "stop", connectionId=identity)

    assert await listener.closed() == 1000
    assert stopped.status == 200
    assert listener.texts() == ["Can you send me the report?", "I am not interested."]
    assert [f["payload"]["content"] for f in listener.of("transcript_response")] == listener.texts()
    assert listener.of("insight_response")
    assert listener.kinds()[-1] == "conversation_completed"
    conversation = started.body["conversationId"]
    assert [m["text"] for m in await live.messages(conversation)] == listener.texts()
    answer = await live.caller.get(f"/v1/conversations/{conversation}")
    assert answer.body["name"] == "Sales"
    assert live.server.live == 0


async def test_the_answers_have_what_clients_need(live: LiveCaller) -> None:
    live.server.register_transcript(TALK, number="15551234567")
    emails = [{"name": "sendSummaryEmail", "parameters": {"emails": ["zoe@example.com"]}}]
    started = (await connect(live, endpoint=PSTN, actions=emails)).body
    identity = started["connectionId"]
    stopped = (await connect(live, "stop", connectionId=identity)).body

    assert started == {
        "eventUrl": f"{live.server.base_url}/v1/event/{identity}",
        "resultWebSocketUrl": f"{live.server.base_url.replace('http', 'ws')}/events/{identity}",
        "connectionId": identity,
        "conversationId": started["conversationId"],
    }
    summary = stopped.pop("summaryInfo")
    assert stopped == started
    assert [info["user"]["name"] for info in summary] == ["Ann", "zoe@example.com"]
    for info in summary:
        assert info["user"].keys() == {"id", "userId", "name", "role"}
    page = await live.caller.anonymous("GET", summary[0]["url"].removeprefix(live.server.base_url))
    assert page.status == 200


async def test_a_call_is_stopped_once(live: LiveCaller) -> None:
    identity = (await connect(live, endpoint=PSTN)).body["connectionId"]

    answers = [await connect(live, "stop", connectionId=identity) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 404]


@pytest.mark.parametrize("path", ["/session/subscribe/", "/events/"])
async def test_a_listener_of_a_call_that_was_stopped_gets_its_end(
    live: LiveCaller, path: str
) -> None:
    started = (await connect(live, endpoint=PSTN)).body
    await connect(live, "stop", connectionId=started["connectionId"])
    listener = await live.connect(path + started["connectionId"])

    assert await listener.closed() == 1000
    assert listener.kinds() == ["conversation_completed"]
    assert listener.seen[0]["conversationId"] == started["conversationId"]


async def test_a_paced_call_goes_on_with_the_clock(live: LiveCaller) -> None:
    live.server.register_transcript("One two.\n" + "word " * 500, number="15551234567")
    identity = (await connect(live, endpoint=PSTN)).body["connectionId"]
    listener = await live.connect(f"/session/subscribe/{identity}")
    message = await listener.until("message_response")

    assert message["messages"][0]["payload"]["content"] == "One two."
    assert len(listener.of("message_response")) == 1


async def test_a_call_without_a_transcript_is_silent_and_shows_it(live: LiveCaller) -> None:
    started = await connect(live, endpoint=PSTN)
    listener = await live.connect(f"/session/subscribe/{started.body['connectionId']}")
    silent = await listener.until("call_silent")

    assert "15551234567" in silent["details"]
    await connect(live, "stop", connectionId=started.body["connectionId"])
    assert await listener.closed() == 1000
    assert await live.messages(started.body["conversationId"]) == []


async def test_a_recording_needs_recognition(live: LiveCaller) -> None:
    live.server.register_recording("call.wav", number="*")
    started = await connect(live, endpoint=PSTN)
    listener = await live.connect(f"/session/subscribe/{started.body['connectionId']}")

    assert "recognises no speech" in (await listener.until("call_silent"))["details"]


@pytest.mark.parametrize("way", ["post", "socket"])
async def test_a_speaker_event_names_who_speaks(live: LiveCaller, way: str) -> None:
    live.server.register_transcript("Hello.", number="15551234567", paced=False)
    started = (await connect(live, endpoint=PSTN)).body
    identity = started["connectionId"]
    user = {"userId": "bob@example.com", "name": "Bob"}
    event = {"topic": "speaker", "type": "started_speaking", "user": user}
    if way == "post":
        answer = await live.caller.request("POST", f"/v1/event/{identity}", json=event)
        assert answer.status == 200
        await live.connect(f"/session/subscribe/{identity}")
    else:
        socket = await live.connect(f"/events/{identity}?source=js_sdk")
        # The first listener starts the call; the event came before its first word, or after it.
        await socket.ws.send_str(json.dumps(event))
        await socket.ws.send_str("__PING__")
        while (await socket.ws.receive(timeout=30)).data != "__PONG__":
            pass
    await connect(live, "stop", connectionId=identity)

    members = await live.caller.get(f"/v1/conversations/{started['conversationId']}/members")
    assert [member["name"] for member in members.body["members"]] == ["Bob"]
    if way == "post":
        (message,) = await live.messages(started["conversationId"])
        assert message["from"]["name"] == "Bob"


async def test_intents_are_sent_where_they_were_asked_for(live: LiveCaller) -> None:
    live.server.register_transcript(TALK, number="15551234567", paced=False)
    for intents in ([], [{"intent": "not_interested"}]):
        started = await connect(live, endpoint=PSTN, intents=intents)
        listener = await live.connect(f"/session/subscribe/{started.body['connectionId']}")
        await connect(live, "stop", connectionId=started.body["connectionId"])
        await listener.closed()

        found = [frame["intent"]["intent"] for frame in listener.of("intent_response")]
        assert found == [item["intent"] for item in intents]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"operation": "pause"}, '"operation"'),
        ({}, '"endpoint"'),
        ({"endpoint": {"type": "pstn"}}, "phoneNumber"),
        ({"endpoint": {"type": "pstn", "phoneNumber": "abc"}}, "phoneNumber"),
        ({"endpoint": {"type": "sip", "uri": "http://example.com"}}, "sip:"),
        ({"endpoint": PSTN, "timezone": "Moon/Base"}, '"timezone"'),
    ],
)
async def test_a_wrong_call_is_refused_by_name(
    live: LiveCaller, fields: dict[str, Any], words: str
) -> None:
    answer = await connect(live, **{"operation": "start", **fields})

    assert answer.status == 400
    assert words in answer.body["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"actions": {}, "data": {}, "timezone": {}, "endpoint": {**PSTN, "dtmf": None}},
        {"languages": ["en-US"], "pushSpeakerEvents": True, "timezone": "Asia/Tokyo"},
        {
            "languages": [{"code": "en-US"}],
            "data": {"session": {"location": {"timeZone": {"name": "UTC"}}, "user": None}},
        },
        {
            "endpoint": {
                "type": "sip", "uri": "sip:555@example.com", "providerName": "x",
                "transportConfig": {}, "audioConfig": {"sampleRate": 16000, "sampleSize": "16"},
            }
        },
    ],
)  # fmt: skip
async def test_the_bodies_of_the_vendors_clients_are_taken(
    live: LiveCaller, fields: dict[str, Any]
) -> None:
    assert (await connect(live, **{"endpoint": PSTN, **fields})).status == 200


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"type": "shouted", "user": {}}, 400),
        ({"type": "joined"}, 400),
        ({"type": "joined", "user": {"name": "Bob"}}, 404),
    ],
)
async def test_a_wrong_event_is_refused(
    live: LiveCaller, event: dict[str, Any], status: int
) -> None:
    answer = await live.caller.request("POST", "/v1/event/unknown", json=event)

    assert answer.status == status


@pytest.mark.parametrize("is_stored", [False, True])
async def test_there_is_a_limit_on_calls(
    live_of: StartLive, tmp_path: Path, is_stored: bool
) -> None:
    live = await live_of(
        limits=ServerLimits(live_sockets=2), **({"data": tmp_path} if is_stored else {})
    )
    answers = await asyncio.gather(*(connect(live, endpoint=PSTN) for _ in range(3)))

    assert sorted(answer.status for answer in answers) == [200, 200, 429]


async def test_a_call_that_cannot_begin_is_none(
    live: LiveCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = live.server._accounts[0].live
    start = sessions.start

    async def start_and_delete(*arguments: Any, **settings: Any) -> LiveSession:
        session = await start(*arguments, **settings)
        await live.caller.request("DELETE", f"/v1/conversations/{session.conversation_id}")
        return session

    monkeypatch.setattr(sessions, "start", start_and_delete)
    answer = await connect(live, endpoint=PSTN)

    assert answer.status == 404
    assert live.server.live == 0
