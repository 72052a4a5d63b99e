"""Recognise promises and requests by the first words of each clause.

A rule is a pattern of plain words (``clauses``), tried at the start of a clause; the words
after it must be a task (``task_rules``). How much a task has to show depends on the rule: after "I
will" any task with an object counts, after "we have to" only work that is named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from attrs import frozen

from symbl_aio.server.language.analysis_values import Speaker
from symbl_aio.server.language.clauses import Clause, clauses
from symbl_aio.server.language.follow_ups import is_follow_up
from symbl_aio.server.language.phrase_index import PhraseIndex
from symbl_aio.server.language.task_rules import Demand, task_at
from symbl_aio.server.language.word_lists import CONDITIONS, NO_ADDRESSEES, NO_NAMES

Doer: TypeAlias = Literal["speaker", "other", "group"]


@frozen
class Action:
    """A promise or a request; ``phrase`` is the task: "send the report tomorrow"."""

    score: float
    phrase: str
    assignee: Speaker | None
    follow_up: bool


@frozen
class _Rule:
    """A beginning of clauses; ``doer`` has to do the task, which must show ``demand``."""

    pattern: re.Pattern[str]
    doer: Doer
    score: float
    demand: Demand


@frozen
class _Name:
    """The name at the start of a clause, and the offset after it.

    ``speaker``: the member of this name, else a person with the name and no id.
    """

    end: int
    speaker: Speaker | None = None
    known: bool = False
    # "the treasurer", "she": not a name.
    role: bool = False


class ActionFinder:
    """Finds actions in sentences of one conversation; ``speakers`` can be addressed by name."""

    def __init__(self, speakers: Iterable[Speaker]) -> None:
        speakers = tuple(speakers)
        self._names = PhraseIndex(_speakers_by_name(speakers).items())
        self._shared = _shared_first_names(speakers)

    def find(self, text: str, speaker: Speaker | None) -> Action | None:
        """Return the promise of ``speaker``, or the request to another person; None without one."""
        sentence = text.strip()
        # What another mail said is quoted, not promised.
        if sentence.startswith(">"):
            return None
        parts = tuple(clauses(sentence))
        if any(part.opener == "if" and _OFFER.match(part.text) for part in parts):
            return None
        is_question = sentence.rstrip("\"')\u201d!").endswith("?")
        listed = _BULLET.match(sentence) is not None
        # "Could you review it, Tom?"
        addressee = self._called(parts[-1], sentence, parts[:-1]) if len(parts) > 1 else None
        at_start = True
        before = ""
        for index, clause in enumerate(parts):
            name = self._name_at_start(clause, sentence)
            # "Tom, can you ..."
            if called := self._called(clause, sentence, parts[index + 1 : index + 2]):
                addressee = called
                continue
            if heading := _HEADING.fullmatch(clause.text):
                owner = self._speaker_named(heading["owner"] or "")
                listed, addressee = True, owner or addressee
                continue
            if clause.text == "please":
                continue
            rules = _rules(
                clause,
                name,
                is_question=is_question,
                is_kind=_KIND.search(before) is not None,
                command=Demand.LISTED if listed else Demand.COMMAND if at_start else None,
                addressed=addressee is not None,
            )
            for start, rule in rules:
                match = rule.pattern.match(clause.text, start)
                offset = task_at(clause.text, match.end(), rule.demand) if match else None
                if offset is not None:
                    named = name is not None and (name.known or start > 0)
                    other = (name.speaker if name is not None and named else None) or addressee
                    assignees = {"speaker": speaker, "other": other, "group": None}
                    return Action(
                        rule.score,
                        clause.source(sentence, offset),
                        assignees[rule.doer],
                        is_follow_up(clause.text[offset:].removeprefix("be ")),
                    )
            at_start, before = False, clause.text
        return None

    def _name_at_start(self, clause: Clause, sentence: str) -> _Name | None:
        known = [
            match
            for match in self._names.find(clause.text[:_LONGEST_NAME])
            if match.start == 0 and clause.text[match.end : match.end + 1] in (" ", "")
        ]
        if known:
            longest = max(known, key=lambda match: match.end)
            return _Name(longest.end, longest.value, known=True)
        words = clause.text.split(" ", 3)[:3]
        count = 0
        while count < len(words) and clause.capital[count] and words[count] not in NO_NAMES:
            count += 1
        if count:
            name = sentence[clause.starts[0] : clause.ends[count - 1]].lstrip("@")
            return _Name(len(" ".join(words[:count])), Speaker("", name))
        role = _ROLE.match(clause.text)
        return _Name(role.end() - 1, role=True) if role else None

    def _called(
        self, clause: Clause, sentence: str, neighbours: Sequence[Clause]
    ) -> Speaker | None:
        """Return the person named by all of a clause: a speaker, or one who is asked beside it."""
        name = self._name_at_start(clause, sentence)
        if name is None or name.end != len(clause.text):
            return None
        is_person = name.known or (
            clause.text not in self._shared
            and clause.text not in NO_ADDRESSEES
            and not clause.text.endswith("ly")
            and any(_ASKED.match(neighbour.text) for neighbour in neighbours)
        )
        return name.speaker if is_person else None

    def _speaker_named(self, text: str) -> Speaker | None:
        whole = (m.value for m in self._names.find(text) if (m.start, m.end) == (0, len(text)))
        return next(whole, None)


def _rules(
    clause: Clause,
    name: _Name | None,
    *,
    is_question: bool,
    is_kind: bool,
    command: Demand | None,
    addressed: bool,
) -> Iterable[tuple[int, _Rule]]:
    """Yield the rules to try, each with the offset at which it begins."""
    if clause.opener in CONDITIONS:
        if clause.opener == "if" and is_kind:
            yield 0, _KIND_REQUEST  # "it would be great if you could ..."
        return
    after_name = name.end + 1 if name is not None and name.end < len(clause.text) else None
    requests = [0] if after_name is None else [after_name, 0]
    for start in requests:
        yield from ((start, rule) for rule in _REQUESTS)
    if is_question:
        yield from ((start, rule) for start in requests for rule in _PROPOSALS)
        return
    if after_name is not None:
        assert name is not None
        group = _ROLE_RULES if name.role else _KNOWN_RULES if name.known else _NAME_RULES
        yield from ((after_name, rule) for rule in group)
        if name.known:
            yield from ((after_name, rule) for rule in (*_TOLD, _COMMANDS[Demand.COMMAND]))
    if addressed:
        yield from ((0, rule) for rule in _TOLD)
    if agreed := _AGREED.match(clause.text):
        yield agreed.end(), _AGREED_RULE
    yield from ((0, rule) for rule in _PROMISES)
    if command is not None or addressed:
        yield 0, _COMMANDS[command or Demand.COMMAND]


def _speakers_by_name(speakers: Iterable[Speaker]) -> Mapping[str, Speaker]:
    """Return speakers by full and first name; a first name of two speakers is left out."""
    named = [speaker for speaker in speakers if speaker.name and speaker.name.strip()]
    shared = _shared_first_names(named)
    first = {(speaker.name or "").lower().split()[0]: speaker for speaker in named}
    unique = {name: speaker for name, speaker in first.items() if name not in shared}
    return unique | {" ".join((s.name or "").lower().split()): s for s in named}


def _shared_first_names(speakers: Iterable[Speaker]) -> frozenset[str]:
    firsts = Counter(name.lower().split()[0] for s in speakers if (name := (s.name or "").strip()))
    return frozenset(name for name, count in firsts.items() if count > 1)


def _rule(pattern: str, doer: Doer, score: float, demand: Demand) -> _Rule:
    return _Rule(re.compile(rf"(?:{pattern})(?: |$)" if pattern else ""), doer, score, demand)


_ASKED = re.compile(
    r"(?:can|could|would|will|do|did|are|have) you\b|please\b"
    r"|(?:do not forget|remember|be sure) to\b|i (?:need|want|would like) you\b"
)
_LONGEST_NAME = 60  # characters
_BULLET = re.compile(r"\s*(?:[-*\u2022\u2013]|\d{1,2}[.)]|\[[ x]?\])\s")
_HEADING = re.compile(
    r"(?:(?:a|the|new|next|first|another|your|my) )?"
    r"(?:action items?|actions?|to[ -]?dos?|tasks?|next steps?|reminders?)"
    r"(?: (?:for|of) (?P<owner>[\w'-]+(?: [\w'-]+){0,2}))?"
)
_ROLE = re.compile(
    r"(?:he|she|somebody|someone|anybody|anyone|everyone|everybody|one of (?:you|us|them)"
    r"|(?:the|our|my|your) (?:[\w'-]+ ){0,2}[\w'-]+(?= (?:will|is|has|needs|must) )) "
)
# "If you have any questions, call me" asks for nothing.
_OFFER = re.compile(
    r"(?:you|there|anything|something|anyone)\b.*\b(?:questions?|anything|any|else|missing|wrong)\b"
    r"|(?:something|anything) is\b"
)
_KIND = re.compile(
    r"\b(?:appreciate|grateful|great|nice|good|helpful|lovely|kind|perfect|happy|glad|wondering)"
    r"\b(?: it)?$"
)
_AGREED = re.compile(
    r"(?:we|they|it was) (?:have )?(?:agreed|decided)(?: that)? (?:[\w'-]+ ){1,2}?"
)

_AND_ADVERBS = (
    r"(?: (?:just|also|still|really|then|only|definitely|certainly|probably|quickly|now|first"
    r"|personally|actually|always|all|both|maybe|perhaps|please))*"
)
_WILL = (
    r"(?:will|shall|(?:am|are|is)(?: just| also| then| still| now)? going to)(?: (?:need|have) to)?"
)
_MUST = r"(?:needs? to|ha(?:s|ve) to|(?:have |has )?got to|must|should|ought to)"
_HOPE = (
    r"(?:(?:promise|plan|intend|want) to|can|could|would (?:like|love|need) to"
    r"|(?:would|had) better)"
)
_YOU = r"(?:you|someone|somebody|anyone|anybody|everyone|one of you)"
_AGREED_TO = r"(?:has )?(?:agreed|promised|volunteered|offered) to"

_REQUESTS = (
    _rule(rf"(?:can|could|would|will) {_YOU}{_AND_ADVERBS}", "other", 0.8, Demand.ASKED),
    _rule(rf"(?:would|do) {_YOU} mind{_AND_ADVERBS}", "other", 0.8, Demand.ASKED),
    _rule(rf"would it be possible(?: for {_YOU})? to", "other", 0.75, Demand.ASKED),
    _rule(
        rf"i (?:need|want|would like|would love) (?:{_YOU}|(?:the|our) [\w-]+) to",
        "other",
        0.8,
        Demand.ASKED,
    ),
    _rule(r"(?:please )?(?:make sure|ensure)(?: that)?(?: you| to)?", "other", 0.8, Demand.OBJECT),
    _rule(r"(?:please )?(?:do not forget|remember|be sure) to", "other", 0.8, Demand.OBJECT),
    _rule(rf"please{_AND_ADVERBS}", "other", 0.75, Demand.ASKED),
)
# Questions that propose to meet or to talk.
_PROPOSALS = (
    _rule(rf"(?:can|could|shall|should|may) (?:i|we){_AND_ADVERBS}", "group", 0.75, Demand.CONTACT),
)
# What a person is told who was addressed by name.
_TOLD = (
    _rule(rf"you{_AND_ADVERBS} (?:{_WILL}|{_MUST}){_AND_ADVERBS}", "other", 0.8, Demand.OBJECT),
)
_PROMISES = (
    _rule(rf"i{_AND_ADVERBS} {_WILL}{_AND_ADVERBS}", "speaker", 0.9, Demand.OBJECT),
    _rule(rf"i{_AND_ADVERBS} (?:{_MUST}|{_HOPE}){_AND_ADVERBS}", "speaker", 0.75, Demand.TASK),
    _rule(rf"i am{_AND_ADVERBS}(?= [\w-]+ing )", "speaker", 0.75, Demand.DATED),
    _rule(rf"we{_AND_ADVERBS} {_WILL}{_AND_ADVERBS}", "group", 0.9, Demand.OFFICE),
    _rule(rf"we{_AND_ADVERBS} {_MUST}{_AND_ADVERBS}", "group", 0.75, Demand.OFFICE),
    _rule(rf"let me{_AND_ADVERBS}(?! know)", "speaker", 0.75, Demand.OFFICE),
    _rule(rf"let us{_AND_ADVERBS}(?! know)", "group", 0.75, Demand.OFFICE),
    # Chats leave the subject out: "will send it".
    _rule(rf"(?:will|need to|have to|got to|going to){_AND_ADVERBS}", "speaker", 0.75, Demand.TASK),
    _rule(rf"you{_AND_ADVERBS} (?:{_WILL}|{_MUST}){_AND_ADVERBS}", "other", 0.75, Demand.DATED),
    _rule(
        r"(?:(?:the|my|your|our) )?(?:(?:next|first) (?:step|thing|task)|action item)"
        r"(?: for [\w'-]+)? (?:is|will be) to",
        "group",
        0.75,
        Demand.OBJECT,
    ),
    _rule(r"(?:i|we) need(?! to\b)(?= .* by )", "other", 0.75, Demand.NEEDED),
)
_NAME_RULES = (
    _rule(rf"{_WILL}{_AND_ADVERBS}", "other", 0.85, Demand.TASK),
    _rule(rf"(?:{_MUST}|{_AGREED_TO}|to){_AND_ADVERBS}", "other", 0.8, Demand.TASK),
    _rule(r"(?:is taking|takes|will take)(?= (?:care of|over) )", "other", 0.8, Demand.NEEDED),
)
_KNOWN_RULES = (_rule(rf"{_WILL}{_AND_ADVERBS}", "other", 0.85, Demand.OBJECT), *_NAME_RULES)
_ROLE_RULES = (
    _rule(rf"{_WILL}{_AND_ADVERBS}", "group", 0.75, Demand.DATED),
    _rule(rf"(?:{_MUST}|{_AGREED_TO}){_AND_ADVERBS}", "group", 0.75, Demand.TASK),
)
_KIND_REQUEST = _rule(
    r"you (?:could|would|can|might)(?: also| please| just)*", "other", 0.75, Demand.ASKED
)
_AGREED_RULE = _rule("", "group", 0.75, Demand.THIRD_PERSON)
_COMMANDS = {demand: _rule("", "other", 0.7, demand) for demand in (Demand.COMMAND, Demand.LISTED)}
