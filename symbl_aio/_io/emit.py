"""Emit events to observers and to the log. An event is built only when something receives it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import ParamSpec

import attrs

from symbl_aio._callback_checks import ends_program
from symbl_aio._log import Log
from symbl_aio.events import Event, Observer

P = ParamSpec("P")

_LOG = Log("symbl_aio")


class Emitter:
    """The observers of one client. ``changed`` is set by each event, for the closing client."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.changed = asyncio.Event()
        self._observers = tuple(observers)

    @property
    def is_active(self) -> bool:
        """Whether an observer, or a handler of debug records, receives events."""
        return bool(self._observers) or _LOG.isEnabledFor(logging.DEBUG)

    def emit(self, make: Callable[P, Event], /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Emit the event ``make(*args)``. Returns whether an observer took it; raises nothing."""
        self.changed.set()
        debug = _LOG.isEnabledFor(logging.DEBUG)
        if not debug and not self._observers:
            return False
        event = make(*args, **kwargs)
        if debug:
            fields = {f"symbl_{f.name}": getattr(event, f.name) for f in attrs.fields(type(event))}
            _LOG.debug("%s", event, extra=fields)
        taken = False
        for observer in self._observers:
            try:
                result: object = observer(event)
                taken = True
                if isinstance(result, Coroutine):  # a plain function that wraps an async one
                    result.close()
                    _LOG.error("an observer returned a coroutine, which is not awaited")
            except BaseException as error:
                if ends_program(error):
                    raise
                # One observer's mistake must not end the work that it observes. Nothing is
                # awaited here, so a cancellation is its own, of a future that it looked at.
                _LOG.exception("an observer failed at %s", type(event).__name__)
        return taken
