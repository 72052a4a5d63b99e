"""Explain what aiohttp raises: in words without secrets, and whether a retry can help.

The text of aiohttp's own errors is never shown: it may hold the URL, whose query may hold
a secret, or pieces of the answer. The numbers of errors, and OpenSSL's reasons, hold none.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp import http_exceptions
from attrs import frozen

from symbl_aio._core.passing_faults import passes
from symbl_aio._proxies import Proxy

_NEVER_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientProxyConnectionError,
)
_TRANSIENT: Final = frozenset((408, 425, 429))

# OpenSSL's reasons, for what only another setting of this side or of the other can change.
_NO_TLS: Final = frozenset(
    "WRONG_VERSION_NUMBER RECORD_LAYER_FAILURE HTTP_REQUEST HTTPS_PROXY_REQUEST".split()
)
_NO_COMMON_TLS: Final = frozenset(
    "UNSUPPORTED_PROTOCOL NO_PROTOCOLS_AVAILABLE TLSV1_ALERT_PROTOCOL_VERSION NO_SHARED_CIPHER "
    "SSLV3_ALERT_HANDSHAKE_FAILURE TLSV1_ALERT_INSUFFICIENT_SECURITY TLSV1_UNRECOGNIZED_NAME "
    "DH_KEY_TOO_SMALL TLSV13_ALERT_CERTIFICATE_REQUIRED TLSV1_ALERT_UNKNOWN_CA".split()
)

# OpenSSL's codes of verification errors, from x509_vfy.h.
_UNKNOWN_CA: Final = (
    "no certificate authority known here has signed it",
    "name the file of its CA in Config.ca_file or SSL_CERT_FILE",
)
_SELF_SIGNED: Final = (
    "it is self-signed",
    "name the file of the certificate in Config.ca_file or SSL_CERT_FILE",
)
_OTHER_HOST: Final = (
    "it is for another host",
    "call the server by a name that its certificate holds, or have one made for this host",
)
_UNVERIFIED: Final = {
    2: _UNKNOWN_CA,
    9: ("it is not valid yet", "set this machine's clock, or wait"),
    10: ("it has expired", "renew it on the server, or set this machine's clock"),
    18: _SELF_SIGNED,
    19: _UNKNOWN_CA,
    20: _UNKNOWN_CA,
    21: _UNKNOWN_CA,
    23: ("it was revoked", "have the server use another one"),
    62: _OTHER_HOST,
    64: _OTHER_HOST,
}


_OF_SESSION: Final = "auth (with trust_env, that of ~/.netrc), middlewares, traces and connector"


@frozen
class Fault:
    """An exception of one exchange, explained.

    ``connected``: false if nothing of the request left for the server. ``final``: trying
    again changes nothing. ``untrusted``: the server's certificate does not verify.
    """

    text: str
    connected: bool = True
    final: bool = False
    untrusted: bool = False


def explain(error: BaseException, proxy: Proxy | None = None) -> Fault:
    """Explain an exception. ``proxy``: the one that the client's settings name, if any."""
    who = "the proxy" if _is_of_proxy(error, proxy) else "the server"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Fault(_unverified(who, error.certificate_error), False, final=True, untrusted=True)
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        text = "the server's certificate is not the one that the session's fingerprint names"
        return Fault(text, False, final=True, untrusted=True)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return refused_by_proxy(error.status, None if proxy is None else proxy.name)
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return Fault("the session cannot use the URL, or that of its proxy", False, final=True)
    if isinstance(error, aiohttp.ClientResponseError):
        return _unreadable(error)
    if isinstance(error, _NEVER_CONNECTED):
        reason, final = _why_not_connected(error, who)
        to = " to the proxy" if who == "the proxy" else ""
        return Fault(f"cannot connect{to} ({reason})", False, final)
    if isinstance(error, TimeoutError):
        return Fault("no answer in time")
    if isinstance(error, aiohttp.ClientPayloadError):
        broken = any(isinstance(c, http_exceptions.ContentEncodingError) for c in _causes(error))
        return Fault(
            "the answer's Content-Encoding cannot be decoded"
            if broken
            else "the connection broke (before the end of the answer)"
        )
    if isinstance(error, aiohttp.ClientError | OSError | EOFError):
        return Fault(f"the connection broke ({_why_broken(error)})")
    if isinstance(error, MemoryError):
        return Fault("this process has no memory left")
    if passes(error):
        return Fault("this process can start no thread, which looks up the host", False)
    if isinstance(error, UnicodeError):  # by the codec of domain names
        return Fault("the host's name is no domain name; see the URL", False, final=True)
    # A mistake in the program or in a borrowed session. Its text is not ours to show.
    text = f"the session raised {type(error).__name__}; see its {_OF_SESSION}"
    return Fault(text, final=True)


def refused_by_proxy(status: int, proxy: str | None) -> Fault:
    """Explain a proxy's refusal to connect: final, unless its status is a passing one."""
    where = proxy or "the session's proxy"
    if status == 407:
        text = (
            f"the proxy asks for a user and a password that it accepts (407); set them in {where}"
        )
        return Fault(text, False, final=True)
    if status >= 500 or status in _TRANSIENT:
        return Fault(f"the proxy cannot connect to the server ({status})", False)
    text = f"the proxy refuses to connect to the server ({status}); see {where}"
    return Fault(text, False, final=True)


def _is_of_proxy(error: BaseException, proxy: Proxy | None) -> bool:
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return True
    if proxy is None or not isinstance(error, aiohttp.ClientConnectorError):
        return False
    # Faults of the TLS to a proxy have no class of their own.
    parts = urlsplit(proxy.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return (error.host, error.port) == (parts.hostname, port)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _unreadable(error: aiohttp.ClientResponseError) -> Fault:
    causes = [c for c in _causes(error) if isinstance(c, http_exceptions.HttpProcessingError)]
    if not causes:
        # aiohttp was set to raise for no status, and to follow nothing.
        status = f" ({error.status})" if error.status else ""
        text = f"the session raised {type(error).__name__}{status}; see its {_OF_SESSION}"
        return Fault(text, final=error.status < 500 and error.status not in _TRANSIENT)
    for cause in causes:
        if isinstance(cause, http_exceptions.LineTooLong):
            return Fault("the answer has a header that is too long to be read", final=True)
        if isinstance(cause, http_exceptions.ContentEncodingError):
            return Fault("the answer has a Content-Encoding that is not known here", final=True)
        if cause.message.startswith("Too many headers"):
            return Fault("the answer has more headers than can be read", final=True)
    return Fault("the answer is not valid HTTP")


def _why_not_connected(error: aiohttp.ClientError, who: str) -> tuple[str, bool]:
    """Return why there is no connection, and whether that is final."""
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(inner, ssl.SSLError):
        why, kind = _reason(inner), getattr(inner, "reason", None)
        if kind in _NO_TLS:
            return f"{who} speaks no TLS on that port; see the URL's scheme and port", True
        return f"the TLS handshake failed{why and f': {why}'}", kind in _NO_COMMON_TLS
    if isinstance(inner, socket.gaierror):
        return "the host's name does not resolve", False
    return ("not in time" if isinstance(error, TimeoutError) else _why_broken(error)), False


def _why_broken(error: BaseException) -> str:
    if why := _reason(error):
        return why
    if isinstance(error, aiohttp.ServerDisconnectedError | EOFError | ConnectionResetError):
        return "the other side closed it"
    if isinstance(error, aiohttp.ClientConnectionError):
        return "it was lost"
    return type(error).__name__


def _reason(error: BaseException) -> str:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(inner, ssl.SSLError):
        # Such as WRONG_VERSION_NUMBER. Its numbers are not those of the system.
        return (inner.reason or "").replace("_", " ").lower()
    return os.strerror(inner.errno) if isinstance(inner, OSError) and inner.errno else ""


def _unverified(who: str, error: BaseException) -> str:
    text = f"{who}'s certificate does not verify"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = _UNVERIFIED.get(error.verify_code)
        if why is not None:
            return f"{text}: {why[0]}; {why[1]}"
        return f"{text} (OpenSSL's code {error.verify_code})"
    return text
