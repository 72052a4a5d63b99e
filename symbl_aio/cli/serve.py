"""``symbl-aio serve``: the local server, until a stop signal."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
from urllib.parse import urlsplit

from symbl_aio import ConfigurationError
from symbl_aio.cli.exit_codes import OK
from symbl_aio.cli.runner import stop_signals
from symbl_aio.cli.show_json import Show
from symbl_aio.server import LocalServer

DEFAULT_SECRET = "secret"


async def serve_until_stopped(
    server: LocalServer, show: Show, *, address: str, app_id: str, app_secret: str
) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP. The log, one line a job, goes to stderr."""
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("symbl_aio.server").setLevel(logging.INFO)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, *stop_signals()):
        loop.add_signal_handler(number, stopped.set)
    try:
        await server.start()
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise ConfigurationError(
                f"cannot keep uploads in {error.filename} ({error.strerror}); "
                "choose another --directory"
            ) from error
        reason = getattr(error, "strerror", None) or "no name of a host"
        raise ConfigurationError(
            f"cannot listen on {address} ({reason}); choose another --host or --port"
        ) from error
    try:
        # A secret that the user chose is not printed.
        shown = app_secret if app_secret == DEFAULT_SECRET else None
        show.serving(reachable(server.base_url), app_id, shown)
        await stopped.wait()
    finally:
        await server.aclose()
    return OK


def reachable(base_url: str) -> str:
    """Return the origin for a client on this machine; 0.0.0.0 and :: cannot be connected to."""
    parts = urlsplit(base_url)
    try:
        address = ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return base_url
    if not address.is_unspecified:
        return base_url
    host = "127.0.0.1" if address.version == 4 else "[::1]"
    return f"{parts.scheme}://{host}:{parts.port}"
