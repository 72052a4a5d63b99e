"""Recordings through the client's streams to real recognition, and their words back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from symbl_aio import Gap, MessageEvent, Missed, Recognition
from symbl_aio.server.recognizer import Recognizer
from symbl_aio.testing import LocalSymbl
from tests.asr.test_recognition_real import SAID, word_errors, words
from tests.support import QUICK

pytestmark = [
    pytest.mark.asr,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not Recognizer.available(), reason="needs the asr extra"),
]

MEDIA = Path(__file__).parents[2] / "examples" / "media"


@pytest.fixture
async def server() -> AsyncIterator[LocalSymbl]:
    async with LocalSymbl(asr="auto") as running:
        yield running


@pytest.mark.parametrize("realtime", [True, 10])
@pytest.mark.parametrize("name", SAID)
async def test_a_recording_has_the_words_of_an_upload_in_real_time_and_at_ten_times(
    server: LocalSymbl, name: str, realtime: bool | int
):
    async with server.client(**QUICK) as symbl:
        async with symbl.stream_file(MEDIA / name, realtime=realtime) as stream:
            events = [event async for event in stream]
        stored = await stream.conversation.messages()

    said = words(SAID[name])
    assert word_errors([w for message in stored for w in words(message.text)], said) <= 0.2
    heard = [e.message.text for e in events if isinstance(e, MessageEvent)]
    assert heard == [message.text for message in stored]
    assert not any(isinstance(event, Gap | Missed) for event in events)
    assert any(isinstance(e, Recognition) and not e.is_final for e in events)
