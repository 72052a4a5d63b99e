from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from symbl_aio._protocol.calls import (
    Call,
    bookmark,
    check_id,
    conversation,
    conversations,
    insights_ui,
    instant,
    job,
    member,
    query_text,
    stored,
    submission,
    token,
)
from symbl_aio.errors import ConfigurationError
from tests.tables import table

printable = st.text(st.characters().filter(str.isprintable), min_size=1)
ids = printable.filter(
    lambda text: not text.isspace() and text not in (".", "..") and not set(text) & set("/\\")
)


@table(
    "call,method,target",
    [
        (submission("text"), "POST", "/v1/process/text"),
        (submission("audio"), "POST", "/v1/process/audio"),
        (submission("audio/url"), "POST", "/v1/process/audio/url"),
        (submission("video"), "POST", "/v1/process/video"),
        (submission("video/url"), "POST", "/v1/process/video/url"),
        (submission("text", "12"), "PUT", "/v1/process/text/12"),
        (submission("audio", "12"), "PUT", "/v1/process/audio/12"),
        (submission("audio/url", "12"), "PUT", "/v1/process/audio/url/12"),
        (submission("video", "12"), "PUT", "/v1/process/video/12"),
        (submission("video/url", "12"), "PUT", "/v1/process/video/url/12"),
        (job("a-b"), "GET", "/v1/job/a-b"),
        (token(), "POST", "/oauth2/token:generate"),
        (conversation("12"), "GET", "/v1/conversations/12"),
        (conversation("12", "messages"), "GET", "/v1/conversations/12/messages"),
        (
            conversation("12", "messages", verbose=True, sentiment=False),
            "GET",
            "/v1/conversations/12/messages?verbose=true&sentiment=false",
        ),
        (
            conversation("12", "topics", parent_refs=True, sentiment=None),
            "GET",
            "/v1/conversations/12/topics?parentRefs=true",
        ),
        (conversation("12", "questions"), "GET", "/v1/conversations/12/questions"),
        (conversation("12", "action-items"), "GET", "/v1/conversations/12/action-items"),
        (conversation("12", "follow-ups"), "GET", "/v1/conversations/12/follow-ups"),
        (conversations(), "GET", "/v1/conversations"),
        (conversations(group_id="ä"), "GET", "/v1/groups/%C3%A4/conversations"),
        (conversation("12", method="DELETE"), "DELETE", "/v1/conversations/12"),
        (
            conversation("12", "transcript", method="POST"),
            "POST",
            "/v1/conversations/12/transcript",
        ),
        (
            conversation("12", "messages", exclude=["A", "B"]),
            "GET",
            "/v1/conversations/12/messages?exclude=%5B%22A%22%2C%22B%22%5D",
        ),
        (member("12", "a?b"), "PUT", "/v1/conversations/12/members/a%3Fb"),
        (bookmark("12", "b#1"), "GET", "/v1/conversations/12/bookmarks/b%231"),
        (bookmark("12", "b1", summary=True), "GET", "/v1/conversations/12/bookmarks/b1/summary"),
        (insights_ui(), "GET", "/v1/conversations/experiences/insights/list"),
        (
            insights_ui("1 2", include_call_score=False),
            "GET",
            "/v1/conversations/experiences/insights/details/1%202?includeCallScore=false",
        ),
        (stored("trackers", name="A & B"), "GET", "/v1/manage/trackers?name=A%20%26%20B"),
        (
            stored("entities", method="DELETE", sub_type="x"),
            "DELETE",
            "/v1/manage/entities?subType=x",
        ),
        (stored("tracker", "7", method="PUT"), "PUT", "/v1/manage/tracker/7"),
    ],
)
def test_every_endpoint_has_its_method_and_path(call: Call, method: str, target: str):
    assert (call.method, call.target) == (method, target)
    assert call.headers == ()
    assert call.body is None


def test_the_labs_parts_of_a_conversation_are_for_their_own_host():
    assert conversation("12", "abstract-topics").labs
    assert conversation("12", "comprehensive/action-items").labs
    assert not conversation("12", "action-items").labs
    assert not conversation("12").labs


@table(
    "call,named",
    [
        (lambda: member("12", "../13"), "member_id"),
        (lambda: bookmark("12", ""), "bookmark_id"),
        (lambda: bookmark("a/b", "1"), "conversation_id"),
        (lambda: insights_ui(".."), "conversation_id"),
        (lambda: stored("group", "a/b"), "id"),
        (lambda: conversations(group_id="a/b"), "group_id"),
    ],
)
def test_an_id_that_would_lead_elsewhere_is_refused_by_its_name(call, named):
    with pytest.raises(ConfigurationError, match=named):
        call()


def test_a_list_of_conversations_sends_what_is_asked_for():
    call = conversations(
        page_size=1,
        offset=7,
        order="desc",
        start_time=datetime(2024, 1, 2, 3, tzinfo=UTC),
        end_time=datetime(2024, 1, 3, tzinfo=UTC),
        sort="conversation.startTime",
        filter="conversation.metadata.agent==a b",
    )
    assert dict(call.query) == {
        "limit": "1",
        "offset": "7",
        "order": "desc",
        "startTime": "2024-01-02T03:00:00.000Z",
        "endTime": "2024-01-03T00:00:00.000Z",
        "sort": "conversation.startTime",
        "filter": "conversation.metadata.agent==a b",
    }


@table(
    "call,named",
    [
        (lambda: conversations(page_size=65_537), "page_size"),
        (lambda: conversations(page_size=0), "page_size"),
        (lambda: conversations(offset=-1), "offset"),
        (lambda: conversations(order="up"), "order"),  # type: ignore[arg-type]
        (lambda: conversations(start_time=datetime(2024, 1, 1)), "start_time"),
        (lambda: conversations(filter="\ud800"), "filter"),
    ],
)
def test_a_wrong_question_is_refused_by_its_field(call: Callable[[], Call], named: str):
    with pytest.raises(ConfigurationError, match=named):
        call()


@table(
    "value", ["", " ", "a/b", "a\\b", ".", "..", "a\nb", "a\r", "\0", "\x7f", "\ud800", 12, None]
)
def test_what_is_no_id_is_refused_by_its_name(value: str):
    with pytest.raises(ConfigurationError, match="conversation_id"):
        conversation(value)
    with pytest.raises(ConfigurationError, match="job_id"):
        job(value)
    with pytest.raises(ConfigurationError, match="key"):
        check_id("key", value)


@given(ids)
def test_an_id_comes_back_from_its_path(value: str):
    path = submission("audio/url", value).target
    assert path.isascii()
    head, _, last = path.rpartition("/")
    assert head == "/v1/process/audio/url"
    assert unquote(last) == value


@given(ids)
def test_no_id_changes_the_path_on_its_way_through_yarl(value: str):
    url = URL("http://127.0.0.1" + job(value).target, encoded=True)
    assert url.raw_path == job(value).path
    assert url.raw_query_string == ""
    assert url.raw_fragment == ""


@given(st.lists(st.tuples(printable, st.text(st.characters(exclude_categories=["Cs"])))))
def test_a_query_comes_back_from_its_target(query: list[tuple[str, str]]):
    target = Call("GET", "/x", tuple(query)).target
    assert target.isascii()
    assert "+" not in target
    assert " " not in target
    encoded = target.partition("?")[2]
    assert parse_qsl(encoded, keep_blank_values=True, max_num_fields=None) == query


def test_a_space_and_reserved_characters_are_percent_encoded():
    call = Call("GET", "/x", (("a b", "c&d=e+f/g?h#i%"), ("é", "ü")))
    assert call.target == "/x?a%20b=c%26d%3De%2Bf%2Fg%3Fh%23i%25&%C3%A9=%C3%BC"


@table(
    "value,text",
    [
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (0.6, "0.6"),
        (0.00001, "0.00001"),
        (1e22, "10000000000000000000000"),
        ("a b", "a b"),
        ("", ""),
        ("true", "true"),
        (["Plan", "ü"], '["Plan","ü"]'),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ([], "[]"),
    ],
)
def test_values_are_plain_and_structures_are_json_text(value: object, text: str):
    assert query_text(value) == text  # type: ignore[arg-type]


@table("value", [float("nan"), float("inf"), [float("-inf")], "\udfff", {1, 2}])
def test_what_neither_json_nor_utf8_can_say_is_refused(value: object):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        query_text(value)  # type: ignore[arg-type]


@table(
    "value,text",
    [
        (datetime(2020, 7, 21, 16, 4, 19, 990_000, UTC), "2020-07-21T16:04:19.990Z"),
        (datetime(2020, 7, 21, 16, 4, 19, 999_999, UTC), "2020-07-21T16:04:19.999Z"),
        (datetime(2020, 7, 21, 1, tzinfo=timezone(timedelta(hours=2))), "2020-07-20T23:00:00.000Z"),
    ],
)
def test_a_time_is_written_in_utc_with_milliseconds(value: datetime, text: str):
    assert instant("start", value) == text


def test_a_time_that_utc_has_not_is_refused():
    with pytest.raises(ConfigurationError, match="start"):
        instant("start", datetime.min.replace(tzinfo=timezone(timedelta(hours=2))))


def test_neither_query_nor_body_is_shown():
    shown = repr(Call("POST", "/x", (("webhookUrl", "https://a/s3cret"),), (), b"s3cret"))
    assert "s3cret" not in shown
