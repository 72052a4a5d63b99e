"""HTML that is escaped by construction: a text is escaped unless it is ``Html`` already."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Final

# Characters that HTML or UTF-8 cannot carry: controls, and halves of surrogate pairs.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# Most texts and attributes have none of these: one search in place of six replacements.
_SPECIAL: Final = re.compile(_UNPRINTABLE.pattern[:-1] + "&<>\"']")

Attribute = str | int | float | bool | None
"""``True`` is an attribute without a value; ``None`` and ``False`` leave it out."""


class Html(str):
    """A text that is HTML already. Only this module makes one from texts of others."""

    __slots__ = ()


def text(value: str) -> Html:
    """Return a text as HTML, also fit for a quoted attribute."""
    if _SPECIAL.search(value) is None:
        return Html(value)
    return Html(escape(_UNPRINTABLE.sub("\ufffd", value)))


def join(parts: list[Html], between: str = "") -> Html:
    """Return parts of HTML as one."""
    return Html(between.join(parts))


def element(tag: str, *inside: str, **attributes: Attribute) -> Html:
    """Return an element; ``class_`` is its ``class``, and ``data_at`` its ``data-at``."""
    words = [tag]
    for name, value in attributes.items():
        name = name.rstrip("_").replace("_", "-")
        if value is True:
            words.append(name)
        elif value is not None and value is not False:
            words.append(f'{name}="{text(value) if isinstance(value, str) else value}"')
    return Html(f"<{' '.join(words)}>{''.join(map(_escaped, inside))}</{tag}>")


def fill(template: str, **parts: str | int) -> Html:
    """Return a template of the package with each of its ``$names`` replaced."""
    values = {
        name: _escaped(str(value) if isinstance(value, int) else value)
        for name, value in parts.items()
    }
    return Html(_template(template).substitute(values))


@cache
def asset(name: str) -> str:
    """Return a file of the package's ``assets``."""
    return (files("symbl_aio.report") / "assets" / name).read_text("utf-8")


@cache
def _template(name: str) -> Template:
    return Template(asset(name))


def _escaped(value: str) -> str:
    return value if isinstance(value, Html) else text(value)
