"""Docstrings and comments use the field's words: a stranger reads them without translating."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.tables import table

ROOT = Path(__file__).parents[1]
FIRST = re.compile(r"(?:Give|Say|Tell|Note|Let|Take)s?\b")
# "What" without a noun that it belongs to, where a clause opens: "of what was asked".
HEADLESS = (
    r"(?:\A|[.,;:(]\s+|\b(?:after|and|are|as|at|before|but|by|for|from|in|is|of|on|or|than|that|to"
    r"|with)\s+)what\s+(?:a|are|came|can|comes|ended|had|has|is|it|may|must|one|runs|stands|stood"
    r"|the|they|waits|was|were)\b"
)
AT_MOST = {  # for each 1,000 words
    r"\b(?:tells?|told|telling|says?|said|saying|hears?|heard|hearing)\b": 1.0,
    HEADLESS: 0.7,
    r"\b(?:nobody|somebody|anybody)\b": 0.2,
    r"\b(?:whoever|whatever|whom)\b": 0.2,
}


def passages(source: str) -> Iterator[tuple[int, str]]:
    """Yield each docstring, and each block of comment lines, with the line where it begins."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.lineno, text.strip()
    first, last, block = 0, 0, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1:
                yield first, block
                first, block = token.start[0], ""
            last, block = token.start[0], f"{block} {token.string.lstrip('# ')}".strip()
    yield first, block


def faults(sources: dict[str, str]) -> list[str]:
    """Return the passages of these modules that the rules refuse: module, line and words."""
    texts = [
        (f"{name}:{line}", re.sub(r"``[^`]*``|`[^`]*`", "``", text))  # names in code are not prose
        for name, source in sources.items()
        for line, text in passages(source)
    ]
    found = [f"{at}: begins with {text[:40]!r}" for at, text in texts if FIRST.match(text)]
    words = sum(len(text.split()) for _, text in texts)
    for pattern, at_most in AT_MOST.items():
        uses = [
            f"{at}: {text[max(0, use.start() - 20) : use.end() + 20]!r}"
            for at, text in texts
            for use in re.finditer(pattern, text, re.IGNORECASE)
        ]
        if (rate := len(uses) * 1000 / max(words, 1)) > at_most:
            found += [f"{rate:.2f} for 1,000 words, at most {at_most}: {use}" for use in uses]
    return found


@table("room", ["symbl_aio", "benchmarks", "examples"])
def test_docstrings_and_comments_use_the_words_of_the_field(room: str):
    modules = sorted((ROOT / room).rglob("*.py"))
    assert modules
    found = faults({str(path.relative_to(ROOT)): path.read_text("utf-8") for path in modules})
    assert not found, "\n".join(found)


OLD = [
    ('"""Say that this worker lives."""', "begins with 'Say that this"),
    ('def due(): """Give the jobs whose time has come."""', "begins with 'Give the jobs"),
    ('keep: float\n"""Takes seconds."""', "begins with 'Takes seconds"),
    ("x = 1  # Let others try.", "begins with 'Let others"),
    ('"""Ask soon: a webhook said that the job ended."""', "webhook said that"),
    ('"""Return a copy of what was asked for."""', "copy of what was asked"),
    ("# Harmless:\n# what is due stays due.", "Harmless: what is due"),
    ('"""Close it. Nobody waits."""', "Nobody waits"),
    ('"""Stop, whoever waits."""', "whoever waits"),
]


@table("old,words", OLD)
def test_one_old_sentence_is_found_with_its_module_line_and_words(old: str, words: str):
    new = '"""Return the due jobs: ``NOBODY``, ``told``."""  # Names in code are free.\n'
    assert not faults({"new.py": new})

    found = faults({"new.py": new, "old.py": "\n" + old})

    assert all(re.search(r"\bold\.py:[23]: ", fault) for fault in found)
    assert any(words in fault for fault in found)
