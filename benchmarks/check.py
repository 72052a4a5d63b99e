"""Compare figures with generous bounds, to detect large regressions: ``make bench-check``.

    python -m benchmarks.check [RESULTS]

``bounds.json`` holds, by question and figure, ``[least, most]``; ``null`` leaves a side
open. A bound on a figure that is missing from the results is a failure too, unless the
question ran and skipped a contender by name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import benchmarks.report as report
from benchmarks.harness import ROOT


def check(results: Mapping[str, Any], bounds: Mapping[str, Any]) -> list[str]:
    """Return a line for each figure outside of its bounds."""
    broken = []
    for name, wanted in bounds.items():
        result = results["questions"].get(name)
        if result is None:
            broken.append(f"{name}: not asked")
            continue
        found = {figure.key: figure for figure in report.figures(result)}
        for key, (least, most) in wanted.items():
            figure = found.get(key)
            if figure is None:
                if not result["skipped"]:
                    broken.append(f"{name}.{key}: no such figure")
            elif not (
                (least is None or figure.value >= least) and (most is None or figure.value <= most)
            ):
                broken.append(
                    f"{name}.{key} is {figure.value:.3g} {figure.unit}, "
                    f"outside of [{least}, {most}]: {figure.label}"
                )
    return broken


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "bench" / "results.json"
    bounds = json.loads((ROOT / "benchmarks" / "bounds.json").read_text())
    broken = check(json.loads(path.read_text()), bounds)
    print("\n".join(broken) or f"all {sum(map(len, bounds.values()))} bounds are kept")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
