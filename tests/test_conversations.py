import json
from pathlib import Path
from typing import Any

import pytest

from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.encode import Call
from symbl_aio.conversations import Conversation
from symbl_aio.errors import ConfigurationError, DecodeError, NotFoundError
from symbl_aio.job import Job, Submission
from symbl_aio.models import Page
from symbl_aio.options import TextOptions
from tests.tables import table

SAMPLES = Path(__file__).parent / "samples"


class Desk:
    """An account that answers from the samples and notes what it was asked."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.calls: list[tuple[Call, bool]] = []
        self.appended: list[Any] = []
        self.resumed: list[str] = []
        self.error: Exception | None = None
        self.submission: Any = object()

    def check_open(self) -> None:
        """It is open."""

    async def call(self, call: Call, *, repeatable: bool = True) -> Answer:
        self.calls.append((call, repeatable))
        if self.error is not None:
            raise self.error
        return Answer(200, {"x-trace": "t1"}, self.text, 0.125)

    def submit(self, media: Any, options: Any, *, key: str | None, to: str) -> Submission:
        self.appended.append((to, media, options, key))
        submission: Submission = self.submission
        return submission

    def jobs_of(self, conversation_id: str) -> tuple[Job, ...]:
        return ()

    def resume_appends(self, conversation_id: str) -> None:
        self.resumed.append(conversation_id)

    origin = "http://127.0.0.1:9"

    def follow(self, job: Job) -> None:
        raise AssertionError

    async def poll(self, job: Job) -> None:
        raise AssertionError

    def withdraw(self, submission: Submission) -> bool:
        raise AssertionError

    def conversation(self, conversation_id: str | None) -> Conversation:
        raise AssertionError


def asking(sample: str) -> tuple[Conversation, Desk]:
    desk = Desk((SAMPLES / f"{sample}.json").read_text())
    return Conversation("12", backend=desk), desk


@pytest.mark.parametrize(
    "method,sample,path,texts",
    [
        ("messages", "messages", "messages", ["The bridge opens on Tuesday.", "Who told you?"]),
        ("topics", "topics", "topics", ["ferry timetable", "harbour"]),
        ("questions", "questions", "questions", ["Who told you?", "When?"]),
        (
            "action_items",
            "action_items",
            "action-items",
            ["Omar will paint the railings by Friday."],
        ),
        (
            "follow_ups",
            "follow_ups",
            "follow-ups",
            ["Let us meet at the quay tomorrow afternoon."],
        ),
    ],
)
async def test_each_part_is_one_get_without_parameters(method, sample, path, texts):
    conversation, desk = asking(sample)

    page: Page[Any] = await getattr(conversation, method)()

    assert desk.calls == [(Call("GET", f"/v1/conversations/12/{path}"), True)]
    assert [item.text for item in page] == texts
    assert page.raw == json.loads(desk.text)
    assert (page.status, page.headers["x-trace"], page.elapsed) == (200, "t1", 0.125)


async def test_messages_are_asked_for_with_words_and_sentiment():
    conversation, desk = asking("messages")

    await conversation.messages(verbose=True, sentiment=False)

    assert desk.calls[0][0].query == (("verbose", "true"), ("sentiment", "false"))


async def test_topics_are_asked_for_with_sentiment_and_parents():
    conversation, desk = asking("topics")

    await conversation.topics(sentiment=True, parent_refs=True, refresh=False)

    call, repeatable = desk.calls[0]
    assert call.query == (("sentiment", "true"), ("parentRefs", "true"), ("refresh", "false"))
    assert repeatable


async def test_a_refresh_of_topics_is_not_repeatable():
    conversation, desk = asking("topics")

    await conversation.topics(refresh=True)

    call, repeatable = desk.calls[0]
    assert call.query == (("refresh", "true"),)
    assert not repeatable


async def test_the_record_of_a_conversation_is_read_from_its_own_address():
    conversation, desk = asking("conversation")

    info = await conversation.info()

    assert desk.calls == [(Call("GET", "/v1/conversations/12"), True)]
    assert (info.name, info.metadata["berth"]) == ("Harbour board, March", "12")


@pytest.mark.parametrize("text", ["", "<html>", "[]", "{}", '{"messages": [3]}'])
async def test_an_answer_that_cannot_be_understood_is_shown_as_received(text):
    conversation = Conversation("12", backend=Desk(text))

    for read in (conversation.messages, conversation.info):
        with pytest.raises(DecodeError) as caught:
            await read()
        assert caught.value.raw == text


async def test_errors_of_the_account_pass_through():
    conversation, desk = asking("messages")
    desk.error = NotFoundError(404, "no such conversation")

    with pytest.raises(NotFoundError):
        await conversation.messages()


def test_an_append_goes_to_the_account_with_the_id():
    conversation, desk = asking("messages")
    options = TextOptions(name="Board")

    submission = conversation.append("minutes.mp4", options, key="k")

    assert submission is desk.submission
    assert desk.appended == [("12", "minutes.mp4", options, "k")]


def test_appends_resume_for_this_conversation():
    conversation, desk = asking("messages")

    conversation.resume_appends()

    assert desk.resumed == ["12"]


async def test_nothing_is_asked_about_a_conversation_of_unknown_id():
    desk = Desk()
    conversation = Conversation(None, backend=desk)

    with pytest.raises(ConfigurationError, match=r"conversation_id.*client\.job"):
        _ = conversation.id
    with pytest.raises(ConfigurationError):
        await conversation.messages()
    with pytest.raises(ConfigurationError):
        conversation.append("minutes.mp4")
    with pytest.raises(ConfigurationError):
        conversation.resume_appends()
    assert (desk.calls, desk.appended, desk.resumed) == ([], [], [])


@table("wrong", ["", "12/messages", "..", "1\n2"])
def test_what_cannot_be_an_id_is_refused_at_once(wrong):
    with pytest.raises(ConfigurationError, match="conversation_id"):
        Conversation(wrong, backend=Desk())


def test_a_conversation_prints_its_id():
    assert repr(Conversation("12", backend=Desk())) == "<Conversation 12>"
    assert repr(Conversation(None, backend=Desk())) == "<Conversation of unknown id>"


@pytest.mark.parametrize(
    "name,remedy",
    [
        ("summary", "verbose-text-summary"),
        ("video-summary", "video_url"),
        ("audio-summary", "audio_url"),
    ],
)
async def test_a_page_that_cannot_be_made_is_refused_before_it_is_asked_for(name, remedy):
    desk = Desk()

    with pytest.raises(ConfigurationError, match=remedy):
        await Conversation("12", backend=desk).create_experience(name)
    assert desk.calls == []


async def test_urls_that_are_sent_are_known_as_secrets():
    conversation, desk = asking("notice")

    await conversation.set_media_url("https://media.example/a?signature=s3cret")

    assert desk.calls[0][0].urls == ("https://media.example/a?signature=s3cret",)
    assert "s3cret" not in repr(desk.calls)
