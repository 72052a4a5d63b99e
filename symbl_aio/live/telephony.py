"""Telephone calls that the server makes, listens to and ends."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import optional

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio import models
from symbl_aio._core.retries import Verdict, on_status
from symbl_aio._fields import (
    a_word,
    check,
    is_int,
    require,
    require_all,
    require_word,
    required_strings,
    words,
)
from symbl_aio._io.live_backend import LiveBackend
from symbl_aio._log import Log
from symbl_aio._protocol import live, telephony
from symbl_aio._protocol.calls import check_id
from symbl_aio._protocol.decode_models import decode
from symbl_aio._protocol.encode import with_body
from symbl_aio.drafts import SpeakerEvent
from symbl_aio.errors import APIError, TransportError
from symbl_aio.live.settings import InsightType
from symbl_aio.live.subscription import Subscription
from symbl_aio.models import JSON
from symbl_aio.models.base import Model, raw_field
from symbl_aio.models.conversation import masked

__all__ = ["Call", "CallEnded", "Pstn", "Sip", "SummaryEmail", "SummaryLink", "Telephony"]

_LOG = Log("symbl_aio")

_CLOSED = "the client was closed before the answer came; the call may be running"


def _seconds() -> float:
    """Return the time of a clock that is never set."""
    if sys.platform == "linux":  # the other one stands still while the machine sleeps
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _digits(number: str) -> str:
    # Any other type is left for the validator, which names the field.
    given: object = number
    return given.removeprefix("+") if isinstance(given, str) else number


def _is_count(value: Any) -> bool:
    return is_int(value) and value >= 1


_tones = optional(a_word)


@frozen
class Pstn:
    """A telephone number to call."""

    phone_number: str = field(
        converter=_digits,
        validator=check(
            # No country code begins with 0: that is the prefix of calls abroad.
            lambda v: isinstance(v, str) and v.isascii() and v.isdigit() and v[0] != "0",
            'digits with the country code and without 00, such as "+14155550123"',
        ),
    )
    """The number with its country code, digits alone; a leading ``+`` is left out."""
    dtmf: str | None = field(default=None, validator=_tones, repr=False)
    """Keys to press once connected, such as ``",,939293#"``; each comma waits half a second."""


@frozen
class Sip:
    """A SIP address to call."""

    uri: str = field(
        validator=check(
            lambda v: isinstance(v, str) and v.startswith(("sip:", "sips:")),
            'an address such as "sip:124@example.com"',
        )
    )
    """The address, beginning with ``sip:``."""
    dtmf: str | None = field(default=None, validator=_tones, repr=False)
    """Keys to press once connected; each comma waits half a second."""
    encoding: Literal["PCMU", "OPUS"] | None = field(
        default=None, validator=optional(check(lambda v: v in ("PCMU", "OPUS"), "PCMU or OPUS"))
    )
    """Encoding of the audio; the server's default is PCMU."""
    sample_rate: int | None = field(
        default=None, validator=optional(check(_is_count, "Hz, an int of 1 or more"))
    )
    """Sample rate in Hz; the server's default is 8,000."""
    sample_size: int | None = field(
        default=None, validator=optional(check(_is_count, "bits, an int of 1 or more"))
    )
    """Bits of one sample."""
    provider_name: str | None = field(default=None, validator=optional(a_word))
    """Name of the provider, if the server requires one."""


@frozen
class SummaryEmail:
    """An e-mail with a link to the summary, the API's only action."""

    emails: tuple[str, ...] = field(converter=required_strings, validator=words)
    """The addresses."""
    invoke_on: Literal["start", "stop"] = field(
        default="stop", validator=check(lambda v: v in ("start", "stop"), '"start" or "stop"')
    )
    """When it is sent: at the start or at the end of the call."""


@frozen(kw_only=True)
class SummaryLink(Model):
    """The link to a call's summary for one participant."""

    user: models.User = models.NOBODY
    """The participant."""
    url: str = field(default="", repr=masked)
    """The link, a secret: it needs no login."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


@frozen(kw_only=True)
class CallEnded(Model):
    """The server's answer to the end of a call."""

    connection_id: str
    """The call's id, which is of no further use."""
    conversation_id: str | None = None
    """The conversation with what was spoken."""
    summary_info: tuple[SummaryLink, ...] = ()
    """Links to the summary."""
    raw: Mapping[str, JSON] = raw_field()
    """The JSON object that was decoded into this value."""


class Call:
    """A running call. ``client.telephony.start`` returns one, ``call`` attaches to one."""

    def __init__(
        self, connection_id: str, conversation_id: str | None, backend: LiveBackend
    ) -> None:
        self.id = check_id("connection_id", connection_id)
        """The call's connection id."""
        if conversation_id is not None:
            check_id("conversation_id", conversation_id)
        self._conversation_id = conversation_id
        self._backend = backend
        # Once for all events: a wall clock that is set meanwhile would change their order.
        self._began = datetime.fromtimestamp(time.time(), UTC)
        self._began_at = _seconds()
        self._ending: asyncio.Task[CallEnded] | None = None

    def __repr__(self) -> str:
        return f"<Call {self.id}>"

    @property
    def conversation(self) -> symbl_aio.Conversation:
        """The conversation; it has more as the call goes on."""
        return self._backend.conversation(self._conversation_id)

    def events(self) -> Subscription:
        """Return the events of the call, to be opened. No I/O."""
        return Subscription(self._backend, self.id, path=live.call_results(self.id))

    async def push(self, event: SpeakerEvent) -> None:
        """Report that a participant speaks, stops, joins or leaves.

        ``event.offset`` counts from the moment when this handle was made, ``None`` is now. Not
        repeated once the server may have received it.
        """
        require("event", event, SpeakerEvent, "SpeakerEvent(...)")
        now = _seconds() - self._began_at
        at = self._began + timedelta(seconds=now if event.offset is None else event.offset)
        call = with_body(live.speaker_event(self.id), telephony.speaker_event(event, at))
        await self._backend.call(call, repeatable=False)

    async def stop(self) -> CallEnded:
        """End the call. It is sent once, however often this is called, by however many tasks.

        Raises ``NotFoundError`` if the call has ended already, ``TransportError`` if no answer
        came: the call may have ended, unless ``sent`` is ``"no"``. Sent again by a later call
        only if the server has certainly not ended it: it was refused, or never reached the
        server. Cancelling it does not keep the call from being ended.
        """
        self._backend.check_open()
        if self._ending is None or _has_changed_nothing(self._ending):
            self._ending = self._backend.start(self._end(), f"end of call {self.id}")
        return await self._backend.result(self._ending, closed=_CLOSED)

    async def _end(self) -> CallEnded:
        body = {"operation": "stop", "connectionId": self.id}
        call = with_body(live.connect_endpoint(), body)
        answer = await self._backend.call(call, repeatable=False)
        raw: Any = answer.json()
        if isinstance(raw, dict):
            raw = {"connectionId": self.id, **raw}
        return decode(CallEnded, raw, text=answer.text)


def _has_changed_nothing(ending: asyncio.Task[CallEnded]) -> bool:
    """Return whether a stop has failed, and certainly did nothing."""
    error = ending.exception() if ending.done() and not ending.cancelled() else None
    if isinstance(error, APIError):
        return on_status(error.status, "submission") is not Verdict.AMBIGUOUS
    return isinstance(error, TransportError) and error.sent == "no"


class Telephony:
    """The account's calls, as ``client.telephony``."""

    def __init__(self, backend: LiveBackend) -> None:
        self._backend = backend

    async def start(
        self,
        endpoint: Pstn | Sip,
        *,
        session_name: str | None = None,
        actions: Iterable[SummaryEmail] | None = None,
        language: str | None = None,
        timezone: str | None = None,
        insight_types: Iterable[InsightType] | None = None,
        extra: Mapping[str, JSON] | None = None,
    ) -> Call:
        """Have the server call a number or an address, and return the call.

        ``session_name``: of the conversation; ``timezone``: an IANA name; ``extra``: parameters
        without an argument of their own, under the API's names and at their places, such as
        ``{"endpoint": {"transportConfig": [...]}}``.

        Sent again only while it is certain that the server did nothing. Otherwise raises
        ``AmbiguousSubmissionError``: the call may be running. Its ``reconcile()`` finds the
        conversation by ``session_name``, if that is unique. Raises ``APIError`` for a refusal,
        ``ConfigurationError`` for a wrong argument. A call that is accepted after its caller
        was cancelled is ended, since it would have no handle.
        """
        if session_name is not None:
            require_word("session_name", session_name)
        require("endpoint", endpoint, (Pstn, Sip), "Pstn(...) or Sip(...)")
        given = () if actions is None else actions
        listed = require_all("actions", given, SummaryEmail, "SummaryEmail(...) values", least=0)
        body = telephony.start_body(
            endpoint,
            session_name=session_name,
            actions=listed,
            language=language,
            timezone=timezone,
            insight_types=insight_types,
            extra=extra,
        )
        self._backend.check_open()
        starting = self._backend.start(self._start(body, session_name), "start of a call")
        try:
            return await self._backend.result(starting, closed=_CLOSED)
        except asyncio.CancelledError:
            starting.add_done_callback(self._end_unheld)
            raise

    def call(self, connection_id: str, conversation_id: str | None = None) -> Call:
        """Return a handle on a call that was started before, here or elsewhere. No I/O."""
        return Call(connection_id, conversation_id, self._backend)

    async def _start(self, body: JSON, name: str | None) -> Call:
        connection_id, conversation_id = await self._backend.start_once(
            with_body(live.connect_endpoint(), body),
            telephony.decode_started,
            what="the start of a call",
            name=name,
        )
        return Call(connection_id, conversation_id, self._backend)

    def _end_unheld(self, starting: asyncio.Task[Call]) -> None:
        if starting.cancelled() or starting.exception() is not None:
            return
        call = starting.result()
        _LOG.debug("call %s was accepted after its caller was cancelled, and is ended", call.id)
        self._backend.start(call.stop(), f"end of call {call.id}")
