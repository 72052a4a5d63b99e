"""The work of ``upload`` and ``settle``: opens what they need, and closes it in the right order."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import urlsplit

from attrs import evolve, frozen

from symbl_aio import ConfigurationError
from symbl_aio._outage import UnansweredError
from symbl_aio._threads import in_a_thread
from symbl_aio.cli.exit_codes import OK, UNWRITTEN, USAGE, describe, most_severe
from symbl_aio.cli.runner import config, console_on, run
from symbl_aio.cli.safe_streams import stderr, stdin, stdout
from symbl_aio.cli.sources import STDIN, Kind
from symbl_aio.cli.unfinished import FEW, LONGEST
from symbl_aio.cli.upload.find_files import (
    NOT_FOLLOWED,
    Listing,
    expanded,
    find,
    named_on,
    one_named,
)
from symbl_aio.cli.upload.grouping import Grouped, Grouping, Manifest, Meeting, grouping
from symbl_aio.cli.upload.ledger import Item, Ledger, State, open_ledger
from symbl_aio.cli.upload.ledger_file import LedgerError
from symbl_aio.cli.upload.outcomes import Outcome, Outcomes, Result
from symbl_aio.cli.upload.output_files import TranscriptFiles, folder_of_all, formats_of
from symbl_aio.cli.upload.report_file import check_report, unended, write_report
from symbl_aio.cli.upload.show_json import JsonLines, Show

if TYPE_CHECKING:
    from symbl_aio import Config

LIMIT: Final = "limit"
"""Name of a note: the account's job limit, as the last run learned it."""


@frozen(kw_only=True)
class Request:
    """An upload as the user asked for it."""

    paths: list[str]
    group: Grouping
    output: Path | None
    beside: bool
    formats: tuple[str, ...]
    dry_run: bool
    retry_failed: bool
    again: bool
    watch: bool
    quiet_for: float
    report: str | None
    language: str | None
    kind: Kind | None
    patience: float


def run_upload(
    paths: Sequence[str],
    as_json: bool,
    *,
    base_url: str | None,
    allow_http: bool,
    ledger: str | None,
    group_by: str | None,
    formats: str | None,
    output: str | None,
    report: str | None,
    **options: Any,
) -> NoReturn:
    """Run the command ``upload`` to its end."""
    show = _show_for(as_json)

    def main() -> Coroutine[Any, Any, int]:
        # Names on standard input are read here, before the event loop starts: it may be a pipe.
        group = grouping(group_by)
        names = expanded(paths, _names())
        if isinstance(group, Manifest) and not names:
            names = [one.link or one.label for one in group.found]
        if report is not None:
            check_report(report)
        request = Request(
            paths=names,
            group=group,
            output=None if output is None else Path(output),
            formats=formats_of(formats),
            report=report,
            **options,
        )
        settings = config(base_url, allow_http)
        path = default_ledger(settings) if ledger is None else Path(ledger)
        return _upload(request, settings, open_ledger(path), show)

    run(main, show)


async def _upload(request: Request, settings: Config, ledger: Ledger, show: Show) -> int:
    try:
        # In a thread: a large tree takes a while, and Ctrl-C has to end it.
        listing = await in_a_thread(partial(find, request.paths))
        grouped = request.group(listing.found)
        if grouped.left_out and not grouped.meetings and not request.watch:
            one, reason = grouped.left_out[0]
            raise ConfigurationError(
                f"--group-by finds no meeting among {len(listing.found):,} recordings, the first "
                f"{one.label}: {reason}"
            )
        if request.again:
            for one in listing.found:
                item = ledger.item(one.source)
                if item is not None and item.state in (State.COMPLETED, State.FAILED):
                    (ledger.overlook if request.dry_run else ledger.clear)(item)
        if request.dry_run:
            from symbl_aio.cli.upload.dry_run import dry_run

            return await dry_run(
                listing,
                grouped,
                ledger,
                show,
                retry_failed=request.retry_failed,
                again=request.again,
            )
        return await _send(request, settings, listing, grouped, ledger, show)
    finally:
        await ledger.aclose()


async def _send(
    request: Request,
    settings: Config,
    listing: Listing,
    grouped: Grouped,
    ledger: Ledger,
    show: Show,
) -> int:
    from symbl_aio import SymblClient
    from symbl_aio.cli.upload.run import Run
    from symbl_aio.cli.upload.sender import Settings
    from symbl_aio.cli.upload.watch import watched

    files = None
    if request.output is not None or request.beside:
        root = folder_of_all(request.paths)
        files = TranscriptFiles(request.output, request.formats, root)
        files.choose(grouped.meetings)
    run = Run(
        ledger,
        show,
        Settings(
            retry_failed=request.retry_failed,
            again=request.again,
            language=request.language,
            kind=request.kind,
            patience=request.patience,
            waits_for_server=request.watch,
        ),
        files,
    )
    outcomes, began = run.outcomes, time.monotonic()
    lines: list[str] = []
    code = USAGE if listing.unreadable else OK
    _note_left_out(listing, grouped, outcomes, show)
    if request.watch:
        meetings = watched(request.paths, request.group, request.quiet_for, run)
    else:
        meetings = _each(grouped.meetings)
        for meeting in grouped.meetings:
            outcomes.expect(meeting)
    try:
        async with SymblClient(
            config=_started(settings, ledger), observers=[run.observe]
        ) as client:
            try:
                await run.all(client, meetings)
            finally:
                ledger.note(LIMIT, str(client.stats().limit))
    except UnansweredError as error:
        lines.append(
            f"symbl-aio: {error}; the run ends, so that no more come into doubt. "
            f"{_same_command(request.again)} goes on with the rest"
        )
    except asyncio.CancelledError:
        show.interrupted(outcomes, list(interruption(outcomes, ledger)))
        raise
    finally:
        if request.report is not None:
            try:
                write_report(request.report, [*outcomes.ended, *unended(outcomes, ledger)])
            except OSError as error:  # the work is done all the same, and its end is printed
                lines.append(f"symbl-aio: the report is not written: {describe(error)}")
                code = UNWRITTEN
    lines.extend(remedies(outcomes, again=request.again))
    show.summary(outcomes, time.monotonic() - began, first_fault(outcomes), lines)
    return most_severe([outcomes.exit_code, code])


def _started(settings: Config, ledger: Ledger) -> Config:
    """Return the settings, with the job limit that the last run learned to start from."""
    limits, seen = settings.limits, ledger.noted(LIMIT)
    if seen is None or not seen.isdecimal() or limits.jobs is not None:
        return settings
    initial = min(limits.max_jobs, max(limits.initial_jobs, int(seen)))
    return settings.evolve(limits=evolve(limits, initial_jobs=initial))


def run_settle(
    files: Sequence[str],
    as_json: bool,
    *,
    accepted: bool,
    conversation_id: str | None,
    ledger: str | None,
    base_url: str | None,
    allow_http: bool,
) -> NoReturn:
    """Run the command ``settle``: all of the files, or none if one of them is not ambiguous."""
    show = _show_for(as_json)

    async def main() -> int:
        settings = config(base_url, allow_http)
        opened = open_ledger(default_ledger(settings) if ledger is None else Path(ledger))
        try:
            items = [_ambiguous(opened, name) for name in files]
            for item in items:
                conversation = conversation_id or item.conversation
                if not accepted:
                    await opened.forget(item)
                elif conversation is not None:
                    await opened.save(evolve(item, state=State.ACCEPTED, conversation=conversation))
                elif item.meeting is None:
                    await opened.save(evolve(item, state=State.COMPLETED))
                else:
                    raise LedgerError(
                        f"{item.source} opened the conversation of its meeting; add "
                        "--conversation-id, so that the other recordings can be appended"
                    )
        finally:
            await opened.aclose()
        word = "accepted" if accepted else "not accepted; the next upload sends it"
        show.planned(
            {"settled": list(files), "accepted": accepted}, [f"{name}: {word}" for name in files]
        )
        return OK

    run(main, show)


def _ambiguous(ledger: Ledger, name: str) -> Item:
    found = one_named(name)
    item = None if found is None else ledger.item(found.source)
    if item is None or item.state is not State.SENDING:
        raise LedgerError(f"{name!r} is not one that may have arrived; upload lists those")
    return item


def default_ledger(settings: Config) -> Path:
    """Return the path of the account's ledger: by host and application, in the state folder.

    Raises LedgerError for a user without a home directory.
    """
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    if home.startswith("~"):
        raise LedgerError("this user has no home directory; give a file with --ledger")
    account = f"{settings.base_url} {os.environ.get('SYMBL_APP_ID', '')}"
    digest = hashlib.sha256(account.encode()).hexdigest()[:8]
    host = urlsplit(settings.base_url).netloc.replace(":", "_").replace("[", "").replace("]", "")
    return Path(home) / "symbl-aio" / "uploads" / f"{host}-{digest}.db"


def interruption(outcomes: Outcomes, ledger: Ledger) -> Iterator[str]:
    """Yield at most ten lines: what is done, what goes on, and the command that continues."""
    done = sum(outcomes.counts[result] for result in (Result.COMPLETED, Result.SKIPPED))
    yield f"Interrupted. {done:,} of {outcomes.total:,} recordings so far are done."
    if running := ledger.unended(State.ACCEPTED):
        yield f"{running:,} are still processed on the server; the next run follows them."
    if unsure := ledger.unended(State.SENDING):
        yield f"{unsure:,} may have arrived; the next run looks for evidence before it sends them."
    if count := len(outcomes.unwritten):
        noun = "conversation" if count == 1 else "conversations"
        yield f"The files of {count:,} {noun} are not written; the next run writes them."
    # What --again has sent would be sent once more.
    words = [word for word in sys.argv[1:] if word != "--again"]
    command = shlex.join(["symbl-aio", *words])
    # A signed link is a secret, and must not be printed; standard input was read.
    if "://" in command or STDIN in words or len(command) > LONGEST or not command.isprintable():
        yield f"To continue, repeat the command{_without_again('--again' in sys.argv)}."
    else:
        yield "To continue:"
        yield f"  {command}"


def first_fault(outcomes: Outcomes) -> str | None:
    """Return how many recordings did not end well, and why the first did not."""
    wrong = [outcome for outcome in outcomes.ended if outcome.exit_code]
    if not wrong:
        return None
    first, count = wrong[0], f"{len(wrong):,} of {outcomes.total:,} recordings"
    return f"symbl-aio: {count} did not end well, first {first.part.label}: {first.reason}"


def remedies(outcomes: Outcomes, *, again: bool = False) -> Iterator[str]:
    """Yield what a person can do about recordings that did not end well."""
    ambiguous = outcomes.of(Result.AMBIGUOUS)
    if ambiguous:
        yield "Look at the server whether these arrived, and then settle them:"
    for outcome in ambiguous[:FEW]:
        yield f"  {_settling(outcome)}"
    if len(ambiguous) > FEW:
        yield f"  and {len(ambiguous) - FEW:,} more; --report lists all of them"
    if any(outcome.exit_code for outcome in outcomes.of(Result.FAILED)):
        blocking = bool(outcomes.counts[Result.BLOCKED])
        away = " One that is moved out of the folder blocks no others." if blocking else ""
        yield f"Failed recordings are sent again with --retry-failed.{away}"
    if outcomes.of(Result.UNSENT, Result.RUNNING) or outcomes.unwritten:
        yield f"{_same_command(again)} goes on with the rest."


def _same_command(again: bool) -> str:
    return f"The same command{_without_again(again)}"


def _without_again(again: bool) -> str:
    return " without --again" if again else ""


def _settling(outcome: Outcome) -> str:
    name = outcome.part.label if outcome.part.link is None else "LINK"
    words = ["symbl-aio", "settle", "--accepted", *(["--"] if name.startswith("-") else []), name]
    return f"{shlex.join(words)}    # or --not-accepted"


def _note_left_out(listing: Listing, grouped: Grouped, outcomes: Outcomes, show: Show) -> None:
    for one, reason in grouped.left_out:
        meeting = Meeting(None, one.relative, (one,))
        outcome = Outcome(part=one, meeting=meeting, result=Result.LEFT_OUT, reason=reason)
        outcomes.total += 1
        outcomes.add(outcome)
        show.ended(outcome, outcomes)
    for folder, reason in listing.unreadable:
        show.error(f"{folder!r} cannot be read ({reason}); give its rights, or another")
    for folder in listing.links:
        show.error(f"{folder!r}: {NOT_FOLLOWED}")


async def _each(meetings: Sequence[Meeting]) -> AsyncIterator[Meeting]:
    for meeting in meetings:
        yield meeting


def _names() -> Iterator[str]:
    """Yield the names on standard input, once they are asked for."""
    stream = stdin()
    # In the form of arguments: names are bytes, which need not be UTF-8.
    yield from named_on(os.fsdecode(stream.read()) if stream is not None else "")


def _show_for(as_json: bool) -> Show:
    if as_json:
        return JsonLines(stdout(), stderr())
    from symbl_aio.cli.upload.show_terminal import Terminal

    return Terminal(console_on(stdout()), console_on(stderr()))
