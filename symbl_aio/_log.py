"""The package's loggers. A record that cannot be logged never ends the work that it reports.

Handlers catch their own errors; filters do not. One that reads the current request of a web
service, for example, raises in a task that serves no request.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from contextlib import suppress
from typing import Any


class Log(logging.LoggerAdapter[logging.Logger]):
    """A logger whose methods raise nothing. Errors go to stderr, as those of handlers do."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name), {})

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a record as the logger does, in the name of the caller of ``debug`` or its like."""
        try:
            self.logger.log(level, msg, *args, stacklevel=2, **kwargs)
        except (Exception, asyncio.CancelledError):
            if logging.raiseExceptions and sys.stderr is not None:
                with suppress(OSError, ValueError):  # it is closed
                    traceback.print_exc()
