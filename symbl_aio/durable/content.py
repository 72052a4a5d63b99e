"""Content of an item, media and options, encoded as JSON that every machine decodes alike.

A file is stored as its path on storage that all workers share, with its size and SHA-256:
a worker sends the bytes that were submitted, or none. Bytes and streams live in one process
alone, and are rejected.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import stat
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any, Final, TypeAlias

import attrs

from symbl_aio import (
    Audio,
    AudioURL,
    ChannelMetadata,
    ConfigurationError,
    CustomEntity,
    Features,
    FileUnavailableError,
    MediaOptions,
    MediaRejectedError,
    Options,
    Retries,
    SalesMetadata,
    Speaker,
    Text,
    TextOptions,
    Timeouts,
    Tracker,
    TrackerRef,
    Utterance,
    Video,
    VideoURL,
)
from symbl_aio._core.passing_faults import passes
from symbl_aio._core.retries import Attempts
from symbl_aio._protocol.encode import encode_submission
from symbl_aio._threads import Stalled, Threads, Watch
from symbl_aio.media import MediaLike, Recording, SealedPath, check_options, coerce
from symbl_aio.models.base import wire_name

Media: TypeAlias = Text | Audio | Video | AudioURL | VideoURL | SealedPath

_BLOCK: Final = 2**20
_READ_FOR: Final = 5.0
"""Seconds for which one call in a thread reads, so that a disk that hangs is noticed."""
_READERS: Final = Watch(Threads("symbl_aio hashing", 2), Timeouts().stall)
"""Threads that read files for their SHA-256, apart from those of the database."""


class UnknownContentError(Exception):
    """Content of another release, of which this one does not know all."""


async def encode(media: MediaLike, options: Options | None) -> str:
    """Return media and options as text, equal for equal content, after checking both.

    A file is read, for its SHA-256. Raises ``ConfigurationError`` for bytes and streams, wrong
    types and wrong options, and ``MediaRejectedError`` for a file that cannot be read; for
    one that cannot be read now ``FileUnavailableError``, after the attempts that ``Retries()``
    allows.
    """
    # A worker in another process could not read them.
    source = media.source if isinstance(media, Audio | Video) else media
    if isinstance(source, bytes | bytearray | memoryview | AsyncIterable):
        raise ConfigurationError(
            f"media is {'bytes' if isinstance(source, bytes) else 'a stream'}, which only this "
            "process has; give the path of a file on storage that all workers share, or a URL"
        )
    found = coerce(media)
    check_options(found, options)
    # Content that can never be sent is rejected now, and not after hours in the queue.
    encode_submission(Video(found.path) if isinstance(found, Recording) else found, options)
    fields = {
        "media": await _encode_media(found),
        "options": None if options is None else {"type": type(options).__name__, "fields": options},
    }
    return json.dumps(fields, default=_plain)


def is_same(content: str, other: str) -> bool:
    """Return whether two encoded contents are equal, apart from the order of their fields."""
    return content == other or bool(json.loads(content) == json.loads(other))


class Content:
    """Content of an item, whose JSON is parsed once. Only ``decode`` has to know all of it."""

    def __init__(self, encoded: str) -> None:
        fields = json.loads(encoded)
        self._media: dict[str, Any] = fields["media"]
        self._options: dict[str, Any] | None = fields["options"]

    def decode(self, **added: str) -> tuple[Media, Options | None]:
        """Return the media, and the options with those that are ``added`` to the caller's.

        A file is sealed: its last byte is sent only if its SHA-256 still matches. Raises
        ``UnknownContentError`` for content of which this release does not know all.
        """
        options = self._options
        try:
            if options is None and added:
                is_text = self._media["kind"] == "text"
                options = {"type": "TextOptions" if is_text else "MediaOptions", "fields": {}}
            media = _decode_media(self._media)
            return media, None if options is None else _decode_options(options, added)
        except (KeyError, TypeError) as error:  # a kind, or a field, that is not known here
            raise UnknownContentError(
                f"its content is of another release ({type(error).__name__}: {error}); "
                "start a worker of that release"
            ) from error

    def is_given(self, name: str) -> bool:
        """Return whether the caller set an option: by its field, or by the API's name for it."""
        if self._options is None:
            return False
        fields = self._options["fields"]
        extras = fields["extra_body"].keys() | fields["extra_query"].keys()
        return name in fields or wire_name(name) in extras

    @property
    def text(self) -> str | None:
        """The whole text of a text item; ``None`` for other media."""
        if self._media["kind"] != "text":
            return None
        return " ".join(message["text"] for message in self._media["messages"])

    @property
    def name(self) -> str | None:
        """The name that the caller gave the conversation, if any."""
        if self._options is None:
            return None
        fields = self._options["fields"]
        name: str | None = fields.get("name", fields["extra_body"].get("name"))
        return fields["extra_query"].get("name") if name is None else name

    async def check_file(self) -> str | None:
        """Return why the item's file cannot be sent, ``None`` if it can.

        Checks the size alone; the SHA-256 is checked while the file is sent. Raises
        ``FileUnavailableError`` for a fault that may pass.
        """
        if "path" not in self._media:
            return None
        path = self._media["path"]
        try:
            with _translate_faults(path):
                size = await _READERS.run(partial(_size_of, path))
        except OSError as error:
            return f"{path!r} cannot be read here ({error.strerror})"
        return None if size == self._media["size"] else self.changed

    @property
    def changed(self) -> str:
        """The error message for a file whose content has changed since it was submitted."""
        path = self._media["path"]
        return f"{path!r} is not the file that was submitted; submit it under a new key"


# Media

_FILES: Final[dict[str, Callable[[SealedPath, str | None], Media]]] = {
    "recording": lambda path, _content_type: path,
    "audio": lambda path, content_type: Audio(path, content_type=content_type),
    "video": lambda path, _content_type: Video(path),
}


async def _encode_media(
    media: Text | Audio | Video | AudioURL | VideoURL | Recording,
) -> dict[str, object]:
    if isinstance(media, Text):
        return {"kind": "text", "messages": media.messages}
    if isinstance(media, AudioURL | VideoURL):
        return {"kind": media.kind, "url": media.url}
    kind = "recording" if isinstance(media, Recording) else media.kind
    source = media.path if isinstance(media, Recording) else media.source
    assert isinstance(source, str | os.PathLike)
    path = _absolute(source)
    try:
        size, digest = await _digest_with_retries(path)
    except OSError as error:
        raise MediaRejectedError(f"{path!r} cannot be read ({error.strerror})") from error
    content_type = media.content_type if isinstance(media, Audio) else None
    return {
        "kind": kind, "path": path, "size": size, "sha256": digest, "content_type": content_type
    }  # fmt: skip


def _decode_media(fields: dict[str, Any]) -> Media:
    match fields["kind"]:
        case "text":
            return Text([_decode_utterance(one) for one in fields["messages"]])
        case "audio/url":
            return AudioURL(fields["url"], allow_platforms=True)
        case "video/url":
            return VideoURL(fields["url"], allow_platforms=True)
        case kind:
            path = SealedPath(fields["path"], fields["sha256"])
            return _FILES[kind](path, fields["content_type"])


def _decode_utterance(fields: dict[str, Any]) -> Utterance:
    given = {"start", "end"} & fields.keys()
    times: dict[str, Any] = {name: datetime.fromisoformat(fields[name]) for name in given}
    return Utterance(**fields | times)


def _absolute(path: str | os.PathLike[str]) -> str:
    return os.path.abspath(path)


async def _digest_with_retries(path: str) -> tuple[int, str]:
    attempts = Attempts(Retries())
    while True:
        try:
            return await _digest(path)
        except FileUnavailableError:
            if (pause := attempts.pause(monotonic(), jitter=random.random())) is None:
                raise
        await asyncio.sleep(pause)


async def _digest(path: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with _translate_faults(path):
        while (read := await _READERS.run(partial(_read_on, path, digest, size))) > size:
            size = read
    return size, digest.hexdigest()


@contextmanager
def _translate_faults(path: str) -> Iterator[None]:
    """Translate faults that may pass to ``FileUnavailableError``."""
    try:
        yield
    except Stalled as error:
        raise FileUnavailableError(f"{path!r} cannot be read here ({error})") from None
    except (OSError, RuntimeError, MemoryError) as error:
        if not passes(error):
            raise
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise FileUnavailableError(
            f"{path!r} cannot be read here ({why or type(error).__name__})"
        ) from error


def _size_of(path: str) -> int:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "it is no regular file")
    return found.st_size


def _read_on(path: str, digest: hashlib._Hash, size: int) -> int:
    """Read on for some seconds, from ``size``; return the number of bytes read in all."""
    # A path that is no regular file any more must not be opened: a FIFO would block.
    _size_of(path)
    until = monotonic() + _READ_FOR
    with open(path, "rb") as file:
        file.seek(size)
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
            if monotonic() > until:
                break
    return size


# Options

_KINDS: Final[dict[str, Callable[..., Options]]] = {
    "TextOptions": TextOptions,
    "MediaOptions": MediaOptions,
}
_VALUES: Final[dict[str, Callable[[Any], object]]] = {
    "entities": lambda given: [CustomEntity(**one) for one in given],
    "trackers": lambda given: [
        TrackerRef(**one) if "id" in one else Tracker(**one) for one in given
    ],
    "channel_metadata": lambda given: [
        ChannelMetadata(one["channel"], Speaker(**one["speaker"])) for one in given
    ],
    "features": lambda given: Features(**given),
    "metadata": lambda given: SalesMetadata(**given),
}
"""Decoders of the fields that JSON alone cannot represent."""


def _decode_options(encoded: dict[str, Any], added: dict[str, str]) -> Options:
    fields = {
        name: _VALUES[name](value) if name in _VALUES else value
        for name, value in encoded["fields"].items()
    }
    # Made with all of it at once, since each making validates all fields.
    return _KINDS[encoded["type"]](**fields, **added)


def _plain(value: Any) -> object:
    """Return a value that JSON does not have as one that it has: of an object its set fields."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)  # so that equal content is equal text
    fields = ((field.name, getattr(value, field.name)) for field in attrs.fields(type(value)))
    return {name: given for name, given in fields if given is not None}
