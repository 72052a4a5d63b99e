"""``client.map``: many sources through a small account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from symbl_aio import (
    AmbiguousSubmissionError,
    ClientClosedError,
    Config,
    ConfigurationError,
    Event,
    JobFailedError,
    Limits,
    MediaRejectedError,
    Outcome,
    SubmissionAccepted,
    SubmissionEnded,
    SubmissionQueued,
    SubmissionStarted,
    SymblClient,
    Text,
    TransportError,
)
from symbl_aio._outage import Outage
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK, mp4_bytes


@pytest.mark.heavy
async def test_500_files_go_through_an_account_of_5_jobs_that_nobody_told_of(
    tmp_path: Path,
) -> None:
    path = tmp_path / "standup.mp4"
    path.write_bytes(mp4_bytes(20_000))
    small = LocalSymbl(job_limit=5, probe_media=False, default_transcript="Hi.")
    async with small as server, server.client(**QUICK) as symbl:
        outcomes = [outcome async for outcome in symbl.map([path] * 500)]
        slots = symbl.stats()

    assert [o.error for o in outcomes if not o.ok] == []
    assert sorted(o.index for o in outcomes) == list(range(500))
    assert server.max_unfinished <= 5
    assert len({o.job.id for o in outcomes if o.job}) == 500
    assert (slots.jobs, slots.uploading, slots.queued) == (0, 0, 0)


async def test_the_limit_is_learned_and_then_filled_but_not_overrun() -> None:
    async with LocalSymbl(job_limit=5) as server, server.client(**QUICK) as symbl:
        server.hold_jobs()
        jobs = [symbl.submit(Text(f"Part {n}.")) for n in range(20)]
        await server.until(lambda: any(r.status == 429 for r in server.submissions))

        await server.until(lambda: server.unfinished == 5)
        server.release()
        await asyncio.gather(*[await job for job in jobs])
        refused = [r for r in server.submissions if r.status == 429]
    assert server.max_unfinished == 5
    assert len(refused) <= 3, "growth overshoots by what is on its way, and then it is known"


async def test_a_server_that_only_fails_brings_few_sources_into_doubt(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Outage, "pause", 0.01)
    sources = [Text(f"Part {n}.") for n in range(100)]
    sending: set[str] = set()
    together = 0

    def observe(event: Event) -> None:
        nonlocal together
        if isinstance(event, SubmissionStarted):
            sending.add(event.key)
        elif isinstance(event, SubmissionAccepted | SubmissionEnded):
            sending.discard(event.key)
        together = max(together, len(sending))

    async with (
        LocalSymbl() as server,
        server.client(limits=Limits(jobs=5), observers=[observe], **QUICK) as symbl,
    ):
        server.inject("status:502", on="POST", times=1000)
        outcomes: list[Outcome[Text]] = []
        async for outcome in symbl.map(sources):
            outcomes.append(outcome)
            if len(outcomes) == 12:
                assert len(server.submissions) <= 13
                server.clear_faults()
                together = 0

    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    assert {type(error) for error in errors} == {AmbiguousSubmissionError}
    assert len(errors) <= 13
    assert len(outcomes) == 100
    assert caplog.text.count("one source at a time") == 1
    assert together > 1, "once one was accepted, the others wait no longer for each other"


async def test_a_client_that_closes_ends_sources_that_wait_for_the_end_of_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Outage, "pause", 60.0)
    async with LocalSymbl() as server, server.client(limits=Limits(jobs=5), **QUICK) as symbl:
        server.inject("status:502", on="POST", times=1000)
        errors: list[Exception | None] = []
        with pytest.raises(ClientClosedError):
            async with asyncio.timeout(10):
                async for outcome in symbl.map(Text(f"Part {n}.") for n in range(30)):
                    errors.append(outcome.error)
                    if len(errors) == 10:
                        await symbl.aclose()

    assert {type(error) for error in errors} == {AmbiguousSubmissionError, ClientClosedError}


async def test_one_failure_never_hides_another(server: LocalSymbl, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.mp4", tmp_path / "notes.mp4"
    good.write_bytes(mp4_bytes())
    bad.write_text("not a recording")
    server.inject("job_fails", times=1)
    async with server.client(limits=Limits(jobs=1), **QUICK) as symbl:
        sources = [good, bad, tmp_path / "missing.mp4", good]
        outcomes = [outcome async for outcome in symbl.map(sources, ordered=True)]

    assert [o.source for o in outcomes] == sources
    kinds = [type(o.error) for o in outcomes]
    assert kinds == [JobFailedError, MediaRejectedError, MediaRejectedError, type(None)]
    assert outcomes[0].job is not None
    assert outcomes[0].conversation is None
    with pytest.raises(JobFailedError):
        outcomes[0].unwrap()
    assert outcomes[3].unwrap().id == outcomes[3].job.conversation_id  # type: ignore[union-attr]


async def test_outcomes_come_as_jobs_end_unless_an_order_is_asked_for(server: LocalSymbl) -> None:
    async with server.client(limits=Limits(jobs=10), **QUICK) as symbl:
        server.hold_jobs()
        texts = [Text("First."), Text("Second.")]
        found = symbl.map(texts)
        first = asyncio.ensure_future(anext(found))
        await server.until(lambda: server.unfinished == 2)
        server.release(1)
        assert (await first).ok
        server.release()
        assert [outcome.ok async for outcome in found] == [True]


async def test_sources_are_pulled_only_as_fast_as_they_can_be_sent(server: LocalSymbl) -> None:
    pulled = 0

    def endless() -> Iterator[Text]:
        nonlocal pulled
        while True:
            pulled += 1
            yield Text(f"Number {pulled}.")

    async with server.client(limits=Limits(jobs=2), **QUICK) as symbl:
        server.hold_jobs()
        found = symbl.map(endless())
        first = asyncio.ensure_future(anext(found))
        await server.until(lambda: server.unfinished == 2)
        assert pulled <= 5
        server.release()
        assert (await first).ok
        await found.aclose()


async def test_a_slow_source_does_not_hold_back_what_is_done(server: LocalSymbl) -> None:
    never = asyncio.Event()

    async def one_then_wait() -> AsyncIterator[Text]:
        yield Text("The only one.")
        await never.wait()

    async with server.client(**QUICK) as symbl:
        found = symbl.map(one_then_wait())
        assert (await anext(found)).ok
        await found.aclose()


async def test_an_error_of_the_sources_comes_after_the_outcomes_of_what_they_gave(
    server: LocalSymbl,
) -> None:
    async def broken() -> AsyncIterator[Text]:
        yield Text("The only one.")
        raise LookupError("the folder is gone")

    async with server.client(**QUICK) as symbl:
        found = symbl.map(broken())
        assert (await anext(found)).ok
        with pytest.raises(LookupError):
            await anext(found)


async def test_an_error_that_is_none_of_ours_is_an_outcome_as_well(server: LocalSymbl) -> None:
    given = 0

    async def forgetful() -> str:
        nonlocal given
        given += 1
        raise LookupError(f"the vault is locked ({given})")

    async with SymblClient(forgetful, config=Config(base_url=server.base_url, **QUICK)) as symbl:
        outcomes = [outcome async for outcome in symbl.map([Text("One."), Text("Two.")])]
    assert sorted(outcome.index for outcome in outcomes) == [0, 1]
    assert all(isinstance(outcome.error, TransportError) for outcome in outcomes)
    causes = [outcome.error.__cause__ for outcome in outcomes if outcome.error is not None]
    assert [type(cause) for cause in causes] == [LookupError, LookupError]


async def test_leaving_early_withdraws_what_was_not_sent(server: LocalSymbl) -> None:
    queued = asyncio.Semaphore(0)

    def observe(event: Event) -> None:
        if isinstance(event, SubmissionQueued):
            queued.release()

    async with server.client(limits=Limits(jobs=1), observers=[observe], **QUICK) as symbl:
        server.hold_jobs()
        server.release(1)
        found = symbl.map(Text(f"Part {n}.") for n in range(100))
        assert (await anext(found)).ok
        for _ in range(3):
            await queued.acquire()
        assert symbl.stats().queued == 1, "the third waits for the slot of the second"
        await found.aclose()
        assert symbl.stats().queued == 0
        server.release()
    assert len(server.submissions) <= 2


async def test_a_client_that_is_not_open_pulls_no_source(server: LocalSymbl) -> None:
    sources = iter([Text("One.")])

    with pytest.raises(ClientClosedError):
        await anext(server.client().map(sources))
    assert len(list(sources)) == 1


async def test_a_single_path_is_not_taken_for_a_list_of_letters(server: LocalSymbl) -> None:
    async with server.client() as symbl:
        with pytest.raises(ConfigurationError, match="iterable"):
            await anext(symbl.map("standup.mp4"))


async def test_a_short_queue_is_filled_and_not_overrun(server: LocalSymbl) -> None:
    limits = Limits(jobs=5, queued=3)
    async with server.client(**QUICK, limits=limits) as symbl:
        outcomes = [o async for o in symbl.map(Text(f"Text {n}.") for n in range(50))]
    assert [o.error for o in outcomes] == [None] * 50


async def test_a_closed_client_ends_even_a_map_of_an_endless_iterable(server: LocalSymbl) -> None:
    symbl = server.client(**QUICK)
    await symbl.start()
    outcomes = []
    with pytest.raises(ClientClosedError):
        async for outcome in symbl.map(Text(f"Text {n}.") for n in count()):
            outcomes.append(outcome)
            await symbl.aclose(drain="none")
    assert outcomes[0].ok
    assert sorted(o.index for o in outcomes) == list(range(len(outcomes)))
    ended = ClientClosedError, AmbiguousSubmissionError
    assert all(isinstance(o.error, ended) for o in outcomes if not o.ok)


def test_an_iteration_left_half_read_ends_with_its_loop(caplog: pytest.LogCaptureFixture):
    left: list[object] = []

    async def program() -> None:
        async with LocalSymbl() as server, server.client(**QUICK) as symbl:
            found = symbl.map([Text("One."), Text("Two.")])
            await anext(found)
            left.append(found)

    asyncio.run(program())

    assert left
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_sources_whose_own_work_was_cancelled_do_not_cancel_the_caller(server: LocalSymbl):
    async def sources() -> AsyncIterator[Text]:
        yield Text("Hello.")
        raise asyncio.CancelledError

    done = 0
    async with server.client(**QUICK) as symbl:
        with pytest.raises(RuntimeError, match="work of the sources was cancelled"):
            async for outcome in symbl.map(sources()):
                done += outcome.ok
    assert done == 1
