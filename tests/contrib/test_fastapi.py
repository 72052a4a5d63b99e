"""The FastAPI integration: lifespans, dependencies, routers, problems, uvicorn's signals."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import aiohttp
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.middleware.gzip import GZipMiddleware

from symbl_aio import NotFoundError, ServerError, Text
from symbl_aio.contrib.fastapi import Client, Symbl, upload_through
from symbl_aio.testing import LocalSymbl
from tests.contrib.process import WebProcess
from tests.contrib.site import get, listening, post, settings, uvicorn_serving
from tests.support import mp4_bytes

RECORDING = mp4_bytes(100_000)


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    sock, url = listening()
    async with uvicorn_serving(app, sock):
        yield url


async def test_a_lifespan_of_ones_own_enters_that_of_the_client(server: LocalSymbl):
    symbl = Symbl(**settings(server))
    order: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
        async with symbl.lifespan(app) as state:
            order.append("started")
            yield {**state, "mine": 1}
        order.append("stopped")

    app = FastAPI(lifespan=lifespan)

    @app.get("/jobs")
    async def jobs(client: Client, request: Request) -> dict[str, int]:
        return {"jobs": client.stats().jobs, "mine": request.state.mine}

    async with serving(app) as url:
        assert await get(f"{url}/jobs") == (200, {"jobs": 0, "mine": 1})
    assert order == ["started", "stopped"]


def test_the_routes_are_described_as_they_answer():
    symbl, app = Symbl(durable="sqlite:///outbox.db"), FastAPI()
    app.include_router(symbl.router)

    described = {path: on["get"]["responses"] for path, on in app.openapi()["paths"].items()}

    types = {
        path: {status: list(answer.get("content", ())) for status, answer in responses.items()}
        for path, responses in described.items()
    }
    problem = ["application/problem+json"]
    assert types == {
        "/jobs/{job_id}": {"200": ["application/json"], "default": problem},
        "/jobs/{job_id}/events": {"200": ["text/event-stream"], "204": [], "default": problem},
        "/items/{key}": {"200": ["application/json"], "default": problem},
    }


async def test_events_go_out_at_once_although_answers_are_compressed(server: LocalSymbl):
    server.hold_jobs(before="in_progress")
    symbl = Symbl(**settings(server))
    app = FastAPI(lifespan=symbl.lifespan)
    app.include_router(symbl.router)
    app.add_middleware(GZipMiddleware, minimum_size=1)

    async with serving(app) as url, aiohttp.ClientSession() as http:
        job = await symbl.client.submit(Text("Hello."))
        async with http.get(f"{url}/jobs/{job.id}/events") as events:
            assert (await events.content.readline()).startswith(b"event: status")
            assert not job.done()


async def test_a_lifespan_that_yields_nothing_is_enough(server: LocalSymbl):
    symbl = Symbl(**settings(server))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with symbl.lifespan(app):
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/recordings")
    async def recordings(request: Request) -> str:
        return (await upload_through(request)).id

    async with serving(app) as url:
        assert (await post(f"{url}/recordings", RECORDING))[0] == 200


async def test_a_mounted_application_finds_the_client(server: LocalSymbl):
    symbl = Symbl(**settings(server))
    app, below = FastAPI(lifespan=symbl.lifespan), FastAPI()
    app.mount("/below", below)

    @below.post("/recordings")
    async def recordings(request: Request) -> str:
        return (await upload_through(request)).id

    async with serving(app) as url:
        assert (await post(f"{url}/below/recordings", RECORDING))[0] == 200


async def test_a_mounted_application_with_a_client_of_its_own_uses_that(server: LocalSymbl):
    async with LocalSymbl() as other:
        ours, theirs = Symbl(**settings(server)), Symbl(**settings(other))

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, object]]:
            async with ours.lifespan(app) as state, theirs.lifespan(below):
                yield state

        app, below = FastAPI(lifespan=lifespan), FastAPI()
        app.mount("/below", below)

        async def base_url(client: Client) -> str:
            return client.config.base_url

        app.get("/url")(base_url)
        below.get("/url")(base_url)

        async with serving(app) as url:
            assert (await get(f"{url}/url"))[1] == server.base_url
            assert (await get(f"{url}/below/url"))[1] == other.base_url


async def test_a_mistake_of_the_program_is_logged_and_no_bad_request(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
):
    symbl, unstarted = Symbl(**settings(server)), FastAPI()
    app = FastAPI(lifespan=symbl.lifespan)
    for one in (app, unstarted):
        symbl.handle_errors(one)

        @one.get("/jobs")
        def jobs(client: Client) -> int:  # FastAPI calls it in a thread
            return client.stats().jobs

    for one, cause in ((app, "another thread"), (unstarted, "lifespan=symbl.lifespan")):
        async with serving(one) as url:
            status, told = await get(f"{url}/jobs")
        assert (status, told["detail"]) == (500, "The service made a mistake.")
        assert cause in caplog.messages[-1]


async def test_the_lifespan_of_a_mounted_application_does_not_run_and_the_log_says_so(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
):
    symbl, app = Symbl(**settings(server)), FastAPI()
    below = FastAPI(lifespan=symbl.lifespan)
    symbl.handle_errors(below)
    app.mount("/below", below)

    @below.get("/jobs")
    async def jobs(client: Client) -> int:
        return client.stats().jobs

    async with serving(app) as url:
        assert (await get(f"{url}/below/jobs"))[0] == 500
    assert "outermost" in caplog.messages[-1]


async def test_before_the_start_the_routes_ask_to_come_back(server: LocalSymbl):
    app = FastAPI()
    app.include_router(Symbl(**settings(server)).router)

    async with serving(app) as url:
        assert (await get(f"{url}/jobs/some"))[0] == 503
        async with aiohttp.ClientSession() as api, api.post(f"{url}/webhooks/a/b") as call:
            assert call.status == 503


async def test_jobs_may_need_a_login_while_webhooks_stay_open(server: LocalSymbl):
    symbl = Symbl(**settings(server))

    def login(x_key: Annotated[str, Header()] = "") -> None:
        if x_key != "open":
            raise HTTPException(401)

    app = FastAPI(lifespan=symbl.lifespan)
    app.include_router(symbl.webhook_router, prefix="/hooks")
    app.include_router(symbl.job_router, prefix="/private", dependencies=[Depends(login)])

    async with serving(app) as url:
        job = await symbl.client.submit(Text("Hello."))
        for path in (f"/private/jobs/{job.id}", f"/private/jobs/{job.id}/events"):
            assert (await get(url + path))[0] == 401
            assert (await get(url + path, {"X-Key": "open"}))[0] == 200
        async with aiohttp.ClientSession() as api, api.post(f"{url}/hooks/webhooks/a/b") as call:
            assert call.status == 404


async def test_errors_of_any_route_become_problems(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
):
    symbl = Symbl(**settings(server))
    app = FastAPI(lifespan=symbl.lifespan)
    symbl.handle_errors(app)

    @app.get("/missing")
    async def missing(client: Client) -> None:
        await client.conversation("404").messages()

    @app.get("/broken")
    async def broken() -> None:
        raise ServerError(500, "with the secret hunter2")

    async with serving(app) as url, aiohttp.ClientSession() as visitor:
        for path, status in (("/missing", 404), ("/broken", 502)):
            async with visitor.get(url + path) as answer:
                assert answer.status == status
                assert answer.content_type == "application/problem+json"
                assert (await answer.json())["status"] == status
                assert "hunter2" not in await answer.text()
    assert "hunter2" in caplog.text  # for the operator


async def test_job_routes_tell_problems_without_further_ado(server: LocalSymbl):
    symbl = Symbl(**settings(server))
    app = FastAPI(lifespan=symbl.lifespan)
    app.include_router(symbl.router)

    async with serving(app) as url:
        for path in ("/jobs/nobody", "/jobs/nobody/events"):
            status, told = await get(url + path)
            assert (status, told["error"]) == (404, NotFoundError.__name__)


async def test_the_routes_are_documented_and_the_webhook_is_not(server: LocalSymbl):
    symbl = Symbl(**settings(server))
    app = FastAPI()
    app.include_router(symbl.router, prefix="/symbl")

    assert sorted(app.openapi()["paths"]) == ["/symbl/jobs/{job_id}", "/symbl/jobs/{job_id}/events"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_open_streams_so_that_uvicorn_can_stop(
    server: LocalSymbl, tmp_path: Path, number: signal.Signals
):
    server.hold_jobs()
    async with WebProcess.running(server, tmp_path) as process:
        _, told, _ = await post(f"{process.url}/recordings", RECORDING)
        async with (
            aiohttp.ClientSession() as visitor,
            visitor.get(f"{process.url}/symbl/jobs/{told['job']}/events") as page,
        ):
            await page.content.readuntil(b"\n\n")
            process.send(number)
            assert b'"status":503' in await page.content.read()
        await process.ended()


async def test_a_process_that_was_killed_is_followed_by_one_that_takes_up_its_jobs(
    server: LocalSymbl, tmp_path: Path
):
    """kill -9 in the middle of uploads: no partial one is accepted, accepted jobs are followed."""
    server.hold_jobs()
    async with WebProcess.running(server, tmp_path) as process:
        answers = [await post(f"{process.url}/recordings", RECORDING) for _ in range(2)]
        accepted = [told["job"] for _, told, _ in answers]
        uploads = [await process.connect() for _ in range(3)]
        for _, writer in uploads:
            writer.write(process.head("/recordings", "Content-Length: 50000000") + RECORDING * 20)
        await server.until(lambda: any(r.size > 10**6 for r in server.submissions))
        process.send(signal.SIGKILL)
        for reader, writer in uploads:
            with pytest.raises(ConnectionError):
                assert await reader.read() == b""
                raise ConnectionResetError  # closed, or reset: an answer would be a lie
            writer.close()

    assert set(server.jobs) == set(accepted)
    async with WebProcess.running(server, tmp_path) as process:
        asked = len(server.requests)
        await server.until(
            lambda: {r.path for r in server.requests[asked:]} >= {f"/v1/job/{j}" for j in accepted}
        )
        server.release()
        for job in accepted:
            _, page = await get(f"{process.url}/symbl/jobs/{job}/events")
            assert '"status":"completed"' in page
            assert '"conversation_id":null' not in page
