"""The proxies of ``docs/hosting.md``, as they stand there, before ``symbl-aio serve``."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from symbl_aio import Config, Credentials, SymblClient, Text
from symbl_aio.cli.self_signed import self_signed
from symbl_aio.media import Video
from tests.cli.test_serve import serving
from tests.shell import ROOT

GUIDE = (ROOT / "docs" / "hosting.md").read_text()


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return str(found)


def nginx(folder: Path, certificate: Path, key: Path, port: int, server: int) -> list[str]:
    text = block("nginx").replace("symbl.example.com;", "localhost;")
    text = re.sub(r"(ssl_certificate +)[^;]+", rf"\g<1>{certificate}", text)
    text = re.sub(r"(ssl_certificate_key +)[^;]+", rf"\g<1>{key}", text)
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{server}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{folders}{text}}}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, certificate: Path, key: Path, port: int, server: int) -> list[str]:
    text = block("caddy").replace("symbl.example.com {", f"https://localhost:{port} {{")
    text = text.replace("{\n", f"{{\n    tls {certificate} {key}\n", 1)
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{server}")
    quiet = "{\nadmin off\nlog {\nlevel ERROR\n}\nauto_https disable_redirects\n}\n"
    (folder / "Caddyfile").write_text(quiet + text)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@asynccontextmanager
async def proxy(command: list[str], folder: Path, port: int) -> AsyncIterator[None]:
    """Run a proxy until its port accepts connections, and stop it at the end."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(folder)}
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    try:
        async with asyncio.timeout(30):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)  # no event tells when another program listens
                else:
                    writer.close()
                    break
        assert process.returncode is None, f"{command[0]} ended"
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.mark.parametrize("start", [nginx, caddy])
async def test_the_client_works_through_the_proxy_of_the_guide(
    start, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    if shutil.which(start.__name__, path="/usr/sbin:/usr/bin") is None:
        pytest.skip(f"{start.__name__} is not installed")
    port, server = unused_tcp_port_factory(), unused_tcp_port_factory()
    certificate, key = self_signed(tmp_path / "tls", ["localhost"])
    public = f"https://localhost:{port}"
    options = ("--public-url", public, "--trusted-proxy", "127.0.0.1", "--port", str(server))
    async with serving(*options, SYMBL_APP_SECRET="a-secret-of-the-user"):
        command = start(tmp_path, certificate, key, port, server)
        config = Config(base_url=public, ca_file=certificate)
        credentials = Credentials("app", "a-secret-of-the-user")
        async with proxy(command, tmp_path, port):
            async with SymblClient(credentials, config=config) as symbl:
                spoken = await symbl.process(Text("We ship the parser."))
                page = await spoken.create_experience("verbose-text-summary")
                async with symbl.stream() as stream:
                    await stream.send(bytes(3200))
                    heard = await stream.stop()
                with pytest.raises(Exception, match="moov"):
                    await symbl.process(Video(b"\0\0\0\x18ftypmp42" + bytes(3_000_000)))
            trust = ssl.create_default_context(cafile=str(certificate))
            async with aiohttp.ClientSession() as session:
                async with session.get(page.url, ssl=trust) as answer:
                    shown = await answer.text()
                async with session.get(f"{public}/metrics", ssl=trust) as answer:
                    metrics = answer.status

    assert page.url.startswith(f"{public}/")
    assert "We ship the parser." in shown
    assert heard.id
    assert metrics == 403
