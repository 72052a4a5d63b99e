import heapq
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from symbl_aio._core.slots import FIRST_PAUSE, LONGEST_PAUSE, JobSlots, Permission
from tests.tables import table

NO, YES, PROBE = Permission.NO, Permission.YES, Permission.PROBE


def full_governor(*, jobs: int, most: int = 50, now: float = 0.0) -> JobSlots:
    """Make one with so many jobs of its own, and a 429 just received."""
    governor = JobSlots(first=jobs + 1, most=most)
    for number in range(jobs):
        governor.start(f"key {number}", now - 2)
        governor.accept(f"key {number}", f"job {number}", more_waiting=False)
    governor.start("refused", now - 0.5)
    governor.refuse("refused", now)
    return governor


def refused_again(governor: JobSlots) -> float:
    """Probe as soon as it is allowed, be refused, and give the back-off that follows."""
    at = governor.wakes_at()
    assert at is not None
    assert governor.may_start(at) is PROBE
    governor.start("probe", at)
    governor.refuse("probe", at + 0.25)
    again = governor.wakes_at()
    assert again is not None
    return again - (at + 0.25)


def test_so_many_start_at_once_as_the_first_limit_says():
    governor = JobSlots(first=2, most=50)
    governor.start("a", 0)
    assert governor.may_start(0) is YES
    governor.start("b", 0)

    assert governor.may_start(1000) is NO
    assert governor.wakes_at() is None


def test_a_slot_is_taken_from_the_start_until_the_job_ends():
    governor = JobSlots(first=1, most=1)
    governor.start("a", 0)
    assert (governor.occupied, governor.unfinished) == (1, 0)
    governor.accept("a", "job", more_waiting=True)
    assert (governor.occupied, governor.unfinished) == (1, 1)
    assert governor.may_start(2) is NO
    governor.end("job")

    assert (governor.occupied, governor.unfinished) == (0, 0)
    assert governor.may_start(3) is YES


def test_a_start_that_came_to_nothing_gives_its_slot_back():
    governor = JobSlots(first=1, most=1)
    governor.start("a", 0)
    governor.free("a")

    assert governor.occupied == 0
    assert governor.may_start(0) is YES


def test_the_limit_grows_by_one_with_each_acceptance_while_work_waits():
    governor = JobSlots(first=2, most=50)
    for number in range(3):
        governor.start(f"key {number}", 0)
        governor.accept(f"key {number}", f"job {number}", more_waiting=True)

    assert governor.limit == 5


def test_work_that_comes_one_by_one_finds_room_while_nobody_knows_the_limit():
    governor = JobSlots(first=2, most=4)
    for number in range(4):
        assert governor.may_start(0) is YES
        governor.start(f"key {number}", 0)
        governor.accept(f"key {number}", f"job {number}", more_waiting=False)

    assert governor.may_start(2) is NO


def test_the_limit_does_not_grow_while_nothing_waits_and_there_is_room():
    governor = JobSlots(first=2, most=50)
    governor.start("a", 0)
    governor.accept("a", "job", more_waiting=False)

    assert governor.limit == 2


def test_the_limit_never_grows_above_the_ceiling():
    governor = JobSlots(first=2, most=3)
    for number in range(3):
        governor.start(f"key {number}", 0)
        governor.accept(f"key {number}", f"job {number}", more_waiting=True)

    assert governor.limit == 3
    assert governor.may_start(2) is NO


def test_a_fixed_limit_is_never_exceeded_though_work_waits():
    governor = JobSlots(first=3, most=3)
    for number in range(3):
        assert governor.may_start(0) is YES
        governor.start(f"key {number}", 0)
        governor.accept(f"key {number}", f"job {number}", more_waiting=True)

    assert governor.may_start(0) is NO


def test_a_first_limit_above_the_ceiling_raises_the_ceiling():
    governor = JobSlots(first=5, most=3)
    governor.start("a", 0)
    governor.accept("a", "job", more_waiting=True)

    assert governor.limit == 5


@table("jobs, limit", [(0, 1), (1, 1), (2, 2), (7, 7)])
def test_a_refusal_lowers_the_limit_to_our_own_unfinished_jobs_but_to_one_at_least(jobs, limit):
    governor = full_governor(jobs=jobs)

    assert governor.limit == limit
    assert governor.may_start(0) is NO


def test_after_a_refusal_the_end_of_a_job_of_ours_lets_the_next_one_start():
    governor = full_governor(jobs=2)
    governor.end("job 0")

    assert governor.may_start(0) is YES
    governor.start("next", 0)
    assert governor.may_start(0) is NO, "only one job ended"


def test_after_a_refusal_the_end_of_a_job_of_others_changes_nothing():
    governor = full_governor(jobs=2)
    governor.end("never heard of")

    assert governor.may_start(0) is NO


def test_after_a_refusal_a_pause_of_a_second_lets_one_probe():
    governor = full_governor(jobs=2, now=100)

    assert governor.wakes_at() == 100 + FIRST_PAUSE
    assert governor.may_start(100.99) is NO
    assert governor.may_start(101) is PROBE
    governor.start("probe", 101)
    assert governor.may_start(1000) is NO
    assert governor.wakes_at() is None


def test_the_pause_doubles_with_each_refused_probe_up_to_a_minute():
    governor = full_governor(jobs=1)
    pauses = [refused_again(governor) for _ in range(8)]

    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    assert LONGEST_PAUSE == 60


def test_refusals_of_starts_that_were_on_their_way_together_double_nothing():
    governor = JobSlots(first=4, most=50)
    for number in range(4):
        governor.start(f"key {number}", 0)
    for number in range(4):
        governor.refuse(f"key {number}", 10 + number)

    assert governor.wakes_at() == 13 + FIRST_PAUSE


def test_refusals_now_and_then_of_jobs_in_the_place_of_our_own_double_nothing():
    governor = full_governor(jobs=2)
    for turn in range(10):
        now = 0.1 * (turn + 1)
        governor.end(f"job {turn}")
        governor.start("refused", now)
        governor.refuse("refused", now + 0.01)
        governor.end(f"job {turn + 1}")
        for number in (turn + 1, turn + 2):
            governor.start("accepted", now + 0.02)
            governor.accept("accepted", f"job {number}", more_waiting=True)
    governor.end("job 10")
    governor.end("job 11")
    governor.start("refused", 2)
    governor.refuse("refused", 3)

    assert governor.unfinished == 0
    assert governor.wakes_at() == 3 + FIRST_PAUSE, "nothing of ours will end; who waits a minute?"


def test_refusals_at_the_very_moment_of_the_start_double_nothing():
    governor = JobSlots(first=2, most=50)
    governor.start("a", 5)
    governor.start("b", 5)
    governor.refuse("a", 5)
    governor.refuse("b", 5)

    assert governor.wakes_at() == 5 + FIRST_PAUSE


def test_an_accepted_probe_raises_the_limit_and_lets_another_one_go_at_once():
    governor = full_governor(jobs=2)
    governor.start("probe", 1)
    governor.accept("probe", "another job", more_waiting=True)

    assert governor.limit == 3
    assert governor.may_start(2) is PROBE


def test_after_an_accepted_probe_the_pause_begins_with_a_second_again():
    governor = full_governor(jobs=1)
    for _ in range(4):
        refused_again(governor)
    at = governor.wakes_at() or 0
    governor.start("probe", at)
    governor.accept("probe", "another job", more_waiting=True)

    assert governor.may_start(at) is PROBE
    governor.start("one more", at)
    governor.refuse("one more", at + 1)
    assert governor.wakes_at() == at + 1 + FIRST_PAUSE


def test_a_start_refused_while_a_probe_is_on_its_way_is_the_newer_news():
    governor = full_governor(jobs=2)
    governor.start("probe", 1)
    governor.end("job 0")
    governor.end("job 1")
    assert governor.may_start(2) is YES
    governor.start("other", 2)
    governor.refuse("other", 3)
    governor.accept("probe", "another job", more_waiting=True)

    assert governor.may_start(3.5) is NO
    assert governor.wakes_at() == 3 + FIRST_PAUSE


def test_an_old_start_refused_after_an_accepted_probe_still_costs_a_second():
    governor = JobSlots(first=2, most=50)
    governor.start("slow", 0)
    governor.start("quick", 0)
    governor.refuse("quick", 1)
    governor.start("probe", 2)
    governor.accept("probe", "job", more_waiting=True)
    governor.refuse("slow", 4)

    assert governor.may_start(4) is NO
    assert governor.wakes_at() == 4 + FIRST_PAUSE


def test_after_a_refusal_the_limit_is_filled_up_but_grows_by_probes_only():
    governor = full_governor(jobs=2)
    governor.end("job 0")
    governor.start("next", 0.5)
    governor.accept("next", "job 2", more_waiting=True)

    assert governor.limit == 2
    assert governor.may_start(0.6) is NO
    assert governor.may_start(1.0) is PROBE


def test_starts_accepted_while_another_is_refused_count_as_jobs_of_ours():
    governor = JobSlots(first=3, most=50)
    for key in "abc":
        governor.start(key, 0)
    governor.refuse("a", 1)
    governor.accept("b", "job b", more_waiting=True)
    governor.accept("c", "job c", more_waiting=True)

    assert governor.limit == 2
    assert governor.may_start(1.5) is NO


def test_a_probe_that_came_to_nothing_makes_room_for_another():
    governor = full_governor(jobs=1)
    governor.start("probe", 1)
    governor.free("probe")

    assert governor.may_start(1) is PROBE


def test_while_a_probe_is_on_its_way_the_end_of_another_start_lets_no_second_one_go():
    governor = JobSlots(first=3, most=50)
    for key in ("refused", "slow"):
        governor.start(key, 0)
    governor.refuse("refused", 1)
    governor.start("probe", 2)
    governor.free("slow")

    assert governor.may_start(1000) is NO


def test_a_probe_refused_after_a_newer_start_was_doubles_nothing():
    governor = full_governor(jobs=2)
    governor.start("probe", 1)
    governor.end("job 0")
    governor.start("other", 2)
    governor.refuse("other", 3)
    governor.refuse("probe", 4)

    assert governor.wakes_at() == 4 + FIRST_PAUSE


def test_an_adopted_job_that_ended_unseen_is_not_missed_by_those_that_run():
    governor = JobSlots(first=1, most=50)
    for job_id in ("ended", "running"):
        governor.adopt(job_id)
    governor.end("ended")

    assert governor.see("running"), "one job runs, and the limit is not known: room for another"
    assert governor.limit == 2


def test_probes_stay_below_the_ceiling():
    governor = full_governor(jobs=1, most=2)
    assert governor.may_start(1000) is PROBE
    governor.adopt("earlier")

    assert governor.may_start(1000) is NO
    assert governor.wakes_at() is None


def test_a_refusal_of_one_that_was_not_started_is_a_refusal_all_the_same():
    governor = JobSlots(first=2, most=50)
    governor.refuse("never heard of", 10)

    assert governor.may_start(10) is NO
    assert governor.wakes_at() == 10 + FIRST_PAUSE


def test_adopted_jobs_take_slots_until_they_end():
    governor = JobSlots(first=2, most=50)
    governor.adopt("earlier")
    governor.adopt("earlier")
    governor.adopt("another")

    assert (governor.unfinished, governor.may_start(0)) == (2, NO)
    governor.end("earlier")
    assert (governor.unfinished, governor.may_start(0)) == (1, YES)


def test_a_refusal_does_not_raise_a_fixed_limit_to_the_count_of_adopted_jobs():
    governor = JobSlots(first=2, most=2)
    governor.start("a", 0)
    for number in range(5):
        governor.adopt(f"job {number}")
    governor.refuse("a", 1)
    governor.end("job 0")

    assert governor.limit == 2
    assert governor.may_start(1) is NO


class GovernorBesideSlots(RuleBasedStateMachine):
    """Whatever happens, the slots are what a plain list of them says."""

    @initialize(first=st.integers(1, 5), more=st.integers(0, 5))
    def open(self, first: int, more: int) -> None:
        self.governor = JobSlots(first=first, most=first + more)
        self.most = first + more
        self.limit = first
        self.now = 100.0
        self.number = 0
        self.began: dict[str, float] = {}
        self.jobs: list[str] = []
        self.probe: str | None = None
        self.refused_at: float | None = None
        self.pause = 0.0
        """What the last refusal was followed by; 0 once a probe was accepted."""
        self.probe_from = 0.0
        self.waits_for_an_end = False

    def name(self, what: str) -> str:
        self.number += 1
        return f"{what} {self.number}"

    def a_start(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.began)))

    def forget(self, key: str) -> float:
        if self.probe == key:
            self.probe = None
        return self.began.pop(key)

    @rule(seconds=st.sampled_from([0.125, 0.5, 1.0, 5.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def start(self) -> None:
        permission = self.governor.may_start(self.now)
        if permission is not NO:
            key = self.name("key")
            self.governor.start(key, self.now)
            self.began[key] = self.now
            if permission is PROBE:
                assert self.probe is None, "one unconfirmed probe at a time"
                self.probe = key

    @precondition(lambda self: self.began)
    @rule(data=st.data(), more_waiting=st.booleans())
    def accept(self, data: st.DataObject, more_waiting: bool) -> None:
        key, job_id = self.a_start(data), self.name("job")
        self.governor.accept(key, job_id, more_waiting=more_waiting)
        self.jobs.append(job_id)
        was_probe = key == self.probe
        began = self.forget(key)
        if self.refused_at is None:
            at_least = self.limit + 1 if more_waiting else self.limit
            self.limit = max(at_least, len(self.jobs) + 1)
        else:
            self.limit = max(self.limit, len(self.jobs))
            if was_probe and began > self.refused_at:
                self.pause, self.probe_from, self.waits_for_an_end = 0.0, self.now, False
        self.limit = min(self.limit, self.most)

    @precondition(lambda self: self.began)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        key = self.a_start(data)
        self.governor.refuse(key, self.now)
        was_probe = key == self.probe
        began = self.forget(key)
        if self.pause == 0.0:
            self.pause = FIRST_PAUSE
        elif was_probe and self.refused_at is not None and began > self.refused_at:
            self.pause = min(LONGEST_PAUSE, 2 * self.pause)
        self.limit = min(self.most, max(1, len(self.jobs)))
        self.refused_at, self.probe_from = self.now, self.now + self.pause
        self.waits_for_an_end = True

    @precondition(lambda self: self.began)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        key = self.a_start(data)
        self.governor.free(key)
        self.forget(key)

    @rule()
    def adopt(self) -> None:
        self.jobs.append(self.name("job"))
        self.governor.adopt(self.jobs[-1])

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(self.jobs))
        self.governor.end(job_id)
        self.governor.end(job_id)
        self.jobs.remove(job_id)
        self.waits_for_an_end = False

    @invariant()
    def slots_are_those_of_starts_and_jobs(self) -> None:
        assert self.governor.unfinished == len(self.jobs)
        assert self.governor.occupied == len(self.began) + len(self.jobs)

    @invariant()
    def the_limit_is_the_one_expected(self) -> None:
        assert self.governor.limit == self.limit
        assert 1 <= self.limit <= self.most

    @invariant()
    def permissions_are_given_as_promised(self) -> None:
        taken = len(self.began) + len(self.jobs)
        may_probe = self.refused_at is not None and self.probe is None and taken < self.most
        permission = self.governor.may_start(self.now)
        if taken < self.limit and not self.waits_for_an_end:
            assert permission is YES
        elif may_probe and self.now >= self.probe_from:
            assert permission is PROBE
        else:
            assert permission is NO

    @invariant()
    def the_time_told_for_a_probe_is_right(self) -> None:
        at = self.governor.wakes_at()
        if self.governor.may_start(self.now) is NO:
            if at is None:
                assert self.governor.may_start(self.now + 1e9) is NO
            else:
                assert self.now < at <= self.now + LONGEST_PAUSE
                assert self.governor.may_start(at) is PROBE

    def teardown(self) -> None:
        if not hasattr(self, "governor"):
            return
        for key in list(self.began):
            self.governor.free(key)
        for job_id in self.jobs:
            self.governor.end(job_id)
        assert self.governor.occupied == 0
        later = self.now + LONGEST_PAUSE
        assert self.governor.may_start(later) is not NO, "nothing would ever start again"


TestGovernorBesideSlots = GovernorBesideSlots.TestCase


class Account:
    """An account with a job limit that others use too, and one client that works through a list.

    Time jumps from event to event. An upload takes a second, its answer comes at the end.
    """

    def __init__(self, limit: int, lives: list[float], others: list[float]) -> None:
        self.limit = limit
        self.governor = JobSlots(first=2, most=50)
        self.waiting = list(enumerate(lives))
        self.refusals = 0
        self.most_at_once = 0
        self.busy = len(others)
        self.events = sorted((life, "other", -1, 0.0) for life in others)

    def start_what_may_start(self, now: float) -> None:
        while self.waiting and self.governor.may_start(now) is not NO:
            index, life = self.waiting.pop(0)
            self.governor.start(str(index), now)
            heapq.heappush(self.events, (now + 1, "uploaded", index, life))

    def run(self) -> Iterator[float]:
        now = 0.0
        self.start_what_may_start(now)
        while self.waiting or self.events:
            at = self.governor.wakes_at() if self.waiting else None
            if at is not None and (not self.events or at < self.events[0][0]):
                now = at
            else:
                assert self.events, "nothing will ever happen again"
                now, what, index, life = heapq.heappop(self.events)
                self.happen(now, what, index, life)
            self.most_at_once = max(self.most_at_once, self.busy)
            self.start_what_may_start(now)
            yield now

    def happen(self, now: float, what: str, index: int, life: float) -> None:
        if what == "uploaded" and self.busy < self.limit:
            self.busy += 1
            self.governor.accept(str(index), str(index), more_waiting=bool(self.waiting))
            heapq.heappush(self.events, (now + life, "ended", index, 0.0))
        elif what == "uploaded":
            self.refusals += 1
            self.governor.refuse(str(index), now)
            self.waiting.insert(0, (index, life))
        else:
            self.busy -= 1
            self.governor.end(str(index))


LIVES = st.floats(0.5, 300)


@given(
    limit=st.integers(1, 60), lives=st.lists(LIVES, max_size=60), others=st.lists(LIVES, max_size=5)
)
def test_all_work_is_done_whatever_the_limit_and_whoever_uses_it_too(limit, lives, others):
    account = Account(limit, lives, others[:limit])
    last = max(account.run(), default=0.0)

    assert account.governor.occupied == 0
    assert account.most_at_once <= limit
    # One at a time, with a back-off before each, would take so long.
    assert last <= sum(others) + sum(life + LONGEST_PAUSE + 2 for life in lives)


@table("limit", [1, 2, 5, 20, 50])
def test_an_account_of_its_own_is_soon_filled_with_few_refusals(limit):
    account = Account(limit, lives=[100.0] * (limit * 4), others=[])
    rounds = max(account.run()) / 101

    assert account.most_at_once == limit
    assert rounds <= 4.3, "as fast as if the limit had been known, or nearly"
    assert account.refusals <= limit + 50


def test_two_clients_of_one_account_both_come_to_their_end():
    others = [100.0 + number for number in range(5)]
    account = Account(5, lives=[10.0] * 20, others=others)
    list(account.run())

    assert account.most_at_once == 5
    assert account.refusals <= 20


def test_adopted_jobs_raise_the_limit_once_they_are_seen_to_run() -> None:
    governor = JobSlots(first=2, most=5)
    for n in range(6):
        governor.adopt(f"job {n}")
    assert governor.limit == 2, "they may all have ended long ago"
    for n in range(3):
        assert governor.see(f"job {n}") == (n > 0)
        assert not governor.see(f"job {n}")
    assert governor.limit == 4, "one more may be tried"
    governor.end("job 5")
    for n in range(6):
        governor.see(f"job {n}")
    assert governor.limit == 5


def test_after_a_refusal_adopted_jobs_raise_the_limit_to_their_number_alone() -> None:
    governor = JobSlots(first=2, most=50)
    governor.start("a", now=0)
    governor.refuse("a", now=0)
    for n in range(3):
        governor.adopt(f"job {n}")
        governor.see(f"job {n}")

    assert governor.limit == 3
