import json
import pickle
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio import models
from symbl_aio._protocol.decode_models import decode, decode_list
from symbl_aio.errors import DecodeError
from symbl_aio.models import (
    JSON,
    NOBODY,
    ActionItem,
    ConversationInfo,
    EntityValue,
    FollowUp,
    InsightEntity,
    Message,
    ParentRef,
    Phrase,
    Question,
    Sentiment,
    Topic,
    User,
    Word,
)
from tests.tables import table

SAMPLES = Path(__file__).parents[1] / "samples"
LISTS: list[tuple[type, str]] = [
    (Message, "messages"),
    (Topic, "topics"),
    (Question, "questions"),
    (ActionItem, "actionItems"),
    (FollowUp, "followUps"),
    (models.AbstractTopic, "abstractTopics"),
    (models.Bookmark, "bookmarks"),
    (models.StoredTracker, "trackers"),
    (models.Intent, "intents"),
    (models.SummaryItem, "summary"),
    (User, "members"),
]
NAMES = {
    "abstractTopics": "abstract_topics",
    "actionItems": "action_items",
    "followUps": "follow_ups",
    "trackers": "stored_trackers",
}
MODELS: list[type] = [
    model
    for model in (getattr(models, name) for name in dir(models))
    if isinstance(model, type) and attrs.has(model) and model is not models.Page
]


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2024-03-{text}+00:00")


def test_a_verbose_message_is_read_to_its_last_field():
    answer = sample("messages")

    first, _ = decode_list(Message, answer, "messages")

    assert first == Message(
        id="7001200340056001",
        text="The bridge opens on Tuesday.",
        sender=User(
            id="a3d1c2b4-0000-4a6e-9f51-2f7c5f0d9e11", name="Ines", email="ines@harbour.example"
        ),
        start_time=at("05T08:00:01.250"),
        end_time=at("05T08:00:03.500"),
        time_offset=0.0,
        duration=2.25,
        conversation_id="7001200340050000",
        phrases=(Phrase(text="opens on Tuesday", type="action_phrase"),),
        sentiment=Sentiment(score=0.42, suggested="positive"),
        words=(
            Word(
                text="The",
                start_time=at("05T08:00:01.250"),
                end_time=at("05T08:00:01.400"),
                score=1.0,
                time_offset=0.0,
                duration=0.15,
                speaker_tag=1,
            ),
            Word(
                text="bridge",
                start_time=at("05T08:00:01.400"),
                end_time=at("05T08:00:01.900"),
                score=0.87,
                time_offset=0.15,
                duration=0.5,
            ),
        ),
        entities=(InsightEntity(type="DATE", text="Tuesday", value="2024-03-12", offset=20),),
    )


def test_a_sparse_message_is_read_with_what_it_has():
    _, second = decode_list(Message, sample("messages"), "messages")

    assert second.sender is NOBODY
    assert second.phrases == (Phrase(text="told you"),)
    assert second.sentiment == Sentiment(score=0.0)
    assert (second.words, second.entities, second.duration) == ((), (), None)


def test_topics_are_read_with_or_without_an_id():
    first, second = decode_list(Topic, sample("topics"), "topics")

    assert first == Topic(
        id="7001200340057001",
        text="ferry timetable",
        type="topic",
        score=0.75,
        message_ids=("7001200340056001", "7001200340056002"),
        parent_refs=(ParentRef(text="harbour", type="topic"),),
        sentiment=Sentiment(score=-0.5, suggested="negative"),
    )
    assert second == Topic(text="harbour", type="topic", score=1.0)


def test_questions_are_read_with_or_without_a_sender():
    first, second = decode_list(Question, sample("questions"), "questions")

    assert first == Question(
        id="7001200340058001",
        text="Who told you?",
        type="question",
        score=0.98,
        message_ids=("7001200340056002",),
        sender=User(id="b0c4", name="Omar", user_id="omar@harbour.example"),
    )
    assert second.sender is NOBODY


def test_an_action_item_is_read_to_its_last_field():
    (item,) = decode_list(ActionItem, sample("action_items"), "actionItems")

    assert item == ActionItem(
        id="7001200340059001",
        text="Omar will paint the railings by Friday.",
        type="action_item",
        score=0.91,
        message_ids=("7001200340056003",),
        entities=(
            InsightEntity(
                type="person",
                text="Omar",
                offset=0,
                value=EntityValue(assignee=True, name="Omar", user_id="omar@harbour.example"),
            ),
            InsightEntity(type="date", text="Friday", offset=32, value="2024-03-08"),
        ),
        phrases=(Phrase(text="paint the railings", type="action_phrase"),),
        sender=User(id="a3d1", name="Ines", user_id="ines@harbour.example"),
        definitive=True,
        assignee=User(name="Omar", email="omar@harbour.example"),
        due_by=at("08T17:00"),
    )


def test_the_times_of_an_entity_stay_the_text_they_are():
    (item,) = decode_list(FollowUp, sample("follow_ups"), "followUps")

    assert item.entities[0].start == "2024-03-06 12:00:00"
    assert item.entities[0].end == "2024-03-06 17:00:00"
    assert item.entities[0].value is None


def test_an_empty_assignee_is_none():
    (item,) = decode_list(FollowUp, sample("follow_ups"), "followUps")

    assert item.assignee is None
    assert item.due_by == at("06T12:00")


def test_a_conversation_is_read_from_the_bare_object():
    assert decode(ConversationInfo, sample("conversation")) == ConversationInfo(
        id="7001200340050000",
        type="meeting",
        name="Harbour board, March",
        start_time=at("05T08:00"),
        end_time=at("05T09:30"),
        members=(
            User(id="40021", name="Ines", email="ines@harbour.example"),
            User(name="Omar"),
        ),
        metadata={"berth": "12", "season": "spring"},
    )


def test_unknown_fields_are_found_in_raw_which_is_no_copy():
    answer = sample("messages")

    first, second = decode_list(Message, answer, "messages")

    wire = answer["messages"][0]
    assert first.raw["channel"] == 2
    assert first.sender.raw is wire["from"]
    assert first.words[1].raw is wire["words"][1]
    assert first.sentiment is not None
    assert first.sentiment.raw is wire["sentiment"]
    assert second.phrases[0].raw == {}
    assert first.raw is wire


def test_what_was_decoded_is_the_model_itself_and_frozen():
    first, _ = decode_list(Message, sample("messages"), "messages")

    assert (type(first), type(first.words[0])) == (Message, Word)
    for change in (lambda: setattr(first, "text", "x"), lambda: delattr(first.words[0], "text")):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            change()
    assert pickle.loads(pickle.dumps(first)) == first


def test_reading_leaves_the_answer_as_it_was():
    answer = sample("messages")

    decode_list(Message, answer, "messages")

    assert answer == sample("messages")


def message(**fields: JSON) -> Message:
    return decode(Message, {"id": "1", **fields})


@table(
    "wire,seconds",
    [(1, 1.0), (0, 0.0), (1.5, 1.5), (True, None), ("1.5", None), (10**400, None), ({}, None)],
)
def test_seconds_are_floats_or_absent(wire, seconds):
    duration = message(duration=wire).duration

    assert (duration, type(duration)) == (seconds, type(seconds))


@table(
    "wire,instant",
    [
        ("2024-03-05T08:00:01.250Z", at("05T08:00:01.250")),
        ("2024-03-05T08:00:19.99Z", at("05T08:00:19.990")),
        ("2024-03-05T08:00:19Z", at("05T08:00:19")),
        ("2024-03-05T08:00:19", at("05T08:00:19")),
        ("2024-03-05T08:00:00.123456789Z", at("05T08:00:00.123456")),
        ("2024-03-05T00:00:00-07:00", at("05T07:00")),
        ("0001-01-01T00:00:00+14:00", None),
        ("soon", None),
        ("", None),
        (1709625600, None),
        ({"value": "2024-03-05T08:00:00Z"}, None),
    ],
)
def test_an_instant_is_aware_and_in_utc_or_absent(wire, instant):
    start = message(startTime=wire).start_time

    assert (start, start and start.utcoffset()) == (instant, instant and timedelta(0))


def test_a_numeric_id_becomes_a_string_and_loses_no_digit():
    assert decode(Message, {"id": 9007199254740993}).id == "9007199254740993"
    assert message(conversationId=12).conversation_id == "12"
    (topic,) = decode_list(Topic, {"topics": [{"messageIds": [1, "2"]}]}, "topics")
    assert topic.message_ids == ("1", "2")


@table("absent", [None, {}, [], "", 0, False, [{}], {"unheard": 1}])
@table("model,key", LISTS)
def test_no_odd_value_of_any_optional_field_costs_the_item(model, key, absent):
    name = NAMES.get(key, key)
    whole = sample(name)[key][0]
    for field in whole.keys() - {"id"}:
        (item,) = decode_list(model, {key: [{**whole, field: absent}]}, key)
        assert item.id == whole["id"]
        assert item.raw[field] == absent
        assert_typed(item)


def test_a_value_of_the_wrong_type_is_absent_and_still_visible():
    odd = message(
        text=["no"], phrases={"a": 1}, words=[None, {"word": "quay"}, 7], sentiment="good"
    )

    assert (odd.text, odd.phrases, odd.sentiment) == ("", (), None)
    assert [word.text for word in odd.words] == ["quay"]
    assert odd.raw["words"] == [None, {"word": "quay"}, 7]


@table(
    "wire,offset,definitive",
    [(7, 7, None), (True, None, True), (7.5, None, None), ("7", None, None)],
)
def test_numbers_and_flags_are_not_taken_for_each_other(wire, offset, definitive):
    item = decode(ActionItem, {"id": "1", "definitive": wire, "entities": [{"offset": wire}]})

    assert (item.entities[0].offset, item.definitive) == (offset, definitive)


def test_a_sentiment_word_not_documented_is_kept():
    sentiment = message(sentiment={"polarity": {"score": 0.1}, "suggested": "mixed"}).sentiment

    assert sentiment == Sentiment(score=0.1, suggested="mixed")


def test_a_sentiment_without_a_polarity_keeps_the_rest():
    assert message(sentiment={"suggested": "neutral", "polarity": None}).sentiment == Sentiment(
        suggested="neutral"
    )


def test_metadata_of_another_type_is_empty():
    assert decode(ConversationInfo, {"id": "1", "metadata": ["a"]}).metadata == {}


def test_metadata_keeps_its_texts():
    info = decode(ConversationInfo, {"id": "1", "metadata": {"a": "b", "n": 5, "x": [1]}})

    assert info.metadata == {"a": "b", "n": "5"}
    assert info.raw["metadata"] == {"a": "b", "n": 5, "x": [1]}


@table(
    "answer,complaint",
    [
        ({}, "the answer has no list 'messages'"),
        ({"messages": None}, "the answer has no list 'messages'"),
        ({"messages": {}}, "the answer has no list 'messages'"),
        ([], "the answer has no list 'messages'"),
        ("messages", "the answer has no list 'messages'"),
        (None, "the answer has no list 'messages'"),
        ({"messages": [{"id": "1"}, 5]}, "messages[1] is not an object, or an empty one"),
        ({"messages": [{}]}, "messages[0] is not an object, or an empty one"),
        ({"messages": [{"id": "1"}, {"text": "a"}]}, "messages[1] has no readable 'id'"),
        ({"messages": [{"id": None}]}, "messages[0] has no readable 'id'"),
        ({"messages": [{"id": 1.5}]}, "messages[0] has no readable 'id'"),
        ({"messages": [{"id": True}]}, "messages[0] has no readable 'id'"),
    ],
)
def test_a_list_that_cannot_be_understood_says_where_and_keeps_the_text(answer, complaint):
    text = json.dumps(answer)

    with pytest.raises(DecodeError) as caught:
        decode_list(Message, answer, "messages", text=text)

    assert str(caught.value) == complaint
    assert caught.value.raw == text


@table(
    "answer,complaint",
    [
        ([], "the answer is not an object, or an empty one"),
        ({}, "the answer is not an object, or an empty one"),
        ({"name": "a"}, "the answer has no readable 'id'"),
    ],
)
def test_an_object_that_cannot_be_understood_says_so_and_keeps_the_text(answer, complaint):
    with pytest.raises(DecodeError) as caught:
        decode(ConversationInfo, answer, text="as received")

    assert str(caught.value) == complaint
    assert caught.value.raw == "as received"


def test_an_empty_list_is_an_empty_answer():
    assert decode_list(Message, {"messages": []}, "messages") == ()


def test_a_field_whose_type_has_no_reader_is_found_when_the_model_is_first_used():
    @attrs.frozen
    class Odd:
        size: complex = 0j
        raw: Mapping[str, JSON] = attrs.field(factory=dict)

    with pytest.raises(TypeError, match="complex"):
        decode(Odd, {"size": 1})


# Any JSON at all, and objects that look right until one looks closer.

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.datetimes().map(lambda time: time.isoformat() + "Z")
    | st.sampled_from(["0001-01-01T00:00:00+01:00", 10**400, "\ud800"])
)
FIELDS = st.sampled_from(
    sorted({*json.dumps([sample(path.stem) for path in SAMPLES.glob("*.json")]).split('"')})
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | FIELDS, inner, max_size=4)
    ),
    max_leaves=12,
)


def assert_typed(value: object) -> None:
    """Check that every field, however deep, holds what its annotation says."""
    kinds = get_type_hints(type(value))
    for field in attrs.fields(type(value)):  # type: ignore[arg-type]
        if field.name != "raw":
            assert fits(getattr(value, field.name), kinds[field.name]), (value, field.name)


def fits(value: object, kind: Any) -> bool:
    arguments = get_args(kind)
    if get_origin(kind) is UnionType:
        return any(fits(value, argument) for argument in arguments)
    if get_origin(kind) is tuple:
        return type(value) is tuple and all(fits(item, arguments[0]) for item in value)
    if kind == Mapping[str, str]:
        # Not type(): what an answer did not have is an empty dict that stays empty.
        assert isinstance(value, dict)
        return all(type(x) is str for pair in value.items() for x in pair)
    if kind is NoneType:
        return value is None
    if type(value) is not kind:
        return False
    if kind is datetime:
        return value.tzinfo is UTC  # type: ignore[attr-defined]
    if attrs.has(kind):
        assert_typed(value)
    return True


@pytest.mark.parametrize("model", MODELS)
@given(answer=ANY_JSON)
def test_any_json_gives_a_value_or_a_decode_error(model: type, answer: JSON):
    try:
        value: object = decode(model, answer)
    except DecodeError:
        return
    assert_typed(value)


@pytest.mark.parametrize("model,key", LISTS)
@given(data=st.data())
def test_a_list_of_nearly_right_items_gives_values_or_a_decode_error(model, key, data):
    name = NAMES.get(key, key)
    whole: dict[str, Any] = sample(name)[key][0]
    odd = st.fixed_dictionaries({}, optional=dict.fromkeys(whole, ANY_JSON))
    items = data.draw(
        st.lists(odd.map(lambda changes: {**whole, **changes}) | ANY_JSON, max_size=3)
    )

    try:
        values: tuple[Any, ...] = decode_list(model, {key: items}, key)
    except DecodeError:
        return
    assert len(values) == len(items)
    for value, item in zip(values, items, strict=True):
        assert value.raw is item
        assert_typed(value)
