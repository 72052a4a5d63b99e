"""The report of an interrupted command: jobs that still run, and recordings not sent.

It is a few lines for the terminal, and a file for what does not fit into them.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field, frozen

from symbl_aio import ConfigurationError
from symbl_aio.cli.job_tokens import shortened
from symbl_aio.cli.sources import is_link

FEW: Final = 3
"""Up to this many are listed one by one; more are saved in a file."""

LONGEST: Final = 400
"""Characters of a command that names its files; a longer one reads them from the file."""


@frozen
class RunningJob:
    """A job that the server still runs: its source, and the token to wait for it later."""

    source: str
    token: str


@define
class Untouched:
    """The jobs and recordings of a command that has not started its work yet."""

    running: list[RunningJob] = field(factory=list)
    unsent: list[str] = field(factory=list)

    def __bool__(self) -> bool:
        return bool(self.running or self.unsent)

    def clear(self) -> None:
        """Drop all of them: the work has started, and is followed from now on."""
        self.running.clear()
        self.unsent.clear()


@frozen
class Resumption:
    """The commands that continue the work: ``wait`` takes tokens, ``send`` takes files.

    ``files`` maps a label to the file as the user gave it, where the two differ.
    """

    wait: tuple[str, ...] = ("symbl-aio", "wait")
    send: tuple[str, ...] = ("symbl-aio", "submit")
    files: Mapping[str, str] = {}

    def files_of(self, labels: Sequence[str]) -> list[str]:
        """Return the files of the labels, as the user gave them."""
        return [self.files.get(label, label) for label in labels]


PLAIN: Final = Resumption()
"""Continues with the environment's settings, without options."""


def summary(
    running: Sequence[RunningJob],
    ambiguous: Sequence[str],
    unsent: Sequence[str],
    resumption: Resumption = PLAIN,
) -> Iterator[str]:
    """Yield at most ten lines; the last is the command that continues, if work is left."""
    # If no other work is left, the command is for the ambiguous ones: a person decides.
    again = unsent or ([] if running else ambiguous)
    sending = _command(resumption, again)
    saved = None
    if max(map(len, (running, ambiguous))) > FEW or (again and sending is None):
        saved = save(running, ambiguous, unsent, resumption)
    yield "Interrupted."
    yield from _list_few(ambiguous, "perhaps accepted. Look before you send it again.")
    if saved is not None and (len(ambiguous) > FEW or (sending is None and not unsent and again)):
        yield f"All of them are listed in {saved}"
    yield from _list_few(unsent, "not sent. To send:")
    if sending is not None:
        yield f"  {sending}"
    elif saved is not None and unsent:
        yield f"  {shlex.join([*resumption.send, '--from', str(saved)])}"
    if not running:
        return
    jobs = "1 job is" if len(running) == 1 else f"{len(running)} jobs are"
    yield f"{jobs} still running on the server, which cannot cancel a job. To wait:"
    if saved is not None and len(running) > FEW:
        yield f"  {shlex.join([*resumption.wait, '--from', str(saved)])}"
    else:
        yield f"  {shlex.join([*resumption.wait, *(shortened(job.token) for job in running)])}"


def save(
    running: Sequence[RunningJob],
    ambiguous: Sequence[str],
    unsent: Sequence[str],
    resumption: Resumption = PLAIN,
) -> Path | None:
    """Write the report to a new file and return its path; ``None`` if it cannot be written.

    The file is in the working directory, else in that for temporary files, and only its owner
    can read it. Links are written as the user gave them: a signed one is useless without its
    signature.
    """
    line = json.dumps(
        {
            "event": "interrupted",
            "running": [{"source": job.source, "token": job.token} for job in running],
            "unsure": list(ambiguous),
            "unsent": list(unsent),
            "files": resumption.files_of(unsent),
        }
    )
    for directory in (Path.cwd, lambda: Path(tempfile.gettempdir())):
        try:
            place = directory()
            # Creates the file with mode 0600.
            number, name = tempfile.mkstemp(".json", "symbl-aio-interrupted-", place)
            with open(number, "w", encoding="ascii") as file:
                file.write(line + "\n")
        except OSError:  # a directory that is gone or read-only
            continue
        path = Path(name)
        return path.relative_to(place) if place == _working_directory() else path
    return None


def tokens(path: str) -> dict[str, str]:
    """Read the jobs to wait for, as token -> source, from a report or the output of ``--json``.

    Jobs that ended in it are left out. Raises ``ConfigurationError`` for any other file.
    """
    found: dict[str, str] = {}
    for event in _events(path):
        try:
            # A report lists its jobs; a line of ``--json`` has one token, or none.
            for job in event.get("running", ()) or [event]:
                if "token" in job:
                    if not isinstance(job["source"], str):
                        raise TypeError("a source is no text")
                    found[job["token"]] = job["source"]
            if event["event"] in ("completed", "failed"):
                found.pop(event.get("token", ""), None)
        except (TypeError, KeyError, AttributeError):
            raise _wrong_file(path) from None
    return found


def unsent_files(path: str) -> list[str]:
    """Read the files that were not sent, from a report or the output of ``--json``.

    Raises ``ConfigurationError`` for any other file, and for one that names none.
    """
    found: list[str] = []
    for event in _events(path):
        if event.get("event") == "interrupted":
            files = event.get("files", event.get("unsent"))
            if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
                raise _wrong_file(path)
            found += files
    if not found:
        raise ConfigurationError(f"--from {path!r} names no recording that was not sent")
    if any(is_link(name) and name.endswith("?…") for name in found):
        raise ConfigurationError(
            f"--from {path!r} has a link without its signature, which --json does not print; give "
            "the file that the interrupted command named on stderr"
        )
    return found


def _events(path: str) -> Iterator[dict[str, Any]]:
    try:
        with open(path, encoding="utf-8") as lines:
            for line in filter(str.strip, lines):
                event = json.loads(line)
                if not isinstance(event, dict):
                    raise _wrong_file(path)
                yield event
    except OSError as error:
        raise ConfigurationError(f"--from {path!r} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise _wrong_file(path) from None


def _wrong_file(path: str) -> ConfigurationError:
    return ConfigurationError(
        f"--from {path!r} is neither what an interrupted command kept nor the output of --json"
    )


def _command(resumption: Resumption, labels: Sequence[str]) -> str | None:
    """Return the command that sends these, or ``None`` if it does not fit on one line.

    ``None``, too, if the terminal's encoding lacks one of its characters.
    """
    files = resumption.files_of(labels)
    if not files or any(
        "://" in file and file != label for file, label in zip(files, labels, strict=True)
    ):
        return None  # a signed link is a secret, and must not be printed
    # A file name may begin with a dash.
    options = any(file.startswith("-") and file != "-" for file in files)
    command = shlex.join([*resumption.send, *(["--"] if options else []), *files])
    try:
        command.encode(getattr(sys.stderr, "encoding", None) or "ascii")
    except UnicodeError:
        return None
    return command if command.isprintable() and len(command) <= LONGEST else None


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None


def _list_few(sources: Sequence[str], remark: str) -> Iterator[str]:
    if len(sources) <= FEW:
        for source in sources:
            yield f"  {source}: {remark}"
    else:
        yield f"  {sources[0]}, and {len(sources) - 1} more: {remark}"
