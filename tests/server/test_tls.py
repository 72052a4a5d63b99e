"""The server speaks TLS with the files of its operator."""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme

from symbl_aio.server import LocalServer
from symbl_aio.server.hosting_settings import Hosting
from symbl_aio.server.tls import TLSError, load_context


async def fetch(server: LocalServer, authority: ssl.SSLContext) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.base_url}/healthz", ssl=authority) as answer,
    ):
        return answer.status


async def test_files_of_the_operator_are_used(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)

    hosting = Hosting(tls=load_context(tmp_path / "both.pem", None))
    async with LocalServer(hosting=hosting) as server:
        assert await fetch(server, trusted) == 200


async def test_renewed_files_are_used_for_new_connections(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"

    def issue() -> ssl.SSLContext:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(key)
        issued.cert_chain_pems[0].write_to_path(certificate)
        trusted = ssl.create_default_context()
        authority.configure_trust(trusted)
        return trusted

    first = issue()
    async with LocalServer(hosting=Hosting(tls=load_context(certificate, key))) as server:
        assert await fetch(server, first) == 200
        second = issue()
        assert await fetch(server, second) == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await fetch(server, first)

        # Of the next pair only one file is there yet.
        trustme.CA().issue_cert("127.0.0.1").private_key_pem.write_to_path(key)
        assert await fetch(server, second) == 200
        assert await fetch(server, second) == 200
        third = issue()
        assert await fetch(server, third) == 200

    [warning] = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "the certificate before it stays in use" in warning


@pytest.mark.parametrize("content", [None, "nothing", "key only"])
def test_files_that_are_no_pair_are_refused_with_a_remedy(
    tmp_path: Path, content: str | None
) -> None:
    certificate = tmp_path / "certificate.pem"
    if content == "key only":
        trustme.CA().issue_cert("a.example").private_key_pem.write_to_path(certificate)
    elif content is not None:
        certificate.write_text(content)

    with pytest.raises(TLSError, match="--tls-cert"):
        load_context(certificate, None)


def test_a_key_with_a_password_asks_for_none(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    issued = trustme.CA().issue_cert("a.example")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    path = tmp_path / "key.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    issued.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")

    with pytest.raises(TLSError, match="password"):
        load_context(tmp_path / "certificate.pem", path)
