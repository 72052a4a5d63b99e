"""The aiohttp.web integration: the key of the client, and routes of the application."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from symbl_aio import ServerError, Text
from symbl_aio.contrib.aiohttp import CLIENT, Symbl, stream_through, upload_through
from symbl_aio.testing import LocalSymbl
from tests.contrib.site import Address, aiohttp_serving, get, listening, post, settings
from tests.support import mp4_bytes

RECORDING = mp4_bytes(100_000)


async def take(request: web.Request) -> web.Response:
    return web.json_response({"job": (await upload_through(request)).id})


async def test_the_client_is_in_the_application(server: LocalSymbl):
    symbl, app = Symbl(**settings(server)), web.Application()
    symbl.setup(app, prefix="")

    async def stats(request: web.Request) -> web.Response:
        assert request.app[CLIENT] is symbl.client
        return web.json_response({"jobs": request.app[CLIENT].stats().jobs})

    app.router.add_get("/stats", stats)
    sock, url = listening()
    async with aiohttp_serving(app, sock):
        assert await get(f"{url}/stats") == (200, {"jobs": 0})


async def test_an_application_below_finds_the_client_and_the_errors(server: LocalSymbl):
    symbl, app, below = Symbl(**settings(server)), web.Application(), web.Application()
    symbl.attach(app)
    below.router.add_post("/recordings", take)
    app.add_subapp("/below", below)

    sock, url = listening()
    async with aiohttp_serving(app, sock):
        assert (await post(f"{url}/below/recordings", RECORDING))[0] == 200
        status, told, headers = await post(f"{url}/below/recordings", b"no recording")
    assert (status, told["error"]) == (415, "MediaRejectedError")
    assert headers["Content-Type"] == "application/problem+json"


async def test_a_large_body_is_no_matter_of_client_max_size(server: LocalSymbl):
    symbl, app = Symbl(**settings(server)), web.Application(client_max_size=10)
    symbl.attach(app)
    app.router.add_post("/recordings", take)

    sock, url = listening()
    async with aiohttp_serving(app, sock):
        assert (await post(f"{url}/recordings", RECORDING))[0] == 200


async def test_jobs_may_need_a_login_while_webhooks_stay_open(server: LocalSymbl):
    symbl, app = Symbl(**settings(server)), web.Application()

    @web.middleware
    async def login(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("X-Key") != "open":
            raise web.HTTPUnauthorized
        return await handler(request)

    private = web.Application(middlewares=[login])
    private.add_routes(symbl.job_routes())
    symbl.attach(app)
    app.add_routes(symbl.webhook_routes("/hooks"))
    app.add_subapp("/private", private)

    sock, url = listening()
    async with aiohttp_serving(app, sock):
        job = await symbl.client.submit(Text("Hello."))
        async with aiohttp.ClientSession() as visitor:
            async with visitor.get(f"{url}/private/jobs/{job.id}") as answer:
                assert answer.status == 401
            async with visitor.post(f"{url}/hooks/webhooks/a/b") as answer:
                assert answer.status == 404
        assert (await get(f"{url}/private/jobs/{job.id}", {"X-Key": "open"}))[0] == 200


async def test_the_operator_is_told_what_the_visitor_is_not(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
):
    symbl, app = Symbl(**settings(server)), web.Application()
    symbl.setup(app)

    async def broken(_request: web.Request) -> web.Response:
        raise ServerError(500, "with the secret hunter2")

    app.router.add_get("/broken", broken)
    sock, url = listening()
    async with aiohttp_serving(app, sock):
        status, told = await get(f"{url}/broken")
    assert status == 502
    assert "hunter2" not in str(told)
    assert "hunter2" in caplog.text


async def test_an_upload_that_is_read_only_after_the_stop_is_asked_to_come_back(
    server: LocalSymbl,
):
    app, arrived, stopping = web.Application(), asyncio.Event(), asyncio.Event()
    Symbl(**settings(server)).setup(app)

    async def stop(app: web.Application) -> None:
        stopping.set()

    async def take(request: web.Request) -> web.Response:
        arrived.set()
        await stopping.wait()  # as for a login that takes long
        return web.json_response((await upload_through(request)).id)

    app.on_shutdown.append(stop)
    app.router.add_post("/recordings", take)
    sock, url = listening()
    address = Address(url)
    async with aiohttp_serving(app, sock, shutdown_timeout=20):
        reader, writer = await address.connect()
        writer.write(address.head("/recordings", "Content-Length: 9000") + b"begun")
        await arrived.wait()
    answer = await reader.read()
    writer.close()

    assert b" 503 " in answer


async def test_a_route_without_a_service_names_the_remedy(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
):
    async def speak(request: web.Request) -> web.StreamResponse:
        return await stream_through(request)

    app = web.Application()
    app.router.add_post("/recordings", take)
    app.router.add_get("/speak", speak)
    sock, url = listening()
    async with aiohttp_serving(app, sock), aiohttp.ClientSession(url) as visitor:
        async with visitor.post("/recordings", data=RECORDING) as response:
            assert response.status == 500
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await visitor.ws_connect("/speak")
    errors = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert len(errors) == 2
    assert all("Symbl().setup(app)" in error for error in errors), errors


async def test_a_test_can_put_a_client_of_its_own_into_the_application(server: LocalSymbl):
    app = web.Application()
    app.router.add_post("/recordings", take)
    async with server.client() as symbl:
        app[CLIENT] = symbl
        sock, url = listening()
        async with aiohttp_serving(app, sock):
            assert (await post(f"{url}/recordings", RECORDING))[0] == 200


@pytest.mark.parametrize("prefix", ["/symbl/", "/"])
async def test_a_prefix_may_end_with_a_slash(server: LocalSymbl, prefix: str):
    symbl, app = Symbl(**settings(server)), web.Application()
    symbl.setup(app, prefix=prefix)
    sock, url = listening()
    async with aiohttp_serving(app, sock):
        status, problem = await get(f"{url}{prefix}jobs/unknown")
    assert (status, problem["error"]) == (404, "NotFoundError")
