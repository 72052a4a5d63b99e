"""Choose the sentences that summarise a conversation; no text is generated."""

from __future__ import annotations

from collections.abc import Sequence

from symbl_aio.server.language.questions import question_score
from symbl_aio.server.language.values import Analysis

# A conversation of fewer messages has no summary.
MIN_MESSAGES = 10

_MESSAGES_PER_SENTENCE = 8  # one message in so many
_MAX_SENTENCES = 10
_MIN_WORDS = 5


def choose_summary(
    analysis: Analysis, indexes: Sequence[int], *, min_messages: int = MIN_MESSAGES
) -> tuple[int, ...]:
    """Return the indexes of the best messages in order; none if there are too few messages.

    A message scores by the topics it mentions and the actions it contains. Questions and
    repetitions are left out.
    """
    if len(indexes) < min_messages:
        return ()
    weights = dict.fromkeys(indexes, 0.0)
    for topic in analysis.topics:
        for index in weights.keys() & topic.messages:
            weights[index] += topic.score
    for insight in (*analysis.action_items, *analysis.follow_ups):
        if insight.message in weights:
            weights[insight.message] += insight.score
    chosen: list[int] = []
    used_texts: set[str] = set()
    # Ties go to the earlier message.
    for index in sorted(weights, key=lambda index: (-weights[index], index)):
        text = analysis.messages[index].text
        if weights[index] <= 0 or len(chosen) == min(
            _MAX_SENTENCES, -(-len(indexes) // _MESSAGES_PER_SENTENCE)
        ):
            break
        long_enough = len(text.split()) >= _MIN_WORDS
        if long_enough and not question_score(text) and text.casefold() not in used_texts:
            chosen.append(index)
            used_texts.add(text.casefold())
    return tuple(sorted(chosen))
