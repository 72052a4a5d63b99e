"""Memory that was freed goes back to the system, as far as the C library can be told to."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

# Of glibc's malloc.h. Left alone, it keeps freed blocks of up to 32 MiB, once it has seen such,
# in as many heaps as eight times the cores: a server that was busy once stays large, and holds
# the texts of deleted conversations for longer.
_SETTINGS: Final = {
    "M_MMAP_THRESHOLD": (-3, 128 * 1024),
    "M_TRIM_THRESHOLD": (-1, 128 * 1024),
    "M_ARENA_MAX": (-8, 1),
}


def return_freed_memory() -> None:
    """Return large freed blocks to the system at once. Does nothing without glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for number, value in _SETTINGS.values():
            mallopt(number, value)
