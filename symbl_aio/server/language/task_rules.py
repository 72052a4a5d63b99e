"""Decide whether the words after "I will" or "can you" are a task that can be ticked off."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto
from itertools import takewhile

from symbl_aio.server.language.dates import mentions_date
from symbl_aio.server.language.follow_ups import is_follow_up
from symbl_aio.server.language.word_lists import (
    ANSWER_VERBS,
    DETERMINERS,
    EVERYDAY_VERBS,
    NO_OBJECTS,
    NON_TASK_VERBS,
    OBJECT_PRONOUNS,
    PARTICLE_VERBS,
    TASK_ADVERBS,
    TASK_VERBS,
)


class Demand(Enum):
    """What a task must show. A follow-up meets each of them, DATED only with a time."""

    OBJECT = auto()
    """Any verb with an object, but those that promise nothing: "make a list"."""
    ASKED = auto()
    """The same, without verbs that ask for an answer only: "can you see it"."""
    TASK = auto()
    """A verb of work, with an object that is named: "print the badges"."""
    OFFICE = auto()
    """The same, and a time if the verb also describes how a thing works: "add a light"."""
    DATED = auto()
    """The same, and a time: "print the badges by Friday"."""
    COMMAND = auto()
    """A verb of work at the start of a sentence, with its object: "Print the badges"."""
    LISTED = auto()
    """A verb of work at the start of an item of a list: "- Print badges"."""
    THIRD_PERSON = auto()
    """A verb of work of another person: "prints the badges"."""
    NEEDED = auto()
    """Anything: "the badges by Friday"."""
    CONTACT = auto()
    """A follow-up: "call Ann"."""


def task_at(text: str, offset: int, demand: Demand) -> int | None:
    """Return the offset of a task's verb in plain words, or None if there is no task.

    The task begins at ``offset``, or after "and": "check it and call Ann".
    """
    found = _task_at(text, offset, demand)
    if found is None and (second := text.find(" and ", offset)) >= 0:
        found = _task_at(text, second + len(" and "), demand)
    return found


def _task_at(text: str, offset: int, demand: Demand) -> int | None:
    words = text[offset:].split()
    adverbs = list(takewhile(TASK_ADVERBS.__contains__, words))
    offset += sum(len(adverb) + 1 for adverb in adverbs)
    words = words[len(adverbs) :]
    if words and words[0] == "be":  # "I will be sending it": "sending" is the verb
        offset += len("be ")
        words = words[1:]
        if not words or not words[0].endswith("ing"):
            return None
    if not words or "not" in words[:2] or words[0] == "never":
        return None
    return offset if _is_task(words, demand) else None


def _is_task(words: Sequence[str], demand: Demand) -> bool:
    task = " ".join(words)
    if _MOMENTARY.search(task):
        return False
    dated = _is_dated(task)
    if task.startswith(("let me know", "let us know")):
        return dated
    if is_follow_up(task):
        return dated or demand is not Demand.DATED
    verbs, rest = _stems(words[0]), words[1:]
    with_particle = _has_particle(verbs, rest)
    works = with_particle or bool(verbs & TASK_VERBS)
    match demand:
        case Demand.OBJECT | Demand.ASKED:
            idle = NON_TASK_VERBS | (ANSWER_VERBS if demand is Demand.ASKED else frozenset())
            accepted = (
                with_particle
                or _LOOK.match(task) is not None
                or (dated and verbs == {"do"} and rest[0] in _PRONOUN_OBJECTS)
                or (not verbs & idle and _has_object(rest, works=works))
                # "Could you review and approve?"
                or (
                    demand is Demand.ASKED
                    and works
                    and not verbs & EVERYDAY_VERBS
                    and rest[:1] in ([], ["and"])
                )
            )
        case Demand.TASK:
            accepted = works and (_has_named_object(rest) or (dated and bool(rest)))
        case Demand.OFFICE:
            everyday = not with_particle and bool(verbs & EVERYDAY_VERBS)
            accepted = works and (dated if everyday else _has_named_object(rest) or dated)
        case Demand.DATED:
            accepted = works and dated and _has_object(rest, works=True)
        case Demand.COMMAND:
            accepted = words[0] in TASK_VERBS and bool(rest) and _begins_object(rest)
        case Demand.THIRD_PERSON:
            accepted = words[0].removesuffix("s") in TASK_VERBS and _has_named_object(rest)
        case Demand.NEEDED:
            accepted = bool(rest)
        case Demand.LISTED:
            accepted = works and bool(rest)
        case _:
            accepted = False
    return accepted


def _is_dated(task: str) -> bool:
    return _DEADLINE.search(task) is not None or mentions_date(task)


def _has_particle(verbs: set[str], rest: Sequence[str]) -> bool:
    """Return whether a verb such as "look into" or "try it out" has its object."""
    if len(rest) > 1 and rest[0] in _PRONOUN_OBJECTS | OBJECT_PRONOUNS:
        rest = rest[1:]
    return any(f"{verb} {rest[0]}" in PARTICLE_VERBS for verb in verbs if rest)


def _has_object(rest: Sequence[str], *, works: bool) -> bool:
    if works and rest and rest[0] in _PRONOUN_OBJECTS:
        return True
    return _has_named_object(rest)


def _has_named_object(rest: Sequence[str]) -> bool:
    """Return whether there is an object that is more than "it"."""
    for index, word in enumerate(rest):
        after = rest[index + 1 : index + 2]
        if word in OBJECT_PRONOUNS:  # "give you the list"
            return bool(after) and (after[0] in DETERMINERS or after[0] not in NO_OBJECTS)
        if word in DETERMINERS or word.isdigit():
            return bool(after)
        if word not in _PARTICLES:  # "put together the list"
            return word not in NO_OBJECTS and not word.endswith("ly")
    return False


def _begins_object(rest: Sequence[str]) -> bool:
    if rest[0] in _PARTICLES:
        return len(rest) > 1
    return (
        rest[0] in DETERMINERS or rest[0] in OBJECT_PRONOUNS or rest[0] == "it" or rest[0].isdigit()
    )


def _stems(verb: str) -> set[str]:
    # "sending" to "send", "making" to "make", "planning" to "plan".
    bare = verb.removesuffix("ing")
    return {verb, bare, bare + "e", bare[:-1]} if bare != verb else {verb}


_PRONOUN_OBJECTS = frozenset({"it", "that", "this", "them", "these", "those"})
_LOOK = re.compile(r"(?:(?:have|having|take|taking) a (?:closer |quick )?look|look(?:ing)?) at\b")
_PARTICLES = frozenset(phrase.split()[1] for phrase in PARTICLE_VERBS)
_DEADLINE = re.compile(
    r"\b(?:by|until|till|before|after) "
    r"(?!(?:the way|hand|itself|all|mail|e-?mail|phone|post|car|train|now)\b)\w"
    r"|\b(?:this|next|over the) (?:week|weekend|month|quarter|sprint)\b|\basap\b|\bas soon as\b"
)
# What is done while it is said is no task for later.
_MOMENTARY = re.compile(
    r"\b(?:in a (?:second|sec|minute|moment|bit)|right now|this slide|next slide|one slide"
    r"|(?:start|begin|open|close|end|finish) (?:the|this|our) (?:meeting|session|call|discussion)"
    r"|(?:write|note|jot) (?:this|that) down$"
    r"|(?:read out|pull up|bring up|present) (?:the|my|this|our)\b"
    r"|give (?:you|us|everyone|everybody)(?: all)? (?:a|an|some) (?:[\w-]+ ){0,2}"
    r"(?:overview|introduction|intro|update|summary|idea|example|tour|rundown|recap)"
    r"|take (?:(?:it|that|this|them) )?into account"
    r"|take (?:a|an|another) (?:[\w-]+ ){0,2}(?:break|seat|minute|moment|vote|guess)"
    r"|find (?:[\w'-]+ ){0,6}?(?:attached|enclosed)|note that)\b"
)
