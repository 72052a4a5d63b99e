"""A local server that speaks the Symbl API, for tests, demonstrations and self-hosting.

It imports nothing of the client, so that one misreading of the API cannot be wrong on
both sides and pass.

A request comes in through ``app``; ``accounts`` knows its token. A submission goes through
``submissions`` (what is refused), ``jobs`` (when its turn comes) and ``processing`` (what was
said in it: typed, from ``transcripts``, or by ``recognition``); ``media`` looks into files and
``webhooks`` tells of the progress. What was said is kept in ``conversations``, ``language``
finds things in it, ``pages`` show it to people. ``management`` is about the account.
``faults``, ``gate``, ``pulse`` and ``received`` are for tests: misbehave, hold, wait, look.

What cannot be answered truthfully is not answered: no call gets a score, nothing is redacted,
and a summary consists of sentences that were said.
"""

from symbl_aio.server.local_server import LocalServer
from symbl_aio.server.request_log import Received, Seen
from symbl_aio.server.transcript_registry import Line

__all__ = ["LocalServer", "Line", "Received", "Seen"]
