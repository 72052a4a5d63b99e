"""The demo judges itself; here its judge is judged, on logs that break a promise."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from examples.durable import ledger, recordings
from symbl_aio import Video
from symbl_aio.testing import LocalSymbl

ROOT = Path(__file__).parents[2]
CAP = 2


@pytest.fixture
def files(tmp_path: Path) -> list[recordings.Recording]:
    return recordings.make(tmp_path, conversations=2, each=3)


def log(*accepted: tuple[recordings.Recording, str], most: int = CAP) -> dict[str, Any]:
    return {
        "accepted": [(recording.sha256, conversation) for recording, conversation in accepted],
        "completed": len(accepted),
        "most": most,
        "webhooks": 0,
    }


def test_a_log_without_a_fault_keeps_every_promise(files):
    seen = log(*((recording, recording.conversation) for recording in files))

    assert ledger.read(seen, files).broken(CAP) == []


def test_what_was_lost_sent_twice_swapped_or_too_much_is_found(files):
    first, other, second, *rest = files
    left_out = log(*((one, one.conversation) for one in files[1:]))
    again = log(*((one, one.conversation) for one in (*files, second)))
    swapped = log((second, "a"), (first, "a"), *((one, one.conversation) for one in (other, *rest)))
    mixed = log((first, "a"), (other, "a"), *((one, one.conversation) for one in (second, *rest)))
    too_many = log(*((one, one.conversation) for one in files), most=CAP + 1)

    assert ledger.read(left_out, files).broken(CAP) == ["a file was lost"]
    assert "a file was sent twice" in ledger.read(again, files).broken(CAP)
    assert ledger.read(swapped, files).broken(CAP) == ["a conversation is out of order"]
    assert ledger.read(mixed, files).broken(CAP) == ["a conversation is out of order"]
    assert ledger.read(too_many, files).broken(CAP) == ["there were more jobs than allowed"]


async def test_its_films_differ_and_are_films(files):
    assert len({recording.sha256 for recording in files}) == 6
    assert [recording.key for recording in files[::2]] == [
        "standup-01",
        "standup-01/2",
        "standup-01/3",
    ]
    async with LocalSymbl() as server, server.client() as symbl:
        job = await symbl.submit(Video(files[-1].path))
        await job
    assert server.submissions[0].sha256 == files[-1].sha256


@pytest.mark.durable
@pytest.mark.timeout(200)
async def test_the_demo_keeps_its_promises():
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.durable"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await demo.communicate()

    assert demo.returncode == 0, told.decode()
    assert "Traceback" not in told.decode()
