"""Checks of a caller's functions: async where they are awaited, plain where they are not.

A mistake would otherwise be silent: the coroutine of an async observer is never run, and
the result of a plain function cannot be awaited.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from symbl_aio._error_classes import ConfigurationError
from symbl_aio._fields import type_name

F = TypeVar("F", bound=Callable[..., Any])


def check_plain(name: str, function: F) -> F:
    """Return a function that is called and not awaited.

    Raises ``ConfigurationError`` if it cannot be called, is a class, or returns a coroutine
    or generator, which would never run.
    """
    remedy = "give a plain function (def), which may start a task of its own"
    _check_callable(name, function, remedy)
    if any(map(_is_lazy, _bodies(function))):
        raise ConfigurationError(f"{name} is async or a generator, and is not awaited; {remedy}")
    return function


def check_async(name: str, function: F) -> F:
    """Return a function that is called and awaited.

    Raises ``ConfigurationError`` if it cannot be called, is a class or a generator. A plain
    function may return the coroutine of an async one, as ``lambda: token_of(account)`` does;
    ``awaitable`` checks its result.
    """
    if inspect.iscoroutinefunction(function):  # as nearly all are
        return function
    remedy = "give an async function (async def)"
    _check_callable(name, function, remedy)
    bodies = _bodies(function)
    if any(map(_is_lazy, bodies)) and not any(map(inspect.iscoroutinefunction, bodies)):
        raise ConfigurationError(f"{name} is not async, and is awaited; {remedy}")
    return function


def awaitable(name: str, result: object) -> Any:
    """Return the result of a caller's function if it can be awaited.

    Raises ``ConfigurationError`` otherwise, without the value, which may be a secret.
    """
    if not inspect.isawaitable(result):
        raise ConfigurationError(
            f"{name} returned {type_name(result)}, which cannot be awaited; "
            "give an async function (async def)"
        )
    return result


def is_own_cancellation(error: BaseException) -> bool:
    """Return whether the current task was cancelled.

    Else a ``CancelledError`` is of the caller's work alone, and a failure of it.
    """
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling() > 0)


def ends_program(error: BaseException) -> bool:
    """Return whether an exception of a caller's function is to end the whole program.

    ``sys.exit()`` and Ctrl-C do, in the main thread. In another one, such as that of a worker,
    they would end its event loop alone, silently, and all that wait for it would wait for ever.
    """
    is_exit = isinstance(error, KeyboardInterrupt | SystemExit)
    return is_exit and threading.current_thread() is threading.main_thread()


def must_go_on(error: BaseException) -> bool:
    """Return whether an exception in an async function of the caller's must go on from there.

    It must if the task is cancelled or closed, or the program ends. Any other is a failure of
    that function alone.
    """
    return isinstance(error, GeneratorExit) or is_own_cancellation(error) or ends_program(error)


def observers_of(given: object) -> tuple[Callable[[Any], None], ...]:
    """Return the observers of a client, each checked. Raises ``ConfigurationError``."""
    remedy = "give a list of functions that take an event, such as observers=[print]"
    if callable(given) and not isinstance(given, Iterable):
        raise ConfigurationError(f"observers is a single function; {remedy}")
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ConfigurationError(f"observers is {type_name(given)}; {remedy}")
    return tuple(
        check_plain(f"observers[{index}]", observer) for index, observer in enumerate(given)
    )


def _check_callable(name: str, function: object, remedy: str) -> None:
    if inspect.iscoroutine(function):
        function.close()  # or Python warns that it was never awaited
        raise ConfigurationError(f"{name} is a coroutine; {remedy} itself, without calling it")
    if not callable(function):
        raise ConfigurationError(f"{name} is {type_name(function)}; {remedy}")
    if inspect.isclass(function):
        raise ConfigurationError(f"{name} is the class {function.__name__}; {remedy} or an object")


def _bodies(function: Callable[..., Any]) -> list[object]:
    """Return a function, the function that it wraps, and the ``__call__`` of its type."""
    while isinstance(function, partial):
        function = function.func
    return [function, inspect.unwrap(function), type(function).__call__]


def _is_lazy(function: object) -> bool:
    return (
        inspect.iscoroutinefunction(function)
        or inspect.isasyncgenfunction(function)
        or inspect.isgeneratorfunction(function)
    )
