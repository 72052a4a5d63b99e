"""Choose the sentences that say most of what a conversation was about.

Nothing is worded anew: a summary is made of sentences that were said.
"""

from __future__ import annotations

from collections.abc import Sequence

from symbl_aio.server.language.models import Analysis
from symbl_aio.server.language.questions_and_actions import question_score

# Below this many messages a conversation is its own summary, and has none.
LEAST = 10

_SHARE = 8  # one message in so many
_MOST = 10
_LEAST_WORDS = 5


def best_messages(found: Analysis, among: Sequence[int], *, least: int = LEAST) -> tuple[int, ...]:
    """Give the indexes of the best messages in order, none of fewer than ``least`` messages.

    A message counts by the topics it names and the actions it settles; questions and
    repetitions are left out.
    """
    if len(among) < least:
        return ()
    weights = dict.fromkeys(among, 0.0)
    for topic in found.topics:
        for index in weights.keys() & topic.messages:
            weights[index] += topic.score
    for insight in (*found.action_items, *found.follow_ups):
        if insight.message in weights:
            weights[insight.message] += insight.score
    chosen: list[int] = []
    said: set[str] = set()
    for index in sorted(weights, key=lambda index: (-weights[index], index)):
        text = found.messages[index].text
        if weights[index] <= 0 or len(chosen) == min(_MOST, -(-len(among) // _SHARE)):
            break
        long_enough = len(text.split()) >= _LEAST_WORDS
        if long_enough and not question_score(text) and text.casefold() not in said:
            chosen.append(index)
            said.add(text.casefold())
    return tuple(sorted(chosen))
