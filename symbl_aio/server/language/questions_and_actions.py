"""Tell questions, promises and requests by the way a sentence is built.

Tuned for business-like speech: enough for a double of the real service, and no
product. Punctuation decides how well questions are found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from attrs import frozen

from symbl_aio.server.language.models import Speaker
from symbl_aio.server.language.word_lists import (
    ANSWER_VERBS,
    CONTACT_PHRASES,
    CONTACT_VERBS,
    DEED_VERBS,
    IDLE_VERBS,
    LEAD_INS,
    OPENING_VERBS,
    VAGUE_VERBS,
)


@frozen
class Action:
    """Something somebody is to do. ``phrase`` is the deed: "send the report tomorrow"."""

    score: float
    phrase: str
    assignee: Speaker | None
    follow_up: bool


def question_score(text: str) -> float:
    """Give how surely a sentence asks something; 0 when it does not."""
    plain = _plain(text)
    if plain.rstrip("\"')").endswith("?"):
        # "Okay?" and "Right?" want a nod, not an answer.
        said = [word for word in _WORD.findall(plain.lower()) if word not in LEAD_INS]
        return 0.95 if said else 0.0
    if plain.endswith((".", "!")):
        return 0.0
    return 0.7 if _ASKING.match(_without_lead_ins(plain)) else 0.0


class Actions:
    """Finds actions in the sentences of one conversation, whose ``speakers`` it knows by name."""

    def __init__(self, speakers: Iterable[Speaker]) -> None:
        self._by_name = _names(speakers)
        name = "|".join(map(re.escape, sorted(self._by_name, key=len, reverse=True))) or r"(?!)"
        self._subject = _words(rf"\b(?P<name>{name})(?:'ll| will| is going to| needs to| has to) ")
        self._addressed = _words(
            rf"(?P<name>{name})(?:\s*[,:]\s*|\s+(?=(?:can|could|would|will) you\b|please\b))"
        )
        self._addressed_last = _words(rf",\s*(?P<name>{name})\s*[.?!]*$")

    def find(self, text: str, speaker: Speaker | None) -> Action | None:
        """Find what ``speaker`` promises, or asks somebody to do; ``None`` when nothing."""
        plain = _plain(text)
        if plain.endswith("?"):
            return self._request(plain)
        return self._promise(plain, speaker) or self._request(plain)

    def _promise(self, plain: str, speaker: Speaker | None) -> Action | None:
        for match in _SELF.finditer(plain):
            who = speaker if match["who"].lower() == "i" else None
            score = 0.75 if match["duty"] else 0.9
            if action := _promised(plain, match, IDLE_VERBS, score, who):
                return action
        for match in self._subject.finditer(plain):
            who = self._by_name[match["name"].lower()]
            if action := _promised(plain, match, IDLE_VERBS, 0.85, who):
                return action
        for match in _LET.finditer(plain):
            who = speaker if match["who"].lower() == "let me" else None
            if action := _promised(plain, match, IDLE_VERBS | OPENING_VERBS, 0.75, who):
                return action
        return None

    def _request(self, plain: str) -> Action | None:
        rest = _without_lead_ins(plain)
        addressee = None
        if named := self._addressed.match(rest):
            addressee = self._by_name[named["name"].lower()]
            rest = _without_lead_ins(rest[named.end() :])
        elif named := self._addressed_last.search(rest):
            addressee = self._by_name[named["name"].lower()]
            rest = rest[: named.start()]
        for pattern, score in ((_CAN_YOU, 0.8), (_PLEASE, 0.75)):
            for match in pattern.finditer(rest):
                if phrase := _deed(rest[match.end() :], IDLE_VERBS | ANSWER_VERBS):
                    return _action(score, phrase, addressee)
        # Without a "please", only a plain deed asked of somebody by name.
        if addressee is not None or _PLEASE_LAST.search(rest):
            phrase = _deed(_PLEASE_LAST.sub("", rest), frozenset())
            if phrase and phrase.split()[0].lower() in DEED_VERBS:
                return _action(0.7, phrase, addressee)
        return None


def _promised(
    plain: str, match: re.Match[str], idle: frozenset[str], score: float, who: Speaker | None
) -> Action | None:
    if _NO_PROMISE_AFTER.search(plain[: match.start()], max(0, match.start() - _NEAR)):
        return None
    phrase = _deed(plain[match.end() :], idle)
    return _action(score, phrase, who) if phrase else None


def _action(score: float, phrase: str, assignee: Speaker | None) -> Action:
    spoken = phrase.lower()
    verb = spoken.split()[0]
    reaches_out = bool(_stems(verb) & CONTACT_VERBS)
    reaches_out |= any(known in spoken for known in CONTACT_PHRASES)
    return Action(score, phrase, assignee, reaches_out)


def _deed(rest: str, idle: frozenset[str]) -> str | None:
    """Give the verb and the rest of its clause, or ``None`` for what nobody could tick off."""
    clause = _CLAUSE_END.split(_ADVERBS.sub("", rest, count=1), maxsplit=1)[0].strip()
    words = clause.split()
    if words and words[0].lower() == "be":  # "I will be sending it": the doing is the verb
        words = words[1:]
        if not words or not words[0].lower().endswith("ing"):
            return None
    if not words or not _WORD.fullmatch(words[0].lower()) or "not" in words[1:2]:
        return None
    verb = words[0].lower()
    needed = 3 if verb in VAGUE_VERBS else 2
    return None if _stems(verb) & idle or len(words) < needed else " ".join(words)


def _stems(verb: str) -> set[str]:
    bare = verb.removesuffix("ing")
    return {verb, bare, bare + "e", bare[:-1]} if bare != verb else {verb}


def _names(speakers: Iterable[Speaker]) -> Mapping[str, Speaker]:
    """Give speakers by full and by first name; a first name that two share is nobody's."""
    named = [speaker for speaker in speakers if speaker.name and speaker.name.strip()]
    first: dict[str, list[Speaker]] = {}
    for speaker in named:
        first.setdefault((speaker.name or "").lower().split()[0], []).append(speaker)
    unique = {name: found[0] for name, found in first.items() if len(found) == 1}
    return unique | {" ".join((s.name or "").lower().split()): s for s in named}


def _plain(text: str) -> str:
    return " ".join(text.replace("\u2019", "'").split())


def _without_lead_ins(plain: str) -> str:
    while (match := _LEAD_IN.match(plain)) and match[1].lower() in LEAD_INS:
        plain = plain[match.end() :]
    return plain


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_LEAD_IN = _words(r"([a-z]+)\b[\s,.!-]*(?=\S)")
_CLAUSE_END = _words(r"[,;.?!](?=\s|$)|\s(?:but|because|although|so that|and then|and I|and we)\s")
_ADVERBS = _words(
    r"^\s*(?:(?:just|also|then|now|still|first|quickly|definitely|certainly|probably|personally"
    r"|maybe|kindly|only|actually|please|go ahead and|make sure to|be sure to|try to|to)\s+)*"
)

_SELF = _words(
    r"\b(?P<who>I|we)(?: just| also| still| really| then| only| definitely| probably)*"
    r"(?:'ll| will| shall|(?:'m| am|'re| are) (?:going to|gonna)"
    r"|(?P<duty> need to| have to| must)) "
)
_LET = _words(r"\b(?P<who>let me|let us|let's) ")
_NEAR = 20  # characters, more than any of these words has
# "If I will", "what I'll": not a promise but a thought about one.
_NO_PROMISE_AFTER = _words(
    r"\b(?:if|when|whenever|what|whatever|how|where|which|whether|who|why|unless|until|than|that's"
    r"|wish|thought|said)\s+$"
)

_CLAUSE = r"(?:^|[,;:]\s*|\b(?:and|so|but|then)\s+)"
_CAN_YOU = _words(
    _CLAUSE + r"(?:(?:can|could|would|will) (?:you|someone|somebody|anyone|one of you)(?: mind)?"
    r"|I need you to|I'd like you to|I would like you to|make sure (?:that )?you) "
)
_PLEASE = _words(_CLAUSE + r"please ")
_PLEASE_LAST = _words(r",?\s*please\s*[.!]*$")

_ASKING = _words(
    r"(?:what|who|where|when|why|how|which|whose)(?:'s|'re| (?:is|are|was|were|do|does|did|can"
    r"|could|will|would|should|have|has|had|many|much|long|often|about|come|kind|time|one))\b"
    r"|(?:is|are|was|were|do|does|did|can|could|will|would|should|shall|have|has|had|am"
    r"|isn't|aren't|don't|doesn't|didn't|can't|couldn't|won't|wouldn't|shouldn't) "
    r"(?:I|you|we|they|he|she|it|there|this|that|these|those|the|your|our|my|their|anyone"
    r"|anybody|someone|somebody|everyone|any) \w"
)
