"""One random history of a client: steps that a caller, a server and a network may take.

``World`` takes the steps and keeps account; ``verdict`` compares what the caller was told
with what the server accepted. Every submission carries a mark of its own in its query, so
that texts and names may be as alike as they like.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from aiohttp import web
from attrs import define, field, frozen

from symbl_aio import (
    Acceptance,
    AmbiguousSubmissionError,
    AppendBlockedError,
    ClientClosedError,
    Config,
    Event,
    Job,
    JobFailedError,
    JobLostError,
    Lanes,
    Limits,
    MediaOptions,
    Polls,
    QueueFullError,
    Submission,
    SymblClient,
    SymblError,
    Text,
    TextOptions,
    Timeouts,
    Video,
)
from symbl_aio.config import Credentials
from symbl_aio.events import Drain
from symbl_aio.server import Received
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK, mp4_bytes

PATIENCE = 5.0
"""Seconds after which something is taken to hang; all of a history takes far less than one."""

Step: TypeAlias = tuple[Any, ...]


@frozen
class Rules:
    """The settings of one history."""

    job_limit: int = 4
    jobs: int | None = None
    advance_on: Any = "completed"
    on_failure: Any = "continue"
    wait_for_slot: float | None = None
    queued: int = 1000
    answer: float = 300.0
    not_found_grace: float = 30.0
    hooked: bool = False

    def config(self, server: LocalSymbl, hook: str) -> Config:
        polls: Polls = QUICK["polls"]
        return Config(
            base_url=server.base_url,
            limits=Limits(jobs=self.jobs, wait_for_slot=self.wait_for_slot, queued=self.queued),
            lanes=Lanes(advance_on=self.advance_on, on_failure=self.on_failure),
            timeouts=Timeouts(answer=self.answer),
            chunk_size=2**16,
            polls=Polls(
                floor=polls.floor,
                age_factor=polls.age_factor,
                ceiling=polls.ceiling,
                per_second=polls.per_second,
                hinted_per_second=polls.per_second,
                not_found_grace=self.not_found_grace,
            ),
            retries=QUICK["retries"],
            webhook_base_url=hook if self.hooked else None,
            webhook_secret="a secret of all workers" if self.hooked else None,
        )


@define(eq=False)
class Call:
    """One submission as the caller knows it. ``thread``: the mark of its conversation's first."""

    mark: int
    thread: int
    reign: int
    submission: Submission
    cancelled: bool = False
    acceptance: Acceptance | None = None


@define(eq=False)
class World:
    """A server, one client after another, and all that the caller was told."""

    rules: Rules
    server: LocalSymbl
    directory: Path
    hook: str = ""
    calls: list[Call] = field(factory=list)
    refused_at_once: list[int] = field(factory=list)
    jobs: list[tuple[int, Job]] = field(factory=list)
    """Handles by re-attachment, too, with the reign (number of the client) they belong to."""
    diary: list[str] = field(factory=list)
    faults: int = 0
    reign: int = 0
    marks: int = 0
    client: SymblClient = field(init=False)
    closing: asyncio.Task[None] | None = None
    complaints: list[str] = field(factory=list)
    waiters: list[asyncio.Task[Any]] = field(factory=list)

    async def take(self, step: Step) -> None:
        """Take one step. What a caller may be told at once is noted, anything else is raised."""
        name, *arguments = step
        self.diary.append(f"-- {step}")
        await getattr(self, name)(*arguments)

    # The caller

    async def open(self, what: str, name: str | None) -> None:
        self._submit(what, name, None)

    async def append(self, which: int, what: str, how: str) -> None:
        """Append to a conversation, named by its id, its first submission, its last, or a job."""
        threads = sorted({call.thread for call in self.calls})
        if not threads:
            self._submit(what, None, None)
            return
        thread = threads[which % len(threads)]
        said = [c for c in self.calls if c.thread == thread]
        ours = [c for c in said if c.reign == self.reign]
        if ours and how in ("first", "last"):
            self._submit(what, None, thread, ours[0 if how == "first" else -1].submission)
            return
        known = [job for call in said if (job := job_of(call.submission)) is not None]
        if known and known[-1].conversation_id is not None:
            mine = [job_of(c.submission) for c in ours]
            job = next((j for j in reversed(mine) if j is not None), None)
            use_job = how == "job" and job is not None
            self._submit(what, None, thread, job if use_job else known[-1].conversation_id)

    async def settled(self, what: str, fault: str | None) -> None:
        """Append to the first conversation, once nothing else is under way, and wait for the end.

        ``fault`` strikes it; whatever comes of it, the next append may be called.
        """
        await self._quiet()
        await self.resume(0)
        if fault is not None:
            await self.inject(fault, "PUT", 1)
        await self.append(0, what, "id")
        await self._quiet()

    async def settled_first(self, name: str | None, fault: str | None) -> None:
        """Open a conversation in the same way."""
        await self._quiet()
        if fault is not None:
            await self.inject(fault, "POST", 1)
        self._submit("We ship.", name, None)
        await self._quiet()

    async def _quiet(self) -> None:
        await asyncio.wait_for(self._all_ended(), PATIENCE)
        self.server.clear_faults()

    def _submit(
        self,
        what: str,
        name: str | None,
        thread: int | None,
        to: Submission | Job | Any = None,
        key: str | None = None,
    ) -> None:
        mark = self.marks
        self.marks += 1
        query = {"mark": str(mark)}
        text_options = TextOptions(name=name, extra_query=query)
        options = MediaOptions(name=name, extra_query=query)
        media: Any
        match what:
            case "file":
                media = Video(self.directory / "talk.mp4")
            case "missing":
                media = Video(self.directory / "missing.mp4")
            case "large":
                media = Video(mp4_bytes(200_000))
            case "small":
                media = Video(mp4_bytes(1000))
            case "stream" | "broken stream" | "short stream":
                media = Video(_stream(what), size=100_000)
            case said:
                media, options = Text(said), text_options  # type: ignore[assignment]
        try:
            if to is None:
                submission = self.client.submit(media, options, key=key)
            else:
                submission = self.client.append(to, media, options, key=key)
        except (AppendBlockedError, QueueFullError, ClientClosedError) as error:
            self.diary.append(f"   {mark}: {type(error).__name__} at once")
            self.refused_at_once.append(mark)
            return
        self.diary.append(f"   {mark} is {submission.key[:6]}")
        self.calls.append(Call(mark, mark if thread is None else thread, self.reign, submission))

    async def again(self, which: int) -> None:
        """Submit under the key of an unfinished submission: nothing new may come of it."""
        open_ = [c for c in self._mine() if not c.submission.done()]
        if open_:
            known = open_[which % len(open_)].submission
            with contextlib.suppress(ClientClosedError):
                assert self.client.submit(Text("Twice."), key=known.key) is known

    async def reuse(self, which: int, what: str) -> None:
        """Append under the key of a submission that has ended, and whose job has, too."""
        keys: dict[str, bool] = {}
        for call in self._mine():
            job = job_of(call.submission)
            over = call.submission.done() and (job is None or job.done())
            keys[call.submission.key] = over and keys.get(call.submission.key, True)
        ended = [c for c in self._mine() if keys[c.submission.key] and job_of(c.submission)]
        if ended:
            call = ended[which % len(ended)]
            self._submit(what, None, call.thread, job_of(call.submission), key=call.submission.key)

    async def cancel(self, which: int) -> None:
        if mine := self._mine():
            call = mine[which % len(mine)]
            if call.submission.cancel():
                assert not call.cancelled, "withdrawn twice"
                call.cancelled = True
                self.diary.append(f"   {call.mark} withdrawn")

    async def cancel_await(self, which: int) -> None:
        """Give up waiting, which must change nothing."""
        if mine := self._mine():
            waiter = asyncio.create_task(_result(mine[which % len(mine)].submission))
            await asyncio.sleep(0)
            waiter.cancel()
            with contextlib.suppress(asyncio.CancelledError, SymblError):
                await waiter

    async def watch(self, which: int) -> None:
        """Wait for a job in a task of its own, and read its events."""
        if mine := self._mine():
            job = job_of(mine[which % len(mine)].submission)
            if job is not None:
                self.waiters += [
                    asyncio.create_task(_quiet(job.wait())),
                    asyncio.create_task(_quiet(_read(job.events()))),
                ]

    async def refresh(self, which: int) -> None:
        if mine := self._mine():
            job = job_of(mine[which % len(mine)].submission)
            if job is not None:
                self.waiters.append(asyncio.create_task(_quiet(job.refresh())))

    async def resume(self, which: int) -> None:
        known = [j.conversation_id for c in self.calls if (j := job_of(c.submission)) is not None]
        if known:
            conversation_id = known[which % len(known)]
            assert conversation_id is not None
            with contextlib.suppress(ClientClosedError):
                self.client.conversation(conversation_id).resume_appends()

    async def reconcile(self) -> None:
        for call in self._mine():
            error = outcome(call.submission)
            if isinstance(error, AmbiguousSubmissionError) and call.acceptance is None:
                with contextlib.suppress(SymblError):
                    call.acceptance = await error.reconcile()
                    self.diary.append(f"   {call.mark}: proof by {call.acceptance.how}")

    async def close(self, drain: Drain, timeout: float) -> None:
        """Begin to close; what is called from now on is refused."""
        if self.closing is None:
            self.closing = asyncio.create_task(self.client.aclose(drain=drain, timeout=timeout))
            await asyncio.sleep(0)

    async def cancel_close(self) -> None:
        """Cancel the waiting, which must not cancel the closing."""
        if self.closing is not None:
            self.closing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.closing
            await self.client.aclose(drain="none")

    async def restart(self, drain: Drain, timeout: float) -> None:
        """Close, look at what is left, and go on with another client and its jobs attached."""
        await self.end(drain, timeout)
        unfinished = self.client.unfinished
        self.reign += 1
        self.begin()
        await self.client.start()
        for token in unfinished:
            job = self.client.job(token)
            self.jobs.append((self.reign, job))
            self.waiters.append(asyncio.create_task(_quiet(job.wait())))
        await asyncio.sleep(0)

    def begin(self) -> None:
        self.closing = None
        self.client = SymblClient(
            Credentials("app", "secret"),
            config=self.rules.config(self.server, self.hook),
            observers=[self._note],
        )

    async def end(self, drain: Drain, timeout: float) -> None:
        """Close the client, and see that nothing of it is left."""
        await self.close(drain, timeout)
        assert self.closing is not None
        await asyncio.wait_for(asyncio.wait([self.closing]), PATIENCE)
        if self.closing.cancelled():
            await self.client.aclose(drain="none")
        left = [c.mark for c in self._mine() if not c.submission.done()]
        assert not left, f"the client is closed and {left} have not ended"
        assert all(job.done() for job in self._own_jobs()), "a job's waiters have not ended"
        tasks = [t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith("symbl_aio")]
        assert not tasks, f"left over: {tasks}"

    # The server and the network

    async def inject(self, fault: str, on: str | None, times: int) -> None:
        self.faults += 1
        self.server.inject(fault, on=on, times=times)

    async def hold(self, before: Any) -> None:
        self.server.hold_jobs(before=before)

    async def release(self, count: int | None) -> None:
        self.server.release(count)

    async def revoke(self) -> None:
        self.server.revoke_tokens()

    async def breathe(self, turns: int) -> None:
        """Let the event loop go round: the server is in it, so that both sides move on."""
        for _ in range(turns):
            await asyncio.sleep(0)

    # The end of it

    async def calm_down(self) -> None:
        """Let everything go right from now on, wait for all, and find the slots empty."""
        self.server.clear_faults()
        self.server.release()
        if self.closing is not None:
            await self.restart("none", 0)
        await asyncio.wait_for(self._all_ended(), PATIENCE)
        await self.server.until(lambda: self.server.unfinished == 0)
        await self.reconcile()
        stats = self.client.stats()
        assert (stats.queued, stats.uploading, stats.jobs) == (0, 0, 0), stats
        engine = self.client._engine
        queue = engine._queue
        assert queue.slots.occupied == 0
        assert queue.slots._probe is None
        assert not queue.pending
        assert not queue._by_key
        assert not queue._holders
        lanes = queue.lanes
        assert lanes.waiting == 0
        assert not lanes._lane_of
        assert all(lane.halted is not None for lane in lanes._lanes.values())
        assert len(engine._poller._plan) == 0
        assert not engine._poller._polling

    async def _all_ended(self) -> None:
        await asyncio.gather(*[c.submission for c in self._mine()], return_exceptions=True)
        await asyncio.gather(*self._own_jobs(), return_exceptions=True)

    async def close_the_books(self) -> None:
        """Give the server the time to see all that was sent, and let every waiter end."""
        if self.closing is None or not self.closing.done():
            await self.end("none", 0)
        await asyncio.wait_for(asyncio.gather(*self.waiters), PATIENCE)
        self.server.clear_faults()
        self.server.release()
        await self.breathe(30)
        await self.server.until(lambda: self.server.unfinished == 0)

    def _mine(self) -> list[Call]:
        return [call for call in self.calls if call.reign == self.reign]

    def _own_jobs(self) -> list[Job]:
        attached = [job for reign, job in self.jobs if reign == self.reign]
        found = [job_of(call.submission) for call in self._mine()]
        return attached + [job for job in found if job is not None]

    def _note(self, event: Event) -> None:
        self.diary.append(f"   {event}"[:160])

    # The verdict

    def verdict(self) -> Iterator[str]:
        """Name every promise that was broken."""
        yield from self.complaints
        accepted = self._accepted()
        for mark, received in accepted.items():
            if len(received) > 1:
                yield f"{mark} was accepted {len(received)} times"
        for mark in self.refused_at_once:
            if any(mark_of(r) == mark for r in self.server.submissions):
                yield f"{mark} was refused by the client and yet sent"
        for call in self.calls:
            yield from self._judge(call, accepted.get(call.mark, []))
        yield from self._order(accepted)
        yield from self._slots(accepted)
        if self.faults == 0 and self.reign == 0 and self.closing is None:
            for call in self.calls:
                if isinstance(outcome(call.submission), AmbiguousSubmissionError):
                    yield f"{call.mark} is in doubt, and nothing went wrong"

    def _judge(self, call: Call, received: list[Received]) -> Iterator[str]:
        told = outcome(call.submission)
        if isinstance(told, Job):
            if [r.job_id for r in received] != [told.id]:
                yield f"{call.mark} was told accepted as {told}, and {received} was"
            elif received[0].conversation_id != told.conversation_id:
                yield f"{call.mark} was told another conversation than {received[0]}"
            else:
                yield from self._judge_job(call.mark, told)
        elif not isinstance(told, AmbiguousSubmissionError) and received:
            yield f"{call.mark} was told {told!r}, and yet accepted: {received}"
        if call.cancelled and not isinstance(told, asyncio.CancelledError):
            yield f"{call.mark} was withdrawn, and then told {told!r}"
        if isinstance(told, asyncio.CancelledError) and not call.cancelled:
            yield f"{call.mark} was told withdrawn, and nobody did"
        proof = call.acceptance
        if proof is not None and not self._is_the_same_name_of_another_client(call, proof):
            if not received:
                yield f"{call.mark} was not accepted, and there is proof of it by {proof.how}"
            elif proof.conversation_id not in (None, received[0].conversation_id):
                yield f"{call.mark} has proof by {proof.how} in a conversation of another"
            elif proof.job is not None and proof.job.id != received[0].job_id:
                yield f"{call.mark} has proof by {proof.how} of another's job"

    def _is_the_same_name_of_another_client(self, call: Call, proof: Acceptance) -> bool:
        """Say whether a client was deceived by another one, which it cannot know of.

        Both gave the same name, at the same time or in the same second. It is the one
        limit of proof by name, and stated as such to the user.
        """
        if proof.how != "name":
            return False
        owners = [
            other
            for other in self.calls
            for received in self.server.submissions
            if received.conversation_id == proof.conversation_id
            and mark_of(received) == other.mark == other.thread
        ]
        return bool(owners) and all(other.reign != call.reign for other in owners)

    def _judge_job(self, mark: int, job: Job) -> Iterator[str]:
        ended = job._outcome.exception() if job._outcome is not None and job.done() else None
        status = self.server.jobs[job.id].status.value
        if job.done() and ended is None and status != "completed":
            yield f"the job of {mark} was told completed, and is {status}"
        if isinstance(ended, JobFailedError) and status != "failed":
            yield f"the job of {mark} was told failed, and is {status}"
        if isinstance(ended, JobLostError) and self.faults == 0:
            yield f"the job of {mark} was lost, and nothing went wrong"

    def _order(self, accepted: dict[int, list[Received]]) -> Iterator[str]:
        """In call order; one at a time, if so configured and nobody lost sight of a job."""
        mark_by_job = {r.job_id: mark for mark, rs in accepted.items() for r in rs}
        by_conversation: dict[str, list[int]] = {}
        for job in self.server.jobs.values():
            by_conversation.setdefault(job.conversation_id, []).append(mark_by_job[job.id])
        call_of = {call.mark: call for call in self.calls}
        for conversation_id, marks in by_conversation.items():
            if len({call_of[mark].thread for mark in marks}) > 1:
                yield f"{conversation_id} holds what was meant for another: {marks}"
            # What timed out may be taken in later than what came after it.
            if self.rules.answer < 300:
                marks = [m for m in marks if isinstance(outcome(call_of[m].submission), Job)]
            if marks != sorted(marks):
                yield f"{conversation_id} was not written in call order: {marks}"
            if self.rules.advance_on == "completed" and all(
                self._was_seen_to_end(call_of[m]) for m in marks
            ):
                jobs = [self.server.jobs[str(accepted[m][0].job_id)] for m in marks]
                for before, after in pairwise(jobs):
                    if before.history[-1][1] > after.history[0][1]:
                        yield f"two jobs of {conversation_id} ran at the same time"

    def _was_seen_to_end(self, call: Call) -> bool:
        job = job_of(call.submission)
        if job is None or job._outcome is None or not job.done():
            return False
        ended = job._outcome.exception()
        return ended is None or isinstance(ended, JobFailedError)

    def _slots(self, accepted: dict[int, list[Received]]) -> Iterator[str]:
        most = self.server.max_unfinished
        if most > self.rules.job_limit:
            yield f"{most} jobs were unfinished at a time, over the account's limit"
        unseen = sum(
            len(accepted.get(c.mark, [])) for c in self.calls if not self._was_seen_to_end(c)
        )
        if self.rules.jobs is not None and most > self.rules.jobs + unseen:
            yield f"{most} jobs were unfinished at a time, over the client's limit"

    def _accepted(self) -> dict[int, list[Received]]:
        accepted: dict[int, list[Received]] = {}
        for received in self.server.submissions:
            if received.accepted:
                accepted.setdefault(int(received.query["mark"]), []).append(received)
        return accepted


def outcome(submission: Submission) -> Job | BaseException | None:
    return submission._outcome() if submission.done() else None


def job_of(submission: Submission) -> Job | None:
    came = outcome(submission)
    return came if isinstance(came, Job) else None


def mark_of(received: Received) -> int | None:
    # The server keeps no query of a request that shows no valid token.
    mark = received.query.get("mark")
    return None if mark is None else int(mark)


async def _stream(what: str) -> AsyncIterator[bytes]:
    data = mp4_bytes(100_000)
    yield data[:30_000]
    await asyncio.sleep(0)
    if what == "broken stream":
        raise RuntimeError("the caller's own stream broke")
    yield data[30_000:90_000]
    if what == "stream":
        yield data[90_000:]


async def _result(submission: Submission) -> Job:
    return await submission


async def _read(events: AsyncIterator[object]) -> None:
    async for _ in events:
        pass


async def _quiet(work: Any) -> None:
    with contextlib.suppress(SymblError):
        await work


@contextlib.asynccontextmanager
async def _hook(world: World) -> AsyncIterator[None]:
    """Take the server's webhook calls for whichever client is there."""

    async def hear(request: web.Request) -> web.Response:
        nonce, mark = request.match_info["nonce"], request.match_info["mark"]
        body = await request.read()
        return web.Response(status=world.client.webhooks.receive(nonce, mark, body))

    app = web.Application()
    app.router.add_post("/hook/{nonce}/{mark}", hear)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    world.hook = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield
    finally:
        await runner.cleanup()


async def live(rules: Rules, steps: list[Step], end: Step, directory: Path) -> World:
    """Live through a history, to its very end."""
    server = LocalSymbl(
        job_limit=rules.job_limit,
        probe_media=False,
        keep_bodies=False,
        hash_bodies=False,
        default_transcript="Ann: We ship.",
    )
    world = World(rules, server, directory)
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: world.complaints.append(f"the event loop was told {context}")
    )
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(server)
        if rules.hooked:
            await stack.enter_async_context(_hook(world))
        world.begin()
        await world.client.start()
        try:
            for step in (*steps, end):
                await world.take(step)
            await world.close_the_books()
        except BaseException as error:
            error.add_note("\n".join(world.diary))
            raise
        finally:
            await world.client.aclose(drain="none")
            for waiter in world.waiters:
                waiter.cancel()
    return world
