from __future__ import annotations

from symbl_aio.server.language.clauses import clauses
from tests.tables import table


@table(
    "sentence, parts",
    [
        ("I'll, uh, send it", [("i will", ""), ("send it", "")]),
        ("so um I I'll send the the report", [("i will send the report", "so")]),
        ("Okay, can\u2019t you?", [("can not you", "")]),
        ("Check it and send it", [("check it and send it", "")]),
        ("Check it and I'll send it", [("check it", ""), ("i will send it", "and")]),
        ("I'll call before Monday", [("i will call before monday", "")]),
        ("I'll call before I go", [("i will call", ""), ("i go", "before")]),
        ("You know, I'm gonna lose", [("i am going to lose", "")]),
        ("...", []),
    ],
)
def test_a_sentence_is_cut_into_clauses_of_plain_words(
    sentence: str, parts: list[tuple[str, str]]
) -> None:
    assert [(clause.text, clause.opener) for clause in clauses(sentence)] == parts


def test_the_words_of_the_sentence_are_found_again() -> None:
    (clause,) = clauses("I'll  Uh SEND the file")
    assert clause.text == "i will send the file"
    assert clause.source("I'll  Uh SEND the file", clause.text.index("send")) == "SEND the file"
