"""Settings: credentials, hosts, timeouts, retries, limits. Frozen values, no I/O.

All times are seconds. Every value is checked when it is made, so a wrong setting is a
``ConfigurationError`` at once and not a failure in production.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from attrs import Factory, converters, evolve, field, frozen

from symbl_aio import _environment
from symbl_aio._error_classes import ConfigurationError
from symbl_aio._fields import (
    count_setting,
    is_text,
    is_web_url,
    networks_setting,
    positive_setting,
    require,
    require_visible_ascii,
    required_strings,
    setting_of,
)
from symbl_aio._proxies import HOST_AND_PORT, is_loopback, parse_proxy

__all__ = [
    "AccessToken",
    "Config",
    "Credentials",
    "CredentialsLike",
    "Lanes",
    "Limits",
    "Polls",
    "Retries",
    "Timeouts",
]

DEFAULT_BASE_URL = "https://api.symbl.ai"
DEFAULT_LABS_URL = "https://api-labs.symbl.ai"


@frozen
class Credentials:
    """An application's id and secret, with which the client requests its tokens.

    Authentication page of the API: ``POST /oauth2/token:generate``.
    """

    app_id: str = field()
    """The application's id."""
    app_secret: str = field(repr=False)
    """The application's secret; not shown in ``repr``."""

    def __attrs_post_init__(self) -> None:
        own = "the application's own"
        for name, value in (("app_id", self.app_id), ("app_secret", self.app_secret)):
            if not require(f"Credentials.{name}", value, str, own).strip():
                raise ConfigurationError(f"Credentials.{name} is empty; give {own}")


@frozen
class AccessToken:
    """An access token obtained elsewhere."""

    value: str = field(repr=False)
    """The token; not shown in ``repr``."""
    expires_in: float | None = field(default=None, validator=positive_setting)
    """Seconds of life left; ``None`` when not known."""

    def __attrs_post_init__(self) -> None:
        require_visible_ascii("AccessToken.value", self.value)


TokenProvider: TypeAlias = Callable[[], Awaitable[AccessToken | str]]
"""An async callable that returns a token; called again when the last one ran out or was refused.

Its exceptions count as transient: it is retried according to ``Retries``, then a
``TransportError`` (``sent="no"``) is raised, with the exception as ``__cause__``. So it is for
a call that takes longer than ``Timeouts.connect`` and ``read`` together. For a permanent
failure raise ``ConfigurationError``, ``AuthenticationError`` or ``PermissionDeniedError``: an
``AuthenticationError`` is raised at once, as for a result that is no token. An outbox's
``Worker`` waits in either case: credentials are never an item's fault.
"""

CredentialsLike: TypeAlias = Credentials | AccessToken | TokenProvider


def credentials_from_env() -> Credentials | AccessToken:
    """Read ``SYMBL_ACCESS_TOKEN``, else ``SYMBL_APP_ID`` with ``SYMBL_APP_SECRET``."""
    if token := os.environ.get("SYMBL_ACCESS_TOKEN"):
        return AccessToken(token)
    app_id, secret = os.environ.get("SYMBL_APP_ID"), os.environ.get("SYMBL_APP_SECRET")
    if app_id and secret:
        return Credentials(app_id, secret)
    missing = [
        name
        for name, value in (("SYMBL_APP_ID", app_id), ("SYMBL_APP_SECRET", secret))
        if not value
    ]
    raise ConfigurationError(
        f"no credentials: {' and '.join(missing)} not set. Set both (or SYMBL_ACCESS_TOKEN), "
        "as `symbl-aio serve` prints them for a local server, "
        "or pass credentials=Credentials(app_id, app_secret)"
    )


@frozen
class Timeouts:
    """Time limits of one exchange, in seconds. An upload has no total, however large."""

    connect: float = field(default=15.0, validator=positive_setting)
    """To connect, TLS included."""
    read: float = field(default=60.0, validator=positive_setting)
    """For a whole request that only reads."""
    stall: float = field(default=60.0, validator=positive_setting)
    """Between two chunks of an upload that the transport accepts."""
    answer: float = field(default=300.0, validator=positive_setting)
    """From the last byte of an upload to the end of the answer."""


@frozen
class Polls:
    """The schedule of polls for a job's status (Job API page: GET is the only way).

    A job of age *a* is polled again after ``age_factor`` x *a* seconds, within ``floor`` and
    ``ceiling``. Once eight jobs of the client have finished, their ages at that time show
    when a poll is worth it: first about the age of the youngest, then more often where many
    ended, about ``age_factor`` of the usual age apart and within the same bounds. Of a recording
    of known length, jobs of about that length count. While webhooks report every end, the other
    polls only look for a lost one, at long intervals.

    A time to come back that the server names in answer to a poll (``Retry-After``) holds the
    polls of all jobs, for ``ceiling`` seconds at most.
    """

    age_factor: float = field(default=0.1, validator=positive_setting)
    """Part of a job's age after which it is polled again."""
    floor: float = field(default=0.5, validator=positive_setting)
    """Shortest interval, seconds."""
    ceiling: float = field(default=15.0, validator=positive_setting)
    """Longest interval, seconds."""
    jitter: float = 0.1
    """Random part of each interval, 0 or more, below 1."""
    per_second: float = field(default=10.0, validator=positive_setting)
    """Requests a second at most, for all jobs of a client together."""
    hinted_per_second: float = field(default=50.0, validator=positive_setting)
    """Requests a second at most that webhooks bring forward, besides ``per_second``."""
    not_found_grace: float = field(default=30.0, validator=positive_setting)
    """Seconds before a job that the server does not know (404) is lost."""
    max_age: float = field(default=86_400.0, validator=positive_setting)
    """Seconds after which a job that has not ended is lost."""

    def __attrs_post_init__(self) -> None:
        jitter: object = self.jitter
        if not isinstance(jitter, int | float) or not 0 <= jitter < 1:
            raise ConfigurationError(f"Polls.jitter is {self.jitter!r}; give 0 or more, below 1")
        if self.floor > self.ceiling:
            raise ConfigurationError("Polls.floor is above Polls.ceiling; give a smaller floor")


@frozen
class Retries:
    """Retries of a request that surely was not accepted, 429 excepted.

    The n-th pause is a random time up to ``base`` x 2\\ :sup:`n-1` seconds, at most ``cap``.
    """

    attempts: int = field(default=5, validator=count_setting)
    """Attempts in all, 1 or more."""
    max_elapsed: float = field(default=60.0, validator=positive_setting)
    """Seconds from the first failure in which the last attempt may begin."""
    base: float = field(default=0.5, validator=positive_setting)
    """Bound of the first pause, seconds."""
    cap: float = field(default=20.0, validator=positive_setting)
    """Longest pause, seconds."""
    max_retry_after: float = field(default=30.0, validator=positive_setting)
    """Longest ``Retry-After`` of the server that is honoured, seconds."""


@frozen
class Limits:
    """Limits of concurrency and size."""

    jobs: int | None = field(default=None, validator=count_setting)
    """The account's limit of unfinished jobs; ``None`` lets the client learn it."""
    initial_jobs: int = field(default=2, validator=count_setting)
    """The limit that learning starts from (FAQ page: 2 on a trial account)."""
    max_jobs: int = field(default=50, validator=count_setting)
    """The limit at which learning stops (FAQ page: 50 on a paid account)."""
    queued: int = field(default=100_000, validator=count_setting)
    """Submissions that may wait in this client."""
    wait_for_slot: float | None = field(default=None, validator=positive_setting)
    """Seconds that a submission waits for a free job slot before it fails.

    ``ConcurrencyLimitError`` is raised then; ``None`` waits as long as it takes.
    """
    answer_bytes: int = field(default=256 * 2**20, validator=count_setting)
    """Largest answer that is read, bytes."""


@frozen
class Lanes:
    """When the next append of a conversation may start."""

    advance_on: Literal["completed", "accepted"] = "completed"
    """After the job before has ended, or as soon as it is accepted.

    ``"accepted"`` lets the next upload overlap with the processing of the one before.
    """
    on_failure: Literal["continue", "halt"] = "continue"
    """Effect of a failed job or a refused append on the appends behind it.

    ``"halt"`` stops them, as an ambiguous one always does.
    """

    def __attrs_post_init__(self) -> None:
        if self.advance_on not in ("completed", "accepted"):
            raise ConfigurationError(
                f'Lanes.advance_on is {self.advance_on!r}; give "completed" or "accepted"'
            )
        if self.on_failure not in ("continue", "halt"):
            raise ConfigurationError(
                f'Lanes.on_failure is {self.on_failure!r}; give "continue" or "halt"'
            )


def _labs_of_environment(config: Config) -> str | None:
    # SYMBL_LABS_URL belongs to the host that the environment names. With a host that the
    # code names, that host's token would be sent to another party.
    host = _environment.get("base_url", "str") or DEFAULT_BASE_URL
    labs: str | None = _environment.get("labs_url", "str")
    return labs if config.base_url == _environment.origin(host) else None


@frozen
class Config:
    """All settings of one client.

    A setting that is left out is read from its environment variable, ``SYMBL_`` and its
    name in capitals (``SYMBL_ALLOW_HTTP=1``, ``SYMBL_LIMITS_JOBS=14``), when the value is
    made; an argument wins. A group such as ``limits=Limits(...)`` is taken whole.

    ``webhook_base_url`` with ``webhook_secret`` make every submission carry a webhook URL
    of its own, unless its options set one. The server's calls to it bring polls forward, and
    help to settle a submission of unknown outcome.

    ``proxy`` and ``ca_file``, where they are left out, come from ``HTTPS_PROXY``,
    ``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``,
    unless ``trust_env`` is ``False``. Loopback is never sent through a proxy of the
    environment, ``~/.netrc`` is never read, and a borrowed session keeps its own.
    """

    base_url: str = field(
        default=_environment.default("base_url", "str", DEFAULT_BASE_URL),
        converter=_environment.origin,
    )
    """Origin of the API, such as ``http://127.0.0.1:8080``; by default the vendor's host."""
    labs_url: str | None = field(
        default=Factory(_labs_of_environment, takes_self=True),
        converter=converters.optional(_environment.origin),
    )
    """Origin of the Labs features, which gets the same token.

    Without it the vendor's Labs host beside the vendor's ``base_url``, and ``base_url``
    itself beside any other. ``SYMBL_LABS_URL`` counts only beside the host that the
    environment names.
    """
    allow_http: bool = field(
        default=_environment.default("allow_http", "bool", False), validator=setting_of(bool)
    )
    """Accept plain ``http`` for hosts other than loopback."""
    auth_header: Literal["Authorization", "x-api-key"] = field(
        default=_environment.default("auth_header", "str", "Authorization")
    )
    """``"Authorization"`` (``Bearer``), or ``"x-api-key"`` for older hosts."""
    timeouts: Timeouts = field(
        default=_environment.group("timeouts", Timeouts), validator=setting_of(Timeouts)
    )
    """Time limits of one exchange."""
    polls: Polls = field(default=_environment.group("polls", Polls), validator=setting_of(Polls))
    """The schedule of polls for a job's status."""
    retries: Retries = field(
        default=_environment.group("retries", Retries), validator=setting_of(Retries)
    )
    """Retries of a request that surely was not accepted."""
    limits: Limits = field(
        default=_environment.group("limits", Limits), validator=setting_of(Limits)
    )
    """Limits of concurrency and size."""
    lanes: Lanes = field(default=_environment.group("lanes", Lanes), validator=setting_of(Lanes))
    """When the next append of a conversation may start."""
    tracker_paths: Literal["2022", "2024"] = field(
        default=_environment.default("tracker_paths", "str", "2022")
    )
    """Which family of paths the host has for stored trackers.

    ``"2022"``: ``/manage/tracker/{id}``, updated with PUT. ``"2024"``:
    ``/manage/trackers/{id}``, updated with JSON Patch. The same path means other things in
    each, so it is never guessed.
    """
    chunk_size: int = field(
        default=_environment.default("chunk_size", "int", 3 * 2**19), validator=count_setting
    )
    """Bytes read from disk at a time, 65,536 or more.

    An upload keeps a few times as many in memory, independent of the size of its file.
    """
    webhook_base_url: str | None = field(
        default=_environment.default("webhook_base_url", "str", None), repr=False
    )
    """Address under which this service takes webhooks; not shown in ``repr``."""
    webhook_secret: str | None = field(
        default=_environment.default("webhook_secret", "str", None), repr=False
    )
    """Secret of the webhook URLs, the same in all workers; not shown in ``repr``."""
    webhook_networks: tuple[str, ...] = field(
        default=_environment.default("webhook_networks", "tuple[str, ...]", ()),
        converter=required_strings,
        validator=networks_setting,
    )
    """Networks that ``WebhookReceiver.allows`` admits, such as ``"192.0.2.0/24"``.

    Empty: all are admitted.
    """
    proxy: str | None = field(default=_environment.default("proxy", "str", None), repr=False)
    """URL of an HTTP proxy for every request, with ``user:password@`` if required.

    Not shown in ``repr``.
    """
    ca_file: str | os.PathLike[str] | None = field(
        default=_environment.default("ca_file", "str", None)
    )
    """File of CA certificates (PEM) that are trusted instead of the system's."""
    trust_env: bool = field(
        default=_environment.default("trust_env", "bool", True), validator=setting_of(bool)
    )
    """Whether the proxies and certificates of the environment are used."""

    def __attrs_post_init__(self) -> None:
        self._check_origin("base_url", self.base_url)
        if self.labs_url is not None:
            self._check_origin("labs_url", self.labs_url)
        self._check_webhooks()
        if self.proxy is not None:
            parse_proxy(self._name("proxy"), self.proxy)
        file: object = self.ca_file
        if file is not None and not (isinstance(file, str | os.PathLike) and os.fspath(file)):
            raise ConfigurationError(
                "Config.ca_file is not a path; give that of a file with CA certificates (PEM)"
            )
        if self.tracker_paths not in ("2022", "2024"):
            raise ConfigurationError(
                f'{self._name("tracker_paths")} is {self.tracker_paths!r}; give "2022" or "2024"'
            )
        if self.auth_header not in ("Authorization", "x-api-key"):
            raise ConfigurationError(
                f"{self._name('auth_header')} is {self.auth_header!r}; "
                'give "Authorization" or "x-api-key"'
            )
        if self.chunk_size < 2**16:
            raise ConfigurationError(
                f"{self._name('chunk_size')} is below 65536 bytes; give 1048576 or more"
            )

    def _name(self, setting: str) -> str:
        """Return the name of a setting for errors: its variable if the value came from there."""
        return _environment.label(type(self), setting, getattr(self, setting))

    @property
    def labs_origin(self) -> str:
        """The origin of Labs calls: ``labs_url``, or the default for ``base_url``."""
        if self.labs_url is not None:
            return self.labs_url
        return DEFAULT_LABS_URL if self.base_url == DEFAULT_BASE_URL else self.base_url

    def _check_origin(self, name: str, value: str) -> None:
        # The value itself is not printed: it may carry a password.
        setting = self._name(name)
        remedy = "give an origin such as https://api.example.com or http://127.0.0.1:8080"
        try:
            parts = urlsplit(value)
            host, _ = parts.hostname, parts.port
        except (ValueError, TypeError, AttributeError):
            raise ConfigurationError(f"{setting} is not a URL; {remedy}") from None
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigurationError(f"{setting} is not an http(s) URL; {remedy}")
        # Compared with the origin alone: a lone "?" or "@" leaves no other trace.
        origin = f"{parts.scheme}://{parts.netloc.lower()}"
        if origin != value.lower() or not HOST_AND_PORT.fullmatch(parts.netloc):
            raise ConfigurationError(
                f"{setting} holds more than an origin (no path, query or user); {remedy}"
            )
        if parts.scheme == "http" and not self.allow_http and not is_loopback(host):
            opt_in = "allow_http=True"
            if setting == _environment.variable(name):
                opt_in = f"{_environment.variable('allow_http')}=1"
            raise ConfigurationError(
                f"{setting} is plain http to {host}, which would show the token to the "
                f"network; use https, or set {opt_in} if you mean it"
            )

    def _check_webhooks(self) -> None:
        url, secret = self.webhook_base_url, self.webhook_secret
        if secret is not None and not (secret and is_text(secret)):
            raise ConfigurationError(
                f"{self._name('webhook_secret')} is not a non-empty string that UTF-8 can encode; "
                "give a secret that all workers share, such as secrets.token_urlsafe()"
            )
        if url is None:
            return
        if not url or not is_web_url(url) or "?" in url or "#" in url:
            raise ConfigurationError(
                f"{self._name('webhook_base_url')} is not an http(s) URL without a query; "
                "give the address under which this service takes webhooks"
            )
        if secret is None:
            address, secret_setting = self._name("webhook_base_url"), "Config.webhook_secret"
            if address == _environment.variable("webhook_base_url"):
                secret_setting = _environment.variable("webhook_secret")
            raise ConfigurationError(
                f"{secret_setting} is missing; with {address} give a secret that all workers "
                "share, such as secrets.token_urlsafe()"
            )

    def evolve(self, **changes: object) -> Config:
        """Return a copy with some settings changed, checked again.

        With another ``base_url``, a ``labs_url`` of the environment is not copied.
        """
        if "base_url" in changes and self._name("labs_url") == _environment.variable("labs_url"):
            changes.setdefault("labs_url", None)
        return evolve(self, **changes)  # type: ignore[arg-type]
