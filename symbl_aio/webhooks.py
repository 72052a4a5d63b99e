"""Verification of webhook calls, and a receiver of them for any framework.

A verified call is still only a hint: it brings a poll forward, and the answer to that poll
counts. How a URL is made, and what a call holds, is in ``_protocol.webhook_calls``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Final

from symbl_aio._protocol.webhook_calls import WebhookCall, is_genuine, read_call

__all__ = ["WebhookReceiver"]

_MAX_BYTES: Final = 64 * 1024


def verify(
    secret: str, nonce: str, mark: str, body: bytes | bytearray | memoryview
) -> WebhookCall | int:
    """Return the call, or the HTTP status to refuse it with: 404, 413 or 400. Never raises.

    404: no holder of the secret made this URL, and the body was not parsed. 413: the body is
    larger than ``WebhookReceiver.MAX_BYTES``. 400: it has no job id or no status.
    """
    if not is_genuine(secret, nonce, mark):
        return 404
    try:
        view = memoryview(body)
    except TypeError:
        return 400
    if view.nbytes > _MAX_BYTES:
        return 413
    return read_call(view.tobytes()) or 400


class WebhookReceiver:
    """The handler behind a webhook route, as ``client.webhooks``.

    A route for ``POST {webhook_base_url}/{nonce}/{mark}`` answers 403 unless ``allows``,
    and otherwise the status that ``receive`` returns. Both return at once, make no request
    and may be called from any thread.
    """

    MAX_BYTES: Final = _MAX_BYTES
    """Largest body that is parsed; a route may stop reading one byte after it."""

    def __init__(
        self,
        on_webhook: Callable[[str, str, str], None],
        secret: str,
        networks: Iterable[str] = (),
    ) -> None:
        self._on_webhook = on_webhook
        self._secret = secret
        self._networks = tuple(map(_network, networks))

    def receive(self, nonce: str, mark: str, body: bytes | bytearray | memoryview) -> int:
        """Process one call, and return the HTTP status to answer it with. Never raises.

        ``nonce`` and ``mark`` are the last two parts of the path, percent-decoded. 204:
        accepted, for a job that this client follows, or parked a minute for one that it does
        not know yet. 404: no holder of the secret made this URL, and the body was not parsed.
        413: the body is larger than ``MAX_BYTES``. 400: it has no job id or no status.

        A call for a finished job of this client brings its next poll forward, at most one a
        second for each job and ``Polls.hinted_per_second`` in all, however many calls there
        are: a leaked URL cannot cost more. Other workers with the same secret answer 204 as
        well, and have nothing to do.
        """
        call = verify(self._secret, nonce, mark, body)
        if isinstance(call, int):
            return call
        self.accept(nonce, call)
        return 204

    def accept(self, nonce: str, call: WebhookCall) -> None:
        """Process a call that ``verify`` has returned, as ``receive`` does. Never raises."""
        self._on_webhook(nonce, call.job_id, call.status)

    def allows(self, peer: str | None) -> bool:
        """Return whether ``Config.webhook_networks`` admits a caller with this IP address.

        ``peer`` is the address of the connection; behind a proxy, the address that a trusted
        proxy reports. Without networks every caller is admitted; with networks, a caller
        with an unknown address is not.
        """
        if not self._networks:
            return True
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # a socket for both families shows IPv4 so
        return any(address in network for network in self._networks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    network = ipaddress.ip_network(text)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    # IPv4 within IPv6, as a socket for both families shows it: callers are compared as IPv4.
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
