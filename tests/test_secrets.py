"""Secrets stay where they belong, and what goes out is what was meant.

Every main path is gone through with the loggers at DEBUG, by success and by each fault;
then all that anybody could have seen is searched for the secrets, and for what is made
of them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import web

from symbl_aio import (
    AccessToken,
    APIError,
    AudioURL,
    AuthenticationError,
    BadRequestError,
    Config,
    ConfigurationError,
    Credentials,
    Event,
    MediaOptions,
    Retries,
    SymblClient,
    SymblError,
    Text,
    TextOptions,
    UntrustedServerError,
    Video,
    VideoURL,
)
from symbl_aio._fields import is_word
from symbl_aio._protocol.webhook_calls import mark
from symbl_aio.job import Job
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK, mp4_bytes
from tests.tables import table

APP_SECRET = "app/secret+0f-3ad1\"ee'77"
WEBHOOK_SECRET = "hook-secret-3c9d21aa07"
SIGNATURE = "sig-94e1b2c7%2Bf0%3D%3D"
PASSWORD = "pass-word-55ab"
OWN_HOOK = "http://127.0.0.1:9/mine?key=own-hook-key-71c2"
SIGNED_URL = f"http://user:{PASSWORD}@127.0.0.1:9/standup.mp4?signature={SIGNATURE}"

SECRETS = {
    APP_SECRET, WEBHOOK_SECRET, SIGNATURE, unquote(SIGNATURE), PASSWORD, "own-hook-key-71c2"
}  # fmt: skip
TOKEN = "a-token-0c1d2e"

FAULTS = [
    "status:400", "status:401", "status:403", "status:404", "status:429", "status:500",
    "status:503", "early:413", "redirect:http://127.0.0.1:9/elsewhere", "accept_then_drop",
    "drop_before_body", "drop_mid_body", "reset", "half_answer", "not_http", "garbage", "no_ids",
    "job_fails",
]  # fmt: skip


class Seen:
    """All that somebody could have seen, as text."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.errors: list[BaseException] = []

    def add(self, *things: object) -> None:
        for thing in things:
            self.texts += [str(thing), repr(thing)]

    def event(self, event: Event) -> None:
        self.add(event)
        if (error := getattr(event, "error", None)) is not None:
            self.error(error)

    def error(self, error: BaseException | None) -> None:
        """Keep an error, its whole chain, its notes and its traceback."""
        if error is None or any(error is known for known in self.errors):
            return
        self.errors.append(error)
        self.texts += [str(error), repr(error), repr(error.args), *getattr(error, "__notes__", [])]
        self.texts += traceback.format_exception(error)
        if isinstance(error, SymblError):
            self.texts += [repr(value) for value in vars(error).values()]
        for other in (error.__cause__, error.__context__, getattr(error, "cause", None)):
            self.error(other)

    def record(self, record: logging.LogRecord) -> None:
        self.texts += [record.getMessage(), repr(record.args), record.exc_text or ""]
        self.texts.append(logging.Formatter().format(record))
        self.texts += [repr(value) for value in vars(record).values()]
        if record.exc_info and record.exc_info[1] is not None:
            self.error(record.exc_info[1])

    async def outcome(self, work: Awaitable[object]) -> object:
        """Wait for something, and keep what comes of it."""
        try:
            result = await work
        except (SymblError, asyncio.CancelledError) as error:
            self.error(error)
            return None
        self.add(result)
        return result


def secrets_of(server: LocalSymbl) -> set[str]:
    """Give every secret, those that were made on the way too."""
    found = SECRETS | set(server._tokens._valid)
    for received in server.submissions:
        found.add(received.headers["Authorization"].removeprefix("Bearer "))
        hook = received.parameters.get("webhookUrl") or received.query.get("webhookUrl")
        if hook is not None and str(hook).startswith("http://127.0.0.1:9/hook/"):
            nonce, shown = str(hook).split("/")[-2:]
            assert shown == mark(WEBHOOK_SECRET, nonce)
            found.add(shown)
    assert len(found) > len(SECRETS) + 1
    return found


def assert_kept(seen: Seen, secrets: set[str]) -> None:
    everything = "\n".join(seen.texts)
    for secret in secrets:
        forms = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]}
        shown = [form for form in forms if form in everything]
        assert not shown, everything[max(0, everything.index(shown[0]) - 300) :][:400]


async def every_path(symbl: SymblClient, seen: Seen, path: Path) -> None:
    """Go through all that a client does, and keep all that it shows."""
    options = MediaOptions(name="Standup", webhook_url=OWN_HOOK)
    media = [
        (path, None),
        (Text("Hello."), None),
        (Text("Hello."), TextOptions(webhook_url=OWN_HOOK, in_query=["webhook_url"])),
        (AudioURL(SIGNED_URL), None),
        (VideoURL(SIGNED_URL), options),
        (Video(mp4_bytes()), options),
    ]
    seen.add(*(m for m, _ in media), options)
    for what, how in media:
        submission = symbl.submit(what, how)  # type: ignore[arg-type]
        seen.add(submission, symbl.stats())
        async for progress in submission.progress():
            seen.add(progress)
        job = await seen.outcome(submission)
        seen.add(submission)
        for error in list(seen.errors):
            if hasattr(error, "reconcile"):
                await seen.outcome(error.reconcile())
        if not isinstance(job, Job):
            continue
        seen.add(job.token, symbl.job(job.token), symbl.unfinished)
        conversation = await seen.outcome(job)
        seen.add(job, job._events)
        if conversation is not None:
            await seen.outcome(symbl.conversation(str(job.conversation_id)).messages())
            appended = symbl.append(str(job.conversation_id), Text("More."))
            await seen.outcome(appended)
            seen.add(appended)
    async for outcome in symbl.map([Text("One."), Text("Two.")]):
        seen.add(outcome)
        seen.error(outcome.error)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "standup.mp4"
    path.write_bytes(mp4_bytes(2**18))
    return path


@pytest.mark.parametrize("on", ["PUT", "POST", "job", "/v1/conversations", "token"])
async def test_no_secret_is_seen_anywhere_whatever_goes_wrong(
    caplog: pytest.LogCaptureFixture, recording: Path, on: str
) -> None:
    caplog.set_level(logging.DEBUG)
    seen = Seen()
    # A full account is no error of a submission, but a second of waiting.
    faults = [f for f in FAULTS if not (f == "status:429" and on in ("POST", "PUT"))]
    config: dict[str, Any] = {
        **QUICK,
        "retries": Retries(attempts=2, base=0.001, cap=0.001, max_retry_after=0.001),
        "chunk_size": 2**16,  # so that an upload can break in the middle, and be tried again
        "webhook_base_url": "http://127.0.0.1:9/hook",
        "webhook_secret": WEBHOOK_SECRET,
    }
    async with LocalSymbl(
        app_secret=APP_SECRET, probe_media=False, default_transcript="Ann: Hello there."
    ) as server:
        for fault in ["", *faults]:
            async with server.client(observers=[seen.event], **config) as symbl:
                seen.add(symbl, symbl.config)
                if fault:
                    server.inject(fault, on=on, times=2)
                await every_path(symbl, seen, recording)
            server.clear_faults()
            server.revoke_tokens()
        secrets = secrets_of(server)
    for record in caplog.records:
        if record.name.partition(".")[0] in ("symbl_aio", "aiohttp", "asyncio"):
            seen.record(record)
    assert_kept(seen, secrets)
    assert len(seen.errors) >= len(faults) - 6
    assert on in ("PUT", "job") or any("trying again" in text for text in seen.texts)


def test_settings_show_no_secret() -> None:
    seen = Seen()
    seen.add(
        Credentials("app", APP_SECRET),
        AccessToken(TOKEN),
        Config(webhook_base_url="https://us.example/hook", webhook_secret=WEBHOOK_SECRET),
        SymblClient(Credentials("app", APP_SECRET)),
        AudioURL(SIGNED_URL),
        TextOptions(webhook_url=OWN_HOOK),
    )
    assert_kept(seen, {*SECRETS, TOKEN})


# A server that tells back what it was sent


@pytest.fixture
async def echo() -> AsyncIterator[Callable[[int, list[str]], Awaitable[str]]]:
    """Start servers that refuse everything, and repeat the whole request in the refusal."""
    runners: list[web.AppRunner] = []

    async def start(status: int, hooks: list[str]) -> str:
        async def refuse(request: web.Request) -> web.Response:
            body = (await request.read()).decode(errors="replace")
            hooks.extend(re.findall("/hook/[^/]+/([0-9a-f]{64})", unquote(request.path_qs) + body))
            if request.path == "/oauth2/token:generate" and status != 401:
                return web.json_response({"accessToken": TOKEN, "expiresIn": 60})
            said = f"{request.path_qs} {dict(request.headers)} {body}"
            return web.json_response({"message": said, "more": body}, status=status)

        runner = web.AppRunner(_app(refuse), access_log=None)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


def _app(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    return app


@pytest.mark.parametrize("status", [400, 401, 403, 500])
async def test_a_server_that_repeats_the_request_gives_nothing_away(
    echo: Callable[[int, list[str]], Awaitable[str]],
    caplog: pytest.LogCaptureFixture,
    recording: Path,
    status: int,
) -> None:
    caplog.set_level(logging.DEBUG)
    seen = Seen()
    hooks: list[str] = []
    config = Config(
        base_url=await echo(status, hooks),
        webhook_base_url="http://127.0.0.1:9/hook",
        webhook_secret=WEBHOOK_SECRET,
        **QUICK,
    )
    async with SymblClient(
        Credentials("app", APP_SECRET), config=config, observers=[seen.event]
    ) as symbl:
        await every_path(symbl, seen, recording)
        await seen.outcome(symbl.conversation("123").messages())
    for record in caplog.records:
        seen.record(record)
    assert any(isinstance(error, APIError) and error.message for error in seen.errors)
    assert hooks or status == 401  # which refuses the secret itself
    assert_kept(seen, {*SECRETS, *hooks, TOKEN})


# Who gets the token at all


@table(
    "url",
    [
        "http://api.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1:8080",
        "http://0.0.0.0:8080",
        "http://[fe80::1]:8080",
        "http://2130706433",
        "http://0x7f.1",
        "HTTP://API.EXAMPLE.COM",
    ],
)
def test_plain_http_is_refused_unless_it_stays_on_this_machine(url: str) -> None:
    with pytest.raises(ConfigurationError, match="plain http"):
        Config(base_url=url)
    assert Config(base_url=url, allow_http=True).base_url


@table("url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080"])
def test_plain_http_is_taken_for_loopback(url: str) -> None:
    assert Config(base_url=url).base_url == url


@table("user", [f"me:{PASSWORD}@", f":{PASSWORD}@", f"{PASSWORD}@"])
@table("end", ["", "/", "/v1?x=1", ":port", ":99999"])
def test_a_password_in_the_base_url_is_refused_without_an_echo(user: str, end: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Config(base_url=f"https://{user}api.example.com{end}")
    seen = Seen()
    seen.error(refused.value)
    shown = "\n".join(seen.texts)
    # Its own source line stands in the traceback, as names and not as values.
    assert PASSWORD not in shown


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed_by_anybody(
    status: int, recording: Path, server: LocalSymbl
) -> None:
    heads: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        await request.read()
        heads.append(request.path)
        if request.path == "/oauth2/token:generate" and len(heads) > 1:
            return web.json_response({"accessToken": TOKEN, "expiresIn": 60})
        where = f"{server.base_url}{request.path_qs}"
        return web.Response(status=status, headers={"Location": where})

    runner = web.AppRunner(_app(redirect), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        config = Config(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}", **QUICK)
        async with SymblClient(Credentials("app", APP_SECRET), config=config) as symbl:
            asked: list[Callable[[], Awaitable[object]]] = [
                symbl.conversation("1").messages,  # whose token request is redirected
                symbl.conversation("1").messages,
                symbl.job("1").refresh,
                lambda: symbl.submit(Text("Hello.")),
                lambda: symbl.submit(recording),
                lambda: symbl.append("1", Text("Hello.")),
                lambda: symbl.append("1", recording),
            ]
            for ask in asked:
                with pytest.raises(BadRequestError) as refused:
                    await ask()
                assert refused.value.status == status
            await symbl.aclose(drain="none")
    finally:
        await runner.cleanup()
    assert server.requests == []
    told = [path for path in heads if path != "/v1/job/1"]  # which is followed from then on
    assert told == ["/oauth2/token:generate"] * 2 + ["/v1/conversations/1/messages"] + [
        "/v1/process/text",
        "/v1/process/video",
        "/v1/process/text/1",
        "/v1/process/video/1",
    ]


async def test_a_certificate_is_verified_before_a_secret_goes_out() -> None:
    asked: list[str] = []

    async def hello(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({})

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parent / "io" / "untrusted.pem")
    runner = web.AppRunner(_app(hello), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        config = Config(base_url=f"https://127.0.0.1:{runner.addresses[0][1]}", **QUICK)
        for credentials in (Credentials("app", APP_SECRET), AccessToken(TOKEN)):
            async with SymblClient(credentials, config=config) as symbl:
                with pytest.raises(UntrustedServerError):
                    await symbl.submit(Text("Hello."))
                with pytest.raises(UntrustedServerError):
                    await symbl.conversation("1").messages()
    finally:
        await runner.cleanup()
    assert asked == []


# Injection

LINE_BREAKS = ["\r\nX-Evil: 1", "\nX-Evil: 1", "\rX-Evil: 1", "\0", " x", "ü", "\x7f"]


@pytest.mark.parametrize("bad", LINE_BREAKS)
async def test_a_token_that_would_be_a_second_header_is_never_sent(
    server: LocalSymbl, bad: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        AccessToken(f"{TOKEN}{bad}")
    assert TOKEN not in str(refused.value)

    async def provider() -> str:
        return f"{TOKEN}{bad}"

    for header in ("Authorization", "x-api-key"):
        config = Config(base_url=server.base_url, auth_header=header, **QUICK)
        async with SymblClient(provider, config=config) as symbl:
            with pytest.raises(AuthenticationError) as given:
                await symbl.submit(Text("Hello."))
            assert TOKEN not in f"{given.value} {given.value.__cause__}"
    assert server.requests == []


@pytest.mark.parametrize("bad", LINE_BREAKS[:4])
async def test_nothing_that_a_caller_gives_becomes_a_header_or_another_request(
    server: LocalSymbl, bad: str
) -> None:
    async with server.client(**QUICK) as symbl:
        with pytest.raises(ConfigurationError):
            symbl.submit(Text("Hello."), key=f"key{bad}")
        with pytest.raises(ConfigurationError):
            Video(f"/tmp/a.mp4{bad}\0")
        with pytest.raises(ConfigurationError):
            AudioURL(f"http://127.0.0.1/a.mp3{bad}")
        with pytest.raises(ConfigurationError):
            MediaOptions(webhook_url=f"http://127.0.0.1/{bad}")
        for text in ("name", "timezone"):
            options = MediaOptions(extra_query={text: f"Standup{bad}"})
            await symbl.process(Video(mp4_bytes()), options)
            received = server.submissions[-1]
            assert received.query[text] == f"Standup{bad}"
            assert "X-Evil" not in received.headers
    assert {seen.path for seen in server.requests} >= {"/v1/process/video"}


@pytest.mark.parametrize(
    "id_",
    [
        "..",
        ".",
        "../job/1",
        "a/b",
        "a\\b",
        "\\..\\",
        "a\r\nb",
        "a\0b",
        "",
        " ",
        "a\u2028b",
        "\ud800",
    ],
)
async def test_an_id_that_would_be_another_path_is_refused(server: LocalSymbl, id_: str) -> None:
    async with server.client(**QUICK) as symbl:
        for use in (
            symbl.conversation,
            symbl.job,
            lambda bad: symbl.append(bad, Text("Hello.")),
            lambda bad: symbl.job("1", bad),
        ):
            with pytest.raises(ConfigurationError):
                use(id_)
    assert server.requests == []


@pytest.mark.parametrize(
    "id_",
    ["a%2fb", "%2e%2e", "..%2f..", "a?b=c", "a#b", "a;b", "a&b", "a=b", "a b", "a:b", "a@b", "日本",
     "é", "...", "a..b", "}x{", "%", "%zz", "+", "a+b", "\u202e", "💬", "a" * 2000],
)  # fmt: skip
async def test_a_strange_id_arrives_as_it_was_meant(id_: str) -> None:
    arrived: list[tuple[str, str]] = []

    async def note(request: web.Request) -> web.Response:
        if request.path == "/oauth2/token:generate":
            return web.json_response({"accessToken": TOKEN, "expiresIn": 60})
        kind, _, last = request.raw_path.rpartition("/")
        arrived.append((f"{request.method} {kind}", unquote(last)))
        return web.json_response({"message": "No."}, status=404)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", note)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        config = Config(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}", **QUICK)
        async with SymblClient(Credentials("app", "secret"), config=config) as symbl:
            if not is_word(id_):
                with pytest.raises(ConfigurationError):
                    symbl.conversation(id_)
                return
            for ask in (
                symbl.conversation(id_).info,
                symbl.job(id_).refresh,
                lambda: symbl.append(id_, Text("Hello.")),
            ):
                with pytest.raises(APIError):
                    await ask()
            await symbl.aclose(drain="none")
    finally:
        await runner.cleanup()
    assert list(dict.fromkeys(arrived)) == [  # a job is followed from then on
        ("GET /v1/conversations", id_),
        ("GET /v1/job", id_),
        ("PUT /v1/process/text", id_),
    ]
