"""What an account keeps: from the making to the end on a real server, and one change at a time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from symbl_aio import (
    Config,
    ConfigurationError,
    Credentials,
    DecodeError,
    EntityDraft,
    GroupDraft,
    NotFoundError,
    Patch,
    ServerError,
    SymblClient,
    Text,
    TextOptions,
    Tracker,
    TrackerDraft,
    TrackerRef,
)
from symbl_aio.testing import LocalSymbl
from tests.host import Host, open_host
from tests.support import QUICK

TERMS = ["running late", "not on time", "delayed", "behind schedule", "too late"]
NEWER: dict[str, Any] = {"tracker_paths": "2024"}


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with open_host() as running:
        yield running


async def test_a_tracker_lives_on_the_paths_of_2022(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        made = await symbl.trackers.create(Tracker("Delay", TERMS))
        assert (made.name, made.vocabulary) == ("Delay", tuple(TERMS))
        assert made.id
        (other,) = await symbl.trackers.create_many([Tracker("Praise", [*TERMS[:4], "well done"])])
        assert await symbl.trackers.get(made.id) == made
        assert {tracker.name for tracker in await symbl.trackers.list()} == {"Delay", "Praise"}
        assert list(await symbl.trackers.by_name("Delay")) == [made]
        assert list(await symbl.trackers.by_name("delay")) == []
        changed = await symbl.trackers.update(made.id, Tracker("Late", [*TERMS, "tardy"]))
        assert "tardy" in changed.vocabulary

        options = TextOptions(trackers=[TrackerRef(made.id)])
        conversation = await symbl.process(Text("The ferry is tardy."), options)
        assert [tracker.name for tracker in await conversation.trackers()] == ["Late"]

        await symbl.trackers.delete(made.id)
        with pytest.raises(NotFoundError):
            await symbl.trackers.get(made.id)
        assert [tracker.id for tracker in await symbl.trackers.list()] == [other.id]


async def test_a_tracker_lives_on_the_paths_of_2024():
    settings = QUICK | NEWER
    async with LocalSymbl() as server, server.client(**settings) as symbl:
        draft = TrackerDraft(
            "Delay", TERMS, description="Lateness", categories=["Service"], languages=["en"]
        )
        made = await symbl.trackers.create(draft)
        assert (made.description, made.categories) == ("Lateness", ("Service",))
        assert made.id
        (other,) = await symbl.trackers.create_many(
            [TrackerDraft("Praise", TERMS, categories=["Service"], languages=["en"])]
        )
        assert other.id != made.id
        changed = await symbl.trackers.patch(
            made.id,
            [Patch("replace", "/name", "Late"), Patch("add", "/vocabulary", ["tardy"])],
        )
        assert changed.name == "Late"
        assert "tardy" in changed.vocabulary
        assert (await symbl.trackers.get(made.id)).name == "Late"
        await symbl.trackers.delete(made.id)
        assert [tracker.id for tracker in await symbl.trackers.list()] == [other.id]


async def test_a_group_lives(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        draft = GroupDraft("Pier 4", "conversation.metadata.pier==4", "All of pier 4")
        made = await symbl.groups.create(draft)
        assert (made.name, made.criteria) == (draft.name, draft.criteria)
        assert made.id
        await symbl.groups.create_many(
            [GroupDraft("Pier 5", "conversation.metadata.pier==5", "All of pier 5")]
        )
        await symbl.groups.update(
            made.id, GroupDraft("Pier 6", "conversation.metadata.pier==6", "All of pier 6")
        )
        assert (await symbl.groups.get(made.id)).name == "Pier 6"
        assert {group.name for group in await symbl.groups.list()} == {"Pier 5", "Pier 6"}
        await symbl.groups.delete(made.id)
        with pytest.raises(NotFoundError):
            await symbl.groups.get(made.id)


async def test_an_entity_lives(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        made = await symbl.entities.create(EntityDraft("vessel", "ferry", ["Night boat"]))
        assert made.values == ("Night boat",)
        assert made.id
        await symbl.entities.create_many(
            [EntityDraft("vessel", "tug", ["Lotta"]), EntityDraft("crew", "pilot", ["Omar"])]
        )
        changed = await symbl.entities.update(made.id, EntityDraft("vessel", "ferry", ["Day boat"]))
        assert changed.values == ("Day boat",)
        assert (await symbl.entities.get(made.id)).sub_type == "ferry"
        await symbl.entities.delete(made.id)
        await symbl.entities.delete_sub_type("pilot")
        assert [entity.sub_type for entity in await symbl.entities.list()] == ["tug"]


async def test_settings_are_read_and_changed(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        await symbl.settings.patch([Patch("replace", "/intelligence/bookmarks/duration", 90)])
        settings: Any = await symbl.settings.get()
        assert settings["intelligence"]["bookmarks"]["duration"] == 90


@pytest.mark.parametrize(
    "config,change,remedy",
    [
        (NEWER, lambda s: s.trackers.update("77", Tracker("a", ["b"])), "use patch"),
        ({}, lambda s: s.trackers.patch("77", [Patch("remove", "/name")]), "use update"),
        ({}, lambda s: s.entities.delete_sub_type(""), "sub_type"),
        ({}, lambda s: s.trackers.get("a/b"), "id"),
        ({}, lambda s: s.groups.create_many([]), "groups"),
    ],
)
async def test_what_would_go_wrong_is_refused_before_it_is_sent(host: Host, config, change, remedy):
    async with host.client(**config) as symbl:
        with pytest.raises(ConfigurationError, match=remedy):
            await change(symbl)
    assert host.asked == []


async def test_settings_that_are_no_object_are_no_settings(host: Host):
    host.says(["a"])
    async with host.client() as symbl:
        with pytest.raises(DecodeError):
            await symbl.settings.get()


CHANGES: list[tuple[str, Any, Any, int]] = [
    ("create", lambda s: s.trackers.create(Tracker("a", ["b"])), {"tracker": {"id": "1"}}, 1),
    ("create many", lambda s: s.groups.create_many([GroupDraft("a", "b")]), [{"id": "1"}], 1),
    ("patch", lambda s: s.settings.patch([Patch("remove", "/a")]), {"a": 1}, 1),
    ("update", lambda s: s.groups.update("7", GroupDraft("a", "b")), {"id": "1"}, 2),
    ("delete", lambda s: s.entities.delete("7"), {}, 2),
    ("read", lambda s: s.trackers.list(), [], 2),
]


@pytest.mark.parametrize("name,change,answer,attempts", CHANGES, ids=[row[0] for row in CHANGES])
async def test_only_what_would_be_made_twice_is_not_repeated(
    host: Host, name, change, answer, attempts
):
    host.says((500, {"message": "oh"}), answer)
    async with host.client() as symbl:
        if attempts == 1:
            with pytest.raises(ServerError):
                await change(symbl)
        else:
            await change(symbl)
        assert len(host.asked) == attempts
        # Refused for want of room, so surely nothing was made.
        host.asked.clear()
        host.says((429, {"message": "one at a time"}), answer)
        await change(symbl)
        assert len(host.asked) == 2


async def test_changes_of_one_client_wait_for_each_other_and_reads_do_not():
    under_way = 0
    most = 0
    asked = asyncio.Event()
    go_on = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        nonlocal under_way, most
        if request.path == "/oauth2/token:generate":
            return web.json_response({"accessToken": "a-token", "expiresIn": 3600})
        if request.method == "GET":
            return web.json_response({"groups": []})
        under_way += 1
        most = max(most, under_way)
        asked.set()
        await go_on.wait()
        under_way -= 1
        return web.json_response({"id": "1"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with SymblClient(Credentials("a", "s"), config=Config(base_url=origin)) as symbl:
        changes = [
            asyncio.ensure_future(symbl.trackers.create(Tracker("a", ["b"]))),
            asyncio.ensure_future(symbl.groups.create(GroupDraft("a", "b"))),
            asyncio.ensure_future(symbl.entities.delete("1")),
        ]
        await asked.wait()
        assert len(await symbl.groups.list()) == 0
        go_on.set()
        await asyncio.gather(*changes)
    await runner.cleanup()
    assert most == 1
