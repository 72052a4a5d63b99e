"""The addresses of the live API, and who may open them. Order and content of the frames."""

from __future__ import annotations

import json
import logging
from typing import Any

import aiohttp
import pytest

from symbl_aio.server import LocalServer, ServerLimits
from tests.server.live.conftest import LiveCaller, StartLive
from tests.support import Clock

TALK = "Ann: Can you send me the budget report by Friday?\nBob: I am not interested."


async def test_a_stream_is_heard_in_the_documented_order(live: LiveCaller) -> None:
    live.server.register_transcript(TALK, stream="meeting")
    speaker = await live.speak()
    await speaker.start(
        speaker={"name": "Zoe", "peerId": "p1"},
        insightTypes=["question", "action_item"],
        trackers=[{"name": "Money", "vocabulary": ["budget"]}],
        config={"sentiment": True, "detectEntities": True},
    )
    await speaker.hear(5.2)
    await speaker.stop()

    assert await speaker.closed() == 1000
    kinds = [kind for kind in speaker.kinds() if kind != "recognition_result"]
    assert kinds == [
        "conversation_created",
        "started_listening",
        "recognition_started",
        "message_response",
        "insight_response",
        "topic_response",
        "tracker_response",
        "entity_response",
        "message_response",
        "conversation_completed",
    ]


async def test_the_frames_have_the_fields_that_clients_read(live: LiveCaller) -> None:
    live.server.register_transcript("Can you send me the budget?", stream="meeting")
    speaker = await live.speak()
    conversation = await speaker.start(
        speaker={"name": "Zoe", "userId": "zoe@example.com", "peerId": "p1"},
        insightTypes=["question", "action_item"],
        trackers=[{"name": "Money", "vocabulary": ["budget"]}],
        config={"sentiment": True},
    )
    await speaker.hear(1.0)
    await speaker.until("recognition_result", isFinal=False)
    await speaker.hear(1.4)
    completed = await speaker.stop()

    assert completed["conversationId"] == completed["data"]["conversationId"] == conversation
    assert completed["summaryUrl"].startswith(f"{live.server.base_url}/pages/{conversation}/")
    interim, final = (
        [f for f in speaker.of("recognition_result") if f["isFinal"] is wanted]
        for wanted in (False, True)
    )
    assert interim
    (words,) = final
    assert words["punctuated"] == {"transcript": "Can you send me the budget?"}
    (alternative,) = words["payload"]["raw"]["alternatives"]
    first = alternative["words"][0]
    assert (first["word"], first["startTime"]) == ("Can", {"seconds": "0", "nanos": "0"})
    assert {**words["user"], "id": None} == {
        "name": "Zoe", "userId": "zoe@example.com", "peerId": "p1", "id": None,
    }  # fmt: skip
    (message,) = speaker.of("message_response")[0]["messages"]
    assert message["from"]["id"] == words["user"]["id"]
    assert message["sentiment"]["suggested"] == "neutral"
    assert [w["word"] for w in json.loads(message["metadata"]["words"])][-1] == "budget?"
    (stored,) = await live.messages(conversation)
    assert (stored["id"], stored["text"]) == (message["id"], message["payload"]["content"])
    assert message["duration"] == {"startTime": stored["startTime"], "endTime": stored["endTime"]}
    insights = speaker.of("insight_response")[0]["insights"]
    assert {insight["type"] for insight in insights} == {"question", "action_item"}
    assert {insight["messageReference"]["id"] for insight in insights} == {message["id"]}
    (tracker,) = speaker.of("tracker_response")[0]["trackers"]
    assert tracker["matches"][0]["messageRefs"][0]["offset"] == 20
    assert [frame["sequenceNumber"] for frame in speaker.of("message_response")] == [0]


async def test_only_the_wanted_types_of_insights_are_sent(live: LiveCaller) -> None:
    live.server.register_transcript(TALK, stream="meeting")
    speaker = await live.speak()
    conversation = await speaker.start(insightTypes=["topic"])
    await speaker.stop()

    assert "insight_response" not in speaker.kinds()
    answer = await live.caller.get(f"/v1/conversations/{conversation}/questions")
    assert len(answer.body["questions"]) == 1


@pytest.mark.parametrize("path", ["/v1/streaming/", "/v1/realtime/insights/", "/v1/streaming/a/"])
@pytest.mark.parametrize("identity", ["meeting", "YW5uQGV4YW1wbGUuY29t==", "a+b/c=?source=js_sdk"])
async def test_an_id_is_any_text(live: LiveCaller, path: str, identity: str) -> None:
    speaker = await live.connect(path + identity)
    await speaker.start()
    assert live.server.live == 1
    await speaker.stop()

    assert await speaker.closed() == 1000
    assert live.server.live == 0


@pytest.mark.parametrize("path", ["/v1/subscribe/", "/session/subscribe/", "/subscribe/"])
async def test_a_listener_gets_every_frame_from_when_it_joins(live: LiveCaller, path: str) -> None:
    live.server.register_transcript(TALK, stream="meeting", paced=False)
    listener = await live.connect(path + "meeting")
    speaker = await live.speak()
    await speaker.start()
    await speaker.stop()

    assert await listener.closed() == 1000
    assert listener.texts() == speaker.texts()
    assert listener.kinds()[-1] == "conversation_completed"


@pytest.mark.parametrize("place", ["query", "x-api-key", "Authorization", "protocol"])
async def test_a_token_may_be_in_any_of_four_places(live: LiveCaller, place: str) -> None:
    token = await live.token()
    places: dict[str, dict[str, Any]] = {
        "query": {"params": {"access_token": token}},
        "x-api-key": {"headers": {"x-api-key": token}},
        "Authorization": {"headers": {"Authorization": f"Bearer {token}"}},
        "protocol": {"protocols": [token]},
    }

    speaker = await live.connect("/v1/streaming/meeting", **places[place])

    # A client that has offered a protocol refuses an answer without one.
    assert speaker.ws.protocol == (token if place == "protocol" else None)
    await speaker.start()


async def test_an_offered_protocol_that_is_no_token_is_echoed_too(live: LiveCaller) -> None:
    params = {"access_token": await live.token()}

    speaker = await live.connect("/v1/streaming/meeting", params=params, protocols=["null"])

    assert speaker.ws.protocol == "null"


@pytest.mark.parametrize("path", ["/v1/streaming/a", "/v1/subscribe/a", "/session/subscribe/a"])
@pytest.mark.parametrize(
    "options",
    [
        {"params": {"access_token": "wrong"}},
        {"headers": {"x-api-key": "wrong"}},
        {"protocols": ["wrong"]},
        {"headers": {"Origin": "https://example.com"}},
    ],
)
async def test_a_wrong_token_is_refused_before_the_upgrade(
    live: LiveCaller, caplog: pytest.LogCaptureFixture, path: str, options: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await live.connect(path, **options)

    assert raised.value.status == 401
    assert "wrong" not in caplog.text


async def test_a_token_in_the_query_is_for_sockets_only(live: LiveCaller) -> None:
    token = await live.token()

    answer = await live.caller.anonymous("GET", "/v1/conversations", params={"access_token": token})

    assert answer.status == 401


async def test_a_plain_request_is_no_handshake(live: LiveCaller) -> None:
    assert (await live.caller.get("/v1/streaming/meeting")).status == 400


async def test_there_is_a_limit_on_sockets(live_of: StartLive) -> None:
    live = await live_of(limits=ServerLimits(live_sockets=2))
    speaker, listener = await live.speak(), await live.subscribe()
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await live.subscribe()

    assert raised.value.status == 429
    await listener.ws.close()
    await live.server.until(lambda: len(live.server._accounts[0].live.sockets) == 1)
    await live.subscribe()
    await speaker.start()


async def test_applications_share_no_connection_ids() -> None:
    from symbl_aio.server import Hosting
    from tests.server.conftest import Caller

    hosting = Hosting(apps={"app": "secret", "other": "secret"})
    async with LocalServer(hosting=hosting) as server:
        live = LiveCaller(Caller(server))
        got = await live.caller.anonymous(
            "POST",
            "/oauth2/token:generate",
            json={"type": "application", "appId": "other", "appSecret": "secret"},
        )
        headers = {"x-api-key": got.body["accessToken"]}
        other = await live.connect("/v1/subscribe/meeting", headers=headers)
        listener, speaker = await live.subscribe(), await live.speak()
        await speaker.start()
        await speaker.stop()
        assert await listener.closed() == 1000
        await other.send(type="anything")
        await other.ws.send_str("__PING__")

        assert (await other.ws.receive(timeout=30)).data == "__PONG__"
        await live.aclose()
        await live.caller.aclose()


async def test_closing_the_server_closes_every_socket() -> None:
    from tests.server.conftest import Caller

    async with LocalServer() as server:
        live = LiveCaller(Caller(server))
        speaker, listener = await live.speak(), await live.subscribe()
        await speaker.start()
        await server.aclose()

        assert await speaker.closed() == 1001
        assert await listener.closed() == 1001
        await live.aclose()
        await live.caller.aclose()


async def test_an_open_socket_outlives_its_token_and_a_new_one_needs_another(
    live_of: StartLive,
) -> None:
    clock = Clock()
    live = await live_of(token_life=1000, clock=clock)
    live.server.register_transcript("Can you send me the budget?", stream="meeting")
    speaker = await live.speak()
    conversation = await speaker.start(noConnectionTimeout=60)
    clock.now += 1000
    await speaker.hear(2)
    await speaker.until("recognition_result")
    speaker.ws._response.close()

    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await live.speak()
    assert refused.value.status == 401
    live.caller.token = None
    speaker = await live.speak()
    assert await speaker.start(noConnectionTimeout=60) == conversation
    await speaker.stop()
