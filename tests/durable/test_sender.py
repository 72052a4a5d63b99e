"""A worker sends the same request as a client, whenever the item gets its slot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from symbl_aio import (
    Audio,
    AudioURL,
    MediaOptions,
    Text,
    TextOptions,
    Tracker,
    Utterance,
    Video,
    VideoURL,
)
from symbl_aio.durable import ItemState, Outbox
from symbl_aio.media import Media
from symbl_aio.server import Received
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import SECRET, Working, said
from tests.options import STORED_TRACKER, options_for, options_of
from tests.support import QUICK, mp4_bytes

pytestmark = pytest.mark.durable

HOOKS = {"webhook_base_url": "http://127.0.0.1:9/hook", "webhook_secret": SECRET}
OURS = ("name", "webhookUrl")
"""What the outbox adds, unless the caller has set it."""


def request(received: Received, *, but: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the parts of a request that do not depend on its time."""

    def rest(given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if name not in but}

    return {
        "method": received.method,
        "kind": received.kind,
        "query": rest(dict(received.query)),
        "body": rest(received.body),
        "sha256": received.sha256 if received.body is None else None,
        "type": received.headers.get("Content-Type"),
    }


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "standup.mp4"
    path.write_bytes(mp4_bytes())
    return path


def media(recording: Path) -> list[Media]:
    return [
        Text([Utterance("Größe.", "Ana", user_id="ana@example.com"), "Hello."]),
        Audio(recording, content_type="audio/mp3"),
        Video(recording),
        AudioURL("http://127.0.0.1:9/a.mp3?sig=%2B"),
        VideoURL("http://127.0.0.1:9/a.mp4"),
    ]


async def test_every_option_of_every_medium_arrives_as_from_a_client(
    outbox: Outbox,
    working: Working,
    server: LocalSymbl,
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("symbl_aio.server.management.records.random_id", lambda: STORED_TRACKER)
    async with server.client(**QUICK) as symbl:
        await symbl.trackers.create(Tracker("stored", ["x"]))
    for number, one in enumerate(media(recording)):
        options = options_for(one, **{o.field: o.value for o in options_of(one)})
        async with server.client(**QUICK) as symbl:
            await symbl.submit(one, options)
        await outbox.submit(one, options, key=f"k-{number}")
        async with working(config=HOOKS):
            assert (await outbox.result(f"k-{number}")).job_id is not None
        by_client, by_outbox = map(request, server.submissions[-2:])
        assert by_outbox == by_client
    assert len(server.submissions) == 10


async def test_what_the_caller_has_left_out_is_the_name_and_the_webhook_alone(
    outbox: Outbox, working: Working, server: LocalSymbl, recording: Path
) -> None:
    async with working(config=HOOKS), server.client(**QUICK) as symbl:
        for number, one in enumerate([*media(recording), recording]):
            job = await symbl.submit(one)
            await symbl.append(job, one)
            await outbox.submit(one, key=f"k-{number}")
            await outbox.append(f"k-{number}", one, key=f"more-{number}")
            await outbox.result(f"more-{number}")
            by_client, by_outbox = server.submissions[-4:-2], server.submissions[-2:]
            assert [request(a, but=OURS) for a in by_outbox] == [request(a) for a in by_client]
            assert [a.parameters.get("name") for a in by_outbox] == [f"k-{number}", None]
    urls = [a.parameters["webhookUrl"] for a in server.submissions if "webhookUrl" in a.parameters]
    assert len(urls) == len(set(urls)) == 12


@pytest.mark.parametrize("where", ["extra_body", "extra_query"])
async def test_what_the_caller_has_set_in_another_way_is_his_too(
    sqlite_database: str, working: Working, server: LocalSymbl, where: str
) -> None:
    extra: Any = {where: {"name": "Standup", "webhookUrl": "http://127.0.0.1:9/mine"}}
    async with Outbox(sqlite_database) as outbox:
        await outbox.submit(Text("Hello."), TextOptions(**extra), key="monday")
        async with working(database=sqlite_database, config=HOOKS):
            assert (await outbox.result("monday")).ok
    (one,) = server.submissions
    bare = request(one, but=OURS)
    assert bare["query"] == {}
    assert list(bare["body"]) == ["messages"]
    assert (one.parameters["name"], one.parameters["webhookUrl"]) == tuple(extra[where].values())


# Files


async def test_a_file_that_is_not_what_was_handed_in_is_refused(
    outbox: Outbox, working: Working, server: LocalSymbl, tmp_path: Path
) -> None:
    names = ["same", "changed", "replaced", "missing", "unreadable"]
    for name in names:
        (tmp_path / f"{name}.mp4").write_bytes(mp4_bytes())
        await outbox.submit(tmp_path / f"{name}.mp4", MediaOptions(name=name), key=name)
        await outbox.append(name, Text("More."), key=f"{name}-more")
    (tmp_path / "changed.mp4").write_bytes(mp4_bytes(5000))
    (tmp_path / "other.mp4").write_bytes(mp4_bytes()[:-1] + b"x")  # of the same size
    (tmp_path / "other.mp4").replace(tmp_path / "replaced.mp4")
    (tmp_path / "missing.mp4").unlink()
    (tmp_path / "unreadable.mp4").unlink()
    (tmp_path / "unreadable.mp4").mkdir()
    async with working():
        results = {name: await outbox.result(name) for name in names}
        followers = {name: await outbox.result(f"{name}-more") for name in names}
        assert results.pop("same").ok
        assert followers.pop("same").ok
        for name, result in results.items():
            assert result.state is ItemState.REFUSED
            assert str(tmp_path / f"{name}.mp4") in str(result.error)
            assert followers[name].state is ItemState.BLOCKED
        for name in ("changed", "replaced"):
            assert "not the file that was submitted" in str(results[name].error)
        for name in ("missing", "unreadable"):
            assert "cannot be read here" in str(results[name].error)
        # Once it is there again, a person has it sent.
        (tmp_path / "missing.mp4").write_bytes(mp4_bytes())
        await outbox.retry("missing")
        assert (await outbox.result("missing")).ok
        assert (await outbox.result("missing-more")).ok
    sent = [one.parameters.get("name") for one in server.submissions if one.method == "POST"]
    assert sent == ["same", "missing"]


# Half of a surrogate pair is replaced where the answer is read, and NUL where it is stored.
@pytest.mark.parametrize(
    ("told", "stored"), [("a\\u0000b", r"a\0b"), ("a\\ud800b", "a\N{REPLACEMENT CHARACTER}b")]
)
async def test_a_refusal_in_characters_that_no_database_takes_is_one(
    outbox: Outbox, working: Working, told: str, stored: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        if request.path == "/oauth2/token:generate":
            return web.json_response({"accessToken": "token", "expiresIn": 60})
        return web.Response(status=400, text=f'{{"message": "{told}"}}')

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await outbox.submit(Text("Refused."), key="refused")
        base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with working(config={"base_url": base_url}):
            result = await outbox.result("refused", timeout=10)
    finally:
        await runner.cleanup()
    assert result.state is ItemState.REFUSED
    assert stored in str(result.error)


async def test_what_the_client_or_the_server_refuses_is_refused(
    outbox: Outbox, working: Working, server: LocalSymbl, tmp_path: Path
) -> None:
    (tmp_path / "no.mp4").write_bytes(b"no mp4 at all" * 10)
    await outbox.submit(Video(tmp_path / "no.mp4"), key="no-mp4")
    await outbox.append("no/such", Text("Hello."), key="no-id")
    await outbox.append("nobody", Text("Hello."), key="unknown")
    server.inject("status:400", on="POST")
    await outbox.submit(Text("Refused."), key="refused")
    async with working():
        for key, told in (
            ("no-mp4", "mp4"),
            ("no-id", "no/such"),
            ("unknown", "nobody"),
            ("refused", "400"),
        ):
            result = await outbox.result(key)
            assert (key, result.state) == (key, ItemState.REFUSED)
            assert told in str(result.error)
            assert result.job_id is None
    assert said(server) == []
