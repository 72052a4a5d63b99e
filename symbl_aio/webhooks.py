"""Take the server's webhook calls, whatever framework they arrive through.

Each submission carries a URL of its own, ``{webhook_base_url}/{nonce}/{mark}``, which any
worker that holds the secret can check, before and after a restart. What a call says is
believed by nobody: it brings a poll forward, and the answer to that counts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Final

from symbl_aio._core.callbacks import is_genuine, read

__all__ = ["WebhookReceiver"]


class WebhookReceiver:
    """What a webhook route asks, as ``client.webhooks``.

    A route for ``POST {webhook_base_url}/{nonce}/{mark}`` answers 403 unless ``allows``,
    and else what ``receive`` says. Both answer at once, make no request and may be called
    from any thread.
    """

    MAX_BYTES: Final = 64 * 1024
    """The largest body that is looked at; a route may stop reading one byte after it."""

    def __init__(
        self, hear: Callable[[str, str, str], None], secret: str, networks: Iterable[str] = ()
    ) -> None:
        self._hear = hear
        self._secret = secret
        self._networks = tuple(map(ipaddress.ip_network, networks))

    def receive(self, nonce: str, mark: str, body: bytes | bytearray | memoryview) -> int:
        """Take in one call, and give the HTTP status to answer it with. Raises nothing.

        ``nonce`` and ``mark`` are the last two parts of the path, percent-decoded. 204:
        taken, for a job that is known here, or kept a minute for one that is not yet.
        404: nobody who holds the secret made this URL, and the body was not looked at.
        413: the body is larger than ``MAX_BYTES``. 400: it holds no job id or no status.

        A call for a job of this client that has ended brings its next poll forward, at most
        one a second for each job and ``Polls.hinted_per_second`` in all, however many calls
        there are: whoever learns the URL can cost no more. Other workers with the same
        secret answer 204 too, and have nothing to do.
        """
        if not is_genuine(self._secret, nonce, mark):
            return 404
        try:
            view = memoryview(body)
        except TypeError:
            return 400
        if view.nbytes > self.MAX_BYTES:
            return 413
        told = read(view.tobytes())
        if told is None:
            return 400
        self._hear(nonce, told.job_id, told.status)
        return 204

    def allows(self, peer: str | None) -> bool:
        """Say whether a caller of this IP address is let in, by ``Config.webhook_networks``.

        ``peer`` is the address of the connection; behind a proxy, the one that a trusted
        proxy vouches for. Without networks everybody is, and with any, nobody whose address
        is unknown.
        """
        if not self._networks:
            return True
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # as a socket for both families shows an IPv4 caller
        return any(address in network for network in self._networks)
