"""Calls: what is sent, the outcome of a start that may have been accepted, and one stop."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import pytest
from aiohttp import web

from symbl_aio import (
    AmbiguousSubmissionError,
    BadRequestError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    Pstn,
    Recognition,
    Retries,
    Sip,
    SpeakerEvent,
    StillAmbiguousError,
    SummaryEmail,
    TransportError,
    User,
)
from tests.live.peer import TOKEN, Cutter, Peer, started


async def test_a_number_is_called_and_the_call_has_its_conversation(peer: Peer):
    async with peer.client() as symbl:
        call = await symbl.telephony.start(
            Pstn("+14155550123", dtmf=",,12#"),
            session_name="Monday",
            actions=[SummaryEmail(["ines@example.com"])],
            language="en-US",
            timezone="Europe/Paris",
            insight_types=["question"],
        )
        assert (call.id, call.conversation.id) == ("c-1", "51")
    assert peer.posts == [
        (
            "/v1/endpoint:connect",
            {
                "operation": "start",
                "endpoint": {"type": "pstn", "phoneNumber": "14155550123", "dtmf": ",,12#"},
                "actions": [
                    {
                        "invokeOn": "stop",
                        "name": "sendSummaryEmail",
                        "parameters": {"emails": ["ines@example.com"]},
                    }
                ],
                "data": {"session": {"name": "Monday"}},
                "languages": ["en-US"],
                "timezone": "Europe/Paris",
                "insightTypes": ["question"],
            },
        )
    ]


async def test_empty_lists_of_a_call_are_none(peer: Peer):
    async with peer.client() as symbl:
        await symbl.telephony.start(Pstn("14155550123"), actions=[], insight_types=[])
    assert peer.posts[0][1]["actions"] == []
    assert "insightTypes" not in peer.posts[0][1]


async def test_a_sip_address_is_called_with_its_audio(peer: Peer):
    async with peer.client() as symbl:
        await symbl.telephony.start(
            Sip("sip:8021@example.com", encoding="OPUS", sample_rate=48000, sample_size=16)
        )
    assert peer.posts[0][1]["endpoint"] == {
        "type": "sip",
        "uri": "sip:8021@example.com",
        "audioConfig": {"sampleRate": 48000, "encoding": "OPUS", "sampleSize": 16},
    }


async def test_extra_parameters_of_a_call_go_beside_the_others_at_every_depth(peer: Peer):
    zone = {"timeZone": {"name": "Asia/Tokyo"}}
    async with peer.client() as symbl:
        await symbl.telephony.start(
            Sip("sip:8021@example.com"),
            session_name="Monday",
            extra={
                "endpoint": {"transportConfig": ["tls"]},
                "data": {"session": {"location": zone}},
                "pushSpeakerEvents": True,
            },
        )
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"operation": "stop"}, "operation"),
            ({"data": {"session": {"name": "A"}}}, "'name'] has an argument of its own"),
        ]
        for extra, words in wrong:
            with pytest.raises(ConfigurationError, match=re.escape(words)):
                await symbl.telephony.start(
                    Sip("sip:8021@example.com"), session_name="Monday", extra=extra
                )
    ((_, body),) = peer.posts
    assert body["endpoint"] == {
        "type": "sip",
        "uri": "sip:8021@example.com",
        "transportConfig": ["tls"],
    }
    assert body["data"] == {"session": {"name": "Monday", "location": zone}}
    assert body["pushSpeakerEvents"] is True


async def test_a_call_is_stopped_once_by_however_many_tasks(peer: Peer):
    async def answer(path: str, body: Any) -> web.StreamResponse:
        answered = started("c-1", "51")
        if body["operation"] == "stop":
            user = {"id": "1", "name": "Ines", "userId": "i@example.com", "role": "organizer"}
            answered["summaryInfo"] = [{"user": user, "url": "https://example.com/#/token"}]
        return web.json_response(answered)

    peer.on_post = answer
    async with peer.client() as symbl:
        call = await symbl.telephony.start(Pstn("14155550123"))
        ends = await asyncio.gather(*(call.stop() for _ in range(4)))
        assert await call.stop() is ends[0]
        assert ends[0].conversation_id == "51"
        (link,) = ends[0].summary_info
        assert (link.user.name, link.url) == ("Ines", "https://example.com/#/token")
        assert "token" not in repr(ends[0])
    assert [body["operation"] for _, body in peer.posts] == ["start", "stop"]
    assert peer.posts[1][1] == {"operation": "stop", "connectionId": "c-1"}


@pytest.mark.parametrize("ending", ["drop", "502", "no ids"])
async def test_a_start_that_may_have_been_accepted_is_ambiguous_and_not_repeated(
    peer: Peer, ending: str
):
    async def answer(path: str, body: Any) -> web.StreamResponse:
        if ending == "no ids":
            return web.json_response({"connectionId": "c-1"})
        if ending == "502":
            return web.Response(status=502)
        raise asyncio.CancelledError  # aiohttp drops the connection

    peer.on_post = answer
    async with peer.client() as symbl:
        with pytest.raises(AmbiguousSubmissionError) as caught:
            await symbl.telephony.start(Pstn("14155550123"))
        assert caught.value.sent in ("maybe", "yes")
        with pytest.raises(StillAmbiguousError):
            await caught.value.reconcile()
    assert len(peer.posts) == 1


async def test_a_start_that_was_surely_refused_is_tried_again_or_raised(peer: Peer):
    answers = [503, 401, 200]

    async def answer(path: str, body: Any) -> web.StreamResponse:
        status = answers.pop(0)
        if status == 503:
            return web.Response(status=503, headers={"Retry-After": "0"})
        if status != 200:
            return web.json_response({"message": "no"}, status=status)
        return web.json_response(started("c-2", "52"))

    peer.on_post = answer
    async with peer.client() as symbl:
        assert (await symbl.telephony.start(Pstn("14155550123"))).id == "c-2"
        answers[:] = [400]
        with pytest.raises(BadRequestError):
            await symbl.telephony.start(Pstn("14155550123"))


async def test_a_stop_whose_answer_is_lost_is_not_sent_again(peer: Peer):
    async def answer(path: str, body: Any) -> web.StreamResponse:
        raise asyncio.CancelledError

    async with peer.client() as symbl:
        call = symbl.telephony.call("c-5", "55")
        peer.on_post = answer
        for _ in range(2):
            with pytest.raises(TransportError):
                await call.stop()
    assert len(peer.posts) == 1


async def test_a_stop_that_certainly_did_nothing_can_be_sent_again(peer: Peer):
    answers = [403, 200]

    async def answer(path: str, body: Any) -> web.StreamResponse:
        status = answers.pop(0)
        return web.json_response(started("c-5", "55"), status=status)

    peer.on_post = answer
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    async with peer.client(port, credentials=TOKEN, retries=Retries(attempts=1)) as symbl:
        call = symbl.telephony.call("c-5", "55")
        with pytest.raises(TransportError, match="refused"):
            await call.stop()
        # The server is there again.
        server = await asyncio.start_server(Cutter(peer.port).connected, "127.0.0.1", port)
        async with server:
            with pytest.raises(PermissionDeniedError):
                await call.stop()
            assert (await call.stop()).conversation_id == "55"
            await call.stop()
    assert answers == []


async def test_an_unknown_call_cannot_be_stopped(peer: Peer):
    async def answer(path: str, body: Any) -> web.StreamResponse:
        return web.json_response({"message": "unknown"}, status=404)

    peer.on_post = answer
    async with peer.client() as symbl:
        with pytest.raises(NotFoundError):
            await symbl.telephony.call("c-5").stop()


async def test_speakers_of_a_call_are_reported_to_this_host(peer: Peer):
    ines = User(name="Ines", user_id="i@example.com")
    async with peer.client() as symbl:
        call = await symbl.telephony.start(Pstn("14155550123"))
        await call.push(SpeakerEvent("joined", ines))
        await call.push(SpeakerEvent("started_speaking", ines, 2.5))
    (_, joined), (_, speaking) = peer.posts[1:]
    assert peer.posts[1][0] == "/v1/event/c-1"
    assert joined["type"] == "joined"
    assert joined["topic"] == "speaker"
    assert joined["user"] == {"name": "Ines", "userId": "i@example.com"}
    assert joined["timestamp"] < speaking["timestamp"]
    assert speaking["timestamp"].endswith("Z")


async def test_the_events_of_a_call_are_those_of_its_own_address(peer: Peer):
    async def subscribed(session):
        await session.send({"type": "transcript_response", "payload": {"content": "Hello"}})
        await session.send({"type": "intent_response", "intent": "greeting"})
        await session.send({"type": "conversation_completed", "conversationId": "51"})

    peer.on_subscribe = subscribed
    async with peer.client() as symbl:
        call = await symbl.telephony.start(Pstn("14155550123"))
        async with call.events() as events:
            found = [event async for event in events]
    assert isinstance(found[0], Recognition)
    assert found[0].text == "Hello"
    assert [event.kind for event in found] == ["recognition", "unknown", "state"]
    assert peer.subscribers[0].path == "/session/subscribe/c-1"


def test_wrong_arguments_name_the_field():
    for make, words in [
        (lambda: Pstn("+1 415"), "digits"),
        (lambda: Pstn("00441632960123"), "without 00"),
        (lambda: Sip("sip:a@example.com", sample_rate=0), "sample_rate"),
        (lambda: Sip("sip:a@example.com", sample_size=-16), "sample_size"),
        (lambda: Sip("124@example.com"), "sip:"),
        (lambda: Sip("sip:1@x", encoding="MP3"), "PCMU"),  # type: ignore[arg-type]
        (lambda: SummaryEmail([]), None),
        (lambda: SummaryEmail(["a@b"], "later"), "start"),  # type: ignore[arg-type]
    ]:
        if words is None:
            continue
        with pytest.raises(ConfigurationError, match=words):
            make()
