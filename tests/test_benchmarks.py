import json

import pytest

from benchmarks.check import check
from benchmarks.harness import ROOT, Figure, Spread, alone
from benchmarks.registry import MODULES
from benchmarks.tracking import slope
from tests.tables import table


def results(*figures: Figure, skipped: bool = False) -> dict[str, object]:
    rows = [
        {name: getattr(figure, name) for name in ("key", "label", "value")} for figure in figures
    ]
    asked = {"figures": rows, "skipped": {"other": "not installed"} if skipped else {}}
    return {"questions": {"uploads": asked}}


@table("value, kept", [(0.9, True), (1, True), (2.01, False), (0.49, False)])
def test_a_figure_outside_of_its_bounds_is_named(value, kept):
    broken = check(results(Figure("ratio", "ours", value)), {"uploads": {"ratio": [0.5, 2]}})

    assert (broken == []) is kept
    assert all("uploads.ratio" in line for line in broken)


def test_an_open_side_bounds_nothing():
    found = results(Figure("ratio", "ours", 1e9))

    assert check(found, {"uploads": {"ratio": [0.5, None]}}) == []


def test_a_figure_that_is_missing_is_named_unless_a_contender_was():
    bounds = {"uploads": {"ratio": [0.5, None]}}

    assert check(results(), bounds) == ["uploads.ratio: no such figure"]
    assert check(results(skipped=True), bounds) == []
    assert check({"questions": {}}, bounds) == ["uploads: not asked"]


def test_every_bound_is_of_a_question_that_is_asked():
    bounds = json.loads((ROOT / "benchmarks" / "bounds.json").read_text())

    assert bounds.keys() <= set(MODULES)


def test_a_ratio_is_that_of_neighbours():
    # A machine that halves its speed in the second turn changes nothing.
    assert Spread.of_ratios([10, 5, 12], [5, 2.5, 4]) == Spread(2, 2, 3)


def test_a_bar_that_is_reached_exactly_is_reached():
    assert Figure("x", "x", 0.9, at_least=0.9).verdict == "ok"
    assert Figure("x", "x", 17.0, at_most=16.0).verdict == "MISSED"
    assert Figure("x", "x", 1.0).verdict == ""


def test_the_power_of_a_cost_is_found():
    assert slope([10, 100, 1000], [3 * n**1.5 for n in (10, 100, 1000)]) == pytest.approx(1.5)


def test_what_runs_alone_gives_its_result_and_its_cost():
    run = alone(slope, sizes=[1, 10], costs=[2, 200])

    assert run.value == pytest.approx(2)
    assert run.cpu > 0
    assert run.peak > 2**20
