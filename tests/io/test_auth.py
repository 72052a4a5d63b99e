import asyncio
import errno
import json
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from symbl_aio import SymblClient
from symbl_aio._io.auth import Tokens
from symbl_aio._io.tasks import Tasks
from symbl_aio._protocol.encode import Call
from symbl_aio.config import AccessToken, Config, Credentials, Timeouts
from symbl_aio.errors import (
    APIError,
    AuthenticationError,
    ClientClosedError,
    ConcurrencyLimitError,
    ConfigurationError,
    DecodeError,
    PermissionDeniedError,
    ServerError,
    TransportError,
)
from symbl_aio.testing import LocalSymbl

JOB = Call("GET", "/v1/job/j1")
LIST = Call("GET", "/v1/conversations")
TOKEN_PATH = "/oauth2/token:generate"
APP_SECRET = "sec-2f9d8e7c6b5a4938"


def token_requests(server: LocalSymbl) -> int:
    return sum(1 for seen in server.requests if seen.path == TOKEN_PATH)


class Mint:
    """Makes tokens when it is let, and counts how often it was asked."""

    def __init__(self, *lives: float | None) -> None:
        self.asked = 0
        self.lives = list(lives)
        self.open = asyncio.Event()
        self.open.set()
        self.begun = asyncio.Event()
        self.error: BaseException | None = None
        self.value: str | None = None
        self.tasks = Tasks()
        self.tasks.open()

    async def make(self) -> AccessToken:
        self.asked += 1
        number = self.asked
        self.begun.set()
        await self.open.wait()
        if self.error is not None:
            raise self.error
        life = self.lives[min(number, len(self.lives)) - 1] if self.lives else None
        return AccessToken(self.value or f"t{number}", life)

    def tokens(self, clock: Callable[[], float] = monotonic) -> Tokens:
        return Tokens(self.make, self.tasks, clock)

    async def settled(self) -> None:
        await asyncio.gather(*self.tasks.running, return_exceptions=True)


# One request for all


async def test_any_number_of_first_callers_share_one_request():
    mint = Mint()
    tokens = mint.tokens()
    assert await asyncio.gather(*(tokens.current() for _ in range(50))) == ["t1"] * 50
    assert mint.asked == 1


async def test_any_number_of_first_calls_make_one_token_request(server, reach):
    api = reach(server)
    await asyncio.gather(*(api.call(LIST) for _ in range(20)))
    assert token_requests(server) == 1


async def test_a_caller_that_is_cancelled_does_not_spoil_the_token_for_the_others():
    mint = Mint()
    mint.open.clear()
    tokens = mint.tokens()
    first, second = (asyncio.ensure_future(tokens.current()) for _ in range(2))
    await mint.begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    mint.open.set()
    assert await second == "t1"
    assert mint.asked == 1


async def test_a_token_whose_every_caller_was_cancelled_is_kept_for_the_next():
    mint = Mint()
    mint.open.clear()
    tokens = mint.tokens()
    only = asyncio.ensure_future(tokens.current())
    await mint.begun.wait()
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    mint.open.set()
    assert await tokens.current() == "t1"
    assert mint.asked == 1


async def test_callers_of_a_request_that_the_client_ended_learn_that_it_was_closed():
    mint = Mint()
    mint.open.clear()
    waiting = asyncio.ensure_future(mint.tokens().current())
    await mint.begun.wait()
    await mint.tasks.cancel_all()
    with pytest.raises(ClientClosedError):
        await waiting


async def test_a_failure_is_told_to_all_who_waited_and_the_next_caller_asks_again():
    mint = Mint()
    mint.error = ServerError(500)
    tokens = mint.tokens()
    failures = await asyncio.gather(*(tokens.current() for _ in range(5)), return_exceptions=True)
    assert failures == [mint.error] * 5
    assert mint.asked == 1
    mint.error = None
    assert await tokens.current() == "t2"


# A token that was refused


async def test_all_who_were_refused_the_same_token_share_one_request():
    mint = Mint()
    tokens = mint.tokens()
    refused = await tokens.current()
    assert await asyncio.gather(*(tokens.replace(refused) for _ in range(9))) == ["t2"] * 9
    assert mint.asked == 2


async def test_a_refusal_that_comes_late_takes_the_token_that_is_there_by_now():
    mint = Mint()
    tokens = mint.tokens()
    refused = await tokens.current()
    await tokens.replace(refused)
    assert await tokens.replace(refused) == "t2"
    assert mint.asked == 2


async def test_revoked_tokens_are_replaced_with_one_request_for_all(server, reach):
    api = reach(server)
    await api.ready()
    server.revoke_tokens()
    answers = await asyncio.gather(*(api.call(LIST) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert token_requests(server) == 2
    assert [seen.status for seen in server.requests if seen.path == LIST.path].count(401) == 10


@pytest.mark.parametrize("ask", ["call", "ask_once"])
async def test_the_same_token_back_is_an_error_after_exactly_one_more_request(serve, reach, ask):
    async def script(exchange):
        while True:
            head, _ = await exchange.request()
            if head.target == TOKEN_PATH:
                await exchange.answer(200, '{"accessToken": "same-again", "expiresIn": 100}')
            else:
                await exchange.answer(401, '{"message": "It is not good."}')

    raw = await serve(script)
    with pytest.raises(AuthenticationError, match="brought the same one back") as raised:
        await getattr(reach(raw), ask)(JOB)
    assert raised.value.status == 401
    assert [head.target for head in raw.heads] == [TOKEN_PATH, JOB.path, TOKEN_PATH]


@pytest.mark.parametrize("ask", ["call", "ask_once"])
async def test_a_second_token_that_is_refused_too_ends_it(serve, reach, ask):
    async def script(exchange):
        while True:
            head, _ = await exchange.request()
            if head.target == TOKEN_PATH:
                number = len(exchange.server.heads)
                await exchange.answer(200, json.dumps({"accessToken": f"token-{number}"}))
            else:
                await exchange.answer(401, '{"message": "Not for you."}')

    raw = await serve(script)
    with pytest.raises(AuthenticationError, match="Not for you") as raised:
        await getattr(reach(raw), ask)(JOB)
    assert raised.value.message == "Not for you."
    assert [head.target for head in raw.heads] == [TOKEN_PATH, JOB.path] * 2
    tokens = [head.all("Authorization") for head in raw.heads if head.target == JOB.path]
    assert tokens == [["Bearer token-1"], ["Bearer token-3"]]


# Time


async def test_a_token_is_refreshed_in_the_background_before_it_ends():
    now = 0.0
    mint = Mint(10_000)
    tokens = mint.tokens(lambda: now)
    assert await tokens.current() == "t1"
    now += 9_699
    assert await tokens.current() == "t1"
    assert mint.asked == 1

    now += 2
    mint.open.clear()
    mint.begun.clear()
    for _ in range(20):
        assert await tokens.current() == "t1"  # nobody waits
    await mint.begun.wait()
    mint.open.set()
    await mint.settled()
    assert await tokens.current() == "t2"
    assert mint.asked == 2


async def test_a_token_that_has_ended_is_waited_for():
    now = 0.0
    mint = Mint(100)
    tokens = mint.tokens(lambda: now)
    await tokens.current()
    now += 100
    assert await asyncio.gather(*(tokens.current() for _ in range(5))) == ["t2"] * 5


async def test_a_token_of_unknown_life_is_used_until_it_is_refused():
    now = 0.0
    tokens = (mint := Mint(None)).tokens(lambda: now)
    await tokens.current()
    now += 10**9
    assert await tokens.current() == "t1"
    assert mint.asked == 1


@pytest.mark.parametrize("lives,step,most", [([300], 1, 1), ([3, 2, 1], 0.1, 3), ([1], 0.1, 5)])
async def test_a_short_rest_of_life_does_not_mean_a_request_per_call(lives, step, most):
    now = 0.0
    mint = Mint(*lives)
    tokens = mint.tokens(lambda: now)
    for _ in range(40):
        await tokens.current()
        await mint.settled()
        now += step
    assert mint.asked <= most


async def test_a_token_told_to_have_no_life_left_is_used_for_a_moment(serve, reach):
    async def script(exchange):
        while True:
            await exchange.request()
            await exchange.answer(200, '{"accessToken": "abc", "expiresIn": 0}')

    raw = await serve(script)
    api = reach(raw)
    for _ in range(9):
        await api.call(JOB)
    assert [head.target for head in raw.heads].count(TOKEN_PATH) == 1


@pytest.mark.parametrize("error", [ServerError(500), RuntimeError("the provider's own")])
async def test_a_background_refresh_that_fails_is_not_repeated_at_every_call(error):
    now = 0.0
    mint = Mint(1000)
    tokens = mint.tokens(lambda: now)
    await tokens.current()
    mint.error = error
    now += 901
    for _ in range(20):
        assert await tokens.current() == "t1"
        await mint.settled()
        await asyncio.sleep(0)  # for what is done when a task is done
    assert mint.asked == 2
    mint.error = None
    now += 11
    await tokens.current()
    await mint.settled()
    assert await tokens.current() == "t3"


# Who gives it


async def test_a_ready_token_is_sent_and_none_is_asked_for(server, reach):
    value = server._tokens.current().value
    answer = await reach(server, AccessToken(value)).call(LIST)
    assert answer.status == 200
    assert token_requests(server) == 0


@pytest.mark.parametrize("ask", ["call", "ask_once"])
async def test_a_ready_token_that_is_refused_is_the_servers_own_error(server, reach, ask):
    with pytest.raises(AuthenticationError, match="Token validation failed"):
        await getattr(reach(server, AccessToken("stale-token")), ask)(LIST)
    assert [seen.path for seen in server.requests] == [LIST.path]


@pytest.mark.parametrize("wrapped", [False, True], ids=["str", "AccessToken"])
async def test_a_callable_gives_tokens_and_is_called_again_after_a_refusal(server, reach, wrapped):
    calls = 0

    async def provider() -> AccessToken | str:
        nonlocal calls
        calls += 1
        value = server._tokens.current().value
        return AccessToken(value, 1000) if wrapped else value

    api = reach(server, provider)
    await asyncio.gather(*(api.call(LIST) for _ in range(5)))
    assert calls == 1
    server.revoke_tokens()
    await api.call(LIST)
    assert calls == 2
    assert token_requests(server) == 0


class VaultError(Exception):
    """Of somebody else's library."""


class PanicError(BaseException):
    """As extensions in Rust raise it."""


PASSING = [
    OSError(errno.ECONNREFUSED, "refused"),
    TimeoutError(),
    VaultError("sealed with s3cret"),
    ServerError(503),
    ConcurrencyLimitError(429),
    TransportError("of another client", "maybe"),
    KeyError("access_token"),
    MemoryError(),
    asyncio.CancelledError(),
    GeneratorExit(),
    PanicError(),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
async def test_what_a_callable_raises_is_tried_again_like_a_refused_connection(
    server, reach, error
):
    calls = 0

    async def provider() -> str:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise error
        return str(server._tokens.current().value)

    assert (await reach(server, provider).call(LIST)).status == 200
    assert calls == 3


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
async def test_a_callable_that_never_gives_a_token_ends_as_an_error_of_ours(server, reach, error):
    calls = 0

    async def provider() -> str:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(TransportError, match="no token could be had") as raised:
        await reach(server, provider).call(LIST)
    causes = [raised.value.__cause__, getattr(raised.value.__cause__, "__cause__", None)]
    assert any(isinstance(cause, type(error)) for cause in causes)
    assert raised.value.sent == "no"
    assert "s3cret" not in str(raised.value)
    assert calls == 3  # as often as Retries says
    assert server.requests == []


FINAL = [
    ConfigurationError("the vault's address is empty"),
    AuthenticationError(401, "revoked"),
    PermissionDeniedError(403),
]


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
async def test_a_callable_may_say_that_its_failure_is_final(server, reach, error):
    calls = 0

    async def provider() -> str:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(AuthenticationError) as raised:
        await reach(server, provider).call(LIST)
    assert raised.value is error or raised.value.__cause__ is error
    assert calls == 1


@pytest.mark.parametrize("given", ["two words", "", None, 7, b"token"])
async def test_a_callable_that_gives_no_token_is_a_final_failure(server, reach, given):
    async def provider() -> Any:
        return given

    with pytest.raises(AuthenticationError, match=r"AccessToken") as raised:
        await reach(server, provider).call(LIST)
    assert isinstance(raised.value.__cause__, ConfigurationError)
    assert server.requests == []


async def test_a_callable_that_is_not_async_is_a_wrong_setting(server, reach):
    with pytest.raises(AuthenticationError, match="give an async function"):
        await reach(server, lambda: "token").call(LIST)


async def test_a_callable_that_hangs_is_given_up_and_called_again(server, reach):
    calls = 0

    async def provider() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()
        return str(server._tokens.current().value)

    api = reach(server, provider, timeouts=Timeouts(connect=0.01, read=0.01))
    assert (await api.call(LIST)).status == 200
    assert calls == 2


async def test_a_background_refresh_by_a_callable_is_tried_again_unnoticed(server, reach):
    calls = 0
    again = asyncio.Event()

    async def provider() -> AccessToken:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.EMFILE, "too many")
        if calls == 3:
            again.set()
        return AccessToken(server._tokens.current().value, 1000)

    api = reach(server, provider)
    await api.call(LIST)
    api._tokens._refresh_at = 0.0
    await api.call(LIST)
    await again.wait()
    assert (await api.call(LIST)).status == 200


# What goes wrong on the way


async def test_a_wrong_secret_is_said_to_be_one_after_a_single_request(server, reach):
    with pytest.raises(AuthenticationError, match="app id or secret was refused") as raised:
        await reach(server, Credentials("app", "another")).call(LIST)
    assert raised.value.status == 401
    assert [seen.path for seen in server.requests] == [TOKEN_PATH]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_token_request_is_repeated_like_a_read(server, reach, status):
    server.inject(f"status:{status}", on="token", times=2)
    assert (await reach(server).call(LIST)).status == 200
    assert token_requests(server) == 3


async def test_a_token_that_could_not_be_had_means_that_nothing_was_sent(server, reach):
    server.inject("drop_before_body", on="token", times=3)
    with pytest.raises(TransportError, match="no token could be had") as raised:
        await reach(server).call(LIST)
    assert raised.value.sent == "no"
    assert {seen.path for seen in server.requests} == {TOKEN_PATH}


@pytest.mark.parametrize("text", ["<html>", "[]", "{}", '{"accessToken": 7}'])
async def test_an_answer_without_a_token_is_shown_to_nobody(serve, reach, text):
    async def script(exchange):
        await exchange.request()
        await exchange.answer(200, text)

    with pytest.raises(DecodeError) as raised:
        await reach(await serve(script)).call(JOB)
    assert raised.value.raw == ""


@pytest.mark.parametrize("text", ["<html>Back in a minute</html>", "", "[]", "{}"])
async def test_a_page_in_place_of_a_token_is_asked_for_again(serve, reach, text):
    """Else one page of a proxy ends all submissions that wait for the token."""
    answers = iter([text, text, '{"accessToken": "t", "expiresIn": 3600}', "{}"])

    async def script(exchange):
        while True:
            await exchange.request()
            await exchange.answer(200, next(answers))

    server = await serve(script)
    assert (await reach(server).call(JOB)).status == 200
    assert [head.target for head in server.heads[:3]] == [TOKEN_PATH] * 3


async def test_credentials_go_into_the_body_of_the_token_request_alone(serve, reach):
    async def script(exchange):
        while True:
            head, _ = await exchange.request()
            token = '{"accessToken": "abc", "expiresIn": 9}'
            await exchange.answer(200, token if head.target == TOKEN_PATH else "{}")

    raw = await serve(script)
    await reach(raw, Credentials("my-app", APP_SECRET)).call(JOB)
    asked, read = raw.heads
    assert asked.method == "POST"
    assert asked.all("Authorization") == []
    assert asked.all("Content-Type") == ["application/json"]
    assert json.loads(raw.bodies[0]) == {
        "type": "application",
        "appId": "my-app",
        "appSecret": APP_SECRET,
    }
    assert read.all("Authorization") == ["Bearer abc"]
    assert APP_SECRET not in repr(raw.heads)


async def test_the_old_header_is_sent_when_asked_for_and_then_alone(serve, reach):
    async def script(exchange):
        while True:
            await exchange.request()
            await exchange.answer(200)

    raw = await serve(script)
    await reach(raw, AccessToken("abc"), auth_header="x-api-key").call(JOB)
    assert raw.heads[0].all("x-api-key") == ["abc"]
    assert raw.heads[0].all("Authorization") == []


# Secrets

BAD = "tok-0a1b2c3d4e5f6789"


@pytest.mark.parametrize("refusal", [400, 401, 403, 500])
async def test_a_server_that_repeats_secrets_does_not_bring_them_into_errors_or_logs(
    serve, reach, refusal, everything_told, caplog
):
    async def script(exchange):
        while True:
            head, body = await exchange.request()
            said = {"message": f"{body.decode()} {head.headers}", "more": body.decode()}
            if head.target == TOKEN_PATH and len(exchange.server.heads) == 1:
                await exchange.answer(200, json.dumps({"accessToken": BAD, "expiresIn": 9}))
            else:
                await exchange.answer(refusal, json.dumps(said))

    raw = await serve(script)
    api = reach(raw, Credentials("app", APP_SECRET))
    with caplog.at_level(logging.DEBUG):
        for ask in (api.call, api.ask_once):
            with pytest.raises(APIError) as raised:
                await ask(JOB)
            assert raised.value.status == refusal
            shown = everything_told(raised.value)
            assert BAD not in shown
            assert APP_SECRET not in shown
    assert BAD not in caplog.text
    assert APP_SECRET not in caplog.text


@pytest.mark.parametrize("ask", ["call", "ask_once"])
async def test_a_ready_token_that_is_repeated_in_its_refusal_is_not_shown(
    serve, reach, ask, everything_told
):
    async def script(exchange):
        head, _ = await exchange.request()
        await exchange.answer(401, json.dumps({"message": f"Bad: {head.headers}"}))

    with pytest.raises(AuthenticationError, match="Bad: ") as raised:
        await getattr(reach(await serve(script), AccessToken(BAD)), ask)(JOB)
    assert BAD not in everything_told(raised.value)


async def test_no_handle_or_setting_shows_a_secret(server, reach):
    credentials = Credentials("app", APP_SECRET)
    config = Config(base_url=server.base_url)
    api = reach(server, credentials)
    client = SymblClient(credentials, config=config)
    shown = repr([credentials, AccessToken(BAD), config, client, api, api._tokens])
    assert APP_SECRET not in shown
    assert BAD not in shown


@pytest.mark.parametrize("fault", ["drop_before_body", "reset", "half_answer", "not_http"])
async def test_a_broken_token_request_shows_no_secret(fault, reach, everything_told, caplog):
    async with LocalSymbl(app_secret=APP_SECRET) as server:
        server.inject(fault, on="token", times=9)
        api = reach(server, Credentials("app", APP_SECRET))
        with caplog.at_level(logging.DEBUG), pytest.raises(TransportError) as raised:
            await api.call(LIST)
        assert APP_SECRET not in everything_told(raised.value)
        assert APP_SECRET not in caplog.text
        assert token_requests(server) == 3
