"""A job is one span, from ``submit`` to its end, with a link to its caller's span."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import baggage, context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id

from symbl_aio import (
    AccessToken,
    AmbiguousSubmissionError,
    AppendBlockedError,
    BadRequestError,
    ClientClosedError,
    Config,
    Job,
    JobEnded,
    JobFailedError,
    JobLostError,
    JobStatus,
    Limits,
    Polls,
    SubmissionAccepted,
    SubmissionQueued,
    SymblClient,
    SymblError,
    Text,
    TransportError,
    UploadError,
)
from symbl_aio.contrib.otel import JobSpans
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK


class Baggages(SpanProcessor):
    """Keeps what each span was started with, as a processor that copies baggage would."""

    def __init__(self) -> None:
        self.started: list[dict[str, object]] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.started.append(dict(baggage.get_all(parent_context)))


class Traces:
    """A provider, and the spans that it received."""

    def __init__(self) -> None:
        self.provider = TracerProvider()
        self.tracer = self.provider.get_tracer("the service")
        self.baggages = Baggages()
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.provider.add_span_processor(self.baggages)

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    @property
    def jobs(self) -> list[ReadableSpan]:
        return [span for span in self.ended if span.name == "symbl job"]

    def of(self, key: str) -> ReadableSpan:
        (span,) = [span for span in self.jobs if attribute(span, "symbl.key") == key]
        return span


def attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(name)


def linked(span: ReadableSpan) -> list[str]:
    return [format_span_id(link.context.span_id) for link in span.links]


@pytest.fixture
def traces() -> Iterator[Traces]:
    """No test leaves a span open."""
    made = Traces()
    yield made
    assert len(made.ended) == len(made.baggages.started)
    made.provider.shutdown()


async def test_a_job_is_one_span_from_the_submission_to_the_end(
    server: LocalSymbl, traces: Traces
) -> None:
    async with server.client(observers=[JobSpans(traces.provider)], **QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."), key="mine")
        while job.status is not JobStatus.IN_PROGRESS:
            await job.refresh()
        server.release()
        await job
    (span,) = traces.ended
    assert (span.name, span.kind, span.parent) == ("symbl job", SpanKind.CLIENT, None)
    assert dict(span.attributes or {}) == {
        "symbl.key": "mine",
        "symbl.job_id": job.id,
        "symbl.conversation_id": job.conversation_id,
        "symbl.polls_failed": 0,
        "symbl.outcome": "completed",
    }
    assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
        ("symbl.started", {}),
        ("symbl.accepted", {}),
        ("symbl.status", {"symbl.status": "scheduled", "symbl.source": "submit"}),
        ("symbl.status", {"symbl.status": "in_progress", "symbl.source": "poll"}),
        ("symbl.status", {"symbl.status": "completed", "symbl.source": "poll"}),
    ]
    assert span.status.status_code is StatusCode.UNSET
    times = [span.start_time, *(event.timestamp for event in span.events), span.end_time]
    assert times == sorted(times, key=lambda time: time or 0)


async def test_the_span_of_a_file_has_its_name(
    server: LocalSymbl, traces: Traces, tmp_path: Path
) -> None:
    with pytest.raises(UploadError):
        async with server.client(observers=[JobSpans(traces.provider)], **QUICK) as symbl:
            await symbl.submit(tmp_path / "gone.wav")
    (span,) = traces.ended
    assert (span.attributes or {})["symbl.source_name"] == "gone.wav"


async def test_a_span_is_linked_to_the_request_that_caused_it_and_not_part_of_it(
    server: LocalSymbl, traces: Traces
) -> None:
    async with server.client(observers=[JobSpans(traces.provider)], **QUICK) as symbl:
        server.hold_jobs()
        with traces.tracer.start_as_current_span("POST /recordings") as request:
            job = await symbl.submit(Text("Hello."))
        assert [span.name for span in traces.ended] == ["POST /recordings"]
        server.release()
        await job
    (span,) = traces.jobs
    assert span.parent is None
    assert [link.context for link in span.links] == [request.get_span_context()]
    assert span.context.trace_id != request.get_span_context().trace_id


async def test_without_a_request_there_is_no_link(server: LocalSymbl, traces: Traces) -> None:
    async with server.client(observers=[JobSpans(traces.provider)], **QUICK) as symbl:
        await symbl.process(Text("Hello."))
    (span,) = traces.jobs
    assert not span.links


async def test_the_callers_baggage_comes_with_it(server: LocalSymbl, traces: Traces) -> None:
    async with server.client(observers=[JobSpans(traces.provider)], **QUICK) as symbl:
        undo = context.attach(baggage.set_baggage("tenant", "acme"))
        submission = symbl.submit(Text("Hello."))
        context.detach(undo)
        await (await submission)
    assert traces.baggages.started == [{"tenant": "acme"}]


async def test_requests_at_the_same_time_have_each_their_own(
    server: LocalSymbl, traces: Traces
) -> None:
    """With two slots most wait, and are started by the end of another request's job."""

    async def request(number: int) -> str:
        with traces.tracer.start_as_current_span(f"request {number}") as span:
            first = symbl.submit(Text("Hello."), key=f"{number}")
            more = symbl.append(first, Text("More."), key=f"{number}+")
            await (await more)
        return format_span_id(span.get_span_context().span_id)

    limits = Limits(jobs=2)
    spans = JobSpans(traces.provider)
    async with server.client(observers=[spans], limits=limits, **QUICK) as symbl:
        ids = await asyncio.gather(*(request(number) for number in range(30)))
    assert len(traces.jobs) == 60
    for number, identifier in enumerate(ids):
        first, more = traces.of(f"{number}"), traces.of(f"{number}+")
        assert linked(first) == linked(more) == [identifier]
        conversations = [attribute(span, "symbl.conversation_id") for span in (first, more)]
        assert conversations[0] == conversations[1]
        assert attribute(first, "symbl.job_id") != attribute(more, "symbl.job_id")
        assert attribute(first, "symbl.outcome") == attribute(more, "symbl.outcome") == "completed"


@pytest.mark.parametrize(
    "fault, error, outcome",
    [
        ("status:400", BadRequestError, "not_accepted"),
        ("accept_then_drop", AmbiguousSubmissionError, "ambiguous"),
    ],
)
async def test_a_submission_that_fails_is_an_error_and_so_is_what_stood_behind_it(
    server: LocalSymbl, traces: Traces, fault: str, error: type[SymblError], outcome: str
) -> None:
    async with server.client(observers=[JobSpans(traces.provider)], **QUICK) as symbl:
        server.inject(fault, on="POST")
        first = symbl.submit(Text("Hello."), key="first")
        behind = symbl.append(first, Text("More."), key="behind")
        with pytest.raises(error) as raised:
            await first
        with pytest.raises(AppendBlockedError) as blocked:
            await behind
    for key, was, expected in (
        ("first", raised.value, outcome),
        ("behind", blocked.value, "blocked"),
    ):
        span = traces.of(key)
        kind = f"symbl_aio.errors.{type(was).__name__}"
        assert attribute(span, "symbl.outcome") == expected
        assert attribute(span, "error.type") == kind
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, str(was))
        last = span.events[-1]
        assert last.name == "exception"
        assert last.attributes == {"exception.type": kind, "exception.message": str(was)}


async def test_a_job_that_fails_or_is_lost_is_an_error(server: LocalSymbl, traces: Traces) -> None:
    polls = Polls(floor=0.002, age_factor=0.01, ceiling=0.01, per_second=5000, not_found_grace=0.02)
    spans = JobSpans(traces.provider)
    async with server.client(observers=[spans], **{**QUICK, "polls": polls}) as symbl:
        server.inject("job_fails")
        with pytest.raises(JobFailedError):
            await (await symbl.submit(Text("Hello."), key="failed"))
        server.inject("not_found", on="job", times=1000)
        with pytest.raises(JobLostError):
            await (await symbl.submit(Text("Hello."), key="lost"))
    for outcome in ("failed", "lost"):
        span = traces.of(outcome)
        assert attribute(span, "symbl.outcome") == outcome
        assert span.status.status_code is StatusCode.ERROR
        assert span.events[-1].name == "exception"


async def test_a_full_account_is_an_event_with_the_limit_that_was_learned(
    server: LocalSymbl, traces: Traces
) -> None:
    async with server.client(observers=[JobSpans(traces.provider)], **QUICK) as symbl:
        one = await symbl.submit(Text("One."))
        server.inject("status:429", on="POST")
        await asyncio.gather(one, await symbl.submit(Text("Two."), key="two"))
    names = [event.name for event in traces.of("two").events]
    assert names[:4] == ["symbl.started", "symbl.refused", "symbl.started", "symbl.accepted"]
    assert traces.of("two").events[1].attributes == {"symbl.limit": 1}


async def test_polls_that_fail_are_counted_and_push_nothing_out(
    server: LocalSymbl, traces: Traces
) -> None:
    async with server.client(observers=[JobSpans(traces.provider)], **QUICK) as symbl:
        server.inject("status:500", on="job", times=130)
        await symbl.process(Text("Hello."))
    (span,) = traces.jobs
    assert attribute(span, "symbl.polls_failed") == 130
    assert [event.name for event in span.events][:2] == ["symbl.started", "symbl.accepted"]


async def test_whoever_gives_up_waiting_ends_no_span(server: LocalSymbl, traces: Traces) -> None:
    async with server.client(observers=[JobSpans(traces.provider)], **QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Hello."))
        waiting = asyncio.create_task(job.wait())
        await job.refresh()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not traces.ended
        server.release()
        await job
    (span,) = traces.jobs
    assert attribute(span, "symbl.outcome") == "completed"


@pytest.mark.parametrize("limit", [1, 2])
async def test_what_is_withdrawn_is_no_error(
    server: LocalSymbl, traces: Traces, limit: int
) -> None:
    spans = JobSpans(traces.provider)
    async with server.client(observers=[spans], limits=Limits(jobs=limit), **QUICK) as symbl:
        server.hold_jobs()
        await symbl.submit(Text("Takes a slot."))
        withdrawn = symbl.submit(Text("Never mind."), key="k")
        assert withdrawn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await withdrawn
        assert attribute(traces.of("k"), "symbl.outcome") == "withdrawn"
        assert traces.of("k").status.status_code is StatusCode.UNSET
        server.release()


async def test_closing_ends_every_span(server: LocalSymbl, traces: Traces) -> None:
    spans = JobSpans(traces.provider)
    async with server.client(observers=[spans], limits=Limits(jobs=1), **QUICK) as symbl:
        server.hold_jobs()
        job = await symbl.submit(Text("Runs on."), key="running")
        waiting = symbl.submit(Text("Waits."), key="waiting")
        await symbl.aclose(drain="none")
        for handle in (job, waiting):
            with pytest.raises(ClientClosedError):
                await handle
    running = traces.of("running")
    assert attribute(running, "symbl.outcome") == "unfinished"
    assert running.status.status_code is StatusCode.UNSET
    assert attribute(traces.of("waiting"), "symbl.outcome") == "not_accepted"
    assert traces.of("waiting").status.status_code is StatusCode.ERROR
    server.release()


async def test_a_job_attached_again_has_a_span_of_its_own_and_no_link(
    server: LocalSymbl, traces: Traces
) -> None:
    server.hold_jobs()
    async with server.client(**QUICK) as before:
        token = (await before.submit(Text("Hello."))).token
    server.release()
    with traces.tracer.start_as_current_span("start of the service"):
        async with server.client(observers=[JobSpans(traces.provider)], **QUICK) as symbl:
            server.inject("status:500", on="job")
            conversation = await symbl.job(token)
    (span,) = traces.jobs
    assert span.parent is None
    assert not span.links
    assert attribute(span, "symbl.key") is None
    assert attribute(span, "symbl.conversation_id") == conversation.id
    assert attribute(span, "symbl.outcome") == "completed"
    assert attribute(span, "symbl.polls_failed") == 1


def test_submissions_that_the_server_answers_with_one_job_have_each_a_span(traces: Traces) -> None:
    spans = JobSpans(traces.provider)
    for key in ("one", "two"):
        spans(SubmissionQueued(key, None))
        spans(SubmissionAccepted(key, "c", "j", "token"))
    spans(JobEnded("j", "c", None))
    assert [attribute(traces.of(key), "symbl.job_id") for key in ("one", "two")] == ["j", "j"]


async def test_what_a_token_provider_raises_is_told_by_its_type_alone(
    server: LocalSymbl, traces: Traces
) -> None:
    async def broken() -> AccessToken:
        raise LookupError("the vault's password is Swordfish")

    config = Config(base_url=server.base_url, **QUICK)
    spans = JobSpans(traces.provider)
    async with SymblClient(broken, config=config, observers=[spans]) as symbl:
        first = symbl.submit(Text("Hello."), key="first")
        behind = symbl.append(first, Text("More."), key="behind")
        with pytest.raises(TransportError):
            await first
        with pytest.raises(AppendBlockedError):
            await behind
    assert str(traces.of("first").status.description).endswith("raised LookupError")
    assert not [span for span in traces.jobs if "Swordfish" in span.to_json()]


async def test_in_a_storm_every_submission_has_one_span(server: LocalSymbl, traces: Traces) -> None:
    faults = ["status:429", "status:400", "status:500", "accept_then_drop", "drop_before_body"]
    async with server.client(observers=[JobSpans(traces.provider)], **QUICK) as symbl:
        for fault in faults:
            server.inject(fault, on="POST", times=2)
        server.inject("job_fails", times=2)
        server.inject("status:500", on="job", times=5)
        submissions = [symbl.submit(Text(f"Number {n}."), key=f"{n}") for n in range(40)]
        submissions += [symbl.append(one, Text("More."), key=f"{one.key}+") for one in submissions]
        ends = await asyncio.gather(*submissions, return_exceptions=True)
        await asyncio.gather(*(e for e in ends if isinstance(e, Job)), return_exceptions=True)
    accepted = sum(isinstance(end, Job) for end in ends)
    outcomes = Counter(attribute(span, "symbl.outcome") for span in traces.jobs)
    assert outcomes["completed"] + outcomes["failed"] == accepted
    assert outcomes.total() == len(submissions)


async def test_without_a_provider_nothing_is_made_and_nothing_breaks(server: LocalSymbl) -> None:
    async with server.client(observers=[JobSpans()], **QUICK) as symbl:
        conversation = await symbl.process(Text("Hello."))
        assert conversation.id
