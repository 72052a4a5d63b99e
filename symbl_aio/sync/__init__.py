"""The client without ``await``, for notebooks and scripts.

::

    from symbl_aio.sync import SymblClient

    with SymblClient() as symbl:
        for message in symbl.process("standup.mp4").messages():
            print(message.text)

A thin layer: one background event loop runs the client of ``symbl_aio``, and every method has
the name, the arguments and the promises of its namesake there. ``submission.wait()`` and
``job.wait()`` stand for ``await``, ``close`` for ``aclose``, and plain iterators for the async
ones. Media, options, settings, models and errors are those of ``symbl_aio``. Live audio,
telephone calls and webhooks are for asyncio alone.
"""

from typing import TYPE_CHECKING

from symbl_aio._lazy import export_on_first_use as _export_on_first_use

_HOMES = {
    "client": "SymblClient",
    "handles": "Conversation Job Submission",
    "management": "Bookmarks Entities Groups Settings Trackers",
    "outcomes": "Completed Failed Outcome",
}

if TYPE_CHECKING:
    from symbl_aio.sync.client import *
    from symbl_aio.sync.handles import *
    from symbl_aio.sync.management import *
    from symbl_aio.sync.outcomes import *
else:  # type checkers would take a misspelt name for an object
    __getattr__, __dir__, __all__ = _export_on_first_use(__name__, _HOMES)
