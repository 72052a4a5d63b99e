"""Explain what aiohttp raises: in words without secrets, and whether a retry can help.

The text of aiohttp's own errors is never shown: it may hold the URL, whose query may hold
a secret, or pieces of the answer. The numbers of errors, and OpenSSL's reasons, hold none.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import Final

import aiohttp
from aiohttp import http_exceptions
from attrs import frozen

_NEVER_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientProxyConnectionError,
)
_TRANSIENT_OF_PROXY: Final = frozenset((408, 425, 429))

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


def explain(error: BaseException, proxy: str | None = None) -> Fault:
    """Explain an exception. ``proxy``: what the setting of the proxy in use is called."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Fault(_unverified(error.certificate_error), False, final=True, untrusted=True)
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        text = "the server's certificate is not the one that the session's fingerprint names"
        return Fault(text, False, final=True, untrusted=True)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return refused_by_proxy(error.status, proxy)
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return Fault("the session cannot use the URL", False, final=True)
    if isinstance(error, aiohttp.ClientResponseError):
        if isinstance(error.__cause__, http_exceptions.LineTooLong):
            return Fault("the answer has a header that is too long to be read", final=True)
        return Fault("the answer is not valid HTTP")
    if isinstance(error, _NEVER_CONNECTED):
        what = "the proxy" if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
        return Fault(f"cannot connect{what and f' to {what}'} ({_why_not_connected(error)})", False)
    if isinstance(error, TimeoutError):
        return Fault("no answer in time")
    if isinstance(error, aiohttp.ClientError | OSError | EOFError):
        return Fault(f"the connection broke ({_reason(error) or type(error).__name__})")
    # A mistake in the program or in a borrowed session, such as a trace or a connector of
    # its own that raises. Its text is not ours to show.
    return Fault(f"the session raised {type(error).__name__}", final=True)


def refused_by_proxy(status: int, proxy: str | None) -> Fault:
    """Explain a proxy's refusal to connect: final, but for what it says of the moment."""
    where = proxy or "the session's proxy"
    if status == 407:
        text = (
            f"the proxy asks for a user and a password that it accepts (407); set them in {where}"
        )
        return Fault(text, False, final=True)
    if status >= 500 or status in _TRANSIENT_OF_PROXY:
        return Fault(f"the proxy cannot connect to the server ({status})", False)
    text = f"the proxy refuses to connect to the server ({status}); see {where}"
    return Fault(text, False, final=True)


def _why_not_connected(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientSSLError):
        reason = _reason(error.os_error)
        return f"the TLS handshake failed{reason and f': {reason}'}"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, socket.gaierror
    ):
        return "the host's name does not resolve"
    return _reason(error) or type(error).__name__


def _reason(error: BaseException) -> str:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(inner, ssl.SSLError):
        # Such as WRONG_VERSION_NUMBER. Its numbers are not those of the system.
        return (inner.reason or "").replace("_", " ").lower()
    return os.strerror(inner.errno) if isinstance(inner, OSError) and inner.errno else ""


def _unverified(error: BaseException) -> str:
    text = "the server's certificate does not verify"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = _UNVERIFIED.get(error.verify_code)
        if why is not None:
            return f"{text}: {why[0]}; {why[1]}"
        return f"{text} (OpenSSL's code {error.verify_code})"
    return text
