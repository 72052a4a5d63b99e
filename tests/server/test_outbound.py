from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from symbl_aio.server.bodies import Body
from symbl_aio.server.outbound import Outbound, OutboundError, is_public
from tests.tables import table

SECRET = "/hook/n0nce/s1gnature"


class Names(AbstractResolver):
    """Every name has the next of these addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


class Site:
    def __init__(self) -> None:
        self.visits: list[str] = []
        self.port = 0

    async def give(self, request: web.Request) -> web.StreamResponse:
        self.visits.append(request.path)
        match request.path:
            case "/moved":
                raise web.HTTPFound("/ok")
            case "/missing":
                raise web.HTTPNotFound
            case "/never":
                response = web.StreamResponse()
                await response.prepare(request)
                await response.write(b"a")
                await asyncio.Event().wait()
            case "/broken":
                response = web.StreamResponse(headers={"Content-Length": "10"})
                await response.prepare(request)
                await response.write(b"abc")
                assert request.transport is not None
                request.transport.close()
                return response
        return web.Response(body=b"ten bytes!")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.give)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


@pytest.fixture
async def outbound() -> AsyncIterator[Any]:
    made: list[Outbound] = []

    def make(**settings: Any) -> Outbound:
        made.append(Outbound(**settings))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


@pytest.fixture
def body(tmp_path: Path) -> Body:
    return Body(tmp_path, keep=True, hashed=True)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@table(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_private_addresses_are_not(address: str) -> None:
    assert not is_public(address)


async def test_a_trusting_server_fetches_from_anywhere(
    outbound: Any, site: Site, body: Body
) -> None:
    await outbound(trusting=True).fetch(f"http://127.0.0.1:{site.port}/ok", body)

    assert body.size == 10
    assert body.path is not None
    assert body.path.read_bytes() == b"ten bytes!"


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "[::1]", "[::ffff:7f00:1]", "169.254.169.254", "localhost", "LOCALHOST."),
        *(
            "2130706433",
            "127.1",
            "0x7f.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "1.2.3.4.5",
            "127。0。0。1",
            "①②⑦.0.0.1",
        ),
    ],
)
async def test_others_do_not_go_to_private_addresses(
    outbound: Any, site: Site, body: Body, host: str
) -> None:
    with pytest.raises(OutboundError):
        await outbound(trusting=False).fetch(f"http://{host}:{site.port}/ok", body)

    assert site.visits == []


async def test_a_name_is_judged_by_the_address_connected_to(
    outbound: Any, site: Site, body: Body
) -> None:
    names = Names("127.0.0.1")
    with pytest.raises(OutboundError):
        await outbound(trusting=False, resolver=names).fetch(
            f"http://innocent.test:{site.port}/ok", body
        )

    assert names.asked == ["innocent.test"]
    assert site.visits == []


async def test_a_name_that_changes_its_mind_gains_nothing(
    outbound: Any, site: Site, body: Body
) -> None:
    # Public when first asked (nobody listens there: refused or unreachable), then not.
    one = outbound(trusting=False, resolver=Names("127.0.0.1", "10.0.0.1", "127.0.0.1"))
    for _ in range(3):
        with pytest.raises(OutboundError):
            await one.fetch(f"http://rebinding.test:{site.port}/ok", body)

    assert site.visits == []


async def test_a_host_may_be_allowed_by_name(outbound: Any, site: Site, body: Body) -> None:
    one = outbound(trusting=False, allowed_hosts=["Media.Test"], resolver=Names("127.0.0.1"))

    await one.fetch(f"http://media.test:{site.port}/ok", body)

    assert body.size == 10
    with pytest.raises(OutboundError):
        await one.fetch(f"http://other.test:{site.port}/ok", body)


async def test_an_address_may_be_allowed_as_a_name(outbound: Any, site: Site, body: Body) -> None:
    one = outbound(trusting=False, allowed_hosts=["127.0.0.1"])

    await one.fetch(f"http://127.0.0.1:{site.port}/ok", body)


@pytest.mark.parametrize("path", ["moved", "missing", "broken"])
async def test_redirects_errors_and_broken_answers_are_failures(
    outbound: Any, site: Site, body: Body, path: str
) -> None:
    with pytest.raises(OutboundError):
        await outbound(trusting=True).fetch(f"http://127.0.0.1:{site.port}/{path}", body)

    assert site.visits == [f"/{path}"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x.test/a", "http://", "http://[::"])
async def test_only_http_links_are_followed(outbound: Any, body: Body, url: str) -> None:
    with pytest.raises(OutboundError):
        await outbound(trusting=True).fetch(url, body)


async def test_a_download_has_a_largest_size(outbound: Any, site: Site, body: Body) -> None:
    with pytest.raises(OutboundError, match="more than 9 bytes"):
        await outbound(trusting=True, size=9).fetch(f"http://127.0.0.1:{site.port}/ok", body)


async def test_a_download_has_a_longest_time(outbound: Any, site: Site, body: Body) -> None:
    with pytest.raises(OutboundError, match=r"more than 0\.05 s"):
        await outbound(trusting=True, seconds=0.05).fetch(
            f"http://127.0.0.1:{site.port}/never", body
        )


async def test_a_webhook_that_never_answers_is_given_up(outbound: Any, site: Site) -> None:
    one = outbound(trusting=True, call_seconds=0.05)

    assert await one.call(f"http://127.0.0.1:{site.port}/ok", {"jobId": "1"})
    assert not await one.call("http://127.0.0.1:1/", {"jobId": "1"})


async def test_webhooks_obey_the_same_rules_and_keep_their_secrets(
    outbound: Any, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "symbl_aio.server")
    one = outbound(trusting=False, resolver=Names("127.0.0.1"))
    trusting = outbound(trusting=True)

    for url in (f"http://127.0.0.1:{site.port}", f"http://name.test:{site.port}", "http://[::1]:1"):
        assert not await one.call(url + SECRET, {"jobId": "1"})
    assert not await trusting.call(f"http://127.0.0.1:{site.port}/moved?s=n0nce", {"jobId": "1"})

    assert site.visits == ["/moved"]
    assert "name.test" in caplog.text
    assert "n0nce" not in caplog.text
