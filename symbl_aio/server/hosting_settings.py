"""Settings of a server that others reach. The defaults are those of a test double."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping

from attrs import frozen


@frozen
class Hosting:
    """What a server needs to know when it is more than a test double.

    ``apps``: secrets, or their hashes, by the id of the application; None: the one application
    of the server. ``allow_private``: whether links and webhooks may lead to addresses that are
    not public; None: if the server is bound to loopback.

    ``public_url``: the origin in links to pages. ``hosts``: names that ``Host`` may have besides
    it; None: any. ``proxies``: networks whose ``X-Forwarded-`` headers are believed.
    ``tls``: speak HTTPS with these settings. ``access_log``: one line for each request.
    """

    apps: Mapping[str, str] | None = None
    allow_private: bool | None = None
    public_url: str | None = None
    hosts: Collection[str] | None = None
    proxies: Collection[str] = ()
    tls: ssl.SSLContext | None = None
    access_log: bool = False
