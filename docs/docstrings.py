"""Docstrings of the package as Markdown: an extension of griffe, which renders the reference."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Turns what docstrings borrow from reStructuredText into Markdown."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object before it is rendered."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    r"""Return a docstring as Markdown: no ``\ `` after code, no ``::`` before a block."""
    text = re.sub(r"``\\ ?", "``", docstring)
    return re.sub(r"^::$\n", "", text, flags=re.MULTILINE).replace("::\n\n", ":\n\n")
