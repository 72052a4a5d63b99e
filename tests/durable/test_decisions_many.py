"""Decisions about many items: one call, few statements, and nothing unusual by default."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from symbl_aio import ConfigurationError
from symbl_aio.durable import Decided, ItemFilter, ItemState, Outbox
from symbl_aio.durable._database.database import Database
from tests.durable.conftest import KINDS
from tests.durable.test_dispatch import counted

A, B, C = ItemState.AMBIGUOUS, ItemState.BLOCKED, ItemState.COMPLETED
Q, R = ItemState.QUEUED, ItemState.REFUSED
FEW = 20
"""Statements that a decision may need, however many items it is about."""


def lay_out(
    tables: Database,
    *conversations: tuple[str, str | None, list[ItemState]],
    age: float = 0.0,
) -> None:
    """Write conversations as workers leave them: name, id, and the states of their items.

    The items of "c" are "c" itself, which opens it, "c-2", "c-3" …
    """
    rows: list[dict[str, Any]] = []
    named: list[dict[str, Any]] = []
    for name, conversation_id, states in conversations:
        keys = [name if number == 1 else f"{name}-{number}" for number in range(1, len(states) + 1)]
        halted = next((k for k, s in zip(keys, states, strict=True) if s is A), None)
        head = next((k for k, s in zip(keys, states, strict=True) if not s.is_ending), None)
        named.append(
            {"name": name, "last": len(keys), "halted_by": halted}
            | {"conversation_id": conversation_id}
        )
        rows += [
            {
                "key": key,
                "conversation": name,
                "number": number,
                "opens": number == 1,
                "content": '{"media": {"kind": "text", "messages": []}, "options": null}',
                "nonce": f"nonce of {key}",
                "attempt": 1,
                "state": state.value,
                "sent_by": "w/1" if state is A else None,
                "sent_at": 1.0 if state is A else None,
                "job_id": f"job of {key}" if state is ItemState.COMPLETED else None,
                "conversation_id": conversation_id if state is ItemState.COMPLETED else None,
                "queued_at": 1.0,
                "error": "it is so" if state in (A, B, R) else None,
                "ready": (key == head) if not state.is_ending else None,
            }
            for number, (key, state) in enumerate(zip(keys, states, strict=True), 1)
        ]
    with tables.begin() as connection:
        connection.execute(sa.insert(tables.conversations), named)
        connection.execute(sa.insert(tables.items), rows)
        connection.execute(
            sa.update(tables.items)
            .where(tables.items.c.state.not_in(["queued", "accepted"]))
            .where(tables.items.c.ended_at.is_(None))
            .values(ended_at=tables.now - age)
        )


async def states(outbox: Outbox, conversation: str) -> list[ItemState]:
    return [item.state async for item in outbox.jobs(conversation=conversation)]


def heads(tables: Database) -> list[str]:
    with tables.read() as connection:
        chosen = sa.select(tables.items.c.key).where(tables.items.c.ready)
        return sorted(connection.execute(chosen).scalars())


def everything(tables: Database) -> list[Any]:
    with tables.read() as connection:
        return [
            tuple(row)
            for table in (tables.items, tables.conversations)
            for row in connection.execute(sa.select(table).order_by(table.c[0]))
        ]


# Few statements


@pytest.mark.parametrize("database", KINDS, indirect=True)
@pytest.mark.heavy
async def test_5000_that_wait_behind_a_doubt_go_on_by_a_few_statements(
    outbox: Outbox, tables: Database
) -> None:
    await asyncio.to_thread(lay_out, tables, ("c", "id", [C, A, *[B] * 5000]))
    with counted(outbox._database) as seen:
        decided = await outbox.resolve(ItemFilter(conversation="c"), accepted=False)
    assert len(seen) <= FEW
    assert [item.key for item in decided.items] == ["c-2"]
    assert (decided.resumed, decided.refused) == (5000, {})
    assert await states(outbox, "c") == [C, *[Q] * 5001]
    assert heads(tables) == ["c-2"]
    with counted(outbox._database) as seen:
        decided = await outbox.discard(ItemFilter(state=Q))
    assert len(seen) <= FEW
    assert len(decided.items) == 5001
    assert set((await states(outbox, "c"))[1:]) == {ItemState.DISCARDED}
    assert heads(tables) == []


@pytest.mark.parametrize("database", KINDS, indirect=True)
@pytest.mark.heavy
async def test_thousands_of_doubts_end_by_few_statements_and_no_transaction_is_large(
    outbox: Outbox, tables: Database
) -> None:
    await asyncio.to_thread(
        lay_out, tables, *((f"c{number}", "id", [C, A, B, B]) for number in range(2500))
    )
    with counted(outbox._database) as seen:
        decided = await outbox.resolve(ItemFilter(), accepted=False)
    assert len(decided.items) == 2500
    assert decided.resumed == 5000
    assert len(seen) <= 5 * FEW
    assert sum("halted_by=" in said for said in seen) == 5  # transactions: no lock is held long
    assert (await outbox.stats()).counts == {C: 2500, Q: 7500}
    assert heads(tables) == sorted(f"c{number}-2" for number in range(2500))
    nonces = {row.nonce for row in await asyncio.to_thread(_rows, tables)}
    assert len(nonces) == 10_000  # a webhook call about the first try says nothing about the next


def _rows(tables: Database) -> list[Any]:
    with tables.read() as connection:
        return list(connection.execute(sa.select(tables.items)))


# What would change


@pytest.mark.parametrize("database", KINDS, indirect=True)
async def test_a_dry_run_returns_what_would_change_and_changes_nothing(
    outbox: Outbox, tables: Database
) -> None:
    lay_out(tables, ("a", None, [A, B]), ("b", None, [R, B, B]), ("c", "id", [C, Q, Q]))
    decisions: list[Callable[..., Any]] = [
        lambda **more: outbox.resolve(ItemFilter(), accepted=False, **more),
        lambda **more: outbox.retry(ItemFilter(), **more),
        lambda **more: outbox.retry(["b", "nothing", "c"], **more),
        lambda **more: outbox.discard(ItemFilter(state=[A, Q]), **more),
    ]
    before = everything(tables)
    for decide in decisions:
        would: Decided = await decide(dry_run=True)
        assert would.dry_run
        assert would.items
        assert everything(tables) == before
    assert (await outbox.discard("c-2", dry_run=True)).state is ItemState.DISCARDED
    assert everything(tables) == before
    for decide in decisions[:3]:
        would = await decide(dry_run=True)
        did: Decided = await decide()
        assert [(i.key, i.state) for i in did.items] == [(i.key, i.state) for i in would.items]
        assert (did.resumed, did.refused) == (would.resumed, would.refused)
        assert not did.dry_run


# Selection


async def test_nothing_unusual_is_decided_without_being_named(
    outbox: Outbox, tables: Database
) -> None:
    lost, failed, gone = ItemState.LOST, ItemState.FAILED, ItemState.DISCARDED
    lay_out(tables, ("c", "id", [C, lost, failed, gone, R, B]), ("d", "id", [C, A, B]))
    retried = await outbox.retry(ItemFilter())
    # What was accepted once, or was taken back, is sent again by no default.
    assert [item.key for item in retried.items] == ["c-5", "c-6"]
    assert "'d-2' of the conversation is ambiguous" in retried.refused["d-3"]
    discarded = await outbox.discard(ItemFilter())
    assert {item.key for item in discarded.items} == {"c-5", "c-6", "d-3"}
    assert (await outbox.item("d-2")).state is A
    named = await outbox.retry(ItemFilter(state=[lost, failed]))
    assert [item.key for item in named.items] == ["c-2", "c-3"]
    named = await outbox.discard(ItemFilter(state=A))
    assert [item.key for item in named.items] == ["d-2"]


async def test_items_are_chosen_by_conversation_and_age(outbox: Outbox, tables: Database) -> None:
    lay_out(tables, ("old", "id of old", [C, R]), age=3600.0)
    lay_out(tables, ("new", "id of new", [C, R]))
    for chosen, keys in (
        (ItemFilter(older_than=600), ["old-2"]),
        (ItemFilter(newer_than=600), ["new-2"]),
        (ItemFilter(newer_than=7200, older_than=600), ["old-2"]),
        (ItemFilter(conversation="new"), ["new-2"]),
        (ItemFilter(conversation="id of old"), ["old-2"]),
        (ItemFilter(conversation="neither"), []),
    ):
        would = await outbox.retry(chosen, dry_run=True)
        assert [item.key for item in would.items] == keys


async def test_one_that_is_wrong_stops_no_other(outbox: Outbox, tables: Database) -> None:
    lay_out(tables, ("a", None, [A, B]), ("b", "id", [C, A]), ("c", "id", [C, R]))
    decided = await outbox.resolve(["a", "b-2", "c-2", "nothing", "b-2"], accepted=True)
    assert [(item.key, item.state, item.conversation_id) for item in decided.items] == [
        ("b-2", C, "id")
    ]
    assert {key: why.partition(":")[0] for key, why in decided.refused.items()} == {
        "a": "conversation_id is missing",
        "c-2": "item 'c-2' is refused, and only ambiguous ones are resolved",
        "nothing": "no item has the key 'nothing'",
    }
    assert await states(outbox, "a") == [A, B]


async def test_those_that_open_and_those_that_follow_are_decided_about_together(
    outbox: Outbox, tables: Database
) -> None:
    lay_out(tables, ("a", None, [R, B, B]), ("b", None, [A, B, B]))
    decided = await outbox.retry(["a-3", "a"])
    assert ([item.key for item in decided.items], decided.refused) == (["a", "a-3"], {})
    assert decided.resumed == 1
    assert await states(outbox, "a") == [Q, Q, Q]
    assert heads(tables) == ["a"]
    discarded = await outbox.discard(["b", "b-2"])
    assert discarded.refused == {}
    assert await states(outbox, "b") == [ItemState.DISCARDED, ItemState.DISCARDED, B]
    assert "did not; retry that" in str((await outbox.item("b-3")).error)


async def test_a_conversation_of_several_doubts_waits_for_the_last(
    outbox: Outbox, tables: Database
) -> None:
    lay_out(tables, ("c", "id", [C, A, A, B]))
    assert (await outbox.resolve("c-2", accepted=True)).state is C
    assert await states(outbox, "c") == [C, C, A, B]
    assert heads(tables) == []
    with pytest.raises(ConfigurationError, match="'c-3' of the conversation is ambiguous"):
        await outbox.retry("c-4")
    await outbox.resolve("c-3", accepted=False)
    assert await states(outbox, "c") == [C, C, Q, Q]
    assert heads(tables) == ["c-3"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            lambda outbox: ItemFilter(state="ambiguous"),  # type: ignore[arg-type]
            "ItemFilter.state is",
        ),
        (lambda outbox: ItemFilter(state=[]), "ItemFilter.state is"),
        (lambda outbox: ItemFilter(older_than=-1), "ItemFilter.older_than is"),
        (lambda outbox: ItemFilter(conversation=""), "ItemFilter.conversation is"),
        (lambda outbox: outbox.retry(7), "give a key, several keys, or an ItemFilter"),
        (lambda outbox: outbox.retry(["a", ""]), "key is ''"),
        (
            lambda outbox: outbox.resolve(ItemFilter(), accepted=True, job_id="j"),
            "job_id are of one item",
        ),
        (lambda outbox: outbox.resolve(["a"], accepted="yes"), "accepted is 'yes'"),
        (lambda outbox: outbox.resolve(ItemFilter(state=R), accepted=False), "ambiguous"),
        (lambda outbox: outbox.retry(ItemFilter(state=[R, A])), "state has ambiguous"),
        (lambda outbox: outbox.discard(ItemFilter(state=C)), "state has completed"),
    ],
)
async def test_a_wrong_choice_is_refused_before_anything_is_done(
    outbox: Outbox, wrong: Callable[[Outbox], Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        await wrong(outbox)
