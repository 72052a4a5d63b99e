"""Values that a FastAPI route can return: models, pages, statistics, items, and lists of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from aiohttp import web
from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter, ValidationError

import symbl_aio
from symbl_aio import Everything, SymblClient, Text, models
from symbl_aio.contrib.aiohttp import CLIENT
from symbl_aio.contrib.aiohttp import Symbl as AiohttpSymbl
from symbl_aio.contrib.fastapi import Client, Symbl
from symbl_aio.durable import Item, OutboxStats
from symbl_aio.events import JobEvent, UploadProgress
from symbl_aio.models import ActionItem, Message, Page, as_json
from symbl_aio.models.base import Model
from symbl_aio.testing import LocalSymbl
from tests.contrib.site import get, listening, settings, uvicorn_serving
from tests.tables import table

WORDS = "I will write the report by Friday."


class Answer(BaseModel):
    found: Page[Message]
    first: Message | None = None


async def page_of(client: SymblClient) -> Page[Message]:
    return await (await client.process(Text(WORDS))).messages()


async def test_a_route_returns_what_the_library_gives_as_it_is(
    server: LocalSymbl, tmp_path: Path
) -> None:
    symbl = Symbl(**settings(server), durable=f"sqlite:///{tmp_path}/outbox.db")
    app = FastAPI(lifespan=symbl.lifespan)

    # Annotated, as FastAPI's documents show it: pydantic is asked when the route is made.
    @app.get("/page/annotated")
    async def page(client: Client) -> Page[Message]:
        return await page_of(client)

    @app.get("/one/annotated")
    async def one(client: Client) -> Message | None:
        return (await page_of(client))[0]

    @app.get("/list/annotated")
    async def many(client: Client) -> list[Message]:
        return list(await page_of(client))

    @app.get("/all/annotated")
    async def everything(client: Client) -> Everything:
        return await (await client.process(Text(WORDS))).everything()

    @app.get("/stats/annotated")
    async def stats(client: Client) -> symbl_aio.Stats:
        return client.stats()

    @app.get("/item/annotated")
    async def item() -> Item:
        return await symbl.outbox.submit(Text(WORDS), key="mine")

    # Within other values, whose annotations do not name it.
    @app.get("/page/within")
    async def within(client: Client) -> dict[str, object]:
        found = await page_of(client)
        return {"found": found, "first": found[0], "by": {"one": [found[0]]}}

    @app.get("/page/any")
    async def anything(client: Client) -> Any:
        return await page_of(client)

    # As a response model.
    @app.get("/page/model", response_model=Page[Message])
    async def as_model(client: Client):
        return await page_of(client)

    @app.get("/page/bare_model", response_model=Page)
    async def as_bare_model(client: Client):
        return await page_of(client)

    # Not annotated: FastAPI's own encoder is asked for each value.
    @app.get("/page/plain")
    async def plain(client: Client):
        return await page_of(client)

    @app.get("/one/plain")
    async def plain_one(client: Client):
        return (await page_of(client))[0]

    @app.get("/list/plain")
    async def plain_list(client: Client):
        return list(await page_of(client))

    @app.get("/page/deep")
    async def deep(client: Client):
        return {"found": await page_of(client)}

    @app.get("/all/plain")
    async def plain_everything(client: Client):
        return await (await client.process(Text(WORDS))).everything()

    @app.get("/stats/plain")
    async def plain_stats(client: Client):
        return client.stats()

    @app.get("/empty/plain")
    async def empty(client: Client):
        return await (await client.process(Text(WORDS))).bookmarks.list()

    sock, url = listening()
    async with uvicorn_serving(app, sock):
        for route in app.routes:
            path = getattr(route, "path", "")
            if not path.endswith(("annotated", "within", "any", "model", "plain", "deep")):
                continue
            status, found = await get(url + path)
            assert status == 200, path
            if path == "/page/within":
                assert found["by"] == {"one": [found["first"]]} == {"one": found["found"]}
                found = found["found"]
            if path == "/page/deep":
                found = found["found"]
            kind = path.split("/")[1]
            if kind == "stats":
                assert found["jobs"] == 0
            elif kind == "item":
                assert (found["key"], found["state"]) == ("mine", "queued")
            elif kind == "empty":
                assert found == []
            else:
                (message,) = {"one": [found]}.get(kind) or (
                    found["messages"] if kind == "all" else found
                )
                assert message["text"] == WORDS, path
                assert message["start_time"].endswith("+00:00"), path
                assert message["sender"]["name"] is None, path
                assert "raw" not in message, path
        shown = app.openapi()["paths"]

    def schema(path: str) -> Any:
        answer = shown[path]["get"]["responses"]["200"]
        return answer["content"]["application/json"]["schema"]

    assert schema("/page/annotated")["type"] == schema("/page/model")["type"] == "array"
    assert schema("/page/annotated")["items"]["type"] == "object"
    assert schema("/all/annotated")["type"] == "object"
    assert schema("/list/annotated")["items"]["type"] == "object"


def kinds() -> list[type[Model]]:
    found = [getattr(models, name) for name in dir(models)]
    return [
        *(kind for kind in found if isinstance(kind, type) and attrs.has(kind)),
        *(Everything, symbl_aio.Stats, OutboxStats, JobEvent, UploadProgress),
    ]


@table("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_model_has_a_schema_and_is_never_read(kind: type[Model]) -> None:
    adapter = TypeAdapter(kind)
    # FastAPI(separate_input_output_schemas=False) publishes that of values that are read.
    modes: tuple[Literal["serialization", "validation"], ...] = ("serialization", "validation")
    for mode in modes:
        described = adapter.json_schema(mode=mode)
        assert described["type"] == ("array" if kind is Page else "object")
    with pytest.raises(ValidationError):
        adapter.validate_python({})
    with pytest.raises(ValidationError):
        adapter.validate_json("{}")


def test_an_application_with_one_schema_for_both_directions_has_its_documentation() -> None:
    app = FastAPI(separate_input_output_schemas=False)

    @app.get("/answer")
    async def answer() -> Answer:
        raise NotImplementedError

    fields = app.openapi()["components"]["schemas"]["Answer"]["properties"]
    assert fields["found"]["type"] == "array"
    assert fields["found"]["items"]["type"] == "object"
    assert fields["first"]["anyOf"][0]["type"] == "object"


def test_pydantic_writes_what_as_json_returns() -> None:
    item = ActionItem(id="1", text="Write.", assignee=models.User(name="Anna"))
    page = Page((item,), {}, 200, {}, 0.1)
    for adapter, value in (
        (TypeAdapter[Any](Page[ActionItem]), page),
        (TypeAdapter[Any](Page), page),
        (TypeAdapter[Any](Page[models.Insight]), page),
        (TypeAdapter[Any](object), page),
        (TypeAdapter[Any](ActionItem), item),
        (TypeAdapter[Any](models.Insight), item),
        (TypeAdapter[Any](object), item),
        (TypeAdapter[Any](dict[str, tuple[ActionItem, ...]]), {"a": (item,)}),
    ):
        assert adapter.dump_python(value, mode="json") == as_json(value)
    with pytest.raises(ValidationError):
        TypeAdapter(Page[ActionItem]).validate_python([item])


def test_without_the_kit_pydantic_is_not_imported() -> None:
    program = (
        "import sys, symbl_aio, symbl_aio.models as m; m.Message(id='1').text; "
        "assert 'pydantic' not in sys.modules and 'pydantic_core' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    # None blocks an import, as on a machine that does not have it.
    program = (
        "import sys; sys.modules['pydantic'] = None; import inspect, symbl_aio.models as m; "
        "assert not hasattr(m.Message(id='1'), '__pydantic_serializer__'); "
        "inspect.getmembers(m.Message)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""


async def test_an_aiohttp_route_answers_through_as_json(server: LocalSymbl) -> None:
    symbl = AiohttpSymbl(**settings(server))
    app = web.Application()
    symbl.setup(app)

    async def route(request: web.Request) -> web.Response:
        return web.json_response(as_json(await page_of(request.config_dict[CLIENT])))

    async def dumped(request: web.Request) -> web.Response:
        page = await page_of(request.config_dict[CLIENT])
        return web.json_response(page, dumps=lambda value: json.dumps(as_json(value)))

    app.add_routes([web.get("/page", route), web.get("/dumped", dumped)])
    sock, url = listening()
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.SockSite(runner, sock).start()
        answers = [await get(url + path) for path in ("/page", "/dumped")]
    finally:
        await runner.cleanup()
    assert [(status, found[0]["text"]) for status, found in answers] == [(200, WORDS)] * 2
