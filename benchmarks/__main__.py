"""Run the questions, print one table, keep the figures.

    python -m benchmarks [NAMES] [--quick]

A full run writes ``results.json``, ``README.md`` and the plots beside this file; a quick
one checks that everything runs and writes the same below ``build/bench``. With names, only
those questions run again, and all their figures are printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import benchmarks.report as report
from benchmarks.harness import ROOT, Settings
from benchmarks.registry import questions


def main() -> None:
    known = {question.name: question for question in questions()}
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAMES", help=", ".join(known))
    parser.add_argument("--quick", action="store_true", help="show within minutes that all runs")
    parser.add_argument("--to", type=Path, help="the folder to write to")
    given = parser.parse_args()
    if unknown := set(given.names) - known.keys():
        parser.error(f"no question is called {', '.join(sorted(unknown))}")
    folder = given.to or (ROOT / "build" / "bench" if given.quick else ROOT / "benchmarks")

    results = report.load(folder)
    settings = Settings(quick=given.quick)
    failed = []
    for name in given.names or known:
        print(f"{name}: {known[name].title} …", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            answer = known[name].ask(settings)
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}: {error}")
            continue
        report.keep(results, known[name], answer, settings, time.monotonic() - began)
        report.save(folder, results, list(known.values()), known[name])
    print(report.table(results, list(given.names or known), whole=bool(given.names)))
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
