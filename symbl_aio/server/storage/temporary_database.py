"""A database in memory, for a server that runs for long and stores nothing.

As objects, a conversation and its analysis take twenty times the memory of their rows, and each
full garbage collection stops the server to look at all of them.
"""

from __future__ import annotations

from pathlib import Path

from symbl_aio.server.storage.database import Database
from symbl_aio.server.storage.memory_store import TemporaryStorage
from symbl_aio.server.storage.sqlite_store import SQLiteStore


class TemporaryDatabase(TemporaryStorage):
    """A temporary directory for bodies, and stores in a database without a file."""

    def __init__(self, parent: Path | str | None) -> None:
        super().__init__(parent)
        self._database = Database(None)

    def store(self, application: str) -> SQLiteStore:
        """Return the store of one application."""
        return SQLiteStore(self._database, application, self)

    async def open(self) -> None:
        """Create the directory and the database. Raises OSError and StorageError."""
        await super().open()
        await self._database.open()

    async def aclose(self) -> None:
        """Drop all of it. Closing twice is safe."""
        await self._database.aclose()
        await super().aclose()
