"""Keep what may prove that a submission of unknown outcome was accepted, and look for it.

Most of it must be kept before anybody knows that it will be wanted: who bears which
name, what was written where, what webhooks said. Proof is looked for with reads alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Final
from weakref import WeakSet

from attrs import define

from symbl_aio import models
from symbl_aio._core.callbacks import PARKED_FOR, Callbacks
from symbl_aio._core.evidence import Written, only_one_named
from symbl_aio._protocol import calls
from symbl_aio._protocol.decode import decode_list
from symbl_aio._protocol.encode import Answer, Call
from symbl_aio.errors import NotFoundError, StillAmbiguousError
from symbl_aio.job import Acceptance, Job

_PAGE: Final = 1000
_MOST_PAGES: Final = 50
_MOST_REMEMBERED: Final = 10_000
"""Only those of the last seconds before a doubt matter: the server's clock tells the others."""


@define(eq=False, kw_only=True)
class Doubt:
    """What is known of a submission that was sent whole, and never answered.

    ``conversation_id``: of an append. ``name``: that the caller gave a new conversation,
    and ``has_rival``: another submission bears it too. ``text``: what was written, if it
    was text. ``sent_at``: loop time before the first byte. ``nonce``: of its own webhook
    URL, and ``job_id``: told by a call to that. ``proof``: what was found.
    """

    key: str
    conversation_id: str | None
    name: str | None
    has_rival: bool
    text: str | None
    sent_at: float
    nonce: str | None
    job_id: str | None
    proof: Acceptance | None = None


class Doubts:
    """The open doubts of one client. One ends with the error that carries it.

    ``read`` gives the answer to a call that only asks. ``make_job`` gives the handle of a
    job that no other submission owns, else ``None``. ``answer_within``: seconds that a
    submission may wait for its answer, before there is a doubt.
    """

    def __init__(
        self,
        read: Callable[[Call], Awaitable[Answer]],
        make_job: Callable[[str, str | None], Job | None],
        *,
        answer_within: float = 0.0,
    ) -> None:
        self.open_ones: WeakSet[Doubt] = WeakSet()
        self.written = Written()
        # A webhook may tell of a job long before its submission gives up waiting.
        self.callbacks = Callbacks(keep=PARKED_FOR + answer_within)
        self._read = read
        self._make_job = make_job
        self._bearers: dict[str, set[str]] = {}
        self._rivals: set[str] = set()
        self._claimed: dict[str, None] = {}
        self._doubted: dict[str, None] = {}
        self._owned: dict[str, None] = {}

    # Keeping

    def note_name(self, key: str, name: str | None) -> None:
        """Note who bears a name: two who do cannot be told apart by it."""
        if name is None:
            return
        bearers = self._bearers.setdefault(name, set())
        bearers.add(key)
        if len(bearers) > 1 or name in self._doubted:
            self._rivals |= bearers
        for doubt in self.open_ones:
            if doubt.name == name:
                doubt.has_rival = True

    def claim(self, conversation_id: str, name: str | None) -> None:
        """Note whose conversation it is: it proves nothing of another one of that name."""
        if name is not None:
            _remember(self._claimed, conversation_id)

    def forget_name(self, key: str, name: str | None) -> None:
        """Note that a submission was settled."""
        self._rivals.discard(key)
        if name is not None and (bearers := self._bearers.get(name)) is not None:
            bearers.discard(key)
            if not bearers:
                del self._bearers[name]

    def own(self, nonce: str | None, job_id: str) -> bool:
        """Note whose job it is, take what its webhook said, and say whether that was its end.

        It proves nothing of another submission.
        """
        if nonce is None:
            return False
        _remember(self._owned, job_id)
        return self.callbacks.take(nonce) == (job_id, True)

    def hear(self, nonce: str, job_id: str, now: float, *, ended: bool) -> None:
        """Keep what a webhook said of a job that is not followed (yet)."""
        if job_id in self._owned:  # it has ended, and this is late, repeated or a lie
            return
        for doubt in self.open_ones:
            if doubt.nonce == nonce:
                doubt.job_id = job_id
                return
        self.callbacks.park(nonce, job_id, now, ended=ended)

    def open(
        self,
        key: str,
        *,
        conversation_id: str | None,
        name: str | None,
        text: str | None,
        sent_at: float,
        nonce: str | None,
    ) -> Doubt:
        """Open the doubt of a submission, before its name is forgotten."""
        told = self.callbacks.take(nonce)
        doubt = Doubt(
            key=key,
            conversation_id=conversation_id,
            name=name,
            has_rival=key in self._rivals,
            text=text,
            sent_at=sent_at,
            nonce=nonce,
            job_id=None if told is None else told[0],
        )
        self.open_ones.add(doubt)
        if name is not None:
            # It outlives the doubt: the conversation may be there, whoever still asks for it.
            _remember(self._doubted, name)
        return doubt

    # Looking

    async def find_proof(self, doubt: Doubt) -> Acceptance:
        """Give proof of acceptance. Raises ``StillAmbiguousError`` if there is none."""
        for look in (self._by_webhook, self._by_name, self._by_content):
            doubt.proof = doubt.proof or await look(doubt)
            if doubt.proof is not None:
                return doubt.proof
        raise StillAmbiguousError(
            f"no proof was found that submission {doubt.key} was accepted, which does not prove "
            "that it was not: look at the conversation, or ask again later",
            "maybe",
        )

    async def _by_webhook(self, doubt: Doubt) -> Acceptance | None:
        if doubt.job_id is None:
            return None
        try:
            await self._read(calls.job(doubt.job_id))
        except NotFoundError:
            return None
        if doubt.job_id in self._owned:
            return None
        job = self._make_job(doubt.job_id, doubt.conversation_id)
        if job is None:
            return None
        self.own(doubt.nonce, doubt.job_id)
        return Acceptance(doubt.conversation_id, job, "webhook")

    async def _by_name(self, doubt: Doubt) -> Acceptance | None:
        if doubt.name is None or doubt.has_rival:
            return None
        conversations = await self._begun_since(doubt.sent_at)
        if conversations is None or doubt.has_rival:
            return None
        found, not_before = conversations
        unclaimed = [info for info in found if info.id not in self._claimed]
        conversation_id = only_one_named(unclaimed, doubt.name, not_before)
        return None if conversation_id is None else Acceptance(conversation_id, None, "name")

    async def _begun_since(
        self, sent_at: float
    ) -> tuple[list[models.ConversationInfo], datetime] | None:
        """Give the newest conversations, and the earliest instant that ``sent_at`` can have been.

        Both by the server's clock.
        ``None`` if the server does not tell its time, or has more conversations than
        anybody can tell apart.
        """
        found: dict[str, models.ConversationInfo] = {}
        not_before: datetime | None = None
        for page in range(_MOST_PAGES):
            answer = await self._read(
                calls.conversations(limit=_PAGE, offset=page * _PAGE, order="desc")
            )
            if not_before is None:
                ago = monotonic() - sent_at
                not_before = _by_servers_clock(answer, seconds_ago=ago)
                if not_before is None:
                    return None
            batch = decode_list(
                models.ConversationInfo, answer.json(), "conversations", text=answer.text
            )
            # One may move to the next page while it is turned: each counts once.
            found.update({info.id: info for info in batch})
            oldest = min((info.start_time for info in batch if info.start_time), default=None)
            if len(batch) < _PAGE or (oldest and oldest < not_before - timedelta(hours=1)):
                return list(found.values()), not_before
        return None

    async def _by_content(self, doubt: Doubt) -> Acceptance | None:
        if doubt.text is None or doubt.conversation_id is None:
            return None
        try:
            answer = await self._read(calls.conversation(doubt.conversation_id, "messages"))
        except NotFoundError:
            return None
        messages = decode_list(models.Message, answer.json(), "messages", text=answer.text)
        texts = [message.text for message in messages]
        if not self.written.proves(doubt.conversation_id, doubt.key, doubt.text, texts):
            return None
        return Acceptance(doubt.conversation_id, None, "content")


def _remember(known: dict[str, None], one: str) -> None:
    known[one] = None
    if len(known) > _MOST_REMEMBERED:
        del known[next(iter(known))]


def _by_servers_clock(answer: Answer, *, seconds_ago: float) -> datetime | None:
    """Say what the server's clock showed, at the earliest, so many seconds before it answered.

    A ``Date`` has whole seconds and may be a moment old: the clock never shows less.
    """
    try:
        then = parsedate_to_datetime(answer.headers.get("date", ""))
    except (TypeError, ValueError, OverflowError):
        return None
    return then.replace(tzinfo=then.tzinfo or UTC) - timedelta(seconds=seconds_ago)
