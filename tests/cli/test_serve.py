"""``symbl-aio serve`` is safe by default when others reach it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from symbl_aio import (
    APIError,
    Config,
    Credentials,
    JobFailedError,
    Retries,
    SymblClient,
    Text,
)
from symbl_aio.media import Audio, AudioURL
from symbl_aio.server.late_imports import LATE_IMPORTS
from symbl_aio.testing import LocalSymbl
from tests.forks import Program
from tests.shell import ROOT, Shell

AS_JSON = ("serve", "--port", "0", "--json", "--asr", "off", "--memory")
VIDEO = (ROOT / "examples/media/inaugural.mp4").read_bytes()


@asynccontextmanager
async def serving(
    *options: str | Path, stores: bool = False, **environment: str
) -> AsyncIterator[dict[str, Any]]:
    shell = Shell(**environment)
    process = await shell.start(*(AS_JSON[:-1] if stores else AS_JSON), *options)
    assert process.stdout is not None
    started = json.loads(await process.stdout.readline())
    try:
        yield started
    finally:
        process.send_signal(signal.SIGINT)
        started["ended"] = await shell.end(process)


def client_of(started: dict[str, Any], **config: Any) -> SymblClient:
    credentials = Credentials(started["app_id"], started.get("app_secret", "secret"))
    return SymblClient(credentials, config=Config(base_url=started["base_url"], **config))


async def test_elsewhere_than_on_loopback_a_secret_is_made_up_and_printed_once() -> None:
    secrets = []
    for _ in range(2):
        async with serving("--host", "0.0.0.0") as started:
            assert len(started["app_secret"]) >= 32
            secrets.append(started["app_secret"])
            async with client_of(started, allow_http=True) as symbl:
                await (await symbl.submit(Text("Yes.")))
        assert started["app_secret"] not in started["ended"].err + started["ended"].out

    assert len(set(secrets)) == 2


@pytest.mark.parametrize("where", [("--host", "0.0.0.0"), ("--public-url", "https://a.example")])
async def test_the_secret_of_the_documents_is_refused_where_others_know_it(where: Any) -> None:
    shell = Shell(SYMBL_APP_SECRET="secret")
    ended = await shell.end(await shell.start(*AS_JSON, *where))

    assert ended.code == 2
    assert "SYMBL_APP_SECRET" in ended.err


async def test_on_loopback_links_to_private_addresses_are_refused_with_a_reason() -> None:
    link = AudioURL("http://127.0.0.1:9/private.mp3")
    async with serving() as started, client_of(started) as symbl:
        with pytest.raises(JobFailedError, match=r"127\.0\.0\.1 is not a public address") as failed:
            await (await symbl.submit(link))

        assert failed.value.reason is not None
    async with serving("--allow-private") as started, client_of(started) as symbl:
        with pytest.raises(JobFailedError, match="cannot be read"):
            await (await symbl.submit(link))


async def test_a_foreign_name_is_refused_and_a_public_url_is_known() -> None:
    async def status_of(started: dict[str, Any], name: str) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{started['at']}/healthz", headers={"Host": name}) as answer,
        ):
            return answer.status

    async with serving() as started:
        started["at"] = started["base_url"]
        assert await status_of(started, "evil.example") == 421
        assert await status_of(started, "localhost") == 200


async def test_it_speaks_https_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    async with serving("--tls", "self-signed", XDG_DATA_HOME=str(tmp_path)) as started:
        certificate = tmp_path / "symbl-aio" / "tls" / "certificate.pem"
        async with client_of(started, ca_file=certificate) as symbl:
            await (await symbl.submit(Text("Yes.")))

    assert started["base_url"].startswith("https://")
    assert started["ca_file"] == str(certificate)


async def test_its_certificate_stays_with_its_data(tmp_path: Path) -> None:
    found, certificate = [], tmp_path / "data" / "tls" / "certificate.pem"
    # The same volume in two containers: what is in the home of their user is not.
    for home in ("first", "second"):
        options = ("--tls", "self-signed", "--data", tmp_path / "data")
        async with serving(*options, stores=True, XDG_DATA_HOME=str(tmp_path / home)) as started:
            found.append(certificate.read_bytes())

    assert found[0] == found[1]
    assert started["ca_file"] == str(certificate)


async def test_a_directory_that_is_refused_gets_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").write_text("mine")
    shell = Shell()
    tls = ("--tls", "self-signed", "--data", tmp_path)
    ended = await shell.end(await shell.start(*AS_JSON[:-1], *tls))

    assert (ended.code, "thesis.odt" in ended.err) == (2, True)
    assert os.listdir(tmp_path) == ["thesis.odt"]


async def test_a_name_that_no_certificate_can_have_is_exit_code_2(tmp_path: Path) -> None:
    shell = Shell(XDG_DATA_HOME=str(tmp_path))
    name = ("--tls", "self-signed", "--public-url", "https://exämple.test")
    ended = await shell.end(await shell.start(*AS_JSON, *name))

    assert ended.code == 2
    assert "Traceback" not in ended.err


async def test_files_that_are_no_certificate_are_exit_code_2(tmp_path: Path) -> None:
    shell = Shell()
    ended = await shell.end(await shell.start(*AS_JSON, "--tls-cert", tmp_path / "none.pem"))

    assert ended.code == 2
    assert "--tls-cert" in ended.err
    assert "Traceback" not in ended.err


async def test_the_log_has_dates_levels_and_no_secret(tmp_path: Path) -> None:
    secret = "a-secret-of-the-user"
    async with (
        serving("--access-log", SYMBL_APP_SECRET=secret) as started,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(f"{started['base_url']}/v1/job/1") as answer:
            assert answer.status == 401
        wrong = {"type": "application", "appId": "app", "appSecret": "a-wrong-guess"}
        async with session.post(f"{started['base_url']}/oauth2/token:generate", json=wrong) as no:
            assert no.status == 401
    log = started["ended"].err

    for line in log.splitlines():
        assert line[:2] == "20"
        assert line.split()[2] in ("INFO", "WARNING")
    assert 'INFO 127.0.0.1 "GET /v1/job/1" 401' in log
    assert secret not in log
    assert "a-wrong-guess" not in log


async def test_a_recording_that_is_larger_than_allowed_is_refused() -> None:
    async with serving("--max-upload", "0.001") as started, client_of(started) as symbl:
        with pytest.raises(Exception, match="413"):
            await symbl.submit(Audio(bytes(2_000_000)))


@pytest.mark.slow
async def test_without_a_directory_a_job_is_known_after_many_others(tmp_path: Path) -> None:
    async with (
        serving(SYMBL_APP_SECRET="secret") as started,
        aiohttp.ClientSession(started["base_url"]) as session,
    ):
        application = {"type": "application", "appId": started["app_id"], "appSecret": "secret"}
        async with session.post("/oauth2/token:generate", json=application) as answer:
            token = (await answer.json())["accessToken"]
        session.headers["Authorization"] = f"Bearer {token}"
        body = {"messages": [{"payload": {"content": "Good morning."}}]}
        jobs: list[str] = []
        while len(jobs) < 1100:
            async with session.post("/v1/process/text", json=body) as answer:
                if answer.status == 201:
                    jobs.append((await answer.json())["jobId"])
        # Its caller polls a few seconds later.
        async with session.get(f"/v1/job/{jobs[0]}") as answer:
            assert (await answer.json())["status"] == "completed"


async def test_a_backup_is_written_while_the_server_runs_and_restored(tmp_path):
    data, file, again = tmp_path / "data", tmp_path / "backup.tar", tmp_path / "again"
    async with LocalSymbl(data=data) as server, server.client() as client:
        conversation = await client.process(Text("Hello there."))
        backup = await Shell().run("serve", "--backup", file, "--data", data, "--json")
        refused = await Shell().run("serve", "--backup", file, "--data", data)
    restored = await Shell().run("serve", "--restore", file, "--data", again, "--json")
    async with LocalSymbl(data=again) as server, server.client() as client:
        messages = await client.conversation(conversation.id).messages()

    assert (backup.code, backup.events()) == (0, ["backup"])
    assert backup.lines[0]["size"] == file.stat().st_size
    assert (refused.code, restored.code, restored.events()) == (2, 0, ["restored"])
    assert str(file) in refused.err
    assert [message.text for message in messages] == ["Hello there."]


@asynccontextmanager
async def uploading(started: dict[str, Any]) -> AsyncIterator[tuple[Any, asyncio.Event]]:
    """Begin an upload; yield its task, which returns the status, and the event that ends it."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield VIDEO[:1000]
        begun.set()
        await go_on.wait()
        yield VIDEO[1000:]

    async def upload(session: aiohttp.ClientSession) -> int:
        login = {"type": "application", "appId": started["app_id"], "appSecret": "secret"}
        token_url = f"{started['base_url']}/oauth2/token:generate"
        async with session.post(token_url, json=login) as answer:
            token = (await answer.json())["accessToken"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "video/mp4"}
        url = f"{started['base_url']}/v1/process/video"
        async with session.post(url, data=body(), headers=headers) as answer:
            return answer.status

    async with aiohttp.ClientSession() as session:
        task = asyncio.ensure_future(upload(session))
        await begun.wait()
        try:
            yield task, go_on
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def line_with(process: Program, words: str) -> str:
    assert process.stderr is not None
    while words not in (line := (await process.stderr.readline()).decode()):
        assert line, f"the log ended before {words!r}"
    return line


async def test_the_first_signal_lets_an_upload_end_and_its_job_is_kept(tmp_path: Path) -> None:
    data = tmp_path / "data"
    words = (*AS_JSON[:-1], "--data", data, "--job-seconds", "3600")
    process = await Shell().start(*words)
    assert process.stdout is not None
    started = json.loads(await process.stdout.readline())

    async with uploading(started) as (upload, go_on):
        process.send_signal(signal.SIGTERM)
        assert "1 uploads run" in await line_with(process, "stopping")
        async with client_of(started, retries=Retries(attempts=1)) as symbl:
            with pytest.raises(APIError, match="stopping") as refused:
                await symbl.submit(Text("Too late."))
        assert refused.value.status == 503
        go_on.set()
        assert await upload == 201
    ended = await Shell().end(process)

    assert ended.code == 0
    assert f"1 unfinished jobs are kept in {data}" in ended.err
    assert len(list((data / "bodies").iterdir())) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_second_signal_ends_the_server_at_once(tmp_path: Path, number: int) -> None:
    data = tmp_path / "data"
    process = await Shell().start(*AS_JSON[:-1], "--data", data)
    assert process.stdout is not None
    started = json.loads(await process.stdout.readline())

    async with uploading(started) as (upload, _):
        process.send_signal(number)
        await line_with(process, "1 uploads run")
        process.send_signal(number)
        ended = await Shell().end(process)
        with pytest.raises(aiohttp.ClientError):
            await upload

    assert ended.code == 0
    assert "Traceback" not in ended.err
    assert list((data / "bodies").iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--memory", "--keep", "1"],
        ["--memory", "--backup", "x"],
        ["--backup", "x", "--restore", "y"],
        ["--keep", "0"],
    ],
)
async def test_options_that_contradict_each_other_are_wrong_usage(words):
    assert (await Shell().run("serve", *words)).code == 2


@pytest.mark.usefixtures("no_home")
async def test_without_a_home_a_directory_has_to_be_named(tmp_path: Path) -> None:
    shell, file = Shell(SYMBL_AIO_CONFIG=""), tmp_path / "monday.tar"
    unnamed = await shell.run("serve", "--backup", file)
    named = await shell.run("serve", "--backup", file, "--data", tmp_path)

    assert (unnamed.code, "--data" in unnamed.err) == (2, True)
    assert (named.code, f"{tmp_path} has no data" in named.err) == (2, True)


async def test_all_that_requests_need_is_imported_before_it_listens() -> None:
    program = (
        "import atexit, sys; from symbl_aio.cli import main;"
        "atexit.register(lambda: print(*sys.modules)); main()"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *AS_JSON),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=Shell().environment(),
    )
    assert process.stdout is not None
    assert "base_url" in json.loads(await process.stdout.readline())
    process.send_signal(signal.SIGINT)
    loaded = (await process.stdout.read()).decode().split()
    await process.wait()

    assert set(LATE_IMPORTS) <= set(loaded)
