"""A limit on wrong credentials, for each address that sends them."""

from __future__ import annotations

import ipaddress
import logging
import math
from collections import OrderedDict
from collections.abc import Callable

logger = logging.getLogger("symbl_aio.server")

# Addresses that are remembered. More of them means a crowd, and the oldest are forgotten.
_REMEMBERED = 10_000


class GuessLimit:
    """At most ``burst`` wrong guesses at once, then one each ``seconds``, for each address.

    ``clock`` returns seconds.
    """

    def __init__(self, burst: int, seconds: float, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._seconds = seconds
        self._clock = clock
        # The time at which all guesses of an address are forgotten. The oldest address first.
        self._forgotten_at: OrderedDict[str, float] = OrderedDict()

    def wait(self, address: str) -> int:
        """Return the seconds until this address may try again; 0 for now."""
        debt = self._forgotten_at.get(_network(address), 0.0) - self._clock()
        return max(0, math.ceil(debt - (self._burst - 1) * self._seconds))

    def record_wrong(self, address: str) -> None:
        """Record a wrong guess, and log it without the guess."""
        key, now = _network(address), self._clock()
        self._forgotten_at[key] = max(self._forgotten_at.get(key, now), now) + self._seconds
        self._forgotten_at.move_to_end(key)
        if len(self._forgotten_at) > _REMEMBERED:
            self._forgotten_at.popitem(last=False)
        logger.warning("wrong credentials from %s", address)


def _network(address: str) -> str:
    # A household, or a server, has a /64 of IPv6: its addresses count as one.
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
