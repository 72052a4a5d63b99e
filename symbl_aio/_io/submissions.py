"""Send submissions: start each when it has its turn and a slot, and settle it once.

``queue`` decides which submission starts and which ones end with it. Here the tasks run, bodies
are handed over, evidence of each sending is kept, and handles and observers get the outcome.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic

from attrs import evolve

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio._callback_checks import check_async
from symbl_aio._io.api import Accepted, Api, Full, UnsettledError
from symbl_aio._io.emit import Emitter
from symbl_aio._io.jobs import Jobs
from symbl_aio._io.queue import (
    Ended,
    PendingSubmission,
    SubmissionQueue,
    check_key,
    provisional_lane,
    without_conversation,
)
from symbl_aio._io.reconcile import AmbiguousSubmissions
from symbl_aio._io.sendfile import SendFile
from symbl_aio._io.single_use_body import Payload, once
from symbl_aio._io.tasks import Tasks
from symbl_aio._log import Log
from symbl_aio._media import upload_chunks
from symbl_aio._media.inspect import Prepared
from symbl_aio._protocol import encode
from symbl_aio._protocol.calls import check_id
from symbl_aio._protocol.webhook_calls import webhook_url
from symbl_aio._source_names import source_of
from symbl_aio._threads import Stalled
from symbl_aio.config import Config
from symbl_aio.errors import (
    ClientClosedError,
    ConfigurationError,
    SymblError,
    TransportError,
    UploadError,
)
from symbl_aio.events import (
    JobEnded,
    SubmissionAccepted,
    SubmissionEnded,
    SubmissionQueued,
    SubmissionRefused,
    SubmissionStarted,
)
from symbl_aio.job import HandleBackend, Job, Submission
from symbl_aio.media import Media, MediaLike, Text, check_options, coerce

_LOG = Log("symbl_aio")


class Submissions:
    """The submissions of one client, from the caller to their outcome.

    All of it runs on one event loop, and only ``_run`` awaits: between two of its awaits the
    queue is consistent.
    """

    def __init__(
        self,
        config: Config,
        api: Api,
        queue: SubmissionQueue,
        jobs: Jobs,
        ambiguous: AmbiguousSubmissions,
        tasks: Tasks,
        events: Emitter,
        *,
        backend: HandleBackend,
    ) -> None:
        self._config = config
        self._api = api
        self._queue = queue
        self._jobs = jobs
        self._ambiguous = ambiguous
        self._tasks = tasks
        self._emit = events.emit
        self._events = events
        self._backend = backend
        self._files = upload_chunks.file_threads(config.timeouts.stall)
        self._running = asyncio.Semaphore(upload_chunks.max_uploads())
        self._alarm: asyncio.TimerHandle | None = None

    # The caller's side

    def submit(
        self,
        media: MediaLike,
        options: symbl_aio.Options | None,
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
        conversation_id, lane = (None, None) if to is None else self._destination(to)
        given = key if options is None or options.name is None else options.name
        key = self._queue.new_key() if key is None else check_key(key)
        if (known := self._queue.known(key)) is not None:
            return known
        if lane is None:
            lane = provisional_lane(key)
        self._queue.check_lane(lane)
        source = None if isinstance(found, Text) else source_of(found, given)
        is_append = to is not None
        pending = PendingSubmission(
            key,
            source,
            Submission(key, conversation_id, backend=self._backend, source=source),
            found,
            options,
            is_append=is_append,
            name=None if is_append or options is None else options.name,
            nonce=secrets.token_urlsafe(16) if self._config.webhook_base_url else None,
            before_last_byte=before_last_byte,
        )
        if pending.name is not None:
            self._ambiguous.add_name(key, pending.name)
        self._queue.add(pending, lane)
        self._emit(SubmissionQueued, key, conversation_id, source)
        self.dispatch()
        return pending.submission

    def _destination(self, to: str | Submission | Job) -> tuple[str | None, str | None]:
        """Return conversation id and lane, as far as they are known yet."""
        if isinstance(to, (Submission, Job)) and to._backend is not self._backend:
            raise ConfigurationError(
                "conversation_id is a handle of another client; give the conversation's id"
            )
        if isinstance(to, Submission):
            if not to.done():
                return to.conversation_id, self._queue.lane_of(to.key)
            outcome = to._outcome()
            if isinstance(outcome, Job):
                to = outcome
            elif to.conversation_id is not None:
                to = to.conversation_id  # its lane knows whether it goes on after that failure
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
        """End a submission of which surely nothing was accepted. Returns whether it was one."""
        pending = self._pending_of(submission)
        if pending is None or pending.cancelled_by is not None:
            return False
        withdrawn = asyncio.CancelledError("the submission was withdrawn")
        if pending.task is not None:
            return pending.cancel(withdrawn)
        self._end(self._queue.discard(pending, withdrawn))
        self.dispatch()
        return True

    def cancel_unless_accepted(self, submission: Submission, reason: BaseException) -> None:
        """End a submission with ``reason``, unless the answer that is due accepts it."""
        if (pending := self._pending_of(submission)) is not None:
            pending.cancelled_by = pending.cancelled_by or reason
            if pending.payload is not None:
                pending.payload.revoke()

    def _pending_of(self, submission: Submission) -> PendingSubmission | None:
        pending = self._queue.pending.get(submission.key)
        # A key may be used again once its job has ended.
        return pending if pending is not None and pending.submission is submission else None

    def resume(self, conversation_id: str) -> None:
        """Accept appends to a halted conversation again."""
        self._queue.resume(conversation_id)
        self.dispatch()

    # Closing

    def refuse_new(self) -> None:
        """End all submissions that have not started, and start none any more."""
        self._end(self._queue.close())

    async def cancel_started(self) -> None:
        """Cancel the uploads under way, and settle each by how far it got."""
        closed = ClientClosedError("the client was closed before the submission was accepted")
        started = [p for p in self._queue.pending.values() if p.task is not None]
        for pending in started:
            if not pending.cancel(closed) and pending.task is not None:
                pending.task.cancel()
        if tasks := [pending.task for pending in started if pending.task is not None]:
            await asyncio.wait(tasks)
        self._cancel_alarm()

    def close(self) -> None:
        """End the threads that work with files, without waiting for a disk that hangs."""
        self._files.threads.shutdown()

    # Starting

    def dispatch(self) -> None:
        """Start the submissions that may start now. Called after every change to the queue."""
        queue = self._queue
        if self._alarm is not None:
            self._cancel_alarm()
        if queue.is_closed or not queue.lanes.waiting:
            return
        now = monotonic()
        if ended := queue.expire(now):
            self._end(ended)
        while queue.lanes.waiting and (pending := queue.start_next(now)) is not None:
            pending.task = self._tasks.start(
                self._run(pending),
                f"submission {pending.key}",
                pending.context,
                on_end=partial(self._task_ended, pending),
            )
        if queue.lanes.waiting and (at := queue.wakes_at()) is not None:
            self._cancel_alarm()  # of a submission that an observer made meanwhile
            delay = max(0.0, at - monotonic())
            self._alarm = self._tasks.loop.call_later(delay, self.dispatch)

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def _run(self, pending: PendingSubmission) -> None:
        """Send one submission and settle it: accepted, refused or ambiguous."""
        try:
            async with self._running:
                self._emit(SubmissionStarted, pending.key, pending.source)
                answer, duration = await self._send(pending)
        except UnsettledError as unsettled:
            self._end_ambiguous(pending, unsettled)
        except asyncio.CancelledError:
            # Withdrawn, or the client closes. It may have cut the wait for an answer short.
            gone = ClientClosedError("the client was closed before the answer came")
            self._end_broken(pending, gone, pending.cancelled_by or asyncio.CancelledError())
        except SymblError as error:
            if isinstance(error, UploadError):
                _add_source(error, pending.source)
            self._fail(pending, error)
        except Exception as error:
            # A mistake of this package.
            _LOG.warning("submission %s met an unexpected %s", pending.label, type(error).__name__)
            broken = TransportError(f"unexpected {type(error).__name__}", "maybe")
            self._end_broken(pending, broken, error)
        else:
            if isinstance(answer, Full):
                self._put_back(pending, answer)
            else:
                self._accept(pending, answer, duration)
        finally:
            pending.task = None
            self.dispatch()

    def _task_ended(self, pending: PendingSubmission, task: asyncio.Task[None]) -> None:
        """Forget the task; end a submission whose task was cancelled before its first step."""
        self._tasks.running.discard(task)
        if pending.task is task:
            pending.task = None
            self._fail(pending, pending.cancelled_by or asyncio.CancelledError())
            self.dispatch()

    # Sending

    async def _send(self, pending: PendingSubmission) -> tuple[Accepted | Full, float | None]:
        """Send a submission. Returns the server's answer, and the recording's seconds if known.

        Raises as ``Api.submit``, for media that cannot be sent, and ``asyncio.CancelledError``
        for a submission that was cancelled between two attempts.
        """
        # Cancelled by an observer of its start: the task would be cancelled at its first await
        # only, and a small body goes out before that.
        if pending.cancelled_by is not None:
            raise asyncio.CancelledError
        conversation_id = self._queue.lane_of(pending.key) if pending.is_append else None
        media = pending.media
        if isinstance(media, Text):  # no file, so neither threads nor retries of a disk
            prepared = Prepared(media)
        else:
            prepared = await self._api.patiently(partial(upload_chunks.prepare, media, self._files))
        call = encode.encode_submission(
            prepared.media,
            self._with_webhook(pending, prepared.media),
            conversation_id,
            content_type=prepared.content_type,
        )
        if conversation_id is not None:
            # From its first byte on, and not only once accepted, its words may be found there.
            self._ambiguous.sent.add(conversation_id, pending.identity, pending.text)
        report, confirm = pending.submission._report, pending.before_last_byte
        if prepared.size is None:
            data = call.body or b""
            payload = Payload(partial(once, data), len(data), report, confirm)
        else:
            kernel = SendFile()
            chunks = partial(upload_chunks.chunks, prepared, self._config.chunk_size, kernel.send)
            payload = Payload(chunks, prepared.size, report, confirm, kernel)
        pending.payload, pending.sent_at = payload, monotonic()
        one_shot = prepared.media.one_shot
        if one_shot:
            # Its first byte is its last chance: have everything else in hand before.
            await self._api.ready()
        return await self._api.submit(call, payload, repeatable=not one_shot), prepared.duration

    def _with_webhook(self, pending: PendingSubmission, media: Media) -> symbl_aio.Options | None:
        """Add the submission's own webhook URL, unless the caller has set one."""
        base_url, secret = self._config.webhook_base_url, self._config.webhook_secret
        if base_url is None or secret is None or pending.nonce is None:
            return pending.options
        from symbl_aio.options import MediaOptions, TextOptions

        options = pending.options or (TextOptions() if isinstance(media, Text) else MediaOptions())
        if options.is_given("webhook_url"):
            return options
        return evolve(options, webhook_url=webhook_url(base_url, secret, pending.nonce))

    async def _measure(self) -> None:
        """Read the sizes of waiting files, for the choice of the next probe."""
        for pending in list(self._queue.heads()):
            if pending.size is None and (path := pending.path) is not None:
                try:
                    pending.measured = await self._files.run(partial(os.path.getsize, path))
                except OSError:
                    pending.measured = 0  # it will fail at once, which costs nothing
                except (RuntimeError, MemoryError, Stalled):
                    return  # no thread, or a disk that does not answer: measured another time

    # Settling

    def _accept(
        self, pending: PendingSubmission, accepted: Accepted, duration: float | None
    ) -> None:
        conversation_id, job_id = accepted.conversation_id, accepted.job_id
        self._queue.accept(pending, job_id, conversation_id)
        self._events.changed.set()  # also where no event is emitted
        finished = self._ambiguous.accepted(pending, conversation_id, job_id)
        job = self._jobs.add(job_id, conversation_id, pending.source, duration)
        if self._events.is_active:
            self._emit(
                SubmissionAccepted,
                pending.key,
                conversation_id,
                job_id,
                job.token,
                pending.source,
            )
        self._jobs.start(job, finished=finished)
        pending.submission._settle(job)

    def _put_back(self, pending: PendingSubmission, full: Full) -> None:
        self._retract(pending)
        self._queue.refuse(pending, full.retry_after)
        # Before it waits again, so that an observer can still cancel it.
        self._emit(SubmissionRefused, pending.key, self._queue.slots.limit, pending.source)
        ended = self._queue.put_back(pending)
        if ended is not None:
            self._end(ended)
        else:
            self._tasks.start(self._measure(), "measuring what waits")

    def _fail(self, pending: PendingSubmission, error: BaseException) -> None:
        self._retract(pending)
        self._end(self._queue.fail(pending, error))

    def _retract(self, pending: PendingSubmission) -> None:
        """Forget the words of an append that surely was not accepted."""
        if pending.is_append and (lane := self._queue.lane_of(pending.key)) is not None:
            self._ambiguous.sent.withdraw(lane, pending.identity)

    def _end_broken(
        self, pending: PendingSubmission, cause: SymblError, error: BaseException
    ) -> None:
        """End a submission without an answer: ambiguous once all was handed over, else failed."""
        if pending.payload is not None and pending.payload.complete:
            self._end_ambiguous(pending, UnsettledError(cause, "maybe"))
        else:
            self._fail(pending, error)

    def _end_ambiguous(self, pending: PendingSubmission, unsettled: UnsettledError) -> None:
        lane = self._queue.lane_of(pending.key)
        error = self._ambiguous.error(pending, unsettled, lane)
        self._end(self._queue.end_ambiguous(pending, error))

    # After acceptance

    def on_unfinished(self, job: Job) -> None:
        """Use an answer that shows an attached job unfinished: the account allows as many."""
        if self._queue.slots.see(job.id):
            self.dispatch()

    def on_job_end(self, job: Job, error: SymblError | None) -> None:
        """Settle the handle of a job that ended, and use its slot for the next submission."""
        halted = self._queue.end_job(job.id, job.conversation_id, error)
        job._settle(error)
        taken = self._emit(JobEnded, job.id, job.conversation_id, error, job.source)
        if taken and job._outcome is not None:
            job._outcome.mark_retrieved()
        if halted:
            self._end(halted)
        self.dispatch()

    def _end(self, ended: Ended) -> None:
        for pending, error in ended:
            if pending.name is not None:
                self._ambiguous.forget_name(pending.key, pending.name)
            pending.submission._settle(error, expected=isinstance(error, ClientClosedError))
        # Once all are settled: an observer may append to any of them.
        for pending, error in ended:
            if self._emit(SubmissionEnded, pending.key, error, pending.source):
                pending.submission._job.mark_retrieved()


def _add_source(error: UploadError, source: str | None) -> None:
    # Of uploads alone: an error about the token is shared by all that waited for it.
    if source is not None and source not in str(error):
        error.args = (f"{source}: {error}", *error.args[1:])
