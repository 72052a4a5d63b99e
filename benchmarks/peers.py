"""Polls a job of other asyncio job clients, each with a stub of its own API."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from benchmarks.harness import Answer, Figure, Question, Settings, alone, field_of, serving
from benchmarks.stub import Account, http, serve_account

AT_ONCE = 20


class ThreeApis(Account):
    """The submission and status calls of Symbl, Speechmatics and AssemblyAI, on one clock."""

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:
        path = path.partition(b"?")[0]
        if method == b"POST" and path in (b"/v2/jobs", b"/v2/transcript"):
            job_id = self._accept()
            if path == b"/v2/jobs":
                return http(json.dumps({"id": job_id}).encode(), b"201 Created")
            return self._assemblyai(job_id, "queued")
        if path.endswith(b"/transcript") and path.startswith(b"/v2/jobs/"):
            return http(b"Hello from a benchmark.", content_type=b"text/plain")
        if path.startswith((b"/v2/jobs/", b"/v2/transcript/")):
            self.polls += 1
            job_id = path.rpartition(b"/")[2].decode()
            ended = time.monotonic() >= float(job_id.partition("-")[0])
            if path.startswith(b"/v2/transcript/"):
                return self._assemblyai(job_id, "completed" if ended else "processing")
            status = "done" if ended else "running"
            return http(json.dumps({"job": {"id": job_id, "status": status}}).encode())
        return super().answer(method, path, body)

    def _accept(self) -> str:
        assert self.ends_in is not None
        self.accepted += 1
        return f"{time.monotonic() + self.ends_in():.6f}-{self.accepted}"

    def _assemblyai(self, job_id: str, status: str) -> bytes:
        payload = {"id": job_id, "status": status, "audio_url": "https://example.com/a.mp3"}
        return http(json.dumps(payload).encode())


async def serve(announce: Callable[[int], None], median: float) -> None:
    rng = random.Random(3)
    await serve_account(announce, ThreeApis(lambda: median * rng.lognormvariate(0.0, 0.4)))


async def _all_jobs(
    port: int, jobs: int, job: Callable[[], Awaitable[str]]
) -> dict[str, float | int]:
    """Run the jobs, ``AT_ONCE`` at a time; return polls, mean lag, CPU and number of tasks."""
    lags: list[float] = []
    tasks = 0
    left = iter(range(jobs))

    async def worker() -> None:
        nonlocal tasks
        for _ in left:
            job_id = await job()
            lags.append(time.monotonic() - float(job_id.partition("-")[0]))
            tasks = max(tasks, len(asyncio.all_tasks()))

    cpu = time.process_time()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    cpu = time.process_time() - cpu
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/counts") as response,
    ):
        polls = (await response.json())["polls"]
    return {"polls": polls / jobs, "lag": sum(lags) / jobs, "cpu": cpu / jobs, "tasks": tasks}


async def symbl(port: int, jobs: int) -> Any:
    from symbl_aio import AccessToken, Config, Limits, SymblClient, Text

    config = Config(base_url=f"http://127.0.0.1:{port}", limits=Limits(jobs=AT_ONCE))
    async with SymblClient(AccessToken("t" * 32), config=config) as client:

        async def job() -> str:
            accepted = await client.submit(Text("Hello from a benchmark."))
            await accepted
            return accepted.id

        return await _all_jobs(port, jobs, job)


async def speechmatics(port: int, jobs: int) -> Any:
    from speechmatics.batch import (
        AsyncClient,
        FetchData,
        FormatType,
        JobConfig,
        JobType,
        TranscriptionConfig,
    )

    config = JobConfig(
        type=JobType.TRANSCRIPTION,
        fetch_data=FetchData(url="https://example.com/a.mp3"),
        transcription_config=TranscriptionConfig(language="en"),
    )
    async with AsyncClient(api_key="t" * 32, url=f"http://127.0.0.1:{port}/v2") as client:

        async def job() -> str:
            accepted = await client.submit_job(None, config=config)
            await client.wait_for_completion(accepted.id, format_type=FormatType.TXT)
            return str(accepted.id)

        return await _all_jobs(port, jobs, job)


async def assemblyai(port: int, jobs: int) -> Any:
    import assemblyai as aai

    settings = aai.Settings(api_key="t" * 32, base_url=f"http://127.0.0.1:{port}")
    async with (
        aai.AsyncClient(settings=settings) as client,
        aai.AsyncTranscriber(client=client) as transcriber,
    ):

        async def job() -> str:
            return str((await transcriber.transcribe("https://example.com/a.mp3")).id)

        return await _all_jobs(port, jobs, job)


def ask(settings: Settings) -> Answer:
    jobs, median = settings.pick((100, 4.0), (40, 0.5))
    found, skipped = field_of({"speechmatics": "speechmatics-batch", "assemblyai": "assemblyai"})
    clients = {"symbl-aio": symbl, "speechmatics": speechmatics, "assemblyai": assemblyai}
    rows: dict[str, Any] = {}
    for name in ("symbl-aio", *found):
        with serving(serve, median=median) as server:
            rows[name] = alone(clients[name], port=server.announced, jobs=jobs).value
    figures = [
        figure
        for name, row in rows.items()
        for figure in (
            Figure(f"polls_{name}", f"{name}: polls a job", row["polls"]),
            Figure(f"lag_{name}", f"{name}: mean lag", row["lag"], "s"),
            Figure(f"cpu_{name}", f"{name}: CPU a job", row["cpu"] * 1e3, "ms"),
            Figure(f"tasks_{name}", f"{name}: tasks for {AT_ONCE} jobs", row["tasks"]),
        )
    ]
    return Answer(tuple(figures), found, skipped, {"rows": rows, "median": median})


def draw(axes: Any, data: Mapping[str, Any]) -> None:
    for name, row in data["rows"].items():
        colour = "#2a6fdb" if name == "symbl-aio" else "#667085"
        axes.plot(row["lag"], row["polls"], "D" if name == "symbl-aio" else "o", color=colour,
                  markersize=9)  # fmt: skip
        axes.annotate(f"  {name}", (row["lag"], row["polls"]), color=colour, va="center")
    axes.set_xlim(0, 1.5 * max(row["lag"] for row in data["rows"].values()))
    axes.set_ylim(0, 1.2 * max(row["polls"] for row in data["rows"].values()))
    axes.set_xlabel("mean seconds from the end of a job to its result (less is better)")
    axes.set_ylabel("polls a job (less is better)")
    axes.set_title(f"Waiting for jobs of about {data['median']:g} s, {AT_ONCE} at a time")


QUESTION = Question(
    "peers",
    "Polls a job, beside other job clients",
    f"Each client with its defaults, at a stub of its own API; {AT_ONCE} jobs at a time of "
    "log-normal length, the same lengths for all. Lag is measured from the moment at which the "
    "stub first answered that the job is done, to the moment at which the caller had its result.",
    ask,
    draw,
)
