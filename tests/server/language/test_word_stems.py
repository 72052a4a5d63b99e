import time

from symbl_aio.server.language.word_stems import stem
from tests.tables import table


@table(
    "words",
    [
        "cancel cancels cancelled canceled cancelling canceling",
        "contract contracts contracted contracting",
        "company companies",
        "box boxes",
        "change changes changed changing",
        "update updates updated updating",
        "plan plans planned planning",
        "file files filed filing",
        "agree agrees agreed agreeing",
        "install installs installed installing",
        "invoice invoices invoiced invoicing",
        "study studies studied studying",
        "sell sells selling",
        "miss misses missed missing",
    ],
)
def test_inflections_share_a_stem(words: str) -> None:
    assert len({stem(word) for word in words.split()}) == 1


@table(
    "one, other",
    [
        ("plan", "plane"),
        ("hop", "hope"),
        ("car", "care"),
        ("need", "nee"),
        ("contract", "contractor"),
        ("new", "news"),
        ("thing", "th"),
        ("status", "statu"),
        ("price", "pricey"),
        ("bus", "bu"),
        ("red", "r"),
        ("ago", "ag"),
    ],
)
def test_other_words_do_not(one: str, other: str) -> None:
    assert stem(one) != stem(other)


def test_numbers_marks_and_other_scripts_stay() -> None:
    for token in ("2026", "c", "++", " ", "caf\u00e9s", "\u4f60\u597d\u5417\u5427", "v2ing"):
        assert stem(token) == token


def test_a_token_that_is_no_word_costs_nothing() -> None:
    began = time.process_time()
    for length in range(100_000, 100_010):
        assert stem("a" * length) == "a" * length
    # It was minutes.
    assert time.process_time() - began < 1
