"""Calls of the API: method, path and query, one function for each endpoint.

Without host, credentials and body; ``encode`` and ``bodies`` add the body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias
from urllib.parse import quote, urlencode

from attrs import evolve, field, frozen

from symbl_aio._error_classes import ConfigurationError
from symbl_aio._fields import (
    is_word,
    require,
    require_all,
    require_flag,
    require_word,
    text_of,
    type_name,
)
from symbl_aio.media import Kind
from symbl_aio.models.base import JSON, wire_name

DEFAULT_WINDOW: Final = timedelta(days=7)
"""How far back a list of conversations without a start goes ("Get conversations" page)."""

Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Part: TypeAlias = Literal[
    "abstract-topics",
    "action-items",
    "analytics",
    "bookmarks",
    "bookmarks-summary",
    "bookmarks/bulk",
    "callscore",
    "callscore/status",
    "comprehensive/action-items",
    "entities",
    "experiences",
    "experiences/url",
    "follow-ups",
    "insights",
    "intents",
    "lm-insights/status",
    "members",
    "messages",
    "questions",
    "speakers",
    "summary",
    "topics",
    "trackers",
    "trackers-detected",
    "transcript",
]
"""A part of a conversation, as its path names it."""

Stored: TypeAlias = Literal[
    "entities",
    "entities/bulk",
    "group",
    "groups",
    "settings",
    "tracker",
    "trackers",
    "trackers/bulk",
]
"""A kind of stored object of an account, as its path names it."""

_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}").fullmatch
"""Ids that need no further check and no quoting."""
_LABS: Final = frozenset({"abstract-topics", "comprehensive/action-items"})
_MAX_CONVERSATIONS: Final = 65_536
# Of a query; all others but these are flags.
_TEXTS: Final = frozenset({"name", "sub_type", "sort", "filter", "order", "start_time", "end_time"})
_OTHERS: Final = frozenset({"exclude", "limit", "offset"})
_ID_NAMES: Final[Mapping[Stored, str]] = {
    "entities": "entity_id",
    "group": "group_id",
    "tracker": "tracker_id",
    "trackers": "tracker_id",
}


@frozen
class Call:
    """One request, ready to be sent, without host and credentials.

    ``path`` begins with a slash, and its ids are percent-encoded; ``query`` is not
    encoded yet. ``headers`` holds the content type, if one is to be sent. ``body`` is
    encoded JSON; ``None`` means that there is no body, or that a file is the body.
    Query and body may hold secrets and are kept out of ``repr``; ``urls`` are those in them,
    which may be signed. ``labs``: the call is for the host of the Labs features.
    """

    method: Method
    path: str
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)
    urls: tuple[str, ...] = field(default=(), repr=False)
    labs: bool = False

    @property
    def target(self) -> str:
        """Path and query, percent-encoded (RFC 3986, UTF-8, a space is ``%20``)."""
        if not self.query:
            return self.path
        return f"{self.path}?{urlencode(self.query, safe='', quote_via=quote)}"


def check_id(name: str, value: str) -> str:
    """Return ``value`` if it can be a segment of a path; ids are opaque, so little is required.

    Raises ``ConfigurationError`` that names ``name``. A slash or a dot segment would change
    the path, even percent-encoded on some hosts.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} is {type_name(value)}; give the id, a string")
    if _PLAIN_ID(value):  # as nearly all are
        return value
    if not value or value.isspace():
        raise ConfigurationError(f"{name} is empty; give the id that the API answered")
    if value in (".", "..") or "/" in value or "\\" in value or not is_word(value):
        raise ConfigurationError(
            f"{name} is {value!r}, which is no id (slash, dot segment or control character); "
            "give the id alone, as the API answered it"
        )
    return value


def instant(name: str, value: datetime) -> str:
    """Encode a time as the API does: UTC, milliseconds, ``Z``.

    Raises ``ConfigurationError`` for a time without a zone.
    """
    require(name, value, datetime, "an aware datetime, such as datetime.now(UTC)")
    if value.utcoffset() is None:
        raise ConfigurationError(
            f"{name} has no time zone; give an aware datetime, such as datetime.now(UTC)"
        )
    try:
        utc = value.astimezone(UTC)
    except OverflowError:
        raise ConfigurationError(f"{name} is outside of the calendar in UTC; check it") from None
    return utc.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def json_text(value: JSON) -> str:
    """Encode JSON without spaces and without escapes that UTF-8 does not need.

    Raises ``ConfigurationError`` for a value that JSON cannot represent.
    """
    try:
        text = _encode(value)
        text.encode()
        return text
    except (TypeError, ValueError, RecursionError) as error:
        problem = str(error)
    # Not inside the handler: the codec's error holds the whole text, which may hold a secret.
    raise ConfigurationError(f"a parameter cannot be written as JSON: {problem}")


def query_text(value: JSON) -> str:
    """Encode one value of a query: text as it is, lists and objects as JSON text.

    Raises ``ConfigurationError`` for a value that JSON or UTF-8 cannot represent.
    """
    text = json_text(value)
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, float):
        from decimal import Decimal  # for the one option that is no whole number

        return f"{Decimal(text):f}"  # 0.00001, not 1e-05
    return text


def quoted_id(name: str, value: str) -> str:
    """Return an id as a segment of a path. Raises ``ConfigurationError`` as ``check_id``."""
    if type(value) is str and _PLAIN_ID(value):
        return value
    return quote(check_id(name, value), safe="")


def _query(parameters: Mapping[str, JSON]) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for name, value in parameters.items():
        if value is None:
            continue
        if name == "exclude" and value not in ([], ()):  # which exclude nothing
            items: Iterable[JSON] = value  # type: ignore[assignment]
            value = [*require_all(name, items, str, 'categories such as "PERSON_NAME"')]
        elif name in _TEXTS:
            require_word(name, value)
        elif name not in _OTHERS:
            require_flag(name, value)
        pairs.append((wire_name(name), query_text(value)))
    return tuple(pairs)


def token() -> Call:
    """Authentication page: generate a token. Outside of ``/v1``."""
    return Call("POST", "/oauth2/token:generate")


def submission(kind: Kind, conversation_id: str | None = None) -> Call:
    """Async API pages: process text, audio, video, or the URL of either.

    POST creates a conversation, PUT appends to ``conversation_id``.
    """
    if conversation_id is None:
        return Call("POST", f"/v1/process/{kind}")
    return Call("PUT", f"/v1/process/{kind}/{quoted_id('conversation_id', conversation_id)}")


def job(job_id: str) -> Call:
    """Job API page: get the status of a job."""
    return Call("GET", f"/v1/job/{quoted_id('job_id', job_id)}")


def conversation(
    conversation_id: str, part: Part | None = None, *, method: Method = "GET", **query: JSON
) -> Call:
    """Conversation API pages: a conversation itself, or one of its parts.

    ``query`` has the page's parameters under their Python names; ``None`` leaves one
    out. Messages take ``verbose``, ``sentiment``, ``redact`` and ``exclude``; topics
    ``sentiment``, ``parent_refs``, ``custom_topic_vocabulary`` and ``refresh`` (which
    replaces the topics: no safe read), the summary ``refresh``.
    """
    path = f"/v1/conversations/{quoted_id('conversation_id', conversation_id)}"
    if part is None:
        return Call(method, path, _query(query))
    return Call(method, f"{path}/{part}", _query(query), labs=part in _LABS)


def member(conversation_id: str, member_id: str) -> Call:
    """Conversation API, "Update members" page."""
    of = conversation(conversation_id, "members", method="PUT")
    return evolve(of, path=f"{of.path}/{quoted_id('member_id', member_id)}")


def bookmark(
    conversation_id: str, bookmark_id: str, *, method: Method = "GET", summary: bool = False
) -> Call:
    """Bookmarks pages: one bookmark, or its summary."""
    of = conversation(conversation_id, "bookmarks", method=method)
    path = f"{of.path}/{quoted_id('bookmark_id', bookmark_id)}"
    return evolve(of, path=path + "/summary" if summary else path)


def insights_ui(conversation_id: str | None = None, **query: JSON) -> Call:
    """Insights UI pages: the link to the list of conversations, or to one of them.

    ``query``: ``include_call_score``.
    """
    path = "/v1/conversations/experiences/insights/"
    if conversation_id is None:
        return Call("GET", path + "list", _query(query))
    return Call(
        "GET", f"{path}details/{quoted_id('conversation_id', conversation_id)}", _query(query)
    )


def stored(
    kind: Stored, item_id: str | None = None, *, method: Method = "GET", **query: JSON
) -> Call:
    """Management API pages: the stored objects of an account, all of a kind or one.

    ``query``: ``name`` of trackers, ``sub_type`` of entities that are to be deleted.
    """
    path = f"/v1/manage/{kind}"
    if item_id is not None:
        path = f"{path}/{quoted_id(_ID_NAMES.get(kind, 'id'), item_id)}"
    return Call(method, path, _query(query))


def conversations(
    *,
    page_size: int | None = None,
    offset: int | None = None,
    order: Literal["asc", "desc"] | None = None,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    sort: str | None = None,
    filter: str | None = None,
    group_id: str | None = None,
) -> Call:
    """Conversation API, "Get conversations" page: one page of the account's conversations.

    With ``group_id``, of the group's (Management API, "Conversation groups" page).
    Without ``start_time`` the server looks back seven days only. ``order`` is by start
    time, and ascending if not given. ``filter`` is an RSQL expression.
    """
    if page_size is not None and not 1 <= page_size <= _MAX_CONVERSATIONS:
        raise ConfigurationError(f"page_size is {page_size!r}; give 1 to {_MAX_CONVERSATIONS}")
    if offset is not None and offset < 0:
        raise ConfigurationError(f"offset is {offset!r}; give 0 or more")
    if order not in (None, "asc", "desc"):
        raise ConfigurationError(f'order is {order!r}; give "asc" or "desc"')
    if group_id is None:
        path = "/v1/conversations"
    else:
        path = f"/v1/groups/{quoted_id('group_id', group_id)}/conversations"
    start = None if start_time is None else instant("start_time", start_time)
    end = None if end_time is None else instant("end_time", end_time)
    if start_time is not None and end_time is not None and start_time >= end_time:
        raise ConfigurationError(
            f"start_time is not before end_time ({start} and {end}); give an earlier start_time"
        )
    query: dict[str, JSON] = {
        "limit": page_size,
        "offset": offset,
        "order": order,
        "start_time": start,
        "end_time": end,
        "sort": sort,
        "filter": filter,
    }
    return Call("GET", path, _query(query))
