"""The way to the server: its proxy, and which certificates are trusted."""

from __future__ import annotations

import os
import ssl
import sys
from urllib.parse import urlsplit

from symbl_aio import _environment
from symbl_aio._proxies import Proxy, environment_proxy, parse_proxy
from symbl_aio.config import Config
from symbl_aio.errors import ConfigurationError

_REMEDY = "name a readable file of CA certificates (PEM)"


def proxy_for(config: Config, origin: str) -> Proxy | None:
    """Return the proxy of an origin: ``Config.proxy``, else the environment's if it is trusted.

    Raises ``ConfigurationError`` for a proxy of the environment that cannot be used.
    """
    if config.proxy is not None:
        return parse_proxy(_environment.label(Config, "proxy", config.proxy), config.proxy)
    return environment_proxy(origin) if config.trust_env else None


def trusted(config: Config, *urls: str) -> ssl.SSLContext | bool:
    """Return aiohttp's ``ssl``: ``True``, its own default, where nothing else is asked for.

    Reads the certificates, but only if one of ``urls`` is https. Raises
    ``ConfigurationError`` that names the setting or the variable, if they cannot be used.
    """
    if not any(urlsplit(url).scheme == "https" for url in urls):
        return True
    if config.ca_file is not None:
        name = _environment.label(Config, "ca_file", config.ca_file)
        context = _load(name, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), config.ca_file)
    else:
        file, directory = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        if not file and not directory:
            return True
        if config.trust_env:
            # aiohttp made its own when it was imported, and OpenSSL skips what is not there.
            context = ssl.create_default_context()
            if file:
                _load("SSL_CERT_FILE", context, file)
            if directory and not any(map(os.path.isdir, directory.split(os.pathsep))):
                raise ConfigurationError(
                    "SSL_CERT_DIR names no directory; name one with CA certificates, or unset it"
                )
        else:
            context = _of_system()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(name: str, context: ssl.SSLContext, file: str | os.PathLike[str]) -> ssl.SSLContext:
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise ConfigurationError(f"{name} holds no usable certificate; {_REMEDY}") from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigurationError(f"{name} cannot be read ({why}); {_REMEDY}") from None
    return context


def _of_system() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform == "win32":
        context.load_default_certs()
        return context
    # OpenSSL's own default would ask the environment.
    paths = ssl.get_default_verify_paths()
    file = paths.openssl_cafile if os.path.isfile(paths.openssl_cafile) else None
    directory = paths.openssl_capath if os.path.isdir(paths.openssl_capath) else None
    if file or directory:
        context.load_verify_locations(file, directory)
    return context
