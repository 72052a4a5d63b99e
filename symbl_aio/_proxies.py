"""Choice of the HTTP proxy for a URL: the setting's, else that of the environment.

No I/O. The variables are those of curl, the lower case spelling first: ``https_proxy``
or ``http_proxy`` by the URL's scheme, else ``all_proxy``, unless ``no_proxy`` names the host.
"""

from __future__ import annotations

import ipaddress
import os
import re
from base64 import b64encode
from typing import Final
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from attrs import field, frozen

from symbl_aio._error_classes import ConfigurationError

HOST_AND_PORT: Final = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")
_PORTS: Final = {"http": 80, "https": 443}


@frozen
class Proxy:
    """A proxy that requests go through."""

    url: str
    """Its origin, without user and password."""
    name: str
    """Name of the setting or variable that it came from."""
    authorization: str | None = field(default=None, repr=False)
    """The ``Proxy-Authorization`` header that it requires."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Texts to redact, should an answer repeat them."""


def parse_proxy(name: str, value: object) -> Proxy:
    """Parse a proxy's URL; without a scheme it is ``http``, as in ``proxy.example.com:3128``.

    Raises ``ConfigurationError`` with ``name`` and without the value, which may hold a
    password.
    """
    remedy = "give the URL of an HTTP proxy, such as http://user:password@proxy.example.com:3128"
    if not isinstance(value, str) or not value.isprintable():
        raise ConfigurationError(f"{name} is not a URL; {remedy}")
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(f"{name} is not a URL; {remedy}") from None
    if parts.scheme not in _PORTS:
        raise ConfigurationError(
            f"{name} is a proxy of a kind that is not supported (only http and https are); {remedy}"
        )
    user, _, place = parts.netloc.rpartition("@")
    if not host or port == 0 or not HOST_AND_PORT.fullmatch(place):
        raise ConfigurationError(f"{name} has no usable host and port; {remedy}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError(f"{name} holds more than a host, a port and a user; {remedy}")
    url = f"{parts.scheme}://{place}"
    if not user:
        return Proxy(url, name)
    account, _, password = user.partition(":")
    pair = unquote_to_bytes(account) + b":" + unquote_to_bytes(password)
    encoded = b64encode(pair).decode()
    # The account's name alone is no secret, and may be a word of any sentence.
    return Proxy(url, name, f"Basic {encoded}", (user, unquote(password), encoded))


def environment_proxy(origin: str) -> Proxy | None:
    """Return the environment's proxy for an origin, if any.

    Loopback has none: a proxy elsewhere would connect to its own machine. Raises
    ``ConfigurationError`` that names the variable of an unusable proxy.
    """
    parts = urlsplit(origin)
    host = (parts.hostname or "").rstrip(".")
    if is_loopback(host):
        return None
    _, bypass = _variable("no")
    if is_bypassed(host, parts.port or _PORTS[parts.scheme], bypass):
        return None
    for kind in (parts.scheme, "all"):
        name, value = _variable(kind)
        if value:
            return parse_proxy(name, value)
    return None


def _variable(kind: str) -> tuple[str, str]:
    lower = f"{kind}_proxy"
    if lower in os.environ:  # an empty one overrides the upper case
        return lower, os.environ[lower].strip()
    upper = lower.upper()
    if upper == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ:
        return upper, ""  # in a CGI program it is a visitor's header, "Proxy:"
    return upper, os.environ.get(upper, "").strip()


def is_bypassed(host: str, port: int, bypass: str) -> bool:
    """Return whether ``NO_PROXY`` names the host.

    Its items, between commas or spaces: ``*``, a name (which stands for all below it, too),
    an address or a network (``10.0.0.0/8``), each but a network perhaps with a port.
    """
    host = host.lower()
    for item in bypass.lower().replace(",", " ").split():
        if item == "*":
            return True
        name, of_port = item, ""
        if HOST_AND_PORT.fullmatch(item) and not item.endswith("]"):
            name, _, of_port = item.rpartition(":") if ":" in item else (item, "", "")
        if of_port and int(of_port) != port:
            continue
        name = name.strip("[]").removeprefix("*").lstrip(".").rstrip(".")
        if name and (host == name or host.endswith(f".{name}") or _is_within(host, name)):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
