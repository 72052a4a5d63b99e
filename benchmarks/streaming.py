"""Live audio: frames a second, the delay of the event loop, and CPU for a minute of a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from time import perf_counter, process_time
from typing import Any, Final

from benchmarks.harness import (
    Answer,
    Figure,
    Question,
    Server,
    Settings,
    Spread,
    alone,
    alternate,
    field_of,
    keep_on_one_core,
    serving,
)
from benchmarks.instructions import counted, mark, missing
from benchmarks.live_stub import serve
from benchmarks.senders import late, resident
from benchmarks.upload_delay import percentile

FRAMES: Final = {"20 ms": 640, "100 ms": 3200, "8,192 bytes": 8192}
"""Bytes of a frame, at 16 kHz and 16 bits."""
WARM_UP: Final = 100
COUNTED: Final = 2000
"""Frames by which the two stretches differ whose instructions are counted."""


async def ours(port: int, size: int, count: int) -> dict[str, float]:
    """Send frames by a stream of the client."""
    from symbl_aio import AccessToken, Config, SymblClient

    config = Config(base_url=f"http://127.0.0.1:{port}")
    async with (
        SymblClient(AccessToken("t" * 32), config=config) as symbl,
        symbl.stream() as stream,
    ):
        return await _measured(stream.send, stream.stop, size, count)


async def bare(port: int, size: int, count: int) -> dict[str, float]:
    """Send the same frames as in aiohttp's documentation, with the same requests around them."""
    import aiohttp

    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}/v1/streaming/1"
        async with session.ws_connect(url) as websocket:

            async def stop() -> None:
                await websocket.send_json({"type": "stop_request"})
                while "conversation_completed" not in (await websocket.receive_str()):
                    pass

            await websocket.send_json({"type": "start_request"})
            while "started_listening" not in (await websocket.receive_str()):
                pass
            return await _measured(websocket.send_bytes, stop, size, count)


async def _measured(
    send: Callable[[bytes], Awaitable[object]],
    stop: Callable[[], Awaitable[object]],
    size: int,
    count: int,
) -> dict[str, float]:
    frame = bytes(size)
    for warm_up in (WARM_UP, WARM_UP + COUNTED):
        mark()
        for _ in range(warm_up):
            await send(frame)
    mark()
    began, cpu = perf_counter(), process_time()
    for _ in range(count):
        await send(frame)
    await stop()
    return {"seconds": perf_counter() - began, "cpu": process_time() - cpu}


def instructions(port: int, size: int) -> dict[str, float]:
    """Count the instructions of one frame for each contender."""
    counts = {
        one: counted(sent, contender=one, port=port, size=size, count=1) for one in ("ours", "bare")
    }
    return {one: (many - few) / COUNTED for one, (few, many, *_) in counts.items()}


def sent(contender: str, port: int, size: int, count: int) -> dict[str, float]:
    keep_on_one_core()
    send = {"ours": ours, "bare": bare}[contender]
    return asyncio.run(send(port, size, count))


async def paced(contender: str, port: int, streams: int, seconds: float) -> dict[str, Any]:
    """Run streams at the speed of speech, in frames of 20 ms, and read their events.

    Returns the CPU seconds of one stream-minute, the number of events, and the delays of a timer
    beside them.
    """
    speak = {"ours": _speak, "bare": _speak_bare}[contender]
    delays: list[float] = []
    watch = asyncio.create_task(late(delays))
    async with AsyncExitStack() as opened:
        begin = await speak(port, opened)
        cpu = process_time()
        events = await asyncio.gather(*(begin(seconds) for _ in range(streams)))
        cpu = process_time() - cpu
    watch.cancel()
    return {"cpu": cpu / (streams * seconds / 60), "events": sum(events), "delays": delays}


async def _frames(send: Callable[[bytes], Awaitable[object]], seconds: float) -> None:
    clock = asyncio.get_running_loop().time
    began, frame = clock(), bytes(640)
    for index in range(int(seconds / 0.02)):
        await send(frame)
        await asyncio.sleep(began + (index + 1) * 0.02 - clock())


async def _speak(port: int, opened: AsyncExitStack) -> Callable[[float], Awaitable[int]]:
    from symbl_aio import AccessToken, Config, Recognition, SymblClient

    config = Config(base_url=f"http://127.0.0.1:{port}")
    symbl = await opened.enter_async_context(SymblClient(AccessToken("t" * 32), config=config))

    async def one(seconds: float) -> int:
        async with symbl.stream() as stream:
            speaking = asyncio.create_task(_then(_frames(stream.send, seconds), stream.stop))
            count = 0
            async for event in stream:
                count += isinstance(event, Recognition)
            await speaking
            return count

    return one


async def _then(first: Awaitable[object], second: Callable[[], Awaitable[object]]) -> None:
    await first
    await second()


async def _speak_bare(port: int, opened: AsyncExitStack) -> Callable[[float], Awaitable[int]]:
    import aiohttp

    session = await opened.enter_async_context(aiohttp.ClientSession())

    async def one(seconds: float) -> int:
        url = f"http://127.0.0.1:{port}/v1/streaming/1"
        async with session.ws_connect(url) as websocket:
            await websocket.send_json({"type": "start_request"})
            speaking = asyncio.create_task(
                _then(
                    _frames(websocket.send_bytes, seconds),
                    partial(websocket.send_json, {"type": "stop_request"}),
                )
            )
            count = 0
            while True:
                found: str = json.loads(await websocket.receive_str())["message"]["type"]
                count += found == "recognition_result"
                if found == "conversation_completed":
                    await speaking
                    return count

    return one


async def hour(port: int, seconds: int) -> dict[str, float]:
    """Send so much audio as fast as it goes, in frames of 100 ms, and take all events.

    Returns the growth of resident memory after its first tenth, in MiB, and the events.
    """
    from symbl_aio import AccessToken, Config, Recognition, SymblClient

    config = Config(base_url=f"http://127.0.0.1:{port}")
    frame, frames = bytes(3200), seconds * 10
    before = 0

    async with (
        SymblClient(AccessToken("t" * 32), config=config) as symbl,
        symbl.stream() as stream,
    ):

        async def speak() -> None:
            nonlocal before
            for index in range(frames):
                if index == frames // 10:
                    before = resident("VmRSS")
                await stream.send(frame)
                if index % 10 == 0:  # the reader of the events has a turn, as at any other speed
                    await asyncio.sleep(0)
            await stream.stop()

        speaking = asyncio.create_task(speak())
        events = 0
        async for event in stream:
            events += isinstance(event, Recognition)
        await speaking
    return {"mib": (resident("VmRSS") - before) / 2**20, "events": events}


def ask(settings: Settings) -> Answer:
    found, skipped = field_of({"symbl-aio": "symbl-aio", "bare aiohttp": "aiohttp"})
    rounds, count = settings.pick(7, 2), settings.pick(300_000, 50_000)
    streams, seconds = settings.pick(20, 5), settings.pick(15.0, 2.0)
    figures: list[Figure] = []
    with serving(serve) as server:
        keep_on_one_core(server.pid)
        for name, size in FRAMES.items():
            turns = alternate(
                {
                    one: partial(_with_server, server, contender=one, size=size, count=count)
                    for one in ("ours", "bare")
                },
                rounds,
            )
            time, cpu, both = (
                {one: [run[kind] for run in runs] for one, runs in turns.items()}
                for kind in ("seconds", "cpu", "both")
            )
            key = f"{size}"
            rate = Spread.of([count / one for one in time["ours"]])
            figures += [
                Figure.spread(
                    f"rate_ratio_{key}",
                    f"frames of {name}, by the CPU time of both ends: beside bare aiohttp",
                    Spread.of_ratios(both["bare"], both["ours"]),
                    "x",
                    at_least=0.9,
                ),
                *_instructions(server.announced, name, size),
                Figure.spread(f"rate_{key}", f"frames of {name}", rate, "/s"),
                Figure.spread(
                    f"cpu_ratio_{key}",
                    f"frames of {name}: CPU of the sender beside bare aiohttp",
                    Spread.of_ratios(cpu["ours"], cpu["bare"]),
                    "x",
                ),
            ]
    with serving(serve, speaks=True) as server:
        runs = alternate(
            {
                one: partial(
                    alone,
                    paced,
                    contender=one,
                    port=server.announced,
                    streams=streams,
                    seconds=seconds,
                )
                for one in ("ours", "bare")
            },
            settings.pick(3, 1),
        )
        grown = alone(
            hour, timeout=600, port=server.announced, seconds=settings.pick(3600, 300)
        ).value
    minute = {one: Spread.of([run.value["cpu"] for run in done]) for one, done in runs.items()}
    delay = {
        one: percentile([d for run in done for d in run.value["delays"]], 99.9) * 1e3
        for one, done in runs.items()
    }
    at_once = f"{streams} streams at the speed of speech"
    figures += [
        Figure.spread("minute", "CPU of a stream-minute, with its events", minute["ours"], "s"),
        Figure.spread("minute_bare", "the same, bare aiohttp and json", minute["bare"], "s"),
        Figure(
            "hour",
            "memory after an hour of audio, above its first tenth",
            grown["mib"],
            "MiB",
            at_most=4,
        ),
        Figure("delay", f"{at_once}: p99.9 of a timer's lateness", delay["ours"], "ms"),
        Figure("delay_bare", "the same, bare aiohttp and json", delay["bare"], "ms"),
        Figure(
            "delay_above",
            "the former above the latter",
            delay["ours"] - delay["bare"],
            "ms",
            at_most=5,
        ),
    ]
    return Answer(tuple(figures), found, skipped)


def _with_server(server: Server, contender: str, size: int, count: int) -> dict[str, float]:
    """Send frames, and measure the CPU seconds of both ends, too."""
    before = server.cpu()
    run = alone(sent, contender=contender, port=server.announced, size=size, count=count)
    return {**run.value, "both": run.value["cpu"] + server.cpu() - before}


def _instructions(port: int, name: str, size: int) -> list[Figure]:
    if missing():
        return []
    found = instructions(port, size)
    return [
        Figure(
            f"instructions_{size}",
            f"frames of {name}: instructions beside bare aiohttp",
            found["ours"] / found["bare"],
            "x",
        )
    ]


QUESTION = Question(
    name="streaming",
    title="Live audio",
    about=(
        "Frames that one stream sends as fast as it can, from the first one to "
        "`conversation_completed`, beside bare aiohttp, which sends the same frames and "
        "requests and neither decodes events nor accounts for what has arrived. Then many "
        "streams at the speed of speech, in frames of 20 ms, with five recognitions a second "
        "each. The server is a stub in a process of its own. Both share one core, and the CPU "
        "time of both is compared. A rate by the clock measures the scheduler: on two cores a "
        "server that has caught up is woken for each frame, one that is behind takes a quarter of "
        "a MiB at a time, and within five turns of a busy machine the rate of frames of 100 ms was "
        "0.36 to 2.5 times that of bare aiohttp. A frame goes to aiohttp's `send_frame`; by way of "
        "`send_bytes`, a call more, the smallest were at 0.87. The sender's "
        "share grows with the frames: at most two MiB are on their way, so the window of TCP does "
        "not close, and each frame is a segment of its own. Those of bare aiohttp wait in the "
        "kernel and leave as large segments, in the server's time. The system calls are as many "
        "(for 62,200 frames of 100 ms 59,423 sends and 115 polls, here 62,584 and 318). With "
        "real-time priority, where the server runs only while the sender waits, that makes 0.69 to "
        "0.78 times the rate at 100 ms, and 0.82 at 8,192 bytes. A bound of eight MiB would bring "
        "0.94 and 0.86, but a lost connection could take four times as much audio with it. Pings "
        "twice or half as often, or a wait for less room, change 0.82 by 0.02 at most."
    ),
    ask=ask,
)
