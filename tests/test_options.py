import pickle
from collections.abc import Callable
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import pytest
from attrs import evolve, fields
from attrs.exceptions import FrozenInstanceError

from symbl_aio.drafts import Patch
from symbl_aio.errors import ConfigurationError
from symbl_aio.models.base import wire_name
from symbl_aio.options import (
    ChannelMetadata,
    CustomEntity,
    Features,
    MediaOptions,
    SalesMetadata,
    Speaker,
    TextOptions,
    Tracker,
    TrackerRef,
)
from tests.options import RECORDINGS, SHARED
from tests.tables import table

NOT_PARAMETERS = {"extra_body", "extra_query", "in_query"}


def wire_names(options: type) -> set[str]:
    return {wire_name(f.name) for f in fields(options) if f.name not in NOT_PARAMETERS}


def test_every_documented_parameter_has_a_field():
    assert wire_names(TextOptions) == {option.name for option in SHARED}
    assert wire_names(MediaOptions) == {option.name for option in SHARED + RECORDINGS}


def test_the_parts_of_a_parameter_have_their_documented_names():
    parts = {
        wire_name(f.name)
        for kind in (
            CustomEntity, Tracker, TrackerRef, Speaker, ChannelMetadata, Features, SalesMetadata
        )
        for f in fields(kind)
    }  # fmt: skip
    assert parts == {
        "customType", "text", "value", "name", "vocabulary", "id", "email", "channel", "speaker",
        "featureList", "salesStage", "prospectName",
    }  # fmt: skip


def test_nothing_is_given_unless_the_caller_gives_it():
    assert TextOptions().given() == {}
    assert MediaOptions().given() == {}
    assert MediaOptions(detect_phrases=False, custom_vocabulary=[], name="").given() == {
        "name": "",
        "detect_phrases": False,
        "custom_vocabulary": (),
    }


def test_lists_are_taken_from_any_iterable_and_kept_as_tuples():
    options = MediaOptions(
        custom_vocabulary=(word for word in ["a", "b"]),
        trackers=(tracker for tracker in (Tracker("t", {"x": 1}.keys()), TrackerRef("1"))),
        entities=[CustomEntity("kind", "text")],
        channel_metadata=[ChannelMetadata(1, Speaker())],
        conversation_type=["sales"],
    )
    assert options.custom_vocabulary == ("a", "b")
    assert options.trackers == (Tracker("t", ["x"]), TrackerRef("1"))
    assert options.entities == (CustomEntity("kind", "text"),)
    assert options.channel_metadata == (ChannelMetadata(1, Speaker()),)
    assert options.conversation_type == ("sales",)
    assert MediaOptions(conversation_type="sales").conversation_type == "sales"


@table(
    "field,value",
    [
        ("name", 3),
        ("name", "half a pair \ud83d"),
        ("confidence_threshold", -0.1),
        ("confidence_threshold", 1.01),
        ("confidence_threshold", float("nan")),
        ("confidence_threshold", float("inf")),
        ("confidence_threshold", True),
        ("confidence_threshold", "0.5"),
        ("detect_phrases", "true"),
        ("detect_phrases", 1),
        ("detect_entities", 0),
        ("enable_all_trackers", "yes"),
        ("enable_summary", []),
        ("entities", [{"customType": "a", "text": "b"}]),
        ("entities", CustomEntity("a", "b")),
        ("entities", "abc"),
        ("trackers", [CustomEntity("a", "b")]),
        ("trackers", Tracker("a", ["b"])),
        ("webhook_url", "ftp://example.com/x"),
        ("webhook_url", "example.com/x"),
        ("webhook_url", "https://"),
        ("webhook_url", "https://example.com/a b"),
        ("webhook_url", "https://example.com/\r\nX: y"),
        ("webhook_url", "https://example.com:port/"),
        ("webhook_url", "https://[::1/"),
        ("webhook_url", 1),
        ("timezone_offset", 1.5),
        ("timezone_offset", True),
        ("conversation_type", 4),
        ("conversation_type", [4]),
        ("conversation_type", ""),
        ("features", ["callScore"]),
        ("metadata", {"salesStage": "demo"}),
        ("custom_vocabulary", "one string"),
        ("custom_vocabulary", b"bytes"),
        ("custom_vocabulary", {"a": 1}),
        ("custom_vocabulary", ["a", ""]),
        ("custom_vocabulary", ["a", 1]),
        ("custom_vocabulary", ["a\nb"]),
        ("custom_vocabulary", ["a\ud800"]),
        ("custom_vocabulary", 5),
        ("language_code", ""),
        ("language_code", "en\nUS"),
        ("mode", "PHONE"),
        ("mode", ["phone"]),
        ("enable_separate_recognition_per_channel", "true"),
        ("channel_metadata", [{"channel": 1}]),
        ("enable_speaker_diarization", 1),
        ("diarization_speaker_count", 0),
        ("diarization_speaker_count", 2.0),
        ("diarization_speaker_count", True),
        ("in_query", "webhook_url"),
        ("in_query", ["webhookUrl"]),
        ("in_query", ["extra_body"]),
        ("in_query", 3),
        ("in_query", None),
        ("extra_body", [("a", 1)]),
        ("extra_body", {1: "a"}),
        ("extra_body", {"": "a"}),
        ("extra_body", {"a": object()}),
        ("extra_body", {"a": {1, 2}}),
        ("extra_body", {"a": float("nan")}),
        ("extra_body", {"a": ["\ud800"]}),
        ("extra_query", {"a": float("inf")}),
        ("extra_query", {"a": None}),
        ("extra_query", "a=b"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field: str, value: object):
    with pytest.raises(ConfigurationError, match=rf"\b{field}\b.* give |\b{field}\b.* leave "):
        MediaOptions(**{field: value})  # type: ignore[arg-type]


@table(
    "make,named",
    [
        (lambda: CustomEntity("", "text"), "custom_type"),
        (lambda: CustomEntity("kind", None), "text"),  # type: ignore[arg-type]
        (lambda: CustomEntity("kind", "text", 3), "value"),  # type: ignore[arg-type]
        (lambda: Tracker("", ["a"]), "name"),
        (lambda: Tracker("t", "letters"), "vocabulary"),
        (lambda: Tracker("t", None), "vocabulary"),  # type: ignore[arg-type]
        (lambda: TrackerRef(5123), "id"),  # type: ignore[arg-type]
        (lambda: Speaker(email=3), "email"),  # type: ignore[arg-type]
        (lambda: ChannelMetadata("1", Speaker()), "channel"),  # type: ignore[arg-type]
        (lambda: ChannelMetadata(-1, Speaker()), "channel"),
        (lambda: ChannelMetadata(1, {"name": "R"}), "speaker"),  # type: ignore[arg-type]
        (lambda: Features("callScore"), "feature_list"),
        (lambda: SalesMetadata(sales_stage=""), "sales_stage"),
    ],
)
def test_a_wrong_part_is_refused_by_the_name_of_its_field(make: Callable[[], object], named: str):
    with pytest.raises(ConfigurationError, match=rf"\.{named} is .* give "):
        make()


@table(
    "options",
    [
        {"confidence_threshold": 0},
        {"confidence_threshold": 1.0},
        {"language_code": "tlh-Latn"},
        {"webhook_url": ""},
        {"webhook_url": "http://user@localhost:8080/hook?x=1"},
        {"custom_vocabulary": ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "two words"]},
        {"timezone_offset": -480},
        {"diarization_speaker_count": 1},
        {"extra_query": MappingProxyType({"a": [1, {"b": None}]})},
    ],
)
def test_what_the_server_may_know_better_is_not_refused(options: dict[str, Any]):
    assert isinstance(MediaOptions(**options), MediaOptions)


@table("extra", ["extra_body", "extra_query"])
def test_a_parameter_is_not_given_twice(extra: str):
    with pytest.raises(ConfigurationError, match=f"{extra}.*'webhookUrl'.*webhook_url.*in_query"):
        TextOptions(webhook_url="https://example.com/", **{extra: {"webhookUrl": "x"}})  # type: ignore[arg-type]


def test_an_extra_may_carry_a_named_parameter_that_is_not_set():
    options = TextOptions(extra_query={"webhookUrl": "x"}, extra_body={"webhookUrl": "x"})
    assert options.given() == {}


@table("extra", ["extra_body", "extra_query"])
def test_a_parameter_is_given_by_whatever_name(extra: str):
    assert not TextOptions(name="Standup").is_given("webhook_url")
    assert TextOptions(webhook_url="").is_given("webhook_url")
    in_extra: dict[str, Any] = {extra: {"webhookUrl": "http://127.0.0.1:9/"}}
    assert TextOptions(**in_extra).is_given("webhook_url")


def test_a_later_change_of_the_callers_own_values_does_not_matter():
    inner: list[Any] = [1]
    words = ["a"]
    options = MediaOptions(extra_body={"a": inner}, custom_vocabulary=words)
    inner.append(2)
    words.append("b")
    assert options.extra_body == {"a": [1]}
    assert options.custom_vocabulary == ("a",)


def test_a_circle_or_a_tower_in_an_extra_is_refused():
    circle: list[Any] = []
    circle.append(circle)
    tower: list[Any] = []
    for _ in range(100_000):
        tower = [tower]
    for value in (circle, tower):
        with pytest.raises(ConfigurationError, match="extra_body"):
            TextOptions(extra_body={"a": value})


def test_a_webhook_url_is_shown_neither_in_repr_nor_in_the_error():
    assert "s3cret" not in repr(TextOptions(webhook_url="https://example.com/s3cret"))
    with pytest.raises(ConfigurationError) as caught:
        TextOptions(webhook_url="example.com/s3cret")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="webhook_url is a PurePosixPath; give") as caught:
        TextOptions(webhook_url=PurePosixPath("s3cret"))  # type: ignore[arg-type]
    assert "s3cret" not in str(caught.value)


def test_a_long_value_is_shown_shortened():
    with pytest.raises(ConfigurationError) as caught:
        MediaOptions(custom_vocabulary="x" * 100_000)
    assert len(str(caught.value)) < 300


def test_options_are_values():
    options = MediaOptions(name="a", in_query=["name"], extra_query={"x": True})
    with pytest.raises(FrozenInstanceError):
        options.name = "b"  # type: ignore[misc]
    assert options == pickle.loads(pickle.dumps(options))
    assert evolve(options, name="b").name == "b"
    with pytest.raises(ConfigurationError, match="name"):
        evolve(options, name=3)  # type: ignore[arg-type]


@table(
    "make",
    [
        lambda: TextOptions(extra_body={"a": [1]}),
        lambda: MediaOptions(trackers=[Tracker("a", ["b"])], extra_query={"a": {"b": [1]}}),
        lambda: Patch("add", "/vocabulary", ["late"]),
    ],
)
def test_equal_values_are_one_key_of_a_dict(make):
    assert {make(): 1} == {make(): 1}
