import io
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from attrs.exceptions import FrozenInstanceError

from symbl_aio.errors import ConfigurationError, MediaRejectedError, UploadError
from symbl_aio.media import (
    AUDIO_CONTENT_TYPES,
    Audio,
    AudioURL,
    Media,
    OneShot,
    Recording,
    Text,
    Utterance,
    Video,
    VideoURL,
    check_options,
    coerce,
    describe,
)
from symbl_aio.options import MediaOptions, TextOptions
from tests.tables import table

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LINKS = [AudioURL, VideoURL]
FILES = [Audio, Video]


async def stream() -> AsyncIterator[bytes]:
    yield b"abc"


# Text


def test_a_string_is_one_message():
    assert Text("Hello.").messages == (Utterance("Hello."),)


def test_messages_keep_their_order():
    anna = Utterance("Hi.", "Anna", user_id="anna@example.com", start=NOON, end=NOON)

    assert Text(["One.", anna, "Two."]).messages == (Utterance("One."), anna, Utterance("Two."))
    assert Text(anna).messages == (anna,)
    assert Text(("One.",)) == Text("One.")


@table("messages", ["", "  \n", [], ["Hello.", " "], ()])
def test_a_text_without_words_is_refused(messages: Any):
    with pytest.raises(ConfigurationError, match=r"Text\.messages(\[\d\])? is empty; give"):
        Text(messages)


@table("messages", [None, 3, b"Hello.", {"text": "Hello."}, {"Hello."}, [3]])
def test_a_text_of_something_else_is_refused(messages: Any):
    with pytest.raises(
        ConfigurationError, match=r"Text\.messages(\[0\])? is (an? )?\w+; give a str"
    ):
        Text(messages)


@table(
    "changes,words",
    [
        ({"text": " "}, "Utterance.text is empty"),
        ({"text": None}, "Utterance.text is None"),
        ({"text": "\ud800"}, "Utterance.text holds a lone surrogate"),
        ({"speaker": ""}, "Utterance.speaker is empty"),
        ({"speaker": 7}, "Utterance.speaker is an int"),
        ({"user_id": " "}, "Utterance.user_id is empty"),
        ({"start": "12:00"}, "Utterance.start is a str; give a datetime with a time zone"),
        ({"start": datetime(2026, 3, 1)}, "Utterance.start has no time zone; give an aware"),
        ({"end": datetime(2026, 3, 1)}, "Utterance.end has no time zone"),
        ({"start": NOON, "end": NOON - timedelta(seconds=1)}, "Utterance.end is before"),
    ],
)
def test_a_wrong_utterance_names_the_field(changes: dict[str, Any], words: str):
    with pytest.raises(ConfigurationError) as caught:
        Utterance(**{"text": "Hi.", **changes})

    assert words in str(caught.value)


def test_times_of_different_zones_are_compared_as_instants():
    later = NOON.astimezone(timezone(timedelta(hours=-8))) + timedelta(seconds=2)

    assert Utterance("Hi.", start=NOON, end=later).end == later


def test_what_was_said_and_by_whom_is_not_shown():
    said = Text([Utterance("My secret.", "Anna", user_id="anna@example.com")])

    assert repr(said) == "Text(<1 messages, 10 characters>)"
    assert repr(said.messages) == "(Utterance(<10 characters>),)"


# Files, bytes and streams


@table("cls", FILES)
def test_a_path_is_kept_as_given_and_not_looked_at(cls: type[Audio | Video]):
    for path in ("no/such/file", Path("no/such/file")):
        media = cls(path)
        assert media.source == path
        assert media.size is None
        assert not media.one_shot
        assert repr(media) == f"{cls.__name__}('no/such/file')"


@table("cls", FILES)
def test_bytes_are_taken_without_a_copy_and_buffers_are_copied(cls: type[Audio | Video]):
    data = b"some bytes"
    buffer = bytearray(data)
    taken, copied, viewed = cls(data), cls(buffer), cls(memoryview(buffer)[:4])
    buffer[:] = b"XXXXXXXXXX"

    assert taken.source is data
    assert copied.source == data
    assert viewed.source == b"some"
    assert repr(taken) == f"{cls.__name__}(<10 bytes>)"


@table("cls", FILES)
@table("empty", [b"", bytearray(), memoryview(b"")])
def test_empty_bytes_are_refused(cls: type[Audio | Video], empty: bytes):
    with pytest.raises(MediaRejectedError, match=r"\.source is empty"):
        cls(empty)


@table("cls", FILES)
def test_a_stream_has_a_size_and_is_one_shot(cls: type[Audio | Video]):
    media = cls(stream(), size=3)

    assert media.one_shot
    assert media.size == 3
    assert repr(media) == f"{cls.__name__}(<stream of 3 bytes>)"


@table("size", [None, 0, -1, 2.0, "3", True])
def test_a_stream_without_its_size_is_refused(size: Any):
    with pytest.raises(ConfigurationError, match=r"Audio\.size is .* exact length in bytes"):
        Audio(stream(), size=size)


@table("source", ["a.wav", Path("a.wav"), b"abc"])
def test_a_size_for_what_has_one_is_refused(source: Any):
    with pytest.raises(ConfigurationError, match=r"Video\.size is only for streams; leave it out"):
        Video(source, size=3)


async def test_a_stream_can_be_read_once():
    once = OneShot(stream())

    assert [item async for item in once] == [b"abc"]
    with pytest.raises(UploadError, match="read before and cannot be sent again"):
        aiter(once)


@table("source", [None, 3, ["a.wav"], io.BytesIO(b"abc"), iter([b"abc"])])
def test_other_sources_are_refused(source: Any):
    with pytest.raises(
        ConfigurationError, match=r"source is (an? )?\w+; give a path, bytes, or an as"
    ):
        Audio(source)


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"a.wav"


@table(
    "path,words",
    [
        ("", "empty"),
        ("a\0b", "holds a NUL"),
        ("\ud800.wav", "cannot encode"),
        (BytesPath(), "path of bytes; use os.fsdecode"),
        ("https://example.com/a.mp3?token=s3cret", "a URL; give AudioURL"),
    ],
)
def test_what_cannot_be_a_path_is_refused(path: Any, words: str):
    for name, make in (("Audio.source", Audio), ("Video.source", Video), ("media", coerce)):
        with pytest.raises(ConfigurationError, match=rf"{name} is .*{words}") as caught:
            make(path)
        assert "s3cret" not in str(caught.value)


@table("content_type", AUDIO_CONTENT_TYPES)
def test_the_content_types_of_the_api_are_taken(content_type: str):
    assert Audio("a", content_type=content_type).content_type == content_type


@table("content_type", ["", "audio/ogg", "AUDIO/WAV", "audio/wav; x=1", 3])
def test_other_content_types_are_refused(content_type: Any):
    with pytest.raises(ConfigurationError, match=r"Audio\.content_type is .* leave it out"):
        Audio("a", content_type=content_type)


def test_media_cannot_be_changed():
    media = Audio("a")

    with pytest.raises(FrozenInstanceError):
        media.source = "b"  # type: ignore[misc]


# Links


@table("cls", LINKS)
@table(
    "url",
    [
        "https://example.com/a.mp3",
        "http://example.com:8080/a%20b.mp4?x=1&y=%22#t",
        "HTTPS://EXAMPLE.com/a.mp3",
        "https://user:word@example.com/a.mp3",
        "http://127.0.0.1:9/a",
        "http://[::1]:9/a",
        "https://example.com/grüße.mp3",
        "https://notyoutube.com/a.mp4",
        "https://vimeo.com.example.org/a.mp4",
        "https://example.com/youtube.com/a.mp4",
    ],
)
def test_a_direct_link_is_taken_as_it_is(cls: type[AudioURL | VideoURL], url: str):
    assert cls(url).url == url
    assert not cls(url).one_shot


@table("cls", LINKS)
@table(
    "url,words",
    [
        ("", "is not an http"),
        ("example.com/s3cret.mp3", "is not an http"),
        ("ftp://example.com/s3cret", "is not an http"),
        ("file:///s3cret", "is not an http"),
        ("https:///s3cret", "is not an http"),
        ("https://:443/s3cret", "is not an http"),
        ("https://example.com:port/s3cret", "is not a URL"),
        ("https://[::1/s3cret", "is not a URL"),
        ("https://example.com/s3cret a", "white space or control"),
        ("https://example.com/s3cret\n", "white space or control"),
        ("https://example.com/\u2028s3cret", "white space or control"),
        ("https://example.com/\x7fs3cret", "white space or control"),
        (None, "is None"),
        (b"https://example.com/s3cret", "is a bytes"),
        (Path("https://example.com/s3cret"), "is a PosixPath"),
    ],
)
def test_what_is_no_link_is_refused_without_showing_it(
    cls: type[AudioURL | VideoURL], url: Any, words: str
):
    with pytest.raises(ConfigurationError) as caught:
        cls(url)

    assert f"{cls.__name__}.url {words}" in str(caught.value).replace("holds white", "white")
    assert "s3cret" not in str(caught.value)


@table("cls", LINKS)
@table(
    "host",
    [
        "youtube.com", "www.youtube.com", "m.youtube.com", "YouTube.com", "youtu.be", "vimeo.com",
        "player.vimeo.com", "bit.ly", "tinyurl.com", "t.co", "goo.gl", "vimeo.com.", "vimeo.com:80",
    ],
)  # fmt: skip
def test_platforms_and_short_links_are_refused_unless_allowed(
    cls: type[AudioURL | VideoURL], host: str
):
    url = f"https://{host}/watch?v=s3cret"

    with pytest.raises(ConfigurationError, match="allow_platforms=True") as caught:
        cls(url)

    assert "s3cret" not in str(caught.value)
    assert cls(url, allow_platforms=True).url == url


@table("cls", LINKS)
def test_a_signed_link_is_shown_without_its_secrets(cls: type[AudioURL | VideoURL]):
    media = cls("https://anna:word@example.com:8443/talks/a.mp3?signature=s3cret#s3cret")

    assert repr(media) == f"{cls.__name__}('https://example.com:8443/talks/a.mp3?…')"
    assert str(media) == describe(media) == repr(media)


# What the client is given


@table(
    "media", [Text("Hi."), Audio("a"), Video("a"), AudioURL("http://a/b"), VideoURL("http://a/b")]
)
def test_media_are_taken_as_they_are(media: Media):
    assert coerce(media) is media


def test_the_kinds_are_those_of_the_endpoints():
    kinds = [cls.kind for cls in (Text, Audio, Video, AudioURL, VideoURL)]

    assert kinds == ["text", "audio", "video", "audio/url", "video/url"]


@table("path", ["talk.mp4", Path("talk.mp4")])
def test_a_bare_path_is_a_recording_whose_kind_is_not_known_yet(path: str | os.PathLike[str]):
    assert coerce(path) == Recording(path)
    assert describe(coerce(path)) == "'talk.mp4'"


@table(
    "media,hint",
    [
        (b"abc", r"Audio\(\.\.\.\) or Video"),
        (bytearray(b"abc"), r"Audio\(\.\.\.\) or Video"),
        (["Hello."], r"Text\(\.\.\.\) around the messages; client\.map"),
        (Utterance("Hello."), r"Text\(\.\.\.\)"),
        (None, "Text, Audio, Video, AudioURL, VideoURL or a path"),
        (7, "Text, Audio"),
        (Audio, "Text, Audio"),
    ],
)
def test_anything_else_is_refused_with_a_hint(media: Any, hint: str):
    with pytest.raises(ConfigurationError, match=rf"media is (an? )?\w+; give {hint}"):
        coerce(media)


async def test_a_bare_stream_is_refused_with_a_hint():
    with pytest.raises(ConfigurationError, match=r"media is an async_generator; give Audio"):
        coerce(stream())  # type: ignore[arg-type]


def test_a_very_long_path_is_cut_in_messages():
    shown = describe(Audio("a" * 5000 + "/the_end.wav"))

    assert len(shown) < 300
    assert shown.endswith("/the_end.wav'")


RECORDINGS = [
    Audio("a"),
    Video("a"),
    AudioURL("http://a/b"),
    VideoURL("http://a/b"),
    Recording("a"),
]


@table("media", RECORDINGS)
def test_recordings_take_media_options(media: Any):
    check_options(media, None)
    check_options(media, MediaOptions(language_code="en-US"))
    with pytest.raises(ConfigurationError, match=r"options is TextOptions; for \w+ give MediaOpt"):
        check_options(media, TextOptions(name="Talk"))


def test_text_takes_text_options():
    check_options(Text("Hi."), None)
    check_options(Text("Hi."), TextOptions(name="Talk"))
    with pytest.raises(ConfigurationError) as caught:
        check_options(Text("Hi."), MediaOptions(name="Talk", language_code="en-US", mode="phone"))

    assert str(caught.value) == (
        "options is MediaOptions; for Text give TextOptions(...), "
        "which does not take language_code, mode; leave that out"
    )


def test_media_options_that_text_would_take_are_refused_by_their_class_alone():
    with pytest.raises(ConfigurationError) as caught:
        check_options(Text("Hi."), MediaOptions(name="Talk"))

    assert str(caught.value) == "options is MediaOptions; for Text give TextOptions(...)"


@table("options", [{}, "name", TextOptions])
def test_options_of_another_type_are_refused(options: Any):
    with pytest.raises(
        ConfigurationError, match=r"options is (an? )?\w+; give MediaOptions\(\.\.\.\)"
    ):
        check_options(Audio("a"), options)
