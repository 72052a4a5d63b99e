"""A process gives memory back to the system once it has freed it."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from symbl_aio.server import return_freed_memory
from tests.forks import Fork

MIB = 2**20


def grow_and_free(file: Path) -> None:
    """Write how many bytes the process kept of 120 MB of blocks that it freed."""
    return_freed_memory()
    process = psutil.Process()
    before = process.memory_info().rss
    # By default, glibc takes a block as large as this for a sign that more will come.
    _ = bytearray(30 * MIB)
    del _
    blocks, kept = [], []
    for _ in range(600):
        blocks.append(bytearray(b"x") * 200_000)
        kept.append(bytearray(b"x") * 2_000)
    del blocks
    file.write_text(str(process.memory_info().rss - before))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
async def test_freed_blocks_go_back_to_the_system(tmp_path: Path) -> None:
    fork = await Fork.start(grow_and_free, tmp_path / "kept")

    assert await fork.ended() == 0
    assert int((tmp_path / "kept").read_text()) < 16 * MIB
