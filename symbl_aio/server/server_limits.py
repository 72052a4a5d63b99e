"""The limits that keep one caller from using up the server, and where handlers find them."""

from __future__ import annotations

import resource

from aiohttp import web
from attrs import Factory, define, field, frozen

KIB, MIB, GIB = 1024, 1024**2, 1024**3


def _default_connections() -> int:
    # Files, downloads and webhooks need the other half of the descriptors.
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(2048, descriptors // 2)


def _half_of_the_connections(limits: ServerLimits) -> int:
    # Streams stay open for long: with all connections, one application shuts out the others.
    return min(1000, limits.connections // 2)


@frozen
class ServerLimits:
    """Sizes in bytes, times in seconds."""

    connections: int = field(factory=_default_connections)
    """Open at one time; one more closes the oldest that has shown no token."""
    idle: float = 75.0
    """How long a connection may wait between requests."""
    head: float = 10.0
    """The longest time for a request's head."""
    silence: float = 30.0
    """The longest pause within a body or a response."""
    min_rate: int = KIB
    """The lowest average rate of either, in bytes a second, after a first ``silence``."""
    exclusive: float = 5.0
    """The longest time for the body of a management call, which keeps others of its account
    waiting."""
    line: int = MIB
    """A request line, with a file's parameters (API section 2)."""
    field: int = 64 * KIB
    """A header field."""
    token_body: int = 16 * KIB
    """JSON of a token request."""
    text_body: int = 8 * MIB
    """JSON of a text submission."""
    body: int = MIB
    """JSON of any other call."""
    buffered: int = 16 * MIB
    """What heads on their way may hold together, and the JSON bodies of each application."""
    unread: int = 32 * MIB
    """What responses may hold in memory together, for callers who do not read them."""
    upload: int = 4 * GIB
    """A recording."""
    disk_reserve: int = 64 * MIB
    """The space that uploads leave free."""
    live_sockets: int = Factory(_half_of_the_connections, takes_self=True)
    """Open WebSockets of an application, by default half of ``connections``."""
    live_frame: int = 64 * KIB
    """A frame of one."""
    live_idle: float = 1800.0
    """How long a speaker may send nothing."""
    live_answer: float = 5.0
    """How long a speaker may take to answer a ping, when another one has joined: a lost
    connection may have been replaced."""
    live_unread: int = MIB
    """Bytes of frames that a client may leave unread; one frame more ends its connection."""
    live_audio: int = MIB
    """Audio of a speaker that waits for its recognition; the speaker's connection is not read
    meanwhile."""
    wrong_secrets: int = 10
    """Wrong credentials that an address may try at once."""
    wrong_secret_seconds: float = 6.0
    """The time after which one of them is forgotten."""


# A head or a body up to this size is read however much the others hold.
SMALL = 16 * KIB


@define(eq=False)
class BufferBudget:
    """Bytes of requests on their way that the server holds in memory.

    One for each application, and one for requests that have shown no token yet.
    """

    limit: int
    held: int = 0

    def allows(self, owned: int, more: int) -> bool:
        """Count ``more`` bytes for a request of ``owned``; return False if that is too much.

        A little is always allowed, so that large requests do not refuse small ones.
        """
        if owned + more > SMALL and self.held + more > self.limit:
            return False
        self.held += more
        return True

    def release(self, owned: int) -> None:
        self.held -= owned


LIMITS = web.AppKey("limits", ServerLimits)
BUFFERS = web.AppKey("buffers", BufferBudget)
