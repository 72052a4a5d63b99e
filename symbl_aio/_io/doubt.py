"""Look for proof that a submission of unknown outcome was accepted, with reads alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias

from attrs import define

from symbl_aio._core import endpoints
from symbl_aio._core.decode import decode_list
from symbl_aio._core.evidence import Written, only_one_named
from symbl_aio._core.wire import Answer
from symbl_aio._io.api import Api
from symbl_aio.errors import NotFoundError, StillAmbiguousError
from symbl_aio.job import Acceptance, Job
from symbl_aio.models import ConversationInfo, Message

_PAGE: Final = 1000
_MOST_PAGES: Final = 50


@define(eq=False, kw_only=True)
class Doubt:
    """What is known of a submission that was sent whole, and never answered.

    ``conversation_id``: of an append. ``name``: that the caller gave a new conversation.
    ``text``: what was written, if it was text. ``sent_at``: loop time before the first
    byte. ``has_rival``: another submission bears the same name. ``nonce``: of
    its own webhook URL; ``job_id``: told by a call to that.
    """

    key: str
    conversation_id: str | None
    name: str | None
    text: str | None
    sent_at: float
    has_rival: bool
    nonce: str | None
    job_id: str | None = None


MakeJob: TypeAlias = Callable[[str, str | None], Job | None]


async def find_proof(doubt: Doubt, api: Api, written: Written, make_job: MakeJob) -> Acceptance:
    """Give proof of acceptance. Raises ``StillAmbiguousError`` if there is none.

    ``make_job`` gives the handle of a job that no other submission owns, else ``None``.
    """
    for look in (_by_webhook, _by_name, _by_content):
        found = await look(doubt, api, written, make_job)
        if found is not None:
            return found
    raise StillAmbiguousError(
        f"no proof was found that submission {doubt.key} was accepted, which does not prove that "
        "it was not: look at the conversation, or ask again later",
        "maybe",
    )


async def _by_webhook(
    doubt: Doubt, api: Api, written: Written, make_job: MakeJob
) -> Acceptance | None:
    if doubt.job_id is None:
        return None
    try:
        await api.read(endpoints.job(doubt.job_id))
    except NotFoundError:
        return None
    job = make_job(doubt.job_id, doubt.conversation_id)
    return None if job is None else Acceptance(doubt.conversation_id, job, "webhook")


async def _by_name(
    doubt: Doubt, api: Api, written: Written, make_job: MakeJob
) -> Acceptance | None:
    if doubt.name is None or doubt.conversation_id is not None or doubt.has_rival:
        return None
    found: list[ConversationInfo] = []
    not_before = None
    for page in range(_MOST_PAGES):
        asked_at = asyncio.get_running_loop().time()
        answer = await api.read(
            endpoints.conversations(limit=_PAGE, offset=page * _PAGE, order="desc")
        )
        if not_before is None:
            not_before = _by_servers_clock(answer, seconds_ago=asked_at - doubt.sent_at)
            if not_before is None:
                return None
        batch = decode_list(ConversationInfo, answer.json(), "conversations", text=answer.text)
        found.extend(batch)
        oldest = min((info.start_time for info in batch if info.start_time), default=None)
        if len(batch) < _PAGE or (oldest is not None and oldest < not_before - timedelta(hours=1)):
            break
    else:
        return None  # more conversations than anybody can tell apart
    assert not_before is not None
    # A conversation may move to the next page while it is turned: each counts once.
    each = {info.id: info for info in found}.values()
    conversation_id = only_one_named(each, doubt.name, not_before)
    return None if conversation_id is None else Acceptance(conversation_id, None, "name")


async def _by_content(
    doubt: Doubt, api: Api, written: Written, make_job: MakeJob
) -> Acceptance | None:
    if doubt.text is None or doubt.conversation_id is None:
        return None
    try:
        answer = await api.read(endpoints.conversation(doubt.conversation_id, "messages"))
    except NotFoundError:
        return None
    messages = decode_list(Message, answer.json(), "messages", text=answer.text)
    if not written.proves(doubt.conversation_id, doubt.text, (m.text for m in messages)):
        return None
    written.add(doubt.conversation_id, doubt.text)
    return Acceptance(doubt.conversation_id, None, "content")


def _by_servers_clock(answer: Answer, *, seconds_ago: float) -> datetime | None:
    """Say what the server's clock showed so many seconds before it answered."""
    try:
        then = parsedate_to_datetime(answer.headers.get("date", ""))
    except (TypeError, ValueError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return then - timedelta(seconds=seconds_ago)
