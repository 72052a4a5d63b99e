"""What an interrupted command leaves behind: a few lines, and a file when they do not hold it."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from symbl_aio import ConfigurationError

FEW: Final = 3
"""So many are listed one by one; more are kept in a file."""


@frozen
class Running:
    """A job that goes on without us: what it is of, and the token to wait for it later."""

    source: str
    token: str


def summary(
    running: Sequence[Running], unsure: Sequence[str], unsent: Sequence[str]
) -> Iterator[str]:
    """Yield at most ten lines; the last is a command that goes on, if anything still runs."""
    kept = None
    if max(map(len, (running, unsure, unsent))) > FEW:
        kept = keep(running, unsure, unsent)
    yield "Interrupted."
    yield from _few(unsure, "perhaps accepted. Look before you send it again.")
    yield from _few(unsent, "not sent")
    if kept is not None and (len(unsent) > FEW or len(unsure) > FEW):
        yield f"All of them are listed in {kept}"
    if not running:
        return
    jobs = "1 job is" if len(running) == 1 else f"{len(running)} jobs are"
    yield f"{jobs} still running on the server, which cannot cancel a job. To wait:"
    if kept is not None and len(running) > FEW:
        yield f"  symbl-aio wait --from {shlex.quote(str(kept))}"
    else:
        yield f"  symbl-aio wait {' '.join(shlex.quote(job.token) for job in running)}"


def keep(running: Sequence[Running], unsure: Sequence[str], unsent: Sequence[str]) -> Path | None:
    """Write all of it to a new file, here or where temporary files are; None if neither works."""
    line = json.dumps(
        {
            "event": "interrupted",
            "running": [{"source": job.source, "token": job.token} for job in running],
            "unsure": list(unsure),
            "unsent": list(unsent),
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
    try:
        with open(path, encoding="utf-8") as lines:
            for line in filter(str.strip, lines):
                event = json.loads(line)
                for job in event.get("running", ()) or [event]:
                    if "token" in job:
                        found[job["token"]] = job["source"]
                if event["event"] in ("completed", "failed"):
                    found.pop(event.get("token"), None)
    except OSError as error:
        raise ConfigurationError(f"--from {path!r} cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ConfigurationError(
            f"--from {path!r} is neither what an interrupted command kept nor the output of --json"
        ) from None
    return found


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
