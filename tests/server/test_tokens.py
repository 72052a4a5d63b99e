from __future__ import annotations

import base64
import json
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support import Clock

PATH = "/oauth2/token:generate"
PAIR = {"type": "application", "appId": "app", "appSecret": "secret"}


async def test_a_token_is_cached_with_its_remaining_lifetime(start: Any) -> None:
    clock = Clock()
    caller = await start(token_life=1000, clock=clock)

    first = await caller.anonymous("POST", PATH, json=PAIR)
    clock.now += 300
    second = await caller.anonymous("POST", PATH, json=PAIR)

    assert first.status == second.status == 200
    assert first.body["expiresIn"] == 1000
    assert second.body == {**first.body, "expiresIn": 700}


async def test_near_its_expiry_a_token_is_followed_by_another_and_both_are_valid(
    start: Any,
) -> None:
    clock = Clock()
    caller = await start(token_life=1000, clock=clock)
    old = await caller.anonymous("POST", PATH, json=PAIR)
    clock.now += 950
    new = await caller.anonymous("POST", PATH, json=PAIR)

    assert new.body["accessToken"] != old.body["accessToken"]
    assert new.body["expiresIn"] == 1000
    for token in (old, new):
        caller.token = token.body["accessToken"]
        assert (await caller.get("/v1/conversations")).status == 200


async def test_an_expired_token_is_refused(start: Any) -> None:
    clock = Clock()
    caller = await start(token_life=1000, clock=clock)
    assert (await caller.get("/v1/conversations")).status == 200
    clock.now += 1000

    refused = await caller.get("/v1/conversations")

    assert refused.status == 401
    assert "oken" in refused.body["message"]


async def test_a_revoked_token_is_refused_and_the_next_is_another(caller: Any) -> None:
    await caller.get("/v1/conversations")
    caller.server.revoke_tokens()

    assert (await caller.get("/v1/conversations")).status == 401
    caller.token = None
    assert (await caller.get("/v1/conversations")).status == 200


async def test_the_same_token_is_stored_once(start: Any, tmp_path: Path) -> None:
    caller = await start(data=tmp_path)
    with closing(sqlite3.connect(tmp_path / "symbl.sqlite3")) as connection:
        tokens = []
        versions = []
        for _ in range(3):
            tokens.append(await caller.anonymous("POST", PATH, json=PAIR))
            # It changes with each commit of another connection.
            versions += connection.execute("PRAGMA data_version").fetchone()

    assert len({token.body["accessToken"] for token in tokens}) == 1
    assert len(set(versions)) == 1


async def test_the_deprecated_header_is_accepted_too(caller: Any) -> None:
    await caller.get("/v1/conversations")

    answer = await caller.anonymous("GET", "/v1/conversations", headers={"x-api-key": caller.token})

    assert answer.status == 200


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eHg="}, {"x-api-key": "wrong"}])
async def test_no_token_or_a_wrong_one_is_refused(caller: Any, headers: dict[str, str]) -> None:
    answer = await caller.anonymous("GET", "/v1/conversations", headers=headers)

    assert answer.status == 401
    assert list(answer.body) == ["message"]


@pytest.mark.parametrize(
    "body,status",
    [
        (PAIR | {"appSecret": "other"}, 401),
        (PAIR | {"appId": "other"}, 401),
        (PAIR | {"type": "password"}, 400),
        (PAIR | {"appId": 7}, 400),
        ([], 400),
    ],
)
async def test_a_wrong_token_request_is_refused(caller: Any, body: Any, status: int) -> None:
    answer = await caller.anonymous("POST", PATH, json=body)

    assert answer.status == status
    assert list(answer.body) == ["message"]


async def test_a_token_request_must_be_json(caller: Any) -> None:
    assert (await caller.anonymous("POST", PATH, data=b"{")).status == 400


async def test_a_refresh_token_issues_a_new_token_with_a_full_lifetime(start: Any) -> None:
    clock = Clock()
    caller = await start(token_life=1000, clock=clock)
    old = (await caller.anonymous("POST", PATH, json=PAIR)).body
    clock.now += 500

    new = await caller.anonymous(
        "POST",
        "/oauth2/token:refresh",
        json={"appId": "app", "appSecret": "secret", "refreshToken": old["refershToken"]},
    )

    assert new.status == 200
    assert new.body["accessToken"] != old["accessToken"]
    assert new.body["expiresIn"] == 1000
    for body in (old, new.body):
        caller.token = body["accessToken"]
        assert (await caller.get("/v1/conversations")).status == 200


@pytest.mark.parametrize(
    "change,status",
    [({"appSecret": "x"}, 401), ({"refreshToken": "x"}, 401), ({"refreshToken": None}, 400)],
)
async def test_a_wrong_refresh_is_refused(caller: Any, change: Any, status: int) -> None:
    good = (await caller.anonymous("POST", PATH, json=PAIR)).body["refershToken"]
    body = {"appId": "app", "appSecret": "secret", "refreshToken": good} | change

    answer = await caller.anonymous("POST", "/oauth2/token:refresh", json=body)

    assert answer.status == status


async def test_a_token_can_be_revoked_with_the_credentials(caller: Any) -> None:
    await caller.get("/v1/conversations")
    path, pair = "/oauth2/token:revoke", {"appId": "app", "appSecret": "secret"}

    assert (await caller.request("DELETE", path, json=pair | {"appId": "x"})).status == 401
    assert (await caller.get("/v1/conversations")).status == 200
    assert (await caller.request("DELETE", path, json=pair)).status == 200
    assert (await caller.get("/v1/conversations")).status == 401
    caller.token = None
    assert (await caller.get("/v1/conversations")).status == 200


async def test_a_token_is_a_json_web_token_that_states_when_it_expires(start: Any) -> None:
    caller = await start(token_life=1000)
    before = int(time.time())

    answer = await caller.anonymous("POST", PATH, json=PAIR)

    header, payload, signature = answer.body["accessToken"].split(".")
    decoded = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, payload)]
    assert decoded[0] == {"alg": "HS256", "typ": "JWT"}
    assert isinstance(decoded[1]["exp"], int)
    assert before + 1000 <= decoded[1]["exp"] <= int(time.time()) + 1000
    assert decoded[1]["exp"] - decoded[1]["iat"] == 1000
    assert len(base64.urlsafe_b64decode(signature + "==")) == 32
    # It also travels in a header that allows few characters.
    assert re.fullmatch(r"[\w.-]+", answer.body["accessToken"], re.ASCII)


async def test_a_token_with_other_claims_is_refused(caller: Any) -> None:
    await caller.get("/v1/conversations")
    header, _, signature = caller.token.split(".")
    claims = base64.urlsafe_b64encode(b'{"sub":"app","iat":1,"exp":99999999999}').decode()
    caller.token = f"{header}.{claims.rstrip('=')}.{signature}"

    assert (await caller.get("/v1/conversations")).status == 401


async def test_a_token_that_could_not_be_stored_is_stored_with_the_next_answer(
    start: Any, tmp_path: Path
) -> None:
    first = await start(data=tmp_path / "data")
    fields = {"type": "application", "appId": "app", "appSecret": "secret"}
    url = "/oauth2/token:generate"

    async def execute(sql: str) -> None:
        await first.server._storage._database.submit(lambda connection: connection.execute(sql))

    refusal = "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
    await execute(f"CREATE TRIGGER full BEFORE INSERT ON tokens {refusal}")
    unstored = await first.anonymous("POST", url, json=fields)
    assert unstored.status == 200
    await execute("DROP TRIGGER full")
    got = (await first.anonymous("POST", url, json=fields)).body
    assert got["accessToken"] == unstored.body["accessToken"]
    await first.server.aclose()

    second = await start(data=tmp_path / "data")
    second.token = got["accessToken"]
    assert (await second.get("/v1/conversations")).status == 200
    refresh = {**fields, "refreshToken": got["refershToken"]}
    answer = await second.anonymous("POST", "/oauth2/token:refresh", json=refresh)
    assert answer.status == 200
