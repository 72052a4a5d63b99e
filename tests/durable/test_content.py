"""A stored submission makes the same request again, on every machine."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio import (
    Audio,
    AudioURL,
    ChannelMetadata,
    ConfigurationError,
    CustomEntity,
    Features,
    FileChangedError,
    MediaOptions,
    MediaRejectedError,
    Options,
    SalesMetadata,
    Speaker,
    Text,
    TextOptions,
    Tracker,
    TrackerRef,
    Utterance,
    Video,
    VideoURL,
)
from symbl_aio._protocol.encode import Call, encode_submission
from symbl_aio.durable.content import Content, Media, encode, is_same
from symbl_aio.media import SealedPath
from symbl_aio.models.base import wire_name
from symbl_aio.testing import LocalSymbl
from tests.support import mp4_bytes


def decode(content: str) -> tuple[Media, Options | None]:
    return Content(content).decode()


# All text but surrogates, which no encoding has.
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
WORD = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8).filter(str.strip)
WORDS = st.lists(WORD, min_size=1, max_size=3)
JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(0, 1) | ANY,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORD, inner, max_size=2),
    max_leaves=4,
)
SPEAKER = st.builds(Speaker, name=st.none() | ANY, email=st.none() | ANY)
FIELDS: dict[str, st.SearchStrategy[object]] = {
    "name": ANY,
    "confidence_threshold": st.floats(0, 1) | st.integers(0, 1),
    "detect_phrases": st.booleans(),
    "entities": st.lists(st.builds(CustomEntity, WORD, WORD, st.none() | ANY), max_size=2),
    "detect_entities": st.booleans(),
    "trackers": st.lists(st.builds(Tracker, WORD, WORDS) | st.builds(TrackerRef, WORD), max_size=3),
    "enable_all_trackers": st.booleans(),
    "enable_summary": st.booleans(),
    "webhook_url": st.sampled_from(["", "https://example.com/hook?a=b&key=%C3%BC"]),
    "timezone_offset": st.integers(-720, 720),
    "conversation_type": WORD | WORDS,
    "features": st.builds(Features, WORDS),
    "metadata": st.builds(SalesMetadata, st.none() | WORD, st.none() | ANY),
    "custom_vocabulary": WORDS,
    "language_code": WORD,
    "mode": st.sampled_from(["phone", "default"]),
    "enable_separate_recognition_per_channel": st.booleans(),
    "channel_metadata": st.lists(
        st.builds(ChannelMetadata, st.integers(0, 8), SPEAKER), max_size=2
    ),
    "enable_speaker_diarization": st.booleans(),
    "diarization_speaker_count": st.integers(1, 9),
}
EXTRAS = {"extra_body", "extra_query", "in_query"}
MOMENT = st.datetimes(
    datetime(2000, 1, 1),
    datetime(2100, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
UTTERANCE = st.builds(
    lambda start, **said: Utterance(**said, start=start, end=start),
    text=WORD,
    speaker=st.none() | WORD,
    user_id=st.none() | WORD,
    start=st.none() | MOMENT,
)
URL = st.sampled_from(["https://example.com/a.mp4?sig=%2B", "https://youtu.be/x"])


def options_of(kind: type[TextOptions | MediaOptions]) -> st.SearchStrategy[Any]:
    known = {field.name for field in fields(kind)} - EXTRAS
    names = {wire_name(name) for name in known}
    extra = st.dictionaries(WORD.filter(lambda name: name not in names), JSON_VALUE, max_size=2)
    given = st.fixed_dictionaries({}, optional={name: FIELDS[name] for name in known})
    return st.builds(
        lambda given, extra, in_query: kind(
            **given,
            extra_query={name: value for name, value in extra.items() if value is not None},
            in_query=in_query,
        ),
        given,
        extra,
        st.frozensets(st.sampled_from(sorted(known)), max_size=3),
    )


SUBMISSIONS = st.one_of(
    st.tuples(
        st.builds(Text, WORD | st.lists(UTTERANCE | WORD, min_size=1, max_size=3)),
        st.none() | options_of(TextOptions),
    ),
    st.tuples(
        st.builds(AudioURL, URL, allow_platforms=st.just(True))
        | st.builds(VideoURL, URL, allow_platforms=st.just(True)),
        st.none() | options_of(MediaOptions),
    ),
    st.tuples(
        st.sampled_from([
            lambda path: Video(path),
            lambda path: Audio(path),
            lambda path: Audio(Path(path), content_type="audio/wav"),
        ]),
        st.none() | options_of(MediaOptions),
    ),
)  # fmt: skip


def call(media: Any, options: Any) -> Call:
    """Return the request; a file is its body, represented by its path."""
    path = str(media.source) if isinstance(media, Audio | Video) else ""
    made = encode_submission(media, options)
    return Call(made.method, made.path + path, made.query, headers=made.headers, body=made.body)


def test_no_option_is_forgotten_here() -> None:
    assert {field.name for field in fields(MediaOptions)} == FIELDS.keys() | EXTRAS


@given(submission=SUBMISSIONS)
def test_the_same_request_is_made_of_what_was_stored(
    submission: tuple[Any, Any], sample: str
) -> None:
    media, options = submission
    media = media(sample) if callable(media) else media
    content = asyncio.run(encode(media, options))
    assert call(*decode(content)) == call(media, options)
    assert is_same(content, asyncio.run(encode(*decode(content))))
    assert content.isascii()
    assert content.isprintable()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("media") / "Größe & so.mp4"
    path.write_bytes(mp4_bytes())
    return str(path)


async def test_a_path_alone_stays_one_whose_kind_is_told_by_its_bytes(sample: str) -> None:
    for path in (sample, Path(sample)):
        media, options = decode(await encode(path, None))
        assert isinstance(media, SealedPath)
        assert (os.fspath(media), options) == (sample, None)


async def test_a_relative_path_is_the_same_file_from_everywhere(
    sample: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(sample).parent)
    content = await encode(Video(f"./{Path(sample).name}"), None)
    assert content == await encode(Video(sample), None)


async def test_a_name_that_is_no_utf8_can_be_stored(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\xff.mp4")
    path.write_bytes(mp4_bytes())
    content = await encode(path, None)
    assert content.isascii()
    media: Any = decode(content)[0]
    assert os.fspath(media) == os.fspath(path)
    assert await Content(content).check_file() is None


async def test_the_same_is_the_same_text_in_every_process() -> None:
    # The order of a set of strings is another in each process.
    names = ["webhook_url", "name", "enable_summary", "trackers", "features"]
    content = await encode(Text("Hello."), TextOptions(in_query=names))
    assert json.loads(content)["options"]["fields"]["in_query"] == sorted(names)


async def test_the_order_of_what_has_none_is_no_difference() -> None:
    first, second = [
        await encode(Text("Hello."), TextOptions(extra_body=extra))
        for extra in ({"a": 1, "b": None}, {"b": None, "a": 1})
    ]
    assert is_same(first, second)
    assert not is_same(first, await encode(Text("Hello."), None))


# Rejected at once


async def stream() -> AsyncIterator[bytes]:
    yield b"mp4"


@pytest.mark.parametrize(
    "media",
    [
        lambda: Audio(b"ID3..."),
        lambda: Video(bytearray(mp4_bytes())),
        lambda: Video(stream(), size=3),
        lambda: mp4_bytes(),
        lambda: memoryview(mp4_bytes()),
        stream,
    ],
)
async def test_bytes_and_streams_are_refused_at_once_and_the_remedy_is_named(
    media: Callable[[], Any],
) -> None:
    with pytest.raises(ConfigurationError, match=r"path of a file on storage .* or a URL"):
        await encode(media(), None)


@pytest.mark.parametrize(
    "media, options, told",
    [
        (7, None, "media is an int"),
        ([Utterance("Hello.")], None, "Text"),
        ("https://example.com/a.mp4", None, "URL"),
        (Text("Hello."), MediaOptions(mode="phone"), "TextOptions"),
        (AudioURL("https://example.com/a.mp3"), TextOptions(), "MediaOptions"),
        (Video("a.mp4"), MediaOptions(extra_body={"a": 1}), "extra_query"),
        (Path("a.mp4"), MediaOptions(extra_body={"a": 1}), "extra_query"),
        (Text("Hello."), TextOptions(extra_body={"messages": []}), "extra_body"),
    ],
)
async def test_what_can_never_be_sent_is_said_at_once(media: Any, options: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        await encode(media, options)


async def test_a_file_that_cannot_be_read_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")  # without a writer: opening it would wait for ever
    for path, told in (
        (tmp_path / "missing.mp4", "No such file"),
        (tmp_path, "no regular file"),
        (tmp_path / "pipe.mp4", "no regular file"),
    ):
        with pytest.raises(MediaRejectedError, match=told):
            await encode(path, None)


# Files that change


async def test_a_file_is_looked_at_before_it_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "standup.mp4"
    path.write_bytes(mp4_bytes())
    content = await encode(path, None)
    assert await Content(content).check_file() is None
    path.write_bytes(mp4_bytes() + b"x")
    assert "not the file that was submitted" in str(await Content(content).check_file())
    path.unlink()
    assert "cannot be read here (No such file" in str(await Content(content).check_file())
    path.write_bytes(mp4_bytes())
    assert await Content(content).check_file() is None


async def test_a_file_is_known_by_all_of_its_bytes(tmp_path: Path, server: LocalSymbl) -> None:
    path = tmp_path / "standup.mp4"
    path.write_bytes(mp4_bytes() + b"\0" * 2**22)
    media, _ = decode(await encode(path, None))
    found = path.stat()
    with path.open("r+b") as file:  # of the same size
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))  # and from the same moment
    async with server.client() as client:
        with pytest.raises(FileChangedError, match="another content"):
            await client.submit(media)
        assert not any(one.accepted for one in server.submissions)
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\0")
        await client.submit(media)
    assert [one.accepted for one in server.submissions].count(True) == 1


async def test_only_files_are_looked_for() -> None:
    for media in (Text("Hello."), VideoURL("https://example.com/a.mp4")):
        assert await Content(await encode(media, None)).check_file() is None
