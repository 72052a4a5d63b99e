"""A self-signed certificate, made at the first start (extra ``server``)."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from symbl_aio import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509

_LIFE = timedelta(days=397)
# Made anew when less than this is left, at the next start.
_RENEW = timedelta(days=30)


def self_signed(directory: Path, hosts: Iterable[str]) -> tuple[Path, Path]:
    """Return the files of a certificate for these hosts, and make them if there are none.

    Clients have to be given the certificate. It is kept until it is about to expire, or until
    there is another host. Needs the extra ``server``. Raises ConfigurationError, OSError.
    """
    try:
        from cryptography import x509
    except ImportError as error:
        raise ConfigurationError(
            "a self-signed certificate needs the extra server: "
            "pip install '.[server]' in a checkout of symbl-aio; or give --tls-cert and --tls-key"
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
