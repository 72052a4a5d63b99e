"""Who called, by which name, and under which address the server is reached: also behind a proxy.

The headers of a proxy are believed only if the connection comes from one of its networks.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network

from aiohttp import web
from yarl import URL

from symbl_aio.server.http_json import ApiError

# Names that were checked are remembered, up to this number: parsing one costs more than a lookup.
_REMEMBERED = 64

# The name of an interface, behind a link-local address.
_ZONE = re.compile(r"[A-Za-z0-9_.-]*")

# More proxies than any chain has. A caller can name thousands, and each is parsed.
_MOST_HOPS = 32


class Origins:
    """The public address of the server, the names it answers to, and the proxies before it.

    ``public_url``: the origin in links to pages; by default that of the request. ``hosts``: names
    that a request's ``Host`` may have besides addresses and ``localhost``; None: any name.
    ``proxies``: networks whose ``X-Forwarded-For``, ``-Proto`` and ``-Host`` are believed. Raises
    ValueError for what is no URL or no network.
    """

    def __init__(
        self,
        *,
        public_url: str | None = None,
        hosts: Collection[str] | None = None,
        proxies: Iterable[str] = (),
    ) -> None:
        self._public = None if public_url is None else _parse_origin(public_url)
        self._networks = tuple(ipaddress.ip_network(network) for network in proxies)
        names = {"localhost", *(hosts or ())}
        if self._public is not None and self._public.host is not None:
            names.add(self._public.host)
        self._names = None if hosts is None else frozenset(name.lower() for name in names)
        self._accepted: set[str] = set()

    def client(self, request: web.BaseRequest) -> str:
        """Return the address of the caller: the last one that no known proxy has."""
        peer = request.remote or "?"
        if not self._networks or not self._is_proxy(peer):
            return peer
        forwarded = _joined(request, "X-Forwarded-For")
        hops = [
            _without_port(hop.strip()) for hop in forwarded.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]
        ]
        # From the right: what stands on the left of an unknown hop is the caller's invention.
        for hop in reversed(hops):
            if not _is_address(hop):
                return peer
            peer = hop
            if not self._is_proxy(hop):
                return hop
        return peer

    def was_forwarded(self, request: web.BaseRequest) -> bool:
        """Return whether a proxy passed the request on, known or not."""
        return any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "Via"))

    def origin(self, request: web.BaseRequest) -> str:
        """Return the origin by which the caller reaches the server, for links to it."""
        if self._public is not None:
            return str(self._public)
        scheme, host = request.scheme, request.host
        if self._networks and self._is_proxy(request.remote or "?"):
            scheme = _last(request, "X-Forwarded-Proto", ("http", "https")) or scheme
            host = _last(request, "X-Forwarded-Host") or host
        return f"{scheme}://{host}"

    def check_host(self, request: web.BaseRequest) -> None:
        """Raise a 421 ``ApiError`` for a name that is not the server's.

        A web page can make a name of its own point to this machine; its visitors' browsers then
        send requests with that name.
        """
        if self._names is None:
            return
        host = request.headers.get("Host")
        # HTTP/1.0, as probes of load balancers speak it, has none.
        if host is None or host in self._accepted:
            return
        name = _name_of(host)
        if name is None or not (name in self._names or _is_address(name)):
            raise ApiError(
                421, "The server does not have this name; start it with --public-url to add one."
            )
        if len(self._accepted) < _REMEMBERED:
            self._accepted.add(host)

    def _is_proxy(self, address: str) -> bool:
        return _is_address(address) and is_within(address, self._networks)


ORIGINS = web.AppKey("origins", Origins)


def own_names(host: str) -> list[str]:
    """Return the names of this machine, for a server bound to ``host``."""
    return [name for name in {host, socket.gethostname()} if name]


def is_within(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Return whether an address is in one of the networks; IPv4 in IPv6 counts as IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip.version == network.version and ip in network for network in networks)


def _parse_origin(text: str) -> URL:
    url = URL(text)
    if url.scheme not in ("http", "https") or not url.host or url.path not in ("", "/"):
        raise ValueError(f"{text!r} is no origin; give one such as https://symbl.example.com")
    return url.origin()


def _name_of(host: str) -> str | None:
    try:
        return URL(f"http://{host}").host
    except ValueError:
        return None


def _is_address(text: str) -> bool:
    address, _, zone = text.partition("%")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    # It is logged as it is.
    return _ZONE.fullmatch(zone) is not None


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _last(
    request: web.BaseRequest, name: str, allowed: Collection[str] | None = None
) -> str | None:
    value = _joined(request, name).rpartition(",")[2].strip()
    return value if value and (allowed is None or value in allowed) else None


def _joined(request: web.BaseRequest, name: str) -> str:
    """Return all lines of a header as one list.

    Some proxies, such as HAProxy, leave a line of the caller and add one of their own after it.
    """
    return ",".join(request.headers.getall(name, ()))


def is_loopback(host: str) -> bool:
    """Return whether a host, a name or an address, is this machine and reached from it only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
