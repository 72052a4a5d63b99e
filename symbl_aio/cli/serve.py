"""``symbl-aio serve``: the local server, until a stop signal."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
from pathlib import Path
from urllib.parse import urlsplit

from symbl_aio import ConfigurationError
from symbl_aio.cli.exit_codes import OK
from symbl_aio.cli.runner import stop_signals
from symbl_aio.cli.show_json import Show
from symbl_aio.server import LocalServer, StorageError, default_directory

logger = logging.getLogger("symbl_aio.server")

DEFAULT_SECRET = "secret"


async def serve_until_stopped(
    server: LocalServer,
    show: Show,
    *,
    address: str,
    app_id: str,
    app_secret: str,
    data: Path | None,
) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP. The log, one line a job, goes to stderr.

    The first signal lets running uploads end, where there is a directory to keep them in. The
    second ends them.
    """
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("symbl_aio.server").setLevel(logging.INFO)
    stopped, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, *stop_signals()):
        loop.add_signal_handler(number, lambda: (ended if stopped.is_set() else stopped).set())
    try:
        await server.start()
    except StorageError as error:
        raise ConfigurationError(f"{error} (--data, or --memory to store nothing)") from error
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no name of a host"
        raise ConfigurationError(
            f"cannot listen on {address} ({reason}); choose another --host or --port"
        ) from error
    try:
        # A secret that the user chose is not printed.
        shown = app_secret if app_secret == DEFAULT_SECRET else None
        show.serving(reachable(server.base_url), app_id, shown, data)
        await stopped.wait()
        if data is not None:
            await _drain(server, ended)
        if server.unfinished:
            logger.warning("%d unfinished jobs %s", server.unfinished, _fate(data))
    finally:
        await server.aclose()
    return OK


def data_directory(given: Path | None) -> Path:
    """Return the data directory: the one given, or that of this user."""
    return (given or default_directory()).expanduser().absolute()


async def _drain(server: LocalServer, ended: asyncio.Event) -> None:
    """Wait until running uploads are accepted, or until the second signal."""
    logger.info("stopping: new submissions are refused; %d uploads run", server.uploading)
    tasks = [asyncio.ensure_future(work) for work in (server.drain(), ended.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _fate(data: Path | None) -> str:
    if data is None:
        return "are lost: the server stores nothing (--memory)"
    return f"are kept in {data}; the next start continues with them"


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
