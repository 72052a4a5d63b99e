"""Recordings for tests of uploads: short, and each with a content of its own."""

from __future__ import annotations

import io
import wave
from pathlib import Path


def recording(number: int, seconds: float = 0.1) -> bytes:
    """Return a wav whose samples are the number."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(number.to_bytes(2, "little") * int(8000 * seconds))
    return out.getvalue()


def record(folder: Path, *names: str, start: int = 0) -> list[Path]:
    """Write a recording for each name, and return their paths."""
    paths = [folder / name for name in names]
    for number, path in enumerate(paths, start):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(recording(number))
    return paths
