"""HTML pages in place of the vendor's pre-built UI. API sections 6.20 and 8.

A signed link gives access to its page without a token until the link expires. Links are
not stored, only the key that signs them. The page shows the results of the API in plain HTML;
colours and logos are accepted and ignored.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256
from html import escape

from aiohttp import web

from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.conversations.registry import Conversations
from symbl_aio.server.field_rules import (
    FieldRule,
    check_fields,
    is_flag,
    is_object,
    is_whole_number,
)
from symbl_aio.server.http_json import (
    JSON,
    ApiError,
    format_instant,
    is_http_url,
    json_response,
    query_flag,
)
from symbl_aio.server.origins import ORIGINS
from symbl_aio.server.request_body import read_json_object
from symbl_aio.server.storage.store import ListQuery

PAGE_PATH = "/pages/"

_EXPERIENCES = ("verbose-text-summary", "video-summary", "audio-summary")
_THIRTY_DAYS = 2_592_000
_LIST_PAGE = "all"

_RULES: Mapping[str, FieldRule] = {
    "name": FieldRule(lambda value: value in _EXPERIENCES, f"one of {', '.join(_EXPERIENCES)}"),
    "videoUrl": FieldRule(is_http_url, "an http or https link"),
    "audioUrl": FieldRule(is_http_url, "an http or https link"),
    "logo": FieldRule(is_http_url, "an http or https link"),
    "favicon": FieldRule(is_http_url, "an http or https link"),
    "color": FieldRule(is_object, "an object"),
    "font": FieldRule(is_object, "an object"),
    "speakerAvatarURLs": FieldRule(is_object, "an object"),
    "readOnly": FieldRule(is_flag, "true or false"),
    "enableCustomDomain": FieldRule(is_flag, "true or false"),
    "summaryURLExpiresIn": FieldRule(
        lambda value: is_whole_number(value) and value >= 0,
        "a whole number of seconds, 0 for never",
    ),
}
_REQUIRED_URL = {"video-summary": "videoUrl", "audio-summary": "audioUrl"}


class PageHandlers:
    """Issues links to pages and serves the pages. ``clock`` (seconds) decides their expiry.

    ``key`` signs the links.
    """

    def __init__(
        self, conversations: Conversations, clock: Callable[[], float], key: bytes
    ) -> None:
        self._conversations = conversations
        self._clock = clock
        self._key = key

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/conversations/{conversation_id}/experiences", self._experience),
            web.get("/v1/conversations/experiences/insights/list", self._insights_list),
            web.get(
                "/v1/conversations/experiences/insights/details/{conversation_id}",
                self._insights_details,
            ),
            web.get(PAGE_PATH + "{subject}/{expires}/{signature}", self._serve_page),
        ]

    async def _experience(self, request: web.Request) -> web.Response:
        conversation = await self._conversations.from_request(request)
        return self.create_link(request, conversation, await read_json_object(request))

    def create_link(
        self, request: web.Request, conversation: Conversation, fields: Mapping[str, JSON]
    ) -> web.Response:
        """Respond with the link to a page of the conversation, as ``fields`` describe it."""
        check_fields(_RULES, fields)
        kind = fields.get("name")
        if not isinstance(kind, str):
            raise ApiError(400, f'"name" is required: {_RULES["name"].expected}.')
        if kind in _REQUIRED_URL and fields.get(_REQUIRED_URL[kind]) is None:
            raise ApiError(400, f'"{_REQUIRED_URL[kind]}" is required for {kind}.')
        lifetime = fields.get("summaryURLExpiresIn")
        url = self._page_url(
            request, conversation.id, lifetime if isinstance(lifetime, int) else _THIRTY_DAYS
        )
        return json_response({"name": kind, "url": url})

    async def _insights_list(self, request: web.Request) -> web.Response:
        return json_response({"url": self._page_url(request, _LIST_PAGE, _THIRTY_DAYS)})

    async def _insights_details(self, request: web.Request) -> web.Response:
        query_flag(request, "includeCallScore")
        conversation = await self._conversations.from_request(request)
        return json_response({"url": self.page_url(request, conversation.id)})

    def page_url(self, request: web.Request, conversation_id: str) -> str:
        """Return the link to the page of a conversation, for thirty days."""
        return self._page_url(request, conversation_id, _THIRTY_DAYS)

    def _page_url(self, request: web.Request, subject: str, lifetime: int) -> str:
        # A lifetime of 0 never expires.
        expires = str(int(self._clock()) + lifetime if lifetime else 0)
        path = f"{PAGE_PATH}{subject}/{expires}/{self._signature(subject, expires)}"
        return request.app[ORIGINS].origin(request) + path

    def _signature(self, subject: str, expires: str) -> str:
        return hmac.new(self._key, f"{subject}/{expires}".encode(), sha256).hexdigest()

    def signed(self, request: web.Request) -> bool:
        """Return whether the link of a request has a signature of these pages."""
        parts = request.match_info
        if "signature" not in parts:
            return False
        signature = self._signature(parts["subject"], parts["expires"])
        # Constant time: the signature cannot be guessed byte by byte.
        return hmac.compare_digest(
            signature.encode(), parts["signature"].encode(errors="surrogateescape")
        )

    async def _serve_page(self, request: web.Request) -> web.Response:
        subject, expires = request.match_info["subject"], request.match_info["expires"]
        if not self.signed(request):
            return _html_response("There is no such page", "", 404)
        if expires != "0" and self._clock() >= int(expires):
            return _html_response("This link has expired", "", 410)
        if subject == _LIST_PAGE:
            return _html_response("Conversations", await self._list_html(request))
        conversation = await self._conversations.get(subject)
        if conversation is None:
            return _html_response("The conversation was deleted", "", 404)
        await conversation.analyse()
        return _html_response(conversation.name, _conversation_html(conversation))

    async def _list_html(self, request: web.Request) -> str:
        rows = [
            f'<li><a href="{escape(self._page_url(request, conversation.id, _THIRTY_DAYS))}">'
            f"{escape(conversation.name)}</a>, {format_instant(conversation.started_at)}</li>"
            for conversation in await self._conversations.heads(ListQuery())
        ]
        return f"<ul>{''.join(rows)}</ul>"


def _conversation_html(conversation: Conversation) -> str:
    analysis = conversation.analysis
    start, end = format_instant(conversation.started_at), format_instant(conversation.ended_at)
    parts = [f"<p>{start} to {end}</p>"]
    if conversation.media_url is not None:
        parts.append(f'<p><a href="{escape(conversation.media_url)}">Recording</a></p>')
    for title, texts in (
        ("Topics", [topic.text for topic in analysis.topics]),
        ("Questions", [insight.text for insight in analysis.questions]),
        ("Action items", [insight.text for insight in analysis.action_items]),
        ("Follow-ups", [insight.text for insight in analysis.follow_ups]),
    ):
        if texts:
            items = "".join(f"<li>{escape(text)}</li>" for text in texts)
            parts.append(f"<h2>{title}</h2><ul>{items}</ul>")
    parts.append("<h2>Transcript</h2>")
    for message in analysis.messages:
        name = message.speaker.name if message.speaker else None
        speaker = f"<b>{escape(name)}:</b> " if name else ""
        parts.append(f"<p>{speaker}{escape(message.text)}</p>")
    return "".join(parts)


def _html_response(title: str, body: str, status: int = 200) -> web.Response:
    return web.Response(
        text=f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title></head><body><h1>{escape(title)}</h1>{body}</body></html>",
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers={
            # The page contains a private conversation: not cached, no scripts, no referrer.
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )
