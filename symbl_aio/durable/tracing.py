"""Trace context of what is handed in, and the events of what has ended, for observers."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from symbl_aio import Event, ItemEnded

ItemObserver: TypeAlias = Callable[[Event | ItemEnded], None]
"""Called in the worker's own event loop for each event, so it must not block."""

_LOG = logging.getLogger("symbl_aio.durable")


def current_span() -> str | None:
    """Return the current span as a ``traceparent``, in a program that uses OpenTelemetry."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"


def emit(observers: Sequence[ItemObserver], row: Any) -> None:
    """Call the observers with the end of an item. What one raises is logged, and ends nothing."""
    event = ItemEnded(
        key=row.key,
        conversation=row.conversation,
        state=row.state,
        job_id=row.job_id,
        conversation_id=row.conversation_id,
        error=row.error,
        queued_at=row.queued_at,
        accepted_at=row.accepted_at,
        ended_at=row.ended_at,
        traceparent=row.traceparent,
    )
    for observer in observers:
        try:
            observer(event)
        except Exception:
            _LOG.exception("an observer failed")
