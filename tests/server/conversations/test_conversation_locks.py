"""Turns to change a conversation."""

from __future__ import annotations

import asyncio

import pytest

from symbl_aio.server import LocalServer
from symbl_aio.server.conversations.conversation_locks import ConversationLocks
from symbl_aio.server.http_json import ApiError


async def test_turns_come_in_the_order_of_the_calls_and_leave_nothing() -> None:
    locks, turns = ConversationLocks(), list[int]()

    async def change(number: int) -> None:
        async with locks["1"]:
            turns.append(number)
            await asyncio.sleep(0)
        # A new turn, although others wait for theirs.
        async with locks["1"]:
            turns.append(number + 10)

    async with locks["2"]:
        await asyncio.gather(*(change(number) for number in range(3)))

        assert turns == [0, 1, 2, 10, 11, 12]
        assert list(locks) == ["2"]
    assert not locks


async def test_a_caller_who_stops_waiting_keeps_no_turn() -> None:
    locks = ConversationLocks()
    lock = locks["1"]
    await lock.acquire()
    waiters = [asyncio.create_task(locks["1"].acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    lock.release()
    # The second has its turn already, and stops in the same moment.
    waiters[1].cancel()
    await asyncio.wait(waiters, timeout=5)

    assert [waiter.cancelled() for waiter in waiters] == [True, True, False]
    lock.release()
    assert not locks
    with pytest.raises(RuntimeError):
        lock.release()


async def test_a_change_of_a_deleted_conversation_keeps_no_turn(server: LocalServer) -> None:
    conversations = server._conversations
    for _ in range(2):
        with pytest.raises(ApiError):
            async with conversations.change("1"):
                pass

    assert not conversations._locks
