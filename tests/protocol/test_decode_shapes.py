"""What documents, SDKs and generations of the API show differently becomes one."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.decode_models import (
    decode,
    decode_any_list,
    decode_detected_trackers,
    decode_insights,
    decode_list,
    decode_within,
)
from symbl_aio.errors import DecodeError
from symbl_aio.models import (
    JSON,
    Analytics,
    CallScore,
    ComprehensiveActionItem,
    ConversationGroup,
    Criterion,
    Entity,
    EntityMatch,
    FormattedTranscript,
    Insight,
    Intent,
    JobStatus,
    MemberAnalytics,
    MessageRef,
    Metric,
    Overlap,
    OverlapMember,
    Phrase,
    Progress,
    Question,
    StoredTracker,
    SummaryItem,
    TimeShare,
    as_json,
)
from tests.tables import table

SAMPLES = Path(__file__).parents[1] / "samples"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def test_an_entity_of_the_first_generation_has_one_match():
    today, ferry, span = decode_list(Entity, sample("entities"), "entities")

    assert today == Entity(
        type="date",
        matches=(
            EntityMatch(
                value="2024-03-05",
                text="today",
                message_refs=(
                    MessageRef(id="7001200340056001", text="The bridge opens today.", offset=17),
                ),
            ),
        ),
    )
    assert (ferry.type, ferry.custom_type) == ("custom", "vessel")
    assert [ref.is_exact for ref in ferry.matches[0].message_refs] == [True, False]
    assert (span.matches[0].start, span.matches[0].end) == ("2024-03-11", "2024-03-17")


def test_an_entity_of_the_second_generation_has_all_its_matches():
    person, vessel = decode_list(Entity, sample("entities_grouped"), "entities")

    assert (person.type, person.sub_type, person.category) == ("PII", "PERSON_NAME", "Managed")
    assert [match.value for match in person.matches] == ["Omar", "Ines"]
    assert person.matches[0].message_refs[0].start_time == datetime(
        2024, 3, 5, 8, 0, 1, 250_000, UTC
    )
    assert (vessel.id, vessel.matches) == ("7001200340056100", ())


def test_analytics_are_read_to_their_last_field():
    found = decode(Analytics, sample("analytics"))

    assert found.metric("total_overlap") == Metric(type="total_overlap", percent=1.5, seconds=2.0)
    assert found.metric("total_noise") is None
    assert found.members == (
        MemberAnalytics(
            id="a3d1",
            name="Ines",
            user_id="ines@harbour.example",
            words_per_minute=141.0,
            talk_time=TimeShare(percent=60.0, seconds=54.9),
            listen_time=TimeShare(percent=40.0, seconds=36.6),
            overlap=Overlap(
                duration=2.0,
                members=(
                    OverlapMember(
                        id="b0c4",
                        name="Omar",
                        user_id="omar@harbour.example",
                        percent=3.6,
                        seconds=2.0,
                    ),
                ),
            ),
        ),
        MemberAnalytics(
            id="b0c4",
            name="Omar",
            user_id="omar@harbour.example",
            email="omar@harbour.example",
            words_per_minute=98.5,
            talk_time=TimeShare(percent=40.0, seconds=36.6),
            listen_time=TimeShare(percent=60.0, seconds=54.9),
        ),
    )


@table(
    "name,start",
    [("transcript_markdown", "Ines: The bridge"), ("transcript_srt", "1\n00:00:00,000")],
)
def test_a_transcript_is_a_text_whether_it_comes_as_one_or_in_an_object(name, start):
    wire = sample(name)["transcript"]

    made = decode(FormattedTranscript, wire)

    assert made.text.startswith(start)
    assert made.content_type in ("text/markdown", "text/srt")
    assert made.raw is wire


def test_an_inner_content_type_counts_where_there_is_no_other():
    payload = {"content": "1", "contentType": "text/srt"}

    assert decode(FormattedTranscript, {"payload": payload}).content_type == "text/srt"


def test_comprehensive_action_items_have_the_ids_of_their_messages():
    (item,) = decode_list(
        ComprehensiveActionItem, sample("comprehensive_action_items"), "actionItems"
    )
    assert item.message_ids == ("7001200340056001", "7001200340056003")
    assert item.message_refs[1] == MessageRef(id="7001200340056003")
    own: JSON = {"id": "1", "messageIds": ["5"], "messageRefs": [{"id": "6"}, 7]}
    assert decode(ComprehensiveActionItem, own).message_ids == ("5",)


def test_feedback_and_bookmarks_are_lifted_out_of_their_objects():
    first, second = decode(CallScore, sample("call_score")).criteria

    assert first == Criterion(
        name="Symbl.Question_Handling",
        score=90.5,
        summary="All were answered.",
        positive_feedback="Patient.",
        negative_feedback="Long.",
    )
    assert second == Criterion(name="Tone", score=4.0)
    _, marked = decode_list(SummaryItem, sample("summary"), "summary")
    assert marked.bookmark_id == "9001"


def test_detected_trackers_come_bare_alone_or_in_an_object():
    bare, one = sample("trackers_detected"), sample("trackers_detected_object")

    found = decode_detected_trackers(bare)
    assert (found[0].name, found[0].matches[0].insight_refs[0].type) == ("Delay", "question")
    assert decode_detected_trackers(one) == found
    assert decode_detected_trackers({"trackers": bare}) == found
    assert decode_detected_trackers([]) == ()
    with pytest.raises(DecodeError):
        decode_detected_trackers({"message": "no"})


def test_mixed_insights_are_of_their_own_classes_and_unknown_ones_stay_insights():
    found = decode_insights(sample("insights"))

    assert [type(item).__name__ for item in found] == [
        "Question", "ActionItem", "FollowUp", "Insight",
    ]  # fmt: skip
    assert found[0] == Question(id="1", text="Who told you?", type="question", score=0.9,
                                message_ids=("5",))  # fmt: skip
    assert decode_insights({"insights": [{"id": "1", "type": ["question"]}]}) == (Insight(id="1"),)
    wrongs: list[JSON] = [
        {"insights": [5]},
        {"insights": [{}]},
        {"insights": [{"type": "question"}]},
        [],
    ]
    for wrong in wrongs:
        with pytest.raises(DecodeError):
            decode_insights(wrong)


@table("word", ["completed", "COMPLETED"])
def test_a_status_is_read_in_any_case(word):
    assert decode(Progress, {"status": word}).status is JobStatus.COMPLETED
    assert decode(Progress, {"status": 5}).status is JobStatus.UNKNOWN


@table(
    "answer",
    [
        {"group": {"id": 6002, "name": "Pier 4"}},
        {"id": "6002", "name": "Pier 4"},
        {"groups": [{"id": "6002", "name": "Pier 4"}]},
    ],
)
def test_one_group_is_found_wrapped_bare_or_alone_in_a_list(answer):
    found = decode_within(ConversationGroup, answer, "group", "groups")

    assert found == ConversationGroup(id="6002", name="Pier 4")


@table(
    "answer",
    [
        {"trackers": [{"id": "1"}]},
        {"tracker": {"id": "1"}},
        {"tracker": [{"id": "1"}]},
        [{"id": "1"}],
    ],
)
def test_a_list_of_trackers_is_found_in_each_shape(answer):
    assert decode_any_list(StoredTracker, answer, "trackers", "tracker") == (StoredTracker(id="1"),)


@table("answer", [{}, {"trackers": 5}, None, "trackers", [5], [{}]])
def test_what_holds_no_list_is_an_error(answer):
    with pytest.raises(DecodeError) as caught:
        decode_any_list(StoredTracker, answer, "trackers", "tracker", text="as received")
    assert caught.value.raw == "as received"


@table("shaped", [None, 5, [], "x", {}, {"payload": 5}, {"feedback": 5}])
@table(
    "model", [Analytics, CallScore, ComprehensiveActionItem, Criterion, Entity, EntityMatch,
              FormattedTranscript, MemberAnalytics, Phrase, SummaryItem],
)  # fmt: skip
def test_no_shape_breaks_on_nonsense(model, shaped):
    with suppress(DecodeError):
        decode(model, shaped)


@table("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", f"{10**400}.0"])
def test_a_number_that_json_does_not_have_is_none(number):
    answer = Answer(200, {}, f'{{"type": "intent", "text": "Yes.", "score": {number}}}')

    intent = decode(Intent, answer.json(), text=answer.text)

    assert intent.score is None
    assert intent == decode(Intent, answer.json(), text=answer.text)
    assert as_json(intent.raw) == {"type": "intent", "text": "Yes.", "score": None}


@table(
    "received, read",
    [
        (r"cut \ud83d", "cut \ufffd"),
        (r"\uDE00 cut", "\ufffd cut"),
        (r"\ud83d\ud83d\ude00", "\ufffd\N{GRINNING FACE}"),
        (r"whole \ud83d\ude00", "whole \N{GRINNING FACE}"),
        (r"no escape: \\ud83d", r"no escape: \ud83d"),
    ],
)
def test_half_of_an_emoji_can_be_written_as_text_and_as_json(received, read):
    answer = Answer(200, {}, f'{{"items": [{{"{received}": "{received}"}}, 5]}}')

    assert answer.json() == {"items": [{read: read}, 5]}
