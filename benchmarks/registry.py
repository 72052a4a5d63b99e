"""All questions, in the order in which they run: one module each, with a ``QUESTION``."""

from __future__ import annotations

import importlib
from typing import Final

from benchmarks.harness import Question

MODULES: Final = (
    "uploads",
    "uploads_tls",
    "upload_memory",
    "upload_delay",
    "upload_crowd",
    "pass_through",
    "small_jobs",
    "tracking",
    "polling",
    "peers",
    "latency",
    "webhooks",
    "appends",
    "durable",
    "decoding",
    "upload_command",
    "footprint",
    "insights",
    "streaming",
)


def questions() -> list[Question]:
    return [importlib.import_module(f"benchmarks.{module}").QUESTION for module in MODULES]
