"""A Symbl API on this machine, for the tests of whoever uses the client.

The same local server as behind ``symbl-aio serve``: real sockets, real rules, nothing
patched. Registered transcripts make it instant and exact; gates and faults take the
place of sleeping and hoping.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symbl_aio import Config, Credentials, Observer, SymblClient
from symbl_aio.server import LocalServer


class LocalSymbl(LocalServer):
    """A ``LocalServer`` that also makes clients for itself.

    ::

        async with LocalSymbl(job_limit=2) as server, server.client() as symbl:
            server.inject("accept_then_drop", on="PUT")
            ...
    """

    def __init__(self, *, app_id: str = "app", app_secret: str = "secret", **settings: Any) -> None:
        super().__init__(app_id=app_id, app_secret=app_secret, **settings)
        self._credentials = Credentials(app_id, app_secret)

    def client(self, *, observers: Sequence[Observer] = (), **config: Any) -> SymblClient:
        """Make a client of this server. ``config``: fields of ``Config``, such as ``limits=``."""
        settings = Config(base_url=self.base_url, **config)
        return SymblClient(self._credentials, config=settings, observers=observers)
