"""TLS of the server: from two files, or self-signed and made at the first start."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

_LIFE = timedelta(days=397)
# Made anew when less than this is left, at the next start.
_RENEW = timedelta(days=30)


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


def self_signed(directory: Path, hosts: Iterable[str]) -> tuple[Path, Path]:
    """Return the files of a certificate for these hosts, and make them if there are none.

    Clients have to be given the certificate. It is kept until it is about to expire, or until
    there is another host. Needs the extra ``server``. Raises TLSError, OSError.
    """
    try:
        from cryptography import x509
    except ImportError as error:
        raise TLSError(
            "a self-signed certificate needs the extra server: pip install '.[server]' in a "
            "checkout of symbl-aio; or give --tls-cert and --tls-key"
        ) from error
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    names = [_general_name(host) for host in sorted(set(hosts))]
    if certificate.exists() and key.exists():
        known = x509.load_pem_x509_certificate(certificate.read_bytes())
        covered = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        fresh = known.not_valid_after_utc - datetime.now(UTC) > _RENEW
        if fresh and all(name in covered for name in names):
            return certificate, key
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate_pem, key_pem = _make(names)
    # The key first: a certificate without its key would be taken for a finished pair.
    _write_private(key, key_pem)
    _write_private(certificate, certificate_pem)
    return certificate, key


def _make(names: list[x509.GeneralName]) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "symbl-aio")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # An hour ago: the clocks of clients differ.
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _general_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_private(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
    new.replace(path)


def _no_password() -> str:
    # Without this, OpenSSL asks at the terminal, and a service waits for ever.
    raise TLSError("the key has a password; give one without, in a file that only the server reads")
