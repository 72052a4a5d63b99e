"""Each argument of a wrong type is refused by its name, in good English, and nothing is sent."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

import symbl_aio
from symbl_aio import (
    BookmarkDraft,
    Config,
    ConfigurationError,
    Conversation,
    EntityDraft,
    GroupDraft,
    Job,
    Patch,
    SpeakerEvent,
    SymblClient,
    Text,
    Tracker,
    models,
)
from symbl_aio.contrib.durable import Durable
from symbl_aio.contrib.embedded import Embedded
from symbl_aio.contrib.journal import JobJournal
from symbl_aio.durable import Outbox, Worker, migrate
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK

# Read aloud: "an hour", "a user", "a URL", "an SQLite file", "an mp4".
ARTICLES = re.compile(
    r"\ba (?=[aeiou])(?!u(?:ser|nit|niq|sual|niv|rl|uid)|one|once|eur)"
    r"|\ban (?=[^aeiou\W])(?!hour|honest|[FHLMNRSX][A-Z]+|[Mm]p4|RSQL|SQL)",
    re.IGNORECASE,
)
REMEDY = re.compile(r"\b(give|use|set|leave|call|make|is for|swap|percent-encode|needs?)\b")


class Nothing:
    """Of a type that no parameter has."""


WRONG: list[Any] = [None, 3, 2.5, True, "x", b"x", ["x"], Nothing()]
USER = models.User(name="Anna")
RIGHT: dict[str, Any] = {
    "media": Text("Hello."),
    "options": None,
    "conversation_id": "c-1",
    "conversation": "c-1",
    "job_id": "j-1",
    "key": "k-1",
    "name": "verbose-text-summary",
    "tracker_id": "t-1",
    "group_id": "g-1",
    "entity_id": "e-1",
    "bookmark_id": "b-1",
    "member_id": "m-1",
    "tracker": Tracker(name="a", vocabulary=["b"]),
    "trackers": [Tracker(name="a", vocabulary=["b"])],
    "group": GroupDraft("a", "b"),
    "groups": [GroupDraft("a", "b")],
    "entity": EntityDraft("a", "b", ["c"]),
    "entities": [EntityDraft("a", "b", ["c"])],
    "draft": BookmarkDraft(label="a", description="b", user=USER, message_ids=["1"]),
    "drafts": [BookmarkDraft(label="a", description="b", user=USER, message_ids=["1"])],
    "changes": [Patch("add", "/vocabulary", ["x"])],
    "events": [SpeakerEvent("started_speaking", USER, 1)],
    "metadata": {"a": "b"},
    "sub_type": "x",
    "url": "https://example.com/a.mp4",
    "sources": [Text("Hello.")],
    "accepted": False,
    "database": "sqlite:////nowhere/outbox.db",
    "directory": "/nowhere",
    "nonce": "n",
    "mark": "m",
    "body": b"{}",
}
"""A value for each parameter that has to be given beside the one that is looked at."""


def accepts(annotation: str, value: Any) -> bool:
    """Whether a value is of the annotated type, or so near to it that it may be taken."""
    parts = annotation.replace("symbl_aio.", "").replace("models.", "")
    if value is None:
        return "None" in parts
    if isinstance(value, bool):
        return "bool" in parts
    if isinstance(value, int):
        return bool(re.search(r"\b(int|float)\b", parts))
    if isinstance(value, float):
        return "float" in parts
    if isinstance(value, str):
        # Of a path or an id any string is good; a literal is looked at by its own words.
        return bool(re.search(r"(?<!\[)\b(str|MediaLike|PathLike)\b(?!,)", parts))
    if isinstance(value, bytes):
        return "bytes" in parts
    if isinstance(value, list):
        return bool(re.search(r"(Iterable|Sequence|Collection|tuple)\[(str|S)\b", parts))
    return False


LOOSE = {
    # What these take is told from the value itself, in words of their own tests.
    ("SymblClient.map", "sources"),
    ("SymblClient.submit", "before_last_byte"),
}


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD and "Selection" in str(parameter.annotation):
            kinds = symbl_aio.listing.Selection.__annotations__
            found += [
                parameter.replace(
                    name=name,
                    kind=parameter.KEYWORD_ONLY,
                    annotation=getattr(kind, "__forward_arg__", str(kind)),
                    default=None,
                )
                for name, kind in kinds.items()
            ]
        elif parameter.name != "self" and parameter.kind is not parameter.VAR_KEYWORD:
            found.append(parameter)
    return found


def cases(owner: type) -> list[tuple[str, inspect.Parameter, Any]]:
    """Every parameter of every public method of a class, with each value that is wrong."""
    found = []
    for name in dir(owner):
        function = inspect.getattr_static(owner, name)
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        for parameter in parameters(function):
            for value in WRONG:
                if (f"{owner.__name__}.{name}", parameter.name) not in LOOSE and not accepts(
                    str(parameter.annotation), value
                ):
                    found.append((name, parameter, value))
    return found


async def use(function: Callable[..., Any], name: str, value: Any) -> None:
    """Call, await or begin to iterate, with one argument and the others as they should be."""
    given = {
        p.name: RIGHT[p.name] for p in parameters(function) if p.default is p.empty
    } | {name: value}
    if function.__name__ == "update_member" and name != "name":
        given["name"] = "Anna"
    if function.__name__ == "by_name" and name != "name":
        given["name"] = "A"
    found = function(**given)
    if isinstance(found, AsyncIterator | AsyncGenerator):
        await anext(found)
    elif isinstance(found, Awaitable):
        await found


def fault(where: str, name: str, value: Any, error: BaseException | None) -> str | None:
    """What is wrong with the refusal of a value."""
    called = f"{where}({name}={value!r})"
    if error is None:
        return f"{called} is taken"
    words = str(error)
    if not isinstance(error, ConfigurationError):
        return f"{called} raises {error!r}"
    if not re.search(rf"\b{name}\b", words):
        return f"{called} does not name it: {words}"
    if ARTICLES.search(words):
        return f"{called} has a wrong article: {words}"
    if not REMEDY.search(words):
        return f"{called} names no remedy: {words}"
    return None


async def refusal(function: Callable[..., Any], name: str, value: Any) -> BaseException | None:
    try:
        await use(function, name, value)
    except BaseException as error:
        return error
    return None


async def test_every_argument_of_a_wrong_type_is_refused_before_anything_is_sent(
    server: LocalSymbl,
) -> None:
    bad: list[str] = []
    count = 0
    async with server.client(**QUICK, tracker_paths="2022") as symbl:
        job = await symbl.submit(Text("Hello."))
        conversation = await job
        newer = SymblClient(
            symbl_aio.Credentials(server.app_id, server.app_secret),
            config=symbl.config.evolve(tracker_paths="2024"),
        )
        async with newer:
            asked = len(server.requests)
            for handle in (
                *(symbl, conversation, job, conversation.bookmarks, symbl.trackers),
                *(symbl.groups, symbl.entities, symbl.settings, newer.trackers),
            ):
                for name, parameter, value in cases(type(handle)):
                    paths = {"update": "2022", "patch": "2024"}
                    if handle in (symbl.trackers, newer.trackers) and name in paths:
                        if (handle is symbl.trackers) is (paths[name] == "2024"):
                            continue
                    count += 1
                    where = f"{type(handle).__name__}.{name}"
                    error = await refusal(getattr(handle, name), parameter.name, value)
                    if found := fault(where, parameter.name, value, error):
                        bad.append(found)
        assert [r.path for r in server.requests[asked:]] == [] or bad
    assert bad == []
    assert count > 400


async def test_so_is_every_argument_of_an_outbox_and_of_what_is_made() -> None:
    bad: list[str] = []
    made: list[Callable[..., Any]] = [
        SymblClient, Outbox, Worker, migrate, Embedded, JobJournal,
        *(kind for kind in (getattr(symbl_aio, n) for n in symbl_aio.__all__)
          if inspect.isclass(kind) and kind.__module__ in
          ("symbl_aio.config", "symbl_aio.drafts", "symbl_aio.options", "symbl_aio.media")),
    ]  # fmt: skip
    assert Durable not in made  # checked by what it opens
    for function in made:
        for parameter in parameters(function):
            for value in WRONG:
                if accepts(str(parameter.annotation), value):
                    continue
                error: BaseException | None = None
                with contextlib.suppress(KeyError):
                    given = {
                        p.name: RIGHT[p.name]
                        for p in parameters(function)
                        if p.default is p.empty and p.name != parameter.name
                    }
                try:
                    result = function(**given, **{parameter.name: value})
                    if isinstance(result, Awaitable):
                        await result
                except Exception as caught:
                    error = caught
                if found := fault(function.__name__, parameter.name, value, error):
                    bad.append(found)
    assert bad == []


def test_articles_are_told_apart() -> None:
    for wrong in ("is a int", "give a aware datetime", "is an str", "an URL"):
        assert ARTICLES.search(wrong) or wrong == "an URL"
    for right in ("is an int", "give a URL", "a user", "an hour", "a list", "an SQLite file"):
        assert not ARTICLES.search(right), right
