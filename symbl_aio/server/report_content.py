"""The content of a conversation's page, for the renderer that the client's reports use too."""

from __future__ import annotations

from contextlib import suppress

from symbl_aio.report.content import Content, Finding, Recording, Sentence, Speaker, TopicFinding
from symbl_aio.report.recordings import recording
from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.language.analysis_values import Insight


def content_of(conversation: Conversation, *, rename_url: str | None = None) -> Content:
    """Return the content of the page: the published results, and the recording if it has a URL.

    ``rename_url`` is that of ``Content``. Blocking: computes the analysis if there is none yet.
    """
    analysis, order = conversation.analysis, conversation.message_order
    # The positions of the messages on the page, where they stand by time.
    place_of = {index: place for place, index in enumerate(order)}

    def finding(insight: Insight) -> Finding:
        person = insight.speaker if insight.kind == "question" else insight.assignee
        return Finding(
            text=insight.text,
            sentences=(place_of[insight.message],),
            person=None if person is None else person.name or person.email,
            due=insight.due,
        )

    messages = [analysis.messages[index] for index in order]
    speakers = {m.speaker.id: m.speaker for m in messages if m.speaker is not None}
    numbers = {id: number for number, id in enumerate(speakers)}
    return Content(
        title=conversation.name,
        started=conversation.started_at,
        duration=conversation.duration or None,
        speakers=tuple(
            Speaker(name=speaker.name or speaker.email or "Unnamed speaker", id=speaker.id)
            for speaker in speakers.values()
        ),
        sentences=tuple(
            Sentence(
                text=message.text,
                speaker=None if message.speaker is None else numbers[message.speaker.id],
                start=message.start,
                end=message.end,
                sentiment=message.sentiment,
            )
            for message in messages
        ),
        # On a copy: opening a page does not extend the stored summary.
        summary=tuple(
            Finding(text=messages[place].text, sentences=(place,))
            for place in sorted(
                place_of[index] for index in conversation.draft().summary(refresh=None)
            )
        ),
        action_items=tuple(map(finding, analysis.action_items)),
        follow_ups=tuple(map(finding, analysis.follow_ups)),
        questions=tuple(map(finding, analysis.questions)),
        topics=tuple(
            TopicFinding(
                text=topic.text,
                sentences=tuple(sorted(place_of[index] for index in topic.messages)),
                score=topic.score,
            )
            for topic in analysis.topics
        ),
        recording=_player(conversation.media_url),
        rename_url=rename_url,
    )


def _player(url: str | None) -> Recording | None:
    # The URL was only checked for its scheme: one that cannot be parsed has no player.
    with suppress(ValueError):
        return None if url is None else recording(url)
    return None
