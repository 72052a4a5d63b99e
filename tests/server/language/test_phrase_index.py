from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from symbl_aio.server.language.phrase_index import PhraseIndex


def found(phrases: list[str], text: str, *, ignore_case: bool = True) -> list[tuple[str, int]]:
    index = PhraseIndex(((phrase, phrase) for phrase in phrases), ignore_case=ignore_case)
    return sorted((match.value, match.start) for match in index.find(text))


def test_all_phrases_are_found_also_inside_one_another() -> None:
    assert found(["a b c", "b", "b c d", "x"], "a b c d") == [("a b c", 0), ("b", 2), ("b c d", 2)]


def test_a_phrase_that_breaks_off_does_not_hide_the_next() -> None:
    assert found(["a a b", "a c"], "a a a b a a c") == [("a a b", 2), ("a c", 10)]


def test_a_phrase_is_whole_words_and_its_spaces_are_any_white_space() -> None:
    assert found(["go live"], "GO\n live, ago live") == [("go live", 0)]
    assert found(["c++"], "abc++ c++ c++11 C ++") == [("c++", 6)]
    assert found(["$5"], "US$5 or $5?") == [("$5", 8)]


def test_case_counts_on_request() -> None:
    assert found(["Tom"], "tom TOM Tom", ignore_case=False) == [("Tom", 8)]


def test_blank_phrases_match_nothing() -> None:
    assert found(["", "  "], "a b") == []


TOKENS = st.sampled_from(["a", "b", "ab", "+", "-", " ", "  ", "\n"])


@given(st.lists(st.lists(TOKENS, min_size=1).map("".join), max_size=5), st.lists(TOKENS))
def test_matches_are_those_of_one_expression_for_each_phrase(
    phrases: list[str], tokens: list[str]
) -> None:
    text = "".join(tokens)
    expected = []
    for phrase in set(phrases):
        if phrase.strip():
            pattern = r"\s+".join(map(re.escape, phrase.split()))
            matches = re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", text)
            expected += [(phrase, match.start()) for match in matches]
    assert found(list(set(phrases)), text) == sorted(expected)
