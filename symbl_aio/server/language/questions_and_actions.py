"""Detect questions, promises and requests by the form of a sentence.

The rules are tuned for business speech. They suffice for a test double of the real
service, not for a product. Questions depend on punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from symbl_aio.server.language.phrases import PhraseIndex, PhraseMatch
from symbl_aio.server.language.values import Speaker
from symbl_aio.server.language.word_lists import (
    ANSWER_VERBS,
    CONTACT_PHRASES,
    CONTACT_VERBS,
    FILLER_WORDS,
    NON_TASK_VERBS,
    TASK_VERBS,
    TRANSITION_VERBS,
    VAGUE_VERBS,
)


@frozen
class Action:
    """A promise or a request; ``phrase`` is the task: "send the report tomorrow"."""

    score: float
    phrase: str
    assignee: Speaker | None
    follow_up: bool


def question_score(text: str) -> float:
    """Return the score of a question, 0.0 for any other sentence."""
    sentence = _normalise(text)
    if sentence.rstrip("\"')").endswith("?"):
        # "Okay?" and "Right?" ask for no answer.
        words = [word for word in _WORD.findall(sentence.lower()) if word not in FILLER_WORDS]
        return 0.95 if words else 0.0
    if sentence.endswith((".", "!")):
        return 0.0
    return 0.7 if _QUESTION_START.match(sentence, _after_fillers(sentence, 0)) else 0.0


class ActionFinder:
    """Finds actions in sentences of one conversation; ``speakers`` can be addressed by name."""

    def __init__(self, speakers: Iterable[Speaker]) -> None:
        self._names = PhraseIndex(_speakers_by_name(speakers).items())

    def find(self, text: str, speaker: Speaker | None) -> Action | None:
        """Return the promise of ``speaker``, or the request to another person; None without one."""
        sentence = _normalise(text)
        names = tuple(self._names.find(sentence))
        if sentence.endswith("?"):
            return self._request(sentence, names)
        return self._promise(sentence, speaker, names) or self._request(sentence, names)

    def _promise(
        self, sentence: str, speaker: Speaker | None, names: Sequence[PhraseMatch[Speaker]]
    ) -> Action | None:
        for match in _SELF.finditer(sentence):
            assignee = speaker if match["who"].lower() == "i" else None
            # "I need to" is a weaker promise than "I will".
            score = 0.75 if match["duty"] else 0.9
            if action := _promise_action(sentence, match, NON_TASK_VERBS, score, assignee):
                return action
        for name in names:
            will = _SUBJECT_WILL.match(sentence, name.end)
            if will is not None and (
                action := _promise_action(sentence, will, NON_TASK_VERBS, 0.85, name.value)
            ):
                return action
        for match in _LETS.finditer(sentence):
            assignee = speaker if match["who"].lower() == "let me" else None
            if action := _promise_action(
                sentence, match, NON_TASK_VERBS | TRANSITION_VERBS, 0.75, assignee
            ):
                return action
        return None

    def _request(self, sentence: str, names: Sequence[PhraseMatch[Speaker]]) -> Action | None:
        start, end = _after_fillers(sentence, 0), len(sentence)
        addressee = None
        # Of names that begin or end at the same character, the longest.
        for name in sorted(names, key=lambda name: name.start - name.end):
            if name.start == start and (address := _ADDRESS.match(sentence, name.end)):
                addressee = name.value
                start = _after_fillers(sentence, address.end())
                break
            before = _COMMA_BEFORE.search(sentence, max(name.start - 3, 0), name.start)
            if before is not None and _ONLY_MARKS.fullmatch(sentence, name.end):
                addressee, end = name.value, before.start()
                break
        rest = sentence[start:end]
        for pattern, score in ((_CAN_YOU, 0.8), (_PLEASE, 0.75)):
            for match in pattern.finditer(rest):
                if phrase := _task_phrase(rest, match.end(), NON_TASK_VERBS | ANSWER_VERBS):
                    return _action(score, phrase, addressee)
        # Without "can you" or "please", only a task verb after a name counts.
        if addressee is not None or _PLEASE_LAST.search(rest):
            phrase = _task_phrase(_PLEASE_LAST.sub("", rest), 0, frozenset())
            if phrase and phrase.split()[0].lower() in TASK_VERBS:
                return _action(0.7, phrase, addressee)
        return None


def _promise_action(
    sentence: str,
    match: re.Match[str],
    excluded_verbs: frozenset[str],
    score: float,
    assignee: Speaker | None,
) -> Action | None:
    """Return the action behind a promise, None after words such as "if" or for an idle verb."""
    before = match.start()
    if _NOT_A_PROMISE_AFTER.search(sentence, max(0, before - _NEAR), before):
        return None
    phrase = _task_phrase(sentence, match.end(), excluded_verbs)
    return _action(score, phrase, assignee) if phrase else None


def _action(score: float, phrase: str, assignee: Speaker | None) -> Action:
    lowered = phrase.lower()
    verb = lowered.split()[0]
    follow_up = bool(_stems(verb) & CONTACT_VERBS)
    follow_up |= any(known in lowered for known in CONTACT_PHRASES)
    return Action(score, phrase, assignee, follow_up)


def _task_phrase(sentence: str, start: int, excluded_verbs: frozenset[str]) -> str | None:
    """Return the verb at ``start`` and the rest of its clause; None if it is no task."""
    rest = sentence[start : start + _LONGEST_TASK]
    clause = _CLAUSE_END.split(_LEADING_ADVERBS.sub("", rest, count=1), maxsplit=1)[0].strip()
    words = clause.split()
    if words and words[0].lower() == "be":  # "I will be sending it": "sending" is the verb
        words = words[1:]
        if not words or not words[0].lower().endswith("ing"):
            return None
    if not words or not _WORD.fullmatch(words[0].lower()) or "not" in words[1:2]:
        return None
    verb = words[0].lower()
    minimum = 3 if verb in VAGUE_VERBS else 2
    return None if _stems(verb) & excluded_verbs or len(words) < minimum else " ".join(words)


def _stems(verb: str) -> set[str]:
    # "sending" to "send", "making" to "make", "planning" to "plan".
    bare = verb.removesuffix("ing")
    return {verb, bare, bare + "e", bare[:-1]} if bare != verb else {verb}


def _speakers_by_name(speakers: Iterable[Speaker]) -> Mapping[str, Speaker]:
    """Return speakers by full and first name; a first name of two speakers is left out."""
    named = [speaker for speaker in speakers if speaker.name and speaker.name.strip()]
    first: dict[str, list[Speaker]] = {}
    for speaker in named:
        first.setdefault((speaker.name or "").lower().split()[0], []).append(speaker)
    unique = {name: found[0] for name, found in first.items() if len(found) == 1}
    return unique | {" ".join((s.name or "").lower().split()): s for s in named}


def _normalise(text: str) -> str:
    return " ".join(text.replace("\u2019", "'").split())


def _after_fillers(sentence: str, start: int) -> int:
    """Return the offset of the first word from ``start`` on that is no filler."""
    while (match := _FIRST_WORD.match(sentence, start)) and match[1].lower() in FILLER_WORDS:
        start = match.end()
    return start


def _ignore_case(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_FIRST_WORD = _ignore_case(r"([a-z]+)\b[\s,.!-]*(?=\S)")
_CLAUSE_END = _ignore_case(
    r"[,;.?!](?=\s|$)|\s(?:but|because|although|so that|and then|and I|and we)\s"
)
_LEADING_ADVERBS = _ignore_case(
    r"^\s*(?:(?:just|also|then|now|still|first|quickly|definitely|certainly|probably|personally"
    r"|maybe|kindly|only|actually|please|go ahead and|make sure to|be sure to|try to|to)\s+)*"
)

_SELF = _ignore_case(
    r"\b(?P<who>I|we)(?: just| also| still| really| then| only| definitely| probably)*"
    r"(?:'ll| will| shall|(?:'m| am|'re| are) (?:going to|gonna)"
    r"|(?P<duty> need to| have to| must)) "
)
_LETS = _ignore_case(r"\b(?P<who>let me|let us|let's) ")
_SUBJECT_WILL = _ignore_case(r"(?:'ll| will| is going to| needs to| has to) ")
_ADDRESS = _ignore_case(r"\s*[,:]\s*|\s+(?=(?:can|could|would|will) you\b|please\b)")
_COMMA_BEFORE = re.compile(r",\s*$")
_ONLY_MARKS = re.compile(r"\s*[.?!]*")
_LONGEST_TASK = 300  # characters
_NEAR = 20  # characters, longer than any of the words below
# "If I will" and "what I'll" are no promises.
_NOT_A_PROMISE_AFTER = _ignore_case(
    r"\b(?:if|when|whenever|what|whatever|how|where|which|whether|who|why|unless|until|than|that's"
    r"|wish|thought|said)\s+$"
)

_CLAUSE = r"(?:^|[,;:]\s*|\b(?:and|so|but|then)\s+)"
_CAN_YOU = _ignore_case(
    _CLAUSE + r"(?:(?:can|could|would|will) (?:you|someone|somebody|anyone|one of you)(?: mind)?"
    r"|I need you to|I'd like you to|I would like you to|make sure (?:that )?you) "
)
_PLEASE = _ignore_case(_CLAUSE + r"please ")
_PLEASE_LAST = _ignore_case(r",? ?please ?[.!]*$")

_QUESTION_START = _ignore_case(
    r"(?:what|who|where|when|why|how|which|whose)(?:'s|'re| (?:is|are|was|were|do|does|did|can"
    r"|could|will|would|should|have|has|had|many|much|long|often|about|come|kind|time|one))\b"
    r"|(?:is|are|was|were|do|does|did|can|could|will|would|should|shall|have|has|had|am"
    r"|isn't|aren't|don't|doesn't|didn't|can't|couldn't|won't|wouldn't|shouldn't) "
    r"(?:I|you|we|they|he|she|it|there|this|that|these|those|the|your|our|my|their|anyone"
    r"|anybody|someone|somebody|everyone|any) \w"
)
