import copy
import pickle
from datetime import UTC, datetime

import attrs
import pytest

from symbl_aio.models import (
    NOBODY,
    ActionItem,
    FollowUp,
    Insight,
    JobStatus,
    Message,
    Page,
    User,
    Word,
)


@pytest.mark.parametrize("word", ["scheduled", "Scheduled", "SCHEDULED"])
def test_a_status_is_read_in_any_case(word):
    assert JobStatus.parse(word) is JobStatus.SCHEDULED


@pytest.mark.parametrize("word", ["", "paused", "in progress", "\ud800"])
def test_a_status_not_documented_is_unknown_and_not_final(word):
    assert JobStatus.parse(word) is JobStatus.UNKNOWN
    assert not JobStatus.parse(word).is_terminal


def test_two_statuses_are_final():
    assert [status for status in JobStatus if status.is_terminal] == ["completed", "failed"]


def test_every_documented_status_reads_as_itself():
    assert [JobStatus.parse(status.value) for status in JobStatus] == list(JobStatus)


@pytest.fixture
def page() -> Page[str]:
    raw = {"messages": ["a", "b", "c"]}
    return Page(("a", "b", "c"), raw, 200, {"x-request-id": "7"}, 0.25)


def test_a_page_is_a_sequence_of_its_items(page: Page[str]):
    assert list(page) == ["a", "b", "c"]
    assert len(page) == 3
    assert page[0] == "a"
    assert page[-1] == "c"
    assert page[1:] == ("b", "c")
    assert "b" in page
    assert page.index("c") == 2
    assert list(reversed(page)) == ["c", "b", "a"]


def test_an_empty_page_is_false():
    assert not Page((), {"messages": []}, 200, {}, 0.0)


def test_a_page_keeps_its_response_and_prints_without_it(page: Page[str]):
    assert (page.status, page.headers["x-request-id"], page.elapsed) == (200, "7", 0.25)
    assert page.raw == {"messages": ["a", "b", "c"]}
    assert repr(page) == "Page(items=('a', 'b', 'c'), status=200, elapsed=0.25)"


def test_a_message_without_a_sender_still_has_a_name_to_print():
    message = Message(id="1")

    assert message.sender is NOBODY
    assert (message.sender.name, message.text) == (None, "")


def test_models_cannot_be_changed():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Word(text="quay").text = "pier"  # type: ignore[misc]


def test_two_answers_that_say_the_same_are_equal_whatever_else_they_hold():
    one, other = User(name="Ines", raw={"name": "Ines"}), User(name="Ines", raw={"x": 1})

    assert one == other
    assert hash(one) == hash(other)
    assert "raw" not in repr(one)


def test_insights_of_different_kinds_are_never_equal():
    item: Insight = ActionItem(id="1")

    assert item != FollowUp(id="1")


def test_models_can_be_copied_and_sent_to_another_process():
    message = Message(
        id="1",
        sender=User(name="Omar"),
        start_time=datetime(2024, 3, 5, tzinfo=UTC),
        words=(Word(text="quay", raw={"word": "quay"}),),
    )

    for twin in (pickle.loads(pickle.dumps(message)), copy.deepcopy(message)):
        assert twin == message
        assert twin.words[0].raw == {"word": "quay"}
