"""The applications of ``symbl-aio serve``, and how their secrets get to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from symbl_aio import ConfigurationError
from symbl_aio.cli.exit_codes import OK, UNWRITTEN
from symbl_aio.cli.show_json import Show
from symbl_aio.server import APPLICATIONS, add_secret, check_app_id, made_up_secret, read_secrets

DEFAULT_SECRET = "secret"


@frozen
class Applications:
    """Secrets, or their hashes, by application; ``shown`` is printed at the start.

    ``made_up``: the file for the hash of a secret that the server has made up, now or earlier.
    """

    secrets: dict[str, str]
    shown: str | None = None
    made_up: Path | None = None

    @property
    def first(self) -> str:
        return next(iter(self.secrets))

    def store(self) -> None:
        """Store the hash of a secret that was made up now. Raises OSError.

        After the secret was printed: a start that fails before must not keep it.
        """
        if self.made_up is not None and self.shown is not None:
            add_secret(self.made_up, self.first, self.shown)


def applications(
    *,
    app_id: str,
    app_secret: str | None,
    pairs: Sequence[str],
    file: Path | None,
    data: Path | None,
    is_local: bool,
) -> Applications:
    """Return the applications of the command line. Raises ConfigurationError, OSError.

    ``is_local``: nothing but this machine reaches the server. Elsewhere the secret of the
    documents is refused, and without one a secret is made up; ``Applications.store`` keeps its
    hash in the directory ``data``, so that the secret is the same after a restart.
    """
    known = {} if file is None else read_secrets(file)
    for pair in pairs:
        name, colon, secret = pair.partition(":")
        if not (name and colon and secret) or name in known:
            raise ConfigurationError("--app is ID:SECRET, and each ID is there once")
        known[name] = secret
    if known:
        return Applications(known)
    if file is not None:
        raise ConfigurationError(f"{file} has no application; add one with --new-app")
    # An empty text, as of a variable that is not set, is no secret.
    if not app_secret and not is_local:
        return _made_up(app_id, data)
    if app_secret == DEFAULT_SECRET and not is_local:
        raise ConfigurationError(
            f'others reach this server, and know the secret "{DEFAULT_SECRET}"; choose another in '
            "SYMBL_APP_SECRET, or leave it out: then one is made up and printed"
        )
    secret = app_secret or DEFAULT_SECRET
    # A secret that the user chose is not printed.
    return Applications({app_id: secret}, secret if secret == DEFAULT_SECRET else None)


def add_application(file: Path | None, app_id: str, show: Show) -> int:
    """Make up the secret of a new application, and print it. Raises ConfigurationError, OSError."""
    if file is None:
        raise ConfigurationError("--new-app needs --apps, the file to add its hash to")
    try:
        check_app_id(app_id)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    if file.exists() and app_id in read_secrets(file):
        raise ConfigurationError(f"{file} has an application {app_id} already")
    secret = made_up_secret()
    add_secret(file, app_id, secret)
    show.application(app_id, secret)
    return OK if show.written else UNWRITTEN


def _made_up(app_id: str, data: Path | None) -> Applications:
    file = None if data is None else data / APPLICATIONS
    check_app_id(app_id)
    known = read_secrets(file) if file is not None and file.exists() else {}
    if app_id in known:
        return Applications({app_id: known[app_id]}, made_up=file)
    secret = made_up_secret()
    return Applications({app_id: secret}, secret, file)
