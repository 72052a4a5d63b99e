"""What the types of the public names promise: nothing is ``Any``, no default can be changed."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

import symbl_aio
from symbl_aio.testing import LocalSymbl
from tests.tables import table


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Give every public function, and every public method of every public class."""
    public = {name: getattr(symbl_aio, name) for name in dir(symbl_aio)}
    for name, value in {**public, "LocalSymbl": LocalSymbl}.items():
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            for attribute in dir(value):
                if attribute == "__init__" or not attribute.startswith("_"):
                    member = inspect.getattr_static(value, attribute)
                    for made in (member, *_inside(member)):
                        if inspect.isfunction(made) and made.__module__.startswith("symbl_aio"):
                            yield f"{name}.{attribute}", made


def _inside(member: Any) -> list[Any]:
    if isinstance(member, property):
        return [member.fget]
    return [getattr(member, name, None) for name in ("__func__", "func")]


def can_be_changed(default: object) -> bool:
    if isinstance(default, dict):
        try:
            default["x"] = 1
        except TypeError:
            return False
    return isinstance(default, dict | list | set | bytearray)


CALLABLES = list(callables())


def test_there_is_something_to_look_at():
    names = {name for name, _ in CALLABLES}
    assert {
        "LocalSymbl.client",
        "SymblClient.submit",
        "SymblClient.trackers",
        "Conversation.messages",
        "Page.__init__",
        "Trackers.create",
        "to_srt",
    } <= names
    assert len(names) > 200


@table("name,made", CALLABLES, ids=[name for name, _ in CALLABLES])
def test_no_signature_has_any_or_a_default_that_can_be_changed(name, made):
    signature = inspect.signature(made)
    typed = [*(p.annotation for p in signature.parameters.values()), signature.return_annotation]
    for kind in typed:
        assert not re.search(r"\bAny\b", str(kind)), f"{name} has Any: {signature}"
    for parameter in signature.parameters.values():
        assert not can_be_changed(parameter.default), f"{name}: {parameter}"
        named = parameter.name in ("self", "cls", "_")
        assert named or parameter.annotation is not inspect.Parameter.empty, f"{name}: {parameter}"


MODELS = [
    value
    for value in (getattr(symbl_aio, name) for name in dir(symbl_aio))
    if inspect.isclass(value) and attrs.has(value)
]


@table("model", MODELS)
def test_every_value_is_frozen_and_its_fields_are_typed(model):
    for field in attrs.fields(model):
        assert field.type is not None
        assert not re.search(r"\bAny\b", str(field.type)), field
        assert not can_be_changed(field.default), f"{model.__name__}.{field.name}"
    with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
        model.__setattr__(object.__new__(model), attrs.fields(model)[0].name, None)
