"""The server knows its names, its address, and the caller behind a proxy that it trusts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from symbl_aio.server.hosting_settings import Hosting
from symbl_aio.server.http_json import ApiError
from symbl_aio.server.proxy_headers import Origins
from tests.tables import table

PROXY = {
    "Host": "inside:8080",
    "X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.0.0.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "symbl.example.com",
}


class Transport:
    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("10.0.0.1", 1) if name == "peername" else None


def request(headers: Mapping[str, str]) -> Any:
    return make_mocked_request("GET", "/", headers=headers, transport=Transport())


@table(
    "proxies,client,origin",
    [
        ([], "10.0.0.1", "http://inside:8080"),
        (["192.0.2.0/24"], "10.0.0.1", "http://inside:8080"),
        (["10.0.0.0/8"], "203.0.113.9", "https://symbl.example.com"),
        (["10.0.0.1"], "10.0.0.7", "https://symbl.example.com"),
        (["0.0.0.0/0"], "6.6.6.6", "https://symbl.example.com"),
    ],
)
def test_only_a_trusted_proxy_is_believed(proxies: list[str], client: str, origin: str) -> None:
    origins = Origins(proxies=proxies)

    assert origins.client(request(PROXY)) == client
    assert origins.origin(request(PROXY)) == origin


@table(
    "forwarded,client",
    [
        ("203.0.113.9:4711", "203.0.113.9"),  # as Azure's gateways write it
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0.5", "fe80::1%eth0.5"),
        ('203.0.113.9%x "GET /forged" 200', "10.0.0.1"),
        ('fe80::1%x "GET /forged" 200', "10.0.0.1"),
    ],
)
def test_a_port_is_no_part_of_an_address_and_a_text_behind_it_none(
    forwarded: str, client: str
) -> None:
    origins = Origins(proxies=["10.0.0.0/8"])

    assert origins.client(request({"Host": "x", "X-Forwarded-For": forwarded})) == client


def test_lines_of_one_header_are_one_list() -> None:
    origins = Origins(proxies=["10.0.0.0/8"])
    # HAProxy, for one, leaves the line of the caller alone and adds one of its own.
    invented = [("Host", "x")]
    invented += [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.9")]
    invented += [("X-Forwarded-Proto", "http"), ("X-Forwarded-Proto", "https")]
    invented += [("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Host", "symbl.example.com")]

    assert origins.client(request(CIMultiDict(invented))) == "203.0.113.9"
    assert origins.origin(request(CIMultiDict(invented))) == "https://symbl.example.com"


@table("forwarded", ["", "unknown", "unknown, ", "'; drop", "::1, _hidden"])
def test_a_forwarded_text_that_is_no_address_is_not_a_client(forwarded: str) -> None:
    origins = Origins(proxies=["10.0.0.0/8"])

    assert origins.client(request({"Host": "x", "X-Forwarded-For": forwarded})) == "10.0.0.1"


def test_of_a_long_chain_of_proxies_the_nearest_count() -> None:
    origins = Origins(proxies=["10.0.0.0/8"])
    chain = ", ".join(["203.0.113.9", "10.0.0.3", "10.0.0.4", *["10.0.0.7"] * 31])

    assert origins.client(request({"Host": "x", "X-Forwarded-For": chain})) == "10.0.0.4"


@table("headers", [PROXY, {"Host": "evil.example"}])
def test_links_lead_to_the_public_url(headers: dict[str, str]) -> None:
    origins = Origins(public_url="https://symbl.example.com/", proxies=["10.0.0.0/8"])

    assert origins.origin(request(headers)) == "https://symbl.example.com"


@table("host", ["127.0.0.1:8080", "[::1]:8080", "localhost", "LOCALHOST:1", "me"])
def test_its_own_names_and_addresses_are_accepted(host: str) -> None:
    Origins(hosts=["me"]).check_host(request({"Host": host}))
    Origins(hosts=["me"], public_url="https://symbl.example.com").check_host(
        request({"Host": "symbl.example.com"})
    )


@table(
    "host",
    ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil", "", "@"],
)
def test_another_name_is_refused(host: str) -> None:
    with pytest.raises(ApiError) as refused:
        Origins(hosts=["me"]).check_host(request({"Host": host}))

    assert refused.value.status == 421


def test_a_test_double_has_any_name() -> None:
    Origins().check_host(request({"Host": "evil.example"}))


@table("url", ["symbl.example.com", "ftp://a", "https://a/path", "https://"])
def test_a_public_url_is_an_origin(url: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        Origins(public_url=url)


async def test_a_foreign_name_is_refused_before_all_else(start: Any) -> None:
    caller = await start(hosting=Hosting(hosts=[]))

    assert (await caller.get("/v1/conversations")).status == 200
    answer = await caller.request("GET", "/v1/conversations", headers={"Host": "evil.example"})
    assert answer.status == 421
    assert (await caller.anonymous("GET", "/healthz", headers={"Host": "evil"})).status == 421


async def test_page_links_are_right_behind_a_proxy_with_tls(start: Any) -> None:
    for hosting in (
        Hosting(public_url="https://symbl.example.com"),
        Hosting(proxies=["127.0.0.1"]),
    ):
        caller = await start(hosting=hosting)
        answer = await caller.request(
            "GET",
            "/v1/conversations/experiences/insights/list",
            headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "symbl.example.com"},
        )

        assert answer.body["url"].startswith("https://symbl.example.com/pages/")
