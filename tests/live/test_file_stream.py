"""Recordings as streams: read in a thread, paced, stopped at their end."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import struct
import wave
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from symbl_aio import (
    ClientClosedError,
    ConfigurationError,
    MediaRejectedError,
    Recognition,
    StateEvent,
    StreamLostError,
    StreamTimeoutError,
)
from symbl_aio.live.recording_samples import Samples, open_samples
from tests.live.peer import Peer, recognised, usual, wav
from tests.live.test_cancelled_streams import live_tasks


def ramp(count: int) -> bytes:
    return struct.pack(f"<{count}h", *(index % 30_000 for index in range(count)))


async def test_a_wav_is_sent_whole_and_the_events_end_with_its_results(peer: Peer, tmp_path: Path):
    async def answer(session, request):
        if request["type"] == "stop_request":
            await session.send(recognised("The end."))
        await usual(session, request)

    peer.on_request = answer
    audio = ramp(50_000)
    async with (
        peer.client() as symbl,
        symbl.stream_file(wav(tmp_path / "a.wav", audio, rate=8000), realtime=False) as stream,
    ):
        words = [event.text async for event in stream if isinstance(event, Recognition)]
        assert words == ["The end."]
        assert (await stream.stop()).id == stream.conversation.id
    session = await peer.session()
    assert bytes(session.audio) == audio
    sent = session.requests[0]["config"]["speechRecognition"]
    assert sent == {"encoding": "LINEAR16", "sampleRateHertz": 8000}
    assert len(session.requests) == 2


async def test_channels_are_mixed_to_one(peer: Peer, tmp_path: Path):
    stereo = struct.pack("<6h", 100, 300, -100, -300, 32767, 32767)
    path = wav(tmp_path / "a.wav", stereo, channels=2)
    async with peer.client() as symbl, symbl.stream_file(path, realtime=False) as stream:
        await stream.stop()
    assert bytes((await peer.session()).audio) == struct.pack("<3h", 200, -200, 32767)


async def test_real_time_is_the_speed_of_the_recording_or_a_number_of_times_it(
    peer: Peer, tmp_path: Path
):
    path = wav(tmp_path / "a.wav", bytes(2 * 16_000 * 3))
    loop = asyncio.get_running_loop()
    async with peer.client() as symbl:
        began = loop.time()
        async with symbl.stream_file(path, realtime=10) as stream:
            await stream.stop()
        assert loop.time() - began >= 0.28  # three seconds of it, ten times as fast


async def test_a_stop_waits_for_the_recording_no_longer_than_asked(peer: Peer, tmp_path: Path):
    path = wav(tmp_path / "a.wav", bytes(2 * 16_000 * 60))
    async with peer.client() as symbl, symbl.stream_file(path) as stream:
        with pytest.raises(StreamTimeoutError, match="was not sent") as caught:
            await stream.stop(timeout=0.05)
        assert caught.value.conversation_id == stream.conversation.id


async def test_leaving_early_sends_no_more_of_it_and_leaves_no_task(peer: Peer, tmp_path: Path):
    path = wav(tmp_path / "a.wav", bytes(2 * 16_000 * 60))
    async with peer.client() as symbl:
        async with symbl.stream_file(path) as stream:
            await anext(stream)
        assert live_tasks() == []
        with pytest.raises(ZeroDivisionError):
            async with symbl.stream_file(path):
                raise ZeroDivisionError
        assert [name for name in live_tasks() if "token" not in name] == []
    for session in peer.sessions:
        assert len(session.audio) < 200_000


async def test_a_file_that_cannot_be_a_stream_is_refused_before_anything_is_sent(
    peer: Peer, tmp_path: Path
):
    async with peer.client() as symbl:
        with pytest.raises(MediaRejectedError, match="cannot be read"):
            async with symbl.stream_file(tmp_path / "missing.wav"):
                pytest.fail("is not there")
        for realtime in (-1, float("inf"), float("nan"), "yes"):
            with pytest.raises(ConfigurationError, match="realtime"):
                symbl.stream_file("a.wav", realtime=realtime)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="sample_rate follows"):
            symbl.stream_file("a.wav", sample_rate=8000)
    assert peer.sessions == []


async def test_a_lost_connection_ends_the_file_and_the_events(peer: Peer, tmp_path: Path):
    path = wav(tmp_path / "a.wav", bytes(2 * 16_000 * 60))
    async with (
        peer.client() as symbl,
        symbl.stream_file(path, no_connection_timeout=0) as stream,
    ):
        (await peer.session()).break_off()
        with pytest.raises(StreamLostError):
            async for _ in stream:
                pass
        with pytest.raises(StreamLostError):
            await stream.stop()


@pytest.mark.asr
def test_any_other_recording_is_decoded_by_pyav():
    media = Path(__file__).parents[2] / "examples" / "media"
    for name in ("sensibility.m4a", "inaugural.mp4"):
        samples = open_samples(media / name, 5.0)
        assert samples.sample_rate == 16_000
        parts = []
        while part := samples.read():
            parts.append(part)
        assert all(len(part) == 160_000 for part in parts[:-1])
        assert len(parts) > 1
        assert any(parts[0])
        samples.close()


@pytest.mark.asr
def test_what_is_no_recording_is_refused(tmp_path: Path):
    path = tmp_path / "a.mp3"
    path.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(MediaRejectedError, match="cannot be decoded"):
        open_samples(path, 1.0)


@pytest.mark.asr
def test_a_recording_of_more_channels_than_pyav_mixes_is_refused(tmp_path: Path):
    path = tmp_path / "many.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((9, 3, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(9 * 3 * 1600))
    samples = open_samples(path, 0.1)

    with pytest.raises(MediaRejectedError, match="cannot be decoded"):
        samples.read()
    samples.close()


async def test_settings_that_can_be_read_once_are_kept(peer: Peer, tmp_path: Path):
    path = wav(tmp_path / "a.wav", ramp(100), rate=8000)
    words = iter(["pier"])
    async with (
        peer.client() as symbl,
        symbl.stream_file(path, realtime=False, custom_vocabulary=words) as stream,
    ):
        await stream.stop()
    assert peer.sessions[0].requests[0]["customVocabulary"] == ["pier"]


async def test_a_client_that_closes_ends_the_wait_for_a_recording(peer: Peer, tmp_path: Path):
    path = wav(tmp_path / "a.wav", bytes(2 * 16_000 * 60))
    client = peer.client()
    async with client:
        stream = await client.stream_file(path).__aenter__()
        stopping = asyncio.create_task(stream.stop())
        session = await peer.session()
        await session.until(lambda: bool(session.audio))
    await asyncio.wait([stopping])
    assert isinstance(stopping.exception(), ClientClosedError)


async def test_the_failure_of_a_recording_that_was_left_is_not_logged_as_forgotten(
    peer: Peer, tmp_path: Path
):
    path = wav(tmp_path / "a.wav", bytes(2 * 16_000 * 60))
    logged: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
    async with peer.client() as symbl:
        with pytest.raises(StreamLostError):
            async with symbl.stream_file(path, no_connection_timeout=0) as stream:
                (await peer.session()).break_off()
                async for _ in stream:
                    pass
        del stream
    gc.collect()
    assert logged == []


def joined(path: Path, *parts: tuple[int, str]) -> Path:
    """Write recordings of a second each, one after the other, as recorders of ADTS do."""
    import av
    import numpy as np

    found = b""
    for rate, layout in parts:
        file = io.BytesIO()
        with av.open(file, "w", format="adts") as container:
            stream = container.add_stream("aac", rate=rate, layout=layout)
            count = 2 if layout == "stereo" else 1
            for start in range(0, rate, 1024):
                wave_ = np.sin(np.arange(start, start + 1024) / 20).astype("float32") / 4
                frame = av.AudioFrame.from_ndarray(
                    np.stack([wave_] * count), format="fltp", layout=layout
                )
                frame.sample_rate, frame.pts = rate, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        found += file.getvalue()
    path.write_bytes(found)
    return path


@pytest.mark.asr
async def test_a_recording_that_changes_its_form_midway_is_sent_to_its_end(
    peer: Peer, tmp_path: Path
):
    path = joined(tmp_path / "a.aac", (44_100, "stereo"), (22_050, "mono"), (16_000, "mono"))
    async with (
        asyncio.timeout(30),
        peer.client() as symbl,
        symbl.stream_file(path, realtime=False) as stream,
    ):
        events = [event async for event in stream]
    assert isinstance(events[-1], StateEvent)
    # Each part begins with some silence of the encoder.
    assert 2.9 <= len(peer.sessions[0].audio) / 32_000 <= 3.5


@pytest.mark.asr
def test_a_damaged_packet_is_left_out_and_the_rest_is_read(tmp_path: Path):
    path = joined(tmp_path / "a.aac", (16_000, "mono"))
    whole = path.read_bytes()
    middle = whole.index(b"\xff\xf1", len(whole) // 2)
    # The header stays, so that the packet is found, and its contents are none.
    path.write_bytes(whole[: middle + 7] + b"\xff" * 40 + whole[middle + 47 :])
    samples, length = open_samples(path, 1.0), 0
    while part := samples.read():
        length += len(part)
    assert 28_000 <= length <= 35_000


def test_any_failure_of_a_decoder_is_one_of_the_recording():
    def chunks() -> Generator[bytes, None, None]:
        yield bytes(2)
        raise ValueError("no error of FFmpeg")

    samples = Samples(16_000, chunks())
    samples.read()
    with pytest.raises(MediaRejectedError, match="to its end"):
        samples.read()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_of_an_interrupted_recorder_is_read_to_its_end(tmp_path: Path, channels: int):
    path = wav(tmp_path / "a.wav", ramp(4000), channels=channels)
    header, samples = path.read_bytes()[:40], ramp(4000)
    path.write_bytes(header + bytes(4) + samples)
    opened, found = open_samples(path, 0.1), b""
    while part := opened.read():
        found += part
    opened.close()
    assert len(found) == len(samples) // channels
    assert channels > 1 or found == samples


def test_a_wav_without_a_length_may_come_through_a_pipe(tmp_path: Path):
    path, header = tmp_path / "pipe", wav(tmp_path / "a.wav", b"").read_bytes()
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as other:
        writing = other.submit(path.write_bytes, header + ramp(4000))
        opened, found = open_samples(path, 0.1), b""
        while part := opened.read():
            found += part
        writing.result()
    opened.close()
    assert found == ramp(4000)
