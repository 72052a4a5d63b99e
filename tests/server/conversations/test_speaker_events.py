from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.conversations.speaker_events import apply_speaker_events
from symbl_aio.server.http_json import JSON
from symbl_aio.server.language.analysis_values import Utterance


def event(kind: str, name: str, seconds: float, nanos: int = 0) -> dict[str, Any]:
    user = {"id": "x", "name": name, "email": f"{name}@example.test"}
    return {"type": kind, "user": user, "offset": {"seconds": seconds, "nanos": nanos}}


@pytest.fixture
async def path(caller: Any) -> str:
    messages = [
        {
            "payload": {"content": text},
            "duration": {
                "startTime": f"2026-01-01T00:00:{a:02d}Z",
                "endTime": f"2026-01-01T00:00:{b:02d}Z",
            },
        }
        for text, a, b in (("One.", 0, 4), ("Two.", 4, 8), ("Three.", 20, 24))
    ]
    answer = await caller.request("POST", "/v1/process/text", json={"messages": messages})
    await caller.server.until(lambda: not caller.server.unfinished)
    return f"/v1/conversations/{answer.body['conversationId']}"


async def test_messages_get_the_speaker_of_most_of_their_time(caller: Any, path: str) -> None:
    events = [
        event("started_speaking", "Ann", 0),
        event("stopped_speaking", "Ann", 0, 5_000_000_000),
        event("started_speaking", "Bob", 5),
        event("stopped_speaking", "Bob", 8),
        event("stopped_speaking", "Cy", 9),
    ]

    answer = await caller.put(f"{path}/speakers", {"speakerEvents": events})

    assert answer.status == 200
    assert list(answer.body) == ["message"]
    messages = (await caller.get(f"{path}/messages")).body["messages"]
    assert [m["from"].get("name") for m in messages] == ["Ann", "Bob", None]
    assert messages[0]["from"]["email"] == "Ann@example.test"


async def test_events_have_the_order_of_their_times(caller: Any, path: str) -> None:
    events = [
        event("started_speaking", "Ann", 0),
        event("started_speaking", "Ann", 20),
        event("stopped_speaking", "Ann", 24),
        event("stopped_speaking", "Ann", 4),
        event("stopped_speaking", "Bob", 8),
        event("started_speaking", "Bob", 4),
    ]
    await caller.put(f"{path}/speakers", {"speakerEvents": events})

    messages = (await caller.get(f"{path}/messages")).body["messages"]
    assert [m["from"].get("name") for m in messages] == ["Ann", "Bob", "Ann"]


async def test_the_id_of_a_member_names_it(caller: Any, path: str) -> None:
    def turn(user: dict[str, str], start: int, end: int) -> list[dict[str, Any]]:
        return [
            {"type": kind, "user": user, "offset": {"seconds": at, "nanos": 0}}
            for kind, at in (("started_speaking", start), ("stopped_speaking", end))
        ]

    events = turn({"id": "1", "name": "Ann"}, 0, 4) + turn({"id": "2", "name": "Bob"}, 4, 8)
    await caller.put(f"{path}/speakers", {"speakerEvents": events})
    members = (await caller.get(f"{path}/members")).body["members"]
    ann, bob = (member["id"] for member in members)
    # Of two namesakes the id alone says which one speaks.
    await caller.put(f"{path}/members/{bob}", {"id": bob, "name": "Ann"})
    events = turn({"id": bob, "name": "Ann"}, 0, 4) + turn({"id": ann}, 4, 8)
    assert (await caller.put(f"{path}/speakers", {"speakerEvents": events})).status == 200

    messages = (await caller.get(f"{path}/messages")).body["messages"]
    assert [m["from"].get("id") for m in messages] == [bob, ann, None]
    events = turn({"id": "unknown"}, 0, 4)
    assert (await caller.put(f"{path}/speakers", {"speakerEvents": events})).status == 400


async def test_a_speaker_without_a_stop_event_speaks_until_the_end(caller: Any, path: str) -> None:
    await caller.put(f"{path}/speakers", {"speakerEvents": [event("started_speaking", "Ann", 3)]})

    messages = (await caller.get(f"{path}/messages")).body["messages"]
    assert [m["from"].get("name") for m in messages] == ["Ann", "Ann", "Ann"]


async def test_many_turns_within_a_message_all_count(caller: Any, path: str) -> None:
    # Ann speaks half of the time, each of the others an eightieth of it.
    events = [event("started_speaking", "Ann", 0), event("stopped_speaking", "Ann", 2)]
    for n in range(40):
        events += [event("started_speaking", f"n{n}", 2 + n / 20)]
        events += [event("stopped_speaking", f"n{n}", 2 + (n + 1) / 20)]

    await caller.put(f"{path}/speakers", {"speakerEvents": events})

    messages = (await caller.get(f"{path}/messages")).body["messages"]
    assert messages[0]["from"]["name"] == "Ann"


@pytest.mark.heavy
def test_a_crowd_that_never_stops_costs_no_square() -> None:
    lines = [Utterance("Yes.", None, n + 0.0, n + 1.0) for n in range(20_000)]
    crowd: JSON = [event("started_speaking", f"n{n}", 0) for n in range(3_000)]
    long = Conversation("1", "1", datetime(2026, 1, 1, tzinfo=UTC), utterances=lines)
    began = time.thread_time()

    assert all(line.speaker is not None for line in apply_speaker_events(long, crowd))
    assert time.thread_time() - began < 3  # it was half a minute


@pytest.mark.parametrize(
    "events",
    [
        None,
        ["x"],
        [event("shouting", "Ann", 0)],
        [{"type": "started_speaking", "user": {"name": "Ann"}}],
        [{"type": "started_speaking", "user": {}, "offset": {}}],
        [event("started_speaking", "Ann", "soon")],  # type: ignore[arg-type]
    ],
)
async def test_invalid_events_are_refused(caller: Any, path: str, events: Any) -> None:
    assert (await caller.put(f"{path}/speakers", {"speakerEvents": events})).status == 400


async def test_a_refusal_leaves_no_member_behind(caller: Any, path: str) -> None:
    events = [event("started_speaking", "Ann", 0), event("shouting", "Ann", 1)]

    assert (await caller.put(f"{path}/speakers", {"speakerEvents": events})).status == 400
    assert (await caller.get(f"{path}/members")).body == {"members": []}
