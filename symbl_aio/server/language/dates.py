"""Find date and time phrases in a sentence and compute the times they mean.

The rules are words and arithmetic: a general date parser reads "we" as Wednesday. A
phrase that names only a day means its midnight.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Literal

from attrs import frozen

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PART_OF_DAY_TIMES = {
    "morning": time(9),
    "noon": time(12),
    "afternoon": time(15),
    "evening": time(18),
    "night": time(20),
}
_WRITTEN = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_COUNT_WORDS: dict[str, float] = {word: count for count, word in enumerate(_WRITTEN, 1)}
_COUNT_WORDS |= {"a": 1, "an": 1, "half an": 0.5, "a couple of": 2, "a few": 3}
_COUNT_WORDS |= {"twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30}
_UNITS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
}

Kind = Literal["date", "time", "datetime"]


@frozen
class DatePhrase:
    """A date or time phrase: its text, its offset in the sentence, and its aware time."""

    text: str
    offset: int
    at: datetime
    kind: Kind

    @property
    def value(self) -> str:
        """The time as text without a zone, as the API writes it in entities."""
        form = {"date": "%Y-%m-%d", "time": "%H:%M:%S", "datetime": "%Y-%m-%d %H:%M:%S"}
        return self.at.strftime(form[self.kind])


@frozen
class _Phrase:
    """The match of one rule: a day, a time of day, both, or an exact time."""

    start: int
    end: int
    day: date | None = None
    clock: time | None = None
    at: datetime | None = None


def find_dates(text: str, now: datetime) -> tuple[DatePhrase, ...]:
    """Return the phrases in order; ``now`` is the aware time of the sentence.

    A day and a time next to each other are one phrase: "tomorrow at 5 pm".
    """
    found: list[DatePhrase] = []
    for part in _merge_adjacent(text, sorted(_phrases(text, now), key=_sort_key)):
        kind: Kind = "datetime"
        if part.at is not None:
            at = part.at
        elif part.day is None:
            kind = "time"
            at = datetime.combine(now.date(), part.clock or time(), now.tzinfo)
            # A time of day that has passed means tomorrow.
            at += timedelta(days=at < now)
        else:
            kind = "date" if part.clock is None else kind
            at = datetime.combine(part.day, part.clock or time(), now.tzinfo)
        found.append(DatePhrase(text[part.start : part.end], part.start, at, kind))
    return tuple(found)


def mentions_date(text: str) -> bool:
    """Return whether a day or a time is mentioned, even an impossible one."""
    return any(pattern.search(text) for pattern, _ in _RULES)


def _phrases(text: str, now: datetime) -> Iterator[_Phrase]:
    for pattern, rule in _RULES:
        for match in pattern.finditer(text):
            try:
                yield rule(match, now)
            except (ValueError, OverflowError):
                continue  # "February 30" and "in 99999999 weeks" are no dates


def _sort_key(part: _Phrase) -> tuple[int, int]:
    return part.start, -part.end


def _merge_adjacent(text: str, parts: list[_Phrase]) -> list[_Phrase]:
    merged: list[_Phrase] = []
    for part in parts:
        previous = merged[-1] if merged else None
        if previous is not None and part.start < previous.end:
            continue  # the phrase before it starts earlier or is longer
        if (
            previous is not None
            and _CONNECTOR.fullmatch(text, previous.end, part.start)
            and (
                # One of the two has the day, the other the time.
                (previous.day is None) != (part.day is None)
                and (previous.clock is None) != (part.clock is None)
            )
        ):
            day, clock = previous.day or part.day, previous.clock or part.clock
            merged[-1] = _Phrase(previous.start, part.end, day, clock)
        else:
            merged.append(part)
    return merged


def _relative_day(match: re.Match[str], now: datetime) -> _Phrase:
    word = match["word"].lower()
    days = {"today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1}.get(word, 2)
    clock = _PART_OF_DAY_TIMES["night"] if word == "tonight" else _part_of_day(match)
    return _Phrase(*match.span(), now.date() + timedelta(days=days), clock)


def _part_of_today(match: re.Match[str], now: datetime) -> _Phrase:
    return _Phrase(*match.span(), now.date(), _part_of_day(match))


def _weekday(match: re.Match[str], now: datetime) -> _Phrase:
    today = now.date()
    days_ahead = (_WEEKDAYS.index(match["weekday"].lower()) - today.weekday()) % 7
    match (match["which"] or "").lower():
        case "last":
            days = days_ahead - 7
        case "next":  # in the next calendar week, which begins on Monday
            days = days_ahead if days_ahead + today.weekday() > 6 else days_ahead + 7
        case _:
            # "Wednesday" on a Wednesday means the next one.
            days = days_ahead or 7
    return _Phrase(*match.span(), today + timedelta(days=days), _part_of_day(match))


def _week_or_month(match: re.Match[str], now: datetime) -> _Phrase:
    """Return the start of a later week or month, or the end of this or a later one."""
    today = now.date()
    unit = match["unit"].lower()
    following = (match["which"] or "").lower() == "next"
    if unit == "day":
        return _Phrase(*match.span(), today + timedelta(days=following))
    if unit == "week":
        monday = today - timedelta(days=today.weekday()) + timedelta(weeks=following)
        return _Phrase(*match.span(), monday + timedelta(days=4) if match["end"] else monday)
    year, month = divmod(today.year * 12 + today.month - 1 + following, 12)
    last = monthrange(year, month + 1)[1]
    return _Phrase(*match.span(), date(year, month + 1, last if match["end"] else 1))


def _calendar_day(match: re.Match[str], now: datetime) -> _Phrase:
    """Parse "March 3rd", "3 March 2027" or "the 15th"; without a year, the next such day."""
    groups = match.groupdict()
    day = int(groups.get("day") or groups["day2"])
    name = (groups.get("month") or groups.get("month2") or "").lower()
    year = groups.get("year") or groups.get("year2")
    today = now.date()
    if name:
        month = _MONTHS.index(name[:3]) + 1
        found = date(int(year) if year else today.year, month, day)
        if not year and found < today:
            found = date(today.year + 1, month, day)
    else:
        found = today.replace(day=day)
        if found < today:
            found = date(today.year + today.month // 12, today.month % 12 + 1, day)
    return _Phrase(*match.span(), found)


def _iso_day(match: re.Match[str], now: datetime) -> _Phrase:
    return _Phrase(*match.span(), date.fromisoformat(match[0]))


def _numeric_day(match: re.Match[str], now: datetime) -> _Phrase:
    """Parse "12/24/2026", month first as in the USA unless there is no such month."""
    first, second = int(match["first"]), int(match["second"])
    month, day = (first, second) if match["mark"] == "/" and first <= 12 else (second, first)
    year = int(match["year"] or now.year)
    found = date(year + 2000 if year < 100 else year, month, day)
    if not match["year"] and found < now.date():
        found = date(found.year + 1, month, day)
    return _Phrase(*match.span(), found)


def _in_some_time(match: re.Match[str], now: datetime) -> _Phrase:
    count = match["count"].lower()
    unit = match["unit"].lower()
    number = _COUNT_WORDS.get(count)
    at = now + (float(count) if number is None else number) * _UNITS[unit]
    if unit in ("minute", "hour"):
        return _Phrase(*match.span(), at=at.replace(microsecond=0))
    return _Phrase(*match.span(), at.date())


def _clock_time(match: re.Match[str], now: datetime) -> _Phrase:
    hour, am_pm = int(match["hour"]), (match["half"] or "").lower()[:1]
    if am_pm:
        if not 1 <= hour <= 12:
            raise ValueError("not on a twelve-hour clock")
        hour = hour % 12 + (12 if am_pm == "p" else 0)
    return _Phrase(*match.span(), clock=time(hour, int(match["minute"] or 0)))


def _bare_hour(match: re.Match[str], now: datetime) -> _Phrase:
    hour = int(match["hour"])
    # Meetings are not at 3 in the morning: 1 to 7 are afternoon hours.
    return _Phrase(*match.span(), clock=time(hour + 12 if 1 <= hour <= 7 else hour))


def _noon(match: re.Match[str], now: datetime) -> _Phrase:
    return _Phrase(*match.span(), clock=time(12 if match[0].lower() == "noon" else 0))


def _part_of_day(match: re.Match[str]) -> time | None:
    part = match["part"]
    return _PART_OF_DAY_TIMES[part.lower()] if part else None


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{text})(?!\w)", re.IGNORECASE)


_CONNECTOR = re.compile(r"[\s,]*(?:(?:at|by|around|before|after|from|on)\s+)?", re.IGNORECASE)
_PART = r"(?:\s+(?P<part>morning|noon|afternoon|evening|night))?"
_MONTH = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_COUNT = "|".join(sorted(_COUNT_WORDS, key=len, reverse=True))

_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], datetime], _Phrase]], ...] = (
    (
        _pattern(rf"(?P<word>(?:the )?day after tomorrow|today|tonight|tomorrow|yesterday){_PART}"),
        _relative_day,
    ),
    (_pattern(r"this (?P<part>morning|afternoon|evening)"), _part_of_today),
    (
        _pattern(
            rf"(?:(?P<which>this|next|last|coming)\s+)?(?P<weekday>{'|'.join(_WEEKDAYS)}){_PART}"
        ),
        _weekday,
    ),
    (
        _pattern(r"(?P<end>)(?P<which>next) (?P<unit>week|month)"),
        _week_or_month,
    ),
    (
        _pattern(r"(?P<end>end) of (?:the |this |(?P<which>next) )?(?P<unit>day|week|month)"),
        _week_or_month,
    ),
    (
        _pattern(
            rf"(?P<month>{_MONTH})\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>\d{{4}}))?"
            rf"|(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<month2>{_MONTH})"
            r"(?: (?P<year2>\d{4}))?"
        ),
        _calendar_day,
    ),
    (_pattern(r"the (?P<day>\d{1,2})(?:st|nd|rd|th)"), _calendar_day),
    (_pattern(r"\d{4}-\d\d-\d\d"), _iso_day),
    # Without a year only after a word such as "by": "3/4 of it" is a part.
    (
        _pattern(
            # With full stops the year has four digits: "3.11.27" is a version.
            r"(?<![\d/.])(?P<first>\d{1,2})(?P<mark>[/.])(?P<second>\d{1,2})(?P=mark)"
            r"(?P<year>\d{4}|(?<=/)\d\d)(?![/.]\d)"
        ),
        _numeric_day,
    ),
    (
        _pattern(
            r"(?:(?<=\bby )|(?<=\bbefore )|(?<=\buntil ))(?P<first>\d{1,2})(?P<mark>/)"
            r"(?P<second>\d{1,2})(?P<year>)(?!/)"
        ),
        _numeric_day,
    ),
    (
        _pattern(
            rf"(?:in|within)(?: the next)? (?P<count>\d{{1,4}}|{_COUNT}) "
            r"(?P<unit>minute|hour|day|week|month)s?"
        ),
        _in_some_time,
    ),
    (
        _pattern(r"(?P<hour>\d{1,2})(?:[:.](?P<minute>[0-5]\d))?\s?(?P<half>[ap])(?:\.m\.|m)"),
        _clock_time,
    ),
    (_pattern(r"(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?P<half>)"), _clock_time),
    (_pattern(r"(?P<hour>1?\d) o.clock"), _bare_hour),
    (_pattern(r"noon|midnight"), _noon),
)
