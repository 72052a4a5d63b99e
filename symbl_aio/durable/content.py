"""The content of an item, media and options, as text that means the same on every machine.

A file is named by its path on storage that all workers share, with its size and SHA-256,
so that whoever sends it sends what was handed in. Bytes and streams live in one process
alone, and are refused.
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
from symbl_aio._core.faults import passes
from symbl_aio._core.retries import Attempts
from symbl_aio._naming import source_name
from symbl_aio._protocol.encode import encode_submission
from symbl_aio._threads import Stalled, Threads, Watch
from symbl_aio.media import MediaLike, Recording, SealedPath, check_options, coerce
from symbl_aio.models import JSON

Options: TypeAlias = TextOptions | MediaOptions
Media: TypeAlias = Text | Audio | Video | AudioURL | VideoURL | SealedPath

_BLOCK: Final = 2**20
_STEP: Final = 5.0
"""Seconds that one call in a thread reads a file for, so that a disk that hangs is noticed."""
_READERS: Final = Watch(Threads("symbl_aio hashing", 2), Timeouts().stall)
"""Threads that read files for their SHA-256: what waits for a database waits for none of them."""


async def write(media: MediaLike, options: Options | None) -> str:
    """Give media and options as text, the same for the same, once they were found to be usable.

    A file is read, for its SHA-256. Raises ``ConfigurationError`` for what only this
    process has, wrong types and wrong options, and ``MediaRejectedError`` for a file that
    cannot be read; for one that cannot be read now, ``FileUnavailableError``, after the tries
    that ``Retries()`` allows.
    """
    source = media.source if isinstance(media, Audio | Video) else media
    if isinstance(source, bytes | bytearray | memoryview | AsyncIterable):
        raise ConfigurationError(
            f"media is {'bytes' if isinstance(source, bytes) else 'a stream'}, which only this "
            "process has; give the path of a file on storage that all workers share, or a URL"
        )
    found = coerce(media)
    check_options(found, options)
    # What cannot be sent is said now, and not when its turn comes.
    encode_submission(Video(found.path) if isinstance(found, Recording) else found, options)
    written = {
        "media": await _write_media(found),
        "options": None
        if options is None
        else {"type": type(options).__name__, "fields": _write(options)},
    }
    return json.dumps(written)


def read(content: str) -> tuple[Media, Options | None]:
    """Return what ``write`` was given; a file that has changed since cannot be sent whole."""
    fields = json.loads(content)
    return _read_media(fields["media"]), _read_options(fields["options"])


def is_same(content: str, other: str) -> bool:
    """Say whether two contents say the same, in whatever order."""
    return content == other or bool(json.loads(content) == json.loads(other))


def text_of(content: str) -> str | None:
    """Give all that an item says, if it is text."""
    media = json.loads(content)["media"]
    return " ".join(m["text"] for m in media["messages"]) if media["kind"] == "text" else None


def source_of(content: str | None) -> str | None:
    """Return how events name the file or link of an item, ``None`` for a text."""
    media = json.loads(content)["media"] if content else {}
    if "url" in media:
        return source_name(AudioURL(media["url"], allow_platforms=True))
    return source_name(media["path"]) if "path" in media else None


def name_of(content: str) -> str | None:
    """Give the name that the caller wants for its conversation, if any."""
    options = json.loads(content)["options"]
    if options is None:
        return None
    fields = options["fields"]
    name: str | None = fields.get("name", fields["extra_body"].get("name"))
    return fields["extra_query"].get("name") if name is None else name


async def check_file(content: str) -> str | None:
    """Return what is wrong with the file of an item, ``None`` if it may be what was handed in.

    It is not read for that: its content is checked while it is sent (``read``). Raises
    ``FileUnavailableError`` when it cannot be known now.
    """
    media = json.loads(content)["media"]
    if "path" not in media:
        return None
    path = media["path"]
    try:
        with _explained(path):
            size = await _READERS.run(partial(_size_of, path))
    except OSError as error:
        return f"{path!r} cannot be read here ({error.strerror})"
    return None if size == media["size"] else not_the_same(content)


def not_the_same(content: str) -> str:
    """Return what is told of an item whose file has another content than when it was handed in."""
    path = json.loads(content)["media"]["path"]
    return f"{path!r} is not the file that was handed in; hand it in under a new key"


# Media

_FILES: Final[dict[str, Callable[[SealedPath, str | None], Media]]] = {
    "recording": lambda path, _content_type: path,
    "audio": lambda path, content_type: Audio(path, content_type=content_type),
    "video": lambda path, _content_type: Video(path),
}


async def _write_media(media: Text | Audio | Video | AudioURL | VideoURL | Recording) -> JSON:
    if isinstance(media, Text):
        return {"kind": "text", "messages": [_write(one) for one in media.messages]}
    if isinstance(media, AudioURL | VideoURL):
        return {"kind": media.kind, "url": media.url}
    kind = "recording" if isinstance(media, Recording) else media.kind
    source = media.path if isinstance(media, Recording) else media.source
    assert isinstance(source, str | os.PathLike)
    path = _absolute(source)
    try:
        size, digest = await _digest_in_the_end(path)
    except OSError as error:
        raise MediaRejectedError(f"{path!r} cannot be read ({error.strerror})") from error
    content_type = media.content_type if isinstance(media, Audio) else None
    return {
        "kind": kind, "path": path, "size": size, "sha256": digest, "content_type": content_type
    }  # fmt: skip


def _read_media(fields: dict[str, Any]) -> Media:
    match fields["kind"]:
        case "text":
            return Text([_read_utterance(one) for one in fields["messages"]])
        case "audio/url":
            return AudioURL(fields["url"], allow_platforms=True)
        case "video/url":
            return VideoURL(fields["url"], allow_platforms=True)
        case kind:
            path = SealedPath(fields["path"], fields["sha256"])
            return _FILES[kind](path, fields["content_type"])


def _read_utterance(fields: dict[str, Any]) -> Utterance:
    for name in {"start", "end"} & fields.keys():
        fields[name] = datetime.fromisoformat(fields[name])
    return Utterance(**fields)


def _absolute(path: str | os.PathLike[str]) -> str:
    return os.path.abspath(path)


async def _digest_in_the_end(path: str) -> tuple[int, str]:
    attempts = Attempts(Retries())
    while True:
        try:
            return await _digest(path)
        except FileUnavailableError:
            if (pause := attempts.pause(monotonic(), luck=random.random())) is None:
                raise
        await asyncio.sleep(pause)


async def _digest(path: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with _explained(path):
        while (read := await _READERS.run(partial(_read_on, path, digest, size))) > size:
            size = read
    return size, digest.hexdigest()


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Raise ``FileUnavailableError`` for a fault that may pass."""
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
    """Read for a while, from where the last call stopped; return how much was read in all."""
    _size_of(path)
    until = monotonic() + _STEP
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
"""Of the fields that hold more than JSON can say."""


def _read_options(written: dict[str, Any] | None) -> Options | None:
    if written is None:
        return None
    fields = {
        name: _VALUES[name](value) if name in _VALUES else value
        for name, value in written["fields"].items()
    }
    return _KINDS[written["type"]](**fields)


def _write(value: Utterance | Options) -> JSON:
    """Give what was set, by the names of the fields."""
    fields: JSON = attrs.asdict(
        value, filter=lambda _field, given: given is not None, value_serializer=_write_field
    )
    return fields


def _write_field(_owner: object, _field: object, value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return sorted(value) if isinstance(value, frozenset) else value
