import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio._protocol import bodies, calls
from symbl_aio._protocol.answers import (
    Answer,
    decode_accepted,
    decode_status,
    decode_token,
    error_message,
)
from symbl_aio._protocol.encode import Call, encode_submission, encode_token
from symbl_aio.config import Credentials
from symbl_aio.drafts import criteria
from symbl_aio.errors import ConfigurationError, DecodeError
from symbl_aio.media import Audio, AudioURL, Media, Text, Utterance, Video, VideoURL
from symbl_aio.options import MediaOptions, TextOptions, Tracker
from tests.options import RECORDINGS, SHARED, Option, in_query, options_for, options_of
from tests.tables import table

TEXT = Text("Hello.")
AUDIO = Audio(b"some audio", content_type="audio/wav")
VIDEO = Video(b"some video")
AUDIO_URL = AudioURL("https://example.com/a.wav?sig=x")
VIDEO_URL = VideoURL("https://example.com/v.mp4")
CONTENT: dict[str, dict[str, object]] = {
    "text": {"messages": [{"payload": {"content": "Hello."}}]},
    "audio/url": {"url": "https://example.com/a.wav?sig=x"},
    "video/url": {"url": "https://example.com/v.mp4"},
}
FILES = {"audio", "video"}

each_media = pytest.mark.parametrize(
    "media", [TEXT, AUDIO, VIDEO, AUDIO_URL, VIDEO_URL], ids=lambda media: media.kind
)
each_conversation = pytest.mark.parametrize("conversation", [None, "5179649407582208"])


def body_of(call: Call) -> Any:
    assert call.body is not None
    return json.loads(call.body.decode("utf-8"))


@each_conversation
@each_media
def test_each_of_the_ten_calls_sends_only_the_media_by_default(
    media: Media, conversation: str | None
):
    call = encode_submission(media, None, conversation)
    assert call.method == ("POST" if conversation is None else "PUT")
    assert call.target == "/v1/process/" + media.kind + ("/" + conversation if conversation else "")
    if media.kind in FILES:
        assert call.body is None
    else:
        assert body_of(call) == CONTENT[media.kind]


@each_conversation
@each_media
def test_each_of_the_ten_calls_takes_every_option_where_its_page_says(
    media: Media, conversation: str | None
):
    options = options_for(media, **{field: value for field, value, _, _ in options_of(media)})
    call = encode_submission(media, options, conversation)
    wanted = {name: value for _, _, name, value in options_of(media)}
    if media.kind in FILES:
        assert call.body is None
        assert dict(call.query) == {name: in_query(value) for name, value in wanted.items()}
        assert len(call.query) == len(wanted)
    else:
        assert call.query == ()
        assert body_of(call) == CONTENT[media.kind] | wanted


@pytest.mark.parametrize("option", SHARED + RECORDINGS, ids=lambda option: option.field)
@each_media
def test_each_option_alone_adds_one_parameter(media: Media, option: Option):
    field, value, name, on_the_wire = option
    if option not in options_of(media):
        return
    call = encode_submission(media, options_for(media, **{field: value}), "1")
    if media.kind in FILES:
        assert call.query == ((name, in_query(on_the_wire)),)
    else:
        assert body_of(call) == CONTENT[media.kind] | {name: on_the_wire}


@pytest.mark.parametrize("option", SHARED + RECORDINGS, ids=lambda option: option.field)
@each_media
def test_each_option_can_be_moved_to_the_query(media: Media, option: Option):
    field, value, name, on_the_wire = option
    if option not in options_of(media):
        return
    options = options_for(media, **{field: value}, in_query=[field])
    call = encode_submission(media, options)
    assert call.query == ((name, in_query(on_the_wire)),)
    if media.kind not in FILES:
        assert body_of(call) == CONTENT[media.kind]


def test_moving_a_field_that_is_not_set_adds_nothing():
    call = encode_submission(TEXT, TextOptions(in_query=["webhook_url"]))
    assert call.query == ()


@table(
    "media,content_type",
    [
        (TEXT, "application/json"),
        (AUDIO_URL, "application/json"),
        (VIDEO_URL, "application/json"),
        (VIDEO, "video/mp4"),
        (AUDIO, "audio/wav"),
        (Audio(b"x"), None),
    ],
)
def test_the_content_type_is_the_one_its_page_names(media: Media, content_type: str | None):
    headers = encode_submission(media).headers
    assert headers == (() if content_type is None else (("Content-Type", content_type),))


def test_what_was_found_out_about_an_audio_file_goes_before_what_was_said():
    call = encode_submission(AUDIO, content_type="audio/mpeg")
    assert call.headers == (("Content-Type", "audio/mpeg"),)


@each_media
def test_an_empty_list_is_left_out_of_the_query_and_kept_in_a_body(media: Media):
    call = encode_submission(media, options_for(media, trackers=[], name=""))
    if media.kind in FILES:
        assert call.query == (("name", ""),)
    else:
        assert body_of(call) == CONTENT[media.kind] | {"trackers": [], "name": ""}


@table("given", ["general", ["sales", "general"]])
def test_a_conversation_type_is_sent_as_given(given: str | list[str]):
    text = encode_submission(TEXT, TextOptions(conversation_type=given))
    assert body_of(text)["conversationType"] == given
    audio = encode_submission(AUDIO, MediaOptions(conversation_type=given))
    assert audio.query == (("conversationType", in_query(given)),)


@each_media
def test_extras_go_where_they_are_told(media: Media):
    extra = {"a b": "c d", "n": 1.5, "list": [1, {"é": None}], "empty": [], "flag": False}
    call = encode_submission(media, options_for(media, extra_query=extra))
    assert dict(call.query) == {
        "a b": "c d",
        "n": "1.5",
        "list": '[1,{"é":null}]',
        "empty": "[]",
        "flag": "false",
    }
    if media.kind in FILES:
        with pytest.raises(ConfigurationError, match=r"extra_body.*extra_query"):
            encode_submission(media, options_for(media, extra_body=extra))
    else:
        call = encode_submission(media, options_for(media, extra_body=extra))
        assert body_of(call) == CONTENT[media.kind] | extra


@table("media,name", [(TEXT, "messages"), (AUDIO_URL, "url"), (VIDEO_URL, "url")])
def test_an_extra_cannot_replace_the_media(media: Media, name: str):
    with pytest.raises(ConfigurationError, match=f"extra_body.*'{name}'"):
        encode_submission(media, options_for(media, extra_body={name: "x"}))


def test_messages_carry_what_is_known_and_no_more():
    start = datetime(2020, 7, 21, 18, 4, 19, 990_000, timezone(timedelta(hours=2)))
    media = Text(
        [
            "Plain “words”.",
            Utterance("Named.", "Ada"),
            Utterance("Known.", user_id="ada@example.com"),
            Utterance("All.", "Ada", user_id="1", start=start, end=start + timedelta(seconds=1)),
            Utterance("Begun.", start=start),
        ]
    )
    assert body_of(encode_submission(media)) == {
        "messages": [
            {"payload": {"content": "Plain “words”."}},
            {"payload": {"content": "Named."}, "from": {"name": "Ada"}},
            {"payload": {"content": "Known."}, "from": {"userId": "ada@example.com"}},
            {
                "payload": {"content": "All."},
                "from": {"name": "Ada", "userId": "1"},
                "duration": {
                    "startTime": "2020-07-21T16:04:19.990Z",
                    "endTime": "2020-07-21T16:04:20.990Z",
                },
            },
            {
                "payload": {"content": "Begun."},
                "duration": {"startTime": "2020-07-21T16:04:19.990Z"},
            },
        ]
    }


def test_a_body_is_compact_utf8():
    call = encode_submission(Text("für €"), TextOptions(detect_phrases=True))
    expected = '{"messages":[{"payload":{"content":"für €"}}],"detectPhrases":true}'
    assert call.body == expected.encode()


def test_a_vocabulary_in_the_query_is_one_parameter_of_json_text():
    call = encode_submission(VIDEO, MediaOptions(custom_vocabulary=["Plan B", "Ü"]))
    assert call.target == "/v1/process/video?customVocabulary=%5B%22Plan%20B%22%2C%22%C3%9C%22%5D"


words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)
json_values = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
    max_leaves=8,
)


@given(st.lists(words, min_size=1), st.lists(words, min_size=1))
def test_lists_come_back_from_the_query(vocabulary: list[str], terms: list[str]):
    options = MediaOptions(custom_vocabulary=vocabulary, trackers=[Tracker(terms[0], terms)])
    target = encode_submission(AUDIO, options).target
    query = dict(parse_qsl(target.partition("?")[2], strict_parsing=True))
    assert json.loads(query["customVocabulary"]) == vocabulary
    assert json.loads(query["trackers"]) == [{"name": terms[0], "vocabulary": terms}]


@given(st.dictionaries(words, json_values))
def test_extras_come_back_from_query_and_body(extra: dict[str, Any]):
    extra.pop("messages", None)
    call = encode_submission(TEXT, TextOptions(extra_query=extra, extra_body=extra))
    body = body_of(call)
    del body["messages"]
    assert body == extra
    query = dict(parse_qsl(call.target.partition("?")[2], keep_blank_values=True))
    assert query.keys() == extra.keys()
    for name, value in extra.items():
        if isinstance(value, float):
            assert float(query[name]) == value
        else:
            assert (query[name] if isinstance(value, str) else json.loads(query[name])) == value


@pytest.mark.parametrize("conversation", ["a/b", "..", "", "a\nb"])
@each_media
def test_an_unusable_conversation_id_is_refused(media: Media, conversation: str):
    with pytest.raises(ConfigurationError, match="conversation_id"):
        encode_submission(media, None, conversation)


def test_a_token_is_asked_for_with_the_applications_credentials():
    call = encode_token(Credentials("the-app", "s3cret"))
    assert (call.method, call.target) == ("POST", "/oauth2/token:generate")
    assert call.headers == (("Content-Type", "application/json"),)
    assert body_of(call) == {"type": "application", "appId": "the-app", "appSecret": "s3cret"}
    assert "s3cret" not in repr(call)


def test_a_secret_that_cannot_be_encoded_is_not_kept_in_the_error():
    with pytest.raises(ConfigurationError) as caught:
        encode_token(Credentials("the-app", "s3cret\udcff"))
    assert caught.value.__context__ is None
    assert "s3cret" not in str(caught.value)


def answer(text: str, status: int = 200) -> Answer:
    return Answer(status, {}, text, 0.1)


def test_acceptance_is_two_ids():
    text = '{"conversationId": "5179649407582208", "jobId": "9b1deb4d", "more": []}'
    assert decode_accepted(answer(text, 201)) == ("5179649407582208", "9b1deb4d")


def test_ids_that_come_as_numbers_become_strings():
    text = '{"conversationId": 51796494075822081234567890, "jobId": 7}'
    assert decode_accepted(answer(text)) == ("51796494075822081234567890", "7")


@table(
    "text",
    [
        '{"conversationId": "1"}',
        '{"jobId": "1"}',
        '{"conversationId": "", "jobId": "1"}',
        '{"conversationId": "1", "jobId": " "}',
        '{"conversationId": "1/2", "jobId": "1"}',
        '{"conversationId": "1", "jobId": ".."}',
        '{"conversationId": true, "jobId": "1"}',
        '{"conversationId": 1.5, "jobId": "1"}',
        '{"conversationId": null, "jobId": "1"}',
        '{"conversationId": {"id": "1"}, "jobId": "1"}',
        '{"conversationId": "\\ud800", "jobId": "1"}',
    ],
)
def test_an_acceptance_without_usable_ids_is_a_decode_error(text: str):
    name = "jobId" if '"conversationId": "1"' in text else "conversationId"
    with pytest.raises(DecodeError, match=f"no usable {name}") as caught:
        decode_accepted(answer(text))
    assert caught.value.raw == text


UNREADABLE = [
    "",
    " ",
    "<html>502 Bad Gateway</html>",
    "[]",
    "null",
    '"completed"',
    "12",
    "{",
    '{"a": ',
    "\ufeff{}",
    '{"n": ' + "9" * 5000 + "}",
    "[" * 200_000,
    '{"a":' * 200_000,
]
DECODERS: list[Callable[[Answer], object]] = [decode_accepted, decode_status, decode_token]


@table("decode", DECODERS)
@table("text", UNREADABLE, ids=lambda text: repr(text[:12]))
def test_what_cannot_be_understood_is_a_decode_error_and_no_other(
    decode: Callable[[Answer], object], text: str
):
    with pytest.raises(DecodeError) as caught:
        decode(answer(text))
    assert caught.value.raw == ("" if decode is decode_token else text)
    # A bare JSON string is a gateway's own words.
    assert error_message(answer(text)) == ("completed" if text == '"completed"' else "")


@given(st.dictionaries(st.sampled_from(["conversationId", "jobId", "id", "status", "accessToken",
                                        "expiresIn", "message"]), json_values))  # fmt: skip
def test_any_json_is_decoded_or_a_decode_error(value: dict[str, object]):
    for decode in DECODERS:
        with suppress(DecodeError):
            decode(answer(json.dumps(value)))
    assert isinstance(error_message(answer(json.dumps(value))), str)


@table(
    "text,status",
    [
        ('{"id": "j", "status": "in_progress"}', "in_progress"),
        ('{"jobId": "j", "status": "COMPLETED"}', "COMPLETED"),
        ('{"id": null, "jobId": 5, "status": "odd one"}', "odd one"),
        ('{"status": "failed"}', "failed"),
        ('{"status": "failed", "status": "completed"}', "completed"),
    ],
)
def test_a_status_is_read_with_the_servers_own_word(text: str, status: str):
    assert decode_status(answer(text)) == status


@table("text", ['{"id": "j"}', '{"status": null}', '{"status": 3}'])
def test_a_job_without_a_status_is_a_decode_error(text: str):
    with pytest.raises(DecodeError, match="status"):
        decode_status(answer(text))


@table(
    "life,seconds",
    [
        ("86400", 86_400.0),
        ("12.5", 12.5),
        ("0", 0.0),
        ("-5", 0.0),
        ("null", None),
        ('"3600"', None),
        ("true", None),
        ("NaN", None),
        ("1e999", None),
        ("1" + "0" * 400, None),
    ],
)
def test_a_token_comes_with_its_remaining_life(life: str, seconds: float | None):
    text = f'{{"accessToken": "abc.def", "expiresIn": {life}}}'
    assert decode_token(answer(text)) == ("abc.def", seconds)


def test_a_token_may_come_without_its_life():
    assert decode_token(answer('{"accessToken": "abc"}')) == ("abc", None)


@table("token", ["", "a b", "a\r\nX: y", "ä", None, 5])
def test_a_token_that_no_header_can_hold_is_a_decode_error(token: object):
    with pytest.raises(DecodeError, match="accessToken"):
        decode_token(answer(json.dumps({"accessToken": token})))


@table("text", ['{"accessToken": "s3cret tok', '["s3cret"]', '{"accessToken": "s3cret tok"}'])
def test_a_token_that_cannot_be_read_is_not_kept_in_the_error(text: str):
    with pytest.raises(DecodeError) as caught:
        decode_token(answer(text))
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in str(vars(error)) + str(error)
        error = error.__cause__ or error.__context__


@table(
    "text,message",
    [
        ('{"message": "No such thing."}', "No such thing."),
        ('{"statusCode": 429, "message": "Limit reached"}', "Limit reached"),
        ('{"message": ["a"]}', ""),
        ('{"message": null}', ""),
        ('{"code": 4}', ""),
    ],
)
def test_an_errors_message_is_the_servers_own_words(text: str, message: str):
    assert error_message(answer(text, 400)) == message


def test_an_answer_does_not_show_its_text():
    assert "s3cret" not in repr(answer('{"accessToken": "s3cret"}'))


class Choice(str, Enum):  # noqa: UP042 - a StrEnum has no such ``str``
    """A choice as services declare it. Its ``str`` is ``Choice.ENGLISH``, not the text."""

    ENGLISH = "en-US"
    PHONE = "phone"
    NAME = "A & B"
    SRT = "srt"
    LATEST_FIRST = "desc"
    WAV = "audio/wav"


def test_a_member_of_an_enum_of_texts_is_sent_as_its_text():
    options = MediaOptions(
        name=Choice.NAME,
        language_code=Choice.ENGLISH,
        mode=Choice.PHONE,  # type: ignore[arg-type]
        extra_query={"more": Choice.NAME},
    )
    sent = encode_submission(Audio(b"RIFF", content_type=Choice.WAV), options)
    assert dict(sent.query) == {
        "name": "A & B",
        "languageCode": "en-US",
        "mode": "phone",
        "more": "A & B",
    }
    assert "name=A%20%26%20B" in sent.target
    assert [f"{value}" for _, value in sent.headers] == ["audio/wav"]
    listed = calls.conversations(order=Choice.LATEST_FIRST)  # type: ignore[arg-type]
    assert listed.target == "/v1/conversations?order=desc"
    assert (
        calls.stored("trackers", name=Choice.NAME).target == "/v1/manage/trackers?name=A%20%26%20B"
    )
    flags = dict.fromkeys(("paragraphs", "speakers", "all_phrases", "insight_phrases"))
    assert bodies.transcript(Choice.SRT, **flags) == {"contentType": "text/srt"}
    assert criteria({Choice.SRT: Choice.PHONE}) == "conversation.metadata.srt==phone"
    assert criteria({Choice.SRT: Choice.NAME}) == 'conversation.metadata.srt=="A & B"'
