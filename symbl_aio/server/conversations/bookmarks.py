"""Handlers of bookmarks and of their summaries. API section 6.20."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TypeGuard

from aiohttp import web
from attrs import evolve

from symbl_aio.server.conversations import serializers
from symbl_aio.server.conversations.conversation import Bookmark, Conversation
from symbl_aio.server.conversations.registry import Conversations
from symbl_aio.server.field_rules import is_name, is_whole_number, read_number
from symbl_aio.server.http_json import JSON, ApiError, json_response, long_json_response
from symbl_aio.server.language.summary import choose_summary
from symbl_aio.server.request_body import read_json, read_json_object

# A marked range matters to the caller: it has a summary even when it is short.
_MIN_SUMMARY_MESSAGES = 3

_MAX_SECONDS = 10**9

# A list repeats the texts of the messages for each bookmark.
_MAX_BOOKMARKS = 200
_MAX_REFS = 1000
_MAX_USER_FIELDS = 20
_MAX_TEXT = 10_000  # characters of a label or a description


class BookmarkHandlers:
    """Handles the calls about bookmarks."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    def routes(self) -> list[web.RouteDef]:
        list_path = "/v1/conversations/{conversation_id}/bookmarks"
        item_path = list_path + "/{bookmark_id}"
        return [
            web.get(list_path, self._list),
            web.post(list_path, self._create),
            web.post(f"{list_path}/bulk", self._create_many),
            web.get(item_path, self._get),
            web.put(item_path, self._replace),
            web.delete(item_path, self._delete),
            web.get(f"{item_path}/summary", self._summary),
            web.get(f"{list_path}-summary", self._summaries),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        conversation = await self._conversations.analysed(request)
        marks = conversation.bookmarks.values()
        return await long_json_response(
            lambda: {"bookmarks": (_serialize(conversation, mark) for mark in marks)},
            self._conversations.threads,
        )

    async def _create(self, request: web.Request) -> web.Response:
        fields = await read_json_object(request)
        conversation = await self._conversations.analysed(request)
        async with self._conversations.change(conversation.id) as changed:
            await changed.analyse(self._conversations.threads)
            (bookmark,) = _add_all(changed, [fields])
        return json_response(_serialize(changed, bookmark), 201)

    async def _create_many(self, request: web.Request) -> web.Response:
        body = await read_json(request)
        conversation = await self._conversations.analysed(request)
        if isinstance(body, dict):
            body = body.get("bookmarks")
        if not isinstance(body, list) or not body:
            raise ApiError(400, "The body must be a list with at least one bookmark.")
        async with self._conversations.change(conversation.id) as changed:
            await changed.analyse(self._conversations.threads)
            created = _add_all(changed, body)
        return await long_json_response(
            lambda: {"bookmarks": (_serialize(changed, mark) for mark in created)},
            self._conversations.threads,
            201,
        )

    async def _get(self, request: web.Request) -> web.Response:
        return json_response(_serialize(*await self._find(request)))

    async def _replace(self, request: web.Request) -> web.Response:
        """Replace a bookmark: fields that are not sent are erased, the position is required."""
        fields = await read_json_object(request)
        conversation, old = await self._find(request)
        async with self._conversations.change(conversation.id) as changed:
            await changed.analyse(self._conversations.threads)
            new = evolve(_parse_bookmark(changed, fields, require_texts=False), id=old.id)
            _require(changed, new.id)
            changed.bookmarks[new.id] = new
        return json_response(_serialize(changed, new))

    async def _delete(self, request: web.Request) -> web.Response:
        conversation, bookmark = await self._find(request)
        async with self._conversations.change(conversation.id) as changed:
            del changed.bookmarks[_require(changed, bookmark.id).id]
        return json_response({"id": bookmark.id, "type": "bookmark", "deleted": True})

    async def _summary(self, request: web.Request) -> web.Response:
        return json_response({"summary": _summarise(*await self._find(request))})

    async def _summaries(self, request: web.Request) -> web.Response:
        conversation = await self._conversations.analysed(request)
        marks = conversation.bookmarks.values()
        return await long_json_response(
            lambda: {
                "bookmarksSummary": (
                    {"bookmarkId": mark.id, "summary": _summarise(conversation, mark)}
                    for mark in marks
                )
            },
            self._conversations.threads,
        )

    async def _find(self, request: web.Request) -> tuple[Conversation, Bookmark]:
        conversation = await self._conversations.analysed(request)
        return conversation, _require(conversation, request.match_info["bookmark_id"])


def apply_request(conversation: Conversation, fields: Mapping[str, JSON]) -> dict[str, JSON]:
    """Apply a ``bookmark_request`` of a stream to a draft (10.1); return what its answer shows.

    Raises ``ApiError`` for a wrong request, and for a bookmark that is unknown.
    """
    body = {name: value for name, value in fields.items() if name not in ("type", "operation")}
    match fields.get("operation"):
        case "create":
            (bookmark,) = _add_all(conversation, [body])
        case "update":
            old = _require(conversation, str(fields.get("id")))
            bookmark = evolve(_parse_bookmark(conversation, body, require_texts=False), id=old.id)
            conversation.bookmarks[old.id] = bookmark
        case "delete":
            bookmark = _require(conversation, str(fields.get("id")))
            del conversation.bookmarks[bookmark.id]
        case _:
            raise ApiError(400, '"operation" must be create, update or delete.')
    return _serialize(conversation, bookmark)


def _require(conversation: Conversation, bookmark_id: str) -> Bookmark:
    bookmark = conversation.bookmarks.get(bookmark_id)
    if bookmark is None:
        raise ApiError(404, "The conversation has no bookmark with this id.")
    return bookmark


def _serialize(conversation: Conversation, bookmark: Bookmark) -> dict[str, JSON]:
    return serializers.bookmark_item(
        conversation, bookmark, _covered_messages(conversation, bookmark)
    )


def _summarise(conversation: Conversation, bookmark: Bookmark) -> list[JSON]:
    chosen = choose_summary(
        conversation.analysis,
        _covered_messages(conversation, bookmark),
        min_messages=_MIN_SUMMARY_MESSAGES,
    )
    return [
        {**item, "bookmarkReference": {"id": bookmark.id}}
        for item in serializers.summary(conversation, chosen)
        if isinstance(item, dict)
    ]


def _covered_messages(conversation: Conversation, bookmark: Bookmark) -> Sequence[int]:
    """Return the indexes of the messages that a bookmark marks or overlaps, the first 1,000."""
    if bookmark.messages is not None:
        return bookmark.messages[:_MAX_REFS]
    end = bookmark.begin + bookmark.duration
    messages = conversation.analysis.messages
    found = (
        index
        for index in conversation.message_order
        if messages[index].start < end and messages[index].end > bookmark.begin
    )
    return list(islice(found, _MAX_REFS))


def _add_all(conversation: Conversation, items: Sequence[JSON]) -> list[Bookmark]:
    """Add all bookmarks, or none if one is wrong."""
    if len(conversation.bookmarks) + len(items) > _MAX_BOOKMARKS:
        raise ApiError(400, f"A conversation has {_MAX_BOOKMARKS} bookmarks at most; delete some.")
    created = [
        evolve(
            _parse_bookmark(conversation, fields, require_texts=True),
            id=conversation.item_id("bookmark", conversation.bookmarks_made + number),
        )
        for number, fields in enumerate(items)
    ]
    # Counted, so that the id of a deleted bookmark is not used again.
    conversation.bookmarks_made += len(created)
    conversation.bookmarks.update((bookmark.id, bookmark) for bookmark in created)
    return created


def _parse_bookmark(conversation: Conversation, body: JSON, *, require_texts: bool) -> Bookmark:
    if not isinstance(body, dict):
        raise ApiError(400, "A bookmark must be a JSON object.")
    texts = {}
    for name in ("label", "description"):
        text = body.get(name)
        if text is None and require_texts:
            raise ApiError(400, f'"{name}" is required.')
        if text is not None and (not isinstance(text, str) or not text.strip()):
            raise ApiError(400, f'"{name}" is not allowed to be empty, and must be a string.')
        if text is not None and len(text) > _MAX_TEXT:
            raise ApiError(400, f'"{name}" has {_MAX_TEXT:,} characters at most.')
        texts[name] = text
    user = body.get("user")
    if user is None and require_texts:
        raise ApiError(400, '"user" is required.')
    if user is not None and not (
        isinstance(user, dict)
        and 0 < len(user) <= _MAX_USER_FIELDS
        and all(isinstance(v, str) and is_name(v) for v in user.values())
    ):
        raise ApiError(400, '"user" must be an object with name, userId and email.')
    begin, duration, messages = _parse_position(conversation, body)
    return Bookmark("", begin, duration, messages, texts["label"], texts["description"], user)


def _parse_position(
    conversation: Conversation, body: dict[str, JSON]
) -> tuple[float, float, tuple[int, ...] | None]:
    """Return (begin, duration, message indexes or None) of a bookmark."""
    refs = body.get("messageRefs")
    begin, duration = map(read_number, (body.get("beginTimeOffset"), body.get("duration")))
    if refs is None:
        if not (_is_seconds(begin) and _is_seconds(duration)):
            raise ApiError(
                400,
                '"beginTimeOffset" and "duration" must be whole numbers of seconds, '
                'unless "messageRefs" are given.',
            )
        return begin, duration, None
    if begin is not None or duration is not None:
        raise ApiError(
            400, 'Give either "messageRefs" or "beginTimeOffset" and "duration", not both.'
        )
    ids = [ref.get("id") if isinstance(ref, dict) else None for ref in _as_list(refs)]
    order = conversation.message_order
    place_of = {conversation.message_id(index): place for place, index in enumerate(order)}
    places = sorted(place_of.get(str(message_id), -1) for message_id in ids)
    if not places or places != list(range(places[0], places[0] + len(places))) or places[0] < 0:
        raise ApiError(
            400, '"messageRefs" must be the ids of messages that follow one another: [{id}].'
        )
    indexes = [order[place] for place in places]
    messages = [conversation.analysis.messages[index] for index in indexes]
    start, end = messages[0].start, max(message.end for message in messages)
    return start, end - start, tuple(indexes)


def _as_list(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, list) else ()


def _is_seconds(value: JSON) -> TypeGuard[int]:
    # The end of the range must have a date too.
    return is_whole_number(value) and 0 <= value <= _MAX_SECONDS
