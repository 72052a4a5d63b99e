"""The harness of all questions: separate processes, turns, medians, figures.

A question is one module with a ``QUESTION``. Contenders take turns (A B A B …) within one
run, so that a machine that slows down slows all of them. The result is the ratio of neighbouring
measurements: the median counts, the lowest and the highest are shown.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import psutil
from attrs import field, frozen

T = TypeVar("T")

ROOT: Final = Path(__file__).resolve().parent.parent


@frozen
class Settings:
    """The size of a run: full, or quick, which only checks that everything runs."""

    quick: bool = False

    def pick(self, full: T, quick: T) -> T:
        return quick if self.quick else full


@frozen
class Spread:
    """The median of some measurements, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, ours: Sequence[float], theirs: Sequence[float]) -> Self:
        """Compare each measurement with the one taken in the same turn."""
        return cls.of([a / b for a, b in zip(ours, theirs, strict=True)])


@frozen
class Figure:
    """One row of the table. ``key`` names it in ``bounds.json``; without a bar it only informs."""

    key: str
    label: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    @classmethod
    def spread(cls, key: str, label: str, spread: Spread, unit: str = "", **bar: float) -> Self:
        return cls(key, label, spread.median, unit, spread.low, spread.high, **bar)

    @property
    def bar(self) -> str:
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}"

    @property
    def verdict(self) -> str:
        if self.at_least is None and self.at_most is None:
            return ""
        low = float("-inf") if self.at_least is None else self.at_least
        high = float("inf") if self.at_most is None else self.at_most
        return "ok" if low <= self.value <= high else "MISSED"


@frozen
class Answer:
    """The result of a question.

    ``contenders``: name and version of each that ran; ``skipped``: name and reason.
    ``data``: JSON values for the plot.
    """

    figures: tuple[Figure, ...]
    contenders: Mapping[str, str] = field(factory=dict)
    skipped: Mapping[str, str] = field(factory=dict)
    data: Mapping[str, Any] = field(factory=dict)


@frozen
class Question:
    """One measurement. ``about`` describes it for readers; ``draw`` plots its data on axes."""

    name: str
    title: str
    about: str
    ask: Callable[[Settings], Answer]
    draw: Callable[[Any, Mapping[str, Any]], None] | None = None


def installed(package: str) -> str | None:
    """Return the version of an installed package, or ``None``."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def field_of(wanted: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the contenders whose package is installed, and the others with the reason."""
    found: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name, package in wanted.items():
        if (known := installed(package)) is not None:
            found[name] = f"{package} {known}"
        else:
            skipped[name] = f"{package} is not installed"
    return found, skipped


def alternate(contenders: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run the contenders in turns; return the measurements of each, in order."""
    measured: dict[str, list[T]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            measured[name].append(measure())
    return measured


@frozen
class Alone:
    """The result of a process, and its cost from start to end.

    ``cpu``: seconds, user and system. ``peak``: bytes of resident memory.
    """

    value: Any
    cpu: float
    peak: int


def alone(
    target: Callable[..., Any],
    /,
    *,
    timeout: float = 120.0,
    prefix: Sequence[str] = (),
    **arguments: Any,
) -> Alone:
    """Call a module-level function in a fresh interpreter; arguments and result are JSON.

    The function may be a coroutine function. ``prefix``: a command that runs the interpreter.
    """
    with _child("call", target, arguments, prefix) as child:
        assert child.stdout is not None
        try:
            out, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{target.__qualname__} took more than {timeout:g} s") from None
    if child.returncode:
        raise RuntimeError(f"{target.__module__}.{target.__qualname__} failed; see above")
    value, cpu, peak = json.loads(out)
    return Alone(value, cpu, peak)


@frozen
class Server:
    """A server in a process of its own. ``announced``: its first message, such as its port."""

    announced: Any
    pid: int

    def cpu(self) -> float:
        """Return the CPU seconds of the process so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


def keep_on_one_core(pid: int | None = None) -> None:
    """Keep a process, by default this one, on the first core, where the system can do that."""
    process = psutil.Process(pid)
    if hasattr(process, "cpu_affinity"):  # not on macOS
        process.cpu_affinity(process.cpu_affinity()[:1])


@contextmanager
def serving(target: Callable[..., Any], /, **arguments: Any) -> Iterator[Server]:
    """Run ``async target(announce, **arguments)`` beside the block, and end it afterwards."""
    with _child("serve", target, arguments) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"{target.__module__}.{target.__qualname__} did not start")
        yield Server(json.loads(line), child.pid)


@contextmanager
def _child(
    how: str,
    target: Callable[..., Any],
    arguments: Mapping[str, Any],
    prefix: Sequence[str] = (),
) -> Iterator[subprocess.Popen[str]]:
    place = f"{target.__module__}:{target.__qualname__}"
    child = subprocess.Popen(
        [*prefix, sys.executable, "-m", "benchmarks.child", how, place, json.dumps(arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # Proxies do not apply: all traffic is on loopback.
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            pipe.close()
