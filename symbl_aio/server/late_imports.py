"""The modules that a server imports with the first request for them: few servers of tests get one.

A suite may start one in each of its processes, and would wait for all of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

LATE_IMPORTS: Final = (
    # the first conversation
    "symbl_aio.server.language.pipeline",
    # the first stream, subscription or call
    "symbl_aio.server.live.handlers",
    "symbl_aio.server.live.telephony",
    # the first page
    "symbl_aio.server.page_responses",
)


def import_all() -> None:
    """Import all of it now, so that no request of a server that runs for long waits for it."""
    for module in LATE_IMPORTS:
        import_module(module)
