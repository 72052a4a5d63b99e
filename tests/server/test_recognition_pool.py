"""Short recordings do not wait behind long ones, and long ones are not forgotten."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from symbl_aio.server import recognition_pool
from symbl_aio.server.recognition_pool import RecognitionOptions, RecognitionPool

# Prints each request to a FIFO-like file, and answers once the test writes a line to it.
FAKE_WORKER = """
import json, socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as test:
    lines = test.makefile("rb")
    for line in sys.stdin:
        test.sendall(json.loads(line)["path"].rpartition("/")[2].encode() + b"\\n")
        lines.readline()
        print(json.dumps({"segments": []}), flush=True)
        print(json.dumps({"duration": 10.0, "language": "en"}), flush=True)
"""


class Workers:
    """The fake workers: what they were given, in order, and the means to let them go on."""

    def __init__(self) -> None:
        self.given: asyncio.Queue[tuple[str, asyncio.StreamWriter]] = asyncio.Queue()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.given.put_nowait((line.decode().strip(), writer))
        writer.close()

    async def finish_next(self) -> str:
        name, writer = await self.given.get()
        writer.write(b"\n")
        return name


@asynccontextmanager
async def a_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> AsyncIterator[tuple[RecognitionPool, Workers, list[tuple[float, float]]]]:
    script = tmp_path / "worker.py"
    script.write_text(FAKE_WORKER)
    workers, heard = Workers(), list[tuple[float, float]]()
    server = await asyncio.start_server(workers.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    command = (sys.executable, "-I", "-S", str(script), str(port))
    monkeypatch.setattr(RecognitionOptions, "command", property(lambda self: command))
    pool = RecognitionPool(
        RecognitionOptions(processes=processes), lambda *seconds: heard.append(seconds)
    )
    yield pool, workers, heard
    await pool.aclose()
    server.close()
    await server.wait_closed()


def start(
    pool: RecognitionPool,
    name: str,
    seconds: float | None,
    size: int = 0,
    owner: str | None = None,
) -> asyncio.Task[object]:
    return asyncio.create_task(
        pool.transcribe(f"/tmp/{name}", seconds=seconds, size=size, owner=owner)
    )


async def test_a_short_recording_does_not_wait_behind_fifty_long_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_pool(tmp_path, monkeypatch, 1) as (pool, workers, _):
        long = [start(pool, f"long {n}", 3600.0) for n in range(50)]
        await asyncio.sleep(0)
        short = start(pool, "short", 11.0)
        unknown = start(pool, "unknown", None, size=80_000)

        order = [await workers.finish_next() for _ in range(52)]

        assert order[:4] == ["long 0", "short", "unknown", "long 1"]
        assert order[4:] == [f"long {n}" for n in range(2, 50)]
        await asyncio.gather(*long, short, unknown)


async def test_a_long_recording_is_not_overtaken_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(recognition_pool, "time", type("Clock", (), {"monotonic": lambda: now[0]}))
    async with a_pool(tmp_path, monkeypatch, 1) as (pool, workers, _):
        tasks = [start(pool, "running", 1.0), start(pool, "long", 3600.0)]
        await asyncio.sleep(0)
        for number in range(5):
            now[0] = number * 1000.0
            tasks.append(start(pool, f"short {number}", 11.0))
            await asyncio.sleep(0)

        order = [await workers.finish_next() for _ in range(7)]

        assert order[1:] == ["short 0", "short 1", "short 2", "short 3", "long", "short 4"]
        await asyncio.gather(*tasks)


async def test_the_recordings_of_an_application_do_not_all_come_before_those_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_pool(tmp_path, monkeypatch, 1) as (pool, workers, _):
        tasks = [start(pool, f"one {n}", 60.0, owner="one") for n in range(20)]
        await asyncio.sleep(0)
        tasks += [start(pool, f"two {n}", 60.0, owner="two") for n in range(3)]

        order = [await workers.finish_next() for _ in range(23)]

        assert order[:6] == ["one 0", "two 0", "one 1", "two 1", "one 2", "two 2"]
        assert order[6:] == [f"one {n}" for n in range(3, 20)]
        await asyncio.gather(*tasks)


async def test_several_recognisers_work_at_a_time_and_what_they_heard_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_pool(tmp_path, monkeypatch, 2) as (pool, workers, heard):
        tasks = [start(pool, name, 1.0) for name in "abc"]
        given = [await workers.given.get() for _ in range(2)]
        assert {name for name, _ in given} == {"a", "b"}
        for _, writer in given:
            writer.write(b"\n")
        assert await workers.finish_next() == "c"
        await asyncio.gather(*tasks)

    assert [sound for sound, _ in heard] == [10.0, 10.0, 10.0]


async def test_a_cancelled_wait_leaves_the_recogniser_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_pool(tmp_path, monkeypatch, 1) as (pool, workers, _):
        first, second, third = (start(pool, name, 1.0) for name in "abc")
        await asyncio.sleep(0)
        second.cancel()

        assert [await workers.finish_next() for _ in range(2)] == ["a", "c"]
        await asyncio.gather(first, third)


def test_options_reach_the_worker_as_json(tmp_path: Path) -> None:
    options = RecognitionOptions(model=tmp_path, device="cuda", compute_type="float16")

    sent = json.loads(options.command[-1])

    assert (sent["model"], sent["device"]) == (str(tmp_path), "cuda")
    assert sent["compute_type"] == "float16"


def test_a_folder_without_a_model_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(ValueError, match=r"model\.bin is missing"):
        RecognitionOptions(model=tmp_path).check_model()
    (tmp_path / "model.bin").write_bytes(b"")
    RecognitionOptions(model=tmp_path).check_model()


def test_the_vocabulary_of_a_model_shows_its_languages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYMBL_AIO_MODEL", raising=False)
    assert RecognitionOptions().english_only
    model = RecognitionOptions(tmp_path)
    assert not model.english_only
    (tmp_path / "vocabulary.json").write_text(json.dumps(["word"] * 51_865))
    assert not model.english_only
    (tmp_path / "vocabulary.json").write_text(json.dumps(["word"] * 51_864))
    assert model.english_only
    (tmp_path / "vocabulary.txt").write_text("word\n" * 51_865)
    assert not model.english_only
