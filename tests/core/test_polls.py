from itertools import pairwise

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from symbl_aio._core.polls import CompletionTimes, PollPlan
from symbl_aio._core.rates import Budget
from symbl_aio.config import Polls
from tests.tables import table

PATIENT = Polls(
    age_factor=0.1, floor=1, ceiling=10, jitter=0.5, per_second=1000, hinted_per_second=1000
)
HAIR = 1e-6
"""Seconds that rounding may cost."""


def ordinary(*job_ids: str) -> list[tuple[str, bool]]:
    return [(job_id, False) for job_id in job_ids]


def hinted(*job_ids: str) -> list[tuple[str, bool]]:
    return [(job_id, True) for job_id in job_ids]


def plan_of(*job_ids: str, policy: Polls = PATIENT, now: float = 0.0) -> PollPlan:
    plan = PollPlan(policy)
    for job_id in job_ids:
        plan.watch(job_id, now)
    return plan


def entries(plan: PollPlan) -> int:
    """Count what the plan has noted down."""
    return sum(len(value) for value in vars(plan).values() if isinstance(value, list))


# When a job is asked


def test_a_job_is_asked_first_after_the_shortest_interval():
    plan = plan_of("job")

    assert plan.next_at() == 1
    assert plan.due(0.99, 10) == []
    assert plan.due(1, 10) == ordinary("job")


@table(
    "age, interval",
    [(5, 1), (10, 1), (50, 5), (100, 10), (3600, 10)],
    ids=["floor", "share at the floor", "share", "share at the ceiling", "ceiling"],
)
def test_a_job_is_asked_less_often_as_it_ages(age, interval):
    plan = plan_of("job")
    plan.due(age, 10)
    plan.again("job", age, jitter=0)

    assert plan.next_at() == age + interval


@table("jitter, interval", [(-1, 2.5), (0, 5), (1, 7.5)])
def test_intervals_are_spread_by_a_share_of_themselves(jitter, interval):
    plan = plan_of("job")
    plan.due(50, 10)
    plan.again("job", 50, jitter=jitter)

    assert plan.next_at() == 50 + interval


@table("duration, first", [(None, 1), (2, 1), (50, 5), (14_400, 10)])
def test_a_long_recording_is_asked_for_later(duration, first):
    plan = PollPlan(PATIENT)
    plan.watch("job", 0, duration=duration)

    assert plan.next_at() == first


def test_a_job_submitted_long_ago_is_asked_soon_since_it_may_have_ended():
    plan = PollPlan(PATIENT)
    plan.watch("job", 1000, age=500)
    assert plan.next_at() == 1001

    plan.due(1001, 10)
    plan.again("job", 1001, jitter=0)
    assert plan.next_at() == 1011, "and after that according to its age"


def test_watching_a_job_twice_changes_nothing():
    plan = plan_of("job")
    plan.watch("job", 100)

    assert len(plan) == 1
    assert plan.due(100, 10) == ordinary("job")
    assert plan.oldest(100) == 100


def test_a_job_is_not_named_again_before_its_answer_is_there():
    plan = plan_of("job")
    plan.due(1, 10)

    assert plan.due(1000, 10) == []
    assert plan.next_at() is None
    plan.again("job", 1000, jitter=0)
    assert plan.due(1010, 10) == ordinary("job")


def test_the_longest_overdue_come_first_and_no_more_than_wanted():
    plan = PollPlan(PATIENT)
    for number in (3, 1, 2):
        plan.watch(f"job {number}", number)

    assert plan.due(100, 2) == ordinary("job 1", "job 2")
    assert plan.due(100, 0) == []
    assert plan.due(100, -1) == []
    assert plan.due(100, 2) == ordinary("job 3")


def test_a_forgotten_job_is_not_asked():
    plan = plan_of("job", "other")
    plan.forget("job")

    assert len(plan) == 1
    assert plan.due(100, 10) == ordinary("other")


def test_a_job_forgotten_while_it_is_asked_does_not_come_back():
    plan = plan_of("job")
    plan.due(1, 10)
    plan.forget("job")
    plan.again("job", 2, jitter=0)

    assert len(plan) == 0
    assert plan.next_at() is None


def test_a_job_forgotten_and_watched_again_begins_anew():
    plan = plan_of("job")
    plan.forget("job")
    plan.watch("job", 0.5)

    assert plan.due(1, 10) == []
    assert plan.due(1.5, 10) == ordinary("job")
    assert plan.due(1.5, 10) == []


def test_a_job_that_was_asked_without_being_due_is_planned_anew():
    plan = plan_of("job")
    plan.again("job", 0.5, jitter=0)

    assert plan.due(1, 10) == []
    assert plan.due(1.5, 10) == ordinary("job")


def test_unknown_jobs_do_no_harm():
    plan = PollPlan(PATIENT)
    plan.forget("job")
    plan.hint("job", 0)
    plan.again("job", 0, jitter=0)
    plan.unfinished("job", 100)

    assert not plan.is_missing_too_long("job", 1e9)
    assert not plan.is_too_old("job", 1e9)
    assert plan.due(1e9, 10) == []
    assert plan.next_at() is None
    assert entries(plan) == 0


# What earlier jobs teach


def live(
    plan: PollPlan,
    job_id: str,
    born: float,
    age: float,
    *,
    told: bool = False,
    duration: float | None = None,
) -> list[float]:
    """Let a job end at an age, and give the ages at which it was asked."""
    plan.watch(job_id, born, duration=duration)
    asked: list[float] = []
    while True:
        at = plan.next_at()
        assert at is not None
        if told and at - born > age:
            told = False
            plan.hint(job_id, born + age)
            continue
        assert plan.due(at, 10)
        asked.append(at - born)
        if at - born >= age:
            plan.ended(job_id, at, jitter=0.5)
            return asked
        plan.unfinished(job_id, at)
        plan.again(job_id, at, jitter=0)


def taught(policy: Polls = PATIENT, *, age: float, jobs: int = 40, told: bool = False) -> PollPlan:
    plan = PollPlan(policy)
    for number in range(jobs):
        live(plan, f"old {number}", 1000.0 * number, age, told=told)
    return plan


def test_jobs_that_always_take_long_are_not_asked_for_early():
    at_first = live(PollPlan(PATIENT), "job", 0, 60)
    later = live(taught(age=60), "job", 1e6, 60)

    assert len(later) < len(at_first) / 2
    assert later[0] > 30
    assert later[-1] < 60 + PATIENT.ceiling


def test_a_job_is_polled_by_the_times_of_recordings_that_are_about_as_long():
    plan = PollPlan(PATIENT)
    for number in range(40):
        live(plan, f"short {number}", 1e4 * number, 20, duration=100)
        live(plan, f"long {number}", 1e4 * number + 5000, 400, duration=2000)

    assert 10 < live(plan, "short", 1e6, 20, duration=90)[0] < 30
    assert live(plan, "long", 2e6, 400, duration=1800)[0] > 200
    # Of an unknown length, or one that is new here: all that is known counts.
    assert 10 < live(plan, "unknown", 3e6, 20)[0] < 30
    assert 10 < live(plan, "new", 4e6, 20, duration=30)[0] < 30


def test_the_first_jobs_to_end_do_not_stand_for_those_that_still_run():
    alone, crowd = CompletionTimes(0.1), CompletionTimes(0.1)
    for age in range(1, 17):
        alone.add(age)
        crowd.add(age, lambda: [16.0] * 200)

    assert (alone.median, crowd.median) == (8, 15)  # when they learned last, at the 15th
    assert crowd.last_interval > 3 * alone.last_interval
    assert (alone.next_age(8) or 0) < (crowd.next_age(8) or 0)


def test_jobs_that_still_run_are_learned_from_too():
    def first_poll(running: int) -> float:
        plan = PollPlan(PATIENT)
        for number in range(running):
            plan.watch(f"running {number}", 0)
            plan.unfinished(f"running {number}", 60)
        for age in range(1, 17):
            plan.watch(str(age), 0)
            plan.ended(str(age), age, jitter=1.0)
        return plan.watch("job", 1000) - 1000

    assert first_poll(running=200) > 2 * first_poll(running=0)


def test_the_longest_that_still_run_and_no_others_make_the_last_interval_longer():
    def last_interval(*running: float) -> float:
        times = CompletionTimes(0.1)
        for age in range(1, 17):
            times.add(age, lambda: running)
        return times.last_interval

    alone = last_interval()
    assert last_interval(*[1.0] * 50) == pytest.approx(alone, rel=0.5)
    assert last_interval(*[100.0] * 50) > 3 * last_interval(*[16.0] * 50) > 3 * alone


def test_a_job_that_grows_older_than_all_others_is_asked_less_often_again():
    asked = live(taught(age=60, jobs=300), "stuck", 1e6, 3000)

    gaps = [after - before for before, after in pairwise(asked)]
    assert gaps[0] == pytest.approx(PATIENT.floor)
    assert gaps[-1] == pytest.approx(PATIENT.ceiling)
    assert len(asked) < 400


def test_intervals_stay_within_floor_and_ceiling_once_a_job_may_have_ended():
    plan = taught(age=1000, jobs=300)
    asked = live(plan, "job", 1e6, 3000)

    assert asked[0] > PATIENT.ceiling
    gaps = [after - before for before, after in pairwise(asked)]
    assert min(gaps) > PATIENT.floor - HAIR
    assert max(gaps) < PATIENT.ceiling + HAIR


def test_a_server_that_became_faster_is_noticed():
    plan = taught(age=100)
    asked = [live(plan, f"job {number}", 1e6 + 1000 * number, 5) for number in range(300)]

    assert asked[0][-1] > 20
    assert asked[-1][-1] < 7


def test_a_job_attached_again_teaches_nothing_unless_it_was_seen_unfinished():
    plan = taught(age=50, jobs=20)
    before = live(plan, "before", 1e5, 50)
    for number in range(200):
        plan.watch(str(number), 1e6, age=86_000)
        plan.ended(str(number), 1e6 + 1, jitter=0.5)

    assert live(plan, "job", 2e6, 50) == pytest.approx(before, abs=10)


def test_where_webhooks_tell_every_end_hardly_anything_is_asked():
    plan = taught(age=60, told=True)

    assert live(plan, "job", 1e6, 59, told=True) == [59]
    assert live(plan, "lost", 2e6, 170) == [90, 270], "for one may be lost"


def test_a_webhook_is_waited_for_within_limits_while_few_ends_are_known():
    plan = taught(age=60, told=True, jobs=3)

    assert plan.watch("job", 1e6) == 1e6 + PATIENT.ceiling
    plan.due(1e6 + 3600, 1)
    plan.again("job", 1e6 + 3600, jitter=0)
    assert plan.next_at() == 1e6 + 3600 + 20 * PATIENT.ceiling

    plan = taught(age=0.01, told=True)
    assert plan.watch("job", 1e6) == 1e6 + PATIENT.floor
    plan.again("job", 1e6 + 0.25, jitter=0)
    assert plan.next_at() == 1e6 + 0.25 + PATIENT.floor


def test_a_lost_webhook_brings_the_polls_back():
    plan = taught(age=60, told=True)
    live(plan, "lost", 1e6, 60)

    assert len(live(plan, "job", 2e6, 60)) > 1


def test_a_webhook_that_was_wrong_proves_nothing():
    plan = PollPlan(PATIENT)
    for number in range(3):
        job_id, born = str(number), 1000.0 * number
        plan.watch(job_id, born)
        plan.hint(job_id, born + 0.5)
        assert plan.due(born + 0.5, 1) == hinted(job_id)
        plan.unfinished(job_id, born + 0.5)
        plan.again(job_id, born + 0.5, jitter=0)
        plan.ended(job_id, born + 2, jitter=0)

    plan.watch("job", 1e6)
    assert plan.next_at() == 1e6 + PATIENT.floor


@table("answered", [True, False], ids=["not ended yet", "no answer"])
def test_an_end_that_was_told_and_not_confirmed_is_looked_for_though_webhooks_tell_every_end(
    answered,
):
    plan = taught(age=600, told=True)
    plan.watch("job", 1e6)
    plan.hint("job", 1e6 + 50)
    assert plan.due(1e6 + 50, 10) == hinted("job")
    if answered:
        plan.unfinished("job", 1e6 + 50)
    plan.again("job", 1e6 + 50, jitter=0)

    assert plan.next_at() == pytest.approx(1e6 + 55), "for it was the one that was waited for"


def test_the_end_of_an_unknown_job_does_no_harm():
    plan = plan_of("job")
    plan.ended("other", 1, jitter=0.5)
    plan.unfinished("other", 1)

    assert plan.due(1, 10) == ordinary("job")


# Hints


def test_a_hint_brings_a_poll_forward():
    plan = plan_of("job", "other")
    plan.hint("job", 0.25)

    assert plan.next_at() == 0.25
    assert plan.due(0.25, 10) == hinted("job")
    assert plan.due(1, 10) == ordinary("other")


def test_a_second_hint_brings_no_second_poll():
    plan = plan_of("job")
    plan.hint("job", 0.25)
    plan.hint("job", 0.5)

    assert plan.due(0.5, 10) == hinted("job")
    plan.again("job", 0.75, jitter=0)
    assert plan.due(1.74, 10) == []


def test_a_hint_while_the_job_is_asked_leads_to_another_poll_since_the_answer_may_be_older():
    plan = plan_of("job")
    plan.due(60, 10)
    plan.hint("job", 60.25)
    assert plan.next_at() is None

    plan.again("job", 60.5, jitter=0)
    assert plan.next_at() == 60.5
    assert plan.due(60.5, 10) == hinted("job")


def test_hints_bring_a_job_at_most_one_poll_a_second():
    plan = plan_of("job")
    plan.hint("job", 60)
    assert plan.due(60, 10) == hinted("job")
    plan.again("job", 60, jitter=0)
    plan.hint("job", 60.1)

    assert plan.due(60.99, 10) == []
    assert plan.due(61, 10) == hinted("job")


def test_an_ordinary_poll_does_not_delay_the_first_hint_after_it():
    plan = plan_of("job")
    plan.due(60, 10)
    plan.again("job", 60, jitter=0)
    plan.hint("job", 60.1)

    assert plan.due(60.1, 10) == hinted("job")


@given(hints=st.lists(st.floats(0.0, 0.4), max_size=200))
def test_however_often_a_job_is_hinted_hints_cost_at_most_one_poll_a_second(hints):
    plan, followed, now = plan_of("job"), [], 0.0
    for passed in hints:
        now += passed
        plan.hint("job", now)
        for _, by_hint in plan.due(now, 10):
            followed += [now] if by_hint else []
            plan.unfinished("job", now)
            plan.again("job", now, jitter=0)

    assert all(later - sooner >= 1 - HAIR for sooner, later in pairwise(followed))


def test_a_hint_never_delays_the_ordinary_poll():
    plan = PollPlan(Polls(floor=0.5, jitter=0))
    plan.watch("job", 0)
    plan.hint("job", 0.5)
    plan.due(0.5, 10)
    plan.again("job", 0.5, jitter=0)
    plan.hint("job", 0.6)

    assert plan.next_at() == 1.0, "and not 1.5, a second after the last poll"
    assert plan.due(1.0, 10) == ordinary("job")
    plan.again("job", 1.0, jitter=0)
    assert plan.due(1.5, 10) == ordinary("job"), "the hint was followed"


def test_a_hint_outlives_those_of_jobs_that_were_forgotten():
    others = [str(number) for number in range(200)]
    plan = plan_of("job", *others)
    plan.hint("job", 0.1)
    for job_id in others:
        plan.hint(job_id, 0.2)
        plan.forget(job_id)

    assert plan.due(0.5, 10) == hinted("job")
    assert entries(plan) < 200


def test_a_hint_for_a_job_that_was_forgotten_is_gone():
    plan = plan_of("job")
    plan.hint("job", 0)
    plan.forget("job")
    plan.watch("job", 0)

    assert plan.due(0.5, 10) == []


def test_hinted_polls_have_a_budget_of_their_own():
    plan = PollPlan(Polls(per_second=1, hinted_per_second=2, floor=1, jitter=0))
    for number in range(6):
        plan.watch(f"job {number}", 0)
    for number in (4, 5):
        plan.hint(f"job {number}", 1)

    assert plan.due(1, 10) == [("job 4", True), ("job 0", False)]
    assert plan.next_at() == 1.5
    assert plan.due(1.5, 10) == hinted("job 5")
    assert plan.next_at() == 2
    assert plan.due(2, 10) == ordinary("job 1")


# Budgets


def test_a_budget_is_spread_evenly():
    budget = Budget(10)

    assert budget.take(0)
    assert not budget.take(0.0625)
    assert budget.next_at() == 0.1
    assert budget.take(0.1)


def test_a_large_budget_allows_a_tenth_of_a_second_at_once():
    budget = Budget(50)

    assert [budget.take(7) for _ in range(7)] == [True] * 5 + [False] * 2


def test_a_budget_does_not_add_up_while_it_is_unused():
    budget = Budget(50)
    budget.take(0)

    assert sum(budget.take(1000) for _ in range(100)) == 5


def test_polls_that_are_held_start_again_at_their_time_and_their_rate():
    plan = plan_of(*(f"job {number}" for number in range(100)), policy=Polls(per_second=50))
    plan.hint("job 7", 0)
    plan.hold(60)
    plan.hold(30)  # a shorter one does not end it

    assert plan.due(59.9, 100) == []
    assert plan.next_at() == pytest.approx(60)
    assert sum(1 for _, by_hint in plan.due(60.001, 100) if not by_hint) == 1
    assert sum(len(plan.due(60 + step / 100, 100)) for step in range(1, 201)) <= 106


@table("rate", [0.2, 1, 10, 50])
@pytest.mark.heavy
def test_ten_thousand_jobs_stay_within_the_budget_and_none_starves(rate):
    count = 10_000
    plan = PollPlan(Polls(per_second=rate, floor=1, ceiling=10))
    for number in range(count):
        plan.watch(str(number), 0)
    asked: dict[str, float] = {}
    polls, started, now = 0, 0.0, 0.0
    while polls < 2.5 * count:
        at = plan.next_at()
        assert at is not None
        now = max(now, at)
        started = started or now
        named = plan.due(now, 64)
        assert named, "next_at promised one"
        for job_id, _ in named:
            assert now - asked.get(job_id, 0.0) <= count / rate + 12
            asked[job_id] = now
            plan.again(job_id, now, jitter=(-1) ** polls)
            polls += 1
            assert polls <= rate * (now - started) + max(1, rate / 10) + HAIR

    assert len(asked) == count


def test_ten_thousand_hints_at_once_are_followed_within_their_budget():
    plan = plan_of(*map(str, range(10_000)), policy=Polls(hinted_per_second=50))
    for number in range(10_000):
        plan.hint(str(number), 0)
    followed = 0
    while (at := plan.next_at()) is not None:
        for job_id, by_hint in plan.due(at, 64):
            followed += by_hint
            plan.forget(job_id)
            assert followed <= 50 * at + 5 + HAIR

    assert len(plan) == 0
    assert followed > 8000


# What is kept


def test_jobs_that_end_leave_nothing_behind():
    plan = plan_of(*map(str, range(10_000)))
    plan.watch("long", -5)
    for number in range(10_000):
        plan.hint(str(number), 0.5)
        plan.forget(str(number))
    plan.next_at()

    assert entries(plan) <= 2 * 64


@given(st.permutations(range(200)))
def test_jobs_that_end_do_not_upset_the_order_of_the_others(order):
    plan = PollPlan(PATIENT)
    for number in order:
        plan.watch(f"{number:03}", number)
    for number in order[:130]:
        plan.forget(f"{number:03}")

    assert plan.due(1000, 70) == ordinary(*(f"{number:03}" for number in sorted(order[130:])))


def test_hints_and_refreshes_leave_nothing_behind():
    plan = PollPlan(PATIENT)
    plan.watch("first", -5)
    plan.watch("job", 0)
    for step in range(2000):
        now = float(2 * step)
        plan.hint("job", now)
        plan.again("job", now, jitter=0)
        plan.hint("job", now)
        plan.due(now + 0.5, 1)
        plan.again("job", now + 0.5, jitter=0)

    assert entries(plan) <= 2 * 64 + 4


# When a job is lost


def test_a_job_unknown_to_the_server_has_a_grace():
    plan = plan_of("job", policy=Polls(not_found_grace=30))

    assert not plan.is_missing_too_long("job", 100)
    assert not plan.is_missing_too_long("job", 129.9)
    assert plan.is_missing_too_long("job", 130)


def test_an_answer_about_the_job_ends_the_grace():
    plan = plan_of("job", policy=Polls(not_found_grace=30))
    plan.is_missing_too_long("job", 100)
    plan.unfinished("job", 100)

    assert not plan.is_missing_too_long("job", 140)
    assert plan.is_missing_too_long("job", 170)


def test_a_job_is_followed_for_so_long_since_it_was_submitted():
    plan = PollPlan(Polls(max_age=1000))
    plan.watch("job", 0)
    plan.watch("earlier", 0, age=400)

    assert not plan.is_too_old("earlier", 599)
    assert plan.is_too_old("earlier", 600)
    assert not plan.is_too_old("job", 999)
    assert plan.is_too_old("job", 1000)


def test_the_oldest_job_is_known():
    plan = plan_of("job", now=100)
    plan.watch("earlier", 100, age=400)

    assert plan.oldest(150) == 450
    assert PollPlan(PATIENT).oldest(0) is None


# Any order of events


@define
class Noted:
    """One job on the naive list."""

    born: float
    at: float
    asked: bool = False
    hinted: bool = False
    hint_at: float = 0.0
    followed_at: float = float("-inf")


class NaiveBudget:
    """Never more than ``rate`` a second and a little at once, in every window there is."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.at_once = max(1.0, rate / 10)
        self.taken: list[float] = []

    def next_at(self) -> float:
        count = len(self.taken)
        return max(
            (
                began + (count - index + 1 - self.at_once) / self.rate
                for index, began in enumerate(self.taken)
            ),
            default=float("-inf"),
        )


@given(
    rate=st.sampled_from([0.25, 1.0, 9.0, 10.0, 16.0, 50.0, 1000.0]),
    waits=st.lists(st.integers(0, 300).map(lambda number: number / 1000), max_size=60),
)
def test_a_budget_holds_in_every_window(rate, waits):
    budget, naive, now = Budget(rate), NaiveBudget(rate), 0.0
    for wait in waits:
        now += wait
        free_at, taken = naive.next_at(), budget.take(now)
        if abs(free_at - now) > HAIR:
            assert taken == (free_at < now)
        if taken:
            naive.taken.append(now)


class PlanBesideList(RuleBasedStateMachine):
    """Whatever is done, the plan names those that a naive list of jobs names."""

    @initialize(
        per_second=st.sampled_from([0.5, 10.0, 40.0]),
        hinted_per_second=st.sampled_from([0.5, 2.0, 50.0]),
    )
    def open(self, per_second: float, hinted_per_second: float) -> None:
        self.policy = Polls(
            floor=0.5, ceiling=15, per_second=per_second, hinted_per_second=hinted_per_second
        )
        self.plan = PollPlan(self.policy)
        self.now = 1000.0
        self.number = 0
        self.jobs: dict[str, Noted] = {}
        self.ordinary = NaiveBudget(per_second)
        self.hinted = NaiveBudget(hinted_per_second)

    def interval(self, age: float) -> float:
        return sorted([self.policy.floor, self.policy.age_factor * age, self.policy.ceiling])[1]

    def a_job(self, data: st.DataObject, *, asked: bool | None = None) -> str | None:
        known = [job_id for job_id, job in self.jobs.items() if asked in (None, job.asked)]
        return data.draw(st.sampled_from(known)) if known else None

    def waiting(self, *, by_hint: bool) -> list[tuple[float, str]]:
        """List those that wait for their time, with it, the earliest first."""
        return sorted(
            (job.hint_at if by_hint else job.at, job_id)
            for job_id, job in self.jobs.items()
            if not job.asked and (job.hinted or not by_hint)
        )

    @rule(seconds=st.sampled_from([1 / 64, 0.25, 1.0, 7.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        count=st.integers(1, 12),
        age=st.sampled_from([0.0, 5.0, 300.0]),
        duration=st.sampled_from([None, 40.0, 4000.0]),
    )
    def watch(self, count: int, age: float, duration: float | None) -> None:
        for _ in range(count):
            self.number += 1
            job_id = f"job {self.number}"
            self.plan.watch(job_id, self.now, age=age, duration=duration)
            first = self.interval(max(0.0, (duration or 0.0) - age))
            self.jobs[job_id] = Noted(self.now - age, self.now + first)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        job_id = self.a_job(data)
        assert job_id is not None
        self.plan.forget(job_id)
        del self.jobs[job_id]

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def hint(self, data: st.DataObject) -> None:
        for _ in range(data.draw(st.integers(1, 5))):
            job_id = self.a_job(data)
            assert job_id is not None
            self.plan.hint(job_id, self.now)
            job = self.jobs[job_id]
            if not job.hinted:
                job.hinted, job.hint_at = True, max(self.now, job.followed_at + 1)

    @rule(most=st.integers(-1, 30))
    def ask(self, most: int) -> None:
        named = self.plan.due(self.now, most)
        assert len(named) <= max(0, most)
        for by_hint, budget in ((True, self.hinted), (False, self.ordinary)):
            due = [job_id for at, job_id in self.waiting(by_hint=by_hint) if at <= self.now]
            these = [job_id for job_id, hint in named if hint is by_hint]
            assert these == due[: len(these)], "the longest overdue come first"
            for job_id in these:
                assert budget.next_at() <= self.now + HAIR, "more than the budget allows"
                budget.taken.append(self.now)
                job = self.jobs[job_id]
                assert not by_hint or self.now - job.followed_at >= 1
                job.asked, job.hinted = True, False
                job.followed_at = self.now if by_hint else job.followed_at
            if len(these) < len(due) and len(named) < most:
                assert budget.next_at() > self.now - HAIR, "somebody due was left out"

    @rule()
    def sleep_until_somebody_is_due(self) -> None:
        at = self.plan.next_at()
        if at is not None:
            if at - HAIR > self.now:
                assert self.plan.due(at - HAIR, 99) == []
            self.now = max(self.now, at)
            before = len(self.waiting(by_hint=False))
            self.ask(1)
            assert len(self.waiting(by_hint=False)) == before - 1

    @rule(data=st.data(), jitter=st.sampled_from([-1.0, 0.0, 1.0]), asked=st.booleans())
    def plan_again(self, data: st.DataObject, jitter: float, asked: bool) -> None:
        """Also those that were not due: anybody may refresh a job at any time."""
        job_id = self.a_job(data, asked=asked)
        if job_id is not None:
            self.plan.again(job_id, self.now, jitter=jitter)
            job = self.jobs[job_id]
            interval = self.interval(self.now - job.born)
            job.asked, job.at = False, self.now + interval * (1 + self.policy.jitter * jitter)
            job.hint_at = max(self.now, job.followed_at + 1)

    @invariant()
    def the_next_time_is_the_right_one(self) -> None:
        times = [
            max(waiting[0][0], budget.next_at())
            for by_hint, budget in ((True, self.hinted), (False, self.ordinary))
            if (waiting := self.waiting(by_hint=by_hint))
        ]
        at = self.plan.next_at()
        assert at == (pytest.approx(min(times), abs=HAIR) if times else None)

    @invariant()
    def what_is_noted_is_bounded(self) -> None:
        assert len(self.plan) == len(self.jobs)
        assert entries(self.plan) <= 2 * max(64, 2 * len(self.jobs))


TestPlanBesideList = PlanBesideList.TestCase
