"""A local server that speaks the Symbl API, for tests, demonstrations and self-hosting.

It imports nothing of the client. A wrong reading of the API in the client therefore
cannot pass a test because the server has the same fault.

``app`` routes each request. ``tokens`` checks its access token. ``submissions`` validates
a submission and reads its body, ``job_queue`` queues the job, ``processing`` produces the
utterances: typed text, a transcript from ``transcript_registry``, or the output of
``recognizer``. ``media`` reads file headers. ``webhooks`` reports each status.
``conversations`` stores and serves the results, ``language`` finds sentences, topics and
action items in them, ``html_pages`` renders them for people. ``management`` serves the
trackers, groups and entities of the account. ``storage`` keeps all of it, in memory or in a
data directory. ``live`` hears streams and calls. Five modules exist for tests:
``server_controls`` is what a test sees and sets, ``fault_injection`` injects failures,
``job_hold`` holds jobs, ``change_notifier`` wakes waiting tests, and ``request_log`` records
every request.

The server never invents a result: it scores no call, and builds a summary from sentences of
the conversation.
"""

from symbl_aio.server.app_secrets import add_secret, made_up_secret, read_secrets
from symbl_aio.server.freed_memory import return_freed_memory
from symbl_aio.server.hosting_settings import Hosting
from symbl_aio.server.local_server import LocalServer
from symbl_aio.server.proxy_headers import is_loopback, own_names
from symbl_aio.server.recognition_pool import RecognitionOptions
from symbl_aio.server.request_log import Received, Seen
from symbl_aio.server.server_limits import ServerLimits
from symbl_aio.server.storage.backup import restore_backup, write_backup
from symbl_aio.server.storage.data_directory import APPLICATIONS, check_directory, default_directory
from symbl_aio.server.storage.store import StorageError
from symbl_aio.server.tls import TLSError, load_context
from symbl_aio.server.transcript_registry import Line

__all__ = [
    "APPLICATIONS",
    "Hosting",
    "Line",
    "LocalServer",
    "Received",
    "RecognitionOptions",
    "Seen",
    "ServerLimits",
    "StorageError",
    "TLSError",
    "add_secret",
    "check_directory",
    "default_directory",
    "is_loopback",
    "load_context",
    "made_up_secret",
    "own_names",
    "read_secrets",
    "restore_backup",
    "return_freed_memory",
    "write_backup",
]
