"""The read side of one conversation, and the way to add to it.

Every answer is a snapshot: before the conversation's job is completed the server gives
what it has so far, which may be nothing, and gives no sign of it. ``await job`` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from symbl_aio._core import endpoints
from symbl_aio._core.decode import decode, decode_list
from symbl_aio._core.endpoints import Call, Part, check_id
from symbl_aio._core.wire import Answer
from symbl_aio.errors import ConfigurationError
from symbl_aio.media import MediaLike
from symbl_aio.models import (
    ActionItem,
    ConversationInfo,
    FollowUp,
    Message,
    Page,
    Question,
    Topic,
)
from symbl_aio.options import Options

if TYPE_CHECKING:
    from symbl_aio.job import Submission

T = TypeVar("T")


class Account(Protocol):
    """What a conversation asks of the client that it belongs to."""

    async def call(self, call: Call, *, repeatable: bool = True) -> Answer:
        """Give the 2xx answer. ``repeatable=False``: no retry once the call may have been heard."""
        ...

    def append(
        self, conversation_id: str, media: MediaLike, options: Options | None, *, key: str | None
    ) -> Submission:
        """Queue an append."""
        ...

    def resume_appends(self, conversation_id: str) -> None:
        """Open a halted lane."""
        ...


class Conversation:
    """A conversation on the server, known by its id; making one costs no request.

    The constructor is the client's: ``client.conversation(id)``, which raises
    ``ConfigurationError`` for what cannot be an id.

    Each reading method is one GET of the Conversation API and gives a ``Page``: a
    sequence of items, with the response around them. Raises, each of them:

    - ``NotFoundError`` if the server does not know the conversation, other ``APIError``\\ s
      for other refusals, ``TransportError`` when no answer came, after the retries of
      ``Config.retries``;
    - ``DecodeError`` if the answer cannot be understood;
    - ``ConfigurationError`` if the id is unknown, ``ClientClosedError`` outside of the
      client's ``async with``.

    Cancelling a read is safe.
    """

    __slots__ = ("__weakref__", "_account", "_id")

    def __init__(self, conversation_id: str | None, *, account: Account) -> None:
        self._id = None if conversation_id is None else check_id("conversation_id", conversation_id)
        self._account = account

    def __repr__(self) -> str:
        return f"<Conversation {self._id or 'of unknown id'}>"

    @property
    def id(self) -> str:
        """The conversation's id: an opaque string.

        Raises ``ConfigurationError`` if the job was re-attached without it: the Job API
        does not tell which conversation a job belongs to.
        """
        if self._id is None:
            raise ConfigurationError(
                "conversation_id is unknown: the job was re-attached by its id alone; give "
                "client.job(job_id, conversation_id) or client.job(token)"
            )
        return self._id

    async def info(self) -> ConversationInfo:
        """Give the conversation's own record: name, times, members, metadata.

        Conversation API, "Get conversation" page.
        """
        answer = await self._account.call(endpoints.conversation(self.id))
        return decode(ConversationInfo, answer.json(), text=answer.text)

    async def messages(
        self, *, verbose: bool | None = None, sentiment: bool | None = None
    ) -> Page[Message]:
        """Give the transcript in its order, all of it in one page.

        ``verbose`` adds each word with its times, ``sentiment`` how it was meant.
        Offsets and durations are seconds. Conversation API, "Get messages" page.
        """
        return await self._page(
            Message, "messages", "messages", verbose=verbose, sentiment=sentiment
        )

    async def topics(
        self,
        *,
        sentiment: bool | None = None,
        parent_refs: bool | None = None,
        refresh: bool | None = None,
    ) -> Page[Topic]:
        """Give what was talked about; scores are from 0 to 1.

        ``parent_refs`` adds the topics above each (documented to stay empty together with
        ``sentiment``). ``refresh`` makes the server delete the topics and find them
        anew, with new ids: such a call is not repeated once it may have been heard.
        Conversation API, "Get topics" page.
        """
        return await self._page(
            Topic,
            "topics",
            "topics",
            sentiment=sentiment,
            parent_refs=parent_refs,
            refresh=refresh,
        )

    async def questions(self) -> Page[Question]:
        """Give the questions that were asked. Conversation API, "Get questions" page."""
        return await self._page(Question, "questions", "questions")

    async def action_items(self) -> Page[ActionItem]:
        """Give what is to be done, by whom and until when, where that was said.

        Conversation API, "Get action items" page.
        """
        return await self._page(ActionItem, "action-items", "actionItems")

    async def follow_ups(self) -> Page[FollowUp]:
        """Give the calls, meetings and messages that were agreed upon.

        Conversation API, "Get follow-ups" page.
        """
        return await self._page(FollowUp, "follow-ups", "followUps")

    def append(
        self, media: MediaLike, options: Options | None = None, *, key: str | None = None
    ) -> Submission:
        """Queue media to be added to this conversation, as ``client.append`` does.

        Returns at once; await the submission for its job. Appends to one conversation run
        in call order. Raises ``ConfigurationError`` for what is wrong with the arguments
        or when the id is unknown, ``QueueFullError``, and ``ClientClosedError`` once the
        client began to close.
        """
        return self._account.append(self.id, media, options, key=key)

    def resume_appends(self) -> None:
        """Take appends again after one whose outcome is unknown halted the conversation.

        Settle first what became of that one, with the error's ``reconcile()``. Without
        a halt this does nothing. Raises ``ConfigurationError`` when the id is unknown.
        """
        self._account.resume_appends(self.id)

    async def _page(self, model: type[T], part: Part, key: str, **flags: bool | None) -> Page[T]:
        call = endpoints.conversation(self.id, part, **flags)
        # What a refresh deletes and makes anew, a retry would delete again.
        answer = await self._account.call(call, repeatable=not flags.get("refresh"))
        raw = answer.json()
        items = decode_list(model, raw, key, text=answer.text)
        return Page(items, raw, answer.status, answer.headers, answer.elapsed)
