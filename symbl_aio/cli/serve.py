"""``symbl-aio serve``: the local server, until somebody stops it."""

from __future__ import annotations

import asyncio
import logging
import signal

from symbl_aio import ConfigurationError
from symbl_aio.cli.endings import OK
from symbl_aio.cli.show import Show
from symbl_aio.server import LocalServer

DEFAULT_SECRET = "secret"


async def serve_until_stopped(
    server: LocalServer, show: Show, *, address: str, app_id: str, app_secret: str
) -> int:
    """Serve until SIGINT or SIGTERM. The log, one line a job, goes to stderr."""
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("symbl_aio.server").setLevel(logging.INFO)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        await server.start()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {address} ({error.strerror}); choose another --host or --port"
        ) from error
    try:
        shown = app_secret if app_secret == DEFAULT_SECRET else None
        show.serving(server.base_url, app_id, shown)
        await stopped.wait()
    finally:
        await server.aclose()
    return OK
