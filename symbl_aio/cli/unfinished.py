"""What an interrupted command leaves behind: a few lines, and a file when they do not hold it."""

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

FEW: Final = 3
"""So many are listed one by one; more are kept in a file."""

LONGEST: Final = 400
"""Characters of a command that names its files; a longer one reads them from a file."""


@frozen
class Running:
    """A job that goes on without us: what it is of, and the token to wait for it later."""

    source: str
    token: str


@define
class Untouched:
    """What a command was asked to follow or send, as long as it has begun nothing of it."""

    running: list[Running] = field(factory=list)
    unsent: list[str] = field(factory=list)

    def __bool__(self) -> bool:
        return bool(self.running or self.unsent)

    def clear(self) -> None:
        """Forget it: the work has begun, and is followed."""
        self.running.clear()
        self.unsent.clear()


@frozen
class Words:
    """The commands that go on: ``wait`` before tokens, ``send`` before files.

    ``files`` are the files of the labels, as they were given, where the two differ.
    """

    wait: tuple[str, ...] = ("symbl-aio", "wait")
    send: tuple[str, ...] = ("symbl-aio", "submit")
    files: Mapping[str, str] = {}

    def given(self, labels: Sequence[str]) -> list[str]:
        """Return the files of the labels, as they were given."""
        return [self.files.get(label, label) for label in labels]


def summary(
    running: Sequence[Running],
    unsure: Sequence[str],
    unsent: Sequence[str],
    words: Words = Words(),
) -> Iterator[str]:
    """Yield at most ten lines; the last is a command that goes on, if anything is left."""
    again = unsent or ([] if running else unsure)
    sending = _command(words, again)
    kept = None
    if max(map(len, (running, unsure))) > FEW or (again and sending is None):
        kept = keep(running, unsure, unsent, words)
    yield "Interrupted."
    yield from _few(unsure, "perhaps accepted. Look before you send it again.")
    if kept is not None and (len(unsure) > FEW or (sending is None and not unsent and again)):
        yield f"All of them are listed in {kept}"
    yield from _few(unsent, "not sent. To send:")
    if sending is not None:
        yield f"  {sending}"
    elif kept is not None and unsent:
        yield f"  {shlex.join([*words.send, '--from', str(kept)])}"
    if not running:
        return
    jobs = "1 job is" if len(running) == 1 else f"{len(running)} jobs are"
    yield f"{jobs} still running on the server, which cannot cancel a job. To wait:"
    if kept is not None and len(running) > FEW:
        yield f"  {shlex.join([*words.wait, '--from', str(kept)])}"
    else:
        yield f"  {shlex.join([*words.wait, *(job.token for job in running)])}"


def keep(
    running: Sequence[Running],
    unsure: Sequence[str],
    unsent: Sequence[str],
    words: Words = Words(),
) -> Path | None:
    """Write all of it to a new file, here or where temporary files are; None if neither works.

    Links are written as they were given, since a signed one is of no use without its
    signature; the file is readable by its owner alone.
    """
    line = json.dumps(
        {
            "event": "interrupted",
            "running": [{"source": job.source, "token": job.token} for job in running],
            "unsure": list(unsure),
            "unsent": list(unsent),
            "files": words.given(unsent),
        }
    )
    for directory in (Path.cwd, lambda: Path(tempfile.gettempdir())):
        try:
            place = directory()
            number, name = tempfile.mkstemp(".json", "symbl-aio-interrupted-", place)
            with open(number, "w", encoding="ascii") as file:
                file.write(line + "\n")
        except OSError:
            continue
        path = Path(name)
        return path.relative_to(place) if place == _here() else path
    return None


def tokens(path: str) -> dict[str, str]:
    """Read which jobs to wait for: token to source, of a kept file or of what ``--json`` printed.

    Jobs that ended in it are left out. Raises ``ConfigurationError`` for any other file.
    """
    found: dict[str, str] = {}
    for event in _events(path):
        try:
            for job in event.get("running", ()) or [event]:
                if "token" in job:
                    found[job["token"]] = job["source"]
            if event["event"] in ("completed", "failed"):
                found.pop(event.get("token", ""), None)
        except (TypeError, KeyError, AttributeError):
            raise _foreign(path) from None
    return found


def unsent_files(path: str) -> list[str]:
    """Read which files were not sent, of a kept file or of what ``--json`` printed.

    Raises ``ConfigurationError`` for any other file, and for one that names none.
    """
    found: list[str] = []
    for event in _events(path):
        if event.get("event") == "interrupted":
            files = event.get("files", event.get("unsent"))
            if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
                raise _foreign(path)
            found += files
    if not found:
        raise ConfigurationError(f"--from {path!r} names no recording that was not sent")
    return found


def _events(path: str) -> Iterator[dict[str, Any]]:
    try:
        with open(path, encoding="utf-8") as lines:
            for line in filter(str.strip, lines):
                event = json.loads(line)
                if not isinstance(event, dict):
                    raise _foreign(path)
                yield event
    except OSError as error:
        raise ConfigurationError(f"--from {path!r} cannot be read ({error.strerror})") from None
    except ValueError:
        raise _foreign(path) from None


def _foreign(path: str) -> ConfigurationError:
    return ConfigurationError(
        f"--from {path!r} is neither what an interrupted command kept nor the output of --json"
    )


def _command(words: Words, labels: Sequence[str]) -> str | None:
    """Return the command that sends these, if one line of the terminal's encoding holds it."""
    files = words.given(labels)
    if not files or any(
        "://" in file and file != label for file, label in zip(files, labels, strict=True)
    ):
        return None  # a signed link is a secret
    options = any(file.startswith("-") and file != "-" for file in files)
    command = shlex.join([*words.send, *(["--"] if options else []), *files])
    try:
        command.encode(getattr(sys.stderr, "encoding", None) or "ascii")
    except UnicodeError:
        return None
    return command if command.isprintable() and len(command) <= LONGEST else None


def _here() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None


def _few(sources: Sequence[str], what: str) -> Iterator[str]:
    if len(sources) <= FEW:
        for source in sources:
            yield f"  {source}: {what}"
    else:
        yield f"  {sources[0]}, and {len(sources) - 1} more: {what}"
