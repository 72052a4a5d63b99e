"""Bring submissions to the server: in order, within the account's limit, never twice.

``_core`` decides whose turn it is and how many may run; here they are carried out, and
each ``Submission`` is settled: accepted, refused, or of unknown outcome.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from itertools import islice
from time import monotonic
from typing import Any, Final

from attrs import evolve

from symbl_aio._core import wire
from symbl_aio._core.callbacks import webhook_url
from symbl_aio._core.endpoints import check_id
from symbl_aio._core.governor import Governor, Permission
from symbl_aio._core.lanes import Lanes
from symbl_aio._core.patience import Patience
from symbl_aio._io import sources
from symbl_aio._io.api import Accepted, Api, Full, UnsettledError
from symbl_aio._io.doubts import Doubt, Doubts
from symbl_aio._io.transport import Body, once
from symbl_aio._io.work import Work, known_size
from symbl_aio.config import Config
from symbl_aio.errors import (
    AmbiguousSubmissionError,
    AppendBlockedError,
    ClientClosedError,
    ConcurrencyLimitError,
    ConfigurationError,
    JobFailedError,
    QueueFullError,
    SymblError,
    TransportError,
)
from symbl_aio.events import (
    Event,
    SubmissionAccepted,
    SubmissionEnded,
    SubmissionQueued,
    SubmissionRefused,
    SubmissionStarted,
)
from symbl_aio.job import Acceptance, Desk, Job, Submission
from symbl_aio.media import Media, MediaLike, Text, check_options, coerce
from symbl_aio.options import MediaOptions, Options, TextOptions

_LOG = logging.getLogger("symbl_aio")
_HEADS_LOOKED_AT: Final = 64
"""How many waiting submissions are compared when the one that is cheapest to send is wanted."""


class Submissions:
    """The submissions of one client.

    ``accepted`` is called with what the server answered, the recording's seconds if known,
    and whether a webhook told already that the job ended; it gives the job to be followed.
    ``make_job`` gives the handle of a job that no submission owns, else ``None``. ``read``
    is for what only asks.

    Everything runs in one event loop, and nothing here waits but ``carry``; so between
    two awaits of that, what the lanes, the governor and the works say is one truth.
    """

    def __init__(
        self,
        config: Config,
        api: Api,
        *,
        desk: Desk,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        tell: Callable[[Event], None],
        accepted: Callable[[Accepted, float | None, bool], Job],
        make_job: Callable[[str, str | None], Job | None],
        read: Callable[[wire.Call], Awaitable[wire.Answer]],
    ) -> None:
        limits = config.limits
        self.governor = Governor(
            first=limits.jobs or limits.first_jobs, most=limits.jobs or limits.most_jobs
        )
        self._config = config
        self._api = api
        self._desk = desk
        self._spawn = spawn
        self._tell = tell
        self._accepted = accepted
        self._lanes = Lanes()
        self._works: dict[str, Work] = {}
        self._by_key: dict[str, Submission] = {}
        self._holders: dict[str, list[str]] = {}
        self._patience = Patience(config.limits.wait_for_slot)
        self._alarm: asyncio.TimerHandle | None = None
        self._closing = False
        self.doubts = Doubts(read, make_job, answer_within=config.timeouts.answer)

    # Taking

    @property
    def works(self) -> dict[str, Work]:
        """The submissions that are not settled, by key."""
        return self._works

    @property
    def halted(self) -> tuple[str, ...]:
        """The conversations whose appends are halted."""
        return tuple(self._lanes.halted())

    def submit(
        self,
        media: MediaLike,
        options: TextOptions | MediaOptions | None,
        *,
        key: str | None,
        to: str | Submission | Job | None = None,
    ) -> Submission:
        """Queue media for a new conversation, or to be added ``to`` one."""
        found = coerce(media)
        check_options(found, options)
        conversation_id, lane = self._destination(to)
        key = secrets.token_hex(16) if key is None else _check_key(key)
        if (known := self._by_key.get(key)) is not None:
            return known
        if len(self._lanes) >= self._config.limits.queued:
            raise QueueFullError(
                f"{len(self._lanes)} submissions are waiting (Limits.queued); "
                "await some of them, or use client.map, which takes no more than it can send"
            )
        lane = _first_lane(key) if lane is None else lane
        if (cause := self._lanes.halted_by(lane)) is not None:
            raise _blocked(cause)
        submission = Submission(key, conversation_id, desk=self._desk)
        work = Work(
            submission,
            found,
            options,
            is_append=to is not None,
            size=known_size(found),
            nonce=secrets.token_urlsafe(16) if self._config.webhook_base_url else None,
        )
        self._works[key], self._by_key[key] = work, submission
        self.doubts.note_name(key, work.name)
        self._lanes.add(lane, key)
        self._tell(SubmissionQueued(key, conversation_id))
        self.dispatch()
        return submission

    def _destination(self, to: str | Submission | Job | None) -> tuple[str | None, str | None]:
        """Give conversation id and lane, as far as they are known yet."""
        if to is None:
            return None, None
        if isinstance(to, Submission | Job) and to._desk is not self._desk:
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
                raise _without_conversation(outcome)
        if isinstance(to, Job):
            if to.conversation_id is None:
                raise ConfigurationError(
                    "conversation_id is a job whose conversation is not known; give the id itself"
                )
            self._desk.follow(to)
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
            return self._stop(work, withdrawn)
        lane = self._lanes.name_of(work.key)
        assert lane is not None
        self._lanes.discard(work.key)
        self._settle(work, withdrawn)
        self._after_failure(work, lane, withdrawn)
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

    def hold(self, job: Job, conversation_id: str) -> None:
        """Let the appends of a conversation wait for a job that was attached again."""
        if self._config.lanes.advance_on == "completed":
            holder = f"\n{job.id}"  # no caller's key has a line break
            self._lanes.hold(conversation_id, holder)
            self._holders.setdefault(job.id, []).append(holder)

    def job_ended(self, job: Job, error: SymblError | None) -> None:
        """Free the slot of a job, and let its lane move on or halt."""
        self.governor.end(job.id)
        for key in self._holders.pop(job.id, ()):
            self._by_key.pop(key, None)
            self._lanes.release(key)
        if not self._by_key:
            self._by_key.clear()
        if (
            isinstance(error, JobFailedError)
            and job.conversation_id is not None
            and self._config.lanes.on_failure == "halt"
        ):
            self._halt(job.conversation_id, error)

    # Closing

    def end_queued(self) -> None:
        """Take no more, and end what is queued: nothing of it was sent."""
        self._closing = True
        closed = ClientClosedError("the client was closed; nothing of this submission was sent")
        for work in [work for work in self._works.values() if work.task is None]:
            self._lanes.discard(work.key)
            self._settle(work, closed)

    async def end_started(self) -> None:
        """End what is on its way, and settle it by how far it got."""
        closed = ClientClosedError("the client was closed before the submission was accepted")
        started = [work for work in self._works.values() if work.task is not None]
        for work in started:
            if not self._stop(work, closed) and work.task is not None:
                work.task.cancel()
        if tasks := [work.task for work in started if work.task is not None]:
            await asyncio.wait(tasks)
        if self._alarm is not None:
            self._alarm.cancel()

    # Sending

    def dispatch(self) -> None:
        """Start whatever may start now. Called after everything that may have changed that."""
        if self._closing:
            return
        now = monotonic()
        self._end_patience(now)
        while len(self._lanes):
            permission = self.governor.may_start(now)
            if permission is Permission.NO or (work := self._choose(permission)) is None:
                break
            self._lanes.start(work.key)
            self.governor.start(work.key, now)
            self._patience.start(work.key)
            work.task = self._spawn(self._carry(work), f"submission {work.key}")
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
        lane = self._lanes.name_of(work.key)
        assert lane is not None
        self._lanes.discard(work.key)
        full = ConcurrencyLimitError(
            429,
            f"no job slot became free within Limits.wait_for_slot={self._patience.seconds} s",
            where=f"submission {work.key}",
        )
        self._settle(work, full)
        self._after_failure(work, lane, full)

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
        probe_at = self.governor.wakes_at()
        if probe_at is not None and next(self._lanes.ready(), None) is not None:
            times.append(probe_at)
        if times:
            delay = max(0.0, min(times) - monotonic())
            self._alarm = asyncio.get_running_loop().call_later(delay, self.dispatch)

    async def _carry(self, work: Work) -> None:
        """Bring one submission, whose turn it is, to an end: accepted, refused or unknown."""
        self._tell(SubmissionStarted(work.key))
        try:
            prepared = await sources.prepare(work.media)
            outcome = await self._send(work, prepared)
        except UnsettledError as unsettled:
            self._doubt(work, unsettled)
        except asyncio.CancelledError:
            # Withdrawn, or the client closes. It may have cut the wait for an answer short.
            if work.body is not None and work.body.complete:
                gone = ClientClosedError("the client was closed before the answer came")
                self._doubt(work, UnsettledError(gone, "maybe"))
            else:
                self._fail(work, work.ending or asyncio.CancelledError())
        except SymblError as error:
            self._fail(work, error)
        except Exception as error:
            # A caller's token provider may raise anything; so may a mistake of ours, and
            # that must not count as "nothing was accepted" once all was handed over.
            _LOG.warning("submission %s met an unexpected %s", work.key, type(error).__name__)
            if work.body is not None and work.body.complete:
                broken = TransportError(f"unexpected {type(error).__name__}", "maybe")
                self._doubt(work, UnsettledError(broken, "maybe"))
            else:
                self._fail(work, error)
        else:
            if isinstance(outcome, Full):
                self._put_back(work, outcome)
            else:
                self._accept(work, outcome, prepared.duration)
        finally:
            work.task = None
            self.dispatch()

    def _carried(self, work: Work, task: asyncio.Task[None]) -> None:
        """End a submission whose task was cancelled before its first step: none of it has run."""
        if work.task is task:
            work.task = None
            self._fail(work, work.ending or asyncio.CancelledError())
            self.dispatch()

    async def _send(self, work: Work, prepared: sources.Prepared) -> Accepted | Full:
        conversation_id = self._lanes.name_of(work.key) if work.is_append else None
        call = wire.encode_submission(
            prepared.media,
            self._with_webhook(work, prepared.media),
            conversation_id,
            content_type=prepared.content_type,
        )
        if conversation_id is not None:
            # From its first byte on, and not only once accepted, it may be what is found there.
            self.doubts.written.add(conversation_id, work.key, work.text)
        moved = work.submission._report

        def body() -> Body:
            if work.ending is not None:  # given up, and then refused: there is no other attempt
                raise asyncio.CancelledError
            if prepared.size is None:
                data = call.body or b""
                work.body = Body(once(data), len(data), moved)
            else:
                chunks = prepared.chunks(self._config.chunk_size)
                work.body = Body(chunks, prepared.size, moved)
            return work.body

        work.sent_at = monotonic()
        one_shot = prepared.media.one_shot
        if one_shot:
            # Its first byte is its last chance: have everything else in hand before.
            await self._api.ready()
        return await self._api.submit(call, body, repeatable=not one_shot)

    def _with_webhook(self, work: Work, media: Media) -> Options | None:
        """Add the submission's own webhook URL, unless the caller has set one."""
        base_url, secret = self._config.webhook_base_url, self._config.webhook_secret
        if base_url is None or secret is None or work.nonce is None:
            return work.options
        options = work.options or (TextOptions() if isinstance(media, Text) else MediaOptions())
        if options.webhook_url is not None:
            return options
        return evolve(options, webhook_url=webhook_url(base_url, secret, work.nonce))

    def _stop(self, work: Work, ending: BaseException) -> bool:
        """End a started submission; false, and nothing done, if the server may have it."""
        if work.task is None or (work.body is not None and not work.body.revoke()):
            return False
        # The first reason stays: whoever was told "withdrawn" is not told another.
        work.ending = work.ending or ending
        work.task.cancel()
        return True

    async def _measure(self) -> None:
        """Learn the sizes of waiting files, for the choice of the next probe."""
        for work in self._first_heads():
            if work.size is None and (path := work.path) is not None:
                try:
                    work.size = await asyncio.to_thread(os.path.getsize, path)
                except OSError:
                    work.size = 0  # it will fail at once, which costs nothing

    # Settling

    def _accept(self, work: Work, accepted: Accepted, duration: float | None) -> None:
        key, conversation_id = work.key, accepted.conversation_id
        more = len(self._lanes) > 0
        self.governor.accept(key, accepted.job_id, monotonic(), more_waiting=more)
        if work.is_append:
            self.doubts.written.add(conversation_id, key, work.text)
        else:
            self._lanes.rename(_first_lane(key), conversation_id)
            self.doubts.written.open(conversation_id, key, work.text)
            self.doubts.claim(conversation_id, work.name)
        if self._config.lanes.advance_on == "accepted":
            self._lanes.release(key)
        self._holders.setdefault(accepted.job_id, []).append(key)
        self._tell(SubmissionAccepted(key, conversation_id, accepted.job_id))
        ended = self.doubts.own(work.nonce, accepted.job_id)
        self._settle(work, self._accepted(accepted, duration, ended))

    def _put_back(self, work: Work, full: Full) -> None:
        """Let a submission wait that was refused for want of a slot."""
        work.body = None
        self._unwrite(work)
        self.governor.refuse(work.key, monotonic(), retry_after=full.retry_after)
        self._tell(SubmissionRefused(work.key, self.governor.limit))
        if work.ending is not None or self._closing:
            closed = ClientClosedError("the client was closed; the submission was refused")
            self._fail(work, work.ending or closed)
            return
        lane = self._lanes.name_of(work.key)
        if lane is not None and (cause := self._lanes.halted_by(lane)) is not None:
            self._fail(work, _blocked(cause))
            return
        self._lanes.put_back(work.key)
        self._spawn(self._measure(), "measuring what waits")

    def _fail(self, work: Work, error: BaseException) -> None:
        """End a started submission of which nothing was, or will be, accepted."""
        lane = self._lanes.name_of(work.key)
        assert lane is not None
        self._unwrite(work)
        self.governor.free(work.key)
        self._settle(work, error)
        self._after_failure(work, lane, error)
        self._lanes.release(work.key)

    def _unwrite(self, work: Work) -> None:
        if work.is_append and (lane := self._lanes.name_of(work.key)) is not None:
            self.doubts.written.withdraw(lane, work.key)

    def _after_failure(self, work: Work, lane: str, error: BaseException) -> None:
        """End what cannot come after a submission that failed, or must not."""
        if not work.is_append:
            self._clear(lane, error)
        elif self._config.lanes.on_failure == "halt" and isinstance(error, Exception):
            self._halt(lane, error)

    def _doubt(self, work: Work, unsettled: UnsettledError) -> None:
        """Perhaps it was accepted: whoever comes after it must not be sent."""
        lane = self._lanes.name_of(work.key)
        assert lane is not None
        doubt = self.doubts.open(
            work.key,
            conversation_id=lane if work.is_append else None,
            name=work.name,
            text=work.text,
            sent_at=work.sent_at,
            nonce=work.nonce,
        )
        error = AmbiguousSubmissionError(
            f"submission {work.key} was sent whole, and whether it was accepted is not known "
            f"({unsettled.cause}); it is not sent again, error.reconcile() looks for proof",
            key=work.key,
            reconcile=partial(self._reconcile, doubt),
            sent=unsettled.sent,
        )
        # Without its frames, which hold the whole body: callers and halted lanes keep the error.
        error.__cause__ = unsettled.cause.with_traceback(None)
        self.governor.free(work.key)
        self._settle(work, error)
        if work.is_append:
            self._halt(lane, error)
        else:
            self._clear(lane, error)
        self._lanes.release(work.key)

    async def _reconcile(self, doubt: Doubt) -> Acceptance:
        if self._closing:
            raise ClientClosedError(
                "the client was closed; look at the conversation with another one"
            )
        return await self.doubts.find_proof(doubt)

    def _halt(self, lane: str, cause: BaseException) -> None:
        for key in self._lanes.halt(lane, _without_frames(cause)):
            self._settle(self._works[key], _blocked(cause))

    def _clear(self, lane: str, cause: BaseException) -> None:
        for key in self._lanes.clear(lane):
            self._settle(self._works[key], _without_conversation(cause))

    def _settle(self, work: Work, outcome: Job | BaseException) -> None:
        del self._works[work.key]
        if not self._works:
            self._works.clear()  # an empty dict keeps the room of its fullest hour
        self._patience.forget(work.key)
        self.doubts.forget_name(work.key, work.name)
        if not isinstance(outcome, Job):
            self._by_key.pop(work.key, None)
            self._tell(SubmissionEnded(work.key, outcome))
        work.submission._settle(outcome, expected=isinstance(outcome, ClientClosedError))


def _check_key(key: object) -> str:
    if not isinstance(key, str) or not key.strip() or not key.isprintable():
        raise ConfigurationError(f"key is {key!r}; give a non-empty printable string")
    return key


def _first_lane(key: str) -> str:
    # A lane without a conversation yet. No id has a line break, so none is equal to it.
    return f"\n{key}"


def _blocked(cause: BaseException) -> AppendBlockedError:
    return AppendBlockedError(
        "nothing was sent: an earlier submission of this conversation ended with "
        f"{type(cause).__name__}; settle that, then conversation.resume_appends()",
        cause,
    )


def _without_frames(error: BaseException) -> BaseException:
    """Give another one of the same content, which no traceback ties to its callers' variables."""
    kept = type(error).__new__(type(error), *error.args)
    kept.__dict__.update(error.__dict__)
    kept.__cause__ = error.__cause__
    return kept


def _without_conversation(cause: BaseException) -> AppendBlockedError:
    return AppendBlockedError(
        "nothing was sent: the submission that was to open the conversation ended with "
        f"{type(cause).__name__}; settle that, then submit both again",
        cause,
    )
