"""OpenTelemetry: one span for each job, from ``submit`` to its end (extra ``otel``).

::

    async with SymblClient(observers=[JobSpans()]) as symbl:
        ...
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from symbl_aio import (
    AmbiguousSubmissionError,
    AppendBlockedError,
    ClientClosedError,
    Event,
    ItemEnded,
    JobFailedError,
    JobLostError,
    JobStatusChanged,
    PollFailed,
    SubmissionAccepted,
    SubmissionEnded,
    SubmissionQueued,
    SubmissionRefused,
    SubmissionStarted,
    SymblError,
)

_NO_FAILURE = ("completed", "withdrawn", "unfinished")


class JobSpans:
    """An observer that makes a span of every job; one for each client.

    The span ``symbl job`` starts in ``submit`` or ``append`` and ends with the job, or with
    the submission if that came to no job. It is the root of a trace of its own, with a link
    to the span in which the caller submitted: a job outlives the request that caused it, and
    as a child it would keep that request's trace open for minutes. So it is sampled by
    itself. The span of a job attached by its token starts with the first event about it.

    Attributes: ``symbl.key``, ``symbl.source_name`` (``source`` of events),
    ``symbl.job_id``, ``symbl.conversation_id``,
    ``symbl.polls_failed`` and ``symbl.outcome``, which is ``completed``, ``failed``,
    ``lost``, ``not_accepted``, ``ambiguous``, ``blocked``, ``withdrawn``, or ``unfinished``
    when the client closed first. Events: ``symbl.started``, ``symbl.refused``,
    ``symbl.accepted``, and ``symbl.status`` for each status of the job. All outcomes but
    ``completed``, ``withdrawn`` and ``unfinished`` set the status to an error, with
    ``error.type`` and an ``exception`` event. The message is recorded for exceptions of this
    library alone: others may contain secrets.

    As an observer of a ``durable.Worker`` it also makes a span ``symbl item`` of every item
    that the worker ends, from ``Outbox.submit`` to its end, by the database's clock, with a
    link to the span in which it was submitted, in any process. Its attributes are
    ``symbl.key``, ``symbl.conversation``, ``symbl.job_id``, ``symbl.conversation_id`` and
    ``symbl.outcome``, the item's state; all states but ``completed`` are errors. A worker that
    crashes between an item's end and its span leaves none.

    ``tracer_provider``: the global one by default. Without an OpenTelemetry SDK it costs
    next to nothing and does nothing.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer(__name__, tracer_provider=tracer_provider)
        self._of_submission: dict[str, Span] = {}
        # A server that repeats a job id answers several submissions with one job.
        self._of_job: defaultdict[str, list[Span]] = defaultdict(list)
        self._polls_failed: Counter[str] = Counter()

    def __call__(self, event: Event | ItemEnded) -> None:
        """Record an event of the client, or of the worker. Called by them alone."""
        match event:
            case ItemEnded():
                self._record_item(event)
            case SubmissionQueued():
                span = self._start_linked()
                span.set_attribute("symbl.key", event.key)
                if event.source is not None:
                    span.set_attribute("symbl.source_name", event.source)
                _set_conversation(span, event.conversation_id)
                self._of_submission[event.key] = span
            case SubmissionStarted():
                self._of_submission[event.key].add_event("symbl.started")
            case SubmissionRefused():
                self._of_submission[event.key].add_event(
                    "symbl.refused", {"symbl.limit": event.limit}
                )
            case SubmissionAccepted():
                span = self._of_submission.pop(event.key)
                span.set_attribute("symbl.job_id", event.job_id)
                _set_conversation(span, event.conversation_id)
                span.add_event("symbl.accepted")
                self._of_job[event.job_id].append(span)
            case SubmissionEnded():
                _end(self._of_submission.pop(event.key), event.error)
            case JobStatusChanged():
                for span in self._followed(event.job_id, event.conversation_id):
                    span.add_event(
                        "symbl.status",
                        {"symbl.status": event.raw_status, "symbl.source": event.source},
                    )
            case PollFailed():
                # Counted: as events, those of an outage would push out all others.
                self._polls_failed[event.job_id] += 1
            case _:  # JobEnded
                failed = self._polls_failed.pop(event.job_id, 0)
                for span in self._followed(event.job_id, event.conversation_id):
                    span.set_attribute("symbl.polls_failed", failed)
                    _end(span, event.error)
                del self._of_job[event.job_id]

    def _record_item(self, item: ItemEnded) -> None:
        """Record the span of an item, from its submission to its end."""
        span = self._tracer.start_span(
            "symbl item",
            context=Context(),
            kind=SpanKind.CLIENT,
            links=_links(item.traceparent),
            start_time=_nanoseconds(item.queued_at),
        )
        span.set_attribute("symbl.key", item.key)
        span.set_attribute("symbl.conversation", item.conversation)
        span.set_attribute("symbl.outcome", item.state)
        if item.job_id is not None:
            span.set_attribute("symbl.job_id", item.job_id)
        _set_conversation(span, item.conversation_id)
        if item.accepted_at is not None:
            span.add_event("symbl.accepted", timestamp=_nanoseconds(item.accepted_at))
        if item.state != "completed":
            span.set_attribute("error.type", item.state)
            span.set_status(Status(StatusCode.ERROR, item.error))
        span.end(_nanoseconds(item.ended_at))

    def _start_linked(self) -> Span:
        caller = trace.get_current_span().get_span_context()
        return self._tracer.start_span(
            "symbl job",
            # Without a parent, but with the caller's baggage.
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            kind=SpanKind.CLIENT,
            links=[Link(caller)] if caller.is_valid else [],
        )

    def _followed(self, job_id: str, conversation_id: str | None) -> list[Span]:
        """Return the spans of a job; start one if it was attached by its id or token."""
        spans = self._of_job[job_id]
        if not spans:
            # An empty context: the current one is that of the poller, not of the caller.
            span = self._tracer.start_span("symbl job", context=Context(), kind=SpanKind.CLIENT)
            span.set_attribute("symbl.job_id", job_id)
            _set_conversation(span, conversation_id)
            spans.append(span)
        return spans


def _links(traceparent: str | None) -> list[Link]:
    if traceparent is None:
        return []
    carrier = {"traceparent": traceparent}
    found = trace.get_current_span(TraceContextTextMapPropagator().extract(carrier, Context()))
    return [Link(found.get_span_context())]


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _set_conversation(span: Span, conversation_id: str | None) -> None:
    if conversation_id is not None:
        span.set_attribute("symbl.conversation_id", conversation_id)


def _end(span: Span, error: BaseException | None) -> None:
    outcome = _outcome(error)
    span.set_attribute("symbl.outcome", outcome)
    if error is not None and outcome not in _NO_FAILURE:
        kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
        message = str(error) if isinstance(error, SymblError) else kind
        span.set_attribute("error.type", kind)
        # Not ``record_exception``: its stack is the client's own, the same each time, and
        # quotes every error in the chain, a caller's too.
        span.add_event("exception", {"exception.type": kind, "exception.message": message})
        span.set_status(Status(StatusCode.ERROR, message))
    span.end()


def _outcome(error: BaseException | None) -> str:
    match error:
        case None:
            return "completed"
        case JobFailedError():
            return "failed"
        case JobLostError():
            return "lost"
        case AmbiguousSubmissionError():
            return "ambiguous"
        case AppendBlockedError():
            return "blocked"
        case asyncio.CancelledError():
            return "withdrawn"
        case ClientClosedError(job=job) if job is not None:
            return "unfinished"
        case _:
            return "not_accepted"
