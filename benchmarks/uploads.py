"""Throughput of one large file, beside the kernel, curl and other clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.harness import (
    Answer,
    Figure,
    Question,
    Server,
    Settings,
    Spread,
    alone,
    alternate,
    serving,
)
from benchmarks.recordings import GIB, recordings
from benchmarks.senders import send, send_on_uvloop, senders_found
from benchmarks.sink import serve

Run = dict[str, Any]


def measure(
    names: list[str], path: str, gib: float, rounds: int, pem: str | None = None
) -> dict[str, list[Run]]:
    """Run the senders in turns with one file; each turn also returns the CPU of the sink."""
    with serving(serve, certificate=pem) as server:

        def turn(name: str) -> Callable[[], Run]:
            return lambda: _send(server, name, path, gib, pem)

        return alternate({name: turn(name) for name in names}, rounds)


def _send(server: Server, name: str, path: str, gib: float, pem: str | None) -> Run:
    used = server.cpu()
    where: Run = {"port": server.announced, "paths": [path], "certificate": pem}
    if name == "symbl-aio on uvloop":
        value = alone(send_on_uvloop, **where).value
    else:
        value = alone(send, sender=name, **where).value
    seconds = value["seconds"]
    return {
        "rate": gib / seconds,
        "cpu": value["cpu"] / gib,
        "sink_busy": (server.cpu() - used) / seconds,
    }


def ask(settings: Settings) -> Answer:
    gib, rounds = settings.pick(1.0, 0.5), settings.pick(7, 2)
    found, skipped = senders_found()
    names = ["sendfile", "ceiling", *found]
    with recordings(int(gib * GIB)) as (path,):
        runs = measure(names, path, gib, rounds)
    found["sendfile"] = "socket.sendfile of Python"
    figures = [
        ratio("sendfile", runs, at_least=0.9),
        ratio("curl -T", runs, at_least=1.1),
        cpu_ratio("curl -T", runs, at_most=1.0),
        ratio("httpx", runs, at_least=3.0),
    ]
    return answer(figures, runs, found, skipped)


def ratio(name: str, runs: Mapping[str, list[Run]], **bar: float) -> Figure | None:
    """Return the ratio of our throughput to that of a sender, or ``None`` if it did not run."""
    if name not in runs:
        return None
    rates = [[run["rate"] for run in runs[who]] for who in ("symbl-aio", name)]
    spread = Spread.of_ratios(*rates)
    return Figure.spread(f"vs_{key_of(name)}", f"throughput against {name}", spread, "×", **bar)


def cpu_ratio(name: str, runs: Mapping[str, list[Run]], **bar: float) -> Figure | None:
    """Return the ratio of our CPU a GiB to that of a sender, or ``None`` if it did not run."""
    if name not in runs:
        return None
    spread = Spread.of_ratios(*([run["cpu"] for run in runs[who]] for who in ("symbl-aio", name)))
    return Figure.spread(f"cpu_vs_{key_of(name)}", f"CPU against {name}", spread, "×", **bar)


def answer(
    barred: Sequence[Figure | None],
    runs: Mapping[str, list[Run]],
    found: dict[str, str],
    skipped: dict[str, str],
) -> Answer:
    """Add the ratios without a bar, the rates and the CPU; leave out missing measurements."""
    figures = [figure for figure in barred if figure is not None]
    known = {figure.key for figure in figures}
    others = [ratio(name, runs) for name in runs if name != "symbl-aio"]
    figures += [figure for figure in others if figure and figure.key not in known]
    for name, each in runs.items():
        key = key_of(name)
        figures += [
            Figure.spread(f"rate_{key}", f"{name}: throughput",
                          Spread.of([run["rate"] for run in each]), "GiB/s"),
            Figure.spread(f"cpu_{key}", f"{name}: CPU a GiB",
                          Spread.of([run["cpu"] for run in each]), "s"),
        ]  # fmt: skip
    busy = Spread.of([run["sink_busy"] for run in runs["symbl-aio"]])
    figures.append(Figure.spread("sink_busy", "sink busy while symbl-aio sends", busy))
    return Answer(tuple(figures), found, skipped, {"runs": runs})


def key_of(name: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in name).split())


def draw_rates(axes: Any, data: Mapping[str, Any], title: str) -> None:
    """Draw the median of each sender, the slowest at the bottom."""
    rates = {
        name: median(run["rate"] for run in runs)
        for name, runs in data["runs"].items()
        if name != "ceiling"
    }
    names = sorted(rates, key=lambda name: rates[name])
    bars = axes.barh(names, [rates[name] for name in names], color=[colour(n) for n in names])
    axes.bar_label(bars, [f" {rates[name]:.2f}" for name in names])
    top = median(run["rate"] for run in data["runs"]["ceiling"])
    axes.axvline(top, color="#c0392b", linestyle="--")
    axes.text(top, 0, " one hot buffer", color="#c0392b", va="center", fontsize=9)
    axes.set_xlim(0, max(top, *rates.values()) * 1.2)
    axes.set_xlabel("GiB a second")
    axes.set_title(title)
    axes.grid(axis="y", visible=False)


def colour(name: str) -> str:
    """Return the colour of a bar: ours blue, the references dark, other clients grey."""
    if name.startswith("symbl-aio"):
        return "#2a6fdb"
    return "#5b6673" if name in ("sendfile", "curl -T") else "#b4bcc6"


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    draw_rates(axes, data, "One large file on loopback")


QUESTION = Question(
    "uploads",
    "Upload of one large file: throughput and CPU",
    "A sparse mp4 of 1 GiB in the page cache goes to a raw socket sink that receives into one "
    "buffer and discards. `socket.sendfile` and `curl -T` are references, not hard limits. "
    "`ceiling` sends one hot buffer of 256 KiB again and again, which shows the limit of the sink; "
    "`sink busy` is the sink's CPU a second while symbl-aio sends. The seconds do not hold "
    "imports and the opening of clients, the CPU is of the sending process alone. symbl-rest "
    "and requests run in a thread; speechmatics-batch talks to a stub of its own API.\n\n"
    "symbl-aio sends all but the first and the last chunk with `os.sendfile`, in a thread and not "
    "with `loop.sendfile`: that one stops reading from the connection, so that an early answer "
    "would not be seen, and it blocks the event loop while a disk is slow. How the throughput of "
    "both compares depends on the machine; the CPU hardly does.",
    ask,
    draw,
)
