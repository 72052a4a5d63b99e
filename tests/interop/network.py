"""A network of its own, where https://api.symbl.ai is the local server.

Some clients have the host in their code. This program runs in a namespace of Linux: it writes the
name to /etc/hosts and its own authority to the clients' lists of them, serves on port 443, runs a
client, and prints what the client printed. Nothing outside of the namespace changes.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp
import trustme

from symbl_aio.server import Hosting, LocalServer
from tests.interop.vendors import CREDENTIALS, HOST, LINES, Vendors

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def enter(*program: str) -> list[str]:
    """Return the command that runs ``program`` against the local server, in a namespace."""
    unshare = ["unshare", "--map-root-user", "--net", "--mount"]
    return [*unshare, sys.executable, "-m", "tests.interop.network", *program]


def available() -> bool:
    """Return whether this machine lets a user make namespaces."""
    try:
        return subprocess.run(enter(), capture_output=True, timeout=60, check=False).returncode == 0
    except OSError:
        return False


def bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        (flags,) = struct.unpack("16xh14x", request)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def replace(path: Path, text: str, directory: Path) -> None:
    """Show another text in place of a file, in this namespace alone."""
    other = directory / f"other-{path.name}"
    other.write_text(text)
    subprocess.run(["mount", "--bind", str(other), str(path)], check=True)


async def seed(session: aiohttp.ClientSession) -> str:
    """Return a conversation for clients that only read."""
    body = {"type": "application", **CREDENTIALS}
    async with session.post("/oauth2/token:generate", json=body) as response:
        token = (await response.json())["accessToken"]
    messages = [{"payload": {"content": text}, "from": {"name": name}} for name, text in LINES]
    headers = {"x-api-key": token}
    path = "/v1/process/text"
    async with session.post(path, json={"messages": messages}, headers=headers) as response:
        return str((await response.json())["conversationId"])


async def main(program: list[str]) -> int:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        bring_up_loopback()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(directory / "authority.pem")
        replace(Path("/etc/hosts"), f"127.0.0.1 localhost {HOST}\n", directory)
        bundle = Vendors.found().certifi
        if bundle is not None:
            known = bundle.read_text() + authority.cert_pem.bytes().decode()
            replace(bundle, known, directory)
        if not program:
            return 0
        return await serve(program, authority, directory)


async def serve(program: list[str], authority: trustme.CA, directory: Path) -> int:
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(context)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    transcript = [f"{name}: {text}" for name, text in LINES]
    server = LocalServer(
        port=443,
        probe_media=False,
        default_transcript="\n".join(transcript),
        hosting=Hosting(tls=context),
    )
    connector = aiohttp.TCPConnector(ssl=trusted)
    # A client for Python chooses an id of its own.
    server.register_transcript(transcript, stream="*", number="*")
    async with (
        server,
        aiohttp.ClientSession(f"https://{HOST}", connector=connector) as session,
    ):
        conversation = await seed(session)
        await server.until(lambda: not server.unfinished)
        environment = {
            **os.environ,
            "CONVERSATION": conversation,
            "CREDENTIALS": json.dumps(CREDENTIALS),
            "HOME": str(directory),
            "NODE_EXTRA_CA_CERTS": str(directory / "authority.pem"),
            # The WebSockets of the client for Python read the system's list, not that of certifi.
            "SSL_CERT_FILE": str(directory / "authority.pem"),
        }
        process = await asyncio.create_subprocess_exec(*program, env=environment)
        return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
