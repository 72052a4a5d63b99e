from types import SimpleNamespace
from typing import Any, cast

import pytest

from symbl_aio.drafts import (
    BookmarkDraft,
    Colors,
    EntityDraft,
    GroupDraft,
    Patch,
    SpeakerEvent,
    TrackerDraft,
    criteria,
)
from symbl_aio.errors import ConfigurationError
from symbl_aio.models import User
from symbl_aio.server.conversations import list_query
from tests.tables import table

INES = User(name="Ines")


@table(
    "metadata,rsql",
    [
        ({"agentId": "johndoe"}, "conversation.metadata.agentId==johndoe"),
        (
            {"agentId": "ines@harbour.example", "berth": "12"},
            "conversation.metadata.agentId==ines@harbour.example and "
            "conversation.metadata.berth==12",
        ),
        ({"pier": "Pier 4"}, 'conversation.metadata.pier=="Pier 4"'),
        ({"pier": ""}, 'conversation.metadata.pier==""'),
        ({"said": 'a "b" \\'}, 'conversation.metadata.said=="a \\"b\\" \\\\"'),
        ({"ort": "Fähre"}, 'conversation.metadata.ort=="Fähre"'),
    ],
)
def test_criteria_are_rsql(metadata, rsql):
    assert criteria(metadata) == rsql


@table(
    "value",
    [
        "johndoe",
        "Pier 4",
        "",
        "rock and roll",
        "a; b",
        "Smith, John (jr.)",
        "it's",
        'a "b" \\',
        "\\",
    ],
)
def test_the_server_reads_what_criteria_wrote(value):
    metadata = {"pier": value, "agentId": "johndoe"}
    meets = list_query.parse_filter(criteria(metadata))
    assert meets is not None
    assert meets(cast("Any", SimpleNamespace(metadata=metadata)))
    assert not meets(cast("Any", SimpleNamespace(metadata={**metadata, "pier": f"{value}."})))


@table("metadata", [{}, {"a": "1", "b": "2", "c": "3"}, {"a b": "1"}, {"": "1"}])
def test_criteria_that_the_api_does_not_take_are_refused(metadata):
    with pytest.raises(ConfigurationError, match="metadata"):
        criteria(metadata)


def bookmark(**fields: Any) -> BookmarkDraft:
    given: dict[str, Any] = {"label": "Decision", "description": "The railings", "user": INES}
    return BookmarkDraft(**given | fields)


@table(
    "fields,named",
    [
        ({}, "message_ids"),
        ({"begin_time_offset": 5}, "message_ids"),
        ({"duration": 5}, "message_ids"),
        ({"message_ids": ["1"], "duration": 5}, "message_ids"),
        ({"message_ids": ["1"], "begin_time_offset": 0, "duration": 5}, "message_ids"),
        ({"message_ids": "12"}, "message_ids"),
        ({"begin_time_offset": 1.5, "duration": 5}, "begin_time_offset"),
        ({"begin_time_offset": -1, "duration": 5}, "begin_time_offset"),
        ({"message_ids": ["1"], "description": ""}, "description"),
        ({"message_ids": ["1"], "user": "Ines"}, "user"),
    ],
)
def test_a_bookmark_that_marks_nothing_clear_is_refused(fields, named):
    with pytest.raises(ConfigurationError, match=named):
        bookmark(**fields)


def test_a_bookmark_marks_times_or_messages():
    assert bookmark(begin_time_offset=0, duration=0).message_ids is None
    assert bookmark(message_ids=["1", "2"]).message_ids == ("1", "2")


@table(
    "make,named",
    [
        (lambda: GroupDraft("x" * 129, "a==b"), "name"),
        (lambda: GroupDraft("", "a==b"), "name"),
        (lambda: GroupDraft("a", " "), "criteria"),
        (lambda: GroupDraft("a", "a==b", "x" * 513), "description"),
        (lambda: EntityDraft("vessel", "ferry", "Night boat"), "values"),
        (lambda: EntityDraft("vessel", "", ["x"]), "sub_type"),
        (lambda: TrackerDraft("a", ["b"], languages="en"), "languages"),
        (lambda: TrackerDraft("a", ["b"], description=5), "description"),  # type: ignore[arg-type]
        (lambda: SpeakerEvent("spoke", INES, 1), "type"),  # type: ignore[arg-type]
        (lambda: SpeakerEvent("enters", INES), "joined"),  # type: ignore[arg-type]
        (lambda: SpeakerEvent("started_speaking", "Ines", 1), "user"),  # type: ignore[arg-type]
        (lambda: SpeakerEvent("started_speaking", INES, -1), "offset"),
        (lambda: SpeakerEvent("started_speaking", INES, float("inf")), "offset"),
        (lambda: SpeakerEvent("started_speaking", INES, float("nan")), "offset"),
        (lambda: SpeakerEvent("started_speaking", INES, True), "offset"),
        (lambda: Patch("move", "/a"), "op"),  # type: ignore[arg-type]
        (lambda: Patch("add", "name", 1), "path"),
        (lambda: Colors(background=""), "background"),
    ],
)
def test_what_the_api_would_refuse_is_refused_by_its_field(make, named):
    with pytest.raises(ConfigurationError, match=named):
        make()
