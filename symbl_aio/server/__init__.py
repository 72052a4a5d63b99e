"""A local server that speaks the Symbl API, for tests, demonstrations and self-hosting.

It imports nothing of the client. A wrong reading of the API in the client therefore
cannot pass a test because the server has the same fault.

``app`` routes each request. ``tokens`` checks its access token. ``submissions`` validates
a submission and reads its body, ``job_queue`` queues the job, ``processing`` produces the
utterances: typed text, a transcript from ``transcript_registry``, or the output of
``recognizer``. ``media`` reads file headers. ``webhooks`` reports each status.
``conversations`` stores and serves the results, ``language`` finds sentences, topics and
action items in them, ``html_pages`` makes links to pages for people, and ``page_responses``
the pages. ``management`` serves the trackers, groups and entities of the account. ``storage``
keeps all of it, in memory or in a data directory. ``live`` hears streams and calls.
``late_imports`` lists what is imported with the first request for it. Five modules exist for tests:
``server_controls`` is what a test sees and sets, ``fault_injection`` injects failures,
``job_hold`` holds jobs, ``change_notifier`` wakes waiting tests, and ``request_log`` records
every request.

The server never invents a result: it scores no call, and builds a summary from sentences of
the conversation.
"""

from typing import TYPE_CHECKING

from symbl_aio._lazy import export_on_first_use as _export_on_first_use

# Each name is imported on first use: a server in memory needs neither SQLite nor archives.
_HOMES = {
    "app_secrets": "add_secret check_app_id made_up_secret read_secrets",
    "freed_memory": "return_freed_memory",
    "hosting_settings": "Hosting",
    "late_imports": "import_all",
    "local_server": "LocalServer",
    "proxy_headers": "is_loopback own_names",
    "recognition_pool": "RecognitionOptions",
    "request_log": "Received Seen",
    "server_limits": "ServerLimits",
    "storage.backup": "restore_backup write_backup",
    "storage.data_directory": "APPLICATIONS check_directory default_directory",
    "storage.store": "StorageError",
    "tls": "TLSError load_context",
    "transcript_registry": "Line",
}

if TYPE_CHECKING:
    from symbl_aio.server.app_secrets import add_secret as add_secret
    from symbl_aio.server.app_secrets import check_app_id as check_app_id
    from symbl_aio.server.app_secrets import made_up_secret as made_up_secret
    from symbl_aio.server.app_secrets import read_secrets as read_secrets
    from symbl_aio.server.freed_memory import return_freed_memory as return_freed_memory
    from symbl_aio.server.hosting_settings import Hosting as Hosting
    from symbl_aio.server.late_imports import import_all as import_all
    from symbl_aio.server.local_server import LocalServer as LocalServer
    from symbl_aio.server.proxy_headers import is_loopback as is_loopback
    from symbl_aio.server.proxy_headers import own_names as own_names
    from symbl_aio.server.recognition_pool import RecognitionOptions as RecognitionOptions
    from symbl_aio.server.request_log import Received as Received
    from symbl_aio.server.request_log import Seen as Seen
    from symbl_aio.server.server_limits import ServerLimits as ServerLimits
    from symbl_aio.server.storage.backup import restore_backup as restore_backup
    from symbl_aio.server.storage.backup import write_backup as write_backup
    from symbl_aio.server.storage.data_directory import APPLICATIONS as APPLICATIONS
    from symbl_aio.server.storage.data_directory import check_directory as check_directory
    from symbl_aio.server.storage.data_directory import default_directory as default_directory
    from symbl_aio.server.storage.store import StorageError as StorageError
    from symbl_aio.server.tls import TLSError as TLSError
    from symbl_aio.server.tls import load_context as load_context
    from symbl_aio.server.transcript_registry import Line as Line
else:  # type checkers would take a misspelt name for an object
    __getattr__, __dir__, __all__ = _export_on_first_use(__name__, _HOMES)
