import pytest

from symbl_aio import Tracker
from symbl_aio._protocol import bodies
from symbl_aio.drafts import Patch, SpeakerEvent
from symbl_aio.errors import ConfigurationError
from symbl_aio.models import User
from tests.tables import table


def test_only_what_is_set_is_written_under_the_names_of_the_wire():
    assert bodies.wire_object(read_only=False, summary_url_expires_in=0, logo=None) == {
        "readOnly": False,
        "summaryURLExpiresIn": 0,
    }


@table(
    "offset,seconds,nanos",
    [(0, 0, 0), (1.5, 1, 500_000_000), (0.1, 0, 100_000_000), (59.9999999999, 60, 0)],
)
def test_a_speakers_seconds_are_split_without_a_rest(offset, seconds, nanos):
    body = bodies.speaker_events([SpeakerEvent("started_speaking", User(name="Ines"), offset)])

    assert body == {
        "speakerEvents": [
            {
                "type": "started_speaking",
                "user": {"name": "Ines"},
                "offset": {"seconds": seconds, "nanos": nanos},
            }
        ]
    }


def test_what_came_from_an_answer_is_written_without_what_it_came_of():
    ines = User(name="Ines", raw={"name": "Ines", "shoe": 41})

    body = bodies.speaker_events([SpeakerEvent("stopped_speaking", ines, 1)])

    assert "shoe" not in str(body)


def test_metadata_that_the_api_would_refuse_is_refused_by_its_name():
    assert bodies.metadata({"berth": "x" * 128}) == {"metadata": {"berth": "x" * 128}}
    for wrong in ("x" * 129, 12):
        with pytest.raises(ConfigurationError, match=r"metadata\['berth'\]"):
            bodies.metadata({"berth": wrong})  # type: ignore[dict-item]


@table(
    "write,named",
    [
        (lambda: bodies.speaker_events([]), "events"),
        (lambda: bodies.patches([]), "changes"),
        (lambda: bodies.draft_bodies("trackers", [], Tracker), "trackers"),
    ],
)
def test_a_call_about_nothing_is_refused(write, named):
    with pytest.raises(ConfigurationError, match=named):
        write()


def test_a_patch_that_removes_has_no_value():
    assert bodies.patches([Patch("remove", "/name", "x"), Patch("add", "/name", ("a", "b"))]) == [
        {"op": "remove", "path": "/name"},
        {"op": "add", "path": "/name", "value": ["a", "b"]},
    ]
