"""Models and pages as answers of a real FastAPI application, over a real socket."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from symbl_aio import JobStatus, Text
from symbl_aio.contrib.fastapi import Client, Symbl
from symbl_aio.models import as_json
from symbl_aio.testing import LocalSymbl
from tests.contrib.site import get, listening, settings, uvicorn_serving


async def test_a_route_answers_with_models_pages_and_everything(server: LocalSymbl) -> None:
    symbl = Symbl(**settings(server))
    app = FastAPI(lifespan=symbl.lifespan)

    @app.get("/page")
    async def page(client: Client) -> JSONResponse:
        conversation = await client.process(Text("I will write the report by Friday."))
        return JSONResponse(as_json(await conversation.messages()))

    @app.get("/one")
    async def one(client: Client) -> object:
        conversation = await client.process(Text("I will write the report by Friday."))
        return as_json((await conversation.messages())[0])

    @app.get("/all")
    async def everything(client: Client):
        conversation = await client.process(Text("I will write the report by Friday."))
        return as_json(await conversation.everything())

    sock, url = listening()
    async with uvicorn_serving(app, sock):
        for path in ("/page", "/one", "/all"):
            status, found = await get(f"{url}{path}")
            assert status == 200
            messages = {"/page": found, "/one": [found]}.get(path) or found["messages"]
            assert messages[0]["text"] == "I will write the report by Friday."
            assert messages[0]["start_time"].endswith("+00:00")
            assert "raw" not in messages[0]


def test_what_has_no_form_in_json_is_refused() -> None:
    assert as_json({"status": JobStatus.COMPLETED}) == {"status": "completed"}
    with pytest.raises(TypeError, match="bytes"):
        as_json(b"RIFF")
