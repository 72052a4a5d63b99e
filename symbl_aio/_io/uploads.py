"""Take submissions, and start each when it is its turn and there is a slot.

``_core`` decides whose turn it is and how many may run; here that is carried out.
``sending`` sends one, and ``settling`` says what came of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from functools import partial
from itertools import islice
from time import monotonic
from typing import Any, Final

from symbl_aio._callbacks import check_async
from symbl_aio._core.slots import Permission
from symbl_aio._fields import is_word
from symbl_aio._io.api import Full, UnsettledError
from symbl_aio._io.queue import Settling, blocked, first_lane, without_conversation
from symbl_aio._io.sending import Sending, most_uploads
from symbl_aio._io.work import Work, known_size
from symbl_aio._naming import naming
from symbl_aio._protocol.calls import check_id
from symbl_aio._threads import Stalled
from symbl_aio.config import Config
from symbl_aio.errors import (
    ClientClosedError,
    ConcurrencyLimitError,
    ConfigurationError,
    QueueFullError,
    SymblError,
    TransportError,
    UploadError,
)
from symbl_aio.events import Event, SubmissionStarted
from symbl_aio.job import HandleBackend, Job, Submission
from symbl_aio.media import MediaLike, check_options, coerce
from symbl_aio.options import MediaOptions, TextOptions

_LOG = logging.getLogger("symbl_aio")
_HEADS_LOOKED_AT: Final = 64
"""How many waiting submissions are compared when the one that is cheapest to send is wanted."""


class Submissions:
    """The submissions of one client, from the queue to their end.

    Everything runs in one event loop, and nothing here waits but ``carry``; so between
    two awaits of that, what the lanes, the governor and the works say is one truth.
    """

    def __init__(
        self,
        config: Config,
        sending: Sending,
        settling: Settling,
        *,
        backend: HandleBackend,
        spawn: Callable[[Coroutine[Any, Any, None], str, Context | None], asyncio.Task[None]],
        tell: Callable[[Event], object],
    ) -> None:
        self._config = config
        self._sending = sending
        self._settling = settling
        self._lanes = settling.lanes
        self._governor = settling.governor
        self._patience = settling.patience
        self._works = settling.works
        self._backend = backend
        self._spawn = spawn
        self._tell = tell
        self._alarm: asyncio.TimerHandle | None = None
        self._handles = asyncio.Semaphore(most_uploads())

    # Taking

    def submit(
        self,
        media: MediaLike,
        options: TextOptions | MediaOptions | None,
        *,
        key: str | None,
        to: str | Submission | Job | None = None,
        before_last_byte: Callable[[], Awaitable[None]] | None = None,
    ) -> Submission:
        """Queue media for a new conversation, or to be added ``to`` one."""
        found = coerce(media)
        check_options(found, options)
        if before_last_byte is not None:
            check_async("before_last_byte", before_last_byte)
        conversation_id, lane = self._destination(to)
        given = key if options is None or options.name is None else options.name
        key = secrets.token_hex(16) if key is None else _check_key(key)
        if (known := self._settling.known(key)) is not None:
            return known
        if len(self._lanes) >= self._config.limits.queued:
            raise QueueFullError(
                f"{len(self._lanes)} submissions are waiting (Limits.queued); "
                "await some of them, or use client.map, which takes no more than it can send"
            )
        lane = first_lane(key) if lane is None else lane
        if (cause := self._lanes.halted_by(lane)) is not None:
            raise blocked(cause)
        submission = Submission(
            key, conversation_id, backend=self._backend, named=naming(found, given)
        )
        work = Work(
            submission,
            found,
            options,
            is_append=to is not None,
            confirm=before_last_byte,
            size=known_size(found),
            nonce=secrets.token_urlsafe(16) if self._config.webhook_base_url else None,
        )
        self._settling.take(work, lane)
        self.dispatch()
        return submission

    def _destination(self, to: str | Submission | Job | None) -> tuple[str | None, str | None]:
        """Give conversation id and lane, as far as they are known yet."""
        if to is None:
            return None, None
        if isinstance(to, Submission | Job) and to._backend is not self._backend:
            raise ConfigurationError(
                "conversation_id is a handle of another client; give the conversation's id"
            )
        if isinstance(to, Submission):
            if not to.done():
                return to.conversation_id, self._lanes.name_of(to.key)
            outcome = to._outcome()
            if isinstance(outcome, Job):
                to = outcome
            elif to.conversation_id is not None:
                to = to.conversation_id  # whose lane knows whether it goes on after that
            else:
                raise without_conversation(outcome)
        if isinstance(to, Job):
            if to.conversation_id is None:
                raise ConfigurationError(
                    "conversation_id is a job whose conversation is not known; give the id itself"
                )
            self._backend.follow(to)
            to = to.conversation_id
        check_id("conversation_id", to)
        return to, to

    def withdraw(self, submission: Submission) -> bool:
        """End a submission if surely nothing was accepted of it, and say whether it was."""
        work = self._works.get(submission.key)
        if work is None or work.submission is not submission or work.ending is not None:
            return False
        withdrawn = asyncio.CancelledError("the submission was withdrawn")
        if work.task is not None:
            return work.stop(withdrawn)
        self._settling.drop(work, withdrawn)
        self.dispatch()
        return True

    def give_up(self, submission: Submission, ending: BaseException) -> None:
        """End a submission that cannot be withdrawn, unless the answer that is due accepts it."""
        work = self._works.get(submission.key)
        if work is not None and work.submission is submission:
            work.ending = work.ending or ending

    def resume(self, conversation_id: str) -> None:
        """Take appends to a halted conversation again."""
        self._lanes.resume(conversation_id)
        self.dispatch()

    # Closing

    async def end_started(self) -> None:
        """End what is on its way, and settle it by how far it got."""
        closed = ClientClosedError("the client was closed before the submission was accepted")
        started = [work for work in self._works.values() if work.task is not None]
        for work in started:
            if not work.stop(closed) and work.task is not None:
                work.task.cancel()
        if tasks := [work.task for work in started if work.task is not None]:
            await asyncio.wait(tasks)
        if self._alarm is not None:
            self._alarm.cancel()

    def close(self) -> None:
        """End the threads that work with files, without waiting for a disk that hangs."""
        self._sending.files.threads.shutdown()

    # Sending

    def dispatch(self) -> None:
        """Start whatever may start now. Called after everything that may have changed that."""
        if self._settling.closing:
            return
        now = monotonic()
        self._end_patience(now)
        while len(self._lanes):
            permission = self._governor.may_start(now)
            if permission is Permission.NO or (work := self._choose(permission)) is None:
                break
            self._lanes.start(work.key)
            self._governor.start(work.key, now)
            self._patience.start(work.key)
            work.task = self._spawn(self._carry(work), f"submission {work.key}", work.context)
            work.task.add_done_callback(partial(self._carried, work))
        self._set_alarm()

    def _choose(self, permission: Permission) -> Work | None:
        if permission is Permission.YES:
            key = next(self._lanes.ready(), None)
            return None if key is None else self._works[key]
        # It may be refused, so let it be the one that costs least to send.
        return min(
            self._first_heads(),
            key=lambda work: float("inf") if work.size is None else work.size,
            default=None,
        )

    def _first_heads(self) -> list[Work]:
        return [self._works[key] for key in islice(self._lanes.ready(), _HEADS_LOOKED_AT)]

    def _end_patience(self, now: float) -> None:
        """Fail those that have waited for a slot longer than the caller allows."""
        while True:
            newly_ready, self._lanes.newly_ready = self._lanes.newly_ready, []
            for key in newly_ready:
                if key in self._works:
                    self._patience.wait(key, now)
            if not (late := self._patience.over(now)):
                return
            for key in late:  # and then whoever stood behind it is ready, and looked at
                self._give_up_waiting(self._works[key])

    def _give_up_waiting(self, work: Work) -> None:
        full = ConcurrencyLimitError(
            429,
            f"no job slot became free within Limits.wait_for_slot={self._patience.seconds} s",
            where=f"submission {work.label}",
        )
        self._settling.drop(work, full)

    def _set_alarm(self) -> None:
        """Come back when time alone will let somebody start, or run out of patience."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if not len(self._lanes):
            return
        times = []
        if (patience_ends_at := self._patience.next_at()) is not None:
            times.append(patience_ends_at)
        # A probe needs somebody who may start it; else the next event calls, not the clock.
        probe_at = self._governor.wakes_at()
        if probe_at is not None and next(self._lanes.ready(), None) is not None:
            times.append(probe_at)
        if times:
            delay = max(0.0, min(times) - monotonic())
            self._alarm = asyncio.get_running_loop().call_later(delay, self.dispatch)

    async def _carry(self, work: Work) -> None:
        """Bring one submission, whose turn it is, to an end: accepted, refused or unknown."""
        try:
            async with self._handles:
                self._tell(SubmissionStarted(work.key, work.source))
                conversation_id = self._lanes.name_of(work.key) if work.is_append else None
                outcome, duration = await self._sending.send(work, conversation_id)
        except UnsettledError as unsettled:
            self._settling.doubt(work, unsettled)
        except asyncio.CancelledError:
            # Withdrawn, or the client closes. It may have cut the wait for an answer short.
            if work.body is not None and work.body.complete:
                gone = ClientClosedError("the client was closed before the answer came")
                self._settling.doubt(work, UnsettledError(gone, "maybe"))
            else:
                self._settling.fail(work, work.ending or asyncio.CancelledError())
        except SymblError as error:
            if isinstance(error, UploadError):
                _add_source(error, work.source)
            self._settling.fail(work, error)
        except Exception as error:
            # A mistake of ours, which must not count as "nothing was accepted" once all was
            # handed over.
            _LOG.warning("submission %s met an unexpected %s", work.label, type(error).__name__)
            if work.body is not None and work.body.complete:
                broken = TransportError(f"unexpected {type(error).__name__}", "maybe")
                self._settling.doubt(work, UnsettledError(broken, "maybe"))
            else:
                self._settling.fail(work, error)
        else:
            if not isinstance(outcome, Full):
                self._settling.accept(work, outcome, duration)
            elif self._settling.put_back(work, outcome):
                self._spawn(self._measure(), "measuring what waits", None)
        finally:
            work.task = None
            self.dispatch()

    def _carried(self, work: Work, task: asyncio.Task[None]) -> None:
        """End a submission whose task was cancelled before its first step: none of it has run."""
        if work.task is task:
            work.task = None
            self._settling.fail(work, work.ending or asyncio.CancelledError())
            self.dispatch()

    async def _measure(self) -> None:
        """Learn the sizes of waiting files, for the choice of the next probe."""
        for work in self._first_heads():
            if work.size is None and (path := work.path) is not None:
                try:
                    work.size = await self._sending.files.run(partial(os.path.getsize, path))
                except OSError:
                    work.size = 0  # it will fail at once, which costs nothing
                except (RuntimeError, MemoryError, Stalled):
                    return  # no thread, or a disk that does not answer: measured another time


def _add_source(error: UploadError, source: str | None) -> None:
    # Of uploads alone: an error about the token is shared by all that waited for it.
    if source is not None and source not in str(error):
        error.args = (f"{source}: {error}", *error.args[1:])


def _check_key(key: object) -> str:
    if not is_word(key):
        raise ConfigurationError(
            f"key is {key!r}; give a non-empty string without control characters or line breaks"
        )
    return key
