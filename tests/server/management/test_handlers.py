from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

PRICE = {"name": "Price", "vocabulary": ["how much", "too expensive"]}
GROUP = {
    "name": "Calls made by John",
    "description": "All of them.",
    "criteria": "conversation.metadata.agent==john",
}
CITY = {
    "type": "place",
    "subType": "city",
    "category": "Custom",
    "values": ["Pittsburgh", "New Haven"],
}


async def post(caller: Any, path: str, body: Any) -> Any:
    return await caller.request("POST", path, json=body)


async def patch(caller: Any, path: str, *operations: Any) -> Any:
    return await caller.request("PATCH", path, json=list(operations))


async def delete(caller: Any, path: str, **query: str) -> Any:
    return await caller.request("DELETE", path, params=query)


# Trackers


async def test_a_tracker_is_created_read_and_deleted(caller: Any) -> None:
    created = await post(caller, "/v1/manage/tracker", PRICE)

    assert created.status == 201
    tracker = created.body["tracker"]
    assert tracker == {**tracker, **PRICE}
    one = f"/v1/manage/tracker/{tracker['id']}"
    assert (await caller.get(one)).body == {"tracker": tracker}
    assert (await caller.get("/v1/manage/trackers")).body == {"trackers": [tracker]}

    gone = {"id": tracker["id"], "type": "tracker", "deleted": True}
    assert (await delete(caller, one)).body == gone
    assert (await caller.get(one)).status == 404
    assert (await delete(caller, one)).status == 404
    assert (await caller.put(one, PRICE)).status == 404


async def test_trackers_are_found_by_a_name_whose_case_counts(caller: Any) -> None:
    names = ("Price", "price", "Weather")
    sent = [{**PRICE, "name": name} for name in names]

    created = await post(caller, "/v1/manage/trackers", sent)

    assert created.status == 200
    assert [tracker["name"] for tracker in created.body["trackers"]] == list(names)
    found = (await caller.get("/v1/manage/trackers", name="price")).body["trackers"]
    assert found == [created.body["trackers"][1]]
    assert (await caller.get("/v1/manage/trackers", name="none")).body == {"trackers": []}


async def test_an_update_renames_and_adds_terms(caller: Any) -> None:
    old = (await post(caller, "/v1/manage/tracker", PRICE)).body["tracker"]
    one = f"/v1/manage/tracker/{old['id']}"

    answer = await caller.put(
        one, {"id": old["id"], "name": "Cost", "vocabulary": ["discount", "how much"]}
    )

    assert answer.status == 200
    assert answer.body["tracker"] == {
        **answer.body["tracker"],
        "id": old["id"],
        "name": "Cost",
        "vocabulary": ["discount", "how much", "too expensive"],
    }
    assert (await caller.get(one)).body == answer.body


async def test_an_existing_name_is_a_conflict_and_nothing_is_created(caller: Any) -> None:
    other = {**PRICE, "name": "Other"}
    await post(caller, "/v1/manage/tracker", PRICE)
    second = (await post(caller, "/v1/manage/tracker", other)).body["tracker"]["id"]

    assert (await post(caller, "/v1/manage/tracker", PRICE)).status == 409
    new = {**PRICE, "name": "New"}
    assert (await post(caller, "/v1/manage/trackers", [new, PRICE])).status == 409
    assert (await post(caller, "/v1/manage/trackers", [new, new])).status == 409
    assert (await caller.put(f"/v1/manage/tracker/{second}", PRICE)).status == 409
    assert (await caller.put(f"/v1/manage/tracker/{second}", other)).status == 200
    assert len((await caller.get("/v1/manage/trackers")).body["trackers"]) == 2


@pytest.mark.parametrize(
    "change,field",
    [
        ({"name": None}, "name"),
        ({"name": " "}, "name"),
        ({"vocabulary": None}, "vocabulary"),
        ({"vocabulary": []}, "vocabulary"),
        ({"vocabulary": "how much"}, "vocabulary"),
        ({"vocabulary": [1]}, "vocabulary"),
        ({"vocabulary": ["a", "a"]}, "vocabulary"),
        ({"vocabulary": ["who?"]}, "vocabulary[0]"),
        ({"vocabulary": [f"term {n}" for n in range(51)]}, "vocabulary"),
    ],
)
async def test_a_wrong_tracker_is_refused_by_its_field(
    caller: Any, change: Any, field: str
) -> None:
    for path, body in (
        ("/v1/manage/tracker", PRICE | change),
        ("/v1/manage/trackers", [{**PRICE, "name": "Good"}, PRICE | change]),
    ):
        answer = await post(caller, path, body)
        assert answer.status == 400
        assert f'"{field}"' in answer.body["message"]
    assert (await caller.get("/v1/manage/trackers")).body == {"trackers": []}


async def test_an_update_must_name_the_tracker_in_its_path(caller: Any) -> None:
    identity = (await post(caller, "/v1/manage/tracker", PRICE)).body["tracker"]["id"]

    assert (await caller.put(f"/v1/manage/tracker/{identity}", PRICE | {"id": "1"})).status == 400


async def test_an_account_has_500_trackers_at_most(caller: Any) -> None:
    many = [{**PRICE, "name": f"Tracker {n}"} for n in range(500)]
    assert (await post(caller, "/v1/manage/trackers", many)).status == 200

    answer = await post(caller, "/v1/manage/tracker", PRICE)

    assert answer.status == 400
    assert "500" in answer.body["message"]


@pytest.mark.parametrize("with_length", [True, False])
async def test_more_than_a_megabyte_is_too_large(caller: Any, with_length: bool) -> None:
    body = b'"' + b"x" * (1024 * 1024) + b'"'
    options = {"headers": {"Content-Type": "application/json"}}

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    data = body if with_length else pieces()
    answer = await caller.request("POST", "/v1/manage/tracker", data=data, **options)

    assert answer.status == 413


async def test_one_writing_call_runs_at_a_time(caller: Any) -> None:
    await caller.get("/v1/manage/trackers")
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        begun.set()
        await go_on.wait()
        yield b"}"

    first = asyncio.create_task(caller.request("POST", "/v1/manage/group", data=slow()))
    await begun.wait()
    while (second := await post(caller, "/v1/manage/tracker", PRICE)).status != 429:
        assert second.status in (201, 409)  # the first has not arrived yet
    assert list(second.body) == ["message"]
    assert (await caller.get("/v1/manage/trackers")).status == 200

    go_on.set()
    assert (await first).status == 400
    assert (await post(caller, "/v1/manage/group", GROUP)).status == 201


async def test_the_families_of_paths_have_the_same_trackers(caller: Any) -> None:
    older = await post(caller, "/v1/manage/tracker", PRICE)
    newer = await post(caller, "/v1/manage/trackers", PRICE | {"name": "Cost", "languages": ["en"]})
    several = await post(caller, "/v1/manage/trackers", [PRICE | {"name": "Fee"}])
    (first, second) = (answer.body["tracker"]["id"] for answer in (older, newer))

    assert (older.status, newer.status, several.status) == (201, 200, 200)
    shown = (await caller.get(f"/v1/manage/trackers/{first}")).body["tracker"]
    assert (shown["name"], shown["languages"]) == ("Price", [])
    assert (await caller.get(f"/v1/manage/tracker/{second}")).body == newer.body
    # An update by the older path keeps what only the newer one shows.
    more = {"name": "Cost", "vocabulary": ["dear"]}
    updated = (await caller.put(f"/v1/manage/tracker/{second}", more)).body["tracker"]
    assert updated["vocabulary"] == ["dear", *PRICE["vocabulary"]]
    assert updated["languages"] == ["en"]
    assert (await delete(caller, f"/v1/manage/trackers/{first}")).status == 200
    assert (await caller.get(f"/v1/manage/tracker/{first}")).status == 404


async def test_the_newer_family_has_more_fields_and_patches(caller: Any) -> None:
    created = await post(caller, "/v1/manage/trackers", PRICE | {"categories": ["Sales"]})
    assert created.status == 200
    tracker = created.body["tracker"]
    assert tracker["categories"] == ["Sales"]
    assert tracker["languages"] == tracker["excludeVocabulary"] == []
    assert tracker["createdOn"] == tracker["updatedOn"]
    more = [{**PRICE, "name": "More"}]
    assert len((await post(caller, "/v1/manage/trackers/bulk", more)).body["trackers"]) == 1

    one = f"/v1/manage/trackers/{tracker['id']}"
    changed = await patch(
        caller,
        one,
        {"op": "replace", "path": "/name", "value": "Cost"},
        {"op": "add", "path": "/vocabulary", "value": ["discount"]},
        {"op": "remove", "path": "/categories"},
    )

    assert changed.status == 200
    assert changed.body == await caller_body(caller, one)
    assert changed.body["tracker"]["name"] == "Cost"
    assert changed.body["tracker"]["vocabulary"] == ["discount"]
    assert changed.body["tracker"]["categories"] == []
    assert changed.body["tracker"]["createdOn"] == tracker["createdOn"]
    taken = {"op": "replace", "path": "/name", "value": "More"}
    assert (await patch(caller, one, taken)).status == 409
    wrong = {"op": "replace", "path": "/vocabulary", "value": "discount"}
    assert (await patch(caller, one, wrong)).status == 400
    number: Any = {"op": "replace", "path": "/description", "value": 1}
    assert (await patch(caller, one, number)).status == 400
    assert (await patch(caller, "/v1/manage/trackers/1", taken)).status == 404
    assert (await delete(caller, one)).body["deleted"] is True


async def caller_body(caller: Any, path: str) -> Any:
    return (await caller.get(path)).body


# Trackers of submissions


async def detected(caller: Any, answer: Any) -> list[Any]:
    assert answer.status == 201
    await caller.server.until(lambda: not caller.server.unfinished)
    path = f"/v1/conversations/{answer.body['conversationId']}/trackers-detected"
    found: list[Any] = (await caller.get(path)).body
    return found


async def test_a_stored_tracker_is_used_by_its_id(caller: Any) -> None:
    tracker = (await post(caller, "/v1/manage/tracker", PRICE)).body["tracker"]

    found = await detected(
        caller, await caller.text("So, how much is it?", trackers=[{"id": tracker["id"]}])
    )

    assert [(one["id"], one["name"]) for one in found] == [(tracker["id"], "Price")]
    assert found[0]["matches"][0]["value"] == "how much"


async def test_all_stored_trackers_are_used_on_request_only(caller: Any) -> None:
    await post(caller, "/v1/manage/tracker", PRICE)

    assert await detected(caller, await caller.text("How much is it?")) == []
    asked = await caller.text("How much is it?", enableAllTrackers=True)
    assert [one["name"] for one in await detected(caller, asked)] == ["Price"]


async def test_the_excluded_vocabulary_of_a_stored_tracker_is_not_detected(caller: Any) -> None:
    await post(caller, "/v1/manage/tracker", {**PRICE, "excludeVocabulary": ["how much"]})
    answer = await caller.text("How much is it?", enableAllTrackers=True)

    assert await detected(caller, answer) == []


async def test_a_tracker_deleted_later_stays_in_processed_results(caller: Any) -> None:
    tracker = (await post(caller, "/v1/manage/tracker", PRICE)).body["tracker"]
    answer = await caller.text("How much is it?", enableAllTrackers=True)
    before = await detected(caller, answer)
    await delete(caller, f"/v1/manage/tracker/{tracker['id']}")

    assert await detected(caller, answer) == before != []


async def test_an_unknown_tracker_is_refused_before_a_body_is_read(caller: Any) -> None:
    text = await caller.text("Hi.", trackers=[{"id": "1"}])
    video = await caller.video(trackers='[{"id":"1"}]')

    for answer in (text, video):
        assert answer.status == 400
        assert '"trackers"' in answer.body["message"]
    assert not caller.server.submissions[-1].complete


# Groups


async def test_a_group_is_created_read_updated_and_deleted(caller: Any) -> None:
    created = await post(caller, "/v1/manage/group", GROUP)
    assert created.status == 201
    group = created.body["group"]
    assert group == {"id": group["id"], **GROUP}
    one = f"/v1/manage/group/{group['id']}"
    assert (await caller.get(one)).body == {"group": group}

    new = {**group, "description": "Some of them."}
    assert (await caller.put(one, new)).body == {"group": new}
    assert (await caller.get("/v1/manage/groups")).body == {"groups": [new]}
    assert (await delete(caller, one)).body == {
        "id": group["id"],
        "type": "group",
        "deleted": True,
    }
    assert (await caller.get(one)).status == 404


async def test_many_groups_are_created_at_once(caller: Any) -> None:
    answer = await post(caller, "/v1/manage/groups", [GROUP, {**GROUP, "name": "Other"}])

    assert answer.status == 201
    assert [group["name"] for group in answer.body["groups"]] == [GROUP["name"], "Other"]


async def test_a_group_has_the_conversations_that_meet_its_criteria(caller: Any) -> None:
    criteria = "conversation.metadata.agent==john and conversation.metadata.customer==7"
    group = (await post(caller, "/v1/manage/group", {**GROUP, "criteria": criteria})).body
    path = f"/v1/groups/{group['group']['id']}/conversations"
    ids = []
    for agent, customer in (("john", "7"), ("john", "8"), ("jane", "7"), ("john", "7")):
        identity = (await caller.text("Hi.")).body["conversationId"]
        ids.append(identity)
        metadata = {"agent": agent, "customer": customer}
        await caller.put(f"/v1/conversations/{identity}", {"metadata": metadata})

    found = (await caller.get(path)).body["conversations"]
    page = (await caller.get(path, limit="1", offset="1")).body["conversations"]

    assert [c["id"] for c in found] == [ids[0], ids[3]]
    assert page == found[1:]
    assert (await caller.get(path, limit="x")).status == 400
    assert (await caller.get("/v1/groups/1/conversations")).status == 404


@pytest.mark.parametrize(
    "change,field",
    [
        ({"name": None}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "a/b"}, "name"),
        ({"description": "x" * 513}, "description"),
        ({"criteria": None}, "criteria"),
        ({"criteria": "agent"}, "criteria"),
        ({"criteria": "conversation.mood==good"}, "criteria"),
        (
            {
                "criteria": "conversation.metadata.a==1 and conversation.metadata.b==2 "
                "and conversation.metadata.c==3"
            },
            "criteria",
        ),
    ],
)
async def test_a_wrong_group_is_refused_by_its_field(caller: Any, change: Any, field: str) -> None:
    answer = await post(caller, "/v1/manage/group", GROUP | change)

    assert answer.status == 400
    assert f'"{field}"' in answer.body["message"]


# Entities and settings


@pytest.mark.parametrize("path", ["/v1/manage/entities", "/v1/manage/entity"])
async def test_an_entity_is_created_read_replaced_and_deleted(caller: Any, path: str) -> None:
    created = await post(caller, path, CITY)
    assert created.status == 201
    entity = created.body
    assert entity == {"id": entity["id"], **CITY}
    one = f"/v1/manage/entities/{entity['id']}"
    assert (await caller.get(one)).body == entity

    assert (await post(caller, path, CITY)).status == 409
    new = {**CITY, "values": ["Paris"]}
    other = f"/v1/manage/entity/{entity['id']}"
    assert (await caller.put(one, new)).body == {"entity": {"id": entity["id"], **new}}
    assert (await caller.put(other, new)).body == {"entity": {"id": entity["id"], **new}}
    assert (await caller.get(other)).body == {"id": entity["id"], **new}
    assert (await caller.get("/v1/manage/entities")).body == {
        "entities": [{"id": entity["id"], **new}]
    }
    assert (await delete(caller, one)).body["deleted"] is True
    assert (await caller.get(one)).status == 404


async def test_entities_are_deleted_by_their_subtype(caller: Any) -> None:
    many = [CITY, {**CITY, "type": "team"}, {**CITY, "subType": "country"}]
    assert (await post(caller, "/v1/manage/entities/bulk", many)).status == 201

    answer = await delete(caller, "/v1/manage/entities", subType="city")

    assert answer.status == 200
    (left,) = (await caller.get("/v1/manage/entities")).body["entities"]
    assert left["subType"] == "country"
    assert (await delete(caller, "/v1/manage/entities", subType="city")).status == 404
    assert (await delete(caller, "/v1/manage/entities")).status == 400


@pytest.mark.parametrize(
    "change,field",
    [
        ({"type": None}, "type"),
        ({"subType": ""}, "subType"),
        ({"category": "Managed"}, "category"),
        ({"values": []}, "values"),
        ({"values": [1]}, "values"),
    ],
)
async def test_a_wrong_entity_is_refused_by_its_field(caller: Any, change: Any, field: str) -> None:
    answer = await post(caller, "/v1/manage/entities", CITY | change)

    assert answer.status == 400
    assert f'"{field}"' in answer.body["message"]


async def test_stored_entities_are_found_when_entities_are_requested(caller: Any) -> None:
    await post(caller, "/v1/manage/entities", CITY)
    found = {}
    for asked in (True, False):
        answer = await caller.text("She moved to New Haven.", detectEntities=asked)
        await caller.server.until(lambda: not caller.server.unfinished)
        path = f"/v1/conversations/{answer.body['conversationId']}/entities"
        found[asked] = (await caller.get(path)).body["entities"]

    assert [(e["type"], e["customType"], e["text"]) for e in found[True]] == [
        ("custom", "city", "New Haven")
    ]
    assert found[False] == []


async def test_settings_are_kept(caller: Any) -> None:
    operation = {"op": "replace", "path": "/intelligence/bookmarks/duration", "value": 30}

    changed = await patch(caller, "/v1/manage/settings", operation)

    assert changed.status == 200
    assert changed.body["intelligence"]["bookmarks"] == {"duration": 30}
    assert (await caller.get("/v1/manage/settings")).body == changed.body
    assert (await caller.request("PATCH", "/v1/manage/settings", json={})).status == 400


@pytest.mark.parametrize("path", ["tracker", "trackers", "group", "groups", "entities"])
async def test_a_body_that_is_no_json_is_refused(caller: Any, path: str) -> None:
    assert (await caller.request("POST", f"/v1/manage/{path}", data=b"{")).status == 400
    assert (await post(caller, f"/v1/manage/{path}", "x")).status == 400


@pytest.mark.parametrize("status", [429, 502, 504])
async def test_an_update_can_fail_by_an_injected_fault(caller: Any, status: int) -> None:
    tracker = (await post(caller, "/v1/manage/trackers", PRICE)).body["tracker"]
    one = f"/v1/manage/trackers/{tracker['id']}"
    rename = {"op": "replace", "path": "/name", "value": "Cost"}
    caller.server.inject(f"status:{status}", on="PATCH")

    assert (await patch(caller, one, rename)).status == status
    assert (await patch(caller, one, rename)).status == 200


@pytest.mark.parametrize(
    "path,record",
    [
        ("tracker", {"vocabulary": ["a"], "description": "b" * 300_000}),
        ("group", {"criteria": f"conversation.name=={'b' * 100_000}"}),
        ("entities", {"type": "a", "values": [str(number) for number in range(5_000)]}),
    ],
)
async def test_the_records_of_an_account_have_a_limit_together(
    caller: Any, path: str, record: Any
) -> None:
    answers = [
        await post(caller, f"/v1/manage/{path}", record | {"name": f"n{n}", "subType": f"n{n}"})
        for n in range(4)
    ]
    statuses = [answer.status for answer in answers]

    assert statuses == [201, 201, 413, 413]
    assert "characters at most" in answers[2].body["message"]
    # What is replaced counts no more.
    if path == "entities":
        one = f"/v1/manage/entities/{answers[0].body['id']}"
        assert (await caller.put(one, record | {"subType": "n0"})).status == 200
