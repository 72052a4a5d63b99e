"""Texts that make a careless rule slow, derived from the rules themselves.

Each pattern and each table of the rooms of the language is found by import, not by a list: a
new rule brings its own hostile texts. A unit is a piece of text that a rule nearly matches;
a hostile text is the unit, many times.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import string
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import symbl_aio.server.language

# Units that no pattern contains but that have been slow somewhere.
KNOWN_UNITS = (
    *string.punctuation,
    *" \t\n0aA",
    "1,234",
    "1,234,",
    "234,",
    "1.5",
    "a@",
    "a.b@",
    "www.",
    "http://",
    "I will see ",
    "we'll be ",
    "let me see ",
    "can you see ",
    "please please ",
    "okay ",
    "so, ",
    "leave a message ",
    "tone ",
    "Tom ",
    "Tom, ",
    "Tom will ",
    "next ",
    "tomorrow at ",
    "not good ",
    "budget ",
    "e.g. ",
    "A. ",
    "? ",
    "?! ",
    "\n> ",
    "\n- ",
    "\u2026 ",
    "\u00e9",
    "\u4e00",
)
_MAX_ALTERNATIVES = 3
_MAX_UNITS = 3  # of one pattern


def modules() -> list[ModuleType]:
    """Return all modules of the rules."""
    package = symbl_aio.server.language
    names = [info.name for info in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


def units(only: str = "") -> list[str]:
    """Return all units, or the known ones and those of one module, without repetition."""
    found = dict.fromkeys(KNOWN_UNITS)
    for module in modules():
        if only and not module.__name__.endswith(f".{only}"):
            continue
        tables = [value for name, value in vars(module).items() if not name.startswith("__")]
        for table in tables:
            for leaf in _leaves(table):
                if isinstance(leaf, re.Pattern):
                    found |= dict.fromkeys(_units_of_pattern(leaf))
                else:
                    found[leaf + " "] = None
    return [unit for unit in found if unit.strip() or len(unit) == 1]


def text_of(unit: str, length: int) -> str:
    """Return the unit as often as fits into ``length`` characters, and an end that none expects."""
    return unit * (length // len(unit)) + "\u00a7"


def _leaves(value: object) -> Iterator[re.Pattern[str] | str]:
    """Yield the patterns in a value, and one text for each table of words."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple | list | set | frozenset | Mapping):
        items = [*value.values(), *value] if isinstance(value, Mapping) else [*value]
        words = [item for item in items if isinstance(item, str)]
        if words:
            yield " ".join(sorted(words))
        for item in items:
            if not isinstance(item, str):
                yield from _leaves(item)


def _units_of_pattern(pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield what the pattern matches, and what each of its beginnings matches."""
    tree = re._parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)  # type: ignore[attr-defined]
    seen: dict[str, None] = {}
    for length in range(1, len(tree) + 1):
        for sample in _samples(list(tree)[:length]):
            seen[sample if length % 2 else sample + " "] = None
    found = [unit for unit in seen if unit]
    # The whole pattern, and beginnings of all lengths.
    yield from found[:: -max(1, len(found) // _MAX_UNITS)]


def _samples(items: list[Any]) -> list[str]:
    """Return some texts that a sequence of parsed items matches."""
    found = [""]
    for operation, argument in items:
        found = [a + b for a in found for b in _item(str(operation), argument)]
        found = list(dict.fromkeys(found))[:_MAX_ALTERNATIVES]
    return found


def _item(operation: str, argument: Any) -> list[str]:
    match operation:
        case "LITERAL":
            return [chr(argument)]
        case "NOT_LITERAL" | "ANY":
            return ["x"]
        case "IN":
            return [_member(argument)]
        case "BRANCH":
            branches = argument[1]
            step = max(1, len(branches) // _MAX_ALTERNATIVES)
            return [text for branch in branches[::step] for text in _samples(list(branch))[:1]]
        case "SUBPATTERN":
            return _samples(list(argument[3]))
        case "ATOMIC_GROUP":
            return _samples(list(argument))
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, inner = argument
            texts = _samples(list(inner))
            return [text * max(1, min(int(most), max(int(least), 2))) for text in texts]
        case _:
            return [""]  # an assertion matches no character


def _member(choices: list[tuple[Any, Any]]) -> str:
    operation, argument = choices[0]
    match str(operation):
        case "LITERAL":
            return chr(argument)
        case "RANGE":
            return chr(argument[0])
        case "CATEGORY":
            return {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " "}.get(str(argument), "w")
        case _:
            return "x"
