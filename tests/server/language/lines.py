"""Lines of two speakers, analysed by all rules: shared by the tests of the rules."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from symbl_aio.server.language.analysis_values import Analysis, Insight, Speaker, Utterance
from symbl_aio.server.language.pipeline import ConversationAnalyser

STARTED_AT = datetime(2026, 3, 4, 10, tzinfo=timezone(timedelta(hours=1)))  # a Wednesday
PRIYA = Speaker("1", "Priya Shah", "priya@example.com")
TOM = Speaker("2", "Tom Becker")


def analyse(utterances: Sequence[Utterance], **asked) -> Analysis:
    """Analyse a whole conversation at once."""
    return ConversationAnalyser(started_at=STARTED_AT, **asked).update(utterances)


def analyse_lines(*lines: str | tuple[Speaker | None, str], **asked) -> Analysis:
    """Analyse lines of ten seconds each, spoken by Priya unless a speaker is given."""
    turns = [(PRIYA, line) if isinstance(line, str) else line for line in lines]
    utterances = [
        Utterance(text, speaker, 10.0 * index, 10.0 * index + 10)
        for index, (speaker, text) in enumerate(turns)
    ]
    return analyse(utterances, **asked)


def action(text: str) -> Insight | None:
    found = analyse_lines((PRIYA, text), (TOM, "Hello."))
    items = found.action_items + found.follow_ups
    assert len(items) <= 1
    return items[0] if items else None
