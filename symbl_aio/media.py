"""Media that can be submitted: text, recordings, links to recordings. No I/O.

A value is checked when it is made, with a ``ConfigurationError`` that names the field. The
checks that need the bytes of a recording (is it an mp4, is it too long) run before anything
is sent, with a ``MediaRejectedError``. No ``repr`` shows the content, which is private.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from attrs import field, fields, frozen

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio._error_classes import ConfigurationError, MediaRejectedError, UploadError
from symbl_aio._fields import require_flag, type_name

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["Audio", "AudioURL", "Text", "Utterance", "Video", "VideoURL"]

Kind: TypeAlias = Literal["text", "audio", "video", "audio/url", "video/url"]
"""The five endpoints of the Async API; ``/v1/process/{kind}``."""

Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | AsyncIterable[bytes]
"""Where a recording comes from: a path, its bytes, or a stream of them."""

AUDIO_CONTENT_TYPES: Final = ("audio/wav", "audio/wave", "audio/mpeg", "audio/mp3")
"""The values in the Audio API pages; for any other format the header must be left out."""

# Pages with a player, and short links: the URL pages ask for a direct link to the file.
_NOT_DIRECT: Final = (
    *("youtube.com", "youtu.be", "youtube-nocookie.com", "vimeo.com", "dailymotion.com"),
    *("dai.ly", "bit.ly", "tinyurl.com", "t.co", "goo.gl", "ow.ly", "is.gd", "buff.ly"),
    *("rebrand.ly", "cutt.ly", "rb.gy", "tiny.cc", "lnkd.in", "shorturl.at", "t.ly"),
)


def _check_words(field_name: str, value: object, remedy: str) -> None:
    """Raise unless a value is a text that is not blank and can be encoded."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{field_name} is {type_name(value)}; {remedy}")
    if not value.strip():
        raise ConfigurationError(f"{field_name} is empty; {remedy}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"{field_name} holds a lone surrogate, which is no character; decode its bytes properly"
        ) from None


def _check_moment(field_name: str, value: object) -> None:
    if not isinstance(value, datetime):
        raise ConfigurationError(
            f"{field_name} is {type_name(value)}; give a datetime with a time zone"
        )
    if value.utcoffset() is None:
        raise ConfigurationError(
            f"{field_name} has no time zone; give an aware datetime, "
            "such as datetime.now(timezone.utc)"
        )


@frozen(repr=False)
class Utterance:
    """One message of a text: its words, and the speaker and times as far as known.

    ``user_id`` is best an e-mail address. ``start`` and ``end`` are aware datetimes;
    order and analytics follow from them (Text API page, ``messages``).
    """

    text: str
    """The words, not blank."""
    speaker: str | None = None
    """Name of the speaker."""
    user_id: str | None = field(default=None, kw_only=True)
    """The speaker's id, best an e-mail address."""
    start: datetime | None = field(default=None, kw_only=True)
    """When it began, with a time zone."""
    end: datetime | None = field(default=None, kw_only=True)
    """When it ended, with a time zone; not before ``start``."""

    def __attrs_post_init__(self) -> None:
        _check_words("Utterance.text", self.text, "give what was said")
        if self.speaker is not None:
            _check_words("Utterance.speaker", self.speaker, "give a name or leave it out")
        if self.user_id is not None:
            _check_words("Utterance.user_id", self.user_id, "give a name or leave it out")
        if self.start is not None:
            _check_moment("Utterance.start", self.start)
        if self.end is not None:
            _check_moment("Utterance.end", self.end)
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ConfigurationError("Utterance.end is before Utterance.start; swap them")

    def __repr__(self) -> str:
        return f"Utterance(<{len(self.text)} characters>)"


# Tuples, since ``isinstance(x, A | B)`` makes the union each time, which costs more than the test.
_MESSAGE: Final = (str, Utterance)


def _to_utterances(messages: str | Utterance | Sequence[str | Utterance]) -> tuple[Utterance, ...]:
    remedy = "give a str, or a list of str and Utterance"
    given: object = (messages,) if isinstance(messages, _MESSAGE) else messages
    if not isinstance(given, Sequence) or isinstance(given, (bytes, bytearray, memoryview)):
        raise ConfigurationError(f"Text.messages is {type_name(messages)}; {remedy}")
    if not given:
        raise ConfigurationError(f"Text.messages is empty; {remedy}")
    utterances = []
    for index, message in enumerate(given):
        if not isinstance(message, Utterance):
            try:
                message = Utterance(message)
            except ConfigurationError:
                # The same fault by its place in the list.
                _check_words(f"Text.messages[{index}]", message, remedy)
                raise
        utterances.append(message)
    return tuple(utterances)


@frozen(repr=False)
class Text:
    """A written conversation: one ``str`` is one message, a list keeps its order.

    Raises ``ConfigurationError`` if it has no messages.
    """

    kind: ClassVar[Kind] = "text"
    one_shot: ClassVar[bool] = False

    messages: tuple[Utterance, ...] = field(converter=_to_utterances)
    """The messages in order; a ``str`` becomes an ``Utterance``."""

    def __repr__(self) -> str:
        length = sum(len(message.text) for message in self.messages)
        return f"Text(<{len(self.messages)} messages, {length} characters>)"


class OneShot(AsyncIterable[bytes]):
    """A stream that can be read once: a second reading raises ``UploadError``."""

    __slots__ = ("_read", "_stream")

    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._stream = stream
        self._read = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._read:
            raise UploadError(
                "the stream was read before and cannot be sent again; "
                "submit a fresh stream, a path or bytes"
            )
        self._read = True
        return aiter(self._stream)


def _check_path(field_name: str, path: str | os.PathLike[str]) -> None:
    text = os.fspath(path)
    if not isinstance(text, str):
        raise ConfigurationError(f"{field_name} is a path of bytes; use os.fsdecode()")
    if not text or "\0" in text:
        raise ConfigurationError(
            f"{field_name} is {'empty' if not text else 'no path: it holds a NUL'}; "
            "give the path of a file"
        )
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"{field_name} is {text!r}, which the file system cannot encode; use os.fsdecode()"
        ) from None
    if text.lower().startswith(("http://", "https://")):
        raise ConfigurationError(f"{field_name} is a URL; give AudioURL(...) or VideoURL(...)")


def _to_source(source: Source) -> str | os.PathLike[str] | bytes | OneShot:
    if isinstance(source, str | os.PathLike | bytes | OneShot):
        return source
    if isinstance(source, bytearray | memoryview):
        # The caller may write to the buffer while the submission is queued.
        return bytes(source)
    if isinstance(source, AsyncIterable):
        return OneShot(source)
    raise ConfigurationError(
        f"source is {type_name(source)}; give a path, bytes, "
        "or an async iterable of bytes together with its size"
    )


@frozen(repr=False, init=False, eq=False)
class _File:
    source: str | os.PathLike[str] | bytes | OneShot = field(converter=_to_source)
    """A path, the bytes themselves, or an async iterable of bytes."""
    size: int | None = field(default=None, kw_only=True)
    """Exact length in bytes, for an async iterable only."""

    def __attrs_post_init__(self) -> None:
        name, source, size = type(self).__name__, self.source, self.size
        if isinstance(source, OneShot):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ConfigurationError(
                    f"{name}.size is {size!r}; a stream needs its exact length in bytes, "
                    "since the API requires Content-Length"
                )
            return
        if size is not None:
            raise ConfigurationError(
                f"{name}.size is only for streams; leave it out, the length is known"
            )
        if isinstance(source, bytes):
            if not source:
                raise MediaRejectedError(f"{name}.source is empty; give the recording's bytes")
        else:
            _check_path(f"{name}.source", source)

    @property
    def one_shot(self) -> bool:
        """Whether the source can be read only once, so that there are no retries."""
        return isinstance(self.source, OneShot)

    def __repr__(self) -> str:
        match self.source:
            case OneShot():
                shown = f"<stream of {self.size} bytes>"
            case bytes():
                shown = f"<{len(self.source)} bytes>"
            case path:
                shown = repr(os.fspath(path))
        return f"{type(self).__name__}({shown})"


@frozen(repr=False)
class Audio(_File):
    """A recording without pictures: mp3, wav, amr, aac, ac3, aiff, flac, ogg, opus, wma, m4a.

    ``source`` is a path, the bytes themselves (copied unless they are ``bytes``), or an
    async iterable of bytes with its exact ``size`` in bytes. A stream is read once: it
    is queued before its first byte is read, and an error after that is raised, not
    retried. ``content_type`` is one of ``AUDIO_CONTENT_TYPES``; without
    it wav and mp3 are recognised by their first bytes, and for everything else no header
    is sent, as the Audio API page requires.
    """

    kind: ClassVar[Kind] = "audio"

    content_type: str | None = field(default=None, kw_only=True)
    """One of ``AUDIO_CONTENT_TYPES``; leave it out for any other format."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.content_type is not None and self.content_type not in AUDIO_CONTENT_TYPES:
            raise ConfigurationError(
                f"Audio.content_type is {self.content_type!r}; the API names only "
                f"{', '.join(AUDIO_CONTENT_TYPES)}: leave it out for any other format, "
                "the server finds out by itself"
            )


@frozen(repr=False)
class Video(_File):
    """An mp4, the only container that the Video API accepts. ``source`` as for ``Audio``.

    A source that does not begin as an mp4 is refused before anything is sent; so is one that is
    cut off, and one longer than four hours, if its header has the duration.
    """

    kind: ClassVar[Kind] = "video"


@frozen
class Recording:
    """A file whose kind is detected from its first bytes, before the upload."""

    one_shot: ClassVar[bool] = False

    path: str | os.PathLike[str]
    """The path of the file."""

    def __attrs_post_init__(self) -> None:
        _check_path("media", self.path)


@frozen
class SealedPath(os.PathLike[str]):
    """The path of a file with a known SHA-256: no other content is uploaded from it.

    An upload hashes the bytes that it reads, and stops before its last byte with
    ``FileChangedError`` if the hash differs.
    """

    path: str
    """Where the file is."""
    sha256: str
    """In hexadecimal digits."""

    def __fspath__(self) -> str:
        return self.path

    __str__ = __fspath__


def _split_url(field_name: str, url: object) -> tuple[SplitResult, str]:
    """Return the parts and the host of a usable URL. No message has the URL: it may be signed."""
    remedy = "give a direct http(s) link to the file, a string"
    if not isinstance(url, str):
        raise ConfigurationError(f"{field_name} is {type_name(url)}; {remedy}")
    if any(c.isspace() or not c.isprintable() for c in url):
        raise ConfigurationError(
            f"{field_name} holds white space or control characters; percent-encode them"
        )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(f"{field_name} is not a URL; {remedy}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"{field_name} is not an http(s) URL; {remedy}")
    return parts, host.rstrip(".")


@frozen(repr=False, init=False, eq=False)
class _Link:
    url: str
    """The link, http or https."""
    allow_platforms: bool = field(default=False, kw_only=True)
    """Accept a host that is known for player pages and short links."""

    one_shot: ClassVar[bool] = False

    def __attrs_post_init__(self) -> None:
        name = f"{type(self).__name__}.url"
        require_flag(f"{type(self).__name__}.allow_platforms", self.allow_platforms)
        _, host = _split_url(name, self.url)
        if self.allow_platforms:
            return
        if any(host == known or host.endswith("." + known) for known in _NOT_DIRECT):
            raise ConfigurationError(
                f"{name} points to {host}, and the API takes neither video platforms nor short "
                "links nor redirects; give a direct link to the file, or set "
                "allow_platforms=True if it is one"
            )

    def __repr__(self) -> str:
        parts, _ = _split_url("url", self.url)
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        return f"{type(self).__name__}({shown + ('?…' if parts.query else '')!r})"


@frozen(repr=False)
class AudioURL(_Link):
    """A direct, public http(s) link to a recording, which the server downloads.

    No redirects, short links or video platforms (Audio URL API page); the well-known
    ones are refused here unless ``allow_platforms``. The whole URL goes to the server,
    so a user name or password in it is handed over too: prefer a link that expires.
    ``repr`` shows neither those nor the query string.
    """

    kind: ClassVar[Kind] = "audio/url"


@frozen(repr=False)
class VideoURL(_Link):
    """A direct, public http(s) link to an mp4. Rules as for ``AudioURL``."""

    kind: ClassVar[Kind] = "video/url"


Media: TypeAlias = Text | Audio | Video | AudioURL | VideoURL
MediaLike: TypeAlias = Media | str | os.PathLike[str]
"""The media of ``submit``. A bare ``str`` or path is a *file*; its bytes determine its kind."""


_MEDIA: Final = (Text, Audio, Video, AudioURL, VideoURL)


def coerce(media: MediaLike) -> Media | Recording:
    """Return the media itself, or a ``Recording`` for a bare path. No I/O.

    Raises ``ConfigurationError`` for anything else.
    """
    if isinstance(media, _MEDIA):
        return media
    if isinstance(media, str | os.PathLike):
        return Recording(media)
    hint = "Text, Audio, Video, AudioURL, VideoURL or a path"
    if isinstance(media, bytes | bytearray | memoryview) or hasattr(media, "__aiter__"):
        hint = "Audio(...) or Video(...) around it, which says what it is"
    elif isinstance(media, Sequence | Utterance):
        hint = "Text(...) around the messages; client.map(...) takes many files"
    raise ConfigurationError(f"media is {type_name(media)}; give {hint}")


def describe(media: Media | Recording) -> str:
    """Return a name for messages: a file's path as the caller wrote it, else the ``repr``."""
    path = media.path if isinstance(media, Recording) else getattr(media, "source", None)
    if not isinstance(path, str | os.PathLike):
        return repr(media)
    shown = repr(os.fspath(path))
    return shown if len(shown) <= 300 else f"{shown[:200]}…{shown[-80:]}"


def check_options(media: Media | Recording, options: symbl_aio.Options | None) -> None:
    """Check that the endpoint of this kind of media supports the options.

    Raises ``ConfigurationError`` that names the fields.
    """
    if options is None:
        return
    # Their classes are the largest of the package: who has no options does not load them.
    from symbl_aio.options import MediaOptions, TextOptions

    wanted = TextOptions if isinstance(media, Text) else MediaOptions
    if isinstance(options, wanted):
        return
    name = "recordings" if isinstance(media, Recording) else type(media).__name__
    if not isinstance(options, TextOptions | MediaOptions):
        raise ConfigurationError(f"options is {type_name(options)}; give {wanted.__name__}(...)")
    known = {known.name for known in fields(wanted)}
    given: tuple[Attribute[object], ...] = fields(type(options))
    extra = [f.name for f in given if f.name not in known and getattr(options, f.name) is not None]
    remedy = f", which does not take {', '.join(extra)}; leave that out" if extra else ""
    raise ConfigurationError(
        f"options is {type(options).__name__}; for {name} give {wanted.__name__}(...){remedy}"
    )
