"""A strict reader of OpenMetrics text, written from its specification alone."""

from __future__ import annotations

import re

from attrs import define, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_META = re.compile(rf"# (TYPE|HELP|UNIT) ({_NAME}) (.*)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (\S+)")
_ESCAPED = {'"': '"', "\\": "\\", "n": "\n"}


@define
class Family:
    kind: str = ""
    help: str = ""
    samples: dict[frozenset[tuple[str, str]], float] = field(factory=dict)


def parse(text: str) -> dict[str, Family]:
    """Return the families of a text, by name; fails for all other text."""
    *lines, last, empty = text.split("\n")
    assert (last, empty) == ("# EOF", "")
    families: dict[str, Family] = {}
    current = ""
    for line in lines:
        if meta := _META.fullmatch(line):
            word, name, rest = meta.groups()
            if name != current:
                assert name not in families, f"{name} stands in two places"
                families[name], current = Family(), name
            assert not families[name].samples, f"{word} of {name} comes behind its samples"
            if word == "TYPE":
                families[name].kind = rest
            elif word == "HELP":
                families[name].help = rest
            else:
                assert name.endswith(f"_{rest}")
            continue
        sample = _SAMPLE.fullmatch(line)
        assert sample, line
        name, labels, value = sample.groups()
        assert name == current, line
        found = _labels(labels or "")
        assert found not in families[name].samples, f"{line} is told twice"
        families[name].samples[found] = float(value)
    return families


def _labels(text: str) -> frozenset[tuple[str, str]]:
    found, at = [], 0
    while at < len(text):
        label = _LABEL.match(text, at)
        assert label, text[at:]
        value = re.sub(r"\\(.)", lambda m: _ESCAPED[m[1]], label[2])
        found.append((label[1], value))
        at = label.end()
    assert len(dict(found)) == len(found)
    return frozenset(found)
