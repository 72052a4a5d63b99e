"""The limits that keep one caller from using up the server, and where handlers find them."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Hashable

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
    """Sizes in bytes, times in seconds.

    ``connections``: open at one time; one more closes the oldest that has shown no token.
    ``idle``: how long a connection may wait between requests. ``head``: the longest time for a
    request's head. ``silence``: the longest pause within a body or a response. ``min_rate``:
    the lowest average rate of either, in bytes a second, after a first ``silence``. ``exclusive``:
    the longest time for the body of a management call, which keeps others of its account waiting.

    ``line``: a request line, with a file's parameters (API section 2). ``field``: a header field.
    ``token_body``, ``body`` and ``text_body``: JSON of a token request, of a text submission and
    of any other call. ``buffered``: what heads on their way may hold together, and the JSON bodies
    of each application.
    ``unread``: what responses may hold in memory together, for callers who do not read them.
    ``upload``: a recording. ``disk_reserve``: the space that uploads leave free.
    ``live_sockets``: open WebSockets of an application, by default half of ``connections``.
    ``live_frame``: a frame of one. ``live_idle``: how long a speaker may send nothing.
    ``live_answer``: how long a speaker may take to answer a ping, when another one has joined: a
    lost connection may have been replaced.
    ``live_unread``: frames that a client may leave unread; one more ends its connection.
    ``live_audio``: audio of a speaker that waits for its recognition; the speaker's connection is
    not read meanwhile.
    ``wrong_secrets``: wrong credentials that an address may try at once; each is forgotten after
    ``wrong_secret_seconds``.
    """

    connections: int = field(factory=_default_connections)
    idle: float = 75.0
    head: float = 10.0
    silence: float = 30.0
    min_rate: int = KIB
    exclusive: float = 5.0
    line: int = MIB
    field: int = 64 * KIB
    token_body: int = 16 * KIB
    body: int = MIB
    text_body: int = 8 * MIB
    buffered: int = 16 * MIB
    unread: int = 32 * MIB
    upload: int = 4 * GIB
    disk_reserve: int = 64 * MIB
    live_sockets: int = Factory(_half_of_the_connections, takes_self=True)
    live_frame: int = 64 * KIB
    live_idle: float = 1800.0
    live_answer: float = 5.0
    live_unread: int = MIB
    live_audio: int = MIB
    wrong_secrets: int = 10
    wrong_secret_seconds: float = 6.0


# A head or a body up to this size is read however much the others hold.
SMALL = 16 * KIB


@define(eq=False)
class BufferBudget:
    """Bytes of requests on their way that the server holds in memory.

    Each application has the ``limit`` for its bodies, and all heads together have it once.
    """

    limit: int
    _held: Counter[Hashable] = Factory(Counter)

    @property
    def held(self) -> int:
        return self._held.total()

    def allows(self, owned: int, more: int, holder: Hashable = None) -> bool:
        """Count ``more`` bytes for a request of ``owned``; return False if that is too much.

        A little is always allowed, so that large requests do not refuse small ones.
        """
        if owned + more > SMALL and self._held[holder] + more > self.limit:
            return False
        self._held[holder] += more
        return True

    def release(self, owned: int, holder: Hashable = None) -> None:
        self._held[holder] -= owned


LIMITS = web.AppKey("limits", ServerLimits)
BUFFERS = web.AppKey("buffers", BufferBudget)
