"""Each error that can leave a request: its reason, how far it got, and whether it is retried."""

from __future__ import annotations

import importlib
import pkgutil
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import client_exceptions, http_exceptions
from aiohttp.client_reqrep import ConnectionKey
from attrs import frozen
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from symbl_aio import AccessToken
from symbl_aio._io.api import Api, UnsettledError
from symbl_aio.errors import TransportError, UntrustedServerError
from tests.io.test_transport import PUT, READ, SECRET, payload_of

OLD = tuple(map(int, aiohttp.__version__.split(".")[:2])) < (3, 14)
ADDRESS = URL(f"https://me:{SECRET}@{SECRET}.example.com/{SECRET}?q={SECRET}")
REQUEST = aiohttp.RequestInfo(ADDRESS, "GET", CIMultiDictProxy(CIMultiDict()), ADDRESS)
KEY = ConnectionKey(f"{SECRET}.example.com", 443, True, True, None, None, None)
NOT_MINE = ssl.SSLError(1, f"[SSL: NO_SHARED_CIPHER] {SECRET}")
NOT_MINE.reason = "NO_SHARED_CIPHER"


def of_status(
    kind: type[aiohttp.ClientResponseError], status: int = 400
) -> Callable[[], Exception]:
    return lambda: kind(REQUEST, (), status=status, message=SECRET)


def caused(error: Exception, *causes: Exception) -> Exception:
    for under, cause in zip((error, *causes), causes, strict=False):
        under.__cause__ = cause
    return error


@frozen
class Case:
    """An error, and what a request that ends with it shall be."""

    make: Callable[[], BaseException]
    told: str
    final: bool = False
    connected: bool = True
    kind: type[TransportError] = TransportError


SESSION = r"the session raised {}.*; see its auth"
CASES: dict[str, Case] = {
    # As aiohttp raises them.
    "ClientHttpProxyError": Case(
        of_status(aiohttp.ClientHttpProxyError, 407), r"\(407\); set them in", True, False
    ),
    "ClientConnectorError": Case(
        lambda: aiohttp.ClientConnectorError(KEY, OSError(111, SECRET)),
        r"cannot connect \(Connection refused\)", connected=False,
    ),
    "ClientConnectorDNSError": Case(
        lambda: aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, SECRET)),
        "name does not resolve", connected=False,
    ),
    "ClientProxyConnectionError": Case(
        lambda: aiohttp.ClientProxyConnectionError(KEY, OSError(111, SECRET)),
        r"cannot connect to the proxy \(Connection refused\)", connected=False,
    ),
    "UnixClientConnectorError": Case(
        lambda: client_exceptions.UnixClientConnectorError(
            f"/{SECRET}", KEY, FileNotFoundError(2, SECRET)
        ),
        r"cannot connect \(No such file", connected=False,
    ),
    "ClientSSLError": Case(
        lambda: aiohttp.ClientSSLError(KEY, OSError(104, SECRET)),
        "the TLS handshake failed: Connection reset", connected=False,
    ),
    "ClientConnectorSSLError": Case(
        lambda: aiohttp.ClientConnectorSSLError(KEY, NOT_MINE),
        "the TLS handshake failed: no shared cipher", True, False,
    ),
    "ClientConnectorCertificateError": Case(
        lambda: aiohttp.ClientConnectorCertificateError(KEY, Exception(SECRET)),
        "certificate does not verify", True, False, UntrustedServerError,
    ),
    "ServerFingerprintMismatch": Case(
        lambda: aiohttp.ServerFingerprintMismatch(b"a", b"b", SECRET, 443),
        "session's fingerprint", True, False, UntrustedServerError,
    ),
    "ClientOSError": Case(lambda: aiohttp.ClientOSError(104, SECRET), "broke .Connection reset"),
    "ClientConnectionResetError": Case(
        lambda: aiohttp.ClientConnectionResetError(SECRET), "broke .the other side closed it"
    ),
    "ServerDisconnectedError": Case(
        lambda: aiohttp.ServerDisconnectedError(SECRET), "broke .the other side closed it"
    ),
    "ServerTimeoutError": Case(lambda: aiohttp.ServerTimeoutError(SECRET), "no answer in time"),
    "SocketTimeoutError": Case(lambda: aiohttp.SocketTimeoutError(SECRET), "no answer in time"),
    "ConnectionTimeoutError": Case(
        lambda: aiohttp.ConnectionTimeoutError(SECRET), r"cannot connect \(not in time\)",
        connected=False,
    ),
    "ClientPayloadError": Case(
        lambda: aiohttp.ClientPayloadError(SECRET), "broke .before the end of the answer"
    ),
    "UploadAbortedError": Case(lambda: aiohttp.UploadAbortedError(SECRET), "the connection broke"),
    "InvalidURL": Case(lambda: aiohttp.InvalidURL(ADDRESS), "cannot use the URL", True, False),
    "InvalidUrlClientError": Case(
        lambda: aiohttp.InvalidUrlClientError(ADDRESS), "cannot use the URL", True, False
    ),
    "InvalidUrlRedirectClientError": Case(
        lambda: aiohttp.InvalidUrlRedirectClientError(ADDRESS), "cannot use the URL", True, False
    ),
    "NonHttpUrlClientError": Case(
        lambda: aiohttp.NonHttpUrlClientError(ADDRESS), "cannot use the URL", True, False
    ),
    "NonHttpUrlRedirectClientError": Case(
        lambda: aiohttp.NonHttpUrlRedirectClientError(ADDRESS), "cannot use the URL", True, False
    ),
    # Only a session of the caller's own raises these: its middlewares and its traces.
    "ClientResponseError": Case(
        of_status(aiohttp.ClientResponseError, 403),
        SESSION.format(r"ClientResponseError \(403"), True,
    ),
    "ContentTypeError": Case(
        of_status(aiohttp.ContentTypeError, 200), SESSION.format("ContentTypeError"), True
    ),
    "WSServerHandshakeError": Case(
        of_status(aiohttp.WSServerHandshakeError), SESSION.format("WSServerHandshakeError"), True
    ),
    "TooManyRedirects": Case(
        of_status(aiohttp.TooManyRedirects, 302), SESSION.format("TooManyRedirects"), True
    ),
    "ClientError": Case(lambda: aiohttp.ClientError(SECRET), "the connection broke"),
    "ClientConnectionError": Case(lambda: aiohttp.ClientConnectionError(SECRET), "it was lost"),
    "ServerConnectionError": Case(lambda: aiohttp.ServerConnectionError(SECRET), "it was lost"),
    "RedirectClientError": Case(lambda: aiohttp.RedirectClientError(SECRET), "connection broke"),
}  # fmt: skip
OTHERS: dict[str, Case] = {
    "a status that passes": Case(
        of_status(aiohttp.ClientResponseError, 503), SESSION.format(r"ClientResponseError \(503")
    ),
    "a proxy that is busy": Case(
        of_status(aiohttp.ClientHttpProxyError, 502), r"cannot connect to the server \(502",
        connected=False,
    ),
    "nonsense": Case(
        lambda: caused(
            of_status(aiohttp.ClientResponseError)(),
            http_exceptions.HttpProcessingError(message=SECRET),
            http_exceptions.BadStatusLine(SECRET),
        ),
        "not valid HTTP",
    ),
    "ValueError": Case(lambda: ValueError(SECRET), SESSION.format("ValueError"), True),
    "KeyError": Case(lambda: KeyError(SECRET), SESSION.format("KeyError"), True),
    "ExceptionGroup": Case(
        lambda: ExceptionGroup(SECRET, [OSError(SECRET)]), SESSION.format("ExceptionGroup"), True
    ),
    "OSError": Case(lambda: OSError(104, SECRET), "broke .Connection reset"),
    "EOFError": Case(lambda: EOFError(SECRET), "broke .the other side closed it"),
    "TimeoutError": Case(lambda: TimeoutError(SECRET), "no answer in time"),
    "no thread to look up the host": Case(
        lambda: RuntimeError("can't start new thread"), "can start no thread", connected=False
    ),
    "MemoryError": Case(lambda: MemoryError(SECRET), "has no memory left"),
    "a host that is none": Case(
        lambda: UnicodeEncodeError("idna", SECRET, 0, 1, SECRET),
        "the host's name is no domain name", True, False,
    ),
    "not connected, and no error of TLS": Case(
        lambda: aiohttp.ClientConnectorError(KEY, OSError(SECRET)), r"cannot connect \(it was lost",
        connected=False,
    ),
}  # fmt: skip


def errors_of_aiohttp() -> Iterator[str]:
    for module in pkgutil.iter_modules(aiohttp.__path__):
        try:
            importlib.import_module(f"aiohttp.{module.name}")
        except ImportError:
            continue  # of gunicorn's, which is not here
    found = {aiohttp.ClientError}
    while found:
        one = found.pop()
        found.update(one.__subclasses__())
        if one.__module__.split(".")[0] == "aiohttp":
            yield one.__name__


KNOWN = {
    name for name in CASES if hasattr(client_exceptions, name)
}  # the oldest aiohttp has not all
ALL = {**{name: CASES[name] for name in sorted(KNOWN)}, **OTHERS}


def test_no_error_of_aiohttp_is_missing_here():
    assert set(errors_of_aiohttp()) == KNOWN


class Raising:
    """A session of the caller's own, whose trace raises when a request begins, or has an answer."""

    def __init__(self, case: Case, when: str) -> None:
        self.case = case
        self.raised = 0
        trace = aiohttp.TraceConfig()
        getattr(trace, when).append(self)
        self.session = aiohttp.ClientSession(trace_configs=[trace])

    async def __call__(self, *_: object) -> None:
        self.raised += 1
        raise self.case.make()


@pytest.fixture
async def raising() -> Any:
    made: list[Raising] = []

    def make(case: Case, when: str = "on_request_start") -> Raising:
        made.append(Raising(case, when))
        return made[-1]

    yield make
    for one in made:
        await one.session.close()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("call", [READ, PUT], ids=["read", "submission"])
async def test_an_error_has_its_reason_and_final_ones_are_asked_once(
    raising, reach, server, call, name, everything_told
):
    case = ALL[name]
    broken = raising(case)
    api: Api = reach(server, AccessToken(SECRET), session=broken.session)
    told, sent = case.told, "no"
    if call is PUT and isinstance(case.make(), TimeoutError):
        told = "not in time"  # no body was asked for, so it was the connection that took too long
    elif case.connected:
        sent = "maybe" if call is READ else "partial"
    with pytest.raises(TransportError, match=told) as raised:
        if call is READ:
            await api.call(call)
        else:
            await api.submit(call, payload_of(b"ab"), repeatable=True)
    assert (type(raised.value), raised.value.sent) == (case.kind, sent)
    assert raised.value.final is case.final
    assert broken.raised == (1 if case.final else 3)
    assert SECRET not in everything_told(raised.value)


@pytest.mark.parametrize("name", ALL)
async def test_an_error_behind_the_last_byte_is_never_followed_by_a_second_submission(
    raising, reach, server, name, everything_told
):
    broken = raising(ALL[name], "on_request_end")
    api: Api = reach(server, AccessToken(SECRET), session=broken.session)
    with pytest.raises(UnsettledError) as raised:
        await api.submit(PUT, payload_of(b"ab"), repeatable=True)
    assert raised.value.sent == "maybe"
    assert broken.raised == 1
    assert SECRET not in everything_told(raised.value.cause)


# Over real sockets, and counted


def raw(head: bytes) -> Any:
    async def script(exchange):
        await exchange.request()
        await exchange.raw(b"HTTP/1.1 " + head + b"\r\n\r\n{}")

    return script


LONG = b"x" * 20_000
UNREADABLE = {
    "header": (b"200 OK\r\nContent-Length: 2\r\nX: " + LONG, "header that is too long", True),
    "name": (b"200 OK\r\nContent-Length: 2\r\n" + LONG + b": x", "header that is too long", True),
    "reason": (b"200 " + LONG + b"\r\nContent-Length: 2", "too long", True),
    "headers": (b"200 OK\r\nContent-Length: 2" + b"\r\nX: y" * 500, "more headers than", True),
    "length": (b"200 OK\r\nContent-Length: 2\r\nContent-Length: 3", "not valid HTTP", False),
    "chunk": (b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz", "not valid HTTP", False),
    "gzip": (b"200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2", "cannot be decoded", False),
    "half": (b"200 OK\r\nContent-Length: 9", "before the end of the answer", False),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("call", [READ, PUT], ids=["read", "submission"])
async def test_an_answer_that_cannot_be_read_says_why_and_is_asked_for_as_often_as_it_helps(
    serve, reach, call, name, everything_told
):
    head, told, final = UNREADABLE[name]
    if name == "headers" and OLD:
        pytest.skip("this aiohttp reads any number of headers")
    server = await serve(raw(head))
    api: Api = reach(server, AccessToken(SECRET))
    if call is READ:
        with pytest.raises(TransportError, match=told) as raised:
            await api.call(call)
        error, asked = raised.value, 1 if final else 3
    else:
        with pytest.raises(UnsettledError) as unsettled:
            await api.submit(call, payload_of(b"ab"), repeatable=True)
        assert isinstance(unsettled.value.cause, TransportError)
        error, asked = unsettled.value.cause, 1
    assert (error.sent, error.final) == ("maybe", final)
    assert told in str(error)
    assert len(server.bodies) == asked
    assert SECRET not in everything_told(error)
    assert server.base_url not in str(error)


async def test_a_server_without_tls_is_asked_once_and_the_scheme_named(serve, reach):
    async def script(exchange):
        await exchange.reader.read(1)
        await exchange.answer(400)

    server = await serve(script)
    server.base_url = server.base_url.replace("http:", "https:")
    with pytest.raises(TransportError, match="speaks no TLS on that port; see the URL") as raised:
        await reach(server, AccessToken(SECRET)).call(READ)
    assert (raised.value.sent, raised.value.final, server.connections) == ("no", True, 1)


async def test_a_unix_socket_that_is_not_there_is_tried_again_and_not_named(reach, server):
    connector = aiohttp.UnixConnector(f"/tmp/{SECRET}/none")
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(TransportError, match=r"cannot connect \(No such file") as raised:
            await reach(server, AccessToken("t"), session=session).call(READ)
    assert (raised.value.sent, raised.value.final) == ("no", False)
    assert SECRET not in str(raised.value)


@pytest.mark.skipif(OLD, reason="this aiohttp lays that password over every Authorization")
async def test_a_session_with_a_password_of_netrc_is_named_as_the_reason(
    monkeypatch, tmp_path, serve, reach, everything_told
):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = await serve(raw(b"200 OK\r\nContent-Length: 2"))
    async with aiohttp.ClientSession(trust_env=True) as session:
        api: Api = reach(server, AccessToken(SECRET), session=session)
        with pytest.raises(TransportError, match=r"raised ValueError; .*~/\.netrc") as raised:
            await api.call(READ)
    assert raised.value.final
    assert server.heads == []
    told = everything_told(raised.value)
    assert (SECRET not in told, "hush" not in told) == (True, True)
