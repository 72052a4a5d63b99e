"""HTTP requests that the server makes for a caller: linked media and webhooks.

Only http and https, no redirects, limited in size and time. An address that is not
public is refused, unless all of them, or the host's name, are allowed.
The resolver checks the very address that is connected to, so a name that resolves to
another address the second time gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import socket
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from symbl_aio.server.spooled_body import SpooledBody

logger = logging.getLogger("symbl_aio.server")

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")

# Host names that are looked up at a time, for one application.
_LOOKUPS = 4

# Not public, and some versions of Python do not know it yet: NAT64 of one's own, the site-local
# addresses of old, addresses of segment routing and of documents.
_NOT_PUBLIC = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b:1::/48", "fec0::/10", "5f00::/16", "3fff::/20"))
)


class OutboundError(Exception):
    """The URL is not allowed, or the other server did not deliver."""


def is_public(address: str) -> bool:
    """Return whether an IP address is public and unicast, also when wrapped in an IPv6 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # An address that embeds an IPv4 address is as public as that one.
        if any(ip in network for network in _NOT_PUBLIC):
            return False
        if ip in _NAT64 or ip in _IPV4_COMPATIBLE:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        else:
            tunnel = ip.teredo[1] if ip.teredo is not None else None
            ip = next((v4 for v4 in (ip.ipv4_mapped, ip.sixtofour, tunnel) if v4 is not None), ip)
    return ip.is_global and not ip.is_multicast


def _parse_address(host: str) -> str | None:
    """Return the address in any spelling that a socket accepts, or None for a host name."""
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # 2130706433, 127.1, 0x7f.1
    except OSError:
        return None  # a name: the resolver checks its addresses


def _reason(error: Exception) -> str:
    """Return why a request failed, without its URL: that may contain a secret."""
    if isinstance(error, OutboundError):
        return str(error)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        # One text for both: a caller does not learn which names have private addresses.
        return "its host is not found, or has no public address"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate cannot be verified"
    number = getattr(error, "errno", None) or 0
    return os.strerror(number) if number > 0 else type(error).__name__


class _Resolver(AbstractResolver):
    """Ask the system for addresses, in threads of one application.

    The event loop's are few, and a name server that does not answer holds one for many seconds.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, "symbl_aio server names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _look_up, host, port, family)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    results: list[ResolveResult] = []
    for kind, _, protocol, _, address in socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM
    ):
        # A link-local address is one only with the name of its interface.
        name, service = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        results.append(
            ResolveResult(
                hostname=host, host=name, port=int(service), family=kind, proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
        )  # fmt: skip
    return results


class _PublicAddressResolver(AbstractResolver):
    """A resolver that returns only addresses that the server may connect to."""

    def __init__(self, inner: AbstractResolver, allowed: Collection[str]) -> None:
        self._inner = inner
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        # A host allowed by name may have any address.
        if host.lower() not in self._allowed:
            found = [result for result in found if is_public(result["host"])]
        if not found:
            raise OSError(f"{host} has no public address")
        return found

    async def close(self) -> None:
        await self._inner.close()


class OutboundClient:
    """The HTTP client of one application. ``allow_private``: private addresses are allowed.

    ``download_timeout`` (seconds) and ``max_download_size`` (bytes) limit a download,
    ``webhook_timeout`` (seconds) limits a webhook call.
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

    async def download(
        self, url: str, body: SpooledBody, on_growth: Callable[[], None] = lambda: None
    ) -> None:
        """Download a URL into ``body``; ``on_growth`` is called as it grows, and may raise.

        Raises OutboundError, and the OSError of a body that cannot be written.
        """
        target = self._checked_url(url)
        try:
            async with (
                asyncio.timeout(self._download_timeout),
                self._open_session().get(target, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise OutboundError(f"the link answered {response.status}")
                async for chunk in response.content.iter_any():
                    # Content-Length may be missing or wrong, so the bytes are counted.
                    if body.size + len(chunk) > self._max_download_size:
                        raise OutboundError(
                            f"the link gives more than {self._max_download_size} bytes"
                        )
                    await body.write(chunk)
                    on_growth()
            await body.finish()
        except TimeoutError:
            raise OutboundError(f"the link took more than {self._download_timeout:g} s") from None
        except (aiohttp.ClientError, ConnectionError, ValueError) as error:
            raise OutboundError(f"the link cannot be read: {_reason(error)}") from error

    async def post_webhook(self, url: str, payload: Mapping[str, str]) -> bool:
        """POST a webhook payload and return whether the response was a 2xx. Never raises.

        Only the host is logged: the rest of the URL may contain a secret.
        """
        host = "?"
        try:
            host = URL(url).host or host
            target = self._checked_url(url)
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
            logger.info("webhook on %s was not delivered: %s", host, _reason(error))
        return False

    def _checked_url(self, url: str) -> URL:
        """Parse a URL; refuse other schemes and private addresses that need no resolver."""
        try:
            # Parse as aiohttp does: a host may look like a name and normalise to an address.
            target = URL(url)
            host = (target.raw_host or "").lower()
        except ValueError:
            raise OutboundError("the link is not a URL") from None
        if target.scheme not in ("http", "https") or not host:
            raise OutboundError("only http and https links are followed")
        if self._allow_private or host in self._allowed:
            return target
        address = _parse_address(host)
        # Some versions of aiohttp pass a host of digits and dots to no resolver.
        numeric = not host.strip("0123456789.")
        if (numeric and address is None) or (address is not None and not is_public(address)):
            raise OutboundError(f"{host} is not a public address; the server can allow it")
        return target

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = self._resolver = self._resolver or _Resolver()
            if not self._allow_private:
                resolver = _PublicAddressResolver(resolver, self._allowed)
            self._session = aiohttp.ClientSession(
                # Without a DNS cache each connection is checked anew.
                # A call waits for a connection within its time: one host that does not answer
                # must not take all of them.
                connector=aiohttp.TCPConnector(
                    resolver=resolver, use_dns_cache=False, limit=100, limit_per_host=50
                ),
                # No cookies: the URL of one caller must not affect requests for another.
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
                trust_env=False,
            )
        return self._session

    async def aclose(self) -> None:
        """Close the connections. Closing twice is safe."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._resolver is not None:
            await self._resolver.close()
