"""What an upload prints for machines, and the events that every output has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from symbl_aio.cli.safe_streams import Output, clean
from symbl_aio.cli.upload.find_files import Found
from symbl_aio.cli.upload.grouping import Meeting
from symbl_aio.cli.upload.outcomes import Outcome, Outcomes, fields_of

if TYPE_CHECKING:
    from symbl_aio import Job


class Show(Protocol):
    """The events of an upload."""

    @property
    def draws_progress(self) -> bool:
        """Whether ``uploading`` shows anything."""
        ...

    def started(self, part: Found, outcomes: Outcomes) -> None: ...
    def uploading(self, part: Found, sent: int, total: int) -> None: ...
    def accepted(self, part: Found, job: Job, outcomes: Outcomes) -> None: ...
    def proving(self, part: Found, outcomes: Outcomes) -> None: ...
    def ended(self, outcome: Outcome, outcomes: Outcomes) -> None: ...
    def written(self, meeting: Meeting, paths: Sequence[Path]) -> None: ...
    def unwritten(self, meeting: Meeting, reason: str) -> None: ...
    def planned(self, fields: dict[str, object], lines: Sequence[str]) -> None:
        """Print what a dry run found."""
        ...

    def summary(
        self, outcomes: Outcomes, seconds: float, fault: str | None, lines: Sequence[str]
    ) -> None:
        """Print the counts, the first ``fault``, and ``lines`` about what a person can do."""
        ...

    def interrupted(self, outcomes: Outcomes, lines: Sequence[str]) -> None: ...
    def error(self, message: str) -> None: ...
    def close(self) -> None: ...


class JsonLines:
    """One JSON object a line on ``stream``; errors, and what a person has to do, on ``errors``."""

    draws_progress = False

    def __init__(self, stream: Output, errors: Output) -> None:
        self._stream = stream
        self._errors = errors

    def started(self, part: Found, outcomes: Outcomes) -> None:
        pass

    def uploading(self, part: Found, sent: int, total: int) -> None:
        pass

    def accepted(self, part: Found, job: Job, outcomes: Outcomes) -> None:
        ids = {"job": job.id, "conversation": job.conversation_id, "token": job.token}
        self._write("accepted", source=part.label, **ids)

    def proving(self, part: Found, outcomes: Outcomes) -> None:
        self._write("proving", source=part.label)

    def ended(self, outcome: Outcome, outcomes: Outcomes) -> None:
        self._write(outcome.result.value, **fields_of(outcome))

    def written(self, meeting: Meeting, paths: Sequence[Path]) -> None:
        self._write("written", meeting=meeting.name, files=[str(path) for path in paths])

    def unwritten(self, meeting: Meeting, reason: str) -> None:
        self._write("unwritten", meeting=meeting.name, reason=reason)

    def planned(self, fields: dict[str, object], lines: Sequence[str]) -> None:
        self._write("planned", **fields)

    def summary(
        self, outcomes: Outcomes, seconds: float, fault: str | None, lines: Sequence[str]
    ) -> None:
        counts = {result.value: count for result, count in outcomes.counts.items()}
        self._write("summary", counts=counts, seconds=round(seconds, 3))
        for line in (*([fault] if fault else []), *lines):
            self._errors.line(clean(line))

    def interrupted(self, outcomes: Outcomes, lines: Sequence[str]) -> None:
        counts = {result.value: count for result, count in outcomes.counts.items()}
        self._write("interrupted", counts=counts, total=outcomes.total)
        for line in lines:
            self._errors.line(clean(line))

    def error(self, message: str) -> None:
        self._write("error", message=message)
        self._errors.line(clean(f"symbl-aio: {message}"))

    def close(self) -> None:
        pass

    def _write(self, event: str, **fields: object) -> None:
        self._stream.write(json.dumps({"event": event, **fields}) + "\n")
        self._stream.push()
