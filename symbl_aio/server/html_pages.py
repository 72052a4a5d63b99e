"""HTML pages in place of the vendor's pre-built UI. API sections 6.20 and 8.

A signed link gives access to its page without a token until the link expires. Links are
not stored, only the key that signs them. The page is a report of ``symbl_aio.report``, on which
a speaker can be renamed unless the link is read-only. Colours and logos are accepted and
ignored: the page makes no request to another host, except to play the recording.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256

from aiohttp import web

from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.conversations.registry import Conversations
from symbl_aio.server.conversations.speaker_events import check_speakers
from symbl_aio.server.field_rules import (
    FLAG,
    FieldRule,
    is_object,
    is_whole_number,
    read_fields,
    read_number,
)
from symbl_aio.server.http_json import (
    JSON,
    ApiError,
    is_http_url,
    json_response,
    query_flag,
)
from symbl_aio.server.option_support import PAGES, UnknownOptions
from symbl_aio.server.proxy_headers import ORIGINS
from symbl_aio.server.request_body import read_json_object
from symbl_aio.server.storage.store import ListQuery

PAGE_PATH = "/pages/"
_LINK = "{subject}/{expires}/{signature}"

_EXPERIENCES = ("verbose-text-summary", "video-summary", "audio-summary")
_THIRTY_DAYS = 2_592_000
_LIST_PAGE = "all"
_READ_ONLY = "r"
"""Ends the expiry in a link whose page changes nothing."""
_LONGEST_NAME = 200

_RULES: Mapping[str, FieldRule] = {
    "name": FieldRule(lambda value: value in _EXPERIENCES, f"one of {', '.join(_EXPERIENCES)}"),
    "videoUrl": FieldRule(is_http_url, "an http or https link"),
    "audioUrl": FieldRule(is_http_url, "an http or https link"),
    "logo": FieldRule(is_http_url, "an http or https link"),
    "favicon": FieldRule(is_http_url, "an http or https link"),
    "color": FieldRule(is_object, "an object"),
    "font": FieldRule(is_object, "an object"),
    "speakerAvatarURLs": FieldRule(is_object, "an object"),
    "readOnly": FLAG,
    "enableCustomDomain": FLAG,
    "disableSummaryURLAuthentication": FLAG,
    "summaryURLExpiresIn": FieldRule(
        lambda value: is_whole_number(value) and value >= 0,
        "a whole number of seconds, 0 for never",
        read_number,
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
        self._unknown_options = UnknownOptions(PAGES)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/conversations/{conversation_id}/experiences", self._experience),
            web.get("/v1/conversations/experiences/insights/list", self._insights_list),
            web.get(
                "/v1/conversations/experiences/insights/details/{conversation_id}",
                self._insights_details,
            ),
            web.get(PAGE_PATH + _LINK, self._serve_page),
            web.put(PAGE_PATH + _LINK + "/members/{member_id}", self._rename),
        ]

    async def _experience(self, request: web.Request) -> web.Response:
        conversation = await self._conversations.from_request(request)
        return await self.create_link(request, conversation, await read_json_object(request))

    async def create_link(
        self, request: web.Request, conversation: Conversation, fields: Mapping[str, JSON]
    ) -> web.Response:
        """Respond with the link to a page of the conversation, as ``fields`` describe it."""
        fields = read_fields(_RULES, fields)
        self._unknown_options.name({k: v for k, v in fields.items() if v is not False})
        kind = fields.get("name")
        if not isinstance(kind, str):
            raise ApiError(400, f'"name" is required: {_RULES["name"].expected}.')
        if kind in _REQUIRED_URL and fields.get(_REQUIRED_URL[kind]) is None:
            raise ApiError(400, f'"{_REQUIRED_URL[kind]}" is required for {kind}.')
        recording = fields.get(_REQUIRED_URL.get(kind, ""))
        if isinstance(recording, str) and recording != conversation.media_url:
            # The link itself holds nothing but the id: the page plays the recording last given.
            async with self._conversations.change(conversation.id) as changed:
                changed.media_url = recording
        lifetime = fields.get("summaryURLExpiresIn")
        url = self._page_url(
            request,
            conversation.id,
            lifetime if isinstance(lifetime, int) else _THIRTY_DAYS,
            read_only=fields.get("readOnly") is True,
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

    def _page_url(
        self, request: web.Request, subject: str, lifetime: int, *, read_only: bool = False
    ) -> str:
        # A lifetime of 0 never expires.
        expires = str(int(self._clock()) + lifetime if lifetime else 0)
        expires += _READ_ONLY if read_only else ""
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
        # Few servers of tests are asked for a page: see late_imports.
        from symbl_aio.server import page_responses

        if (refusal := self._refusal(request)) is not None:
            return page_responses.notice_response(*refusal)
        subject, expires = request.match_info["subject"], request.match_info["expires"]
        threads = self._conversations.threads
        if subject == _LIST_PAGE:
            return await threads.run(page_responses.list_response, await self._entries(request))
        conversation = await self._conversations.get(subject)
        if conversation is None:
            return page_responses.notice_response("The conversation was deleted", 404)
        # Relative, so that it holds behind a proxy that serves this server below a path.
        rename_url = f"{request.match_info['signature']}/members"
        rename = None if expires.endswith(_READ_ONLY) else rename_url
        await conversation.analyse(threads)
        return await threads.run(page_responses.report_response, conversation, rename)

    async def _rename(self, request: web.Request) -> web.Response:
        """Rename a speaker, as PUT ``…/members/{id}`` does with a token (6.14)."""
        if (refusal := self._refusal(request)) is not None:
            raise ApiError(refusal[1], f"{refusal[0]}.")
        if request.match_info["expires"].endswith(_READ_ONLY):
            raise ApiError(403, "This link is read-only.")
        name = _checked_name(await read_json_object(request))
        member_id = request.match_info["member_id"]
        async with self._conversations.change(request.match_info["subject"]) as changed:
            if member_id not in changed.members:
                raise ApiError(404, "The conversation has no member with this id.")
            changed.update_member(member_id, name, changed.members[member_id].email)
            check_speakers(changed)
        return json_response({"name": name})

    def _refusal(self, request: web.Request) -> tuple[str, int] | None:
        """Return why a link opens nothing, and the status; ``None`` for a valid one."""
        if not self.signed(request):
            return "There is no such page", 404
        expires = request.match_info["expires"].removesuffix(_READ_ONLY)
        if expires != "0" and self._clock() >= int(expires):
            return "This link has expired", 410
        return None

    async def _entries(self, request: web.Request) -> list[tuple[str, str, datetime]]:
        return [
            (
                conversation.name,
                self._page_url(request, conversation.id, _THIRTY_DAYS),
                conversation.started_at,
            )
            async for conversations in self._conversations.heads(ListQuery())
            for conversation in conversations
        ]


def _checked_name(fields: Mapping[str, JSON]) -> str:
    name = fields.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
        raise ApiError(400, f'"name" is required: text of at most {_LONGEST_NAME} characters.')
    return name.strip()
