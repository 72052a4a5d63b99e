"""Every error this library raises on purpose, in one tree.

::

    SymblError
    ├─ ConfigurationError (ValueError)      wrong argument, option, id, credential or setting
    ├─ ClientClosedError                    the client is not open (any longer)
    ├─ QueueFullError                       more work is queued than ``Limits.queued``
    ├─ OutboxUnavailableError               the database of an outbox cannot be used now
    ├─ DecodeError                          an answer arrived and could not be decoded
    ├─ TransportError                       no HTTP status came back; ``.sent``: how far it got
    │   ├─ UntrustedServerError             its certificate does not verify
    │   ├─ AmbiguousSubmissionError         perhaps accepted, perhaps not: never sent again
    │   └─ StillAmbiguousError              ``reconcile()`` found no evidence
    ├─ UploadError                          the recording could not be sent as it is
    │   ├─ UploadStalledError (TimeoutError)
    │   ├─ FileUnavailableError
    │   ├─ FileChangedError
    │   └─ MediaRejectedError
    ├─ BadUploadError                       a web service's request cannot be passed on
    ├─ APIError                             the server answered with an error status
    │   ├─ BadRequestError                  400 and every 4xx without a class of its own
    │   ├─ AuthenticationError              401
    │   ├─ PermissionDeniedError            403
    │   ├─ NotFoundError                    404
    │   ├─ ConcurrencyLimitError            429
    │   └─ ServerError                      5xx
    ├─ JobError                             about one accepted job; ``.job`` is never lost
    │   ├─ JobFailedError
    │   ├─ JobTimeoutError (TimeoutError)
    │   └─ JobLostError
    ├─ StreamError                          a live connection; ``.conversation_id`` has its words
    │   ├─ StreamLostError                  lost, and not resumed
    │   ├─ StreamRefusedError               the server refused the start
    │   └─ StreamTimeoutError (TimeoutError)
    └─ AppendBlockedError                   an earlier append of the conversation halted its lane

All can be pickled and copied, with their attributes and causes, so a process pool raises them.
In the copy ``.job`` is a detached handle, whose ``token`` re-attaches, and a foreign error
that cannot be pickled is replaced by one that names its class.

Timeouts are builtin ``TimeoutError``\\ s. No message, ``repr`` or attribute of an
error holds a credential or a token.
"""

from symbl_aio._error_classes import *
from symbl_aio._error_classes import Sent as Sent
from symbl_aio.job import AmbiguousSubmissionError as AmbiguousSubmissionError
from symbl_aio.job import ClientClosedError as ClientClosedError
from symbl_aio.job import JobError as JobError
from symbl_aio.job import JobFailedError as JobFailedError
from symbl_aio.job import JobLostError as JobLostError
from symbl_aio.job import JobTimeoutError as JobTimeoutError
