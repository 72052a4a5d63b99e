"""Webhook calls that overtake the answer to their submission: how long they are parked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from symbl_aio._core.early_webhooks import ParkedCalls


def test_a_call_is_given_once_to_the_submission_of_its_nonce():
    callbacks = ParkedCalls()
    callbacks.park("a", "job 1", 0.0, ended=True)

    assert callbacks.take("b") is None
    assert callbacks.take(None) is None
    assert callbacks.take("a") == ("job 1", True)
    assert callbacks.take("a") is None
    assert len(callbacks) == 0


def test_an_end_that_was_told_is_not_taken_back_by_a_late_call():
    callbacks = ParkedCalls()
    callbacks.park("a", "job 1", 0.0, ended=True)
    callbacks.park("a", "job 1", 1.0, ended=False)

    assert callbacks.take("a") == ("job 1", True)


def test_an_end_counts_for_the_job_of_which_it_was_told_alone():
    callbacks = ParkedCalls()
    callbacks.park("a", "job 1", 0.0, ended=True)
    callbacks.park("a", "job 2", 1.0, ended=False)

    assert callbacks.take("a") == ("job 2", False)


def test_a_call_that_nobody_took_is_forgotten_when_its_time_is_over():
    callbacks = ParkedCalls(keep=60.0)
    callbacks.park("a", "job 1", 0.0, ended=False)
    callbacks.park("b", "job 2", 30.0, ended=False)
    callbacks.park("c", "job 3", 60.0, ended=False)

    assert callbacks.take("a") is None
    assert callbacks.take("b") == ("job 2", False)


def test_a_call_that_comes_again_is_kept_anew():
    callbacks = ParkedCalls(keep=60.0)
    callbacks.park("a", "job 1", 0.0, ended=False)
    callbacks.park("b", "job 2", 10.0, ended=False)
    callbacks.park("a", "job 1", 50.0, ended=False)
    callbacks.park("c", "job 3", 80.0, ended=False)

    assert callbacks.take("b") is None
    assert callbacks.take("a") == ("job 1", False)


def test_when_there_are_too_many_the_oldest_go_first():
    callbacks = ParkedCalls(most=2)
    for number in range(4):
        callbacks.park(f"n{number}", f"job {number}", 0.0, ended=False)

    assert len(callbacks) == 2
    assert [callbacks.take(f"n{number}") for number in range(4)] == [
        None,
        None,
        ("job 2", False),
        ("job 3", False),
    ]


def test_a_memory_for_nothing_keeps_nothing():
    callbacks = ParkedCalls(most=0)
    callbacks.park("a", "job 1", 0.0, ended=True)

    assert len(callbacks) == 0


calls = st.lists(
    st.tuples(
        st.sampled_from("abcde"), st.sampled_from(["1", "2"]), st.booleans(), st.floats(0.0, 20.0)
    )
)


@given(calls=calls, most=st.integers(1, 4))
def test_a_nonce_is_known_exactly_if_it_is_among_the_newest_and_not_too_old(calls, most: int):
    callbacks = ParkedCalls(most=most, keep=30.0)
    said: list[tuple[str, str, bool, float]] = []
    now = 0.0
    for nonce, job_id, ended, passed in calls:
        now += passed
        callbacks.park(nonce, job_id, now, ended=ended)
        earlier = next((one for one in said if one[0] == nonce), None)
        ended = ended or (earlier is not None and earlier[1] == job_id and earlier[2])
        said = [one for one in said if one[0] != nonce] + [(nonce, job_id, ended, now + 30.0)]
        said = [one for one in said[-most:] if one[3] > now]

    assert len(callbacks) == len(said)
    assert {nonce: callbacks.take(nonce) for nonce in "abcde"} == {
        **dict.fromkeys("abcde"),
        **{nonce: (job_id, ended) for nonce, job_id, ended, _ in said},
    }
