"""How many questions, action items and follow-ups of real speech the local server's rules find.

Two halves of labelled sentences in the style of meetings, calls, mails and chats, one for
work on the rules and one kept aside. ``insight_sentences/README.md`` defines the labels.

    python -m benchmarks.insights [--seen]      print the table, and with --seen each mistake
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from attrs import frozen

from benchmarks.harness import Answer, Figure, Question, Settings
from symbl_aio.server.language.analysis_values import Analysis, Speaker, Utterance
from symbl_aio.server.language.pipeline import ConversationAnalyser

FOLDER: Final = Path(__file__).with_name("insight_sentences")
HALVES: Final = {"seen": "seen.txt", "kept": "kept_aside.txt"}
KINDS: Final = {"q": "questions", "a": "action items", "f": "follow-ups"}
SECONDS = 10.0

# What is said in every meeting, and is the topic of none.
FILLERS: Final = frozenset(
    "mm-hmm mm hmm hm uh-huh uh um huh yeah yep yes no okay ok right sure thanks thank lol haha ha "
    "hi hey hello bye cheers morning guess mean thing things lot kind stuff great good cool nice "
    "dear regards sincerely welcome sorry please thx".split()
)


@frozen
class Line:
    label: str
    speaker: str
    text: str


@frozen
class Counts:
    """Sentences that were found rightly, found wrongly, and missed."""

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        return self.right / max(self.right + self.wrong, 1)

    @property
    def recall(self) -> float:
        return self.right / max(self.right + self.missed, 1)


def conversations(name: str) -> Iterator[tuple[str, list[Line]]]:
    """Yield the title and the lines of each conversation in a file."""
    title, lines = "", list[Line]()
    for row in (FOLDER / name).read_text().splitlines():
        if row.startswith("## "):
            if lines:
                yield title, lines
            title, lines = row.removeprefix("## "), []
        elif row and not row.startswith("#"):
            label, _, rest = row.partition("|")
            speaker, _, text = rest.partition(": ")
            lines.append(Line(label, speaker, text))
    yield title, lines


def analysed(lines: Sequence[Line]) -> Analysis:
    speakers = {line.speaker: Speaker(line.speaker, line.speaker) for line in lines}
    analyser = ConversationAnalyser(started_at=datetime(2026, 3, 4, 10, tzinfo=UTC))
    return analyser.update(
        [
            Utterance(line.text, speakers[line.speaker], SECONDS * i, SECONDS * (i + 1))
            for i, line in enumerate(lines)
        ]
    )


def found_lines(analysis: Analysis, kind: str) -> set[int]:
    """Return the indexes of the lines in which the rules found a kind of insight."""
    insights = {"q": analysis.questions, "a": analysis.action_items, "f": analysis.follow_ups}
    return {int(analysis.messages[i.message].start // SECONDS) for i in insights[kind]}


def mistakes(lines: Sequence[Line], analysis: Analysis, kind: str) -> tuple[list[int], list[int]]:
    """Return the lines that were found wrongly, and those that were missed."""
    found = found_lines(analysis, kind)
    wanted = {index for index, line in enumerate(lines) if line.label == kind}
    wrong = found - wanted
    if kind == "q":
        # "Can you send it?" is a request; that it is a question too is no mistake.
        wrong = {index for index in wrong if lines[index].label == "-"}
    return sorted(wrong), sorted(wanted - found)


def count(half: str) -> tuple[dict[str, Counts], list[str]]:
    """Return the counts by kind, and the topics that are fillers."""
    sums = {kind: [0, 0, 0] for kind in KINDS}
    fillers = []
    for _, lines in conversations(HALVES[half]):
        analysis = analysed(lines)
        for kind, (right, wrong, missed) in sums.items():
            mistaken, overlooked = mistakes(lines, analysis, kind)
            labelled = sum(line.label == kind for line in lines)
            sums[kind] = [
                right + labelled - len(overlooked),
                wrong + len(mistaken),
                missed + len(overlooked),
            ]
        fillers += [t.text for t in analysis.topics if FILLERS.intersection(t.text.split())]
    return {kind: Counts(*sums[kind]) for kind in KINDS}, fillers


def ask(settings: Settings) -> Answer:
    figures = []
    for half, title in (("kept", "kept aside"), ("seen", "seen")):
        counts, fillers = count(half)
        for kind, (precision, recall) in BARS.items():
            found = counts[kind]
            for name, value, bar in (
                ("precision", found.precision, precision),
                ("recall", found.recall, recall),
            ):
                key = f"{half}_{KINDS[kind].replace(' ', '_')}_{name}"
                label = f"{title}: {KINDS[kind]}, {name}"
                figures.append(Figure(key, label, value, at_least=bar if half == "kept" else None))
        figures.append(
            Figure(f"{half}_fillers", f"{title}: topics that are fillers", len(fillers), at_most=0)
        )
    return Answer(tuple(figures))


BARS: Final = {"q": (0.9, 0.85), "a": (0.6, 0.6), "f": (0.6, 0.6)}

QUESTION: Final = Question(
    "insights",
    "Insights of the local server on labelled sentences",
    "Labelled sentences in the style of meetings, calls, mails and chats "
    "([how they were made](insight_sentences/README.md)); one half was in view when the rules were "
    "written, the other was kept aside. Precision is the share of the sentences found that are "
    "right, recall the share of the right ones that are found. The rules before, on the half kept "
    "aside: questions 1.00 and 0.95, action items 0.65 and 0.62, follow-ups 0.69 and 0.41.",
    ask,
)


def main() -> None:
    for half in HALVES:
        counts, fillers = count(half)
        for kind, found in counts.items():
            print(
                f"{half:5} {KINDS[kind]:13} precision {found.precision:.2f} "
                f"recall {found.recall:.2f}  ({found})"
            )
        print(f"{half:5} topics that are fillers: {fillers}")
    if "--seen" in sys.argv:
        for title, lines in conversations(HALVES["seen"]):
            analysis = analysed(lines)
            print(f"\n## {title}: {', '.join(topic.text for topic in analysis.topics)}")
            for kind in KINDS:
                wrong, missed = mistakes(lines, analysis, kind)
                for what, indexes in (("wrong ", wrong), ("missed", missed)):
                    for index in indexes:
                        print(f"{KINDS[kind]:13} {what} {lines[index].text}")


if __name__ == "__main__":
    main()
