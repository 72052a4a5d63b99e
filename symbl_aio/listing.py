"""Go through lists of conversations, page after page."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypedDict, Unpack

from symbl_aio import models
from symbl_aio._fields import require_count
from symbl_aio._protocol import calls
from symbl_aio.account import Account, page_of

DAYS_SHOWN: Final = 7
"""How far back a list goes that does not say where to begin ("Get conversations" page)."""


class Selection(TypedDict, total=False):
    """Which conversations a list shows, and in which order; see ``client.conversations``."""

    start_time: datetime | None
    end_time: datetime | None
    order: Literal["asc", "desc"] | None
    sort: str | None
    filter: str | None


async def conversations(
    account: Account,
    group_id: str | None = None,
    /,
    *,
    page_size: int,
    **selection: Unpack[Selection],
) -> AsyncGenerator[models.ConversationInfo, None]:
    """Give each conversation; a page is asked for when the one before was used up.

    The API tells neither how many there are nor which page is the last, so the end is an
    empty page.
    """
    require_count("page_size", page_size)
    for name in ("start_time", "end_time"):
        if (time := selection.get(name)) is not None:
            calls.instant(name, time)  # type: ignore[arg-type]
    if selection.get("start_time") is None:
        # The server's own default moves on with its clock, and offsets would move with it.
        end = selection.get("end_time") or datetime.now(UTC)
        selection["start_time"] = end - timedelta(days=DAYS_SHOWN)
    offset = 0
    while True:
        call = calls.conversations(limit=page_size, offset=offset, group_id=group_id, **selection)
        found = page_of(models.ConversationInfo, await account.call(call), "conversations")
        if not found:
            return
        for info in found:
            yield info
        offset += len(found)
