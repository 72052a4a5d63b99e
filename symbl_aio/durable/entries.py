"""What ``Outbox.submit_many`` is given, checked and encoded a chunk at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from symbl_aio import (
    Audio,
    ConfigurationError,
    FileUnavailableError,
    MediaRejectedError,
    Text,
    Video,
)
from symbl_aio._fields import type_name
from symbl_aio.durable import content as contents
from symbl_aio.durable.content import Options
from symbl_aio.durable.naming import check_conversation, check_key, check_priority
from symbl_aio.media import MediaLike

_MOST_ITEMS: Final = 1000
"""Of a chunk, which is one transaction."""
_MOST_CHARACTERS: Final = 2**23
"""Of the contents of a chunk: what is kept in memory at a time, about."""
_MOST_FILES: Final = 16
"""Files that are queued for the hashing threads at a time: their clock runs while they wait."""
_A_WHILE: Final = 50
"""Texts that are encoded before anything else on the event loop has its turn."""
_WRONG: Final = (ConfigurationError, MediaRejectedError, FileUnavailableError)


@frozen
class Entry:
    """One submission of many."""

    key: str
    """Its own name: the same key with the same content again is the same item."""
    media: MediaLike
    """As for ``Outbox.submit``."""
    options: Options | None = None
    """As for ``Outbox.submit``."""
    conversation: str | None = field(default=None, kw_only=True)
    """Which to append to, as for ``Outbox.append``; ``None`` opens a new one."""
    priority: int = field(default=0, kw_only=True)
    """From -1000 to 1000, the higher the sooner."""


@frozen
class Entered:
    """What ``submit_many`` has handed in."""

    items: int
    """Number of entries that were given."""
    new: int
    """Number of them that were not there before."""


@frozen
class Encoded:
    """An entry as the database keeps it."""

    position: int
    """Among all that are given, from 0."""
    key: str
    """Its own name, checked."""
    conversation: str | None
    """Checked; ``None`` opens one."""
    content: str
    """Media and options, as ``contents.write`` returns them."""
    priority: int
    """As given, checked."""
    source: str | None
    """How events name its file or link; ``None`` of a text."""


Given: TypeAlias = Iterable[Entry] | AsyncIterable[Entry]


async def encode(items: Given) -> AsyncGenerator[list[Encoded], None]:
    """Yield the entries in chunks, each complete. Pulls no more than a chunk ahead.

    Raises, for the first that is wrong, what ``Outbox.submit`` raises, with its position.
    """
    reading = asyncio.Semaphore(_MOST_FILES)
    chunk: list[Encoded | asyncio.Task[Encoded]] = []
    characters = position = 0
    try:
        async with aclosing(_each(items)) as entries:
            async for entry in entries:
                if _names_a_file(entry):
                    chunk.append(asyncio.ensure_future(_encode_file(reading, position, entry)))
                else:
                    encoded = await _encode(position, entry)
                    characters += len(encoded.content)
                    chunk.append(encoded)
                    if position % _A_WHILE == 0:
                        await asyncio.sleep(0)
                position += 1
                if len(chunk) == _MOST_ITEMS or characters >= _MOST_CHARACTERS:
                    yield [await one if isinstance(one, asyncio.Task) else one for one in chunk]
                    chunk, characters = [], 0
        if chunk:
            yield [await one if isinstance(one, asyncio.Task) else one for one in chunk]
    finally:
        left = [one for one in chunk if isinstance(one, asyncio.Task)]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _each(items: Any) -> AsyncGenerator[Entry, None]:
    if isinstance(items, AsyncIterable):
        async for entry in items:
            yield entry
    elif isinstance(items, Iterable) and not isinstance(items, str | bytes):
        for entry in items:
            yield entry
    else:
        raise ConfigurationError(
            f"items is {type_name(items)}; give an iterable of Entry(...), async or not"
        )


def _names_a_file(entry: Entry) -> bool:
    # Whatever else it is, it is checked when it is encoded.
    media = getattr(entry, "media", None)
    return isinstance(media, str | os.PathLike | Audio | Video)


async def _encode_file(reading: asyncio.Semaphore, position: int, entry: Entry) -> Encoded:
    async with reading:
        return await _encode(position, entry)


async def _encode(position: int, entry: Entry) -> Encoded:
    if not isinstance(entry, Entry):  # whatever the annotation says
        raise ConfigurationError(f"items[{position}] is {type_name(entry)}; give Entry(...)")
    try:
        key = check_key(entry.key)
    except ConfigurationError as error:
        raise ConfigurationError(f"items[{position}]: {error}") from None
    try:
        named = entry.conversation
        conversation = None if named is None else check_conversation(named)
        priority = check_priority(entry.priority)
        content = await contents.write(entry.media, entry.options)
    except _WRONG as error:
        raise type(error)(at(position, key, error)) from error
    source = None if isinstance(entry.media, Text) else contents.source_of(content)
    return Encoded(position, key, conversation, content, priority, source)


def at(position: int, key: str, error: Exception) -> str:
    """Return an error's words with the position and the key of the entry that has it."""
    return f"items[{position}] (key {key!r}): {error}"
