"""The report: a table, ``results.json``, ``README.md`` and a plot for each question."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import psutil

from benchmarks.harness import Answer, Figure, Question, Settings, installed

_OURS = ("symbl-aio", "aiohttp", "aiofiles", "attrs", "cattrs")
# Text stays text in the SVG, and equal data produce equal files.
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "symbl-aio",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.axisbelow": True,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
_HEAD = """# Benchmarks

Written by `make bench`; every figure, with the data of the plots, is in `results.json`.

Contenders take turns within one run and each is used as its own documentation recommends.
A ratio is the median of the ratios of neighbouring turns, with the lowest and the highest in
brackets. All servers are stubs on the same machine, in processes of their own, so the network
costs nothing and only the work of the clients remains. A rate still depends on the machine, so
small jobs are judged by a ratio of rates and by a count as well: the instructions of the client's
process (callgrind), which are the same on a busy machine. `make bench-check` repeats a short run
and compares it with the generous bounds in `bounds.json`.
"""


def load(folder: Path) -> dict[str, Any]:
    """Return earlier results, so that one question can run again."""
    try:
        found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    except FileNotFoundError:
        return {"questions": {}}
    return found


def keep(
    results: dict[str, Any], question: Question, answer: Answer, settings: Settings, seconds: float
) -> None:
    """Record an answer, with the machine and the versions."""
    results["questions"][question.name] = {
        "title": question.title,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "quick": settings.quick,
        "seconds": round(seconds, 1),
        "machine": _machine(),
        "python": platform.python_version(),
        "versions": {name: installed(name) for name in _OURS},
        "figures": [
            {**attrs.asdict(figure), "verdict": figure.verdict} for figure in answer.figures
        ],
        "contenders": dict(answer.contenders),
        "skipped": dict(answer.skipped),
        "data": dict(answer.data),
    }


def figures(result: Mapping[str, Any]) -> list[Figure]:
    """Return the figures of a recorded answer."""
    return [
        Figure(**{name: value for name, value in row.items() if name != "verdict"})
        for row in result["figures"]
    ]


def save(
    folder: Path, results: dict[str, Any], questions: Sequence[Question], asked: Question
) -> None:
    """Write everything anew, and the plot of the question that was asked."""
    folder.mkdir(parents=True, exist_ok=True)
    order = [question.name for question in questions]
    kept = results["questions"]
    results["questions"] = {name: kept[name] for name in order if name in kept}
    text = json.dumps(_rounded(results), indent=1, ensure_ascii=False)
    (folder / "results.json").write_text(text + "\n")
    data = kept[asked.name]["data"]  # empty if the question could not be asked here
    if asked.draw is not None and data and installed("matplotlib") is not None:
        _draw(asked.draw, data, folder / f"{asked.name}.svg")
    (folder / "README.md").write_text(_readme(folder, results, questions))


def table(results: Mapping[str, Any], names: Sequence[str], *, whole: bool) -> str:
    """Return the table as text for a terminal: all figures, or those with a bar or the first."""
    rows = [("question", "figure", "value", "bar", "verdict", "contenders")]
    for name in names:
        if (result := results["questions"].get(name)) is None:
            continue
        beside = _contenders(result)
        for number, figure in enumerate(_shown(result, whole=whole)):
            what, whom = (name, beside) if number == 0 else ("", "")
            rows.append((what, figure.label, _value(figure), figure.bar, figure.verdict, whom))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(
            [*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[5]]
        ).rstrip()
        for row in rows
    )


def _shown(result: Mapping[str, Any], *, whole: bool) -> list[Figure]:
    found = figures(result)
    return found if whole else [figure for figure in found if figure.bar] or found[:1]


def _contenders(result: Mapping[str, Any]) -> str:
    ran = [f"{name} ({what})" for name, what in result["contenders"].items()]
    skipped = [f"SKIPPED {name}: {why}" for name, why in result["skipped"].items()]
    return "; ".join(ran + skipped)


def _value(figure: Figure) -> str:
    text = f"{_number(figure.value)} {figure.unit}".strip()
    if figure.low is not None and figure.high is not None:
        text += f" [{_number(figure.low)}–{_number(figure.high)}]"
    return text


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _rounded(value: Any) -> Any:
    """Round to five digits, so that two runs can be compared by eye."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _machine() -> dict[str, Any]:
    """Return a description of the machine, without its name."""
    cores = (
        os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    )
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(cores),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _draw(draw: Callable[[Any, Mapping[str, Any]], None], data: Any, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update(STYLE)
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    draw(axes, data)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _readme(folder: Path, results: Mapping[str, Any], questions: Sequence[Question]) -> str:
    parts = [_HEAD]
    parts.append("| Question | Figure | Value | Bar | Verdict |\n| --- | --- | --- | --- | --- |")
    asked = [question for question in questions if question.name in results["questions"]]
    for question in asked:
        for number, figure in enumerate(_shown(results["questions"][question.name], whole=False)):
            link = f"[{question.title}](#{question.name})" if number == 0 else ""
            cells = (link, figure.label, _value(figure), figure.bar, figure.verdict)
            parts[-1] += "\n| " + " | ".join(cells) + " |"
    for question in asked:
        result = results["questions"][question.name]
        # An anchor of its own, so that links survive a change of the title.
        parts.append(f'<a id="{question.name}"></a>\n## {question.title}')
        if (folder / f"{question.name}.svg").exists():
            parts.append(f"![{question.title}]({question.name}.svg)")
        parts.append(question.about)
        rows = "".join(
            f"\n| {figure.label} | {_value(figure)} | {figure.bar} |" for figure in figures(result)
        )
        parts.append(f"| Figure | Value | Bar |\n| --- | --- | --- |{rows}")
        if result["contenders"] or result["skipped"]:
            parts.append(f"Contenders: {_contenders(result)}.")
        machine = result["machine"]
        parts.append(
            f"<sub>{result['date'][:10]}{' (quick)' if result['quick'] else ''}, "
            f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
            f"{machine['system']}, Python {result['python']}, "
            + ", ".join(f"{name} {known}" for name, known in result["versions"].items())
            + f"; took {result['seconds']:.0f} s</sub>"
        )
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"
