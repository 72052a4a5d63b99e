"""The events that commands show, and their form for machines: one JSON object a line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import attrs

from symbl_aio import models
from symbl_aio.cli.exit_codes import code_of
from symbl_aio.cli.job_tokens import shortened
from symbl_aio.cli.safe_streams import Output, clean
from symbl_aio.cli.unfinished import Resumption, RunningJob, summary

if TYPE_CHECKING:  # an extra that only some commands need, and modules that load slowly
    from symbl_aio import Job, JobEvent, LiveEvent, Message, SymblError
    from symbl_aio.durable import Decided, Item, OutboxStats


class Show(Protocol):
    """The events of a command, in the order in which they happen."""

    @property
    def written(self) -> bool:
        """Whether the whole output was written, whether for machines or for people."""
        ...

    def expect(self, sources: Sequence[str]) -> None: ...
    def upload(self, source: str, sent: int, total: int) -> None: ...
    def accepted(self, source: str, job: Job, *, followed: bool) -> None: ...
    def status(self, source: str, event: JobEvent) -> None: ...
    def completed(self, source: str, job: Job) -> None: ...
    def failed(self, source: str, error: SymblError) -> None: ...
    def interrupted(
        self, running: Sequence[RunningJob], ambiguous: Sequence[str], unsent: Sequence[str]
    ) -> None: ...
    def messages(self, messages: Sequence[Message]) -> None: ...
    def caption(self, event: LiveEvent) -> None: ...
    def listened(self, conversation: str) -> None: ...
    def report(self, file: str, conversations: Sequence[str], size: int) -> None: ...
    def serving(
        self,
        base_url: str,
        app_id: str,
        app_secret: str | None,
        *,
        data: Path | None,
        ca_file: Path | None,
    ) -> None: ...
    def archived(self, event: str, data: str, file: str, size: int) -> None: ...
    def application(self, app_id: str, app_secret: str) -> None: ...
    def working(self, worker: str, database: str) -> None: ...
    def item(self, item: Item) -> None: ...
    def decided(self, decided: Decided) -> None: ...
    def stock(self, stats: OutboxStats) -> None: ...
    def stats(self, stats: OutboxStats) -> None: ...
    def paused(self, paused: bool) -> None: ...
    def draining(self, worker: str) -> None: ...
    def restored(self, doubted: int) -> None: ...
    def migrated(self, database: str) -> None: ...
    def error(self, message: str) -> None: ...
    def ended(self, message: str, brief: str | None = None) -> None:
        """Print why the command fails; each failure was shown before.

        ``brief`` is the message without reasons, where those are in sight.
        """
        ...

    async def read(self) -> None:
        """Wait until a paused reader has read the whole output."""
        ...

    def close(self) -> None: ...


class Lines:
    """Prints one JSON object a line, ASCII only, flushed at once; omits upload progress.

    ``errors`` also receives the lines that a person needs: errors, and the command that
    continues the work. Once ``stream`` is broken it receives the tokens, too, since no other
    place keeps them.
    """

    def __init__(self, stream: Output, errors: Output, resumption: Resumption) -> None:
        self._stream = stream
        self._errors = errors
        self._resumption = resumption

    @property
    def written(self) -> bool:
        return self._stream.broken is None

    def _write(self, event: str, **fields: object) -> None:
        self._line({"event": event, **fields})

    def _line(self, value: Mapping[str, object]) -> None:
        # ASCII by default, so the encoding of the stream does not matter.
        self._stream.line(json.dumps(models.as_json(value)))

    def expect(self, sources: Sequence[str]) -> None:
        pass

    def upload(self, source: str, sent: int, total: int) -> None:
        pass

    def accepted(self, source: str, job: Job, *, followed: bool) -> None:
        self._write("accepted", source=source, **_ids(job))
        if not followed and not self.written:
            command = shlex.join([*self._resumption.wait, shortened(job.token)])
            self._errors.line(clean(f"{command}    # {source}"))

    def status(self, source: str, event: JobEvent) -> None:
        self._write(
            "status",
            source=source,
            status=event.status.value,
            raw_status=event.raw_status,
            at=event.at.isoformat(),
        )

    def completed(self, source: str, job: Job) -> None:
        self._write("completed", source=source, **_ids(job))

    def failed(self, source: str, error: SymblError) -> None:
        job = getattr(error, "job", None)
        self._write(
            "failed",
            source=source,
            error=type(error).__name__,
            message=str(error),
            exit_code=code_of(error),
            **(_ids(job) if job is not None else {}),
        )

    def interrupted(
        self, running: Sequence[RunningJob], ambiguous: Sequence[str], unsent: Sequence[str]
    ) -> None:
        self._write(
            "interrupted",
            running=[{"source": job.source, "token": job.token} for job in running],
            unsure=list(ambiguous),
            unsent=list(unsent),
            # A signed link is a secret, and must not be printed.
            files=[
                label if "://" in file else file
                for label, file in zip(unsent, self._resumption.files_of(unsent), strict=True)
            ],
        )
        for line in summary(running, ambiguous, unsent, self._resumption):
            self._errors.line(clean(line))

    def messages(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._line(message.raw)

    def caption(self, event: LiveEvent) -> None:
        fields = event.as_dict()
        self._line({"event": fields.pop("kind"), **fields})

    def listened(self, conversation: str) -> None:
        self._write("listened", conversation_id=conversation)

    def report(self, file: str, conversations: Sequence[str], size: int) -> None:
        self._write("report", file=file, conversations=list(conversations), size=size)

    def serving(
        self,
        base_url: str,
        app_id: str,
        app_secret: str | None,
        *,
        data: Path | None,
        ca_file: Path | None,
    ) -> None:
        # The secret is shown once if the server has made it up.
        shown = {} if app_secret is None else {"app_secret": app_secret}
        if ca_file is not None:
            shown["ca_file"] = str(ca_file)
        directory = None if data is None else str(data)
        self._write("serving", base_url=base_url, app_id=app_id, data=directory, **shown)

    def archived(self, event: str, data: str, file: str, size: int) -> None:
        self._write(event, data=data, file=file, size=size)

    def application(self, app_id: str, app_secret: str) -> None:
        self._write("application", app_id=app_id, app_secret=app_secret)

    def working(self, worker: str, database: str) -> None:
        self._write("working", worker=worker, database=database)

    def item(self, item: Item) -> None:
        self._write("item", **attrs.asdict(item) | {"state": item.state.value})

    def decided(self, decided: Decided) -> None:
        self._write(
            "decided",
            items=len(decided.items),
            resumed=decided.resumed,
            refused=len(decided.refused),
            dry_run=decided.dry_run,
        )

    def stock(self, stats: OutboxStats) -> None:
        self._write(
            "stock",
            counts={state.value: count for state, count in stats.counts.items()},
            oldest=stats.oldest,
            workers=stats.workers,
        )

    def stats(self, stats: OutboxStats) -> None:
        counts = {state.value: count for state, count in stats.counts.items()}
        fields = attrs.asdict(stats, recurse=False) | {"counts": counts}
        self._write("stats", per_second=stats.per_second, **fields)

    def paused(self, paused: bool) -> None:
        self._write("queue", paused=paused)

    def draining(self, worker: str) -> None:
        self._write("draining", worker=worker)

    def restored(self, doubted: int) -> None:
        self._write("restored", doubted=doubted)

    def migrated(self, database: str) -> None:
        self._write("migrated", database=database)

    def error(self, message: str) -> None:
        self._write("error", message=message)
        self.ended(message)

    def ended(self, message: str, brief: str | None = None) -> None:
        self._errors.line(clean(f"symbl-aio: {message}"))

    async def read(self) -> None:
        await self._stream.read()

    def close(self) -> None:
        pass


def _ids(job: Job) -> dict[str, object]:
    return {"job": job.id, "conversation": job.conversation_id, "token": job.token}
