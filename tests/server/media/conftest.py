from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from symbl_aio.server.media.probe import MediaInfo, probe


@pytest.fixture
def probe_bytes(tmp_path: Path) -> Callable[[bytes], MediaInfo]:
    """Probe a file of these bytes."""

    def probe_bytes(content: bytes) -> MediaInfo:
        path = tmp_path / "recording"
        path.write_bytes(content)
        return probe(path)

    return probe_bytes
