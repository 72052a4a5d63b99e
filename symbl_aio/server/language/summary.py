"""Choose the sentences that summarise a conversation; no text is generated."""

from __future__ import annotations

from collections.abc import Sequence

from symbl_aio.server.language.analysis_values import Analysis
from symbl_aio.server.language.questions import question_score

# A conversation of fewer messages has no summary.
MIN_MESSAGES = 10

_MESSAGES_PER_SENTENCE = 8  # one message in so many
_MAX_SENTENCES = 10
_MIN_WORDS = 5
# What remains of a topic's score once a chosen message covers it.
_COVERED = 0.3


def choose_summary(
    analysis: Analysis, indexes: Sequence[int], *, min_messages: int = MIN_MESSAGES
) -> tuple[int, ...]:
    """Return the indexes of the best messages in order; none if there are too few messages.

    The best message covers the most important topics and contains an action. A topic that
    is covered counts for little in the next choice, so that the summary covers many.
    Questions and repetitions are left out.
    """
    if len(indexes) < min_messages:
        return ()
    topics_of: dict[int, list[int]] = {index: [] for index in indexes}
    for number, topic in enumerate(analysis.topics):
        for index in topic.messages:
            if index in topics_of:
                topics_of[index].append(number)
    actions = {
        insight.message: insight.score for insight in (*analysis.action_items, *analysis.follow_ups)
    }
    values = [topic.score for topic in analysis.topics]

    def weight(index: int) -> float:
        return sum(values[number] for number in topics_of[index]) + actions.get(index, 0.0)

    # The first of equal texts.
    texts = {analysis.messages[index].text.casefold(): index for index in reversed(indexes)}
    candidates = {
        index
        for text, index in texts.items()
        if weight(index) > 0 and len(text.split()) >= _MIN_WORDS and not question_score(text)
    }
    chosen: list[int] = []
    while candidates and len(chosen) < min(
        _MAX_SENTENCES, -(-len(indexes) // _MESSAGES_PER_SENTENCE)
    ):
        # Ties go to the earlier message.
        best = max(candidates, key=lambda index: (weight(index), -index))
        candidates.remove(best)
        chosen.append(best)
        for number in topics_of[best]:
            values[number] *= _COVERED
    return tuple(sorted(chosen))
