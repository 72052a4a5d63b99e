"""Personal data that is masked, and text that stays."""

from __future__ import annotations

from symbl_aio.server.language.analysis_values import Speaker
from symbl_aio.server.language.redaction import CATEGORIES, Redactor
from tests.tables import table

GRACE = Speaker("1", "Grace Hopper", "grace@example.test")


@table(
    "text, expected",
    [
        ("Write to grace.h+x@mail.example.test, please.", "Write to [EMAIL_ADDRESS], please."),
        ("See https://example.test/a?b=1 now", "See [URL] now"),
        ("Call +49 30 1234567.", "Call [PHONE_NUMBER]."),
        ("Call (555) 123-4567 today", "Call [PHONE_NUMBER] today"),
        ("My number is 555 123 4567", "My number is [PHONE_NUMBER]"),
        ("The account 12-3456 has $1,200.50.", "The account [NUMBER] has $[NUMBER]."),
        ("On 2026-03-01 at 10:30.", "On [DATE] at [NUMBER]."),
        ("Room 4b", "Room [NUMBER]b"),
        ("Grace met Ms Hopper.", "[PERSON_NAME] met Ms [PERSON_NAME]."),
        ("Grace Hopper left.", "[PERSON_NAME] left."),
        ("With grace, and Graceland.", "With grace, and Graceland."),
        ("Nothing to hide.", "Nothing to hide."),
        ("", ""),
    ],
)
def test_a_mask_is_the_category(text: str, expected: str) -> None:
    assert Redactor([GRACE]).redact(text) == expected


@table("category", CATEGORIES)
def test_a_category_can_be_left_out(category: str) -> None:
    text = "Grace: a@b.test, https://b.test, +49 30 1234567, 7, 2026-03-01."

    masked = Redactor([GRACE], {category}).redact(text)

    assert f"[{category}]" not in masked
    assert f"[{category}]" in Redactor([GRACE]).redact(text)


def test_a_masked_text_has_no_digit() -> None:
    for count in range(1, 40):
        text = f"id {'7' * count} and {'1 2-3.' * count}"
        assert not any(character.isdigit() for character in Redactor([]).redact(text))


def test_names_are_masked_as_streams_and_forms_write_them() -> None:
    redactor = Redactor([Speaker("1", "Will Smith")])
    assert redactor.redact("WILL SMITH or will smith, WILL, and I will go.") == (
        "[PERSON_NAME] or [PERSON_NAME], [PERSON_NAME], and I will go."
    )
