"""Bookmarks of a conversation and what was said inside them. API section 6.20."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web
from attrs import evolve

from symbl_aio.server.conversations import serializers
from symbl_aio.server.conversations.conversation import Bookmark, Conversation, Conversations
from symbl_aio.server.http_json import JSON, RefusedError, answer, sent_json, sent_object
from symbl_aio.server.language.summary import best_messages

# A stretch is marked because it matters: it is summed up even when it is short.
_LEAST_SUMMED_UP = 3


class Bookmarks:
    """Handles the calls about bookmarks."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    def routes(self) -> list[web.RouteDef]:
        every = "/v1/conversations/{conversation_id}/bookmarks"
        one = every + "/{bookmark_id}"
        return [
            web.get(every, self._list),
            web.post(every, self._create),
            web.post(f"{every}/bulk", self._create_many),
            web.get(one, self._get),
            web.put(one, self._replace),
            web.delete(one, self._delete),
            web.get(f"{one}/summary", self._summary),
            web.get(f"{every}-summary", self._summaries),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        about = self._conversations.of(request)
        return answer({"bookmarks": [_shown(about, mark) for mark in about.bookmarks.values()]})

    async def _create(self, request: web.Request) -> web.Response:
        about = self._conversations.of(request)
        (mark,) = _added(about, [await sent_object(request)])
        return answer(_shown(about, mark), 201)

    async def _create_many(self, request: web.Request) -> web.Response:
        about = self._conversations.of(request)
        sent = await sent_json(request)
        if isinstance(sent, dict):
            sent = sent.get("bookmarks")
        if not isinstance(sent, list) or not sent:
            raise RefusedError(400, "The body must be a list with at least one bookmark.")
        return answer({"bookmarks": [_shown(about, mark) for mark in _added(about, sent)]}, 201)

    async def _get(self, request: web.Request) -> web.Response:
        return answer(_shown(*self._found(request)))

    async def _replace(self, request: web.Request) -> web.Response:
        """Fields that are not sent are erased; a place in the conversation is always needed."""
        about, old = self._found(request)
        new = evolve(_read(about, await sent_object(request), texts_needed=False), id=old.id)
        about.bookmarks[new.id] = new
        return answer(_shown(about, new))

    async def _delete(self, request: web.Request) -> web.Response:
        about, mark = self._found(request)
        del about.bookmarks[mark.id]
        return answer({"id": mark.id, "type": "bookmark", "deleted": True})

    async def _summary(self, request: web.Request) -> web.Response:
        return answer({"summary": _summed_up(*self._found(request))})

    async def _summaries(self, request: web.Request) -> web.Response:
        about = self._conversations.of(request)
        return answer(
            {
                "bookmarksSummary": [
                    {"bookmarkId": mark.id, "summary": _summed_up(about, mark)}
                    for mark in about.bookmarks.values()
                ]
            }
        )

    def _found(self, request: web.Request) -> tuple[Conversation, Bookmark]:
        about = self._conversations.of(request)
        mark = about.bookmarks.get(request.match_info["bookmark_id"])
        if mark is None:
            raise RefusedError(404, "The conversation has no bookmark with this id.")
        return about, mark


def _shown(about: Conversation, mark: Bookmark) -> dict[str, JSON]:
    return serializers.bookmark(about, mark, _inside(about, mark))


def _summed_up(about: Conversation, mark: Bookmark) -> list[JSON]:
    chosen = best_messages(about.analysis, _inside(about, mark), least=_LEAST_SUMMED_UP)
    return [
        {**item, "bookmarkReference": {"id": mark.id}}
        for item in serializers.summary(about, chosen)
        if isinstance(item, dict)
    ]


def _inside(about: Conversation, mark: Bookmark) -> Sequence[int]:
    if mark.messages is not None:
        return mark.messages
    end = mark.begin + mark.duration
    return [
        index
        for index, message in enumerate(about.analysis.messages)
        if message.start < end and message.end > mark.begin
    ]


def _added(about: Conversation, sent: Sequence[JSON]) -> list[Bookmark]:
    """Add all of them, or none when one is wrong."""
    made = [
        evolve(
            _read(about, fields, texts_needed=True),
            id=about.item_id("bookmark", about.bookmarks_made + number),
        )
        for number, fields in enumerate(sent)
    ]
    about.bookmarks_made += len(made)
    about.bookmarks.update((mark.id, mark) for mark in made)
    return made


def _read(about: Conversation, sent: JSON, *, texts_needed: bool) -> Bookmark:
    if not isinstance(sent, dict):
        raise RefusedError(400, "A bookmark must be a JSON object.")
    texts = {}
    for name in ("label", "description"):
        text = sent.get(name)
        if text is None and texts_needed:
            raise RefusedError(400, f'"{name}" is required.')
        if text is not None and (not isinstance(text, str) or not text.strip()):
            raise RefusedError(400, f'"{name}" is not allowed to be empty, and must be a string.')
        texts[name] = text
    user = sent.get("user")
    if user is None and texts_needed:
        raise RefusedError(400, '"user" is required.')
    if user is not None and not (
        isinstance(user, dict) and user and all(isinstance(v, str) for v in user.values())
    ):
        raise RefusedError(400, '"user" must be an object with name, userId and email.')
    begin, duration, messages = _place(about, sent)
    return Bookmark("", begin, duration, messages, texts["label"], texts["description"], user)


def _place(
    about: Conversation, sent: dict[str, JSON]
) -> tuple[float, float, tuple[int, ...] | None]:
    refs = sent.get("messageRefs")
    begin, duration = sent.get("beginTimeOffset"), sent.get("duration")
    if refs is None:
        if not (_whole(begin) and _whole(duration)):
            raise RefusedError(
                400,
                '"beginTimeOffset" and "duration" must be whole numbers of seconds, '
                'unless "messageRefs" are given.',
            )
        assert isinstance(begin, int)
        assert isinstance(duration, int)
        return begin, duration, None
    if begin is not None or duration is not None:
        raise RefusedError(
            400, 'Give either "messageRefs" or "beginTimeOffset" and "duration", not both.'
        )
    ids = [ref.get("id") if isinstance(ref, dict) else None for ref in _list(refs)]
    messages = about.analysis.messages
    index_of = {about.message_id(index): index for index in range(len(messages))}
    places = sorted(index_of.get(str(identity), -1) for identity in ids)
    if not places or places != list(range(places[0], places[0] + len(places))) or places[0] < 0:
        raise RefusedError(
            400, '"messageRefs" must be the ids of messages that follow one another: [{id}].'
        )
    start, end = messages[places[0]].start, messages[places[-1]].end
    return start, end - start, tuple(places)


def _list(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, list) else ()


def _whole(value: JSON) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
