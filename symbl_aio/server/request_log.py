"""The log of requests and submissions that tests inspect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from aiohttp import web
from attrs import define, field

from symbl_aio.server.http_json import JSON
from symbl_aio.server.submission_parameters import Kind

T = TypeVar("T")


@define(eq=False)
class Received:
    """One submission, recorded when its headers arrive and updated while it is handled.

    ``size``: bytes of the body that have arrived. ``complete``: the announced body arrived
    whole. ``status``: the response status, None while there is none. ``job_id`` is set when
    the submission is accepted, even if no response reaches the caller; ``conversation_id``
    of a POST is known from then on. ``order`` counts from 0. ``query`` and ``headers`` stay empty
    if the access token is refused; the headers contain it, and are left out of ``repr``.
    """

    order: int
    method: str
    path: str
    kind: Kind
    conversation_id: str | None
    query: Mapping[str, str] = field(factory=dict)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    size: int = 0
    sha256: str | None = None
    body: JSON = field(default=None, repr=False)
    parameters: Mapping[str, JSON] = field(factory=dict, repr=False)
    status: int | None = None
    job_id: str | None = None
    complete: bool = False

    @property
    def accepted(self) -> bool:
        return self.job_id is not None


class Seen(NamedTuple):
    """One request of any kind and its response status; None if the connection was dropped."""

    method: str
    path: str
    status: int | None


class RequestLog:
    """Submissions in the order of their headers, and requests in the order of their responses.

    ``retain``: keep at least so many of each; None keeps all, and 0 none.
    """

    def __init__(self, retain: int | None) -> None:
        self._retain = retain
        self._next_order = 0
        self.submissions: list[Received] = []
        self.requests: list[Seen] = []
        # By the id of the request object, which lives until record_response().
        self._in_progress: dict[int, Received] = {}

    def record_submission(self, request: web.Request, kind: Kind) -> None:
        """Record a submission, whose access token has not been checked yet."""
        received = Received(
            order=self._next_order,
            method=request.method,
            path=request.path,
            kind=kind,
            conversation_id=request.match_info.get("conversation_id"),
        )
        self._next_order += 1
        self.submissions.append(received)
        trim_oldest(self.submissions, self._retain)
        self._in_progress[id(request)] = received

    def record_headers(self, request: web.Request) -> None:
        """Record the headers of a submission whose access token was accepted."""
        if received := self.current(request):
            received.query, received.headers = dict(request.query), request.headers.copy()

    def current(self, request: web.Request) -> Received | None:
        """Return the record of a submission that is being handled; None for other requests."""
        return self._in_progress.get(id(request))

    def record_response(self, request: web.Request, status: int | None) -> None:
        """Record the response status of a request of any kind."""
        received = self._in_progress.pop(id(request), None)
        if received is not None:
            received.status = status
        self.requests.append(Seen(request.method, request.path, status))
        trim_oldest(self.requests, self._retain)


def trim_oldest(records: list[T], retain: int | None) -> None:
    """Drop the oldest records when twice as many as ``retain`` are kept; None keeps all."""
    # Trimming at twice the number makes the cost per record constant.
    if retain is not None and len(records) > 2 * retain:
        del records[: len(records) - retain]
