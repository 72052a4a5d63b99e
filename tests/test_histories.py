"""The whole engine against the local server, in random histories with faults at random.

Whatever happens: nothing twice, nothing out of order, nothing that hangs, and no word to the
caller that is not true.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import event, given, note
from hypothesis import strategies as st

from symbl_aio._core import slots
from tests.histories import Rules, Step, live, outcome
from tests.support import mp4_bytes

WORDS = ["Yes.", "We ship.", "We.", "Ship yes.", "Yes, we ship. We ship."]
"""Few and alike, so that proof by what was said is hard to come by."""

NAMES = [None, "Standup", "Review"]
SUBMISSION_FAULTS = [
    *("accept_then_drop", "drop_before_body", "drop_mid_body", "reset", "half_answer"),
    *("garbage", "no_ids", "not_http", "job_fails", "accept_then_status:502", "slow:0.01"),
    *("status:400", "status:401", "status:403", "status:404", "status:408", "status:425"),
    *("status:429", "status:500", "status:502", "status:503", "early:401", "early:413"),
    *("early:429", "early:500", "retry_after:503:0", "retry_after:429:0"),
    "redirect:http://127.0.0.1:9/",
]
UNANSWERED = [
    *("accept_then_drop", "half_answer", "garbage", "no_ids", "not_http", "accept_then_status:502"),
    *("status:408", "status:500", "status:502", "status:503", "early:500"),
]
POLL_FAULTS = [
    *("unknown_status", "flap", "not_found", "reset", "drop_before_body", "half_answer"),
    *("garbage", "status:401", "status:429", "status:500", "slow:0.01", "retry_after:503:0"),
]
TOKEN_FAULTS = ["drop_before_body", "garbage", "status:401", "status:500", "half_answer"]
HOOK_FAULTS = ["duplicate_webhook", "no_webhook", "early_webhook"]

which = st.integers(0, 7)
what = st.sampled_from(
    [
        *(WORDS * 3),
        *(["small", "large", "file", "stream"] * 2),
        *("missing", "broken stream", "short stream"),
    ]
)
turns = st.sampled_from([1, 5, 10, 20, 40, 100, 200])
drains = st.tuples(st.sampled_from(["uploads", "jobs", "none"]), st.sampled_from([0.01, 0.1]))


def said(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), *arguments)


often = [
    said("open", what, st.sampled_from(NAMES)),
    said("append", which, what, st.sampled_from(["id", "first", "last", "job"])),
    said("append", which, st.sampled_from(WORDS), st.sampled_from(["id", "first", "last", "job"])),
    said("inject", st.sampled_from(SUBMISSION_FAULTS), st.just("PUT"), st.integers(1, 2)),
    said("breathe", turns),
]
sometimes = [
    said("inject", st.sampled_from(SUBMISSION_FAULTS), st.just("POST"), st.integers(1, 2)),
    said("inject", st.sampled_from(POLL_FAULTS), st.just("job"), st.integers(1, 6)),
    said("cancel", which),
    said("watch", which),
    said("refresh", which),
    said("resume", which),
    said("reconcile"),
    said("hold", st.sampled_from(["in_progress", "completed"])),
    said("release", st.none() | st.integers(1, 3)),
    drains.map(lambda d: ("restart", *d)),
]
seldom = [
    said("inject", st.sampled_from(TOKEN_FAULTS), st.just("token"), st.integers(1, 2)),
    said("inject", st.sampled_from(HOOK_FAULTS), st.none(), st.integers(1, 2)),
    said("cancel_await", which),
    said("again", which),
    said("reuse", which, what),
    said("revoke"),
    drains.map(lambda d: ("close", *d)),
    said("cancel_close"),
]
weighted = [*(often * 8), *(sometimes * 2), *seldom]
steps = st.integers(0, len(weighted) - 1).flatmap(lambda n: weighted[n])
ends = said("calm_down") | drains.map(lambda d: ("end", *d))
rules = st.builds(
    Rules,
    job_limit=st.sampled_from([1, 2, 3, 50]),
    jobs=st.sampled_from([None, None, 1, 2, 10]),
    advance_on=st.sampled_from(["completed", "completed", "accepted"]),
    on_failure=st.sampled_from(["continue", "continue", "halt"]),
    wait_for_slot=st.sampled_from([None, None, 0.02]),
    queued=st.sampled_from([1000, 1000, 3]),
    answer=st.sampled_from([300.0, 300.0, 0.05]),
    not_found_grace=st.sampled_from([30.0, 0.001]),
    hooked=st.booleans(),
)


doubtful = st.one_of(
    said("settled", st.sampled_from([*WORDS, "small"]), st.sampled_from([*UNANSWERED, "reset"])),
    said("settled", st.sampled_from(WORDS), st.sampled_from([None, "job_fails", "status:400"])),
    said("settled_first", st.sampled_from(NAMES), st.sampled_from([None, *UNANSWERED])),
    said("append", st.just(0), st.sampled_from(WORDS), st.just("id")),
    said("reconcile"),
)


@given(rules=rules, steps=st.lists(steps, min_size=25, max_size=80), end=ends)
def test_whatever_happens_the_caller_is_told_the_truth_and_nothing_is_sent_twice(
    rules: Rules, steps: list[Step], end: Step, recordings: Path
) -> None:
    verify(rules, steps, end, recordings)


@given(steps=st.lists(doubtful, min_size=3, max_size=12))
def test_proof_of_acceptance_is_never_found_for_what_was_not_accepted(
    steps: list[Step], recordings: Path
) -> None:
    begin: Step = ("settled_first", None, None)
    verify(Rules(job_limit=50), [begin, *steps], ("calm_down",), recordings)


def verify(rules: Rules, steps: list[Step], end: Step, recordings: Path) -> None:
    """Live through a history and see that every promise was kept."""
    # The governor would wait for seconds after a refusal; here as long as everything else.
    with (
        patch.object(slots, "FIRST_PAUSE", 0.002),
        patch.object(slots, "LONGEST_PAUSE", 0.05),
        asyncio.Runner() as runner,
    ):
        world = runner.run(live(rules, steps, end, recordings))
    for call in world.calls:
        event(f"a submission came to {type(outcome(call.submission)).__name__}")
        if call.acceptance is not None:
            event(f"proof by {call.acceptance.how}")
    broken = list(world.verdict())
    if broken:
        note("\n".join(world.diary))
    assert not broken


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recordings")
    (directory / "talk.mp4").write_bytes(mp4_bytes(150_000))
    return directory
