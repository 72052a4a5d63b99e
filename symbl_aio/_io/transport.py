"""Perform one HTTP exchange; an error states how far it got.

A submission is a ``Body`` of ``single_use_body``, sent once. Redirects are never followed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from time import perf_counter
from types import SimpleNamespace
from typing import Final

import aiohttp
from aiohttp.resolver import DefaultResolver, ThreadedResolver
from yarl import URL

from symbl_aio import _environment
from symbl_aio._charsets import answer_text
from symbl_aio._core.retries import retry_after
from symbl_aio._error_classes import api_error
from symbl_aio._io.connection_pool import Pool
from symbl_aio._io.deadlines import Deadline, Deadlines
from symbl_aio._io.faults import Fault, explain, refused_by_proxy
from symbl_aio._io.host_resolver import Resolver
from symbl_aio._io.proxy_and_tls import proxy_for, trusted
from symbl_aio._io.single_use_body import Body, ReplayRefusedError, once
from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.calls import Call
from symbl_aio._proxies import Proxy
from symbl_aio._version import __version__
from symbl_aio.config import Config
from symbl_aio.errors import (
    ConfigurationError,
    DecodeError,
    Sent,
    SymblError,
    TransportError,
    UntrustedServerError,
    UploadStalledError,
)

SUBMISSION_KEEPALIVE: Final = 0.9
"""Seconds. An older idle connection may have been closed by the server at the moment it
is used again, which would make a small submission ambiguous; a new one costs less."""

_WEBSOCKET_TIMES: Final = aiohttp.ClientWSTimeout(
    ws_close=1.0  # pyright: ignore[reportCallIssue]  # aiohttp's decorator hides its fields
)
"""Seconds that a WebSocket waits for the server's part of its closing; reading has no limit."""

_REFUSAL_BYTES: Final = 2**20
"""Bytes of a refusal that are read. Its message is short, and only a part of it is ever shown."""

_OPENING_SOCKET: Final = ContextVar("_OPENING_SOCKET", default=False)
"""Whether this task opens a WebSocket, rather than sends another request of the same session."""


class Transport:
    """One exchange at a time over a pool of connections that this client owns or borrows."""

    def __init__(self, config: Config, session: aiohttp.ClientSession | None) -> None:
        self._config = config
        self._labs = config.labs_origin
        self._borrowed = session
        self._headers = {"User-Agent": f"symbl-aio/{__version__}"}
        self._connecting = aiohttp.ClientTimeout(
            total=None, sock_connect=config.timeouts.connect, sock_read=None
        )
        self._resolver: Resolver | None = None
        self._proxies: dict[str, Proxy | None] = {}
        self._reads: aiohttp.ClientSession
        self._submissions: aiohttp.ClientSession
        self._sockets: aiohttp.ClientSession | None = None
        self._redirects = aiohttp.TraceConfig()
        self._redirects.on_request_redirect.append(_refuse_redirect)

    def open(self) -> None:
        """Make the connection pools; nothing connects yet.

        Raises ``ConfigurationError`` for a session, a proxy or certificates that cannot be
        used.
        """
        self._deadlines = Deadlines()
        if self._borrowed is not None:
            if self._borrowed.closed:
                raise ConfigurationError("session is closed; pass an open aiohttp.ClientSession")
            self._check_borrowed(self._borrowed)
            self._reads = self._submissions = self._borrowed
            return
        config = self._config
        origins = (config.base_url, self._labs)
        self._proxies = {origin: proxy_for(config, origin) for origin in origins}
        proxies = [proxy.url for proxy in self._proxies.values() if proxy is not None]
        trust = trusted(config, *origins, *proxies)
        # Where aiodns is installed, aiohttp asks through it, and needs no thread.
        if DefaultResolver is ThreadedResolver:
            self._resolver = Resolver()
        self._reads = self._pool(trust, keepalive=15.0)
        self._submissions = self._pool(trust, keepalive=SUBMISSION_KEEPALIVE)

    def _check_borrowed(self, session: aiohttp.ClientSession) -> None:
        config = self._config
        if session.auth is not None and config.auth_header == "Authorization":
            raise ConfigurationError(
                "session has an auth of its own, which aiohttp does not send beside the client's "
                "Authorization; make the session without auth"
            )
        for setting in ("proxy", "ca_file"):
            name = f"Config.{setting}"
            value = getattr(config, setting)
            # That of the environment is for all clients, those with a session excepted.
            if value is not None and _environment.label(Config, setting, value) == name:
                raise ConfigurationError(
                    f"{name} is set beside a session, which brings its own; give it to the session"
                )

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets that a proxy may repeat in its answers."""
        proxies = self._proxies.values()
        return tuple(secret for proxy in proxies if proxy is not None for secret in proxy.secrets)

    def _pool(self, trust: ssl.SSLContext | bool, keepalive: float) -> aiohttp.ClientSession:
        # Without trust_env, which would read ~/.netrc, in a thread, and lay its password
        # over the client's token.
        return aiohttp.ClientSession(
            # The number of requests at once is bounded by job slots and poll budget.
            connector=Pool(
                limit=0, keepalive_timeout=keepalive, resolver=self._resolver, ssl=trust
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def aclose(self) -> None:
        """Close what this client owns, and wait until the connections are closed."""
        self._deadlines.close()
        if self._borrowed is not None:
            if self._sockets is not None:
                self._borrowed.trace_configs.remove(self._redirects)
        else:
            # With its connections, that of the WebSockets is closed as well.
            await self._reads.close()
            await self._submissions.close()
            if self._resolver is not None:
                await self._resolver.close()

    async def send(
        self, call: Call, headers: Mapping[str, str], body: Body | None = None
    ) -> Answer:
        """Send one request and read its answer.

        ``body`` is a submission's; without it the call only asks, and if it has a body of
        its own, that is sent. Raises ``TransportError`` with ``sent``;
        ``UploadStalledError`` or another ``UploadError`` when the body failed before it was
        complete; ``DecodeError`` for a good answer larger than ``Limits.answer_bytes``.
        """
        asks = body is None
        if body is None and call.body is not None:
            body = Body(once(call.body), len(call.body), lambda _sent, _total: None)
        times = self._config.timeouts
        first = times.connect + (times.read if asks else times.stall)
        deadline = Deadline(self._deadlines, first)
        if not asks and body is not None:
            # From chunk to chunk; a read has one time for all of it.
            body.watch(deadline, times)
        try:
            with deadline:
                return await self._exchange(call, headers, body)
        except SymblError:
            raise
        except Exception as error:
            failure = self._translate(call, None if asks else body, error)
        finally:
            if body is not None:
                await body.aclose()
        # Not inside the handler, which would chain the cause: messages of aiohttp hold the
        # URL, whose query may hold a secret.
        raise failure

    async def websocket(
        self, path: str, headers: Mapping[str, str]
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket, which the caller has to close.

        Raises ``APIError`` if the server refuses it, ``TransportError`` if no status came.
        """
        times, origin = self._config.timeouts, self._config.base_url
        sent_headers = {**self._headers, **headers}
        proxy = self._proxies.get(origin)
        to_proxy = None if proxy is None else _authorise(proxy, origin, sent_headers)
        session = self._socket_session()
        _OPENING_SOCKET.set(True)  # for ever: no other request is sent in the context of a link
        try:
            async with asyncio.timeout(times.connect + times.read):
                return await session.ws_connect(
                    URL(origin + path, encoded=True),
                    headers=sent_headers,
                    proxy=None if proxy is None else proxy.url,
                    proxy_headers=to_proxy,
                    # Pings are the caller's: a pong shows how much the server has received.
                    autoping=False,
                    timeout=_WEBSOCKET_TIMES,
                )
        except aiohttp.WSServerHandshakeError as error:
            refusal = error.status if error.status >= 300 else 0
            why = f"the server did not open a WebSocket ({error.message})"
            named = {name.lower(): value for name, value in (error.headers or {}).items()}
            failure = (
                api_error(
                    refusal, "", "", where=f"WebSocket {path}", retry_after=retry_after(named)
                )
                if refusal
                else TransportError(f"WebSocket {path}: {why}", "yes", final=True)
            )
        except Exception as error:
            failure = _raised(f"WebSocket {path}", explain(error, proxy), "maybe")
        # Not inside the handler, as in ``send``.
        raise failure

    def _socket_session(self) -> aiohttp.ClientSession:
        if self._sockets is None and self._borrowed is not None:
            self._redirects.freeze()
            self._borrowed.trace_configs.append(self._redirects)
            self._sockets = self._borrowed
        if self._sockets is None:
            self._sockets = aiohttp.ClientSession(
                connector=self._reads.connector,
                connector_owner=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._connecting,
                trace_configs=[self._redirects],
            )
        return self._sockets

    async def _exchange(self, call: Call, headers: Mapping[str, str], body: Body | None) -> Answer:
        began = perf_counter()
        session = self._reads if body is None else self._submissions
        if session.closed:
            raise ConfigurationError(
                "session was closed while the client still used it; close the client first"
            )
        sent_headers = {**self._headers, **headers}
        sent_headers.update(call.headers)
        if body is not None:
            sent_headers["Content-Length"] = str(body.size)
            body.is_traced = bool(session.trace_configs)
        origin = self._labs if call.labs else self._config.base_url
        proxy = self._proxies.get(origin)
        to_proxy = None if proxy is None else _authorise(proxy, origin, sent_headers)
        async with session.request(
            call.method,
            URL(origin + call.target, encoded=True),
            data=body,
            headers=sent_headers,
            # aiohttp would name a content type of its own, which the API refuses for audio.
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
            # Also where a borrowed session raises for its other requests.
            raise_for_status=False,
            auto_decompress=True,
            timeout=self._connecting,
            proxy=None if proxy is None else proxy.url,
            proxy_headers=to_proxy,
        ) as response:
            if response.status == 407 and proxy is not None:
                raise _RefusedByProxyError
            raw = await self._read_capped(response)
            return Answer(
                status=response.status,
                headers=response.headers,
                # The same in every charset that is read, so the header need not be.
                text=(
                    raw.decode()
                    if raw.isascii() and b"\0" not in raw[:4]
                    else answer_text(raw, response.charset)
                ),
                elapsed=perf_counter() - began,
            )

    async def _read_capped(self, response: aiohttp.ClientResponse) -> bytes:
        # A refusal is one by its status: it may be cut off by the server's closing in the
        # middle of our body, or be longer than will be read.
        refused = response.status >= 300
        most = self._config.limits.answer_bytes
        if refused:
            most = min(most, _REFUSAL_BYTES)
        content = response.content
        parts: list[bytes] = []
        size = 0
        try:
            while not content.at_eof():
                part = await content.readany()
                parts.append(part)
                size += len(part)
                if size > most:
                    if refused:
                        break
                    raise DecodeError(
                        f"the answer is larger than Limits.answer_bytes ({most})",
                        answer_text(b"".join(parts)[:1000], None),
                    )
        except aiohttp.ClientError:
            if not refused:
                raise
        return b"".join(parts)[:most]

    def _translate(self, call: Call, body: Body | None, error: BaseException) -> SymblError:
        where = f"{call.method} {call.path}"
        if body is not None and body.error is not None:
            return body.error
        if isinstance(error, TimeoutError) and body is not None and not body.started:
            return TransportError(f"{where}: cannot connect (not in time)", "no")
        proxy = self._proxies.get(self._labs if call.labs else self._config.base_url)
        if isinstance(error, _RefusedByProxyError):
            return _raised(
                where, refused_by_proxy(407, None if proxy is None else proxy.name), "no"
            )
        if isinstance(error, ReplayRefusedError):
            # By aiohttp, when the connection dropped under an idempotent method.
            error = aiohttp.ServerDisconnectedError()
        fault = explain(error, proxy)
        sent = _how_far(body, fault)
        if isinstance(error, TimeoutError) and body is not None and sent == "partial":
            who = "the body's source gave" if body.starved else "the server took"
            return UploadStalledError(
                f"{where}: {who} no more of it for {self._config.timeouts.stall:g} s"
            )
        return _raised(where, fault, sent)


class _RefusedByProxyError(Exception):
    """A proxy answered 407 to a request that it was to pass on, and did not."""


async def _refuse_redirect(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestRedirectParams,
) -> None:
    """Stop ``ws_connect`` from following a redirect, which would give the token to its target.

    ``ws_connect`` has no argument for it. Other requests of a borrowed session are not concerned.
    """
    if not _OPENING_SOCKET.get():
        return
    params.response.close()
    raise aiohttp.WSServerHandshakeError(
        params.response.request_info,
        params.response.history,
        status=params.response.status,
        message="redirected",
    )


def _authorise(proxy: Proxy, origin: str, headers: dict[str, str]) -> dict[str, str] | None:
    """Return the headers for a proxy alone, or add its authorization to those of a request."""
    if proxy.authorization is None:
        return None
    # In the CONNECT of a tunnel; without one the request itself is the proxy's.
    if origin.startswith("https:"):
        return {"Proxy-Authorization": proxy.authorization}
    headers["Proxy-Authorization"] = proxy.authorization
    return None


def _raised(where: str, fault: Fault, sent: Sent) -> TransportError:
    if fault.untrusted:
        return UntrustedServerError(f"{where}: {fault.text}", sent, final=True)
    return TransportError(f"{where}: {fault.text}", sent, final=fault.final)


def _how_far(body: Body | None, fault: Fault) -> Sent:
    if not fault.connected and not (body is not None and body.started):
        return "no"
    if body is None:
        return "maybe"
    return "maybe" if body.complete else "partial"
