"""What the handles that people hold ask of the client behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, Protocol, TypeVar

from symbl_aio._errors import ConfigurationError
from symbl_aio._protocol.calls import Call
from symbl_aio._protocol.decode import decode_any_list, decode_list, decode_within
from symbl_aio._protocol.encode import Answer
from symbl_aio.job import Job, Submission
from symbl_aio.media import MediaLike
from symbl_aio.models import Page
from symbl_aio.options import Options

T = TypeVar("T")


class Account(Protocol):
    """The client, as its handles see it."""

    def check_open(self) -> None:
        """Raise unless calls are taken, from the running event loop."""
        ...

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

    def jobs_of(self, conversation_id: str) -> Sequence[Job]:
        """Give the jobs of a conversation that are followed, and therefore unfinished."""
        ...


class NoAccount:
    """What a copied conversation has in the place of the client."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise ConfigurationError(
            "this conversation is a copy, by pickle or copy, and has no client to ask; "
            "client.conversation(conversation.id) gives one that does"
        )

    check_open = append = resume_appends = jobs_of = _refuse

    async def call(self, call: Call, *, repeatable: bool = True) -> Answer:
        self._refuse(call)


def page(answer: Answer, items: tuple[T, ...]) -> Page[T]:
    """Put the response around its items."""
    return Page(items, answer.json(), answer.status, answer.headers, answer.elapsed)


def page_of(model: type[T], answer: Answer, key: str) -> Page[T]:
    """Read the list under ``key``."""
    raw = answer.json()
    items = decode_list(model, raw, key, text=answer.text)
    return Page(items, raw, answer.status, answer.headers, answer.elapsed)


def any_page_of(model: type[T], answer: Answer, *keys: str) -> Page[T]:
    """Read the list wherever this host puts it."""
    raw = answer.json()
    items = decode_any_list(model, raw, *keys, text=answer.text)
    return Page(items, raw, answer.status, answer.headers, answer.elapsed)


def one_of(model: type[T], answer: Answer, *keys: str) -> T:
    """Read the object under one of ``keys``, or the bare one."""
    return decode_within(model, answer.json(), *keys, text=answer.text)
