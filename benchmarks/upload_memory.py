"""Memory of an upload, and its growth with the size of the file."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.harness import Answer, Figure, Question, Settings, alone, alternate, serving
from benchmarks.recordings import GIB, MIB, recordings
from benchmarks.senders import send, senders_found
from benchmarks.sink import serve
from benchmarks.uploads import colour, key_of


def ask(settings: Settings) -> Answer:
    sizes, rounds = settings.pick([1, 2, 4], [1, 2]), settings.pick(3, 1)
    found, skipped = senders_found()
    for name in ("curl -T", "symbl-aio on uvloop"):  # a program in C; and the same code
        found.pop(name, None)
        skipped.pop(name, None)

    with (
        serving(serve) as server,
        recordings(512 * MIB, *(size * GIB for size in sizes), read=False) as (half, *large),
    ):

        def peak(name: str, path: str, count: int) -> float:
            # The same file several times: only the memory of the sender counts.
            value = alone(send, sender=name, port=server.announced, paths=[path] * count).value
            return float(value["extra"]) / MIB

        growth = {
            str(count): alternate(
                {str(size): lambda p=path, n=count: peak("symbl-aio", p, n)  # type: ignore[misc]
                 for size, path in zip(sizes, large, strict=True)},
                rounds,
            )
            for count in (1, 4)
        }  # fmt: skip
        beside = alternate(
            {name: lambda n=name: peak(n, half, 1) for name in found},  # type: ignore[misc]
            min(rounds, 2),
        )

    largest = str(sizes[-1])
    one, four = (max(growth[count][largest]) for count in ("1", "4"))
    figures = [
        Figure("one", f"one file of {largest} GiB, peak", one, "MiB", at_most=16),
        Figure("four", f"four of {largest} GiB at once, peak", four, "MiB", at_most=18),
        *(Figure(f"{count}x{size}", f"{count} of {size} GiB", median(values), "MiB",
                 min(values), max(values))
          for count, by_size in growth.items() for size, values in by_size.items()),
        *(Figure(f"beside_{key_of(name)}", f"{name}: one of 512 MiB", median(values), "MiB",
                 min(values), max(values))
          for name, values in beside.items()),
    ]  # fmt: skip
    return Answer(tuple(figures), found, skipped, {"growth": growth, "beside": beside})


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    peaks = {name: max(values) for name, values in data["beside"].items()}
    names = sorted(peaks, key=lambda name: -peaks[name])
    bars = axes.barh(names, [peaks[name] for name in names], color=[colour(n) for n in names])
    axes.bar_label(bars, [f" {peaks[name]:,.3g} MiB" for name in names])
    axes.set_xscale("log")
    axes.set_xlim(0.01, max(peaks.values()) * 8)
    axes.axvline(512, color="#c0392b", linestyle="--")
    axes.text(512, len(names) - 0.55, " size of the file", color="#c0392b", fontsize=9)
    axes.set_xlabel("peak of extra memory while one file of 512 MiB is sent (log scale)")
    sizes = data["growth"]["1"]
    shown = ", ".join(f"{max(values):.0f} at {size} GiB" for size, values in sizes.items())
    axes.set_title(f"Memory of an upload (symbl-aio, MiB: {shown})")
    axes.grid(axis="y", visible=False)


QUESTION = Question(
    "upload_memory",
    "Memory of uploads",
    "Each sender runs in a process of its own, which has sent one small file before. The figure "
    "is the peak of its resident memory (`VmHWM`, not a sample) while it sends, less the resident "
    "memory before. The figures with a bar are the worst of the rounds. Four at once send the "
    "same sparse file.",
    ask,
    draw,
)
