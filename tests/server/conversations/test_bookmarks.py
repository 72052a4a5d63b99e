from __future__ import annotations

from typing import Any

import pytest

ANN = {"name": "Ann", "userId": "ann@example.test", "email": "ann@example.test"}
SAID = (
    "Ann: The fuel pump let the pressure drop.",
    "Bob: The rocket engine stopped because of the fuel pump.",
    "Ann: I will send the fuel pump report to the supplier tomorrow.",
    "Bob: Thank you.",
)


def bookmark(**place: Any) -> dict[str, Any]:
    return {"label": "Pump", "description": "What failed", "user": ANN, **place}


@pytest.fixture
async def path(caller: Any) -> str:
    answer = await caller.text(*SAID)
    await caller.server.until(lambda: not caller.server.unfinished)
    return f"/v1/conversations/{answer.body['conversationId']}"


@pytest.fixture
async def messages(caller: Any, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await caller.get(f"{path}/messages")).body["messages"]
    return found


async def post(caller: Any, path: str, body: Any) -> Any:
    return await caller.request("POST", path, json=body)


async def test_a_bookmark_on_a_time_has_the_messages_of_that_time(
    caller: Any, path: str, messages: Any
) -> None:
    created = await post(caller, f"{path}/bookmarks", bookmark(beginTimeOffset=0, duration=4))

    assert created.status == 201
    assert {k: created.body[k] for k in ("label", "description", "user")} == bookmark()
    assert (created.body["beginTimeOffset"], created.body["duration"]) == (0, 4)
    assert created.body["messageRefs"][0]["id"] == messages[0]["id"]
    assert created.body["messageRefs"][0]["text"] == messages[0]["text"]
    assert (await caller.get(f"{path}/bookmarks")).body == {"bookmarks": [created.body]}
    assert (await caller.get(f"{path}/bookmarks/{created.body['id']}")).body == created.body


async def test_a_bookmark_on_messages_has_their_time(caller: Any, path: str, messages: Any) -> None:
    refs = [{"id": message["id"]} for message in messages[1:3]]

    created = (await post(caller, f"{path}/bookmarks", bookmark(messageRefs=refs))).body

    assert [ref["id"] for ref in created["messageRefs"]] == [ref["id"] for ref in refs]
    assert created["beginTimeOffset"] <= messages[1]["timeOffset"]
    end = created["beginTimeOffset"] + created["duration"]
    assert end >= messages[2]["timeOffset"] + messages[2]["duration"]


async def test_many_are_created_at_once_or_none(caller: Any, path: str) -> None:
    good = [bookmark(beginTimeOffset=at, duration=1) for at in (0, 1)]

    refused = await post(caller, f"{path}/bookmarks/bulk", [*good, bookmark()])
    assert refused.status == 400
    assert (await caller.get(f"{path}/bookmarks")).body == {"bookmarks": []}

    created = await post(caller, f"{path}/bookmarks/bulk", good)
    assert created.status == 201
    assert (await caller.get(f"{path}/bookmarks")).body == created.body
    assert len({one["id"] for one in created.body["bookmarks"]}) == 2


async def test_a_replacement_erases_fields_that_are_not_sent(caller: Any, path: str) -> None:
    old = (await post(caller, f"{path}/bookmarks", bookmark(beginTimeOffset=0, duration=1))).body
    one = f"{path}/bookmarks/{old['id']}"

    new = await caller.put(one, {"label": "Other", "beginTimeOffset": 1, "duration": 2})

    assert new.status == 200
    assert new.body["id"] == old["id"]
    assert new.body["label"] == "Other"
    assert not new.body.keys() & {"description", "user"}
    assert (await caller.get(one)).body == new.body
    assert (await caller.put(one, {"label": "Other"})).status == 400


async def test_a_deleted_bookmark_is_gone_and_its_id_is_not_used_again(
    caller: Any, path: str
) -> None:
    body = bookmark(beginTimeOffset=0, duration=1)
    old = (await post(caller, f"{path}/bookmarks", body)).body["id"]

    answer = await caller.request("DELETE", f"{path}/bookmarks/{old}")

    assert answer.body == {"id": old, "type": "bookmark", "deleted": True}
    for method in ("GET", "PUT", "DELETE"):
        assert (await caller.request(method, f"{path}/bookmarks/{old}", json=body)).status == 404
    assert (await post(caller, f"{path}/bookmarks", body)).body["id"] != old


async def test_a_bookmark_is_summarised_by_sentences_inside_it(
    caller: Any, path: str, messages: Any
) -> None:
    refs = [{"id": message["id"]} for message in messages[:3]]
    long = (await post(caller, f"{path}/bookmarks", bookmark(messageRefs=refs))).body["id"]
    short = (await post(caller, f"{path}/bookmarks", bookmark(messageRefs=refs[:1]))).body["id"]

    summary = (await caller.get(f"{path}/bookmarks/{long}/summary")).body["summary"]

    assert {item["text"] for item in summary} <= {m["text"] for m in messages[:3]}
    assert summary[0]["bookmarkReference"] == {"id": long}
    assert (await caller.get(f"{path}/bookmarks/{short}/summary")).body == {"summary": []}
    assert (await caller.get(f"{path}/bookmarks-summary")).body == {
        "bookmarksSummary": [
            {"bookmarkId": long, "summary": summary},
            {"bookmarkId": short, "summary": []},
        ]
    }


@pytest.mark.parametrize(
    "change,field",
    [
        ({"label": None}, "label"),
        ({"label": " "}, "label"),
        ({"description": ""}, "description"),
        ({"user": None}, "user"),
        ({"user": {}}, "user"),
        ({"user": "Ann"}, "user"),
        ({"duration": None}, "duration"),
        ({"duration": 1.5}, "duration"),
        ({"beginTimeOffset": -1}, "beginTimeOffset"),
        ({"beginTimeOffset": True}, "beginTimeOffset"),
        ({"messageRefs": []}, "messageRefs"),
        ({"messageRefs": [{"id": "1"}], "beginTimeOffset": None, "duration": None}, "messageRefs"),
        ({"messageRefs": ["1"], "beginTimeOffset": None, "duration": None}, "messageRefs"),
    ],
)
async def test_a_wrong_bookmark_is_refused_by_the_name_of_its_field(
    caller: Any, path: str, change: Any, field: str
) -> None:
    answer = await post(
        caller, f"{path}/bookmarks", bookmark(beginTimeOffset=0, duration=1) | change
    )

    assert answer.status == 400
    assert f'"{field}"' in answer.body["message"]


async def test_messages_that_do_not_follow_one_another_are_refused(
    caller: Any, path: str, messages: Any
) -> None:
    refs = [{"id": messages[index]["id"]} for index in (0, 2)]

    assert (await post(caller, f"{path}/bookmarks", bookmark(messageRefs=refs))).status == 400


@pytest.mark.parametrize("body", [[], {}, "x", [1]])
async def test_many_must_be_a_list(caller: Any, path: str, body: Any) -> None:
    assert (await post(caller, f"{path}/bookmarks/bulk", body)).status == 400


async def test_a_list_of_bookmarks_has_an_end(caller: Any) -> None:
    answer = await caller.text(*["Ann: Yes."] * 1_100)
    await caller.server.until(lambda: not caller.server.unfinished)
    path = f"/v1/conversations/{answer.body['conversationId']}/bookmarks"
    all_of_it = bookmark(beginTimeOffset=0, duration=10**6)

    beginning = bookmark(beginTimeOffset=0, duration=1)

    made = await post(caller, f"{path}/bulk", [all_of_it, *[beginning] * 199])
    one_more = await post(caller, path, all_of_it)

    assert made.status == 201
    assert len(made.body["bookmarks"][0]["messageRefs"]) == 1000
    assert one_more.status == 400
    assert one_more.body["message"] == "A conversation has 200 bookmarks at most; delete some."
    long = beginning | {"description": "x" * 10_001}
    removed = f"{path}/{made.body['bookmarks'][0]['id']}"
    assert (await caller.request("DELETE", removed)).status == 200
    assert (await post(caller, path, long)).status == 400
