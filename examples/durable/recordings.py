"""Many recordings from one: the same film, each with an mp4 box of its own that players skip."""

from __future__ import annotations

import hashlib
from pathlib import Path

from attrs import frozen

ONE = Path(__file__).parents[1] / "media" / "inaugural.mp4"


@frozen
class Recording:
    """A file to be sent, part ``number`` of its conversation. Its hash identifies it."""

    conversation: str
    number: int
    path: Path
    sha256: str

    @property
    def key(self) -> str:
        """The key of its item. The key of the first part names the conversation."""
        return self.conversation if self.number == 1 else f"{self.conversation}/{self.number}"


def make(directory: Path, conversations: int, each: int) -> list[Recording]:
    """Write the files, and return them in the order of handing in: part by part."""
    film = ONE.read_bytes()
    made = []
    for number in range(1, each + 1):
        for conversation in range(1, conversations + 1):
            name = f"standup-{conversation:02}"
            label = f"{name} part {number}".encode()
            data = film + (8 + len(label)).to_bytes(4) + b"free" + label
            path = directory / f"{name}-{number}.mp4"
            path.write_bytes(data)
            made.append(Recording(name, number, path, hashlib.sha256(data).hexdigest()))
    return made
