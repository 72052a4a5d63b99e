"""The steps of an item's attempt: send it, reconcile it, follow its job."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, Literal, NamedTuple, NoReturn, TypeAlias

from sqlalchemy.exc import SQLAlchemyError

from symbl_aio import (
    AmbiguousSubmissionError,
    AuthenticationError,
    ClientClosedError,
    Event,
    FileUnavailableError,
    ItemEnded,
    Job,
    JobFailedError,
    JobLostError,
    NotFoundError,
    SymblClient,
    SymblError,
)
from symbl_aio._callback_checks import ends_program
from symbl_aio._log import Log
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.faults import passes
from symbl_aio.durable._database.tables import Row
from symbl_aio.durable._store.attempt_records import SUPERSEDED, AttemptRecords, Ended
from symbl_aio.durable._store.heads import block_reason
from symbl_aio.durable.content import Content
from symbl_aio.durable.dispatch import Dispatcher
from symbl_aio.durable.heartbeat import Heartbeat
from symbl_aio.durable.items import Attempt, ItemState
from symbl_aio.durable.reconcile import Evidence, Reconciler
from symbl_aio.durable.sender import CHECKPOINT, NotAcceptedError, Sender

OnAmbiguous: TypeAlias = Literal["at_most_once", "at_least_once"]
"""Treatment of an item without evidence whether it was accepted."""
ItemObserver: TypeAlias = Callable[[Event | ItemEnded], None]
"""Called in the worker's own event loop for each event, so it must not block."""

_LOG = Log("symbl_aio.durable")

_MAX_IN_DOUBT: Final = 3600.0
"""Seconds after which reconciling ends, although the server never answered."""
MAX_CRASHES: Final = 10
"""Crashes of workers with an unaccepted item, after which the item counts as their cause."""
_MAX_RESENT: Final = 10
_ACCEPTED: Final = frozenset(
    state.value for state in (ItemState.ACCEPTED, ItemState.COMPLETED, ItemState.LOST)
)
"""States of an item of whose acceptance there is evidence."""


class StepResult(NamedTuple):
    """Result of a step."""

    state: str
    """An ``ItemState``'s value, ``unsent``, ``in_doubt``, ``postponed``, or ``SUPERSEDED``."""
    has_webhook: bool = False
    """Whether the server has a webhook URL of ours for the item."""
    was_accepted: bool = False
    """Whether the item was accepted before the step."""


class ItemSteps:
    """The steps of attempts in one worker. None of them raises, and each may run twice.

    ``reconcile_interval``: seconds between two searches for evidence. ``ambiguity_timeout``:
    seconds after the sending at which the search is the last one. ``webhook_timeout``: seconds
    that a webhook call is waited for, before the job is polled.
    """

    backoff: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    """Seconds between local retries of a step, after which the item is requeued."""

    def __init__(
        self,
        database: Database,
        client: SymblClient,
        heartbeat: Heartbeat,
        dispatcher: Dispatcher,
        worker: str,
        *,
        on_ambiguous: OnAmbiguous,
        reconcile_interval: float,
        ambiguity_timeout: float,
        webhook_timeout: float,
    ) -> None:
        self.observers: Sequence[ItemObserver] = ()
        """Called with the end of each item."""
        self.reconcile_interval = reconcile_interval
        self.webhook_timeout = webhook_timeout
        self._database = database
        self._records = AttemptRecords(database, worker)
        self._reconciler = Reconciler(database, self._records, client)
        self._sender = Sender(database, self._records, client, heartbeat, worker)
        self._heartbeat = heartbeat
        self._dispatcher = dispatcher
        self._jobs: dict[Attempt, Job] = {}
        """Jobs of attempts that were accepted here, until they are used."""
        self._on_ambiguous: OnAmbiguous = on_ambiguous
        self._ambiguity_timeout = ambiguity_timeout

    def forget(self, attempt: Attempt) -> None:
        """Forget what is known about an attempt that ended here."""
        self._dispatcher.rows.pop(attempt, None)
        self._jobs.pop(attempt, None)
        self._sender.outage.sought(attempt, found=False)

    async def _run(
        self,
        attempt: Attempt,
        step: Callable[[], Awaitable[StepResult]],
        *,
        on_fault: str = "postponed",
    ) -> StepResult:
        """Run a step unless the item has ended. An unforeseen exception ends the item.

        ``on_fault``: the state to return for a local fault, which passes.
        """
        try:
            return await step()
        except _HasEndedError as ended:
            return StepResult(ended.state)
        except Exception as error:
            if passes(error):
                _LOG.warning("item %s waits: %s", attempt.key, error)
                return StepResult(on_fault)
            _LOG.exception("item %s failed in an unforeseen way", attempt.key)
            return await self._abandon(attempt, f"{type(error).__name__}, which was not foreseen")

    async def _read(self, attempt: Attempt) -> Row:
        """Return an item as it is now. Raises ``_HasEndedError``."""
        row = await self._heartbeat.call(partial(self._records.read, attempt))
        if row is None:
            raise _HasEndedError(SUPERSEDED)
        if ItemState(row.state).is_ending:
            raise _HasEndedError(row.state)
        return row

    async def _run_with_retries(
        self,
        attempt: Attempt,
        step: Callable[[], Awaitable[StepResult]],
        *,
        sends: bool = False,
    ) -> StepResult:
        """Run a step with local retries; when exhausted, requeue the item for another worker."""
        for pause in self.backoff:
            if sends:
                await self._heartbeat.wait_until_may_send()
            result = await self._run(attempt, step)
            if result.state != "postponed":
                return result
            await asyncio.sleep(pause)
        _LOG.warning("item %s makes no progress here, and is requeued", attempt.key)
        await self._heartbeat.requeue(attempt)
        # Without a result: DBOS records none, and another worker runs the attempt.
        raise asyncio.CancelledError

    # Send

    async def send(self, attempt: Attempt) -> StepResult:
        """Send an item, unless it may have been sent before or must not be."""
        return await self._run_with_retries(attempt, partial(self._send, attempt), sends=True)

    async def _send(self, attempt: Attempt) -> StepResult:
        row = self._dispatcher.rows.pop(attempt, None) or await self._read(attempt)
        content = Content(row.content)
        webhook = self._sender.webhook_of(row, content)
        has_webhook = webhook is not None
        if row.job_id is not None:
            return StepResult("accepted", has_webhook, was_accepted=True)
        if row.sent_by is not None:
            return StepResult("in_doubt", has_webhook)
        if row.deaths >= MAX_CRASHES:
            return await self._abandon(attempt, f"{row.deaths} workers died while they had it")
        if block_reason(row.opens, row.target, row.halted_by) is not None:
            blocked = await self._heartbeat.call(partial(self._records.record_blocked, attempt))
            self._dispatcher.slot_freed()
            return StepResult(blocked or "unsent")
        if row.maybe_sent_since is not None:
            await self._heartbeat.call(partial(self._records.record_restored, attempt))
            return StepResult("in_doubt", has_webhook)
        try:
            why = await content.check_file()
        except FileUnavailableError as error:
            _LOG.warning("item %s waits: %s", attempt.key, error)
            return StepResult("postponed")
        if why is not None:
            return await self._end(attempt, ItemState.REFUSED, why)
        try:
            job = await self._sender.send(attempt, row, content, webhook)
        except AmbiguousSubmissionError as error:
            # Its own text is for callers of the client: an operator has no error.reconcile().
            _LOG.warning("item %s is in doubt: %s", attempt.key, error.__cause__ or error)
            return StepResult("in_doubt", has_webhook)
        except ClientClosedError:
            await _park_until_exit()
        except NotAcceptedError as error:
            if error.is_final:
                return await self._end(attempt, ItemState.REFUSED, str(error))
            _LOG.warning("item %s waits: %s", attempt.key, error)
            return StepResult("postponed")
        self._jobs[attempt] = job
        sys.audit(CHECKPOINT, "answered")
        state = await self._accept(attempt, row, job.id, job.conversation_id)
        sys.audit(CHECKPOINT, "accepted")
        return StepResult(state, has_webhook)

    # Reconcile

    async def reconcile(self, attempt: Attempt, resent: int) -> StepResult:
        """Look for evidence of acceptance. ``resent``: times that the item was sent again."""
        step = partial(self._reconcile, attempt, resent)
        result = await self._run(attempt, step, on_fault="in_doubt")
        if result.state != "in_doubt":
            self._sender.outage.sought(attempt, found=result.state in _ACCEPTED)
        return result

    async def _reconcile(self, attempt: Attempt, resent: int) -> StepResult:
        row = await self._read(attempt)
        content = Content(row.content)
        has_webhook = self._sender.webhook_of(row, content) is not None
        if row.job_id is not None:
            return StepResult("accepted", has_webhook)
        if row.sent_by is None:
            return StepResult("unsent")  # the sender found out that nothing was accepted
        reported = await self._heartbeat.call(partial(self._records.mark_in_doubt, attempt))
        try:
            found = await self._reconciler.find(row, content, reported)
        except ClientClosedError:
            await _park_until_exit()
        except SQLAlchemyError as error:
            if not passes(error):
                raise
            self._database.report("the search for evidence", error)
            return StepResult("in_doubt", has_webhook)
        except SymblError as error:
            _LOG.warning("item %s stays in doubt: %s", attempt.key, error)
            if row.waited < max(self._ambiguity_timeout, _MAX_IN_DOUBT):
                return StepResult("in_doubt", has_webhook)
            why = f"it was sent whole, and the server cannot be asked ({error})"
            return await self._end(attempt, ItemState.AMBIGUOUS, why)
        is_last = row.waited >= self._ambiguity_timeout
        # A name alone may be that of a conversation whose job fails: wait for its content.
        if found is not None and (found.kind != "name" or is_last):
            return await self._record_evidence(attempt, row, found, has_webhook)
        if row.deaths >= MAX_CRASHES:
            return await self._abandon(attempt, f"{row.deaths} workers died while they had it")
        if not is_last:
            return StepResult("in_doubt", has_webhook)
        if self._on_ambiguous == "at_least_once" and resent < _MAX_RESENT:
            await self._heartbeat.call(partial(self._records.clear_intent, attempt))
            return StepResult("unsent")
        why = "it was sent whole, and nothing tells whether it was accepted"
        return await self._end(attempt, ItemState.AMBIGUOUS, why)

    async def _record_evidence(
        self, attempt: Attempt, row: Row, found: Evidence, has_webhook: bool
    ) -> StepResult:
        state = await self._accept(attempt, row, found.job_id, found.conversation_id)
        if found.job_id is not None or state != ItemState.ACCEPTED.value:
            return StepResult(state, has_webhook)
        if found.kind == "content":
            return await self._end(attempt, ItemState.COMPLETED, None)
        why = "it was accepted, and nothing tells what became of its job"
        return await self._end(attempt, ItemState.LOST, why)

    # Follow

    async def follow(self, attempt: Attempt, has_webhook: bool) -> StepResult:
        """Follow a job to its end; with a webhook, poll it once."""
        return await self._run_with_retries(attempt, partial(self._follow, attempt, has_webhook))

    async def _follow(self, attempt: Attempt, has_webhook: bool) -> StepResult:
        # Used once: after an error another handle polls anew. The item of a job that is known
        # here is not read: its end is recorded only if it has not ended by other means.
        job = self._jobs.pop(attempt, None)
        if job is None:
            row = await self._read(attempt)
            job = self._sender.client.job(row.job_id, row.conversation_id)
        sys.audit(CHECKPOINT, "following")
        try:
            # With a webhook one poll is enough: the call wakes the workflow.
            if has_webhook and not await _has_ended(job):
                await self._read(attempt)  # an operator may have ended the item
                self._jobs[attempt] = job
                return StepResult("accepted", has_webhook)
            await job
        except JobFailedError as error:
            result = await self._end(attempt, ItemState.FAILED, str(error))
        except (JobLostError, NotFoundError) as error:
            if isinstance(error.__cause__, AuthenticationError):  # of this worker's credentials
                return StepResult("postponed")
            # A server may take a moment until it knows a job that it has just accepted.
            if isinstance(error, NotFoundError) and await self._is_new(attempt):
                return StepResult("accepted", has_webhook)
            result = await self._end(attempt, ItemState.LOST, str(error))
        except ClientClosedError:
            await _park_until_exit()
        except SymblError as error:
            _LOG.warning("the job of item %s was not answered for: %s", attempt.key, error)
            return StepResult("postponed")
        else:
            result = await self._end(attempt, ItemState.COMPLETED, None)
        sys.audit(CHECKPOINT, "ended")
        return result

    async def _is_new(self, attempt: Attempt) -> bool:
        grace = self._sender.client.config.polls.not_found_grace
        age: float = (await self._read(attempt)).age
        return age < grace

    # Records

    async def _accept(
        self, attempt: Attempt, row: Row, job_id: str | None, conversation_id: str | None
    ) -> str:
        record = partial(self._records.record_accepted, opens=row.opens)
        state = await self._heartbeat.call(partial(record, attempt, job_id, conversation_id))
        if state != ItemState.ACCEPTED.value:
            _LOG.warning(
                "item %s is %s, and was accepted: conversation %s, job %s",
                attempt.key, state, conversation_id, job_id,
            )  # fmt: skip
        return state

    async def _end(self, attempt: Attempt, state: ItemState, why: str | None) -> StepResult:
        ended = await self._heartbeat.call(partial(self._record_end, attempt, state, why))
        if ended.item is None:
            self._dispatcher.slot_freed()
            return StepResult(SUPERSEDED)
        if ended.item.state == state.value and state is not ItemState.COMPLETED:
            _LOG.warning("item %s is %s: %s", attempt.key, state.value, why)
        # Before the next item starts, whose events come later.
        if self.observers:
            _emit(self.observers, ended.item)
        if ended.following is None:
            self._dispatcher.slot_freed()
        else:
            self._dispatcher.slot_passed(ended.following)
        return StepResult(ended.item.state)

    def _record_end(self, attempt: Attempt, state: ItemState, why: str | None) -> Ended:
        ended = self._records.record_end(attempt, state, why, self._dispatcher.running)
        if ended.following is not None:
            self._dispatcher.expect([ended.following])
        return ended

    async def _abandon(self, attempt: Attempt, why: str) -> StepResult:
        """End an item that cannot continue, in the state that its records prove."""
        row = await self._heartbeat.call(partial(self._records.read, attempt))
        if row is None:
            return StepResult(SUPERSEDED)
        if row.job_id is not None:
            return await self._end(attempt, ItemState.LOST, f"its job was not followed: {why}")
        if row.sent_by is not None:
            why = f"it may have been accepted: {why}"
            return await self._end(attempt, ItemState.AMBIGUOUS, why)
        return await self._end(attempt, ItemState.REFUSED, f"nothing of it was accepted: {why}")


class _HasEndedError(Exception):
    """The item has ended in this state, or the attempt is superseded: there is nothing to do."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


async def _has_ended(job: Job) -> bool:
    """Poll a job once, and return whether it has ended; awaiting it yields how."""
    try:
        await job.refresh()
    except SymblError:
        if not job.done():
            raise
    return job.done()


async def _park_until_exit() -> NoReturn:
    """Wait until this process stops: the next worker continues from the records."""
    await asyncio.Event().wait()
    raise AssertionError("the event is never set")


def _emit(observers: Sequence[ItemObserver], row: Any) -> None:
    """Call the observers with the end of an item. An exception is logged, and has no effect."""
    event = ItemEnded(
        key=row.key,
        conversation=row.conversation,
        state=row.state,
        job_id=row.job_id,
        conversation_id=row.conversation_id,
        error=row.error,
        queued_at=row.queued_at,
        accepted_at=row.accepted_at,
        ended_at=row.ended_at,
        traceparent=row.traceparent,
    )
    for observer in observers:
        try:
            observer(event)
        except BaseException as error:
            if ends_program(error):
                raise
            _LOG.exception("an observer failed")
