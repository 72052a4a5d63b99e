"""Every public field has words, and they stand where an editor shows them: below the field."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import symbl_aio

PACKAGE = Path(symbl_aio.__file__).parent
PRIVATE = ("_core", "_protocol", "_media", "_io", "server", "cli")


def _classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        if inside.parts[0] in PRIVATE:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield str(inside), node


def _is_of_attrs(node: ast.ClassDef) -> bool:
    return any(
        "frozen" in ast.unparse(d) or "define" in ast.unparse(d) for d in node.decorator_list
    )


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield each public field and the docstring below it."""
    for statement, below in zip(node.body, [*node.body[1:], None], strict=True):
        if (
            not isinstance(statement, ast.AnnAssign)
            or not isinstance(statement.target, ast.Name)
            or statement.target.id.startswith("_")
            or "ClassVar" in ast.unparse(statement.annotation)
        ):
            continue
        words = ""
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            words = str(below.value.value)
        yield statement.target.id, words


def test_every_field_of_a_public_value_has_words_below_it() -> None:
    seen, mute = 0, []
    for place, node in _classes():
        # ``_File`` and ``_Link`` hold the fields of ``Audio`` and ``AudioURL``.
        if not _is_of_attrs(node) or node.name in ("_Note",):
            continue
        for name, words in _fields(node):
            seen += 1
            if len(words.split()) < 2:
                mute.append(f"{place}: {node.name}.{name}")
    assert not mute, "\n".join(mute)
    assert seen >= 360


def test_words_of_a_field_are_a_sentence() -> None:
    faults = [
        f"{place}: {node.name}.{name}: {words!r}"
        for place, node in _classes()
        if _is_of_attrs(node)
        for name, words in _fields(node)
        if words and (words[0].islower() or not words.rstrip().endswith((".", "?")))
    ]
    assert not faults, "\n".join(faults)


def test_a_number_of_a_model_has_its_unit_or_range() -> None:
    units = (
        *("second", "0 to 100", "0.0 to 1.0", "-1.0", "character", "word", "number", "count"),
        *("status", "bytes", "measure", "from 0", "place"),
    )
    faults = [
        f"{place}: {node.name}.{name}: {words!r}"
        for place, node in _classes()
        if place.startswith("models") and _is_of_attrs(node)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
        and ast.unparse(statement.annotation).split(" |")[0] in ("int", "float")
        for name, words in _fields(node)
        if isinstance(statement.target, ast.Name)
        and name == statement.target.id
        and not any(unit in words.lower() for unit in units)
    ]
    assert not faults, "\n".join(faults)


def test_a_class_of_answers_names_the_page_it_comes_from() -> None:
    """So a reader finds the API's own description; a part of another value need not."""
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in sorted((PACKAGE / "models").glob("*.py"))
    )
    for page in (
        *("Get analytics", "Get entities", "Get trackers", "Get messages", "Get topics"),
        *("Get questions", "Get action items", "Get follow-ups", "Get members", "Summary"),
        *("Transcript", "Bookmarks", "Call score", "Conversation groups", "Experience API"),
        *("Get conversation", "Job API", "Abstract topics", "Comprehensive action items"),
    ):
        assert page in text, page
