"""The bookmarks of one conversation (newer hosts, "Bookmarks" pages)."""

from __future__ import annotations

from collections.abc import Iterable

from symbl_aio import models
from symbl_aio._pages import any_page_of, one_of, page_of
from symbl_aio._protocol import bodies, calls
from symbl_aio._protocol.encode import with_body
from symbl_aio.drafts import BookmarkDraft
from symbl_aio.job import HandleBackend
from symbl_aio.models import Page

__all__ = ["Bookmarks"]


class Bookmarks:
    """The bookmarks of a conversation, as ``conversation.bookmarks``."""

    __slots__ = ("_backend", "_id")

    def __init__(self, conversation_id: str, *, backend: HandleBackend) -> None:
        self._id = conversation_id
        self._backend = backend

    async def list(self) -> Page[models.Bookmark]:
        """Return all bookmarks."""
        answer = await self._backend.call(calls.conversation(self._id, "bookmarks"))
        return any_page_of(models.Bookmark, answer, "bookmarks")

    async def get(self, bookmark_id: str) -> models.Bookmark:
        """Return one bookmark, or raise ``NotFoundError``."""
        answer = await self._backend.call(calls.bookmark(self._id, bookmark_id))
        return one_of(models.Bookmark, answer, "bookmark", "bookmarks")

    async def create(self, draft: BookmarkDraft) -> models.Bookmark:
        """Create a bookmark. Not repeated once the server may have received it."""
        call = calls.conversation(self._id, "bookmarks", method="POST")
        answer = await self._backend.call(with_body(call, bodies.bookmark(draft)), repeatable=False)
        return one_of(models.Bookmark, answer, "bookmark", "bookmarks")

    async def create_many(self, drafts: Iterable[BookmarkDraft]) -> Page[models.Bookmark]:
        """Create several bookmarks in one call. Not repeated once it may have arrived."""
        call = calls.conversation(self._id, "bookmarks/bulk", method="POST")
        answer = await self._backend.call(
            with_body(call, bodies.bookmarks(drafts)), repeatable=False
        )
        return any_page_of(models.Bookmark, answer, "bookmarks")

    async def update(self, bookmark_id: str, draft: BookmarkDraft) -> models.Bookmark:
        """Replace a bookmark with ``draft``; fields left out are erased."""
        call = calls.bookmark(self._id, bookmark_id, method="PUT")
        answer = await self._backend.call(with_body(call, bodies.bookmark(draft)))
        return one_of(models.Bookmark, answer, "bookmark", "bookmarks")

    async def delete(self, bookmark_id: str) -> None:
        """Delete a bookmark, or raise ``NotFoundError``."""
        await self._backend.call(calls.bookmark(self._id, bookmark_id, method="DELETE"))

    async def summary(self, bookmark_id: str) -> Page[models.SummaryItem]:
        """Return the summary of one bookmark."""
        answer = await self._backend.call(calls.bookmark(self._id, bookmark_id, summary=True))
        return page_of(models.SummaryItem, answer, "summary")

    async def summaries(self) -> Page[models.BookmarkSummary]:
        """Return the summaries of all bookmarks."""
        answer = await self._backend.call(calls.conversation(self._id, "bookmarks-summary"))
        return page_of(models.BookmarkSummary, answer, "bookmarksSummary")
