from __future__ import annotations

from symbl_aio.server.language.analysis_values import Message
from symbl_aio.server.language.call_intents import find_intents
from tests.tables import table


def intents(text: str) -> list[str]:
    message = Message(text, None, 0, 1, 0)
    return [intent.kind for intent in find_intents([message])]


@table(
    "text,kind",
    [
        ("Please leave a message after the tone.", "answering_machine"),
        ("You've reached the voicemail of Ann.", "answering_machine"),
        ("Please don\u2019t call me again.", "do_not_call"),
        ("Take me off your calling list.", "do_not_call"),
        ("We're on the do not call list.", "do_not_call"),
        ("I'm not interested.", "not_interested"),
        ("We are really not interested, sorry.", "not_interested"),
        ("I am very interested in that plan.", "interested"),
    ],
)
def test_a_plain_statement_is_an_intent(text: str, kind: str) -> None:
    assert intents(text) == [kind]


@table(
    "text",
    [
        "I will leave a note on your desk.",
        "You can call me any time.",
        "He was interested.",
        "Is anybody interested?",
        "Remove the old items from the list.",
    ],
)
def test_an_indirect_statement_is_no_intent(text: str) -> None:
    assert intents(text) == []


def test_an_intent_knows_its_message() -> None:
    messages = [Message(text, None, 0, 1, 0) for text in ("Hello.", "I'm interested.")]

    (intent,) = find_intents(messages)
    assert intent.message == 1
