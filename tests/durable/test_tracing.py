"""An item of the outbox is one span, linked to the span that submitted it, in any process."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from symbl_aio import Event, ItemEnded, Text
from symbl_aio.contrib.otel import JobSpans
from symbl_aio.durable import ItemState, Outbox
from symbl_aio.testing import LocalSymbl
from tests.durable.conftest import Working


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def of(exporter: InMemorySpanExporter, name: str) -> dict[object, ReadableSpan]:
    found = [span for span in exporter.get_finished_spans() if span.name == name]
    return {(span.attributes or {}).get("symbl.key"): span for span in found}


async def test_an_item_is_one_span_linked_to_the_request_that_handed_it_in(
    outbox: Outbox,
    working: Working,
    server: LocalSymbl,
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    with provider.get_tracer("a web service").start_as_current_span("POST /standups") as request:
        await outbox.submit(Text("Hello."), key="monday")
    await outbox.append("monday", Text("More."), key="refused")
    server.inject("status:400", on="PUT")
    async with working(observers=[JobSpans(provider)]):
        item = await outbox.result("monday", timeout=20)
        refused = await outbox.result("refused", timeout=20)

    spans = of(exporter, "symbl item")
    assert spans.keys() == {"monday", "refused"}
    span = spans["monday"]
    caller = request.get_span_context()
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [
        (caller.trace_id, caller.span_id)
    ]
    assert (span.parent, span.status.status_code) == (None, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {
        "symbl.key": "monday",
        "symbl.conversation": "monday",
        "symbl.outcome": "completed",
        "symbl.job_id": item.job_id,
        "symbl.conversation_id": item.conversation_id,
    }
    assert item.accepted_at is not None
    assert item.ended_at is not None
    times = (span.start_time, span.events[0].timestamp, span.end_time)
    assert times == tuple(int(at * 1e9) for at in (item.queued_at, item.accepted_at, item.ended_at))
    other = spans["refused"]
    assert refused.state is ItemState.REFUSED
    assert not other.links
    assert (other.status.status_code, other.status.description) == (
        StatusCode.ERROR,
        refused.error,
    )
    # The worker's client makes those of its jobs, as anywhere.
    assert item.job_id in {
        (span.attributes or {}).get("symbl.job_id") for span in of(exporter, "symbl job").values()
    }


async def test_an_observer_that_fails_ends_no_item(
    outbox: Outbox, working: Working, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[object] = []

    def fail(event: Event | ItemEnded) -> None:
        raise RuntimeError("a fault of the program")

    with caplog.at_level(logging.ERROR):
        async with working(observers=[fail, seen.append]):
            await outbox.submit(Text("Hello."), key="monday")
            assert (await outbox.result("monday", timeout=20)).ok
    ended = [event for event in seen if isinstance(event, ItemEnded)]
    assert [(event.key, event.state) for event in ended] == [("monday", "completed")]
    assert "an observer failed" in caplog.text
