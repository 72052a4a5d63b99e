import ast
import copy
import importlib
import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

import symbl_aio
from symbl_aio import models
from symbl_aio.models import (
    NOBODY,
    ActionItem,
    Experience,
    FollowUp,
    Insight,
    JobStatus,
    Message,
    Page,
    User,
    Word,
)
from tests.tables import table


@table("word", ["scheduled", "Scheduled", "SCHEDULED"])
def test_a_status_is_read_in_any_case(word):
    assert JobStatus.parse(word) is JobStatus.SCHEDULED


@table("word", ["", "paused", "in progress", "\ud800"])
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


def test_what_an_answer_did_not_have_stays_empty():
    first = User()
    raw: Any = first.raw
    for change in (
        lambda: raw.__setitem__("name", "Ines"),
        lambda: raw.update(name="Ines"),
        lambda: raw.setdefault("name", "Ines"),
    ):
        with pytest.raises(TypeError):
            change()
    assert (User().raw, json.dumps(first.raw)) == ({}, "{}")
    assert pickle.loads(pickle.dumps(first)).raw is first.raw


def test_the_link_of_a_page_is_not_shown():
    page = Experience(name="verbose-text-summary", url="https://pages.example/?o=s3cret")

    assert repr(page) == "Experience(name='verbose-text-summary', url='[secret]')"
    assert "s3cret" not in str([page])
    assert repr(Experience()) == "Experience(name=None, url='')"


def test_each_name_is_imported_from_the_module_that_type_checkers_see():
    for package in (symbl_aio, models):
        source = ast.parse(Path(package.__file__ or "").read_text("utf-8"))
        (only,) = (
            node
            for node in source.body
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )
        seen: set[str] = set()
        for node in only.body:
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                starred = node.names[0].name == "*"
                seen |= set(module.__all__ if starred else [alias.name for alias in node.names])
        by_home = {home: names.split() for home, names in package._HOMES.items()}
        assert seen == {name for names in by_home.values() for name in names}
        for home, names in by_home.items():
            if (package, home) != (symbl_aio, "models") and names:
                module = importlib.import_module(f"{package.__name__}.{home}")
                assert sorted(module.__all__) == sorted(names), home
        assert set(seen) <= set(package.__all__)
        assert set(package.__all__) <= set(dir(package))
        for name in package.__all__:
            assert getattr(package, name) is not None
        with pytest.raises(AttributeError, match="no_such_name"):
            _ = package.no_such_name


def test_importing_the_library_makes_no_model():
    program = (
        "import sys, symbl_aio; assert not [m for m in sys.modules if m.startswith("
        "('symbl_aio.models.s', 'symbl_aio.drafts', 'symbl_aio.management', 'cattrs'))]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
