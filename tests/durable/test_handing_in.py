"""What is handed in is there once, in the order of its handing in."""

from __future__ import annotations

from symbl_aio import Text
from symbl_aio.durable import ItemState, Outbox
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import Working


async def test_an_outbox_and_a_worker_bring_a_conversation_to_its_end(
    outbox: Outbox, working: Working, server: LocalSymbl
) -> None:
    opened = await outbox.submit(Text("One."), key="monday")
    assert (opened.state, opened.conversation, opened.number) == (ItemState.QUEUED, "monday", 1)
    for number in range(2, 5):
        item = await outbox.append("monday", Text(f"No {number}."), key=f"monday-{number}")
        assert (item.conversation, item.number) == ("monday", number)
    async with working():
        last = await outbox.result("monday-4")
    assert last.ok
    texts = [s.body["messages"][0]["payload"]["content"] for s in server.submissions]
    assert texts == ["One.", "No 2.", "No 3.", "No 4."]
