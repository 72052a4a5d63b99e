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
from attrs.converters import optional

from symbl_aio._fields import is_text, is_web_url, required_strings
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
                f"{type(instance).__name__}.{attribute.name} is a {type(value).__name__}; "
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
    app_secret: str = field(repr=False)

    def __attrs_post_init__(self) -> None:
        for name in ("app_id", "app_secret"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ConfigurationError(f"Credentials.{name} is empty; give the application's own")


@frozen
class AccessToken:
    """A ready token. ``expires_in``: seconds of life left, ``None`` when not known."""

    value: str = field(repr=False)
    expires_in: float | None = field(default=None, validator=_positive)

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

    ``connect``: until the connection, TLS included, stands. ``read``: a whole request
    that only asks. ``stall``: between two chunks of an upload that the transport accepts.
    ``answer``: from the last byte of an upload to the end of the answer.
    """

    connect: float = field(default=15.0, validator=_positive)
    read: float = field(default=60.0, validator=_positive)
    stall: float = field(default=60.0, validator=_positive)
    answer: float = field(default=300.0, validator=_positive)


@frozen
class Polls:
    """How often jobs are asked for their status (Job API page: GET is the only way).

    A job of age *a* is asked again after ``share`` x *a*, within ``floor`` and
    ``ceiling``, give or take ``jitter`` (a fraction). Once eight jobs of the client have
    ended, the ages at which they did say when it is worth asking: first about the age
    of the youngest, then more often where many ended, about ``share`` of the usual age
    apart and within the same bounds. While webhooks tell every end, the other polls only
    look for a lost one, at long intervals.

    All jobs of a client together cost at most ``per_second`` requests a second; polls
    brought forward by a webhook have a budget of their own, ``hinted_per_second``. A job
    unknown to the server (404) gets ``not_found_grace`` seconds before it is lost; one
    still unfinished after ``track_for`` is lost too.
    """

    share: float = field(default=0.1, validator=_positive)
    floor: float = field(default=0.5, validator=_positive)
    ceiling: float = field(default=15.0, validator=_positive)
    jitter: float = 0.1
    per_second: float = field(default=10.0, validator=_positive)
    hinted_per_second: float = field(default=50.0, validator=_positive)
    not_found_grace: float = field(default=30.0, validator=_positive)
    track_for: float = field(default=86_400.0, validator=_positive)

    def __attrs_post_init__(self) -> None:
        jitter: object = self.jitter
        if not isinstance(jitter, int | float) or not 0 <= jitter < 1:
            raise ConfigurationError(f"Polls.jitter is {self.jitter!r}; give 0 or more, below 1")
        if self.floor > self.ceiling:
            raise ConfigurationError("Polls.floor is above Polls.ceiling; give a smaller floor")


@frozen
class Retries:
    """How often a request that surely was not accepted is tried, 429 excepted.

    At most ``attempts`` in all, the last one beginning within ``within`` seconds of the
    first failure.
    The n-th pause is a random time up to ``base`` x 2\\ :sup:`n-1`, at most ``cap``.
    A ``Retry-After`` of the server is honoured up to ``max_retry_after``.
    """

    attempts: int = field(default=5, validator=_count)
    within: float = field(default=60.0, validator=_positive)
    base: float = field(default=0.5, validator=_positive)
    cap: float = field(default=20.0, validator=_positive)
    max_retry_after: float = field(default=30.0, validator=_positive)


@frozen
class Limits:
    """How much at once.

    ``jobs``: the account's limit of unfinished jobs, when it is known; ``None`` lets
    the client learn it, from ``first_jobs`` up to ``most_jobs`` (FAQ page: 2 on a
    trial account, 50 on a paid one). ``queued``: submissions that may wait in this
    client. ``wait_for_slot``: seconds a submission waits for a free job slot before
    it fails with ``ConcurrencyLimitError``; ``None`` waits as long as it takes.
    ``answer_bytes``: the largest answer that is read.
    """

    jobs: int | None = field(default=None, validator=_count)
    first_jobs: int = field(default=2, validator=_count)
    most_jobs: int = field(default=50, validator=_count)
    queued: int = field(default=100_000, validator=_count)
    wait_for_slot: float | None = field(default=None, validator=_positive)
    answer_bytes: int = field(default=256 * 2**20, validator=_count)


@frozen
class Lanes:
    """When the next append of a conversation may start.

    ``advance_on="completed"``: after the job of the one before ended.
    ``advance_on="accepted"``: after the one before was accepted, so that the next
    upload overlaps with its processing. ``on_failure="halt"``: a failed job or a
    refused append stops the appends behind it, as an ambiguous one always does.
    """

    advance_on: Literal["completed", "accepted"] = "completed"
    on_failure: Literal["continue", "halt"] = "continue"

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
        raise ConfigurationError(f"{name} is a {type(value).__name__}; {remedy}")
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


def _origin(value: str) -> str:
    # Whatever else was given is refused by name when the fields are checked.
    if isinstance(value, str):
        return value.rstrip("/")
    return value


@frozen
class Config:
    """All settings of one client.

    ``base_url``: the origin of the API, such as ``http://127.0.0.1:8080``; without it
    ``SYMBL_BASE_URL``, else the vendor's host. Plain ``http`` is taken only for
    loopback unless ``allow_http`` is set. ``auth_header``: ``"Authorization"``
    (``Bearer``), or ``"x-api-key"`` for hosts that want the old header.
    ``chunk_size``: bytes read from disk at a time; an upload keeps a few times as many in
    memory, whatever the size of its file.

    ``labs_url``: the origin of the Labs features; without it the vendor's Labs host beside
    the vendor's ``base_url``, and the ``base_url`` itself beside any other. It gets the
    same token. ``tracker_paths``: which family of paths the host has for stored trackers,
    ``"2022"`` (``/manage/tracker/{id}``, updated with PUT) or ``"2024"``
    (``/manage/trackers/{id}``, updated with JSON Patch). The same path means other things
    in each, so it is never guessed.

    ``webhook_base_url`` with ``webhook_secret`` make every submission carry a webhook URL
    of its own below the former, unless its options set one; the server's calls to it
    bring polls forward, and help to settle a submission of unknown outcome. The secret is
    shared by all workers that may be called. ``webhook_networks``: addresses and networks
    (``192.0.2.0/24``) that ``WebhookReceiver.allows`` lets in; none here lets all in.
    """

    base_url: str = field(
        factory=lambda: os.environ.get("SYMBL_BASE_URL") or DEFAULT_BASE_URL, converter=_origin
    )
    labs_url: str | None = field(default=None, converter=optional(_origin))
    allow_http: bool = False
    auth_header: Literal["Authorization", "x-api-key"] = "Authorization"
    timeouts: Timeouts = field(factory=Timeouts, validator=_of_type(Timeouts))
    polls: Polls = field(factory=Polls, validator=_of_type(Polls))
    retries: Retries = field(factory=Retries, validator=_of_type(Retries))
    limits: Limits = field(factory=Limits, validator=_of_type(Limits))
    lanes: Lanes = field(factory=Lanes, validator=_of_type(Lanes))
    tracker_paths: Literal["2022", "2024"] = "2022"
    chunk_size: int = field(default=3 * 2**19, validator=_count)
    webhook_base_url: str | None = field(default=None, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    webhook_networks: tuple[str, ...] = field(
        default=(), converter=required_strings, validator=_networks
    )

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
