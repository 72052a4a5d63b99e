"""A local server that speaks the Symbl API, for tests, demonstrations and self-hosting.

It imports nothing of the client, so that one misreading of the API cannot be wrong on
both sides and pass.
"""

from symbl_aio.server.local import LocalServer
from symbl_aio.server.received import Received, Seen
from symbl_aio.server.transcripts import Line

__all__ = ["LocalServer", "Line", "Received", "Seen"]
