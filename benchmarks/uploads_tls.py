"""Throughput of one large file over TLS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness import Answer, Question, Settings
from benchmarks.recordings import GIB, certificate, recordings, tool
from benchmarks.senders import senders_found
from benchmarks.uploads import answer, cpu_ratio, draw_rates, measure, ratio


def ask(settings: Settings) -> Answer:
    gib, rounds = settings.pick(0.5, 0.125), settings.pick(5, 2)
    if tool("openssl") is None:
        return Answer((), {}, {"all": "there is no openssl on PATH to make a certificate with"})
    found, skipped = senders_found()
    with certificate() as pem, recordings(int(gib * GIB)) as (path,):
        runs = measure(["ceiling", *found], path, gib, rounds, pem)
    return answer([ratio("curl -T", runs), cpu_ratio("curl -T", runs)], runs, found, skipped)


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    draw_rates(axes, data, "One large file on loopback, over TLS")


QUESTION = Question(
    "uploads_tls",
    "The same over TLS",
    "512 MiB over TLS 1.3, with a certificate made for the run, which each client verifies. "
    "The sink decrypts in one thread of Python, so its limit is close to the fastest senders: "
    "compare the CPU a GiB, which does not depend on it. Of the samples of a profile while "
    "symbl-aio sends (py-spy with native frames), 38 % are in OpenSSL, 27 % in asyncio's TLS, "
    "which copies each record twice and sends it, 9 % in aiohttp, and 17 % in this library, in no "
    "one place. Which one is faster depends on the machine: 0.86 x was measured on another.",
    ask,
    draw,
)
