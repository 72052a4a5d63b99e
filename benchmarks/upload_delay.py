"""Delay of the event loop during four uploads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import Answer, Figure, Question, Settings, alone, serving
from benchmarks.recordings import MIB, recordings
from benchmarks.senders import late, send, senders_found
from benchmarks.sink import serve
from benchmarks.uploads import colour, key_of


def ask(settings: Settings) -> Answer:
    size, wanted, most = 256 * MIB, settings.pick(4000, 500), settings.pick(10, 2)
    found, skipped = senders_found()
    for name in ("curl -T", "symbl-aio on uvloop"):  # without an event loop of asyncio's
        found.pop(name, None)
        skipped.pop(name, None)

    delays: dict[str, list[float]] = {name: [] for name in found}
    idle: dict[str, list[float]] = {name: [] for name in found}
    with serving(serve) as server, recordings(size) as (path,):
        for _ in range(most):
            for name in found:
                if len(delays[name]) >= wanted:
                    continue  # slow senders reach the number of ticks sooner
                with Idle(idle[name]):
                    value = alone(
                        send, sender=name, port=server.announced, paths=[path] * 4, watch=True
                    ).value
                delays[name] += value["delays"]

    worst = {name: percentile(values, 99.9) * 1e3 for name, values in delays.items()}
    alongside = {name: percentile(values, 99.9) * 1e3 for name, values in idle.items()}
    above = {name: worst[name] - alongside[name] for name in worst}
    figures = [
        Figure(
            "above_idle", "p99.9 above an idle loop alongside", above["symbl-aio"], "ms", at_most=20
        ),
        Figure("idle", "p99.9 of that idle loop", alongside["symbl-aio"], "ms"),
    ]
    for name, values in delays.items():
        figures += [
            Figure(f"p999_{key_of(name)}", f"{name}: p99.9", worst[name], "ms"),
            Figure(f"above_{key_of(name)}", f"{name}: that above idle", above[name], "ms"),
            Figure(f"worst_{key_of(name)}", f"{name}: longest", max(values) * 1e3, "ms"),
        ]
    data = {"above": above, "longest": {n: max(v) * 1e3 for n, v in delays.items()},
            "ticks": {n: len(v) for n, v in delays.items()}}  # fmt: skip
    return Answer(tuple(figures), found, skipped, data)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share / 100 * (len(ordered) - 1)))]


class Idle:
    """An idle event loop in a thread of this process, measured during the block."""

    def __init__(self, delays: list[float]) -> None:
        self._delays = delays
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None]
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self._task = self._loop.create_task(late(self._delays))
        self._loop.run_forever()
        self._loop.close()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        def end() -> None:
            self._task.cancel()
            self._loop.call_soon(self._loop.stop)

        self._loop.call_soon_threadsafe(end)
        self._thread.join()


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    above, longest = data["above"], data["longest"]
    names = sorted(above, key=lambda name: -above[name])
    shown = [max(0.1, above[name]) for name in names]
    bars = axes.barh(names, shown, color=[colour(n) for n in names])
    axes.bar_label(
        bars, [f" {above[name]:,.1f} ms (longest {longest[name]:,.0f})" for name in names]
    )
    axes.set_xscale("log")
    axes.set_xlim(0.1, max(shown) * 30)
    axes.axvline(20, color="#c0392b", linestyle="--")
    axes.text(20, len(names) - 0.5, " bar", color="#c0392b", fontsize=9)
    axes.set_xlabel("p99.9 of a timer's lateness above an idle loop's, in ms (log scale)")
    axes.set_title("Event loop while four files are sent at once")
    axes.grid(axis="y", visible=False)


QUESTION = Question(
    "upload_delay",
    "Event-loop delay during four uploads",
    "A task in the sender's event loop asks to be woken after one millisecond, again and again; "
    "its delay is that of every other task in the program. At the same time an idle loop in "
    "another process does the same, which shows the share of the machine. Four times 256 MiB, "
    "until there are some thousand ticks of each.",
    ask,
    draw,
)
