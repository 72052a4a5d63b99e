"""Time to decode a transcript of 10,000 messages into models."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.harness import Answer, Figure, Question, Settings, Spread, alone, alternate

MESSAGES = 10_000
WORDS = 12


def transcript(messages: int) -> str:
    """Return a verbose transcript as JSON text: every field, every word with its times."""

    def at(second: float) -> str:
        minutes, seconds = divmod(second, 60)
        hours, minutes = divmod(int(minutes), 60)
        return f"2026-03-02T{9 + hours:02d}:{minutes:02d}:{seconds:06.3f}Z"

    rows: list[dict[str, Any]] = []
    for number in range(messages):
        start = number * 1.3
        words = [
            {
                "word": f"word{place}",
                "startTime": at(start + place * 0.1),
                "endTime": at(start + place * 0.1 + 0.1),
                "score": 0.93,
                "timeOffset": round(start + place * 0.1, 2),
                "duration": 0.1,
            }
            for place in range(WORDS)
        ]
        rows.append(
            {
                "id": f"{5_000_000_000_000_000 + number}",
                "text": " ".join(f"word{place}" for place in range(WORDS)) + ".",
                "from": {
                    "id": f"speaker-{number % 4}",
                    "name": f"Speaker {number % 4}",
                    "email": f"speaker{number % 4}@example.com",
                },
                "startTime": at(start),
                "endTime": at(start + 1.2),
                "timeOffset": round(start, 2),
                "duration": 1.2,
                "conversationId": "4640173570719744",
                "phrases": [],
                "sentiment": {"polarity": {"score": 0.2}, "suggested": "neutral"},
                "words": words,
            }
        )
    return json.dumps({"messages": rows})


def decode(messages: int, eagerly: bool, turns: int) -> list[float]:
    """Return the CPU seconds of each decoding, the garbage collector on as in users' programs."""
    from symbl_aio._protocol.decode_models import decode_list
    from symbl_aio.models import Message

    text = transcript(messages)
    seconds = []
    for _ in range(turns):
        began = time.process_time()
        value = json.loads(text)
        if eagerly:
            assert len(decode_list(Message, value, "messages", text=text)) == messages
        seconds.append(time.process_time() - began)
        del value
    return seconds


def ask(settings: Settings) -> Answer:
    turns = settings.pick(3, 1)

    def best(eagerly: bool) -> float:
        run = alone(decode, messages=MESSAGES, eagerly=eagerly, turns=turns)
        return float(min(run.value))

    seconds = alternate(
        {"models": lambda: best(True), "json.loads": lambda: best(False)}, settings.pick(7, 2)
    )
    ratio = Spread.of_ratios(seconds["models"], seconds["json.loads"])
    return Answer(
        (
            Figure.spread("ratio", "CPU time against json.loads alone", ratio, "×", at_most=3.0),
            Figure.spread("seconds", "one transcript", Spread.of(seconds["models"]), "s"),
        ),
        {"json.loads": "standard library"},
        data={"seconds": seconds, "megabytes": len(transcript(MESSAGES)) / 1e6},
    )


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    names = ["json.loads", "models"]
    values = [sorted(data["seconds"][name])[len(data["seconds"][name]) // 2] for name in names]
    bars = axes.barh(["json.loads alone", "symbl-aio: typed models"], values,
                     color=["#9aa5b1", "#2a6fdb"])  # fmt: skip
    axes.bar_label(bars, [f" {value:.2f} s" for value in values])
    axes.set_xlim(0, 1.15 * max(values))
    axes.set_xlabel("CPU seconds")
    axes.set_title(
        f"Decoding {MESSAGES:,} messages with every word's times ({data['megabytes']:.0f} MB)"
    )
    axes.grid(axis="y", visible=False)


QUESTION = Question(
    "decoding",
    "Decode a transcript of 10,000 messages",
    f"A verbose transcript (every field, {WORDS} words with times in each message) becomes "
    "frozen, typed models, all of them at once; beside it `json.loads` of the same text, which "
    "is part of both. CPU seconds of the process. The ratio depends on the machine: 2.7 to 3.4 "
    "were seen with the same code. Where all of it is at 2.8, a loop by hand that makes the words "
    "alone, by their class, is at 2.2.",
    ask,
    draw,
)
