from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from symbl_aio._core.retries import Attempts, Purpose, Verdict, on_fault, on_status, retry_after
from symbl_aio.config import Retries
from symbl_aio.errors import Sent
from tests.tables import table

# The table of the design, once more and in full: what an answer leads to, by its status,
# for reads, for submissions, and for submissions whose answer says when to come back.
R, T = Verdict.RETRY, Verdict.REAUTHENTICATE
S, A, X = Verdict.WAIT_FOR_SLOT, Verdict.AMBIGUOUS, Verdict.RAISE
TABLE = {
    101: (X, A, A),
    300: (X, X, X),
    301: (X, X, X),
    302: (X, X, X),
    303: (X, X, X),
    304: (X, X, X),
    307: (X, X, X),
    308: (X, X, X),
    400: (X, X, X),
    401: (T, T, T),
    402: (X, X, X),
    403: (X, X, X),
    404: (X, X, X),
    405: (X, X, X),
    408: (R, A, A),
    409: (X, X, X),
    411: (X, X, X),
    413: (X, X, X),
    415: (X, X, X),
    422: (X, X, X),
    425: (R, R, R),
    426: (X, X, X),
    429: (R, S, S),
    499: (X, X, X),
    500: (R, A, A),
    501: (X, X, X),
    502: (R, A, A),
    503: (R, A, R),
    504: (R, A, A),
    505: (X, X, X),
    507: (R, A, A),
    511: (R, R, R),
    520: (R, A, A),
    599: (R, A, A),
}
CELLS = [
    pytest.param(status, purpose, told, verdict, id=f"{status}-{purpose}{'-told' * told}")
    for status, (read, submission, submission_told) in TABLE.items()
    for purpose, told, verdict in (
        ("read", False, read),
        ("read", True, read),
        ("submission", False, submission),
        ("submission", True, submission_told),
    )
]


@table("status, purpose, told, verdict", CELLS)
def test_a_status_leads_to_what_the_table_says(status, purpose, told, verdict):
    assert on_status(status, purpose, has_retry_after=told) is verdict


@table("status, purpose, told, verdict", CELLS)
def test_an_answer_to_half_a_message_leaves_no_doubt(status, purpose, told, verdict):
    early = on_status(status, purpose, has_retry_after=told, complete=False)
    assert early is (TABLE[status][0] if verdict is Verdict.AMBIGUOUS else verdict)


def test_no_retry_after_is_the_default():
    assert on_status(503, "submission") is Verdict.AMBIGUOUS


@given(status=st.integers(100, 599), told=st.booleans())
def test_a_submission_is_repeated_only_when_nothing_was_accepted(status, told):
    verdict = on_status(status, "submission", has_retry_after=told)

    if verdict in (Verdict.RETRY, Verdict.REAUTHENTICATE, Verdict.WAIT_FOR_SLOT):
        assert status in (401, 425, 429, 511) or (status == 503 and told)


@given(status=st.integers(100, 599), told=st.booleans())
def test_a_read_is_never_ambiguous_and_needs_no_slot(status, told):
    verdict = on_status(status, "read", has_retry_after=told)

    assert verdict not in (Verdict.AMBIGUOUS, Verdict.WAIT_FOR_SLOT)


FAULTS: dict[tuple[Purpose, Sent], Verdict] = {
    ("read", "no"): R,
    ("read", "partial"): R,
    ("read", "maybe"): R,
    ("read", "yes"): R,
    ("submission", "no"): R,
    ("submission", "partial"): R,
    ("submission", "maybe"): A,
    ("submission", "yes"): A,
}


@table("sent", get_args(Sent))
@table("purpose", get_args(Purpose))
def test_a_fault_leads_to_what_can_have_arrived(sent, purpose):
    assert on_fault(sent, purpose) is FAULTS[purpose, sent]


# Attempts

STEADY = Retries(attempts=6, max_elapsed=1000, base=1, cap=6, max_retry_after=30)


def pauses(policy: Retries, *, jitter: float, told: float | None = None) -> list[float]:
    """List the pauses of a request whose every attempt fails at once."""
    attempts, now, found = Attempts(policy), 50.0, []
    while (pause := attempts.pause(now, jitter=jitter, retry_after=told)) is not None:
        found.append(pause)
        now += pause
    return found


def test_the_first_try_is_one_of_the_attempts():
    assert len(pauses(STEADY, jitter=1)) == 5
    assert pauses(Retries(attempts=1), jitter=1) == []


def test_pauses_double_up_to_the_cap():
    assert pauses(STEADY, jitter=1) == [1, 2, 4, 6, 6]


def test_pauses_are_a_random_share_so_that_clients_do_not_march_in_step():
    assert pauses(STEADY, jitter=0.5) == [0.5, 1, 2, 3, 3]
    assert pauses(STEADY, jitter=0) == [0] * 5


def test_the_last_attempt_begins_within_the_time_allowed():
    policy = Retries(attempts=100, max_elapsed=10, base=4, cap=4)

    assert pauses(policy, jitter=1) == [4, 4]
    assert pauses(Retries(attempts=100, max_elapsed=12, base=4, cap=4), jitter=1) == [4, 4, 4]


def test_the_time_counts_from_the_first_failure_so_that_a_long_upload_is_tried_again():
    attempts = Attempts(Retries(max_elapsed=10, base=4, cap=4))

    assert attempts.pause(3600, jitter=1) == 4
    assert attempts.pause(3606, jitter=1) == 4
    assert attempts.pause(3610.5, jitter=0) is None


def test_the_server_says_how_long_to_wait():
    assert pauses(STEADY, jitter=0.5, told=7) == [7] * 5
    assert pauses(STEADY, jitter=0.5, told=0) == [0] * 5


def test_the_server_is_not_waited_for_longer_than_allowed():
    assert pauses(STEADY, jitter=0.5, told=31) == [30] * 5
    assert pauses(STEADY, jitter=0.5, told=float("inf")) == [30] * 5


def test_a_wait_that_the_server_asks_for_counts_against_the_time_allowed():
    assert pauses(Retries(max_elapsed=10), jitter=0.5, told=11) == []


def test_many_thousand_attempts_are_no_overflow():
    policy = Retries(attempts=5000, max_elapsed=1e6, base=0.001, cap=0.01)

    assert pauses(policy, jitter=1)[-1] == 0.01


@given(
    policy=st.builds(
        Retries,
        attempts=st.integers(1, 30),
        max_elapsed=st.floats(0.1, 1000),
        base=st.floats(0.001, 100),
        cap=st.floats(0.001, 100),
        max_retry_after=st.floats(0.1, 100),
    ),
    jitter=st.floats(0, 1),
    told=st.none() | st.floats(0, 1e9),
)
def test_attempts_and_pauses_keep_their_bounds(policy, jitter, told):
    found = pauses(policy, jitter=jitter, told=told)

    assert len(found) < policy.attempts
    assert sum(found) <= policy.max_elapsed + 1e-6
    assert all(0 <= pause <= max(policy.cap, policy.max_retry_after) for pause in found)


# Retry-After

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@table(
    "text, seconds",
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("0000000000007", 7),
        ("9" * 12, 1e12 - 1),
        ("9" * 4000, float("inf")),
    ],
)
def test_seconds_are_read(text, seconds):
    assert retry_after({"retry-after": text}) == seconds


@table("text", ["", "soon", "-1", "1.5", "1e3", "٣", "²", "12 s", "0x10", "1_0"])
def test_what_is_no_number_of_seconds_counts_as_not_told(text):
    assert retry_after({"retry-after": text, "date": DATE}) is None
    assert retry_after({}) is None


@table(
    "text, seconds",
    [
        ("Wed, 21 Oct 2026 07:29:30 GMT", 90),
        ("Wed, 21 Oct 2026 09:29:30 +0200", 90),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0),
        ("Thu, 21 Oct 2027 07:28:00 GMT", 365 * 86_400),
    ],
    ids=["later", "in another zone", "past", "far away"],
)
def test_a_date_is_read_by_the_clock_of_the_server(text, seconds):
    assert retry_after({"retry-after": text, "date": DATE}) == seconds


@table("date", [None, "", "today", "Wed, 21 Oct 2026 07:28:00 -0000"])
def test_a_date_tells_nothing_when_the_server_does_not_tell_its_own(date):
    headers = {"retry-after": DATE} | ({} if date is None else {"date": date})

    assert retry_after(headers) is None


instants = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


@given(date=instants, seconds=st.integers(0, 10**7))
def test_seconds_and_date_mean_the_same(date, seconds):
    then = date + timedelta(seconds=seconds)
    headers = {
        "date": format_datetime(date, usegmt=True),
        "retry-after": format_datetime(then, usegmt=True),
    }

    assert retry_after(headers) == retry_after({"retry-after": str(seconds)})


# Close to a date, so that the search gets past the first look of a parser.
ODD_DATES = st.from_regex(
    r"(Mon, )?[0-9]{0,3} (Jan|Feb|Oct|X) [0-9]{0,7} [0-9:.]{0,9} ([+-][0-9]{0,30}|GMT|EST|)",
    fullmatch=True,
)
ODD = st.text(max_size=40) | ODD_DATES


@given(text=ODD, date=ODD | st.just(DATE))
@example(text="Wed, 21 Oct 2026 07:28:00 +99999999999999999999", date=DATE)
@example(text="Wed, 21 Oct 99999 07:28:00 GMT", date=DATE)
@example(text=DATE, date="Wed, 21 Oct 2026 25:61:61 +9999")
def test_whatever_the_server_sends_is_a_number_of_seconds_or_nothing(text, date):
    seconds = retry_after({"retry-after": text, "date": date})

    assert seconds is None or seconds >= 0
