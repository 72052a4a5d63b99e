"""Functions that a caller gives: what would silently do nothing is refused, with a remedy."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from symbl_aio import (
    AccessToken,
    AuthenticationError,
    ConfigurationError,
    Event,
    SymblClient,
    SymblError,
    Text,
)
from symbl_aio._callback_checks import check_async, check_plain
from symbl_aio.config import Config
from symbl_aio.contrib.aiohttp import Symbl as AiohttpSymbl
from symbl_aio.contrib.fastapi import Symbl as FastapiSymbl
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK
from tests.tables import table

TOKEN = AccessToken("t")


async def an_async(*_: object) -> None: ...
def a_plain(*_: object) -> None: ...
def a_generator(*_: object) -> Iterator[int]:
    yield 1


async def an_async_generator(*_: object) -> AsyncIterator[int]:
    yield 1


class AsyncCall:
    async def __call__(self, *_: object) -> None: ...

    async def method(self, *_: object) -> None: ...


class PlainCall:
    def __call__(self, *_: object) -> None: ...

    def method(self, *_: object) -> None: ...


@functools.wraps(an_async)
def wrapped_async(*arguments: object) -> Any:
    return an_async(*arguments)


ASYNC: dict[str, Any] = {
    "async def": an_async,
    "async __call__": AsyncCall(),
    "async method": AsyncCall().method,
    "partial": functools.partial(an_async, 1),
    "partial of a partial": functools.partial(functools.partial(AsyncCall(), 1), 2),
    "decorated": wrapped_async,
}
PLAIN: dict[str, Any] = {
    "def": a_plain,
    "lambda": lambda *_: None,
    "__call__": PlainCall(),
    "method": PlainCall().method,
    "partial": functools.partial(a_plain, 1),
    "builtin": print,
}
NEITHER: dict[str, Any] = {
    "a number": 7,
    "None": None,
    "a text": "print",
    "the class": PlainCall,
    "a generator": a_generator,
    "an async generator": an_async_generator,
}


def test_each_kind_of_function_is_told_from_the_others() -> None:
    for name, function in ASYNC.items():
        assert check_async("f", function) is function, name
        with pytest.raises(ConfigurationError, match=r"^f is async"):
            check_plain("f", function)
    for name, function in PLAIN.items():
        assert check_plain("f", function) is function, name
        # It may return what can be awaited, which is looked at when it was called.
        assert check_async("f", function) is function, name
    for name, function in NEITHER.items():
        for check in (check_plain, check_async):
            with pytest.raises(ConfigurationError, match=r"^f is .*; give ") as refused:
                check("f", function)
            assert name, str(refused.value)


@table("make", [SymblClient, AiohttpSymbl, FastapiSymbl])
@table("bad", [*ASYNC.values(), *NEITHER.values()], ids=[*ASYNC, *NEITHER])
def test_what_is_no_observer_is_refused_in_the_constructor(make: Any, bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^observers\[1\] is .*give a plain function"):
        make(TOKEN, observers=[a_plain, bad])


@table("make", [SymblClient, AiohttpSymbl, FastapiSymbl])
@table("bad", [print, an_async, PlainCall(), None, 7, "print"])
def test_observers_that_are_no_list_are_refused(make: Any, bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^observers is .*observers=\[print\]"):
        make(TOKEN, observers=bad)


async def test_a_local_servers_client_refuses_them_too(server: LocalSymbl) -> None:
    with pytest.raises(ConfigurationError, match=r"^observers\[0\] is async"):
        server.client(observers=[an_async])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"predicate is async"):
        await server.until(an_async)


def test_plain_observers_of_all_kinds_are_taken() -> None:
    SymblClient(TOKEN, observers=list(PLAIN.values()))
    SymblClient(TOKEN, observers=iter([a_plain]))  # type: ignore[arg-type]


async def test_a_plain_observer_that_returns_a_coroutine_is_logged_and_leaves_no_warning(
    server: LocalSymbl, caplog: pytest.LogCaptureFixture
) -> None:
    def sly(event: Event) -> Any:
        return an_async(event)

    with caplog.at_level(logging.ERROR, logger="symbl_aio"):
        async with server.client(observers=[sly], **QUICK) as symbl:
            await (await symbl.submit(Text("Hello.")))
    assert "an observer returned a coroutine, which is not awaited" in caplog.text


@pytest.mark.parametrize("bad", [7, PlainCall, a_generator])
async def test_before_last_byte_has_to_be_async(server: LocalSymbl, bad: Any) -> None:
    async with server.client(**QUICK) as symbl:
        with pytest.raises(ConfigurationError, match=r"^before_last_byte is .*async def"):
            symbl.submit(Text("Hello."), before_last_byte=bad)
        with pytest.raises(ConfigurationError, match=r"^before_last_byte is .*async def"):
            symbl.append("1", Text("Hello."), before_last_byte=bad)
        with pytest.raises(ConfigurationError, match=r"before_last_byte is a coroutine.*without c"):
            symbl.submit(Text("Hello."), before_last_byte=an_async())  # type: ignore[arg-type]
    assert not server.submissions


async def test_a_callback_object_that_is_not_async_fails_its_submission_with_the_remedy(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK) as symbl:
        with pytest.raises(ConfigurationError, match=r"^before_last_byte returned None.*async def"):
            await symbl.submit(Text("Hello."), before_last_byte=PlainCall())  # type: ignore[arg-type]
    assert not [s for s in server.submissions if s.complete]


@table("bad", [7, a_generator, PlainCall])
def test_credentials_that_cannot_be_awaited_are_refused(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^credentials is .*async") as refused:
        SymblClient(bad)
    assert "hush" not in str(refused.value)


def test_a_coroutine_in_place_of_its_function_is_refused_without_a_warning() -> None:
    with pytest.raises(ConfigurationError, match=r"credentials is a coroutine.*without calling it"):
        SymblClient(an_async())  # type: ignore[arg-type]


class Provider:
    def __init__(self, made: object) -> None:
        self.made = made

    def __call__(self) -> Any:
        return self.made


async def test_a_provider_that_returns_no_awaitable_is_named(server: LocalSymbl) -> None:
    config = Config(base_url=server.base_url, **QUICK)
    async with SymblClient(Provider("hush"), config=config) as symbl:
        with pytest.raises(AuthenticationError, match=r"returned a str.*async") as refused:
            await symbl.submit(Text("Hello."))
    assert "hush" not in str(refused.value)


async def test_a_provider_of_something_else_than_a_token_is_named(server: LocalSymbl) -> None:
    async def odd() -> Any:
        return 7

    config = Config(base_url=server.base_url, **QUICK)
    async with SymblClient(odd, config=config) as symbl:
        with pytest.raises(SymblError, match=r"credentials returned an int; return an AccessToken"):
            await symbl.submit(Text("Hello."))
