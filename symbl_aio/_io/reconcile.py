"""Evidence of each sending, and the search for proof that an ambiguous submission was accepted.

Most of the evidence is kept before an outcome is ambiguous: which submission has which name, which
words were sent where, what webhooks reported. The search makes reads alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from time import monotonic
from typing import Final
from weakref import WeakSet

from attrs import define

from symbl_aio import models
from symbl_aio._core.acceptance_evidence import SentTexts, only_one_named
from symbl_aio._core.early_webhooks import PARKED_FOR, ParkedCalls
from symbl_aio._io.api import UnsettledError
from symbl_aio._io.jobs import Jobs
from symbl_aio._io.queue import PendingSubmission
from symbl_aio._protocol import calls
from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.decode_models import decode_list
from symbl_aio.errors import AmbiguousSubmissionError, NotFoundError, StillAmbiguousError
from symbl_aio.job import Acceptance, HandleBackend

_PAGE: Final = 1000
_MAX_PAGES: Final = 50
_MAX_REMEMBERED: Final = 10_000
"""Only the last seconds before a submission became ambiguous matter: of older ones the server's
clock tells the difference."""


@define(eq=False, kw_only=True)
class AmbiguousSubmission:
    """A submission that was sent whole, and whose outcome is not known."""

    key: str
    """The submission's key."""
    identity: str
    """What its words are remembered under: another submission may have its key."""
    conversation_id: str | None
    """The conversation that it was appended to; ``None`` if it opened one."""
    name: str | None
    """The name that the caller gave to a new conversation."""
    has_rival: bool
    """Whether another submission has the same name."""
    text: str | None
    """Its words, if it is text."""
    sent_at: float
    """Loop time before its first byte."""
    nonce: str | None
    """The part of its webhook URL that identifies it."""
    job_id: str | None
    """The job that a call to that URL named."""
    proof: Acceptance | None = None
    """The proof, once found."""


class AmbiguousSubmissions:
    """The ambiguous submissions of one client. Each is kept as long as its error is.

    ``backend`` makes the reads. ``answer_within``: seconds that a submission waits for
    its answer, before it is ambiguous.
    """

    def __init__(self, backend: HandleBackend, jobs: Jobs, *, answer_within: float = 0.0) -> None:
        self.open_ones: WeakSet[AmbiguousSubmission] = WeakSet()
        self.sent = SentTexts()
        # A webhook may name a job long before its submission stops waiting for the answer.
        self.parked = ParkedCalls(keep=PARKED_FOR + answer_within)
        self._backend = backend
        self._jobs = jobs
        self._keys_of: dict[str, set[str]] = {}
        self._rivals: set[str] = set()
        self._claimed: dict[str, None] = {}
        self._ambiguous_names: dict[str, None] = {}
        self._owned: dict[str, None] = {}

    # Recording

    def add_name(self, key: str, name: str) -> None:
        """Record the name of a submission: two of one name cannot be distinguished by it."""
        keys = self._keys_of.setdefault(name, set())
        keys.add(key)
        if len(keys) > 1 or name in self._ambiguous_names:
            self._rivals |= keys
        for ambiguous in self.open_ones:
            if ambiguous.name == name:
                ambiguous.has_rival = True

    def forget_name(self, key: str, name: str) -> None:
        """Forget the name of a settled submission."""
        self._rivals.discard(key)
        if (keys := self._keys_of.get(name)) is not None:
            keys.discard(key)
            if not keys:
                del self._keys_of[name]

    def accepted(
        self,
        pending: PendingSubmission,
        conversation_id: str,
        job_id: str,
    ) -> bool:
        """Record an acceptance: its conversation and job prove nothing of another submission.

        Returns whether a webhook has reported already that the job ended.
        """
        identity, text = pending.identity, pending.text
        if pending.is_append:
            self.sent.add(conversation_id, identity, text)
        else:
            self.sent.open(conversation_id, identity, text)
        if pending.name is not None:
            _remember(self._claimed, conversation_id)
            self.forget_name(pending.key, pending.name)
        return pending.nonce is not None and self._own(pending.nonce, job_id)

    def _own(self, nonce: str, job_id: str) -> bool:
        _remember(self._owned, job_id)
        return self.parked.take(nonce) == (job_id, True)

    def on_webhook(self, nonce: str, job_id: str, now: float, *, ended: bool) -> None:
        """Keep the call of a webhook about a job that is not followed (yet)."""
        if job_id in self._owned:  # it has ended, and this call is late, repeated or false
            return
        for ambiguous in self.open_ones:
            if ambiguous.nonce == nonce:
                ambiguous.job_id = job_id
                return
        self.parked.park(nonce, job_id, now, ended=ended)

    def open(
        self,
        key: str,
        *,
        identity: str = "",
        conversation_id: str | None,
        name: str | None,
        text: str | None,
        sent_at: float,
        nonce: str | None,
    ) -> AmbiguousSubmission:
        """Record a submission as ambiguous, before its name is forgotten."""
        parked = self.parked.take(nonce)
        ambiguous = AmbiguousSubmission(
            key=key,
            identity=identity,
            conversation_id=conversation_id,
            name=name,
            has_rival=key in self._rivals,
            text=text,
            sent_at=sent_at,
            nonce=nonce,
            job_id=None if parked is None else parked[0],
        )
        self.open_ones.add(ambiguous)
        if name is not None:
            # Kept longer than the error: the conversation may exist for as long.
            _remember(self._ambiguous_names, name)
        return ambiguous

    # Reconciling

    def error(
        self, pending: PendingSubmission, unsettled: UnsettledError, lane: str | None
    ) -> AmbiguousSubmissionError:
        """Record a pending submission as ambiguous. Returns its error, which can reconcile it."""
        ambiguous = self.open(
            pending.key,
            identity=pending.identity,
            conversation_id=lane if pending.is_append else None,
            name=pending.name,
            text=pending.text,
            sent_at=pending.sent_at,
            nonce=pending.nonce,
        )
        error = AmbiguousSubmissionError(
            f"submission {pending.label} was sent whole, and whether it was accepted is not known "
            f"({unsettled.cause}); it is not sent again, error.reconcile() looks for proof",
            key=pending.key,
            reconcile=partial(self.reconcile, ambiguous),
            sent=unsettled.sent,
        )
        # Without its frames, which hold the whole body: callers and halted lanes keep the error.
        error.__cause__ = unsettled.cause.with_traceback(None)
        return error

    async def reconcile(self, ambiguous: AmbiguousSubmission) -> Acceptance:
        """Return proof of acceptance. Raises ``StillAmbiguousError`` if there is none."""
        self._backend.check_open()
        for search in (self._by_webhook, self._by_name, self._by_content):
            ambiguous.proof = ambiguous.proof or await search(ambiguous)
            if ambiguous.proof is not None:
                return ambiguous.proof
        raise StillAmbiguousError(
            f"no proof was found that submission {ambiguous.key} was accepted, which does not "
            "prove that it was not: look at the conversation, or ask again later",
            "maybe",
        )

    async def _by_webhook(self, ambiguous: AmbiguousSubmission) -> Acceptance | None:
        if ambiguous.job_id is None:
            return None
        try:
            await self._backend.call(calls.job(ambiguous.job_id))
        except NotFoundError:
            return None
        if ambiguous.job_id in self._owned:
            return None
        job = self._jobs.attach_unowned(ambiguous.job_id, ambiguous.conversation_id)
        if job is None:
            return None
        if ambiguous.nonce is not None:
            self._own(ambiguous.nonce, ambiguous.job_id)
        return Acceptance(ambiguous.conversation_id, job, "webhook")

    async def _by_name(self, ambiguous: AmbiguousSubmission) -> Acceptance | None:
        if ambiguous.name is None or ambiguous.has_rival:
            return None
        conversations = await self._started_since(ambiguous.sent_at)
        if conversations is None or ambiguous.has_rival:
            return None
        found, not_before = conversations
        unclaimed = [info for info in found if info.id not in self._claimed]
        conversation_id = only_one_named(unclaimed, ambiguous.name, not_before)
        return None if conversation_id is None else Acceptance(conversation_id, None, "name")

    async def _started_since(
        self, sent_at: float
    ) -> tuple[list[models.ConversationInfo], datetime] | None:
        """Return the newest conversations, and the earliest instant that ``sent_at`` can have been.

        Both by the server's clock. ``None`` if its answers have no date, or if it has more
        conversations than ``_MAX_PAGES`` pages hold.
        """
        found: dict[str, models.ConversationInfo] = {}
        not_before: datetime | None = None
        # Further back than the API lists by itself, for one that was sent before; a day more,
        # since the clocks of both sides may differ.
        age = timedelta(days=1, seconds=monotonic() - sent_at)
        oldest_listed = datetime.now(UTC) - max(calls.DEFAULT_WINDOW, age)
        for page in range(_MAX_PAGES):
            answer = await self._backend.call(
                calls.conversations(
                    page_size=_PAGE, offset=page * _PAGE, order="desc", start_time=oldest_listed
                )
            )
            if not_before is None:
                ago = monotonic() - sent_at
                not_before = _by_servers_clock(answer, seconds_ago=ago)
                if not_before is None:
                    return None
            batch = decode_list(
                models.ConversationInfo, answer.json(), "conversations", text=answer.text
            )
            # One may move to the next page between two requests: each counts once.
            found.update({info.id: info for info in batch})
            oldest = min((info.start_time for info in batch if info.start_time), default=None)
            if len(batch) < _PAGE or (oldest and oldest < not_before - timedelta(hours=1)):
                return list(found.values()), not_before
        return None

    async def _by_content(self, ambiguous: AmbiguousSubmission) -> Acceptance | None:
        conversation_id, text = ambiguous.conversation_id, ambiguous.text
        if text is None or conversation_id is None:
            return None
        try:
            answer = await self._backend.call(calls.conversation(conversation_id, "messages"))
        except NotFoundError:
            return None
        messages = decode_list(models.Message, answer.json(), "messages", text=answer.text)
        texts = [message.text for message in messages]
        if not self.sent.proves(conversation_id, ambiguous.identity, text, texts):
            return None
        return Acceptance(conversation_id, None, "content")


def _remember(known: dict[str, None], one: str) -> None:
    known[one] = None
    if len(known) > _MAX_REMEMBERED:
        del known[next(iter(known))]


def _by_servers_clock(answer: Answer, *, seconds_ago: float) -> datetime | None:
    """Return the earliest time that the server's clock can have shown ``seconds_ago``.

    A ``Date`` has whole seconds and may be a moment old: the clock never shows less.
    """
    try:
        then = parsedate_to_datetime(answer.headers.get("date", ""))
    except (TypeError, ValueError, OverflowError):
        return None
    return then.replace(tzinfo=then.tzinfo or UTC) - timedelta(seconds=seconds_ago)
