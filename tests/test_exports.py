"""What ``symbl_aio`` exports exists, is documented, and its errors form one tree."""

import importlib
import inspect
import pkgutil
import re
from types import ModuleType

import symbl_aio
from symbl_aio import errors
from tests.tables import table


def public_names() -> list[str]:
    return dir(symbl_aio)


def error_classes() -> list[type[errors.SymblError]]:
    """Give the whole tree, after every module that could add to it was imported."""
    for module in pkgutil.walk_packages(symbl_aio.__path__, "symbl_aio."):
        if not re.match(r"symbl_aio\.(cli|contrib|durable|server)", module.name):
            importlib.import_module(module.name)
    found: list[type[errors.SymblError]] = []
    waiting = [errors.SymblError]
    while waiting:
        cls = waiting.pop()
        # A test may have made one of its own, and one of a command ends in its exit code.
        package, _, below = cls.__module__.partition(".")
        if package == "symbl_aio" and not below.startswith("cli"):
            found.append(cls)
        waiting += cls.__subclasses__()
    return found


def drawn_tree() -> dict[str, str | None]:
    """Read the tree in the docstring of ``errors``: each class and the one it hangs from."""
    parents: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^ {4}([│├└─ ]*)([A-Z]\w*(?:Error))\b", line)
        if found:
            depth = len(found[1])
            above = [(d, name) for d, name in above if d < depth]
            parents[found[2]] = above[-1][1] if above else None
            above.append((depth, found[2]))
    return parents


def test_names_are_exported_once():
    assert len(dir(symbl_aio)) == len(set(dir(symbl_aio)))


@table("name", public_names())
def test_every_exported_name_exists_and_is_documented(name):
    value = getattr(symbl_aio, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        # dataclasses write a signature where there is no docstring
        assert not (value.__doc__ or f"{name}(").startswith(f"{name}("), f"{name} has no docstring"


@table("name", public_names())
def test_public_methods_of_exported_classes_are_documented(name):
    value = getattr(symbl_aio, name)
    if not inspect.isclass(value) or not value.__module__.startswith("symbl_aio"):
        return
    bare = [
        attribute
        for attribute, member in vars(value).items()
        if not attribute.startswith("_")
        and (inspect.isfunction(member) or isinstance(member, property | classmethod))
        and not inspect.getdoc(getattr(value, attribute) if inspect.isfunction(member) else member)
    ]
    assert bare == []


def test_nothing_public_is_forgotten():
    there = {
        name
        for name, value in vars(symbl_aio).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and name not in ("annotations", "TYPE_CHECKING")
    }
    assert there - set(dir(symbl_aio)) == set()


@table("cls", error_classes(), ids=lambda cls: cls.__name__)
def test_every_error_is_defined_in_errors_and_drawn_in_its_docstring(cls):
    assert cls.__module__ == "symbl_aio.errors"
    tree = drawn_tree()
    assert cls.__name__ in tree
    parent = tree[cls.__name__]
    if parent is not None:
        assert cls.__bases__[0].__name__ == parent


def test_the_drawing_shows_no_error_that_does_not_exist():
    assert set(drawn_tree()) == {cls.__name__ for cls in error_classes()}


def test_every_error_is_exported():
    assert {cls.__name__ for cls in error_classes()} <= set(dir(symbl_aio))


def test_timeouts_are_builtin_timeouts():
    named = [cls for cls in error_classes() if re.search("Timeout|Stalled", cls.__name__)]
    assert named
    assert all(issubclass(cls, TimeoutError) for cls in named)
