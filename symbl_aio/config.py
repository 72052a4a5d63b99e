"""Settings: who calls, which host, how patient, how many. Frozen values, no I/O.

All times are seconds. Everything is checked when the value is made, so a wrong
setting is a ``ConfigurationError`` at once and never a surprise at night.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from symbl_aio._fields import is_text, is_web_url, required_strings, type_name
from symbl_aio.errors import ConfigurationError

DEFAULT_BASE_URL = "https://api.symbl.ai"
DEFAULT_LABS_URL = "https://api-labs.symbl.ai"

_HOST_AND_PORT = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


def _positive(instance: object, attribute: Any, value: object) -> None:
    if value is None and attribute.default is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigurationError(
            f"{type(instance).__name__}.{attribute.name} is {value!r}; give a number above 0"
        )


def _count(instance: object, attribute: Any, value: object) -> None:
    if value is None and attribute.default is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(
            f"{type(instance).__name__}.{attribute.name} is {value!r}; give a whole number above 0"
        )


def _of_type(kind: type) -> Any:
    def check(instance: object, attribute: Any, value: object) -> None:
        if not isinstance(value, kind):
            raise ConfigurationError(
                f"{type(instance).__name__}.{attribute.name} is {type_name(value)}; "
                f"give {kind.__name__}(...)"
            )

    return check


def _visible_ascii(name: str, value: object) -> str:
    """Refuse what could not stand in a header: a line break there would be a second header."""
    if not isinstance(value, str) or not value or not all("!" <= c <= "~" for c in value):
        raise ConfigurationError(
            f"{name} must be a non-empty string without spaces, line breaks or non-ASCII letters"
        )
    return value


@frozen
class Credentials:
    """An application's id and secret, from which the client makes its tokens.

    Authentication page of the API: ``POST /oauth2/token:generate``.
    """

    app_id: str = field()
    """The application's id."""
    app_secret: str = field(repr=False)
    """The application's secret; not shown in ``repr``."""

    def __attrs_post_init__(self) -> None:
        for name in ("app_id", "app_secret"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ConfigurationError(f"Credentials.{name} is empty; give the application's own")


@frozen
class AccessToken:
    """A ready token, made elsewhere."""

    value: str = field(repr=False)
    """The token; not shown in ``repr``."""
    expires_in: float | None = field(default=None, validator=_positive)
    """Seconds of life left; ``None`` when not known."""

    def __attrs_post_init__(self) -> None:
        _visible_ascii("AccessToken.value", self.value)


TokenProvider: TypeAlias = Callable[[], Awaitable[AccessToken | str]]
"""An async callable that gives a token; called again when the last one ran out or was refused."""

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
        "or pass credentials=Credentials(app_id, app_secret)"
    )


@frozen
class Timeouts:
    """How long one exchange may take. There is no total for an upload, however large.

    All are seconds.
    """

    connect: float = field(default=15.0, validator=_positive)
    """Until the connection stands, TLS included."""
    read: float = field(default=60.0, validator=_positive)
    """For a whole request that only reads."""
    stall: float = field(default=60.0, validator=_positive)
    """Between two chunks of an upload that the transport accepts."""
    answer: float = field(default=300.0, validator=_positive)
    """From the last byte of an upload to the end of the answer."""


@frozen
class Polls:
    """How often jobs are asked for their status (Job API page: GET is the only way).

    A job of age *a* is asked again after ``share`` x *a* seconds, within ``floor`` and
    ``ceiling``. Once eight jobs of the client have ended, the ages at which they did show
    when it is worth asking: first about the age of the youngest, then more often where many
    ended, about ``share`` of the usual age apart and within the same bounds. While webhooks
    report every end, the other polls only look for a lost one, at long intervals.
    """

    share: float = field(default=0.1, validator=_positive)
    """Part of a job's age after which it is asked again."""
    floor: float = field(default=0.5, validator=_positive)
    """Shortest interval, seconds."""
    ceiling: float = field(default=15.0, validator=_positive)
    """Longest interval, seconds."""
    jitter: float = 0.1
    """Random part of each interval, 0 or more, below 1."""
    per_second: float = field(default=10.0, validator=_positive)
    """Requests a second at most, for all jobs of a client together."""
    hinted_per_second: float = field(default=50.0, validator=_positive)
    """Requests a second at most that webhooks bring forward, besides ``per_second``."""
    not_found_grace: float = field(default=30.0, validator=_positive)
    """Seconds before a job that the server does not know (404) is lost."""
    track_for: float = field(default=86_400.0, validator=_positive)
    """Seconds after which a job that has not ended is lost."""

    def __attrs_post_init__(self) -> None:
        jitter: object = self.jitter
        if not isinstance(jitter, int | float) or not 0 <= jitter < 1:
            raise ConfigurationError(f"Polls.jitter is {self.jitter!r}; give 0 or more, below 1")
        if self.floor > self.ceiling:
            raise ConfigurationError("Polls.floor is above Polls.ceiling; give a smaller floor")


@frozen
class Retries:
    """How often a request that surely was not accepted is tried, 429 excepted.

    The n-th pause is a random time up to ``base`` x 2\\ :sup:`n-1` seconds, at most ``cap``.
    """

    attempts: int = field(default=5, validator=_count)
    """Attempts in all, 1 or more."""
    within: float = field(default=60.0, validator=_positive)
    """Seconds from the first failure in which the last attempt may begin."""
    base: float = field(default=0.5, validator=_positive)
    """Bound of the first pause, seconds."""
    cap: float = field(default=20.0, validator=_positive)
    """Longest pause, seconds."""
    max_retry_after: float = field(default=30.0, validator=_positive)
    """Longest ``Retry-After`` of the server that is honoured, seconds."""


@frozen
class Limits:
    """How much at once."""

    jobs: int | None = field(default=None, validator=_count)
    """The account's limit of unfinished jobs; ``None`` lets the client learn it."""
    first_jobs: int = field(default=2, validator=_count)
    """The limit that learning starts from (FAQ page: 2 on a trial account)."""
    most_jobs: int = field(default=50, validator=_count)
    """The limit that learning ends at (FAQ page: 50 on a paid account)."""
    queued: int = field(default=100_000, validator=_count)
    """Submissions that may wait in this client."""
    wait_for_slot: float | None = field(default=None, validator=_positive)
    """Seconds that a submission waits for a free job slot before it fails.

    ``ConcurrencyLimitError`` is raised then; ``None`` waits as long as it takes.
    """
    answer_bytes: int = field(default=256 * 2**20, validator=_count)
    """Largest answer that is read, bytes."""


@frozen
class Lanes:
    """When the next append of a conversation may start."""

    advance_on: Literal["completed", "accepted"] = "completed"
    """After the job before has ended, or as soon as it is accepted.

    ``"accepted"`` lets the next upload overlap with the processing of the one before.
    """
    on_failure: Literal["continue", "halt"] = "continue"
    """What a failed job or a refused append does to those behind it.

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


def _networks(instance: object, attribute: Any, value: object) -> None:
    name = f"{type(instance).__name__}.{attribute.name}"
    remedy = "give a list of networks, such as ['192.0.2.0/24', '2001:db8::1']"
    if not isinstance(value, tuple):
        raise ConfigurationError(f"{name} is {type_name(value)}; {remedy}")
    for network in value:
        try:
            if not isinstance(network, str):
                raise ValueError(f"{network!r} is not a string")
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigurationError(f"{name}: {error}; {remedy}") from None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(value: str | None) -> str | None:
    return value.rstrip("/") if isinstance(value, str) else value


@frozen
class Config:
    """All settings of one client.

    ``webhook_base_url`` with ``webhook_secret`` make every submission carry a webhook URL
    of its own, unless its options set one. The server's calls to it bring polls forward, and
    help to settle a submission of unknown outcome.
    """

    base_url: str = field(
        factory=lambda: os.environ.get("SYMBL_BASE_URL") or DEFAULT_BASE_URL, converter=_origin
    )
    """Origin of the API; else ``SYMBL_BASE_URL``, else the vendor's host."""
    labs_url: str | None = field(default=None, converter=_origin)
    """Origin of the Labs features, which gets the same token.

    Without it the vendor's Labs host beside the vendor's ``base_url``, and ``base_url``
    itself beside any other.
    """
    allow_http: bool = False
    """Accept plain ``http`` for hosts other than loopback."""
    auth_header: Literal["Authorization", "x-api-key"] = "Authorization"
    """``"Authorization"`` (``Bearer``), or ``"x-api-key"`` for older hosts."""
    timeouts: Timeouts = field(factory=Timeouts, validator=_of_type(Timeouts))
    """How long one exchange may take."""
    polls: Polls = field(factory=Polls, validator=_of_type(Polls))
    """How often jobs are asked for their status."""
    retries: Retries = field(factory=Retries, validator=_of_type(Retries))
    """How often a request that surely was not accepted is tried."""
    limits: Limits = field(factory=Limits, validator=_of_type(Limits))
    """How much at once."""
    lanes: Lanes = field(factory=Lanes, validator=_of_type(Lanes))
    """When the next append of a conversation may start."""
    tracker_paths: Literal["2022", "2024"] = "2022"
    """Which family of paths the host has for stored trackers.

    ``"2022"``: ``/manage/tracker/{id}``, updated with PUT. ``"2024"``:
    ``/manage/trackers/{id}``, updated with JSON Patch. The same path means other things in
    each, so it is never guessed.
    """
    chunk_size: int = field(default=3 * 2**19, validator=_count)
    """Bytes read from disk at a time, 65,536 or more.

    An upload keeps a few times as many in memory, whatever the size of its file.
    """
    webhook_base_url: str | None = field(default=None, repr=False)
    """Address under which this service takes webhooks; not shown in ``repr``."""
    webhook_secret: str | None = field(default=None, repr=False)
    """Secret that all workers share which may be called; not shown in ``repr``."""
    webhook_networks: tuple[str, ...] = field(
        default=(), converter=required_strings, validator=_networks
    )
    """Networks that ``WebhookReceiver.allows`` lets in, such as ``"192.0.2.0/24"``.

    Empty: all are let in.
    """

    def __attrs_post_init__(self) -> None:
        self._check_origin("base_url", self.base_url)
        if self.labs_url is not None:
            self._check_origin("labs_url", self.labs_url)
        self._check_webhooks()
        if self.tracker_paths not in ("2022", "2024"):
            raise ConfigurationError(
                f'Config.tracker_paths is {self.tracker_paths!r}; give "2022" or "2024"'
            )
        if self.auth_header not in ("Authorization", "x-api-key"):
            raise ConfigurationError(
                f'Config.auth_header is {self.auth_header!r}; give "Authorization" or "x-api-key"'
            )
        if self.chunk_size < 2**16:
            raise ConfigurationError("Config.chunk_size is below 65536 bytes; give 2**20 or more")

    @property
    def labs_origin(self) -> str:
        """The origin that Labs calls go to: ``labs_url``, or what follows from ``base_url``."""
        if self.labs_url is not None:
            return self.labs_url
        return DEFAULT_LABS_URL if self.base_url == DEFAULT_BASE_URL else self.base_url

    def _check_origin(self, name: str, value: str) -> None:
        # The value itself is not printed: it may carry a password.
        remedy = "give an origin such as https://api.example.com or http://127.0.0.1:8080"
        try:
            parts = urlsplit(value)
            host, _ = parts.hostname, parts.port
        except (ValueError, TypeError, AttributeError):
            raise ConfigurationError(f"Config.{name} is not a URL; {remedy}") from None
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigurationError(f"Config.{name} is not an http(s) URL; {remedy}")
        # Compared with what it was made of: a lone "?" or "@" leaves no other trace.
        origin = f"{parts.scheme}://{parts.netloc.lower()}"
        if origin != value.lower() or not _HOST_AND_PORT.fullmatch(parts.netloc):
            raise ConfigurationError(
                f"Config.{name} holds more than an origin (no path, query or user); {remedy}"
            )
        if parts.scheme == "http" and not self.allow_http and not _is_loopback(host):
            raise ConfigurationError(
                f"Config.{name} is plain http to {host}, which would show the token to the "
                "network; use https, or set allow_http=True if you mean it"
            )

    def _check_webhooks(self) -> None:
        url, secret = self.webhook_base_url, self.webhook_secret
        if secret is not None and not (secret and is_text(secret)):
            raise ConfigurationError(
                "Config.webhook_secret is not a non-empty string that UTF-8 can encode; give a "
                "secret that all workers share, such as secrets.token_urlsafe()"
            )
        if url is None:
            return
        if not url or not is_web_url(url) or "?" in url or "#" in url:
            raise ConfigurationError(
                "Config.webhook_base_url is not an http(s) URL without a query; give the address "
                "under which this service takes webhooks"
            )
        if secret is None:
            raise ConfigurationError(
                "Config.webhook_secret is missing; with webhook_base_url give a secret that all "
                "workers share, such as secrets.token_urlsafe()"
            )

    def evolve(self, **changes: object) -> Config:
        """Return a copy with some settings changed, checked again."""
        return evolve(self, **changes)  # type: ignore[arg-type]
