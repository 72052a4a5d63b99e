"""``typing.get_type_hints`` works for all that is public: frameworks and tools call it."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from types import ModuleType

import attrs

import symbl_aio
from tests.tables import table


def public_modules() -> list[ModuleType]:
    """Return the package, and every module and package in it that a user may import."""
    found: list[ModuleType] = [symbl_aio]
    waiting: list[ModuleType] = [symbl_aio]
    while waiting:
        package = waiting.pop()
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            last = module.name.rpartition(".")[2]
            if last.startswith("_") or last in ("cli", "server"):
                continue
            found.append(importlib.import_module(module.name))
            if module.ispkg:
                waiting.append(found[-1])
    return found


def public_things() -> Iterator[tuple[str, object]]:
    """Yield each public class and function of the package, and those of the test server."""
    seen: set[int] = set()
    for module in public_modules():
        for name in {*getattr(module, "__all__", ()), *vars(module)}:
            value = getattr(module, name)
            home = str(getattr(value, "__module__", None) or "")
            is_ours = home.startswith("symbl_aio") and home != "symbl_aio._fields"
            if not name.startswith("_") and is_ours and callable(value) and id(value) not in seen:
                seen.add(id(value))
                yield f"{module.__name__}.{name}", value


def functions_of(cls: type) -> Iterator[tuple[str, object]]:
    """Yield what a class defines that has annotations, constructor and operators included."""
    for name, member in vars(cls).items():
        if name.startswith("_") and not name.endswith("__"):
            continue
        if isinstance(member, property):
            member = member.fget
        elif isinstance(member, functools.cached_property):
            member = member.func
        elif isinstance(member, classmethod | staticmethod):
            member = member.__func__
        if inspect.isfunction(member):
            yield name, member


def unresolved(name: str, thing: object) -> list[str]:
    try:
        typing.get_type_hints(thing, include_extras=True)
    except Exception as error:
        return [f"{name}: {error!r}"]
    return []


def test_the_hints_of_everything_public_can_be_read() -> None:
    looked_at = 0
    bad: list[str] = []
    for name, thing in public_things():
        if not isinstance(thing, type):
            if hasattr(thing, "__annotations__"):
                looked_at += 1
                bad += unresolved(name, thing)
            continue
        for cls in thing.__mro__:
            if cls.__module__.startswith("symbl_aio"):
                bad += unresolved(name, cls)
                for attribute, function in functions_of(cls):
                    looked_at += 1
                    bad += unresolved(f"{name}.{attribute}", function)
        if attrs.has(thing):
            try:
                attrs.resolve_types(thing)
            except Exception as error:
                bad.append(f"fields of {name}: {error!r}")
    assert bad == []
    assert looked_at > 500


@table(
    "imported,read",
    [
        ("from symbl_aio import Job", "Job.wait"),
        ("from symbl_aio import JobFailedError", "JobFailedError.__init__"),
        ("from symbl_aio.errors import AmbiguousSubmissionError as E", "E.reconcile"),
        ("from symbl_aio.job import Acceptance", "Acceptance.__init__"),
        ("from symbl_aio import Conversation", "Conversation.everything"),
        ("from symbl_aio import SymblClient", "SymblClient.trackers.func"),
        ("from symbl_aio.contrib.service import Embedded", "Embedded.outbox.fget"),
    ],
)
def test_they_can_be_read_when_nothing_else_was_imported(imported: str, read: str) -> None:
    """Each in a process of its own: here, another test has imported everything."""
    program = f"import typing\n{imported}\nassert typing.get_type_hints({read})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""


@table(
    "module,not_loaded",
    [
        ("_error_classes", ("_fields", "job", "models", "conversations")),
        ("job", ("conversations", "bookmarks", "everything", "client")),
    ],
)
def test_naming_the_package_in_annotations_imports_nothing(
    module: str, not_loaded: tuple[str, ...]
) -> None:
    program = f"import sys, symbl_aio.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert f"symbl_aio.{module}" in loaded
    assert not loaded & {f"symbl_aio.{name}" for name in not_loaded}
