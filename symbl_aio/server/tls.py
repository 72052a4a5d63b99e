"""TLS of the server: its certificate and key, from files."""

from __future__ import annotations

import ssl
from pathlib import Path


class TLSError(Exception):
    """The files cannot be used. The message names the remedy."""


def load_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return the TLS settings of a server. Raises TLSError.

    ``certificate``: a PEM file, with the chain after it; ``key`` None: the key is in there too.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except OSError as error:  # an SSLError is one
        reason = getattr(error, "reason", None) or error.strerror
        raise TLSError(
            f"the certificate {certificate} and its key cannot be used ({reason}); "
            "give PEM files without a password in --tls-cert and --tls-key"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _no_password() -> str:
    # Without this, OpenSSL asks at the terminal, and a service waits for ever.
    raise TLSError("the key has a password; give one without, in a file that only the server reads")
