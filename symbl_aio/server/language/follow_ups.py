"""Decide whether a task is a follow-up: its point is to contact a person, or to meet again."""

from __future__ import annotations

import re
from functools import cache

from symbl_aio.server.language.word_lists import CONTACT_VERBS, MEETING_NOUNS, MESSAGE_NOUNS


def is_follow_up(task: str) -> bool:
    """Return whether a task in plain words ("call tom on monday") contacts a person."""
    return bool(_DELIVERY.match(task) is None and _contact().match(task))


def _any(words: frozenset[str]) -> str:
    return "|".join(sorted(words))


_PERSON = r"(?:me|us|you|him|her|them|everyone|everybody|all|@?[\w'-]+)"
_ARTICLE = r"(?:a|an|the|my|your|our|his|her|their|this|that|some|another|one more)"
_MEETING = rf"(?:[\w'-]+ ){{0,3}}(?:{_any(MEETING_NOUNS)})\b"
_MESSAGE = rf"(?:[\w'-]+ ){{0,2}}(?:{_any(MESSAGE_NOUNS)})\b"

# "Email you the offer" delivers the offer; the mail is only the way.
_DELIVERY = re.compile(
    rf"(?:e-?mail|mail|text|message) {_PERSON} (?:{_ARTICLE} (?!{_MEETING})|those |these |all )"
)
_CONTACT = (
    rf"(?:{_any(CONTACT_VERBS)})(?:ing)?\b|call(?:ing)? (?!it\b|this\b|that\b|the meeting)"
    # Talk about a subject is the meeting itself; talk to a person is a task.
    r"|(?:talk|speak|chat|write)(?:ing)? (?:to|with)\b(?! you later)|talk again\b"
    r"|(?:follow|catch)(?:ing)? up\b|circl(?:e|ing) back\b|touch(?:ing)? base\b"
    r"|(?:get|come)(?:ting)? back to\b|get(?:ting)? in (?:touch|contact)\b|reach(?:ing)? out\b"
    r"|(?:check|double-check|clarify|confirm|sync)(?: it| that| this)? with\b|check in\b"
    r"|sync(?:ing)? up\b|reconven(?:e|ing)\b|regroup(?:ing)?\b"
    # Put off until the next meeting.
    r"|(?:discuss|talk about|revisit|review|continue|cover|address|go over"
    r"|pick (?:it|this|that) up)"
    rf"\b.{{0,60}} (?:in|at|on|during|for) (?:the|our) next {_MEETING}"
    rf"|let {_PERSON} know\b|tell(?:ing)? (?!(?:you|me|us)\b)|hear from\b"
    rf"|have (?:a|another) {_MEETING}"
    rf"|(?:give|drop) {_PERSON} (?:a|another) (?:[\w-]+ )?(?:call|ring|shout|line|buzz|bell)\b"
    rf"|(?:set|setting)(?: up)? {_ARTICLE}? ?{_MEETING}(?: up)?"
    rf"|(?:schedul|arrang|organi[sz]|book|mak|plan|fix|propos)(?:e|ing|) {_ARTICLE}? ?{_MEETING}"
    rf"|(?:send|write|shoot)(?:ing)? (?:(?!{_ARTICLE}\b){_PERSON} )?{_ARTICLE} {_MESSAGE}"
    rf"|ask(?:ing)? (?:{_ARTICLE} )?[\w'-]+(?: again| first| today| tomorrow)*$"
    r"|meet(?:ing)?\b(?! the (?:deadline|budget|target|goal|requirement))"
)


@cache
def _contact() -> re.Pattern[str]:
    # With the first task: it takes a third of the time of all patterns of the server, which each
    # start would wait for.
    return re.compile(_CONTACT)
