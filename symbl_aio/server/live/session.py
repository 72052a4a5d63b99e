"""The live conversation of a connection id: its results, its listeners, and its end.

Results are stored in a conversation of the API, one at a time and in order, and sent to each
socket of the connection id: speakers and subscribers.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from symbl_aio.server.conversations.bookmarks import apply_request
from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.conversations.registry import Conversations
from symbl_aio.server.http_json import JSON
from symbl_aio.server.language.analysis_values import Utterance
from symbl_aio.server.language.redaction import Redactor
from symbl_aio.server.live import server_frames
from symbl_aio.server.live.live_socket import LiveSocket, encode_frame
from symbl_aio.server.management.handlers import ManagementHandlers
from symbl_aio.server.processing import add_stored, callers_zone, merge_settings
from symbl_aio.server.storage.changes import RecordSaved

if TYPE_CHECKING:  # given by the handlers, which come with the first live request
    from symbl_aio.server.live.client_frames import StartRequest
    from symbl_aio.server.live.playback import Playback
    from symbl_aio.server.live.speech_stream import Heard

SESSION = "session"
"""The kind of the stored record of a session."""


@define(eq=False)
class Audience:
    """The sockets of a connection id. ``joined``: there was one at least."""

    sockets: dict[LiveSocket, None] = field(factory=dict)
    joined: asyncio.Event = field(factory=asyncio.Event)

    def send(self, frame: dict[str, JSON]) -> None:
        """Send a frame to every socket."""
        if self.sockets:
            text = encode_frame(frame)
            for socket in list(self.sockets):
                socket.send(text)

    async def settle(self) -> None:
        """Wait, for a second at most, until the sockets have read most of their frames.

        One that has not is waited for again only after it has.
        """
        slow = {
            asyncio.ensure_future(s.roomy.wait()): s for s in self.sockets if not s.roomy.is_set()
        }
        if slow:
            _, waiting = await asyncio.wait(slow, timeout=1.0)
            for future in waiting:
                future.cancel()
                # Else one client that reads nothing would cost all others a second a sentence.
                slow[future].roomy.set()

    def close(self) -> None:
        """Close every socket after its last frame."""
        for socket in list(self.sockets):
            socket.close()


@frozen
class Turn:
    """One speaker's part of a session, from a start request to the end of its audio.

    ``user``: the speaker as the frames show it. ``offset``: the second of the conversation at
    which the audio begins. ``number``: counts the turns of a speaker who has a name.
    """

    request: StartRequest
    user: dict[str, JSON]
    offset: float
    number: int = 0

    @property
    def speaker_id(self) -> str:
        return str(self.user["id"])

    @property
    def name(self) -> str | None:
        return _text(self.request.speaker.get("name"))

    @property
    def email(self) -> str | None:
        # The API has one field for what identifies a person, which is an email as a rule.
        return _text(self.request.speaker.get("userId")) or _text(self.request.speaker.get("email"))


class LiveSession:
    """One live conversation.

    ``is_call``: it is a phone call, whose words have a frame of their own, and ``intents`` are
    found in it. ``changed`` is called after each result.
    ``playback``: the registered transcript of this session.
    """

    def __init__(
        self,
        connection_id: str,
        conversation_id: str,
        audience: Audience,
        *,
        conversations: Conversations,
        management: ManagementHandlers,
        changed: Callable[[], None],
        playback: Playback | None,
        is_call: bool,
        intents: bool,
    ) -> None:
        self.connection_id = connection_id
        self.conversation_id = conversation_id
        self.audience = audience
        self.playback = playback
        self.turns = 0
        # Speakers who may come back, and the loop's time until which the session waits for them.
        self.awaited: dict[str, float] = {}
        # The seconds for which each speaker would be awaited. Stored: a stop of the server is a
        # loss of all its sockets.
        self.waits: dict[str, float] = {}
        # Without a wait, too: after a kill its listeners get the end.
        self.is_stored = False
        self.ends_at: asyncio.TimerHandle | None = None
        # The sockets whose audio is heard.
        self.speaking: set[LiveSocket] = set()
        # The turns of each speaker who has a name.
        self._begun: Counter[str] = Counter()
        self.current_user: dict[str, JSON] = {}
        self._conversations = conversations
        self._management = management
        self._changed = changed
        self._is_call = is_call
        self._intents = intents
        # The loop's time, and the date, of second 0 of all that is heard.
        self._began: float | None = None
        self._second_0: datetime | None = None
        # All speakers without a name are one, as far as the server knows.
        self._unknown_id = str(uuid.uuid4())
        self._publishing = asyncio.Lock()
        self._sequence: Counter[str] = Counter()
        # The last second of audio of each speaker.
        self._heard_until: dict[str, float] = {}

    async def exists(self) -> bool:
        """Return whether the conversation was not deleted."""
        return await self._conversations.get(self.conversation_id) is not None

    async def begin(self, request: StartRequest) -> Turn:
        """Begin a speaker's turn. Raises ``ApiError`` if the conversation was deleted."""
        # Counted before the first await: another speaker's stop must not complete the session.
        self.turns += 1
        try:
            return await self._begin(request)
        except BaseException:
            self.turns -= 1
            raise

    async def _begin(self, request: StartRequest) -> Turn:
        now = time.monotonic()
        async with self._conversations.change(self.conversation_id) as draft:
            if self._began is None:
                # The audio follows that before a restart.
                self._began, self._second_0 = now - draft.duration, draft.started_at
            turn = Turn(request, dict(request.speaker), 0.0)
            speaker = draft.get_or_add_speaker(turn.name, turn.email)
            if (zone := callers_zone(request.parameters)) is not None:
                draft.set_zone(zone)
            settings = merge_settings(draft.settings, request.parameters)
            draft.publish((), 0.0, add_stored(settings, request.parameters, self._management))
        identity = speaker.id if speaker is not None else self._unknown_id
        known = dict(self.waits)
        if request.no_connection_timeout:
            self.waits[identity] = request.no_connection_timeout
        if not self.is_stored or known != self.waits:
            self.is_stored = True
            await self._conversations.commit(self.conversation_id, self._record())
        # Audio may be faster than real time: a speaker's second turn follows the first.
        offset = max(now - self._began, self._heard_until.get(identity, 0.0))
        self.awaited.pop(identity, None)
        if speaker is not None:
            self._begun[identity] += 1
        user = {**request.speaker, "id": identity}
        return Turn(request, user, offset, self._begun[identity])

    def _record(self) -> RecordSaved:
        fields: dict[str, JSON] = {
            "conversation": self.conversation_id,
            "unknown": self._unknown_id,
            "waits": dict[str, JSON](self.waits),
        }
        return RecordSaved(SESSION, self.connection_id, fields)

    def restore(self, record: Mapping[str, JSON]) -> None:
        """Continue with what a session before a restart has stored."""
        waits = record["waits"]
        assert isinstance(waits, dict)
        self._unknown_id = str(record["unknown"])
        self.waits = {name: float(str(seconds)) for name, seconds in waits.items()}
        self.is_stored = True

    def record_audio(self, turn: Turn, until: float) -> None:
        """Record the second of the conversation until which a speaker's audio has arrived."""
        self._heard_until[turn.speaker_id] = until

    def is_resumed(self, turn: Turn) -> bool:
        """Return whether a turn's speaker has come back, in a later turn.

        Of speakers without a name it is not known which one has.
        """
        return self._begun[turn.speaker_id] > turn.number

    def end(self, turn: Turn) -> None:
        """End a turn; its results were published."""
        self.turns -= 1

    async def change_bookmark(self, request: Mapping[str, JSON]) -> None:
        """Create, update or delete a bookmark. Raises ``ApiError``."""
        async with self._conversations.change(self.conversation_id) as draft:
            await draft.analyse(self._conversations.threads)
            bookmark = apply_request(draft, request)
        self.send(
            {
                "type": "bookmark_response",
                "operation": request.get("operation"),
                "bookmark": bookmark,
            }
        )

    async def publish(self, turn: Turn, heard: Heard) -> None:
        """Send words to every socket; store complete ones first, and send what is found in them.

        Raises ``ApiError`` if the conversation was deleted, or ``StorageError``.
        """
        async with self._publishing:
            conversation = await self._conversations.require(self.conversation_id)
            heard = self._in_time_of(conversation, heard)
            if heard.speaker is None:
                user = self.current_user or turn.user
            else:
                user = _named_user(conversation, heard)
            heard = _redacted(conversation, turn.request.mask, heard)
            if not heard.is_final:
                if turn.request.interim_results:
                    self._send_words(conversation, heard, user)
                return
            conversation, first = await self._store(turn, heard, user)
            if heard.speaker is not None:
                user = _named_user(conversation, heard)
            self._send_words(conversation, heard, user)
            count = len(conversation.analysis.messages) - first
            self._send_results(turn, conversation, first, [user] * count)
            self._changed()
            # A transcript that comes at once must not outrun those who read it.
            await self.audience.settle()

    def _in_time_of(self, conversation: Conversation, heard: Heard) -> Heard:
        """Return words in seconds of the conversation, which an append may let begin earlier."""
        if self._second_0 is None or conversation.started_at == self._second_0:
            return heard
        shift = (self._second_0 - conversation.started_at).total_seconds()
        return evolve(heard, start=heard.start + shift, end=heard.end + shift)

    def send(self, frame: dict[str, JSON]) -> None:
        """Send a frame to every socket of the connection id."""
        self.audience.send(frame)

    async def _store(
        self, turn: Turn, heard: Heard, user: dict[str, JSON]
    ) -> tuple[Conversation, int]:
        """Add words to the conversation; return it analysed, and the index of the first new one."""
        name, email = heard.speaker, heard.email
        if name is None and user is turn.user:
            name, email = turn.name, turn.email
        elif name is None:
            name, email = _text(user.get("name")), _text(user.get("userId"))
        async with self._conversations.change(self.conversation_id) as draft:
            await draft.analyse(self._conversations.threads)
            first = len(draft.analysis.messages)
            if heard.notice:
                draft.notices.add(heard.text)
            speaker = None if heard.notice else draft.get_or_add_speaker(name, email)
            utterance = Utterance(heard.text, speaker, heard.start, heard.end)
            draft.publish((utterance,), heard.end, draft.settings)
        # Stored now, and never changed again: a later change is one of a copy.
        await draft.analyse(self._conversations.threads)
        return draft, first

    def _send_words(self, conversation: Conversation, heard: Heard, user: dict[str, JSON]) -> None:
        if self._is_call:
            self.send(server_frames.transcript_response(heard, user))
        else:
            self.send(server_frames.recognition_result(conversation, heard, user))

    def _send_results(
        self, turn: Turn, conversation: Conversation, first: int, senders: Sequence[dict[str, JSON]]
    ) -> None:
        frames: Iterable[dict[str, JSON]] = server_frames.results(
            conversation,
            first,
            senders,
            insight_types=turn.request.insight_types,
            sentiment=turn.request.sentiment,
            intents=self._intents,
        )
        for frame in frames:
            kind = str(frame["type"])
            self.send({**frame, "sequenceNumber": self._sequence[kind]})
            self._sequence[kind] += 1


def _named_user(conversation: Conversation, heard: Heard) -> dict[str, JSON]:
    """Return the speaker of a registered line, as a member if it is one already."""
    member_id = conversation.aliases.get((heard.email or heard.speaker or "").casefold())
    if member_id is not None:
        return server_frames.person(conversation.members[member_id])
    user: dict[str, JSON] = {"name": heard.speaker}
    return user | ({"userId": heard.email} if heard.email else {})


def _redacted(conversation: Conversation, mask: str | None, heard: Heard) -> Heard:
    if mask is None or heard.notice:
        return heard
    redactor = Redactor(conversation.members.values(), mask=mask)
    return evolve(heard, text=redactor.redact(heard.text))


def _text(value: JSON) -> str | None:
    return value if isinstance(value, str) and value else None
