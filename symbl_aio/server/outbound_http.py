"""What the server fetches or calls for a caller: linked media and webhooks.

http and https only, no redirects, with caps on size and time. Addresses that are not
public are refused unless the server is bound to loopback or the host is allowed by
name; the address judged is the address connected to, so that a name which changes its
mind between the two gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import socket
from collections.abc import Collection, Mapping

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from symbl_aio.server.spooled_body import SpooledBody

logger = logging.getLogger("symbl_aio.server")

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class OutboundError(Exception):
    """What was asked for was refused, or the other side did not deliver."""


def is_public(address: str) -> bool:
    """Tell whether an IP address is a public unicast one, also inside an IPv6 wrapping."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        else:
            tunnel = ip.teredo[1] if ip.teredo is not None else None
            ip = next((v4 for v4 in (ip.ipv4_mapped, ip.sixtofour, tunnel) if v4 is not None), ip)
    return ip.is_global and not ip.is_multicast


def _parse_address(host: str) -> str | None:
    """The address that a host stands for, in every spelling that a socket takes; else None."""
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # 2130706433, 127.1, 0x7f.1
    except OSError:
        return None  # a name: its addresses are judged when it is resolved


class _PublicAddressResolver(AbstractResolver):
    """Resolves names, and gives only addresses that may be connected to."""

    def __init__(self, inner: AbstractResolver, allowed: Collection[str]) -> None:
        self._inner = inner
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if host.lower() not in self._allowed:
            found = [result for result in found if is_public(result["host"])]
        if not found:
            raise OSError(f"{host} has no public address")
        return found

    async def close(self) -> None:
        await self._inner.close()


class OutboundClient:
    """The server as a client. ``trusting``: private addresses are fine.

    ``seconds`` and ``size`` (bytes) cap a download; a webhook call gets ``call_seconds``.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        allowed_hosts: Collection[str] = (),
        download_timeout: float = 600,
        max_download_size: int = 4 * 1024**3,
        webhook_timeout: float = 10,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._allowed = frozenset(host.lower() for host in allowed_hosts)
        self._download_timeout = download_timeout
        self._max_download_size = max_download_size
        self._webhook_timeout = webhook_timeout
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def download(self, url: str, body: SpooledBody) -> None:
        """Download into ``body``. Raises OutboundError."""
        target = self._checked_url(url)
        try:
            async with (
                asyncio.timeout(self._download_timeout),
                self._open_session().get(target, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise OutboundError(f"the link answered {response.status}")
                async for chunk in response.content.iter_any():
                    if body.size + len(chunk) > self._max_download_size:
                        raise OutboundError(
                            f"the link gives more than {self._max_download_size} bytes"
                        )
                    await body.write(chunk)
            await body.finish()
        except TimeoutError:
            raise OutboundError(f"the link took more than {self._download_timeout:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise OutboundError(f"the link cannot be read: {type(error).__name__}") from error

    async def post_webhook(self, url: str, payload: Mapping[str, str]) -> bool:
        """POST a webhook payload; whether it was taken with a 2xx. Never raises.

        Only the host is logged: the rest of a webhook's address may be a secret.
        """
        host = "?"
        try:
            target = self._checked_url(url)
            host = target.host or host
            async with (
                asyncio.timeout(self._webhook_timeout),
                self._open_session().post(
                    target,
                    data=json.dumps(payload, separators=(",", ":")).encode(),
                    headers={"Content-Type": "application/json"},
                    allow_redirects=False,
                ) as response,
            ):
                if 200 <= response.status < 300:
                    return True
                logger.info("webhook on %s answered %s", host, response.status)
        except (aiohttp.ClientError, OSError, ValueError, OutboundError) as error:
            logger.info("webhook on %s was not delivered: %s", host, type(error).__name__)
        return False

    def _checked_url(self, url: str) -> URL:
        """Refuse what no resolver is asked about: the scheme, and addresses given as such."""
        try:
            # Read as aiohttp will read it: a host may look like a name and be an address
            # once it is normalised.
            target = URL(url)
            host = (target.raw_host or "").lower()
        except ValueError:
            raise OutboundError("the link is not a URL") from None
        if target.scheme not in ("http", "https") or not host:
            raise OutboundError("only http and https links are followed")
        if self._allow_private or host in self._allowed:
            return target
        address = _parse_address(host)
        # Some versions of aiohttp ask no resolver about anything made of digits and dots.
        numeric = not host.strip("0123456789.")
        if (numeric and address is None) or (address is not None and not is_public(address)):
            raise OutboundError(f"{host} is not a public address")
        return target

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = self._resolver or aiohttp.ThreadedResolver()
            if not self._allow_private:
                resolver = _PublicAddressResolver(resolver, self._allowed)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, limit=100),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
                trust_env=False,
            )
        return self._session

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
