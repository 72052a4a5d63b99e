"""Counters of the server, and their text in the OpenMetrics format."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from attrs import frozen

from symbl_aio.server.job import Job, Status

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_PREFIX = "symbl_aio_"

# Statuses of refusals: of a wrong token, a limit, or a lack of space.
_REFUSALS = frozenset({401, 408, 411, 413, 415, 421, 429, 503})


@frozen
class Gauge:
    """A value that is read when the metrics are."""

    name: str
    help: str
    read: Callable[[], float]


class Metrics:
    """Counts requests and jobs. ``gauges`` are read with each scrape."""

    def __init__(self) -> None:
        self.gauges: list[Gauge] = []
        self._responses: dict[int, int] = {}
        self._running: set[str] = set()
        self._ended: dict[Status, int] = {}
        # The oldest first.
        self._scheduled_at: dict[str, float] = {}
        self._heard = 0.0
        self._busy = 0.0

    def count_response(self, status: int | None) -> None:
        """Count a response; None: the connection was dropped."""
        self._responses[status or 0] = self._responses.get(status or 0, 0) + 1

    def count_job(self, job: Job) -> None:
        """Count the status that a job has now."""
        match job.status:
            case Status.SCHEDULED:
                self._scheduled_at[job.id] = time.monotonic()
            case Status.IN_PROGRESS:
                self._scheduled_at.pop(job.id, None)
                self._running.add(job.id)
            case ended:
                self._running.discard(job.id)
                self._ended[ended] = self._ended.get(ended, 0) + 1

    def count_speech(self, heard: float, busy: float) -> None:
        """Count the seconds of a recording, and those that recognising it took."""
        self._heard += heard
        self._busy += busy

    @property
    def queue_age(self) -> float:
        """Seconds that the oldest job without a start has waited."""
        oldest = next(iter(self._scheduled_at.values()), None)
        return 0.0 if oldest is None else time.monotonic() - oldest

    def text(self) -> str:
        """Return all metrics as OpenMetrics text."""
        return "".join(f"{line}\n" for line in [*self._lines(), "# EOF"])

    def _lines(self) -> Iterator[str]:
        scheduled, running = len(self._scheduled_at), len(self._running)
        states = {Status.SCHEDULED.value: scheduled, Status.IN_PROGRESS.value: running}
        yield from _family("jobs", "gauge", "Unfinished jobs.", "state", states)
        ended = {s.value: self._ended.get(s, 0) for s in (Status.COMPLETED, Status.FAILED)}
        yield from _family("jobs_ended", "counter", "Ended jobs.", "state", ended)
        yield from _single("queue_age_seconds", "gauge", "Age of the oldest job.", self.queue_age)
        responses = {str(status): n for status, n in sorted(self._responses.items()) if status}
        yield from _family("responses", "counter", "Responses.", "status", responses)
        refused = {str(status): self._responses.get(status, 0) for status in sorted(_REFUSALS)}
        yield from _family("refused", "counter", "Refused requests.", "status", refused)
        yield from _single("dropped", "counter", "Dropped requests.", self._responses.get(0, 0))
        yield from _single("heard_seconds", "counter", "Recognised sound.", self._heard)
        yield from _single("recognition_seconds", "counter", "Time for it.", self._busy)
        for gauge in self.gauges:
            # The others are wanted most while a disk fails.
            with contextlib.suppress(OSError):
                yield from _single(gauge.name, "gauge", gauge.help, gauge.read())
        yield from _process()


def _process() -> Iterator[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    memory = _resident_memory(usage)
    yield from _single("process_cpu_seconds", "counter", "CPU.", usage.ru_utime + usage.ru_stime)
    yield from _single("process_resident_memory_bytes", "gauge", "Memory.", memory)
    descriptors = Path("/proc/self/fd")
    if descriptors.is_dir():
        count = len(os.listdir(descriptors))
        yield from _single("process_open_fds", "gauge", "Open descriptors.", count)


def _resident_memory(usage: resource.struct_rusage) -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux: the greatest size until now
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return pages * resource.getpagesize()


def _family(
    name: str, kind: str, text: str, label: str, values: Mapping[str, float]
) -> Iterator[str]:
    yield from _head(name, kind, text)
    for value, number in values.items():
        yield f'{_sample(name, kind)}{{{label}="{value}"}} {number:g}'


def _single(name: str, kind: str, text: str, value: float) -> Iterator[str]:
    yield from _head(name, kind, text)
    yield f"{_sample(name, kind)} {value:.15g}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    full = _full(name)
    yield f"# TYPE {full} {kind}"
    yield f"# HELP {full} {text}"


def _sample(name: str, kind: str) -> str:
    return _full(name) + ("_total" if kind == "counter" else "")


def _full(name: str) -> str:
    # Those of the process have the names that every exporter uses.
    return name if name.startswith("process_") else _PREFIX + name
