"""The synchronous client is whole: every method of the asynchronous one, with its signature."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import symbl_aio
from symbl_aio import sync

ASYNC_ONLY = {
    "stream": "live audio is sent while it is heard",
    "stream_file": "as above",
    "subscribe": "events come for as long as a stream lasts",
    "telephony": "a call is followed while it lasts",
    "webhooks": "its caller is a web framework, which has an event loop",
}
RENAMED = {"aclose": "close"}
ADDED = {
    "Submission": {"wait"},
    "SymblClient": {"reconcile", "config"},
    # Fields there, properties here.
    "Job": {"id", "source", "conversation_id"},
}
CLASSES = (
    "Bookmarks Conversation Entities Groups Job Settings Submission SymblClient Trackers"
).split()


def public(cls: type) -> dict[str, Any]:
    found = {name: member for base in cls.__mro__[::-1] for name, member in vars(base).items()}
    return {
        name: member
        for name, member in found.items()
        if not name.startswith("_") and not inspect.ismemberdescriptor(member)
    }


def signature(function: Any) -> list[tuple[str, Any, Any, str]]:
    return [
        (one.name, one.kind, one.default, in_words(one.annotation))
        for one in inspect.signature(function).parameters.values()
    ]


def in_words(annotation: object) -> str:
    """Return an annotation without the differences that a door without ``await`` must have."""
    text = str(annotation).replace("symbl_aio.", "").replace("builtins.", "")
    text = re.sub(r"AsyncIterator\[(.*)\]$", r"Iterator[\1]", text)
    text = re.sub(r"AsyncGenerator\[(.*), None\]$", r"Generator[\1, None, None]", text)
    return text.replace("Iterable[S] | AsyncIterable[S]", "Iterable[S]")


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_method_is_there_with_its_arguments_and_its_result(name: str):
    theirs, ours = public(getattr(symbl_aio, name)), public(getattr(sync, name))
    expected = {RENAMED.get(one, one): one for one in theirs if one not in ASYNC_ONLY}
    fields = {"key", "source", "conversation_id", "id"} & set(ours)

    assert set(ours) - ADDED.get(name, set()) - fields == set(expected) - fields
    differing = []
    for own, other in expected.items():
        if not inspect.isfunction(theirs[other]):
            continue
        if signature(ours[own]) != signature(theirs[other]):
            differing.append(own)
        results = [
            in_words(inspect.signature(f).return_annotation) for f in (ours[own], theirs[other])
        ]
        if results[0] != results[1]:
            differing.append(f"{own}: {results}")
    assert differing == []


@pytest.mark.parametrize("name", CLASSES)
def test_every_method_has_words_and_none_is_a_coroutine(name: str):
    for own, member in public(getattr(sync, name)).items():
        assert not inspect.iscoroutinefunction(member)
        assert not inspect.isasyncgenfunction(member)
        assert (member.__doc__ or "").strip().endswith("."), own


@pytest.mark.parametrize("name", ["Completed", "Failed"])
def test_the_outcomes_are_those_of_the_client_to_the_letter(name: str):
    assert inspect.getsource(getattr(sync, name)) == inspect.getsource(getattr(symbl_aio, name))


def test_the_exceptions_of_the_list_exist():
    assert set(ASYNC_ONLY) <= set(public(symbl_aio.SymblClient))


def test_the_whole_package_is_exported_lazily():
    assert set(CLASSES) | {"Completed", "Failed", "Outcome"} == set(dir(sync))
    for name in dir(sync):
        assert getattr(sync, name) is not None
