"""The content of a report from ``Everything``, the client's value of a whole conversation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Final

from symbl_aio.everything import Everything
from symbl_aio.models import ActionItem, FollowUp, Message, Question, SummaryItem, User
from symbl_aio.report.content import (
    Content,
    Finding,
    Recording,
    Sentence,
    Speaker,
    TopicFinding,
)
from symbl_aio.report.page import render_page
from symbl_aio.transcript_formats import has_times, positions, speaker_key, speaker_name

__all__ = ["content_of", "to_html"]

_UNNAMED: Final = "Unnamed speaker"


def content_of(
    everything: Everything, *, recording: Recording | None = None, rename_url: str | None = None
) -> Content:
    """Return the content of a conversation's report.

    Read with ``everything(sentiment=True)``, it has the sentiment of each sentence.
    ``recording`` and ``rename_url`` are those of ``Content``.
    """
    messages, info = everything.messages, everything.info
    numbers = {message.id: number for number, message in enumerate(messages)}
    people = {speaker_key(message.sender): message.sender for message in messages}
    people.pop("", None)  # messages without a sender have no speaker
    insights = (everything.action_items, everything.follow_ups, everything.questions)
    tasks, follow_ups, questions = (
        tuple(_finding(insight, numbers) for insight in found) for found in insights
    )
    length = (
        (info.end_time - info.start_time).total_seconds()
        if info.start_time is not None and info.end_time is not None
        else None
    )
    return Content(
        title=info.name or info.id,
        started=info.start_time,
        duration=length,
        speakers=tuple(
            Speaker(name=speaker_name(user) or _UNNAMED, id=user.id) for user in people.values()
        ),
        sentences=_sentences(messages, list(people)),
        summary=tuple(_paragraph(item, numbers) for item in everything.summary),
        action_items=tasks,
        follow_ups=follow_ups,
        questions=questions,
        topics=tuple(
            TopicFinding(
                text=topic.text, sentences=_places(topic.message_ids, numbers), score=topic.score
            )
            for topic in sorted(everything.topics, key=lambda topic: -(topic.score or 0.0))
        ),
        recording=recording,
        rename_url=rename_url,
    )


def _sentences(messages: Sequence[Message], keys: Sequence[str]) -> tuple[Sentence, ...]:
    speakers = {key: number for number, key in enumerate(keys)}
    # Places that would only be estimated are not shown as times.
    timed = has_times(messages)
    return tuple(
        Sentence(
            text=message.text,
            speaker=speakers.get(speaker_key(message.sender)),
            start=first / 1000 if timed else None,
            end=last / 1000 if timed else None,
            sentiment=message.sentiment.score if message.sentiment is not None else None,
        )
        for message, first, last in positions(messages)
    )


def _finding(insight: ActionItem | FollowUp | Question, numbers: Mapping[str, int]) -> Finding:
    person: User | None
    if isinstance(insight, Question):
        person, due = insight.sender, None
    else:
        person, due = insight.assignee, insight.due_by
    return Finding(
        text=insight.text,
        sentences=_places(insight.message_ids, numbers),
        person=speaker_name(person) or None if person is not None else None,
        due=due,
    )


def _paragraph(item: SummaryItem, numbers: Mapping[str, int]) -> Finding:
    ids = [ref.id for ref in item.message_refs if ref.id is not None]
    return Finding(text=item.text, sentences=_places(ids, numbers))


def _places(ids: Iterable[str], numbers: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(sorted({numbers[id] for id in ids if id in numbers}))


def to_html(
    *conversations: Everything,
    recordings: Sequence[Recording | None] = (),
    title: str | None = None,
) -> str:
    """Return one self-contained HTML page about one conversation or several.

    ``recordings`` are those of the conversations, in their order; ``None``, or a shorter list,
    leaves out the player. ``title`` is that of the page, by default the conversation's. The
    page makes no request to another host, except to a recording given as a link. Pure and
    synchronous: about 40 ms for 600 sentences.
    """
    given = zip_longest(conversations, recordings[: len(conversations)])
    contents = [content_of(one, recording=recording) for one, recording in given]
    return render_page(contents, title=title)
