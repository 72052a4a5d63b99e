"""States of a live connection: which loss is resumed, and when the conversation is complete.

The server keeps a conversation for a while after a lost connection, so the same id and a new
start request continue it. After a stop request they would not: the server may have received
it and completed the conversation, and the same id would open a second one.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

_FINAL_CODES: Final = frozenset({1000, 1002, 1003, 1007, 1008, 1009, 1010})
"""Codes with which a server ends a connection on purpose (RFC 6455): it would do so again."""

NORMAL: Final = 1000


class Phase(Enum):
    """Progress of a live connection."""

    OPENING = "opening"
    LISTENING = "listening"
    STOPPING = "stopping"
    COMPLETED = "completed"


class Loss(Enum):
    """Consequence of the end of a connection."""

    RESUME = "connect again with the same id"
    COMPLETE = "the conversation is complete"
    FAIL = "the stream has ended early"


class OtherConversationError(Exception):
    """The server resumed with another conversation than the stream's own."""


class LiveStates:
    """The state of one stream or subscription, over all of its connections.

    ``is_resumable``: a lost connection may be replaced.
    """

    def __init__(self, *, is_resumable: bool) -> None:
        self.phase = Phase.OPENING
        self.conversation_id: str | None = None
        self._is_resumable = is_resumable

    def opened(self) -> None:
        """Record a new connection, on which a start request is due."""
        self.phase = Phase.OPENING

    def on_conversation(self, conversation_id: str) -> None:
        """Record the conversation. Raises ``OtherConversationError`` for a second one."""
        if self.conversation_id not in (None, conversation_id):
            raise OtherConversationError
        self.conversation_id = conversation_id

    def on_listening(self) -> None:
        """Record that the server takes audio."""
        if self.phase is Phase.OPENING:
            self.phase = Phase.LISTENING

    def on_stop_sent(self) -> None:
        """Record that a stop request is on its way."""
        if self.phase is not Phase.COMPLETED:
            self.phase = Phase.STOPPING

    def on_completed(self) -> None:
        """Record that the server has sent all results."""
        self.phase = Phase.COMPLETED

    def restart(self) -> None:
        """Record that a completed stream, whose connection is open, starts again.

        The server may answer with another conversation.
        """
        self.phase = Phase.OPENING
        self.conversation_id = None

    def on_lost(self, close_code: int | None) -> Loss:
        """Return the consequence of the end of the connection.

        ``close_code``: the server's; ``None`` if the connection broke without one.
        """
        if self.phase is Phase.COMPLETED:
            return Loss.COMPLETE
        if self.phase is Phase.STOPPING:
            return Loss.COMPLETE if close_code == NORMAL else Loss.FAIL
        if close_code in _FINAL_CODES or not self._is_resumable:
            return Loss.FAIL
        return Loss.RESUME
