"""One conversation: what it holds, what can be changed of it, and the way to add to it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Literal

import symbl_aio  # for annotations alone: what they name is imported when they are evaluated
from symbl_aio import models
from symbl_aio._errors import APIError, ConfigurationError
from symbl_aio._fields import require, require_flag, require_url
from symbl_aio._protocol import bodies, calls
from symbl_aio._protocol.calls import Call
from symbl_aio._protocol.decode import decode
from symbl_aio._protocol.encode import with_body
from symbl_aio.account import NoAccount, page_of
from symbl_aio.media import MediaLike
from symbl_aio.models import JSON, Page
from symbl_aio.options import Options
from symbl_aio.reading import Reading

__all__ = ["Conversation"]

_PARTS_AT_ONCE: Final = 4


class Conversation(Reading):
    """A conversation on the server, known by its id; making one costs no request.

    The constructor is the client's: ``client.conversation(id)``, which raises
    ``ConfigurationError`` for what cannot be an id.

    Most reading methods give a ``Page``: a sequence of items, with the response around
    them. Every method that asks the server raises:

    - ``NotFoundError`` if the server does not know the conversation, other ``APIError``\\ s
      for other refusals, ``TransportError`` when no answer came, after the retries of
      ``Config.retries``;
    - ``DecodeError`` if the answer cannot be understood;
    - ``ConfigurationError`` if the id is unknown or an argument is wrong,
      ``ClientClosedError`` outside of the client's ``async with``.

    Cancelling a read is safe. Cancelling a change leaves open whether it was made. A copy,
    by ``pickle`` or ``copy``, has the id alone, and all else raises ``ConfigurationError``.
    """

    __slots__ = ("__weakref__",)

    def __repr__(self) -> str:
        return f"<Conversation {self._id or 'of unknown id'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _copied, (self._id,)

    async def info(self) -> models.ConversationInfo:
        """Give the conversation's own record: name, times, members, metadata.

        Conversation API, "Get conversation" page.
        """
        answer = await self._account.call(calls.conversation(self.id))
        return decode(models.ConversationInfo, answer.json(), text=answer.text)

    async def update_metadata(self, metadata: Mapping[str, str]) -> models.ConversationInfo:
        """Set the caller's own words about the conversation, which lists can be filtered by.

        Values are strings of at most 128 characters. Whether names that are not given keep
        their values is not documented. The answer may tell the metadata alone.
        Conversation API, "Update conversation" page.
        """
        call = calls.conversation(self.id, method="PUT")
        answer = await self._account.call(with_body(call, bodies.metadata(metadata)))
        return decode(models.ConversationInfo, answer.json(), text=answer.text)

    async def delete(self) -> None:
        """Delete the conversation and all that it holds, for good.

        After a retry, ``NotFoundError`` may mean that the first attempt deleted it.
        Conversation API, "Delete conversation" page.
        """
        await self._account.call(calls.conversation(self.id, method="DELETE"))

    async def members(self) -> Page[models.User]:
        """Give who takes part. Conversation API, "Get members" page."""
        answer = await self._account.call(calls.conversation(self.id, "members"))
        return page_of(models.User, answer, "members")

    async def update_member(
        self, member_id: str, *, name: str, email: str | None = None
    ) -> models.Notice:
        """Name a member. Messages and insights follow, a little later.

        A speaker with the same ``email`` in media that is appended is taken for the same
        person. Conversation API, "Update members" page.
        """
        body = bodies.member(member_id, name, email)
        return await self._change(with_body(calls.member(self.id, member_id), body))

    async def add_speaker_events(self, events: Iterable[symbl_aio.SpeakerEvent]) -> models.Notice:
        """Tell who spoke when. Messages and insights follow, a little later.

        Conversation API, "Speaker events" page.
        """
        call = calls.conversation(self.id, "speakers", method="PUT")
        return await self._change(with_body(call, bodies.speaker_events(events)))

    async def create_experience(
        self,
        name: Literal["verbose-text-summary", "video-summary", "audio-summary"],
        *,
        video_url: str | None = None,
        audio_url: str | None = None,
        logo: str | None = None,
        favicon: str | None = None,
        colors: symbl_aio.Colors | None = None,
        font_family: str | None = None,
        summary_url_expires_in: int | None = None,
        read_only: bool | None = None,
        enable_custom_domain: bool | None = None,
        speaker_avatar_urls: Mapping[str, str] | None = None,
    ) -> models.Experience:
        """Make a ready-made page about the conversation, and give its link, which is a secret.

        ``video_url`` or ``audio_url`` is the recording, under the URL that was processed;
        ``summary_url_expires_in`` is in seconds (0: never, 30 days if not given);
        ``speaker_avatar_urls`` are by member id. Each call makes another link; it is not
        repeated once it may have been heard. Experience API page.
        """
        if name not in ("verbose-text-summary", "video-summary", "audio-summary"):
            raise ConfigurationError(
                f'name is {name!r}; give "verbose-text-summary", "video-summary" or "audio-summary"'
            )
        if name == "video-summary" and not video_url:
            raise ConfigurationError("video_url is missing; a video-summary needs it")
        if name == "audio-summary" and not audio_url:
            raise ConfigurationError("audio_url is missing; an audio-summary needs it")
        no_mapping = (Mapping, type(None))
        require("speaker_avatar_urls", speaker_avatar_urls, no_mapping, "a dict of ids to URLs")
        avatars = dict(speaker_avatar_urls or {})
        body = bodies.experience(
            name,
            colors=colors,
            font_family=font_family,
            video_url=video_url,
            audio_url=audio_url,
            logo=logo,
            favicon=favicon,
            summary_url_expires_in=summary_url_expires_in,
            read_only=read_only,
            enable_custom_domain=enable_custom_domain,
            speaker_avatar_urls=avatars or None,
        )
        call = calls.conversation(self.id, "experiences", method="POST")
        urls = (video_url, audio_url, logo, favicon, *avatars.values())
        answer = await self._account.call(with_body(call, body, urls=urls), repeatable=False)
        return decode(models.Experience, answer.json(), text=answer.text)

    async def insights_ui(self, *, include_call_score: bool | None = None) -> models.Experience:
        """Give the link to the ready-made page of the insights, a secret (newer hosts)."""
        call = calls.insights_ui(self.id, include_call_score=include_call_score)
        answer = await self._account.call(call)
        return decode(models.Experience, answer.json(), text=answer.text)

    async def set_media_url(self, url: str) -> models.Notice:
        """Tell where the recording is now, for the ready-made pages (newer hosts)."""
        call = calls.conversation(self.id, "experiences/url", method="PUT")
        require_url("url", url)
        return await self._change(with_body(call, {"url": url}, urls=[url]))

    @property
    def bookmarks(self) -> symbl_aio.Bookmarks:
        """The bookmarks of the conversation (newer hosts)."""
        from symbl_aio.bookmarks import Bookmarks

        return Bookmarks(self.id, account=self._account)

    async def everything(
        self,
        parts: Collection[symbl_aio.InsightPart] | None = None,
        *,
        verbose: bool | None = None,
        sentiment: bool | None = None,
        wait: bool = False,
    ) -> symbl_aio.Everything:
        """Gather what the conversation holds, four requests at a time.

        Without ``parts``: whatever the Conversation API documents, the summary included
        (which the server makes if there is none), and nothing of Labs or newer hosts alone.
        A part that this host or conversation does not have (404, 405) is named in
        ``Everything.missing``; any other error ends the gathering and is raised.
        ``verbose`` and ``sentiment`` as for ``messages``, ``wait`` as everywhere.
        """
        from symbl_aio.export import check_parts

        require_flag("wait", wait)
        check_parts(parts, verbose=verbose, sentiment=sentiment)
        await self._settled(wait)
        return await _gather(self, parts, verbose=verbose, sentiment=sentiment)

    def append(
        self, media: MediaLike, options: Options | None = None, *, key: str | None = None
    ) -> symbl_aio.Submission:
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

    async def _change(self, call: Call) -> models.Notice:
        answer = await self._account.call(call)
        return decode(models.Notice, answer.json(), text=answer.text)


def _copied(conversation_id: str | None) -> Conversation:
    return Conversation(conversation_id, account=NoAccount())


async def _gather(
    conversation: Conversation,
    parts: Collection[symbl_aio.InsightPart] | None,
    *,
    verbose: bool | None,
    sentiment: bool | None,
) -> symbl_aio.Everything:
    """Read the parts, a few at a time, into one value."""
    from symbl_aio.export import DOCUMENTED_PARTS, everything_of

    wanted = DOCUMENTED_PARTS if parts is None else tuple(dict.fromkeys(parts))
    # With sentiment, the API documents that the parents of topics stay empty.
    parents = None if sentiment else True
    queries: Mapping[str, dict[str, bool | None]] = {
        "messages": {"verbose": verbose, "sentiment": sentiment},
        "topics": {"sentiment": sentiment, "parent_refs": parents},
    }
    slots = asyncio.Semaphore(_PARTS_AT_ONCE)
    found: dict[str, JSON] = {}
    missing: set[str] = set()

    async def read(part: str) -> None:
        method = conversation.bookmarks.list if part == "bookmarks" else getattr(conversation, part)
        async with slots:
            try:
                found[part] = (await method(**queries.get(part, {}))).raw
            except APIError as error:
                if error.status not in (404, 405):
                    raise
                missing.add(part)

    info = await conversation.info()
    try:
        async with asyncio.TaskGroup() as group:
            for part in wanted:
                group.create_task(read(part), name=f"symbl_aio {part} of {conversation.id}")
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    in_order: dict[str, JSON] = {part: found[part] for part in wanted if part in found}
    return everything_of(info.raw, in_order, [part for part in wanted if part in missing], "")
