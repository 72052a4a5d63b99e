"""Tests mirror the source: each larger module has a test at its own path, or is listed here.

``symbl_aio/_core/lanes.py`` is tested by ``tests/core/test_lanes.py``. A module without one is
listed beside the test of a journey, or of its neighbours, that covers it. A folder's entry,
with a slash at its end, is for all modules in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMALL = 60
"""Lines up to which a module needs no test of its own."""

COVERED_BY = {
    "__init__.py": "tests/test_exports.py",
    "_fields.py": "tests/test_config.py",
    "_io/engine.py": "tests/test_client.py",
    "_io/names.py": "tests/test_names_of_files.py",
    "_io/poller.py": "tests/test_job.py",
    "_io/queue.py": "tests/test_ordering.py",
    "_io/reconcile.py": "tests/test_reconcile.py",
    "_io/routes.py": "tests/io/test_proxies.py",
    "_io/sending.py": "tests/test_sent_once.py",
    "_io/uploads.py": "tests/test_client.py",
    "_io/work.py": "tests/test_client.py",
    "_naming.py": "tests/test_reconcile.py",
    "_proxies.py": "tests/io/test_proxies.py",
    "_waiting.py": "tests/test_other_loops.py",
    "account.py": "tests/test_api.py",
    "cli/__init__.py": "tests/cli/test_output.py",
    "cli/bars.py": "tests/cli/test_commands.py",
    "cli/demo.py": "tests/cli/test_commands.py",
    "cli/endings.py": "tests/cli/test_exit_codes.py",
    "cli/follow.py": "tests/cli/test_commands.py",
    "cli/health.py": "tests/cli/test_outbox_actions.py",
    "cli/leftover.py": "tests/cli/test_unfinished.py",
    "cli/operating.py": "tests/cli/test_outbox_actions.py",
    "cli/running.py": "tests/cli/test_commands.py",
    "cli/screen.py": "tests/cli/test_output.py",
    "cli/serve.py": "tests/cli/test_commands.py",
    "cli/show.py": "tests/cli/test_commands.py",
    "cli/work.py": "tests/cli/test_outbox.py",
    "cli/writer.py": "tests/cli/test_output.py",
    "durable/decisions.py": "tests/durable/test_deciding.py",
    "durable/dispatch.py": "tests/durable/test_slots.py",
    "durable/entering.py": "tests/durable/test_handing_in.py",
    "durable/entering_many.py": "tests/durable/test_many.py",
    "durable/entries.py": "tests/durable/test_many.py",
    "durable/faults.py": "tests/durable/test_tables.py",
    "durable/items.py": "tests/durable/test_looking.py",
    "durable/notices.py": "tests/durable/test_watching.py",
    "durable/outbox.py": "tests/durable/test_handing_in.py",
    "durable/proof.py": "tests/durable/test_duty.py",
    "durable/records.py": "tests/durable/test_duty.py",
    "durable/retention.py": "tests/durable/test_liveness.py",
    "durable/schema.py": "tests/durable/test_migration.py",
    "durable/selection.py": "tests/durable/test_deciding_many.py",
    "durable/turns.py": "tests/durable/test_duty.py",
    "events.py": "tests/test_observers.py",
    "models/": "tests/test_models.py",
    "server/app.py": "tests/server/test_local.py",
    "server/asr_worker.py": "tests/server/test_recognition.py",
    "server/conversations/conversation.py": "tests/server/conversations/test_calls.py",
    "server/language/actions.py": "tests/server/language/test_insights.py",
    "server/language/analysis.py": "tests/server/language/test_insights.py",
    "server/language/analytics.py": "tests/server/conversations/test_answers.py",
    "server/language/dates.py": "tests/server/language/test_insights.py",
    "server/language/entities.py": "tests/server/language/test_insights.py",
    "server/language/lexicon.py": "tests/server/language/test_insights.py",
    "server/language/sentences.py": "tests/server/language/test_insights.py",
    "server/management/rules.py": "tests/server/management/test_records.py",
    "server/media/frames.py": "tests/server/media/test_probe.py",
    "server/media/headers.py": "tests/server/media/test_probe.py",
    "server/media/mp4.py": "tests/server/media/test_probe.py",
    "server/parameters.py": "tests/server/test_submissions.py",
    "server/received.py": "tests/server/test_local.py",
    "server/wire.py": "tests/server/test_processing.py",
}


def mirror(module: str) -> str:
    """Return the path of a module's own test, without the underscores of private names.

    A private room inside a part has its tests with the part's: ``durable/_store/reads.py`` is
    tested by ``tests/durable/test_reads.py``.
    """
    *folders, name = Path(module).with_suffix("").parts
    folders = [room for depth, room in enumerate(folders) if not depth or room[0] != "_"]
    return "/".join(
        ["tests", *(f.removeprefix("_") for f in folders), f"test_{name.removeprefix('_')}.py"]
    )


def is_listed(module: str, listed: Mapping[str, str]) -> bool:
    return module in listed or f"{module.partition('/')[0]}/" in listed


def broken(lines: Mapping[str, int], tests: set[str], listed: Mapping[str, str]) -> list[str]:
    """Return how to put the list right. ``lines``: of each module, by its path."""
    found = []
    for module, count in sorted(lines.items()):
        if count > SMALL and mirror(module) not in tests and not is_listed(module, listed):
            found.append(f"{module}: has no {mirror(module)}; write it, or list what covers it")
    for module, test in listed.items():
        if module.endswith("/"):
            if not any(name.startswith(module) for name in lines):
                found.append(f"{module}: does not exist; take it from the list")
        elif module not in lines:
            found.append(f"{module}: does not exist; take it from the list")
        elif mirror(module) in tests:
            found.append(f"{module}: has {mirror(module)}; take it from the list")
        elif lines[module] <= SMALL:
            found.append(f"{module}: has {lines[module]} lines; take it from the list")
        if test not in tests:
            found.append(f"{module}: {test}, which is to cover it, does not exist")
    return found


def test_every_larger_module_has_its_test_or_is_listed():
    source = ROOT / "symbl_aio"
    lines = {
        path.relative_to(source).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in source.rglob("*.py")
    }
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}

    assert len(lines) > 100
    assert "\n".join(broken(lines, tests, COVERED_BY)) == ""


def test_a_module_is_mirrored_without_its_underscores():
    assert mirror("_core/lanes.py") == "tests/core/test_lanes.py"
    assert mirror("_threads.py") == "tests/test_threads.py"
    assert mirror("durable/_store/reads.py") == "tests/durable/test_reads.py"
    assert mirror("contrib/fastapi.py") == "tests/contrib/test_fastapi.py"


def test_what_is_missing_and_what_is_listed_in_vain_is_found():
    lines = {"new.py": 61, "short.py": 60, "_core/lanes.py": 300, "big.py": 90}
    tests = {"tests/core/test_lanes.py", "tests/test_journey.py"}

    assert broken(lines, tests, {"new.py": "tests/test_journey.py"}) == [
        "big.py: has no tests/test_big.py; write it, or list what covers it"
    ]
    vain = ("new.py", "big.py", "short.py", "_core/lanes.py", "gone.py", "gone/")
    reasons = [line.partition(": ")[2] for line in broken(lines, tests, dict.fromkeys(vain, "no"))]
    assert reasons.count("no, which is to cover it, does not exist") == len(vain)
    assert reasons.count("does not exist; take it from the list") == 2
    assert "has 60 lines; take it from the list" in reasons
    assert "has tests/core/test_lanes.py; take it from the list" in reasons
