"""Each argument of a wrong type is refused by its name, in good English, and nothing is sent."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import symbl_aio
from symbl_aio import (
    BookmarkDraft,
    ConfigurationError,
    EntityDraft,
    GroupDraft,
    Patch,
    SpeakerEvent,
    SymblClient,
    Text,
    Tracker,
    models,
)
from symbl_aio.contrib.journal import JobJournal
from symbl_aio.contrib.service import Embedded
from symbl_aio.contrib.service_outbox import Durable
from symbl_aio.durable import Outbox, Worker, migrate
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK

# Read aloud: "an hour", "a user", "a URL", "an SQLite file", "an mp4".
ARTICLES = re.compile(
    r"\b[Aa] (?=[aeiou])(?!u(?:ser|nit|niq|sual|niv|rl|uid)|one|once|eur)"
    r"|\ban (?=[^aeiouAEIOU\W])(?!hour|honest|http|mp4|[FHLMNRSX][A-Z])",
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
    "id": "pier-4",
    "path": "a.wav",
    "endpoint": symbl_aio.Pstn("14155550123"),
    "connection_id": "c-1",
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
    if "Transcript" in parts and isinstance(value, str | list):
        return True
    if isinstance(value, bool):
        return "bool" in parts
    if isinstance(value, int):
        return bool(re.search(r"\b(int|float)\b", parts))
    if isinstance(value, float):
        return "float" in parts
    if isinstance(value, str):
        # Of a path or an id any string is good; a literal is looked at by its own words.
        return bool(re.search(r"(?<!\[)\b(str|MediaLike|PathLike|Source)\b(?!,)", parts))
    if isinstance(value, bytes):
        return "bytes" in parts or "Source" in parts
    if isinstance(value, list):
        return bool(re.search(r"(Iterable|Sequence|Collection|tuple)\[(str|S)\b", parts))
    return False


LOOSE = {
    # What these take is told from the value itself, in words of their own tests.
    ("SymblClient.map", "sources"),
    ("SymblClient.submit", "before_last_byte"),
    ("Patch", "value"),  # any JSON
    ("Config", "labs_url"),  # None by its factory
}


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    found = []
    for parameter in inspect.signature(function).parameters.values():
        named = str(parameter.annotation)
        is_typed = "Selection" in named or "StreamSettings" in named
        if parameter.kind is parameter.VAR_KEYWORD and is_typed:
            kinds = (
                symbl_aio._pages.Selection.__annotations__
                if "Selection" in named
                else symbl_aio.StreamSettings.__annotations__
            )
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
            if (f"{owner.__name__}.{name}", parameter.name) not in LOOSE:
                annotation = str(parameter.annotation)
                found += [(name, parameter, v) for v in WRONG if not accepts(annotation, v)]
    return found


async def use(function: Callable[..., Any], name: str, value: Any) -> None:
    """Call, await or begin to iterate, with one argument and the others as they should be."""
    given = {p.name: RIGHT[p.name] for p in parameters(function) if p.default is p.empty} | {
        name: value
    }
    if function.__name__ == "update_member" and name != "name":
        given["name"] = "Anna"
    if function.__name__ == "by_name" and name != "name":
        given["name"] = "A"
    found = function(**given)
    if isinstance(found, AsyncIterator | AsyncGenerator):
        await anext(found)
    elif isinstance(found, Awaitable):
        await found


def right(parameter: inspect.Parameter) -> Any:
    """Return a value for a parameter of a constructor."""
    if parameter.name in ("url", "database", "directory", "metadata", "events"):
        return RIGHT[parameter.name]
    annotation = str(parameter.annotation)
    if "tuple" in annotation or "Iterable" in annotation:
        return ["a"]
    if "User" in annotation:
        return USER
    if parameter.name == "source":
        return b"RIFF"
    if "float" in annotation or "int" in annotation:
        return 1
    return {"op": "add", "path": "/a", "type": "started_speaking"}.get(parameter.name, "a")


def fault(where: str, name: str, value: Any, error: BaseException | None) -> str | None:
    """What is wrong with the refusal of a value."""
    called = f"{where}({name}={value!r})"
    if error is None:
        return f"{called} is taken"
    words = str(error)
    if not isinstance(error, ConfigurationError):
        return f"{called} raises {error!r}"
    if not re.search(rf"(\b|_){name}\b", words):
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
                *(symbl.groups, symbl.entities, symbl.settings, newer.trackers, symbl.telephony),
            ):
                for name, parameter, value in cases(type(handle)):
                    paths = {"update": "2022", "patch": "2024"}
                    managed = {id(symbl.trackers): "2022", id(newer.trackers): "2024"}
                    if name in paths and managed.get(id(handle), paths[name]) != paths[name]:
                        continue
                    count += 1
                    where = f"{type(handle).__name__}.{name}"
                    error = await refusal(getattr(handle, name), parameter.name, value)
                    if found := fault(where, parameter.name, value, error):
                        bad.append(found)
        assert [r.path for r in server.requests[asked:]] == [] or bad
    assert not bad, "\n".join(bad)
    assert count > 400


async def test_so_is_every_argument_of_an_outbox_and_of_what_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SYMBL_ACCESS_TOKEN", "a-token")
    bad: list[str] = []
    made: list[Callable[..., Any]] = [
        SymblClient, Outbox, Worker, migrate, Embedded, JobJournal, Durable,
        *(kind for kind in (getattr(symbl_aio, n) for n in dir(symbl_aio))
          if inspect.isclass(kind) and kind.__module__ in
          ("symbl_aio.config", "symbl_aio.drafts", "symbl_aio.options", "symbl_aio.media")),
    ]  # fmt: skip
    for function in made:
        for parameter in parameters(function):
            for value in WRONG:
                loose = (function.__name__, parameter.name) in LOOSE
                if loose or accepts(str(parameter.annotation), value):
                    continue
                error: BaseException | None = None
                given = {
                    p.name: right(p)
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
    assert not bad, "\n".join(bad)


async def test_the_local_server_refuses_them_in_its_own_words() -> None:
    """It knows nothing of the client, and so not its errors."""
    bad: list[str] = []
    server = LocalSymbl()
    calls: list[Any] = [LocalSymbl, server.inject, server.hold_jobs, server.release]
    for function in calls:
        for parameter in parameters(function):
            for value in WRONG:
                given = {} if parameter.name == "fault" else {"fault": "reset"}
                given = given if function == server.inject else {}
                if accepts(str(parameter.annotation), value) or callable(parameter.default):
                    continue
                try:
                    function(**given, **{parameter.name: value})
                except (TypeError, ValueError) as error:
                    refused = ConfigurationError(str(error))
                    name = parameter.name.removeprefix("default_")  # both are transcripts
                    found = fault(function.__name__, name, value, refused)
                else:
                    found = fault(function.__name__, parameter.name, value, None)
                if found:
                    bad.append(found)
    assert not bad, "\n".join(bad)


def test_articles_are_told_apart() -> None:
    for wrong in ("is a int", "give a aware datetime", "is an list", "A object"):
        assert ARTICLES.search(wrong), wrong
    for fine in ("is an int", "give a URL", "a user", "an hour", "a list", "an SQLite file"):
        assert not ARTICLES.search(fine), fine
