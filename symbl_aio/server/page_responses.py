"""The responses with a page: of a conversation, of the list of all, or of why there is none."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from aiohttp import web

from symbl_aio.report.page import Entry, policy_of, render_list, render_page
from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.http_json import LongResponse
from symbl_aio.server.report_content import content_of


def report_response(conversation: Conversation, rename_url: str | None) -> web.Response:
    """Return the page of a conversation. Blocking: much text takes a while to draw."""
    content = content_of(conversation, rename_url=rename_url)
    return _html_response(render_page([content]), policy_of([content]))


def list_response(conversations: Iterable[tuple[str, str, datetime]]) -> web.Response:
    """Return the list of conversations, each with a name, a link and its start. Blocking."""
    entries = [Entry(*conversation) for conversation in conversations]
    return _html_response(render_list("Conversations", entries), policy_of([]))


def notice_response(text: str, status: int) -> web.Response:
    """Return a page with nothing but a sentence."""
    return _html_response(render_list(text), policy_of([]), status)


def _html_response(page: str, policy: str, status: int = 200) -> web.Response:
    return LongResponse(
        text=page,
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers={
            # The page contains a private conversation: not cached, no referrer, in no frame.
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )
