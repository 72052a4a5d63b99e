"""What a worker does for one item: send it once, find out what became of it, follow its job.

Before the last byte goes out it is noted who sends (``Records.note``). A crash before the
note proves that nothing was accepted; after it, only evidence tells: a webhook call, the
conversation's own content, the name that only this item can have given (``proof``).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Literal, NoReturn, TypeAlias, TypedDict, TypeVar

from attrs import evolve
from sqlalchemy.exc import SQLAlchemyError

from symbl_aio import (
    AmbiguousSubmissionError,
    AppendBlockedError,
    AuthenticationError,
    ClientClosedError,
    ConcurrencyLimitError,
    FileChangedError,
    FileUnavailableError,
    Job,
    JobFailedError,
    JobLostError,
    MediaOptions,
    NotFoundError,
    QueueFullError,
    ServerError,
    SymblClient,
    SymblError,
    Text,
    TextOptions,
    TransportError,
    UploadStalledError,
)
from symbl_aio._core.callbacks import webhook_url
from symbl_aio.durable import content as contents
from symbl_aio.durable._database.database import Database
from symbl_aio.durable._database.faults import passes
from symbl_aio.durable._store.attempts import SUPERSEDED, Note, Records, Row
from symbl_aio.durable._store.heads import why_blocked
from symbl_aio.durable.content import Media, Options
from symbl_aio.durable.heartbeat import Liveness
from symbl_aio.durable.items import ItemState, Turn
from symbl_aio.durable.reconcile import Found, Proof
from symbl_aio.durable.tracing import ItemObserver, emit

T = TypeVar("T")

OnAmbiguous: TypeAlias = Literal["at_most_once", "at_least_once"]
"""What to do with an item of which no evidence tells whether it was accepted."""

_LOG = logging.getLogger("symbl_aio.durable")

# Nothing was accepted, and another time it may be: the item is not at fault.
_PASSING: Final = (
    AppendBlockedError,
    AuthenticationError,
    ConcurrencyLimitError,
    FileUnavailableError,
    QueueFullError,
    ServerError,
    TransportError,
    UploadStalledError,
)
_LONGEST_DOUBT: Final = 3600.0
"""Seconds after which a doubt ends, though the server never could be asked."""
MOST_DEATHS: Final = 10
"""Workers that may die with an item that was not accepted yet, before it is taken for why."""
_MOST_RESENT: Final = 10


class Report(TypedDict):
    """What a step found: ``again`` (nothing was sent), ``unknown``, ``accepted``, or an ending.

    ``superseded`` ends an attempt whose item was queued again, or taken back, meanwhile.

    ``hears``: the server was given a webhook URL of ours. ``found``: it was accepted before.
    """

    state: str
    hears: bool
    found: bool


class Duty:
    """The steps of a turn (``turns``). None of them raises, and each may be done twice.

    ``patience``: seconds between two looks for evidence. ``ambiguity_timeout``: seconds after the
    sending at which the look is the last one. ``interval``: seconds that a running job's
    webhook is waited for, before the server is asked.
    """

    passed: Callable[[str], None] = staticmethod(lambda _point: None)
    """Called at the points where a crash hurts most: tests crash there."""

    def __init__(
        self,
        database: Database,
        client: SymblClient,
        liveness: Liveness,
        worker: str,
        *,
        on_ambiguous: OnAmbiguous,
        patience: float,
        ambiguity_timeout: float,
        interval: float,
    ) -> None:
        self.ended: Callable[[], None] = lambda: None
        """Called when an item has given its slot back."""
        self.observers: Sequence[ItemObserver] = ()
        """Called with the end of each item."""
        self.patience = patience
        self.interval = interval
        self.pauses: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
        """Seconds between tries to send, after which another worker may have one."""
        self._database = database
        self._records = Records(database, worker)
        self._proof = Proof(database, self._records, client)
        self._client = client
        self._liveness = liveness
        self._worker = worker
        self._tries = itertools.count(1)
        self._jobs: dict[Turn, Job] = {}
        """Of the runs that were accepted here: each tells its end once."""
        self._on_ambiguous: OnAmbiguous = on_ambiguous
        self._ambiguity_timeout = ambiguity_timeout

    def forget(self, turn: Turn) -> None:
        """Forget the job of a turn that has ended here."""
        self._jobs.pop(turn, None)

    async def _step(
        self, turn: Turn, work: Callable[[Row], Awaitable[Report]], *, meanwhile: str = "later"
    ) -> Report:
        """Do a step's work, unless it was done: what it raises would be the end of the item.

        ``meanwhile``: the state to report while a local fault, which passes, is in the way.
        """
        try:
            row = await self._again(partial(self._records.read, turn))
            if row is None:
                return _report(SUPERSEDED)
            if ItemState(row.state).is_ending:
                return _report(row.state)
            return await work(row)
        except Exception as error:
            if passes(error):
                _LOG.warning("item %s waits: %s", turn.key, error)
                return _report(meanwhile)
            _LOG.exception("item %s failed in an unforeseen way", turn.key)
            return await self._give_up(turn, f"{type(error).__name__}, which was not foreseen")

    async def _patiently(
        self, turn: Turn, work: Callable[[Row], Awaitable[Report]], *, sends: bool = False
    ) -> Report:
        """Do a step that may not work out now: a few times here, then let another try."""
        for pause in self.pauses:
            if sends:
                await self._liveness.wait_until_fit()
            report = await self._step(turn, work)
            if report["state"] != "later":
                return report
            await asyncio.sleep(pause)
        _LOG.warning("item %s comes no further here, and goes back into the queue", turn.key)
        return await self._hand_back(turn)

    # Sending

    async def attempt(self, key: str, attempt: int) -> Report:
        """Send an item, unless it may have been sent before or must not be."""
        turn = Turn(key, attempt)
        return await self._patiently(turn, partial(self._attempt, turn), sends=True)

    async def _attempt(self, turn: Turn, row: Row) -> Report:
        hears = self._hears(row)
        if row.job_id is not None:
            return _report("accepted", hears, found=True)
        if row.sent_by is not None:
            return _report("unknown", hears)
        if row.deaths >= MOST_DEATHS:
            return await self._give_up(turn, f"{row.deaths} workers died while they had it")
        if why_blocked(row.opens, row.target, row.halted_by) is not None:
            ended: str | None = await self._again(partial(self._records.block, turn))
            self.ended()
            await self._emit(turn, ended)
            return _report(ended or "again")
        if row.maybe_sent_since is not None:
            await self._again(partial(self._records.doubt_restored, turn))
            return _report("unknown", hears)
        try:
            why = await contents.check_file(row.content)
        except FileUnavailableError as error:
            _LOG.warning("item %s waits: %s", turn.key, error)
            return _report("later")
        if why is not None:
            return await self._end(turn, ItemState.REFUSED, why)
        self.passed("sending")
        note = Note(self._is_fresh, partial(self._records.note, turn), self._token())
        try:
            job = await self._send(row, partial(self._note, note))
        except AmbiguousSubmissionError as error:
            _LOG.warning("item %s is in doubt: %s", turn.key, error)
            return _report("unknown", hears)
        except ClientClosedError:
            await self._take_back(turn, note)
            await _for_ever()
        except FileChangedError:
            await self._take_back(turn, note)
            return await self._end(turn, ItemState.REFUSED, contents.not_the_same(row.content))
        except SymblError as error:
            await self._take_back(turn, note)
            if not isinstance(error, _PASSING) and not note.failed:
                return await self._end(turn, ItemState.REFUSED, str(error))
            _LOG.warning("item %s waits: %s", turn.key, error)
            return _report("later")
        self._jobs[turn] = job
        self.passed("answered")
        state = await self._accept(turn, job.id, job.conversation_id)
        self.passed("accepted")
        return _report(state, hears)

    async def _send(self, row: Row, note: Callable[[], Awaitable[None]]) -> Job:
        media, options = contents.read(row.content)
        options = self._with_options_of_ours(row, media, options)
        if row.opens:
            return await self._client.submit(media, options, before_last_byte=note)
        # What halts is decided by the database, for all workers.
        self._client.conversation(row.target).resume_appends()
        return await self._client.append(row.target, media, options, before_last_byte=note)

    async def _note(self, note: Note) -> None:
        note.failed = True
        noted = await self._database.call(partial(note.write, note.token, note.is_wanted))
        # Who was paused since then, for however long, does not send the last byte any more.
        if not noted or not note.is_wanted():
            raise _NotNotedError
        note.failed = False
        self.passed("noted")

    def _is_fresh(self) -> bool:
        return self._liveness.is_fresh()

    def _token(self) -> str:
        return f"{self._worker}/{next(self._tries)}"

    async def _take_back(self, turn: Turn, note: Note) -> None:
        """Take a note back: it is certain that nothing was accepted."""
        note.over = True
        await self._again(partial(self._records.take_back, turn, note.token))

    def _with_options_of_ours(
        self, row: Row, media: Media, options: Options | None
    ) -> Options | None:
        """Add the item's own webhook URL and name, unless the caller has set them."""
        given = options or (TextOptions() if isinstance(media, Text) else MediaOptions())
        config = self._client.config
        if self._hears(row):
            assert config.webhook_base_url is not None
            assert config.webhook_secret is not None
            url = webhook_url(config.webhook_base_url, config.webhook_secret, row.nonce)
            given = evolve(given, webhook_url=url)
        if row.opens and not given.is_given("name"):
            given = evolve(given, name=row.key)
        return given

    def _hears(self, row: Row) -> bool:
        config = self._client.config
        if config.webhook_base_url is None or config.webhook_secret is None:
            return False
        _, options = contents.read(row.content)
        return options is None or not options.is_given("webhook_url")

    async def _hand_back(self, turn: Turn) -> NoReturn:
        """Put an item back into the queue, and end this run of it without a word."""
        await self._liveness.put_back(turn)
        raise asyncio.CancelledError

    # Finding out

    async def settle(self, key: str, attempt: int, resent: int) -> Report:
        """Look for evidence of acceptance. ``resent``: how often this turn sent it again."""
        turn = Turn(key, attempt)
        work = partial(self._settle, turn, resent)
        return await self._step(turn, work, meanwhile="unknown")

    async def _settle(self, turn: Turn, resent: int, row: Row) -> Report:
        hears = self._hears(row)
        if row.job_id is not None:
            return _report("accepted", hears)
        if row.sent_by is None:
            return _report("again")  # who sent it has found out that nothing was accepted
        heard = await self._again(partial(self._records.doubt, turn))
        try:
            found = await self._proof.of(row, heard)
        except ClientClosedError:
            await _for_ever()
        except SQLAlchemyError as error:
            if not passes(error):
                raise
            _LOG.warning("the database cannot be reached (%s)", type(error).__name__)
            return _report("unknown", hears)
        except SymblError as error:
            _LOG.warning("item %s stays in doubt: %s", turn.key, error)
            if row.waited < max(self._ambiguity_timeout, _LONGEST_DOUBT):
                return _report("unknown", hears)
            why = f"it was sent whole, and the server cannot be asked ({error})"
            return await self._end(turn, ItemState.AMBIGUOUS, why)
        is_last = row.waited >= self._ambiguity_timeout
        if found is not None and (found.how != "name" or is_last):
            return await self._write_found(turn, found, hears)
        if row.deaths >= MOST_DEATHS:
            return await self._give_up(turn, f"{row.deaths} workers died while they had it")
        if not is_last:
            return _report("unknown", hears)
        if self._on_ambiguous == "at_least_once" and resent < _MOST_RESENT:
            await self._again(partial(self._records.take_back, turn))
            return _report("again")
        why = "it was sent whole, and nothing tells whether it was accepted"
        return await self._end(turn, ItemState.AMBIGUOUS, why)

    async def _write_found(self, turn: Turn, found: Found, hears: bool) -> Report:
        state = await self._accept(turn, found.job_id, found.conversation_id)
        if found.job_id is not None or state != ItemState.ACCEPTED.value:
            return _report(state, hears)
        if found.how == "content":
            return await self._end(turn, ItemState.COMPLETED, None)
        why = "it was accepted, and nothing tells what became of its job"
        return await self._end(turn, ItemState.LOST, why)

    # Following

    async def follow(self, key: str, attempt: int, hears: bool) -> Report:
        """Follow a job: to its end, or by one question if webhooks tell when to ask."""
        turn = Turn(key, attempt)
        return await self._patiently(turn, partial(self._follow, turn, hears))

    async def _follow(self, turn: Turn, hears: bool, row: Row) -> Report:
        self.passed("following")
        # Once: of one that could not be followed, another handle asks anew.
        job = self._jobs.pop(turn, None)
        if job is None or job.id != row.job_id:
            job = self._client.job(row.job_id, row.conversation_id)
        try:
            if hears and not await self._has_ended(job):
                self._jobs[turn] = job
                return _report("accepted", hears)
            await job
        except JobFailedError as error:
            report = await self._end(turn, ItemState.FAILED, str(error))
        except (JobLostError, NotFoundError) as error:
            if isinstance(error.__cause__, AuthenticationError):  # of this worker's credentials
                return _report("later")
            grace = self._client.config.polls.not_found_grace
            if isinstance(error, NotFoundError) and row.age < grace:
                return _report("accepted", hears)
            report = await self._end(turn, ItemState.LOST, str(error))
        except ClientClosedError:
            await _for_ever()
        except SymblError as error:
            _LOG.warning("the job of item %s was not answered for: %s", turn.key, error)
            return _report("later")
        else:
            report = await self._end(turn, ItemState.COMPLETED, None)
        self.passed("ended")
        return report

    async def _has_ended(self, job: Job) -> bool:
        """Ask once for a job. One that ended says itself how, or why it was lost."""
        try:
            await job.refresh()
        except SymblError:
            if not job.done():
                raise
        return job.done()

    # Writing down

    async def _accept(self, turn: Turn, job_id: str | None, conversation_id: str | None) -> str:
        state = await self._again(partial(self._records.accept, turn, job_id, conversation_id))
        if state != ItemState.ACCEPTED.value:
            _LOG.warning(
                "item %s is %s, and was accepted: conversation %s, job %s",
                turn.key, state, conversation_id, job_id,
            )  # fmt: skip
        return state

    async def _end(self, turn: Turn, state: ItemState, why: str | None) -> Report:
        ended = await self._again(partial(self._records.end, turn, state, why))
        self.ended()
        await self._emit(turn, ended)
        return _report(ended)

    async def _emit(self, turn: Turn, ended: str | None) -> None:
        if not self.observers or ended in (None, SUPERSEDED):
            return
        row = await self._again(partial(self._records.read, turn))
        if row is not None and ItemState(row.state).is_ending:
            emit(self.observers, row)

    async def _give_up(self, turn: Turn, why: str) -> Report:
        """End an item that cannot be brought further, as what it is known to be."""
        row = await self._again(partial(self._records.read, turn))
        if row is None:
            return _report(SUPERSEDED)
        if row.job_id is not None:
            return await self._end(turn, ItemState.LOST, f"its job was not followed: {why}")
        if row.sent_by is not None:
            return await self._end(turn, ItemState.AMBIGUOUS, f"it may have been accepted: {why}")
        return await self._end(turn, ItemState.REFUSED, f"nothing of it was accepted: {why}")

    async def _again(self, work: Callable[[], T]) -> T:
        """Do what the database is needed for, as soon as it is there."""
        pause = 0.1
        while True:
            try:
                return await self._database.call(work)
            except Exception as error:
                if not passes(error):
                    await self._liveness.end_if_misfit(error)
                    raise
                _LOG.warning("the database cannot be reached (%s)", type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(5.0, 2 * pause)


class _NotNotedError(Exception):
    """This worker was declared dead, or another one has the item: it must not send."""


def _report(state: str, hears: bool = False, *, found: bool = False) -> Report:
    return {"state": state, "hears": hears, "found": found}


async def _for_ever() -> NoReturn:
    """Wait for the end of this process: whoever takes over goes on from what is recorded."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")
