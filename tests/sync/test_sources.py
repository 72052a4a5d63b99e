"""Sources that the caller's own thread reads, while another thread's loop requests them."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from symbl_aio.sync.portal import Portal
from symbl_aio.sync.sources import Sources


async def doubled(sources: Sources[int]) -> AsyncIterator[int]:
    async for source in sources:
        yield 2 * source


def test_the_thread_that_iterates_reads_them_in_order(portal: Portal):
    threads: list[threading.Thread] = []

    def numbers() -> Iterator[int]:
        for number in range(5):
            threads.append(threading.current_thread())
            yield portal.run(functools.partial(abs, number))  # as a source that calls the client

    sources = Sources(numbers())

    assert list(portal.iterate(lambda: doubled(sources), sources.wait)) == [0, 2, 4, 6, 8]
    assert threads == [threading.current_thread()] * 5


def test_an_error_of_the_sources_is_raised_with_its_own_lines(portal: Portal):
    def broken() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    sources = Sources(broken())
    found = portal.iterate(lambda: doubled(sources), sources.wait)

    assert next(found) == 2
    with pytest.raises(ZeroDivisionError) as error:
        next(found)
    assert "broken" in [entry.name for entry in error.traceback]


def test_a_program_may_end_while_it_reads_a_source(portal: Portal):
    def leaving() -> Iterator[int]:
        yield 1
        raise SystemExit

    sources = Sources(leaving())
    found = portal.iterate(lambda: doubled(sources), sources.wait)

    assert next(found) == 2
    with pytest.raises(SystemExit):
        next(found)
    assert portal.run(lambda: 1) == 1


def test_nothing_is_read_for_an_iteration_that_has_ended(portal: Portal):
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(5):
            read.append(number)
            yield number

    sources = Sources(numbers())
    cancelled = threading.Event()

    async def requested_and_cancelled() -> AsyncIterator[int]:
        request = asyncio.ensure_future(anext(aiter(sources)))
        await asyncio.sleep(0)
        request.cancel()
        await asyncio.wait([request])
        cancelled.set()
        yield 1

    found = portal.iterate(requested_and_cancelled, lambda _: None)
    assert next(found) == 1
    assert cancelled.is_set()
    assert list(portal.iterate(lambda: doubled(sources), sources.wait)) == [0, 2, 4, 6, 8]
    assert read == [0, 1, 2, 3, 4]
