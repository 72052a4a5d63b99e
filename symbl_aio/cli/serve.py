"""``symbl-aio serve``: the local server, until a stop signal."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from attrs import frozen

from symbl_aio import ConfigurationError
from symbl_aio.cli.exit_codes import OK, why_not_listening
from symbl_aio.cli.runner import stop_signals
from symbl_aio.cli.self_signed import self_signed
from symbl_aio.cli.serve_apps import Applications, applications
from symbl_aio.cli.show_json import Show
from symbl_aio.server import (
    Hosting,
    LocalServer,
    RecognitionOptions,
    ServerLimits,
    StorageError,
    TLSError,
    check_directory,
    default_directory,
    import_all,
    is_loopback,
    load_context,
    own_names,
    restore_backup,
    return_freed_memory,
    write_backup,
)

logger = logging.getLogger("symbl_aio.server")

_GIB = 1024**3


@frozen(kw_only=True)
class ServeOptions:
    """The options of the command, as the command line gives them."""

    host: str
    port: int
    job_limit: int
    job_seconds: float
    asr: Literal["auto", "off"]
    data: Path | None
    memory: bool
    keep_days: float | None
    model: Path | None
    device: str
    compute_type: str
    recognisers: int
    recogniser_timeout: float
    allow_host: Sequence[str]
    allow_private: bool
    app_id: str
    app_secret: str | None
    app_pairs: Sequence[str]
    apps: Path | None
    public_url: str | None
    trusted_proxy: Sequence[str]
    tls: str | None
    tls_cert: Path | None
    tls_key: Path | None
    access_log: bool
    max_upload: float

    @property
    def directory(self) -> Path | None:
        """The data directory: the one given, or that of this user; None in memory."""
        return None if self.memory else _directory(self.data)


async def serve_until_stopped(show: Show, options: ServeOptions) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP. The log, one line a job, goes to stderr.

    The first signal lets running uploads end, where there is a directory to keep them in. The
    second ends them.
    """
    return_freed_memory()
    import_all()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("symbl_aio.server").setLevel(logging.INFO)
    stopped, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, *stop_signals()):
        loop.add_signal_handler(number, lambda: (ended if stopped.is_set() else stopped).set())
    apps, data = _applications(options), options.directory
    try:
        tls, ca_file = _tls(options)
        server = _server(options, apps, tls)
    except (StorageError, TLSError, ValueError) as error:
        raise ConfigurationError(str(error)) from error
    try:
        await server.start()
    except StorageError as error:
        raise ConfigurationError(f"{error} (--data, or --memory to store nothing)") from error
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"cannot listen on {options.host}:{options.port} ({why_not_listening(error)}); "
            "choose another --host or --port"
        ) from error
    try:
        address = options.public_url or reachable(server.base_url)
        show.serving(address, apps.first, apps.shown, data=data, ca_file=ca_file)
        apps.store()
        if apps.made_up is not None and apps.shown is None:
            logger.info(
                "the secret of %s was printed at the first start; for a new one, remove %s",
                apps.first,
                apps.made_up,
            )
        await stopped.wait()
        if data is not None:
            await _drain(server, ended)
        if server.unfinished:
            logger.warning("%d unfinished jobs %s", server.unfinished, _fate(data))
    finally:
        await server.aclose()
    return OK


def back_up(show: Show, data: Path | None, file: Path) -> int:
    """Write a backup of a data directory to a new file."""
    assert data is not None
    try:
        size = write_backup(data, file)
    except StorageError as error:
        raise ConfigurationError(str(error)) from error
    show.archived("backup", str(data), str(file), size)
    return OK


def restore_from(show: Show, data: Path | None, file: Path) -> int:
    """Restore a backup into a data directory that is empty or does not exist."""
    assert data is not None
    try:
        restore_backup(file, data)
    except StorageError as error:
        raise ConfigurationError(str(error)) from error
    show.archived("restored", str(data), str(file), file.stat().st_size)
    return OK


async def _drain(server: LocalServer, ended: asyncio.Event) -> None:
    """Wait until running uploads are accepted, or until the second signal."""
    logger.info("stopping: new submissions are refused; %d uploads run", server.uploading)
    tasks = [asyncio.ensure_future(work) for work in (server.drain(), ended.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _directory(data: Path | None) -> Path:
    """Return the given directory, or that of this user. Raises ConfigurationError."""
    try:
        return (data or default_directory()).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigurationError(
            "this user has no home directory, as a service has none; name a directory in --data"
        ) from error


def _fate(data: Path | None) -> str:
    if data is None:
        return "are lost: the server stores nothing (--memory)"
    return f"are kept in {data}; the next start continues with them"


def _server(options: ServeOptions, apps: Applications, tls: ssl.SSLContext | None) -> LocalServer:
    hosting = Hosting(
        apps=apps.secrets,
        allow_private=options.allow_private,
        public_url=options.public_url,
        hosts=own_names(options.host),
        proxies=options.trusted_proxy,
        tls=tls,
        access_log=options.access_log,
    )
    return LocalServer(
        host=options.host,
        port=options.port,
        job_limit=options.job_limit,
        asr=options.asr,
        recognition=RecognitionOptions(
            model=options.model,
            device=options.device,
            compute_type=options.compute_type,
            processes=options.recognisers,
            timeout=options.recogniser_timeout,
        ),
        job_seconds=options.job_seconds,
        data=options.directory,
        keep_days=options.keep_days,
        retain=1000,
        allowed_hosts=options.allow_host,
        limits=ServerLimits(upload=int(options.max_upload * _GIB)),
        hosting=hosting,
        record_requests=False,
    )


def _applications(options: ServeOptions) -> Applications:
    try:
        return applications(
            app_id=options.app_id,
            app_secret=options.app_secret,
            pairs=options.app_pairs,
            file=options.apps,
            data=options.directory,
            is_local=is_loopback(options.host) and options.public_url is None,
        )
    except ValueError as error:  # of a line in the file
        raise ConfigurationError(str(error)) from error


def _tls(options: ServeOptions) -> tuple[ssl.SSLContext | None, Path | None]:
    """Return the TLS of the server, and the certificate that clients must be given."""
    if options.tls_cert is not None and options.tls is None:
        return load_context(options.tls_cert, options.tls_key), None
    if options.tls_cert is not None or options.tls_key is not None:
        raise ConfigurationError("give --tls-cert, with --tls-key or without, or --tls; not both")
    if options.tls is None:
        return None, None
    names = [*own_names(options.host), "localhost", "127.0.0.1", "::1"]
    if options.public_url and (host := urlsplit(options.public_url).hostname):
        names.append(host)
    directory = options.directory or _directory(None)
    check_directory(directory)
    certificate, key = self_signed(directory / "tls", names)
    return load_context(certificate, key), certificate


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
