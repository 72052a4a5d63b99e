"""One recording at its turn: read, decided, sent, followed, or proved to have arrived."""

from __future__ import annotations

import asyncio
import errno
import secrets
import time
from contextlib import suppress
from functools import partial
from typing import Final

from attrs import evolve, frozen

from symbl_aio import (
    AmbiguousSubmissionError,
    APIError,
    AudioURL,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    Event,
    FileChangedError,
    JobError,
    MediaOptions,
    MediaRejectedError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    Submission,
    SubmissionRefused,
    SymblClient,
    SymblError,
    TransportError,
    VideoURL,
)
from symbl_aio._outage import Outage, UnansweredError, WithheldError
from symbl_aio._threads import Stalled
from symbl_aio.cli.exit_codes import USAGE, code_of, describe
from symbl_aio.cli.safe_streams import clean
from symbl_aio.cli.sources import Kind, link_of
from symbl_aio.cli.upload.decide import Follow, Prove, Refuse, Send, Skip, decide, is_of
from symbl_aio.cli.upload.evidence import Evidence
from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.fingerprint import Fingerprint, fingerprint, reading_threads, stamp_of
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.ledger import Item, Ledger, State
from symbl_aio.cli.upload.ledger_file import LedgerError
from symbl_aio.cli.upload.moved_files import moves
from symbl_aio.cli.upload.outcomes import Outcome, Outcomes, Result
from symbl_aio.cli.upload.show_json import Show

ANSWER_DUE: Final = 5.0
"""Seconds that a stopped run waits for the answers to recordings that were sent whole."""

_UNREACHABLE_AFTER: Final = 3
"""Recordings in a row that did not reach the server, after which the run ends."""
_PROBES: Final = 3
"""Recordings that are sent alone in an outage before the run ends."""
_LONGEST_NAME: Final = 100
_LEADS_NOWHERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Errors of a path without a file; the others are of a file that is there."""


class Unreachable(TransportError):  # noqa: N818
    """Several recordings in a row did not reach the server."""


_ENDS_RUN: Final = (
    AuthenticationError,
    PermissionDeniedError,
    LedgerError,
    ClientClosedError,
    Unreachable,
    UnansweredError,
)
"""Errors that every other recording would meet as well."""


@frozen(kw_only=True)
class Settings:
    """Options of a run that apply to each of its recordings."""

    retry_failed: bool = False
    """Send recordings again that failed in an earlier run."""
    again: bool = False
    """Send recordings again that were done under another path; the ledger has no other."""
    language: str | None = None
    """Language spoken, such as ``en-US``."""
    kind: Kind | None = None
    """Kind of a link whose ending does not name it."""
    patience: float = 30.0
    """Seconds for which evidence about one recording is looked for."""
    waits_for_server: bool = False
    """Go on while the server cannot be reached, instead of ending the run."""


@frozen
class Part:
    """A recording that was read."""

    found: Found
    """The recording."""
    read: Fingerprint
    """Its content."""
    meeting: Meeting
    """Its meeting."""


class Sender:
    """Settles recordings, one call for each; many calls may run at a time.

    ``observe`` has to be among the observers of the client.
    """

    def __init__(
        self,
        client: SymblClient,
        ledger: Ledger,
        show: Show,
        settings: Settings,
        outcomes: Outcomes,
        in_place: set[int],
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._show = show
        self._settings = settings
        self._outcomes = outcomes
        self._in_place = in_place
        self._evidence = Evidence(client, settings.patience)
        self._readers = reading_threads()
        self._uploading: dict[str, Submission] = {}
        self._settled = asyncio.Event()
        self._intents: dict[str, Item] = {}
        self._stopping = False
        self._unreached = 0
        self._outage = Outage(
            probes=None if settings.waits_for_server else _PROBES, pause=min(1.0, settings.patience)
        )

    def observe(self, event: Event) -> None:
        """Withdraw an intent once the account's limit has refused the submission."""
        if isinstance(event, SubmissionRefused):
            intent = self._intents.pop(event.key, None)
            if intent is not None:
                self._ledger.forget(intent)

    async def stop(self) -> None:
        """Withdraw what surely did not arrive, and wait for the answers that are due.

        From now on nothing is sent. It takes at most ``ANSWER_DUE`` seconds.
        """
        self._stopping = True
        for submission in list(self._uploading.values()):
            submission.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_DUE):
                while self._uploading:
                    self._settled.clear()
                    await self._settled.wait()
        self._readers.threads.shutdown()

    async def settle(self, part: Found, meeting: Meeting, behind: Found | None) -> Outcome | None:
        """Do what is to be done about a recording; return its outcome.

        ``behind``: a later part of its meeting that was sent. ``None`` is returned if ``stop``
        was called before its end. Raises the errors that end a run.
        """
        try:
            return await self._decided(part, meeting, behind)
        except _ENDS_RUN:
            if self._stopping:
                return None
            raise
        except (MediaRejectedError, OSError, ConfigurationError) as error:
            # A disk comes back, or rights are given: neither changes the file of a watched folder.
            passes = isinstance(error, OSError) and error.errno not in _LEADS_NOWHERE
            result = Result.UNSENT if passes else Result.REFUSED
            reason = describe(error)
            return Outcome(part=part, meeting=meeting, result=result, reason=reason, code=USAGE)
        except (SymblError, Stalled) as error:
            return Outcome(
                part=part,
                meeting=meeting,
                result=Result.UNSENT,
                reason=describe(error),
                code=code_of(error),
            )

    async def _decided(
        self, found: Found, meeting: Meeting, behind: Found | None
    ) -> Outcome | None:
        ledger = self._ledger
        read = await self._read(found)
        ledger.remember(found.source, read)
        part = Part(found, read, meeting)
        while True:
            moved_from = await moves(
                found, read.sha256, meeting, ledger, self._read, self._in_place
            )
            decision = decide(
                found,
                read.sha256,
                meeting,
                ledger,
                behind=behind,
                retry_failed=self._settings.retry_failed,
                moves=moved_from,
                again=self._settings.again,
            )
            if isinstance(decision, Follow | Prove | Skip) and decision.moved:
                moved = await ledger.move(decision.item, found.source, meeting.key)
                decision = evolve(decision, item=moved)
            match decision:
                case Send(changed=changed):
                    return await self._send(part, changed=changed)
                case Refuse(reason=reason, failed=item):
                    result = Result.REFUSED if item is None else Result.FAILED
                    error = "" if item is None or item.error is None else f" ({item.error})"
                    return _outcome(part, result, item, reason=reason + error)
                case Skip(item=item, reason=reason):
                    return _outcome(part, Result.SKIPPED, item, reason=reason)
                case Prove(item=item):
                    outcome = await self._prove(part, item)
                case Follow(item=item):
                    outcome = await self._follow(part, item)
            # What was settled may be an earlier content of the file, or of another meeting.
            if outcome.result is not Result.COMPLETED or (
                item.sha256 == read.sha256 and is_of(meeting, item, ledger)
            ):
                return outcome

    async def _read(self, found: Found) -> Fingerprint:
        known = self._ledger.known(found.source)
        return await self._readers.run(partial(fingerprint, found, known))

    # Sending

    async def _send(self, part: Part, *, changed: bool) -> Outcome | None:
        while True:
            key = secrets.token_hex(8)
            try:
                await self._outage.admit(key)
                return await self._attempt(part, key, changed=changed)
            except WithheldError:
                continue
            finally:
                self._outage.release(key)

    async def _attempt(self, part: Part, key: str, *, changed: bool) -> Outcome | None:
        meeting = part.meeting
        target = None if meeting.key is None else self._ledger.conversation_of(meeting.key)
        try:
            before = None if target is None else await self._client.conversation(target).messages()
        except NotFoundError:
            reason = "its conversation is gone from the server; --again sends the whole meeting"
            return _outcome(part, Result.REFUSED, None, reason=reason)
        if self._stopping:
            return None
        item = Item(
            id=self._ledger.next_id(),
            source=part.found.source,
            sha256=part.read.sha256,
            meeting=meeting.key,
            name="" if target is not None else _unique_name(meeting.name),
            state=State.SENDING,
            since=0.0,
            conversation=target,
            # Of a conversation without any, a job before this one may not have ended yet.
            messages=len(before) if before else None,
            seconds=part.read.seconds,
        )

        async def confirm() -> None:
            if part.read.stamp is not None:
                now = await self._readers.run(partial(stamp_of, part.found.source))
                if now != part.read.stamp:
                    raise FileChangedError(f"{part.found.label} changed after it was read")
            self._outage.check(key)
            intent = evolve(item, since=time.time())
            # Before it is stored, which goes on if the submission is withdrawn meanwhile.
            self._intents[key] = intent
            await self._ledger.save(intent)

        options = MediaOptions(name=item.name or None, language_code=self._settings.language)
        media = self._media(part.found)
        submission = (
            self._client.submit(media, options, key=key, before_last_byte=confirm)
            if target is None
            else self._client.append(target, media, options, key=key, before_last_byte=confirm)
        )
        self._uploading[key] = submission
        self._show.started(part.found, self._outcomes)
        try:
            if self._show.draws_progress:
                async for progress in submission.progress():
                    self._show.uploading(part.found, progress.sent, progress.total)
            job = await submission
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            await self._take_back(key)  # withdrawn: the run stops
            return None
        except AmbiguousSubmissionError:
            self._outage.unanswered(key)
            return await self._prove(part, self._intents.pop(key, item), key)
        except SymblError as error:
            return await self._not_accepted(part, key, item, error)
        finally:
            del self._uploading[key]
            self._settled.set()
        self._intents.pop(key, None)
        self._unreached = 0
        self._outage.accepted()
        item = evolve(
            item,
            state=State.ACCEPTED,
            since=time.time(),
            conversation=job.conversation_id,
            token=job.token,
        )
        await self._ledger.save(item)
        self._show.accepted(part.found, job, self._outcomes)
        return await self._follow(part, item, changed=changed)

    def _media(self, found: Found) -> str | AudioURL | VideoURL:
        return found.source if found.link is None else link_of(found.link, self._settings.kind)

    async def _take_back(self, key: str) -> None:
        intent = self._intents.pop(key, None)
        if intent is not None:
            await self._ledger.forget(intent)

    async def _not_accepted(
        self, part: Part, key: str, item: Item, error: SymblError
    ) -> Outcome | None:
        """Settle a recording that surely was not accepted."""
        if isinstance(error, ClientClosedError) and self._stopping:
            await self._take_back(key)
            return None
        if (
            isinstance(error, APIError)
            and not isinstance(error, (ServerError, AuthenticationError, PermissionDeniedError))
            and error.status not in (408, 425, 429)
        ):
            # The same content would be refused again.
            self._intents.pop(key, None)
            failed = evolve(item, state=State.FAILED, since=time.time(), error=str(error))
            await self._ledger.save(failed)
            return _outcome(part, Result.FAILED, failed, reason=describe(error), error=error)
        await self._take_back(key)
        if isinstance(error.__cause__, (FileChangedError, WithheldError)):
            raise error.__cause__  # that of ``confirm``
        if isinstance(error, TransportError):
            self._unreached += 1
            if self._unreached >= _UNREACHABLE_AFTER and not self._settings.waits_for_server:
                raise Unreachable(str(error), error.sent) from error
        raise error

    # Following

    async def _follow(self, part: Part, item: Item, *, changed: bool = False) -> Outcome:
        """Follow the job of an accepted recording to its end."""
        assert item.conversation is not None
        try:
            if item.token is None:
                await self._evidence.processed(item.conversation)
                job = None
            else:
                job = self._client.job(item.token)
                await job
        except _ENDS_RUN:
            raise
        except JobError as error:
            failed = evolve(item, state=State.FAILED, error=str(error))
            await self._ledger.save(failed)
            return _outcome(
                part, Result.FAILED, failed, reason=describe(error), error=error, job=error.job.id
            )
        except SymblError as error:
            reason = f"the server has it, and its job could not be followed: {describe(error)}"
            return _outcome(part, Result.RUNNING, item, reason=reason, error=error)
        done = evolve(item, state=State.COMPLETED, since=time.time())
        # Nothing waits for it: without it, the next run would follow the job once more.
        self._ledger.save(done, soon=True)
        return _outcome(
            part, Result.COMPLETED, done, changed=changed, job=None if job is None else job.id
        )

    async def _prove(self, part: Part, item: Item, key: str | None = None) -> Outcome:
        """Look for evidence about a recording that may have arrived, of this run if by ``key``."""
        self._show.proving(part.found, self._outcomes)
        reason = "it may have arrived, and no evidence of it was found"
        try:
            found = await self._evidence.conversation_of(item)
        except SymblError as error:
            found = None
            reason = f"it may have arrived, and evidence is not at hand: {describe(error)}"
        if key is not None:
            self._outage.sought(key, found=found is not None)
        if found is None:
            return _outcome(part, Result.AMBIGUOUS, item, reason=reason)
        item = evolve(item, state=State.ACCEPTED, conversation=found)
        await self._ledger.save(item)
        self._client.conversation(found).resume_appends()
        return await self._follow(part, item)


def _unique_name(name: str) -> str:
    """Return the name of a conversation, unlike any other: the evidence that it was opened."""
    # The API takes neither control characters nor what UTF-8 cannot encode.
    shown = clean(name).encode("utf-8", "replace").decode()
    if len(shown) > _LONGEST_NAME:
        shown = f"…{shown[-_LONGEST_NAME:]}"
    return f"{shown} #{secrets.token_hex(4)}"


def _outcome(
    part: Part,
    result: Result,
    item: Item | None,
    *,
    reason: str | None = None,
    error: SymblError | None = None,
    changed: bool = False,
    job: str | None = None,
) -> Outcome:
    return Outcome(
        part=part.found,
        meeting=part.meeting,
        result=result,
        reason=reason,
        conversation=None if item is None else item.conversation,
        job=job,
        seconds=part.read.seconds,
        changed=changed,
        code=None if error is None else code_of(error),
    )
