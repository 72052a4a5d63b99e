"""Live captions of the local server: how far they are behind the speaker, and their memory.

    python -m benchmarks.live_captions --rounds 3

Real speech is sent in real time, in frames of 100 ms; it needs the extra ``asr``. The *lag* of an
interim result is the time from the frame with its last sound to its arrival; the *age* of the
captions, sampled each 50 ms while there is speech, is the time since the last sound that they
show. Both are wanted below one second. Then the same speech is sent ten times as fast, and an hour
of another stream, with a registered transcript, as fast as the server reads it. Exit status 1 if a
bound was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import psutil
from attrs import define, field

from symbl_aio.server import LocalServer
from tests.asr.test_recognition_real import RATE, SAID, decode, word_errors, words

FRAME: Final = RATE // 10 * 2
PAUSE: Final = 2.0
MOST_LAG: Final = 1.0
MOST_WORD_ERRORS: Final = 0.2
MOST_GROWTH: Final = 16 * 2**20
"""Bytes by which memory may grow from the tenth minute of an hour to its end: the text is kept."""


@define
class Outcome:
    """The measured figures of one stream; times in seconds."""

    lags: list[float] = field(factory=list)
    ages: list[float] = field(factory=list)
    words: list[str] = field(factory=list)
    seconds: float = 0.0


async def open_stream(
    server: LocalServer, session: aiohttp.ClientSession, identity: str
) -> aiohttp.ClientWebSocketResponse:
    credentials = {"type": "application", "appId": server.app_id, "appSecret": server.app_secret}
    async with session.post(f"{server.base_url}/oauth2/token:generate", json=credentials) as got:
        token = (await got.json())["accessToken"]
    address = server.base_url.replace("http", "ws", 1)
    socket = await session.ws_connect(
        f"{address}/v1/streaming/{identity}", headers={"x-api-key": token}
    )
    await socket.send_str(json.dumps({"type": "start_request", "insightTypes": ["action_item"]}))
    while (await socket.receive_json())["message"]["type"] != "recognition_started":
        pass
    return socket


def last_sound(frame: dict[str, Any]) -> float:
    end = frame["payload"]["raw"]["alternatives"][0]["words"][-1]["endTime"]
    return int(end["seconds"]) + int(end["nanos"]) / 1e9


async def caption(server: LocalServer, rounds: int, speed: float) -> Outcome:
    """Speak the recordings, with pauses, and read the captions."""
    audio, spoken = b"", []
    for name in list(SAID) * rounds:
        start = len(audio) / RATE / 2
        audio += decode(name)
        spoken.append((start, len(audio) / RATE / 2))
        audio += bytes(int(PAUSE * RATE) * 2)
    outcome = Outcome()
    async with aiohttp.ClientSession() as session:
        socket = await open_stream(server, session, f"captions-{speed}")
        began = time.monotonic()
        shown = 0.0

        async def speak() -> None:
            for at in range(0, len(audio), FRAME):
                await socket.send_bytes(audio[at : at + FRAME])
                due = began + (at + FRAME) / RATE / 2 / speed
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await socket.send_str('{"type": "stop_request"}')

        async def sample() -> None:
            while True:
                await asyncio.sleep(0.05)
                now = (time.monotonic() - began) * speed
                # The first words need a moment to become words at all.
                if any(start + 1.0 <= now <= end for start, end in spoken):
                    outcome.ages.append((now - shown) / speed)

        speaking, sampling = asyncio.create_task(speak()), asyncio.create_task(sample())
        async for message in socket:
            frame = message.json()
            if frame["type"] == "message_response":
                for item in frame["messages"]:
                    outcome.words += words(item["payload"]["content"])
            inner = frame.get("message", {})
            if inner.get("type") == "conversation_completed":
                break
            if inner.get("type") == "recognition_result" and not inner["isFinal"]:
                end = last_sound(inner)
                outcome.lags.append(time.monotonic() - began - end / speed)
                shown = max(shown, end)
        outcome.seconds = time.monotonic() - began
        sampling.cancel()
        await asyncio.gather(speaking, sampling, return_exceptions=True)
    return outcome


async def hour() -> tuple[int, int, float]:
    """Send an hour of audio; return memory after ten minutes and at the end, and the seconds."""
    lines = [f"Line {n} of an hour: we will talk about the budget of room {n}." for n in range(600)]
    process = psutil.Process()
    async with LocalServer(record_requests=False) as server, aiohttp.ClientSession() as session:
        server.register_transcript(lines, stream="hour")
        socket = await open_stream(server, session, "hour")
        began, heard, first = time.monotonic(), 0, 0

        async def speak() -> None:
            for _ in range(36_000):
                await socket.send_bytes(bytes(FRAME))
            await socket.send_str('{"type": "stop_request"}')

        speaking = asyncio.create_task(speak())
        async for message in socket:
            frame = message.json()
            heard += frame["type"] == "message_response"
            if heard == 100 and not first:
                gc.collect()
                first = process.memory_info().rss
            if frame.get("message", {}).get("type") == "conversation_completed":
                break
        await speaking
        gc.collect()
        assert heard == len(lines), f"{heard} of {len(lines)} lines arrived"
        return first, process.memory_info().rss, time.monotonic() - began


def at(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def main(rounds: int) -> list[str]:
    expected = [word for text in SAID.values() for word in words(text)] * rounds
    faults = []
    async with LocalServer(asr="auto") as server:
        for speed in (1.0, 10.0):
            outcome = await caption(server, rounds, speed)
            errors = word_errors(outcome.words, expected)
            print(f"{speed:g}x: {outcome.seconds:.1f} s, word errors {errors:.1%}", flush=True)
            if errors > MOST_WORD_ERRORS:
                faults.append(f"word errors at {speed:g}x")
            if speed == 1.0:
                for name, values in (("lag", outcome.lags), ("age", outcome.ages)):
                    shares = ", ".join(f"p{s:.0%} {at(values, s):.2f} s" for s in (0.5, 0.95, 1.0))
                    print(f"  {name} of {len(values)}: {shares}".replace("%", ""), flush=True)
                if at(outcome.lags, 0.95) > MOST_LAG:
                    faults.append("lag")
    before, after, seconds = await hour()
    print(f"an hour in {seconds:.0f} s: memory {before / 2**20:.0f} to {after / 2**20:.0f} MiB")
    if after - before > MOST_GROWTH:
        faults.append("memory over an hour")
    return faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.live_captions")
    parser.add_argument("--rounds", type=int, default=3, help="of all recordings")
    broken = asyncio.run(main(parser.parse_args().rounds))
    print("broken: " + ", ".join(broken) if broken else "all bounds hold")
    sys.exit(bool(broken))
