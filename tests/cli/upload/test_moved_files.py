"""Which files are no longer where they were sent from."""

from __future__ import annotations

import os
from pathlib import Path

from symbl_aio.cli.upload.find_files import Found, find
from symbl_aio.cli.upload.fingerprint import Fingerprint
from symbl_aio.cli.upload.grouping import alone
from symbl_aio.cli.upload.ledger import Item, Ledger, State, open_ledger
from symbl_aio.cli.upload.moved_files import moves

COPIES = 5


async def sent(ledger: Ledger, one: Found, sha256: str) -> None:
    await ledger.save(
        Item(ledger.next_id(), one.source, sha256, None, "n", State.COMPLETED, 0.0, "c")
    )


async def test_each_copy_of_a_content_is_compared_once_after_a_look(tmp_path: Path):
    for number in range(COPIES):
        (tmp_path / f"{number}.wav").write_bytes(b"same")
    found = find([str(tmp_path)]).found
    read = Fingerprint("same", 1.0, None)
    compared: list[str] = []

    async def unreadable(one: Found) -> Fingerprint:
        compared.append(one.relative)
        raise PermissionError(13, "Permission denied", one.source)

    ledger = open_ledger(tmp_path / "ledger.db")
    in_place: set[int] = set()
    for meeting, one in zip(alone(found).meetings, found, strict=True):
        moved = await moves(one, read.sha256, meeting, ledger, unreadable, in_place)
        assert not moved.vacated
        await sent(ledger, one, read.sha256)
    assert sorted(compared) == [f"{number}.wav" for number in range(COPIES - 1)]
    await ledger.aclose()


async def test_a_file_that_was_in_place_before_a_look_may_be_elsewhere_after_it(tmp_path: Path):
    (tmp_path / "old.wav").write_bytes(b"same")
    (old,) = find([str(tmp_path)]).found
    ledger = open_ledger(tmp_path / "ledger.db")

    async def read(one: Found) -> Fingerprint:
        return Fingerprint("same", 1.0, None)

    await sent(ledger, old, "same")
    in_place: set[int] = set()
    (tmp_path / "copy.wav").write_bytes(b"same")
    copy = find([str(tmp_path)]).found[0]
    (meeting,) = alone([copy]).meetings
    assert not (await moves(copy, "same", meeting, ledger, read, in_place)).vacated
    assert in_place
    os.rename(old.source, tmp_path / "new.wav")
    (new,) = (one for one in find([str(tmp_path)]).found if one.relative == "new.wav")
    (meeting,) = alone([new]).meetings
    in_place.clear()  # as a look does
    assert (await moves(new, "same", meeting, ledger, read, in_place)).vacated
    await ledger.aclose()
