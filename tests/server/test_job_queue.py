from __future__ import annotations

import asyncio
from typing import Any

import pytest

from symbl_aio.server.job import Status


async def status(caller: Any, answer: Any) -> str:
    got = await caller.get(f"/v1/job/{answer.body['jobId']}")
    assert got.status == 200
    assert set(got.body) - {"reason"} == {"id", "status"}
    assert got.body["id"] == answer.body["jobId"]
    return str(got.body["status"])


async def test_a_job_is_scheduled_then_in_progress_then_completed(caller: Any) -> None:
    server = caller.server
    server.hold_jobs(before="in_progress")
    answer = await caller.text("Hello.")
    assert await status(caller, answer) == "scheduled"

    server.hold_jobs(before="completed")
    job = server.jobs[answer.body["jobId"]]
    await server.until(lambda: job.status is Status.IN_PROGRESS)
    assert await status(caller, answer) == "in_progress"

    server.release()
    await server.until(lambda: job.finished)
    assert await status(caller, answer) == "completed"
    assert [s.value for s, _ in job.history] == ["scheduled", "in_progress", "completed"]


async def test_an_unknown_job_is_404(caller: Any) -> None:
    answer = await caller.get("/v1/job/11111111-0000-4000-8000-000000000000")

    assert answer.status == 404
    assert list(answer.body) == ["message"]


async def test_jobs_of_one_conversation_run_one_at_a_time_in_order(caller: Any) -> None:
    server = caller.server
    server.hold_jobs()
    first = await caller.text("One.")
    opened = first.body["conversationId"]
    answers = [first] + [await caller.text(f"{n}.", into=opened) for n in ("Two", "Three")]
    other = await caller.text("Elsewhere.")
    jobs = [server.jobs[a.body["jobId"]] for a in answers]
    elsewhere = server.jobs[other.body["jobId"]]

    await server.until(lambda: elsewhere.status is Status.IN_PROGRESS)
    assert [j.status.value for j in jobs] == ["in_progress", "scheduled", "scheduled"]
    server.release(2)
    await server.until(lambda: jobs[1].status is Status.IN_PROGRESS)
    assert [j.status.value for j in jobs] == ["completed", "in_progress", "scheduled"]
    assert elsewhere.finished
    server.release()
    await server.until(lambda: not server.unfinished)

    messages = (await caller.get(f"/v1/conversations/{opened}/messages")).body["messages"]
    assert [m["text"] for m in messages] == ["One.", "Two.", "Three."]


async def test_a_release_may_come_before_the_job(caller: Any) -> None:
    server = caller.server
    server.hold_jobs()
    server.release(1)
    first = await caller.text("One.")
    second = await caller.text("Two.")

    await server.until(lambda: server.jobs[first.body["jobId"]].finished)
    assert not server.jobs[second.body["jobId"]].finished
    assert server.unfinished == 1
    server.release()
    await server.until(lambda: not server.unfinished)


async def test_results_are_not_there_before_the_job_completed(caller: Any) -> None:
    server = caller.server
    server.hold_jobs()
    answer = await caller.text("Ann: Hello.")
    await server.until(lambda: server.jobs[answer.body["jobId"]].status is Status.IN_PROGRESS)
    path = f"/v1/conversations/{answer.body['conversationId']}"

    assert (await caller.get(f"{path}/messages")).body == {"messages": []}
    assert (await caller.get(f"{path}/members")).body == {"members": []}
    server.release()
    await server.until(lambda: not server.unfinished)
    assert len((await caller.get(f"{path}/messages")).body["messages"]) == 1


async def test_the_limit_counts_unfinished_jobs(start: Any) -> None:
    caller = await start(job_limit=2)
    server = caller.server
    server.hold_jobs()
    assert (await caller.text("One.")).status == 201
    assert (await caller.text("Two.")).status == 201
    refused = await caller.text("Three.")
    assert refused.status == 429
    assert refused.body["statusCode"] == 429
    assert "2" in refused.body["message"]

    server.release(1)
    await server.until(lambda: server.unfinished == 1)
    assert (await caller.text("Three.")).status == 201
    assert server.max_unfinished == 2
    server.release()


async def test_a_job_takes_at_least_job_seconds(start: Any) -> None:
    caller = await start(job_seconds=0.05)

    answer = await caller.text("Hello.")
    job = caller.server.jobs[answer.body["jobId"]]
    await caller.server.until(lambda: job.finished)

    (_, began), (_, ended) = job.history[1:]
    assert (ended - began).total_seconds() >= 0.045


async def test_a_failed_job_lets_the_next_one_run(caller: Any) -> None:
    server = caller.server
    server.inject("job_fails", on="PUT")
    opened = (await caller.text("One.")).body["conversationId"]
    failing = await caller.text("Two.", into=opened)
    last = await caller.text("Three.", into=opened)
    await server.until(lambda: not server.unfinished)

    assert await status(caller, failing) == "failed"
    assert await status(caller, last) == "completed"
    messages = (await caller.get(f"/v1/conversations/{opened}/messages")).body["messages"]
    assert [m["text"] for m in messages] == ["One.", "Three."]


async def test_an_exception_in_processing_or_publishing_fails_only_that_job(
    caller: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = caller.server
    opened = (await caller.text("One.")).body["conversationId"]
    await server.until(lambda: not server.unfinished)
    with monkeypatch.context() as broken:
        broken.setattr("symbl_aio.server.processing.text_utterances", lambda *_: 1 / 0)
        unpublished = await caller.text("Two.", into=opened)
        await server.until(lambda: not server.unfinished)
    with monkeypatch.context() as broken:
        broken.setattr(
            "symbl_aio.server.processing.SubmissionProcessor._transcribe", lambda *_: 1 / 0
        )
        unprocessed = await caller.video(into=opened)
        await server.until(lambda: not server.unfinished)
    last = await caller.text("Three.", into=opened)
    await server.until(lambda: not server.unfinished)

    assert await status(caller, unpublished) == "failed"
    assert await status(caller, unprocessed) == "failed"
    assert await status(caller, last) == "completed"
    assert caplog.text.count("ZeroDivisionError") == 2


async def test_closing_in_the_middle_of_jobs_leaves_no_task(start: Any) -> None:
    before = asyncio.all_tasks()
    caller = await start()
    caller.server.hold_jobs()
    for n in range(5):
        await caller.text(f"{n}.", webhookUrl="http://127.0.0.1:9/")
    await caller.aclose()
    await caller.server.aclose()
    await caller.server.aclose()

    assert asyncio.all_tasks() == before


async def test_a_stage_must_be_known(caller: Any) -> None:
    with pytest.raises(ValueError):
        caller.server.hold_jobs(before="scheduled")
