"""The client as its live handles use it: connections, tasks, and calls that are sent once."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from symbl_aio._io.api import Api, UnsettledError
from symbl_aio._io.reconcile import AmbiguousSubmissions
from symbl_aio._io.tasks import Tasks
from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.calls import Call
from symbl_aio._shared_futures import result_of
from symbl_aio.config import Config
from symbl_aio.errors import AmbiguousSubmissionError, ClientClosedError, DecodeError
from symbl_aio.job import HandleBackend

T = TypeVar("T")


class LiveBackend:
    """One client, for its streams, subscriptions and calls. Its tasks end with it."""

    def __init__(
        self,
        handles: HandleBackend,
        api: Api,
        tasks: Tasks,
        config: Config,
        ambiguous: AmbiguousSubmissions,
        *,
        jitter: Callable[[], float],
    ) -> None:
        self.tasks = tasks
        self.config = config
        self.jitter = jitter
        self.connect = api.websocket
        self.redacted = api.redacted
        self.ready = api.ready
        self.check_open = handles.check_open
        self.call = handles.call
        self.conversation = handles.conversation
        self._api = api
        self._ambiguous = ambiguous

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start a task of the client, which goes on if its caller is cancelled."""
        task = self.tasks.start(work, name)
        # Retrieved, or asyncio logs it where the caller was cancelled, or has left.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return task

    async def result(self, task: asyncio.Task[T], *, closed: str) -> T:
        """Return the result of such a task. Cancelling this wait does not cancel it.

        Raises ``ClientClosedError`` with the text ``closed`` if the client closes first.
        """
        try:
            return await result_of(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and caller is not None and not caller.cancelling():
                raise ClientClosedError(closed) from None
            raise

    async def start_once(
        self, call: Call, read: Callable[[Answer], T], *, what: str, name: str | None
    ) -> T:
        """Send a call that starts something, and return what ``read`` finds in its answer.

        ``name``: of the conversation that it opens. Raises ``AmbiguousSubmissionError`` if the
        server may have started it, or if its answer cannot be read.
        """
        key, sent_at = uuid.uuid4().hex, time.monotonic()
        if name is not None:
            self._ambiguous.add_name(key, name)
        try:
            answer = await self._api.call_once(call)
            try:
                return read(answer)
            except DecodeError as error:
                raise UnsettledError(error, "yes") from error
        except UnsettledError as unsettled:
            ambiguous = self._ambiguous.open(
                key, conversation_id=None, name=name, text=None, sent_at=sent_at, nonce=None
            )
            failure = AmbiguousSubmissionError(
                f"{what} was sent whole, and whether it was accepted is not known "
                f"({unsettled.cause}); it is not sent again, error.reconcile() looks for proof",
                key=key,
                reconcile=partial(self._ambiguous.reconcile, ambiguous),
                sent=unsettled.sent,
            )
            failure.__cause__ = unsettled.cause.with_traceback(None)
        finally:
            if name is not None:
                self._ambiguous.forget_name(key, name)
        raise failure
