# ruff: noqa: ASYNC240 - these tests are about files, and wait for nothing else meanwhile
import asyncio
import gc
import os
import resource
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from symbl_aio._media import upload_chunks
from symbl_aio._media.inspect import Identity, Prepared
from symbl_aio._media.upload_chunks import Chunk
from symbl_aio._threads import Threads, Watch
from symbl_aio.errors import (
    ClientClosedError,
    FileChangedError,
    MediaRejectedError,
    UploadError,
)
from symbl_aio.media import Audio, AudioURL, Recording, Text, Video, VideoURL
from tests.support import mp4_bytes

CHUNK = 1000
MP4_HEAD = b"\0\0\0\x10ftypisom\0\0\0\0"


def mvhd(seconds: int) -> bytes:
    content = bytes(12) + (1).to_bytes(4, "big") + seconds.to_bytes(4, "big") + bytes(80)
    header = (8 + len(content)).to_bytes(4, "big") + b"mvhd" + content
    return (8 + len(header)).to_bytes(4, "big") + b"moov" + header


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """An mp4 of 3.5 chunks."""
    path = tmp_path / "talk.mp4"
    path.write_bytes(MP4_HEAD + mvhd(60) + os.urandom(3 * CHUNK + 500 - 16 - 116))
    assert path.stat().st_size == 3 * CHUNK + 500
    return path


def is_open(path: Path) -> bool:
    return str(path) in {file.path for file in psutil.Process().open_files()}


async def drain(chunks: AsyncIterator[Chunk], into: list[Chunk]) -> bytes:
    """Read to the end; what was given before an error is found in ``into``."""
    async for chunk in chunks:
        into.append(chunk)  # noqa: PERF401 - a comprehension would lose it on an error
    return b"".join(into)


async def whole(prepared: Prepared, into: list[Chunk] | None = None) -> bytes:
    return await drain(upload_chunks.chunks(prepared, CHUNK), [] if into is None else into)


async def stream(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        if isinstance(item, BaseException):
            raise item
        yield item


FILES = Watch(Threads("tests", 8), 60.0)


@pytest.fixture(autouse=True)
def _fresh_threads() -> Iterator[None]:
    FILES.threads = Threads("tests", 8)
    yield
    FILES.threads.shutdown()


async def prepare(media: Any) -> Prepared:
    return await upload_chunks.prepare(media, FILES)


def use(disk: ThreadPoolExecutor) -> None:
    """Let all work with files be done by ``disk`` from now on."""
    FILES.threads = cast("Threads", disk)


class SlowDisk(ThreadPoolExecutor):
    """Does its work at once, but tells of the ``held``-th only after ``release()``."""

    def __init__(self, held: int) -> None:
        super().__init__(2)
        self.at_work = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._gate = threading.Event()
        self._held = held
        self._taken = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._taken += 1
        if self._taken != self._held:
            return super().submit(fn, *args, **kwargs)

        def late() -> Any:
            try:
                return fn(*args, **kwargs)
            finally:
                self._loop.call_soon_threadsafe(self.at_work.set)
                self._gate.wait()

        return super().submit(late)

    def release(self) -> None:
        self._gate.set()

    def finish(self) -> None:
        """Wait until nothing is at work any more: a file may be closed by the last to come back."""
        self.shutdown(wait=True)


class BrokenDisk(ThreadPoolExecutor):
    """Fails at its ``breaks``-th work."""

    def __init__(self, breaks: int) -> None:
        super().__init__(1)
        self._until_broken = breaks

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._until_broken -= 1
        if self._until_broken:
            return super().submit(fn, *args, **kwargs)

        def fail() -> Any:
            raise OSError("the disk is broken")

        return super().submit(fail)


@contextmanager
def no_more_handles() -> Iterator[None]:
    """Let every attempt to open a file fail, as on a machine that ran out of handles."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# The first look


@pytest.mark.parametrize("media", [Text("Hi."), AudioURL("http://a/b"), VideoURL("http://a/b")])
async def test_media_that_travel_as_json_need_no_look(media: Text | AudioURL | VideoURL):
    prepared = await prepare(media)

    assert prepared == Prepared(media)
    with pytest.raises(TypeError, match="its body is JSON"):
        upload_chunks.chunks(prepared, CHUNK)


@pytest.mark.parametrize("kind", [str, Path])
async def test_a_recording_without_a_kind_gets_one(talk: Path, kind: Callable[[Path], str | Path]):
    prepared = await prepare(Recording(kind(talk)))

    assert prepared.media == Video(kind(talk))
    assert prepared.size == 3500
    assert prepared.content_type == "video/mp4"
    assert prepared.duration == 60.0
    assert await whole(prepared) == talk.read_bytes()


async def test_bytes_are_looked_at_like_a_file(talk: Path):
    data = talk.read_bytes()
    prepared = await prepare(Video(data))

    assert (prepared.size, prepared.content_type, prepared.duration) == (3500, "video/mp4", 60.0)
    with pytest.raises(MediaRejectedError, match=r"Video\(<11 bytes>\) is of an unknown format"):
        await prepare(Video(b"hello world"))


@pytest.mark.parametrize(
    "media, content_type",
    [
        (lambda: Audio(stream(b"abc"), size=3), None),
        (lambda: Audio(stream(b"abc"), size=3, content_type="audio/mp3"), "audio/mp3"),
        (lambda: Video(stream(b"abc"), size=3), "video/mp4"),
    ],
)
async def test_nothing_is_taken_from_a_stream_before_its_turn(
    media: Callable[[], Audio | Video], content_type: str | None
):
    given = media()
    prepared = await prepare(given)

    assert prepared == Prepared(given, 3, content_type)


async def test_the_end_of_a_very_large_file_is_found_without_reading_it(tmp_path: Path):
    path = tmp_path / "huge.mp4"
    length = 5 * 2**30
    with path.open("wb") as file:
        file.write(MP4_HEAD + b"\0\0\0\1mdat" + length.to_bytes(8, "big"))
        file.seek(len(MP4_HEAD) + length)
        file.write(mvhd(3 * 3600))

    prepared = await prepare(Recording(path))

    assert prepared.duration == 3 * 3600.0
    assert prepared.size == len(MP4_HEAD) + length + len(mvhd(0))
    assert not is_open(path)


async def test_more_than_four_hours_are_refused(tmp_path: Path):
    path = tmp_path / "long.mp4"
    path.write_bytes(MP4_HEAD + mvhd(4 * 3600 + 60))

    with pytest.raises(MediaRejectedError, match=r"long\.mp4' lasts 4\.02 hours"):
        await prepare(Video(path))


def missing(folder: Path) -> Path:
    return folder / "missing.mp4"


def a_folder(folder: Path) -> Path:
    return folder


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def text(folder: Path) -> Path:
    (folder / "text.mp4").write_text("These are the notes of our meeting.\n" * 10)
    return folder / "text.mp4"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.mp4")
    return folder / "pipe.mp4"


def below_a_file(folder: Path) -> Path:
    return empty(folder) / "talk.mp4"


def circular_link(folder: Path) -> Path:
    (folder / "link.mp4").symlink_to("link.mp4")
    return folder / "link.mp4"


def much_too_long(folder: Path) -> Path:
    return folder / ("a" * 500)


@pytest.mark.parametrize(
    "make, words",
    [
        (missing, "cannot be opened (No such file or directory); check the path"),
        (a_folder, "is a directory; give the path of a recording"),
        (empty, "is empty; submit it once the recording is complete"),
        (text, "is of an unknown format"),
        (pipe, "is not a regular file"),
        (below_a_file, "cannot be opened (Not a directory)"),
        (circular_link, "cannot be opened (Too many levels of symbolic links)"),
        (much_too_long, "cannot be opened (File name too long)"),
    ],
)
@pytest.mark.parametrize("kind", [Video, Recording])
async def test_a_path_to_no_recording_is_refused_and_named(
    tmp_path: Path,
    kind: type[Video | Recording],
    make: Callable[[Path], Path],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    given = os.path.relpath(make(tmp_path))

    with pytest.raises(MediaRejectedError) as caught:
        await prepare(kind(given))

    shown = given if len(given) < 300 else given[:100]
    assert str(caught.value).startswith(f"'{shown}")
    assert words in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_file_that_may_not_be_read_is_refused(talk: Path):
    talk.chmod(0)

    with pytest.raises(MediaRejectedError, match=r"Permission denied\); check the path and its"):
        await prepare(Video(talk))


async def test_a_machine_out_of_handles_is_no_fault_of_the_recording(talk: Path):
    with no_more_handles(), pytest.raises(UploadError, match="cannot be read") as caught:
        await prepare(Video(talk))

    assert not isinstance(caught.value, MediaRejectedError)
    assert isinstance(caught.value.__cause__, OSError)


# The bytes of a file


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
async def test_a_file_is_given_whole_in_pieces(tmp_path: Path, size: int):
    path = tmp_path / "sound"
    path.write_bytes(os.urandom(size))
    chunks: list[Chunk] = []

    assert await whole(await prepare(Audio(path)), chunks) == path.read_bytes()
    assert all(len(chunk) == CHUNK for chunk in chunks[:-1])
    assert 1 <= len(chunks[-1]) <= CHUNK
    assert not is_open(path)


@pytest.mark.parametrize("source", ["file", "bytes", "stream"])
async def test_pieces_stay_below_the_size_from_which_tls_lets_a_writer_wait(
    tmp_path: Path, source: str
):
    data = mp4_bytes(2 * 2**20)

    async def stream() -> AsyncIterator[bytes]:
        yield data

    path = tmp_path / "talk.mp4"
    path.write_bytes(data)
    video = {"file": Video(path), "bytes": Video(data), "stream": Video(stream(), size=len(data))}
    pieces: list[Chunk] = []
    assert await drain(upload_chunks.chunks(await prepare(video[source]), 2**20), pieces) == data
    assert max(map(len, pieces)) < 512 * 1024


async def test_every_reading_starts_afresh_even_beside_another(talk: Path):
    prepared = await prepare(Video(talk))
    first, second = upload_chunks.chunks(prepared, CHUNK), upload_chunks.chunks(prepared, CHUNK)
    pairs = [(await anext(first), await anext(second)) for _ in range(4)]

    assert b"".join(one for one, _ in pairs) == talk.read_bytes()
    assert all(one == other and one is not other for one, other in pairs)
    assert await whole(prepared) == talk.read_bytes()
    await first.aclose()
    await second.aclose()


def shrink(path: Path) -> None:
    os.truncate(path, 2 * CHUNK)


def shrink_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def touch(path: Path) -> None:
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))


def replace(path: Path) -> None:
    found, other = path.stat(), path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.replace(path)


CHANGES = [
    (shrink, "its size went from 3500 to 2000 bytes"),
    (shrink_to_nothing, "its size went from 3500 to 0 bytes"),
    (grow, "its size went from 3500 to 3504 bytes"),
    (touch, "it was written to"),
]


@pytest.mark.parametrize("change, words", [*CHANGES, (replace, "another file took its place")])
async def test_a_file_that_changed_since_the_first_look_is_refused(
    talk: Path, change: Callable[[Path], None], words: str
):
    prepared = await prepare(Video(talk))
    change(talk)
    chunks: list[Chunk] = []

    with pytest.raises(FileChangedError, match=rf"talk\.mp4' changed .*{words}.*submit it again"):
        await whole(prepared, chunks)

    assert chunks == []
    assert not is_open(talk)


@pytest.mark.parametrize("change, words", CHANGES)
@pytest.mark.parametrize("read_before", [1, 3])
async def test_a_file_that_changes_while_it_is_read_is_never_given_whole(
    talk: Path, change: Callable[[Path], None], words: str, read_before: int
):
    chunks = upload_chunks.chunks(await prepare(Video(talk)), CHUNK)
    given = [await anext(chunks) for _ in range(read_before)]
    change(talk)

    with pytest.raises(FileChangedError, match=words):
        await drain(chunks, given)

    assert sum(map(len, given)) < 3500
    assert not is_open(talk)


async def test_a_file_that_is_gone_is_a_changed_file(talk: Path):
    prepared = await prepare(Video(talk))
    talk.unlink()

    with pytest.raises(FileChangedError, match=r"talk\.mp4' is no longer there"):
        await whole(prepared)


async def test_a_file_replaced_while_it_is_read_is_given_as_it_was(talk: Path):
    data = talk.read_bytes()
    chunks = upload_chunks.chunks(await prepare(Video(talk)), CHUNK)
    first = await anext(chunks)
    replace(talk)

    assert b"".join([first, *[chunk async for chunk in chunks]]) == data


async def test_the_disk_works_while_a_chunk_is_on_its_way(talk: Path):
    disk = SlowDisk(held=4)  # open, compare, and the first chunk go before
    chunks = upload_chunks.chunks(await prepare(Video(talk)), CHUNK)
    use(disk)

    await anext(chunks)
    await disk.at_work.wait()  # though nobody has asked for the second one

    disk.release()
    await chunks.aclose()
    assert not is_open(talk)


@pytest.mark.parametrize("times", [0, 1, 2])
async def test_a_file_is_not_closed_under_a_reading_ahead(talk: Path, times: int):
    disk = SlowDisk(held=4)
    chunks = upload_chunks.chunks(await prepare(Video(talk)), CHUNK)
    use(disk)
    await anext(chunks)
    await disk.at_work.wait()

    closing = asyncio.create_task(chunks.aclose())
    for _ in range(times):
        await asyncio.sleep(0)  # one turn of the loop, to begin and to deliver it
        closing.cancel()
    await asyncio.sleep(0)
    assert is_open(talk)
    disk.release()

    await asyncio.wait({closing})
    assert closing.cancelled() == (times > 0)
    assert not is_open(talk)


async def test_a_reading_ahead_that_fails_unwanted_is_not_left_unnoticed(talk: Path):
    gc.collect()  # what other tests have left is not of this one
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, what: complaints.append(what))
    chunks = upload_chunks.chunks(await prepare(Video(talk)), CHUNK)
    disk = BrokenDisk(breaks=4)
    use(disk)

    await anext(chunks)
    await chunks.aclose()

    gc.collect()
    assert complaints == []
    assert not is_open(talk)


async def test_a_reading_that_fails_names_file_and_cause(talk: Path):
    prepared = await prepare(Video(talk))

    with no_more_handles(), pytest.raises(UploadError, match=r"talk\.mp4' cannot be") as caught:
        await whole(prepared)

    assert isinstance(caught.value.__cause__, OSError)
    assert not isinstance(caught.value, FileChangedError)


SHORT = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(not SHORT.exists(), reason="needs a file that is shorter than it says")
async def test_a_file_shorter_than_it_says_is_never_given_whole():
    prepared = await prepare(Audio(SHORT))
    given: list[Chunk] = []

    with pytest.raises(FileChangedError, match=r"enabled' ended \d+ bytes early"):
        await whole(prepared, given)

    assert sum(map(len, given)) < (prepared.size or 0)


async def test_a_reader_that_stops_early_leaves_nothing_open(talk: Path):
    chunks = upload_chunks.chunks(await prepare(Video(talk)), CHUNK)
    await anext(chunks)
    assert is_open(talk)

    await chunks.aclose()

    assert not is_open(talk)


async def test_an_error_of_the_reader_leaves_nothing_open(talk: Path):
    chunks = upload_chunks.chunks(await prepare(Video(talk)), CHUNK)
    await anext(chunks)

    with pytest.raises(ConnectionResetError):
        await chunks.athrow(ConnectionResetError())

    assert not is_open(talk)


# In the order of a reading: open, compare, four chunks, compare again, close.
@pytest.mark.parametrize("held", range(1, 9))
@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancelled_reader_leaves_nothing_open(talk: Path, held: int, times: int):
    prepared = await prepare(Video(talk))
    disk = SlowDisk(held)
    use(disk)
    reading = asyncio.create_task(whole(prepared))
    await disk.at_work.wait()

    for _ in range(times):
        reading.cancel()
        await asyncio.sleep(0)  # one turn of the loop, to deliver it
    disk.release()

    with pytest.raises(asyncio.CancelledError):
        await reading
    disk.finish()
    assert not is_open(talk)
    gc.collect()  # would warn of a file that nobody closed


async def test_a_reader_survives_the_cancelling_of_everything_at_the_end_of_a_loop(talk: Path):
    prepared = await prepare(Video(talk))
    disk = SlowDisk(held=4)
    use(disk)
    reading = asyncio.create_task(whole(prepared))
    await disk.at_work.wait()

    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    disk.release()

    with pytest.raises(asyncio.CancelledError):
        await reading
    disk.finish()
    assert not is_open(talk)


async def test_an_error_behind_a_cancellation_is_not_left_unnoticed():
    started, gate = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, what: complaints.append(what))

    def failing_read() -> bytes:
        loop.call_soon_threadsafe(started.set)
        gate.wait()
        raise OSError("the disk is broken")

    reading = asyncio.create_task(FILES.run(failing_read))
    await started.wait()
    reading.cancel()
    gate.set()

    with pytest.raises(asyncio.CancelledError):
        await reading
    del reading
    await asyncio.sleep(0)  # one turn, in which the loop lets go of the task
    gc.collect()
    assert complaints == []


async def test_a_cancelled_look_leaves_nothing_open(talk: Path):
    disk = SlowDisk(held=1)
    use(disk)
    looking = asyncio.create_task(prepare(Video(talk)))
    await disk.at_work.wait()
    looking.cancel()
    disk.release()

    with pytest.raises(asyncio.CancelledError):
        await looking
    assert not is_open(talk)
    gc.collect()


def test_the_identity_of_a_file_tells_what_changed():
    seen = Identity(1, 2, 3, 4)

    assert seen.change(Identity(1, 2, 3, 4)) is None
    assert seen.change(Identity(9, 2, 3, 4)) == "another file took its place"
    assert seen.change(Identity(1, 9, 9, 9)) == "another file took its place"
    assert seen.change(Identity(1, 2, 9, 9)) == "its size went from 3 to 9 bytes"
    assert seen.change(Identity(1, 2, 3, 9)) == "it was written to (its modification time moved)"


# Bytes


async def test_bytes_are_cut_and_small_ones_given_as_they_are():
    data = os.urandom(2 * CHUNK + 1)
    chunks: list[Chunk] = []

    assert await whole(await prepare(Audio(data)), chunks) == data
    assert [len(chunk) for chunk in chunks] == [CHUNK, CHUNK, 1]
    assert await anext(upload_chunks.chunks(await prepare(Audio(data)), len(data))) is data


# Streams


async def test_a_stream_is_given_whole_and_large_items_are_cut():
    items = [b"a", b"", b"b" * (CHUNK + 1), b"", b"c" * (3 * CHUNK)]
    size = sum(map(len, items))
    chunks: list[Chunk] = []

    assert await whole(await prepare(Audio(stream(*items), size=size)), chunks) == b"".join(items)
    assert max(map(len, chunks)) == CHUNK
    assert all(chunks)


async def test_a_stream_can_be_given_once_however_it_is_prepared():
    media = Audio(stream(b"abc"), size=3)
    prepared, again = await prepare(media), await prepare(media)
    await whole(prepared)

    for other in (prepared, again):
        with pytest.raises(UploadError, match="read before and cannot be sent again"):
            await whole(other)


async def test_a_producer_may_reuse_its_buffer():
    async def reusing() -> AsyncIterator[bytes]:
        buffer = bytearray(2)
        for letter in b"abc":
            buffer[:] = bytes([letter]) * 2
            yield memoryview(buffer)  # type: ignore[misc]

    assert await whole(await prepare(Audio(reusing(), size=6))) == b"aabbcc"


@pytest.mark.parametrize(
    "items, size, words",
    [
        ([b"abc", b"def"], 5, "gave more than it announced"),
        ([b"abc", b"de", b"", b"f"], 5, "gave more than it announced"),
        ([b"abcdefgh"], 5, "gave more than it announced"),
        ([b"abc", b"d"], 5, "ended after 4 bytes"),
        ([], 5, "ended after 0 bytes"),
        ([b"abc", "de"], 5, "gave a str; it must give bytes"),
        ([b"abc", None], 5, "gave None; it must give bytes"),
        ([b"abc", 2], 5, "gave an int; it must give bytes"),
        ([b"abc", ConnectionResetError("s3cret")], 5, "broke: ConnectionResetError"),
        ([b"abc", b"de", ValueError("s3cret")], 5, "broke: ValueError"),
    ],
)
async def test_a_stream_that_is_not_as_announced_is_never_given_whole(
    items: list[Any], size: int, words: str
):
    chunks: list[Chunk] = []

    with pytest.raises(UploadError, match=words) as caught:
        await whole(await prepare(Audio(stream(*items), size=size)), chunks)

    assert sum(map(len, chunks)) < size
    assert "s3cret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, type(items[-1]) if "broke" in words else type(None))


async def test_our_own_errors_pass_through_a_stream():
    broken = Audio(stream(b"abc", ClientClosedError("closed")), size=5)

    with pytest.raises(ClientClosedError):
        await whole(await prepare(broken))


@pytest.mark.parametrize("step", [1, 5, 11, 12, 13, 4000])
async def test_a_video_stream_is_held_back_until_its_brand_is_seen(talk: Path, step: int):
    data = talk.read_bytes()
    items = [data[at : at + step] for at in range(0, len(data), step)]
    chunks: list[Chunk] = []

    assert await whole(await prepare(Video(stream(*items), size=len(data))), chunks) == data
    assert len(chunks[0]) >= 12


@pytest.mark.parametrize("items", [[b"These are ", b"the notes of our meeting"], [b"x" * 34]])
async def test_a_video_stream_that_is_no_mp4_gives_nothing(items: list[bytes]):
    chunks: list[Chunk] = []

    with pytest.raises(MediaRejectedError, match=r"Video\(<stream of 34 bytes>\) is of an unkn"):
        await whole(await prepare(Video(stream(*items), size=34)), chunks)

    assert chunks == []


@pytest.mark.parametrize("step", [1, 5])
async def test_a_video_stream_shorter_than_a_brand_gives_nothing(step: int):
    short = [b"\0\0\0\x10ftyp"[at : at + step] for at in range(0, 8, step)]

    with pytest.raises(MediaRejectedError, match="unknown format"):
        await whole(await prepare(Video(stream(*short), size=8)))
    with pytest.raises(UploadError, match="ended after 8 bytes"):
        await whole(await prepare(Video(stream(*short), size=99)))


async def test_a_stream_is_closed_with_its_reader():
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"abc"
        finally:
            closed.set()

    chunks = upload_chunks.chunks(await prepare(Audio(endless(), size=99)), CHUNK)
    await anext(chunks)
    await chunks.aclose()

    assert closed.is_set()


async def test_a_stream_is_closed_when_its_waiting_reader_is_cancelled():
    waiting, closed = asyncio.Event(), asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        try:
            waiting.set()
            await asyncio.Event().wait()
            yield b"abc"
        finally:
            closed.set()

    reading = asyncio.create_task(whole(await prepare(Audio(stuck(), size=3))))
    await waiting.wait()
    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading
    assert closed.is_set()


async def test_a_stream_need_not_be_a_generator():
    class Counting:
        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return b"ab"

    assert await whole(await prepare(Audio(Counting(), size=6))) == b"ababab"
