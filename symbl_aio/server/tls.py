"""TLS of the server: its certificate and key, from files that may be renewed while it runs."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

logger = logging.getLogger("symbl_aio.server")


class TLSError(Exception):
    """The files cannot be used. The message names the remedy."""


def load_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return the TLS settings of a server. Raises TLSError.

    ``certificate``: a PEM file, with the chain after it; ``key`` None: the key is in there too.
    Files that have changed are loaded again for the next connection. If they cannot be used, a
    warning is logged, and connections go on with those before.
    """
    loaded = _state(certificate, key)
    known = current = _load(certificate, key)

    def renew(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        nonlocal current, loaded
        state = _state(certificate, key)
        if state != loaded:
            # Also if they cannot be used: one attempt, and one warning, for each change.
            loaded = state
            try:
                current = _load(certificate, key)
            except TLSError as error:
                logger.warning("%s; the certificate before it stays in use", error)
            else:
                logger.info("the certificate %s was renewed", certificate)
        connection.context = current

    # Called in each handshake, with a name or without.
    known.sni_callback = renew
    return known


def _load(certificate: Path, key: Path | None) -> ssl.SSLContext:
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


def _state(certificate: Path, key: Path | None) -> list[tuple[int, int, int] | None]:
    """Return for each file values that differ after it was written or replaced."""
    return [None if path is None else _file_state(path) for path in (certificate, key)]


def _file_state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _no_password() -> str:
    # Without this, OpenSSL asks at the terminal, and a service waits for ever.
    raise TLSError("the key has a password; give one without, in a file that only the server reads")
