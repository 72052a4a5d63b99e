"""The time of every rule grows with the length of a text, not with its square.

The rules are found by import: every public function and method of the rooms of the language
is called with texts that nearly match. A new one whose parameters have an unknown type fails
``test_every_rule_is_called``.
"""

from __future__ import annotations

import inspect
import math
import time
import typing
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import Enum
from functools import lru_cache, partial
from types import UnionType
from typing import Any

import pytest

from symbl_aio.server.language.analysis_values import (
    Analysis,
    CustomEntity,
    Message,
    Speaker,
    Tracker,
    Utterance,
)
from symbl_aio.server.language.sentences import TimedText
from tests.server.language.hostile_texts import KNOWN_UNITS, modules, text_of, units
from tests.server.language.lines import PRIYA, STARTED_AT, TOM, analyse_lines
from tests.tables import table

Rule = Callable[[str], object]

TRACKERS = (Tracker("Any", ("budget", "let me see", "1,234", "a b a b a c", "w")),)
SPEAKERS = (PRIYA, TOM, Speaker("3", "Ann Lee Ann"))


def value(hint: Any, text: str) -> Any:
    """Return an argument of a type for a rule that examines ``text``."""
    message = Message(text, PRIYA, 0.0, 9.0, 0.0)
    utterance = Utterance(text, PRIYA, 0.0, 9.0)
    known: dict[Any, Any] = {
        str: text,
        int: 0,
        float: 0.5,
        bool: True,
        datetime: STARTED_AT,
        Speaker: PRIYA,
        Message: message,
        Utterance: utterance,
        TimedText: TimedText(text, 0.0, 9.0),
        Tracker: TRACKERS[0],
        CustomEntity: CustomEntity("Any", "let me see"),
    }
    if hint in known:
        return known[hint]
    if hint is Analysis:
        return analysed(text)
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return next(iter(hint))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (UnionType, typing.Union):
        return value(next(a for a in arguments if a is not type(None)), text)
    if origin is tuple and Ellipsis not in arguments:
        return tuple(value(argument, text) for argument in arguments)
    if origin in (tuple, Iterable, Sequence) and arguments[0] is Speaker:
        return SPEAKERS
    if origin in (tuple, list, Iterable, Sequence):
        # A name or a phrase has the length of one, only the examined text is long.
        return (value(arguments[0], "let me see" if arguments[0] is str else text),)
    if isinstance(hint, typing.TypeVar):
        return "value"
    raise LookupError(hint)


@lru_cache(maxsize=1)
def analysed(text: str) -> Analysis:
    return analyse_lines(text)


def call(function: Callable[..., Any], text: str) -> object:
    hints = typing.get_type_hints(function)
    arguments: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        required = parameter.default is inspect.Parameter.empty
        if required or parameter.name in ("trackers", "custom_entities"):
            hint = hints[parameter.name]
            arguments[parameter.name] = value(hint, text)
    result = function(**arguments)
    return list(result) if inspect.isgenerator(result) else result


def methods(cls: type) -> list[str]:
    return [
        name
        for name, member in vars(cls).items()
        if inspect.isfunction(member) and not name.startswith("_")
    ]


def rules() -> dict[str, Rule]:
    """Return a call for every public function, and every method of a class, by name."""
    found: dict[str, Rule] = {}
    for module in modules():
        short = module.__name__.rpartition(".")[2]
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(thing):
                found[f"{short}.{name}"] = partial(call, thing)
            elif inspect.isclass(thing) and not hasattr(thing, "__attrs_attrs__"):
                for method in methods(thing):
                    found[f"{short}.{name}.{method}"] = partial(call_method, thing, method)
    return found


def call_method(cls: type, method: str, text: str) -> object:
    return call(getattr(made(cls), method), text)


def made(cls: type) -> Any:
    """Return an instance; its phrases and names are short."""
    hints = typing.get_type_hints(vars(cls)["__init__"])
    parameters = list(inspect.signature(cls).parameters.values())
    return cls(
        **{
            parameter.name: value(hints[parameter.name], "let me see")
            for parameter in parameters
            if parameter.default is inspect.Parameter.empty
            or parameter.name in ("trackers", "custom_entities")
        }
    )


RULES = rules()


def seconds(rule: Rule, text: str, repeats: int = 1) -> float:
    best = math.inf
    for _ in range(repeats):
        start = time.thread_time()
        rule(text)
        best = min(best, time.thread_time() - start)
    return best


def exponent(rule: Rule, unit: str, sizes: Sequence[int], repeats: int = 2) -> float:
    """Return the slope of log time over log length."""
    times = [seconds(rule, text_of(unit, size), repeats) for size in sizes]
    points = [
        (math.log(size), math.log(max(t, 1e-7))) for size, t in zip(sizes, times, strict=True)
    ]
    mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return float(covariance / sum((x - mean_x) ** 2 for x, _ in points))


def test_every_rule_is_called() -> None:
    for name, rule in RULES.items():
        try:
            rule("Tom, can you send the budget to Ann by Friday?")
        except LookupError as error:
            pytest.fail(f"{name}: give value() an argument of the type {error}")
    assert {
        "pipeline.ConversationAnalyser.update",
        "dates.find_dates",
        "entities.EntityFinder.find",
    } <= RULES.keys()
    assert len(units()) > 200


@pytest.mark.timeout(300)
@table("name", RULES)
@pytest.mark.heavy
def test_no_rule_grows_with_the_square_of_a_text(name: str) -> None:
    rule = RULES[name]
    module = name.partition(".")[0]
    # What other rules are made of is tested with them.
    combined = module in ("pipeline", "summary")
    for unit in KNOWN_UNITS[::4] if combined else units(module):
        short, long = (seconds(rule, text_of(unit, size)) for size in (500, 4_000))
        # Eight times the text: linear rules take about 8 times as long, others 64 times.
        if long > max(12 * short, 0.0003):
            assert exponent(rule, unit, (4_000, 16_000, 64_000)) <= 1.3, f"{name} on {unit!r}"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", RULES)
def test_every_rule_grows_with_the_length_of_a_text(name: str) -> None:
    rule = RULES[name]
    slowest = sorted(units(), key=lambda unit: -seconds(rule, text_of(unit, 10_000)))[:6]
    for unit in slowest:
        sizes = (10_000, 100_000, 1_000_000)
        found = exponent(rule, unit, sizes, repeats=1)
        # A machine with other work in it is slow now and then: a second measure decides.
        found = found if found <= 1.1 else min(found, exponent(rule, unit, sizes, repeats=3))
        assert found <= 1.1, f"{name} on {unit!r}: {found:.2f}"
