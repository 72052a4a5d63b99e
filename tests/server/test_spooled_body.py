from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from symbl_aio.server.spooled_body import SpooledBody


def files(directory: Path) -> list[Path]:
    return list(directory.rglob("*"))


async def fill(body: SpooledBody, *chunks: bytes) -> None:
    for chunk in chunks:
        await body.write(chunk)
    await body.finish()


async def test_a_body_is_written_and_hashed(tmp_path: Path) -> None:
    body = SpooledBody(tmp_path, keep=True, hashed=True)
    chunks = [b"abc", b"", b"d" * 5_000_000, b"e" * 5_000_000, b"f"]

    await fill(body, *chunks)

    whole = b"".join(chunks)
    assert body.size == len(whole)
    assert body.head == whole[:16]
    assert body.sha256 == hashlib.sha256(whole).hexdigest()
    assert body.path is not None
    assert body.path.read_bytes() == whole
    body.close()
    body.close()
    assert files(tmp_path) == []


@pytest.mark.parametrize("hashed", [True, False])
async def test_a_body_need_not_be_kept(tmp_path: Path, hashed: bool) -> None:
    body = SpooledBody(tmp_path, keep=False, hashed=hashed)

    await fill(body, b"abc")

    assert body.size == 3
    assert (body.sha256 is not None) == hashed
    assert body.path is None
    assert files(tmp_path) == []


async def test_cancelling_leaves_no_file_behind(tmp_path: Path) -> None:
    body = SpooledBody(tmp_path, keep=True, hashed=True)
    task = asyncio.create_task(fill(body, b"x" * 9_000_000))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    body.close()

    assert files(tmp_path) == []


async def test_a_write_error_is_raised(tmp_path: Path) -> None:
    body = SpooledBody(tmp_path / "missing", keep=True, hashed=False)

    with pytest.raises(OSError, match="missing"):
        await fill(body, b"abc")
