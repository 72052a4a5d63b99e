"""Submissions of unknown outcome: proof is looked for, and never guessed."""

from __future__ import annotations

import gc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from symbl_aio import (
    AmbiguousSubmissionError,
    BadRequestError,
    ClientClosedError,
    StillAmbiguousError,
    SymblClient,
    Text,
    TextOptions,
    Timeouts,
    TransportError,
    Utterance,
    Video,
)
from symbl_aio._io.reconcile import AmbiguousSubmissions
from symbl_aio._protocol.answers import Answer
from symbl_aio.media import MediaLike
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK, mp4_bytes

HOOK = "http://127.0.0.1:9/hook"


async def doubted(
    symbl: SymblClient, media: MediaLike, options: TextOptions | None = None, to: str | None = None
) -> AmbiguousSubmissionError:
    submission = symbl.submit(media, options) if to is None else symbl.append(to, media, options)
    with pytest.raises(AmbiguousSubmissionError) as unknown:
        await submission
    return unknown.value


def nonce_of(server: LocalSymbl) -> str:
    url = str(server.submissions[-1].parameters["webhookUrl"])
    return url.split("/")[-2]


# By name


async def test_a_name_that_nobody_else_bears_proves_acceptance(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.inject("accept_then_drop", on="POST")
        error = await doubted(symbl, Text("Hello."), TextOptions(name="Standup 17"))
        found = await error.reconcile()
    assert (found.how, found.job) == ("name", None)
    assert found.conversation_id == server.submissions[0].conversation_id


async def test_what_the_server_never_got_stays_in_doubt(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.inject("status:500", on="POST")
        error = await doubted(symbl, Text("Hello."), TextOptions(name="Standup 17"))
        assert error.sent == "yes"
        for _ in range(2):
            with pytest.raises(StillAmbiguousError):
                await error.reconcile()


async def test_yesterdays_conversation_of_the_same_name_proves_nothing(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK) as symbl:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        said = Utterance("Hello.", start=yesterday, end=yesterday + timedelta(seconds=2))
        await symbl.process(Text([said]), TextOptions(name="Standup"))
        server.inject("status:500", on="POST")
        error = await doubted(symbl, Text("Today."), TextOptions(name="Standup"))
        with pytest.raises(StillAmbiguousError):
            await error.reconcile()


async def test_a_name_is_looked_for_as_far_back_as_it_was_sent(server: LocalSymbl) -> None:
    """By itself the API lists the conversations of the last seven days alone."""
    began = datetime.now(UTC) - timedelta(days=20)
    said = Utterance("Hello.", start=began, end=began + timedelta(seconds=2))
    async with server.client(**QUICK) as symbl:
        server.inject("accept_then_drop", on="POST")
        error = await doubted(symbl, Text([said]), TextOptions(name="Standup 17"))
        (ambiguous,) = symbl._engine._ambiguous.open_ones
        ambiguous.sent_at -= timedelta(days=30).total_seconds()
        found = await error.reconcile()
    assert found.conversation_id == server.submissions[0].conversation_id


async def test_what_another_submission_of_the_same_key_wrote_proves_nothing(
    server: LocalSymbl,
) -> None:
    """A key is free again once its submission has ended, as for a second attempt."""
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        server.inject("status:500", on="PUT")
        with pytest.raises(AmbiguousSubmissionError) as unknown:
            await symbl.append(conversation.id, Text("Hello."), key="greeting")
        conversation.resume_appends()
        await (await symbl.append(conversation.id, Text("Hello."), key="greeting"))
        with pytest.raises(StillAmbiguousError):
            await unknown.value.reconcile()


async def test_the_opening_of_the_same_key_proves_nothing(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        job = await symbl.submit(Text("Hello."), key="greeting")
        await job
        server.inject("status:500", on="PUT")
        with pytest.raises(AmbiguousSubmissionError) as unknown:
            await symbl.append(job, Text("Hello."), key="greeting")
        with pytest.raises(StillAmbiguousError):
            await unknown.value.reconcile()


@pytest.mark.parametrize("rival_first", [True, False])
async def test_a_name_borne_by_another_submission_proves_nothing(
    server: LocalSymbl, rival_first: bool
) -> None:
    options = TextOptions(name="Standup")
    async with server.client(**QUICK) as symbl:
        if rival_first:
            server.inject("status:500", on="POST")
            other = symbl.submit(Text("Mine."), options)
            rival = symbl.submit(Text("Rival."), options)
            with pytest.raises(AmbiguousSubmissionError) as unknown:
                await other
            error = unknown.value
        else:
            server.inject("status:500", on="POST")
            error = await doubted(symbl, Text("Mine."), options)
            rival = symbl.submit(Text("Rival."), options)
        await (await rival)
        with pytest.raises(StillAmbiguousError):
            await error.reconcile()


async def test_a_name_that_the_caller_did_not_set_is_not_looked_for(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.inject("accept_then_drop", on="POST")
        error = await doubted(symbl, Text("Hello."))
        with pytest.raises(StillAmbiguousError):
            await error.reconcile()
    assert not any(seen.path == "/v1/conversations" for seen in server.requests)


async def test_a_conversation_that_another_submission_owns_proves_nothing(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK) as symbl:
        await symbl.process(Text("Mine."), TextOptions(name="Standup"))
        server.inject("status:500", on="POST")
        error = await doubted(symbl, Text("Lost."), TextOptions(name="Standup"))
        with pytest.raises(StillAmbiguousError):
            await error.reconcile()


@pytest.mark.parametrize("first_is", ["open", "proven", "forgotten"])
async def test_the_conversation_of_an_earlier_doubt_of_the_same_name_proves_nothing(
    server: LocalSymbl, first_is: str
) -> None:
    options = TextOptions(name="Standup")
    async with server.client(**QUICK) as symbl:
        server.inject("accept_then_drop", on="POST")
        first: AmbiguousSubmissionError | None = await doubted(symbl, Text("Taken."), options)
        assert first is not None
        if first_is == "proven":
            await first.reconcile()
        elif first_is == "forgotten":
            first = None
            gc.collect()
        server.inject("status:500", on="POST")
        error = await doubted(symbl, Text("Lost."), options)
        with pytest.raises(StillAmbiguousError):
            await error.reconcile()


# By content


async def test_words_that_were_written_once_prove_an_append(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        server.inject("accept_then_drop", on="PUT")
        error = await doubted(symbl, Text("The budget is fine. We ship."), to=conversation.id)
        await server.until(lambda: server.unfinished == 0)
        found = await error.reconcile()
        assert (found.how, found.conversation_id) == ("content", conversation.id)

        conversation.resume_appends()
        await (await conversation.append(Text("We go on.")))
        texts = [message.text for message in await conversation.messages()]
        assert texts == ["We begin.", "The budget is fine.", "We ship.", "We go on."]


@pytest.mark.parametrize("earlier", ["We ship.", "So: we ship. Good."])
async def test_words_that_stand_in_another_append_prove_nothing(
    server: LocalSymbl, earlier: str
) -> None:
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        await (await conversation.append(Text(earlier)))
        server.inject("status:502", on="PUT")
        error = await doubted(symbl, Text("We ship!"), to=conversation.id)
        with pytest.raises(StillAmbiguousError):
            await error.reconcile()


async def test_a_proof_stays_one_when_it_is_asked_for_again(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        server.inject("accept_then_drop", on="PUT")
        error = await doubted(symbl, Text("We ship."), to=conversation.id)
        await server.until(lambda: server.unfinished == 0)
        assert await error.reconcile() == await error.reconcile()


async def test_words_of_two_doubted_appends_prove_neither(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        errors = []
        for fault in ("status:500", "accept_then_drop"):
            server.inject(fault, on="PUT")
            errors.append(await doubted(symbl, Text("We ship."), to=conversation.id))
            conversation.resume_appends()
        await server.until(lambda: server.unfinished == 0)
        for error in errors:
            with pytest.raises(StillAmbiguousError):
                await error.reconcile()


async def test_words_of_an_append_on_its_way_prove_nothing_of_a_doubted_one(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        server.inject("status:500", on="PUT")
        error = await doubted(symbl, Text("We ship."), to=conversation.id)
        conversation.resume_appends()
        server.inject("slow:30", on="PUT")
        again = conversation.append(Text("We ship."))
        await server.until(lambda: len(server.jobs) == 2 and server.unfinished == 0)
        with pytest.raises(StillAmbiguousError):
            await error.reconcile()
        assert not again.done()
        await symbl.aclose(drain="none")
        with pytest.raises(AmbiguousSubmissionError):
            await again


async def test_words_that_were_surely_refused_do_not_spoil_a_proof(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        server.inject("status:400", on="PUT")
        with pytest.raises(BadRequestError):
            await conversation.append(Text("We ship."))
        server.inject("status:429", on="PUT")
        server.inject("accept_then_drop", on="PUT")
        error = await doubted(symbl, Text("We ship."), to=conversation.id)
        await server.until(lambda: server.unfinished == 0)
        assert (await error.reconcile()).how == "content"


async def test_words_in_a_conversation_with_a_recording_prove_nothing(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        await (await conversation.append(Video(mp4_bytes())))
        server.inject("status:502", on="PUT")
        error = await doubted(symbl, Text("Hello there."), to=conversation.id)
        with pytest.raises(StillAmbiguousError):
            await error.reconcile()


async def test_words_in_a_conversation_that_another_client_opened_prove_nothing(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK) as earlier:
        conversation = await earlier.process(Text("We ship."))
    async with server.client(**QUICK) as symbl:
        server.inject("status:502", on="PUT")
        error = await doubted(symbl, Text("We ship."), to=conversation.id)
        with pytest.raises(StillAmbiguousError):
            await error.reconcile()


# By webhook


async def test_a_call_to_its_own_webhook_proves_acceptance_once_the_job_is_found(
    server: LocalSymbl,
) -> None:
    hooked = {**QUICK, "webhook_base_url": HOOK, "webhook_secret": "shared by all workers"}
    async with server.client(**hooked) as symbl:
        server.inject("accept_then_drop", on="POST")
        error = await doubted(symbl, Text("Hello."))
        with pytest.raises(StillAmbiguousError):
            await error.reconcile()

        (job_id,) = server.jobs
        symbl._engine.on_webhook(nonce_of(server), job_id, "in_progress")
        found = await error.reconcile()
        assert found.how == "webhook"
        assert found.job is not None
        assert found.job.id == job_id
        await found.job


async def test_a_call_that_overtakes_the_doubt_is_kept_for_it(server: LocalSymbl) -> None:
    hooked = {**QUICK, "webhook_base_url": HOOK, "webhook_secret": "shared by all workers"}
    async with server.client(**hooked) as symbl:
        conversation = await symbl.process(Text("We begin."))
        server.inject("slow", on="PUT")
        submission = conversation.append(Text("Hello."))
        await server.until(lambda: len(server.jobs) == 2)
        symbl._engine.on_webhook(nonce_of(server), list(server.jobs)[-1], "completed")
        await symbl._engine._submissions.cancel_started()
        with pytest.raises(AmbiguousSubmissionError) as unknown:
            await submission
        found = await unknown.value.reconcile()
        assert (found.how, found.conversation_id) == ("webhook", conversation.id)


async def test_a_call_that_names_an_unknown_job_or_anothers_proves_nothing(
    server: LocalSymbl,
) -> None:
    hooked = {**QUICK, "webhook_base_url": HOOK, "webhook_secret": "shared by all workers"}
    async with server.client(**hooked) as symbl:
        server.hold_jobs()
        other = await symbl.submit(Text("Another."))
        server.inject("status:500", on="POST")
        error = await doubted(symbl, Text("Hello."))
        (doubt,) = symbl._engine._ambiguous.open_ones
        assert doubt.nonce is not None
        for job_id in ("no-such-job", other.id):
            symbl._engine.on_webhook(doubt.nonce, job_id, "completed")
            with pytest.raises(StillAmbiguousError):
                await error.reconcile()
        server.release()
        await other


async def test_a_call_that_names_a_job_of_another_submission_that_has_ended_proves_nothing(
    server: LocalSymbl,
) -> None:
    hooked = {**QUICK, "webhook_base_url": HOOK, "webhook_secret": "shared by all workers"}
    async with server.client(**hooked) as symbl:
        ended = await symbl.submit(Text("Another."))
        await ended
        server.inject("accept_then_drop", on="POST")
        error = await doubted(symbl, Text("Hello."))
        symbl._engine.on_webhook(nonce_of(server), ended.id, "completed")
        with pytest.raises(StillAmbiguousError):
            await error.reconcile()

        job_id = list(server.jobs)[-1]
        symbl._engine.on_webhook(nonce_of(server), job_id, "in_progress")
        symbl._engine.on_webhook(nonce_of(server), ended.id, "completed")
        found = await error.reconcile()
        assert found.job is not None
        assert found.job.id == job_id


async def test_one_job_is_no_proof_for_two_submissions(server: LocalSymbl) -> None:
    hooked = {**QUICK, "webhook_base_url": HOOK, "webhook_secret": "shared by all workers"}
    async with server.client(**hooked) as symbl:
        errors = []
        for _ in range(2):
            server.inject("accept_then_drop", on="POST")
            errors.append(await doubted(symbl, Text("Hello.")))
        doubts = list(symbl._engine._ambiguous.open_ones)
        for doubt in doubts:
            assert doubt.nonce is not None
            symbl._engine.on_webhook(doubt.nonce, next(iter(server.jobs)), "completed")
        found = await errors[0].reconcile()
        assert found.job is not None
        await found.job
        with pytest.raises(StillAmbiguousError):
            await errors[1].reconcile()


@pytest.mark.parametrize(
    "date", ["", "soon", "Tue, 05 Mar 2024 08:00:00 +9999999999999999", "5 Mar 99999 08:00:00 GMT"]
)
async def test_a_server_without_a_readable_clock_proves_nothing_by_a_name(
    date: str,
) -> None:
    """Such a server is stood in for by its answer: no other part of it matters here."""
    answer = Answer(200, {"date": date}, '{"conversations": []}')

    class Backend:
        def check_open(self) -> None:
            pass

        async def call(self, _call: object) -> Answer:
            return answer

    backend: Any = Backend()
    no_jobs: Any = None  # no webhook named a job, so none is attached
    submissions = AmbiguousSubmissions(backend, no_jobs)
    ambiguous = submissions.open(
        "k", conversation_id=None, name="Standup", text="Hi.", sent_at=0.0, nonce=None
    )
    with pytest.raises(StillAmbiguousError):
        await submissions.reconcile(ambiguous)


async def test_a_webhook_that_came_while_the_answer_was_waited_for_is_still_known(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK, timeouts=Timeouts(answer=300.0)) as symbl:
        submissions = symbl._engine._ambiguous
        submissions.on_webhook("nonce", "job", 0.0, ended=False)
        submissions.on_webhook("of another one", "another job", 330.0, ended=False)
        ambiguous = submissions.open(
            "k", conversation_id=None, name=None, text=None, sent_at=0.0, nonce="nonce"
        )
    assert ambiguous.job_id == "job"


async def test_reconciling_needs_an_open_client(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        server.inject("accept_then_drop", on="POST")
        error = await doubted(symbl, Text("Hello."))
    with pytest.raises(ClientClosedError):
        await error.reconcile()


async def test_a_doubt_does_not_keep_the_frames_that_sent_the_body(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        conversation = await symbl.process(Text("We begin."))
        server.inject("accept_then_drop", on="PUT")
        with pytest.raises(AmbiguousSubmissionError) as doubt:
            await conversation.append(Text("And go on."))
    assert isinstance(doubt.value.__cause__, TransportError)
    assert doubt.value.__cause__.__traceback__ is None
