"""Handles without a client: the token that re-attaches a job, and the backend of a copy."""

from __future__ import annotations

import json
import math
from typing import Final, NoReturn

from attrs import frozen

from symbl_aio._error_classes import ConfigurationError

_TOKEN_VERSION: Final = 1


@frozen
class JobToken:
    """Content of ``Job.token``."""

    job_id: str
    """The job's id."""
    conversation_id: str | None
    """Its conversation, if known."""
    origin: str
    """Origin of the API that has the job."""
    since: float
    """When it was accepted, Unix time in seconds."""

    @classmethod
    def parse(cls, text: object) -> JobToken | None:
        """Parse a token; ``None`` for a plain job id. Raises ``ConfigurationError``."""
        if not isinstance(text, str) or not text.lstrip().startswith("{"):
            return None
        try:
            value = json.loads(text)
            if value["v"] != _TOKEN_VERSION:
                raise ConfigurationError(
                    f"job token of version {value['v']!r}; this release reads version "
                    f"{_TOKEN_VERSION}: upgrade symbl-aio, or give the job id itself"
                )
            job_id, conversation_id = value["job"], value["conversation"]
            origin, since = value["origin"], float(value["since"])
            if not math.isfinite(since):
                raise ValueError("since")
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(
                "job_id looks like a job token but cannot be read; give Job.token unchanged"
            ) from None
        if not isinstance(job_id, str) or not isinstance(conversation_id, str | None):
            raise ConfigurationError("job_id looks like a job token but its ids are not strings")
        return cls(job_id, conversation_id, str(origin), since)

    def to_json(self) -> str:
        """Return the token as JSON text, without any secret."""
        return json.dumps(
            {
                "v": _TOKEN_VERSION,
                "job": self.job_id,
                "conversation": self.conversation_id,
                "origin": self.origin,
                "since": int(self.since),
            },
            separators=(",", ":"),
        )


class DetachedBackend:
    """Backend of a handle copied by ``pickle`` or ``copy``: all but ``origin`` raises."""

    def __init__(self, handle: str, remedy: str, origin: str = "") -> None:
        self.origin = origin
        self._message = f"this {handle} is a copy, by pickle or copy, and has no client; {remedy}"

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise ConfigurationError(self._message)

    async def _refuse_later(self, *_: object, **__: object) -> NoReturn:
        self._refuse()

    check_open = submit = resume_appends = jobs_of = follow = withdraw = conversation = _refuse
    call = poll = _refuse_later
