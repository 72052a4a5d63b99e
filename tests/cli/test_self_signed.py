"""A certificate that the server makes for itself is one that clients can verify by its file."""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
import pytest

from symbl_aio.cli.self_signed import self_signed
from symbl_aio.server import Hosting, LocalServer, load_context


async def fetch(server: LocalServer, authority: ssl.SSLContext) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.base_url}/healthz", ssl=authority) as answer,
    ):
        return answer.status


async def test_a_self_signed_certificate_is_one_that_its_file_verifies(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path / "tls", ["127.0.0.1", "localhost", "me.example"])
    hosting = Hosting(tls=load_context(certificate, key))

    async with LocalServer(hosting=hosting) as server:
        assert server.base_url.startswith("https://")
        assert await fetch(server, ssl.create_default_context(cafile=certificate)) == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await fetch(server, ssl.create_default_context())


def test_a_self_signed_certificate_is_kept_until_there_is_another_name(tmp_path: Path) -> None:
    first = self_signed(tmp_path, ["127.0.0.1"])[0].read_bytes()

    assert self_signed(tmp_path, ["127.0.0.1"])[0].read_bytes() == first
    assert self_signed(tmp_path, ["127.0.0.1", "a.example"])[0].read_bytes() != first
    assert {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {
        "certificate.pem": 0o600,
        "key.pem": 0o600,
    }
