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

from symbl_aio.server.outbound_http import OutboundClient, OutboundError, is_public
from symbl_aio.server.spooled_body import SpooledBody
from tests.tables import table

SECRET = "/hook/n0nce/s1gnature"


class FakeResolver(AbstractResolver):
    """Resolves every name to the next of these addresses."""

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


class FakeSite:
    def __init__(self) -> None:
        self.paths: list[str] = []
        self.port = 0

    async def respond(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
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
async def site() -> AsyncIterator[FakeSite]:
    site = FakeSite()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.respond)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


@pytest.fixture
async def outbound() -> AsyncIterator[Any]:
    made: list[OutboundClient] = []

    def make(**settings: Any) -> OutboundClient:
        made.append(OutboundClient(**settings))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


@pytest.fixture
def body(tmp_path: Path) -> SpooledBody:
    return SpooledBody(tmp_path, keep=True, hashed=True)


@table(
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
        "64:ff9b:1::808:808",
        "fec0::1",
        "5f00::1",
        "3fff::1",
        "::127.0.0.1",
    ],
)
def test_private_addresses_are_not(address: str) -> None:
    assert not is_public(address)


async def test_private_addresses_can_be_allowed(
    outbound: Any, site: FakeSite, body: SpooledBody
) -> None:
    await outbound(allow_private=True).download(f"http://127.0.0.1:{site.port}/ok", body)

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
    outbound: Any, site: FakeSite, body: SpooledBody, host: str
) -> None:
    with pytest.raises(OutboundError):
        await outbound(allow_private=False).download(f"http://{host}:{site.port}/ok", body)

    assert site.paths == []


async def test_the_address_that_is_connected_to_is_checked(
    outbound: Any, site: FakeSite, body: SpooledBody
) -> None:
    names = FakeResolver("127.0.0.1")
    with pytest.raises(OutboundError):
        await outbound(allow_private=False, resolver=names).download(
            f"http://innocent.test:{site.port}/ok", body
        )

    assert names.asked == ["innocent.test"]
    assert site.paths == []


async def test_a_name_that_resolves_differently_later_gains_nothing(
    outbound: Any, site: FakeSite, body: SpooledBody
) -> None:
    # Public at the first resolution (refused or unreachable), private at the second.
    one = outbound(allow_private=False, resolver=FakeResolver("127.0.0.1", "10.0.0.1", "127.0.0.1"))
    for _ in range(3):
        with pytest.raises(OutboundError):
            await one.download(f"http://rebinding.test:{site.port}/ok", body)

    assert site.paths == []


async def test_a_host_may_be_allowed_by_name(
    outbound: Any, site: FakeSite, body: SpooledBody
) -> None:
    one = outbound(
        allow_private=False, allowed_hosts=["Media.Test"], resolver=FakeResolver("127.0.0.1")
    )

    await one.download(f"http://media.test:{site.port}/ok", body)

    assert body.size == 10
    with pytest.raises(OutboundError):
        await one.download(f"http://other.test:{site.port}/ok", body)


async def test_an_address_may_be_allowed_as_a_name(
    outbound: Any, site: FakeSite, body: SpooledBody
) -> None:
    one = outbound(allow_private=False, allowed_hosts=["127.0.0.1"])

    await one.download(f"http://127.0.0.1:{site.port}/ok", body)


@pytest.mark.parametrize("path", ["moved", "missing", "broken"])
async def test_redirects_errors_and_broken_answers_are_failures(
    outbound: Any, site: FakeSite, body: SpooledBody, path: str
) -> None:
    with pytest.raises(OutboundError):
        await outbound(allow_private=True).download(f"http://127.0.0.1:{site.port}/{path}", body)

    assert site.paths == [f"/{path}"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x.test/a", "http://", "http://[::"])
async def test_only_http_links_are_followed(outbound: Any, body: SpooledBody, url: str) -> None:
    with pytest.raises(OutboundError):
        await outbound(allow_private=True).download(url, body)


async def test_a_download_has_a_largest_size(
    outbound: Any, site: FakeSite, body: SpooledBody
) -> None:
    with pytest.raises(OutboundError, match="more than 9 bytes"):
        await outbound(allow_private=True, max_download_size=9).download(
            f"http://127.0.0.1:{site.port}/ok", body
        )


async def test_a_download_has_a_longest_time(
    outbound: Any, site: FakeSite, body: SpooledBody
) -> None:
    with pytest.raises(OutboundError, match=r"more than 0\.05 s"):
        await outbound(allow_private=True, download_timeout=0.05).download(
            f"http://127.0.0.1:{site.port}/never", body
        )


async def test_a_webhook_that_never_responds_times_out(outbound: Any, site: FakeSite) -> None:
    one = outbound(allow_private=True, webhook_timeout=0.05)

    assert await one.post_webhook(f"http://127.0.0.1:{site.port}/ok", {"jobId": "1"})
    assert not await one.post_webhook("http://127.0.0.1:1/", {"jobId": "1"})


async def test_webhooks_follow_the_same_rules_and_are_not_logged(
    outbound: Any, site: FakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "symbl_aio.server")
    one = outbound(allow_private=False, resolver=FakeResolver("127.0.0.1"))
    allow_private = outbound(allow_private=True)

    for url in (f"http://127.0.0.1:{site.port}", f"http://name.test:{site.port}", "http://[::1]:1"):
        assert not await one.post_webhook(url + SECRET, {"jobId": "1"})
    assert not await allow_private.post_webhook(
        f"http://127.0.0.1:{site.port}/moved?s=n0nce", {"jobId": "1"}
    )

    assert site.paths == ["/moved"]
    assert [line.partition("delivered: ")[2] for line in caplog.messages[:3]] == [
        "127.0.0.1 is not a public address; the server can allow it",
        "its host is not found, or has no public address",
        "::1 is not a public address; the server can allow it",
    ]
    assert "name.test" in caplog.text
    assert "n0nce" not in caplog.text


async def test_a_link_that_cannot_be_read_has_a_reason_in_words(
    outbound: Any, body: SpooledBody
) -> None:
    one = outbound(allow_private=False, resolver=FakeResolver("127.0.0.1"))
    with pytest.raises(OutboundError, match="its host is not found, or has no public address"):
        await one.download("http://name.test/a.mp3", body)
    with pytest.raises(OutboundError, match="cannot be read: Connection refused"):
        await outbound(allow_private=True).download("http://127.0.0.1:1/a.mp3", body)
