from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio.server.conversations.conversation import Bookmark, Conversation, Settings
from symbl_aio.server.language.analysis_values import CustomEntity, Speaker, Tracker, Utterance
from symbl_aio.server.storage.documents import (
    decode_conversation,
    encode_document,
    encode_head,
    encode_speech,
    microseconds,
)

ANN, ODD = Speaker("a-1", "Ann", "ann@example.com"), Speaker("b-2", "\ud800 \U0001f600", None)
ZONE = timezone(-timedelta(hours=3, minutes=30))
RICH = Conversation(
    id="1234567890123456",
    name='"é\0\ud800',
    started_at=datetime(2026, 2, 28, 23, 59, 59, 123456, ZONE),
    metadata={"room": "blue", "": ""},
    settings=Settings(
        0.25,
        True,
        False,
        True,
        (CustomEntity("a", "b"), CustomEntity("a", "b", "c")),
        (Tracker("price", ("too dear", "é")), Tracker("", (), "77", ("dear me",))),
    ),
    utterances=[
        Utterance("Hello.", ANN, 0.0, 0.1 + 0.2),
        Utterance("\ud800 \0", None, 1.5, 1e6),
        Utterance("Again.", ODD, 1e6, 1e6 + 1 / 3),
    ],
    members={ANN.id: ANN, ODD.id: ODD},
    duration=1e6 + 1 / 3,
    notices={"[not transcribed]", "x"},
    bookmarks={
        "1": Bookmark("1", 0.5, 1.25, None, "a", None, {"name": "Ann", "userId": "u"}),
        "2": Bookmark("2", 0.0, 0.0, (0, 2), None, "b", None),
    },
    bookmarks_made=7,
    features=("callScore",),
    features_job="job",
    media_url="https://example.com/x",
    aliases={"ann@example.com": ANN.id, "old name": ODD.id},
    summarised=(0, 2),
    summarised_count=3,
)
BARE = Conversation("1", "", datetime(1900, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("whole", [RICH, BARE])
@pytest.mark.parametrize("cut", [0, 1, 3])
def test_a_conversation_is_the_same_after_its_documents(whole: Conversation, cut: int) -> None:
    speech = [encode_speech(whole.utterances[:cut]), encode_speech(whole.utterances[cut:])]

    again = decode_conversation(whole.id, encode_head(whole), encode_document(whole), speech)

    assert asdict(again, recurse=False) == asdict(whole, recurse=False)
    assert again.started_at.utcoffset() == whole.started_at.utcoffset()


def test_documents_are_ascii_whatever_the_text() -> None:
    documents = (encode_head(RICH), encode_document(RICH), encode_speech(RICH.utterances))

    assert all(document.isascii() for document in documents)


instants = st.datetimes(timezones=st.sampled_from([UTC, ZONE, timezone(timedelta(hours=14))]))


@given(instants, instants)
def test_microseconds_order_like_the_times(first: datetime, second: datetime) -> None:
    assert (microseconds(first) < microseconds(second)) == (first < second)
    assert (microseconds(first) == microseconds(second)) == (first == second)
