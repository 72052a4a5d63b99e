"""A Symbl API on this machine, for tests of code that uses the client.

It is the local server of ``symbl-aio serve``: real sockets and real rules, no patches.
Registered transcripts make results instant and exact; ``hold_jobs()`` and ``inject()``
replace sleeps and chance.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Literal, TypedDict, Unpack

# By name: a server for another program starts without the client.
import symbl_aio
from symbl_aio.server import LocalServer


class Settings(TypedDict, total=False):
    """The fields of ``Config`` except ``base_url``, which is the server's own."""

    labs_url: str | None
    allow_http: bool
    auth_header: Literal["Authorization", "x-api-key"]
    timeouts: symbl_aio.Timeouts
    polls: symbl_aio.Polls
    retries: symbl_aio.Retries
    limits: symbl_aio.Limits
    lanes: symbl_aio.Lanes
    tracker_paths: Literal["2022", "2024"]
    chunk_size: int
    webhook_base_url: str | None
    webhook_secret: str | None
    webhook_networks: tuple[str, ...]
    proxy: str | None
    ca_file: str | os.PathLike[str] | None
    trust_env: bool


_NOTHING_ELSEWHERE: Final[Settings] = {
    "proxy": None,
    "ca_file": None,
    "trust_env": False,
    "webhook_base_url": None,
    "webhook_secret": None,
}


class LocalSymbl(LocalServer):
    """A ``LocalServer`` that also creates clients for itself.

    ::

        async with LocalSymbl(job_limit=2) as server, server.client() as symbl:
            server.inject("accept_then_drop", on="PUT")
            ...
    """

    def client(
        self, *, observers: Sequence[symbl_aio.Observer] = (), **config: Unpack[Settings]
    ) -> symbl_aio.SymblClient:
        """Return a client of this server. ``config``: fields of ``Config``, such as ``limits=``.

        Proxy, certificate and webhook address from the environment are ignored: they are meant
        for the server that the environment names.
        """
        config = {**_NOTHING_ELSEWHERE, **config}
        return symbl_aio.SymblClient(
            symbl_aio.Credentials(self.app_id, self.app_secret),
            config=symbl_aio.Config(base_url=self.base_url, **config),
            observers=observers,
        )
