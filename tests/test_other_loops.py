"""Whatever is used on another event loop than its client's says so, and nothing hangs."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import frozen

from symbl_aio import (
    AccessToken,
    AmbiguousSubmissionError,
    BookmarkDraft,
    Config,
    ConfigurationError,
    Conversation,
    EntityDraft,
    GroupDraft,
    Job,
    Limits,
    Patch,
    SpeakerEvent,
    Submission,
    SymblClient,
    Text,
    Tracker,
    User,
)
from symbl_aio._protocol.webhook_calls import webhook_url
from symbl_aio.bookmarks import Bookmarks
from symbl_aio.contrib.service import Embedded
from symbl_aio.contrib.service_outbox import Durable
from symbl_aio.durable import Outbox, Worker
from symbl_aio.management import Entities, Groups, Settings, Trackers
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK

T = TypeVar("T")
REMEDY = "run_coroutine_threadsafe"
HANDLES: tuple[type, ...] = (
    SymblClient, Submission, Job, Conversation, Bookmarks, Trackers, Groups, Entities, Settings,
    AmbiguousSubmissionError, Outbox, Embedded, LocalSymbl,
)  # fmt: skip
# These only make a handle or read what cannot change, or are made for any thread.
HARMLESS = {
    "SymblClient.conversation",
    "SymblClient.stream",
    "SymblClient.stream_file",
    "Submission.done",
    "Job.done",
    "Embedded.allows",
    "LocalSymbl.client",
    "LocalSymbl.appended",
    "LocalSymbl.arrivals",
    "LocalSymbl.clear_faults",
    "Trackers.update",  # of the other paths: refused anyway
    "LocalSymbl.inject",
    "LocalSymbl.register_recording",
    "LocalSymbl.register_transcript",
    "LocalSymbl.revoke_tokens",
    # Of the exception itself.
    "AmbiguousSubmissionError.add_note",
    "AmbiguousSubmissionError.with_traceback",
    # Starting twice is an error everywhere.
    "SymblClient.start",
    "SymblClient.__aenter__",
    "Outbox.start",
    "Outbox.__aenter__",
    "Embedded.__aenter__",
    "LocalSymbl.start",
    "LocalSymbl.__aenter__",
}
SECRET = "a webhook secret, which is long enough"
USER = User(id="u", name="Ann", email="ann@example.org")
MARKED = BookmarkDraft(label="a", description="b", user=USER, begin_time_offset=0, duration=1)
CALL = b'{"jobId": "job-1", "status": "completed"}'


class Chunks:
    """The body of a request, which arrives in one piece, each time that it is read."""

    def __init__(self) -> None:
        self._left = [CALL]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._left:
            return self._left.pop()
        self._left = [CALL]
        raise StopAsyncIteration

    async def aclose(self) -> None:
        pass


GIVEN: dict[str, object] = {
    "media": Text("Hello."), "sources": [Text("Hello.")], "key": "k", "job_id": "job-1",
    "conversation": "c", "conversation_id": "c", "metadata": {"a": "b"}, "accepted": False,
    "events": [SpeakerEvent("started_speaking", USER, 0)], "changes": [Patch("remove", "/name")],
    "draft": MARKED, "drafts": [MARKED], "tracker": Tracker("a", ["b"]),
    "group": GroupDraft("a", "criteria"), "entity": EntityDraft("custom", "sub", ["a"]),
    "nonce": "n", "mark": webhook_url("", SECRET, "n").rpartition("/")[2],
    "body": CALL, "chunks": Chunks(), "predicate": lambda: False,
    "url": "https://media.example.com/a.mp3", "trackers": [Tracker("a", ["b"])],
    "groups": [GroupDraft("a", "criteria")], "entities": [EntityDraft("custom", "sub", ["a"])],
    "kind": None, "error": None, "traceback": None,
}  # fmt: skip


class Elsewhere:
    """An event loop that runs in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(timeout=30)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    running = Elsewhere()
    yield running
    running.close()


@frozen
class World:
    """One live handle of each kind, whose work does not end by itself, on another loop."""

    handles: dict[type, Any]


async def _open(server: LocalSymbl, directory: Path) -> tuple[World, Callable[[], Any]]:
    client = server.client(limits=Limits(jobs=2), tracker_paths="2024", **QUICK)
    await client.start()
    server.inject("accept_then_drop", on="POST", times=1)
    with pytest.raises(AmbiguousSubmissionError) as doubt:
        await client.submit(Text("Perhaps."))
    server.hold_jobs()
    job = await client.submit(Text("One."))
    submission = client.append(job, Text("Two."))
    conversation = client.conversation(job.conversation_id or "")
    database = f"sqlite:///{directory}/outbox.db"
    outbox = Outbox(database, webhook_secret=SECRET)
    await outbox.start()
    service = Embedded(
        AccessToken("token"),
        config=Config(
            base_url=server.base_url, webhook_base_url="http://localhost", webhook_secret=SECRET
        ),
        durable=Durable(database, worker=False),
    )
    await service.__aenter__()
    handles: dict[type, Any] = {
        SymblClient: client,
        Submission: submission,
        Job: job,
        Conversation: conversation,
        Bookmarks: conversation.bookmarks,
        Trackers: client.trackers,
        Groups: client.groups,
        Entities: client.entities,
        Settings: client.settings,
        AmbiguousSubmissionError: doubt.value,
        Outbox: outbox,
        Embedded: service,
        LocalSymbl: server,
    }

    async def close() -> None:
        server.release()
        await service.__aexit__(None, None, None)
        await outbox.aclose()
        await client.aclose(drain="none")

    return World(handles), close


def methods(kind: type) -> Iterator[str]:
    """Name what can be called, awaited or iterated of a handle."""
    for name, member in inspect.getmembers(kind):
        if not callable(member) or isinstance(inspect.getattr_static(kind, name), type):
            continue
        if name in ("__aenter__", "__aexit__", "__await__", "__aiter__", "__anext__") or (
            not name.startswith("_") and inspect.isroutine(member)
        ):
            yield name


def arguments(method: Any, job: Job) -> tuple[list[Any], dict[str, Any]]:
    """Give an argument for each parameter that must be given."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.default is not parameter.empty or parameter.kind in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        ):
            continue
        value = job if name == "job" else GIVEN.get(name, "verbose-text-summary")
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[name] = value
        else:
            positional.append(value)
    return positional, named


async def use(handle: object, name: str, job: Job) -> None:
    """Call, await or iterate as a user would, at most for a while."""
    if name == "__await__":
        async with asyncio.timeout(10):
            await handle  # type: ignore[misc]
        return
    method = getattr(handle, name)
    positional, named = arguments(method, job)
    async with asyncio.timeout(10):
        found = method(*positional, **named)
        if inspect.isawaitable(found):
            await found
        elif hasattr(found, "__anext__"):
            async for _ in found:
                pass


async def test_everything_of_every_handle_refuses_another_loop(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    def running() -> tuple[World, Callable[[], Any]]:
        return elsewhere.run(begin())

    async def begin() -> tuple[World, Callable[[], Any]]:
        server = LocalSymbl(probe_media=False)
        await server.start()
        return await _open(server, tmp_path)

    world, close = await asyncio.to_thread(running)
    job = world.handles[Job]
    wrong: list[str] = []
    tried = 0
    for kind in HANDLES:
        for name in methods(kind):
            what = f"{kind.__name__}.{name}"
            if what in HARMLESS:
                continue
            tried += 1
            refusal = RuntimeError if kind is LocalSymbl else ConfigurationError
            try:
                await use(world.handles[kind], name, job)
            except refusal as error:
                if REMEDY not in str(error):
                    wrong.append(f"{what} raised {error!r}")
            except BaseException as error:
                wrong.append(f"{what} raised {error!r}")
            else:
                wrong.append(f"{what} raised nothing")
    server = world.handles[LocalSymbl]
    await asyncio.to_thread(lambda: elsewhere.run(close()))
    await asyncio.to_thread(lambda: elsewhere.run(server.aclose()))
    assert not wrong, "\n".join(wrong)
    assert tried > 100


async def test_what_has_ended_is_read_anywhere(elsewhere: Elsewhere) -> None:
    async def work() -> tuple[SymblClient, Submission, Job]:
        async with LocalSymbl(probe_media=False) as server, server.client(**QUICK) as symbl:
            submission = symbl.submit(Text("One."))
            job = await submission
            await job
            return symbl, submission, job

    symbl, submission, job = await asyncio.to_thread(lambda: elsewhere.run(work()))
    assert await submission is job
    assert (await job).id == job.conversation_id
    assert [event.status async for event in job.events()][-1] == job.status == await job.refresh()
    assert [progress async for progress in submission.progress()]
    assert submission.cancel() is False
    assert job.token in repr(symbl.unfinished) or symbl.unfinished == ()
    await symbl.aclose()
    assert symbl.stats().jobs == 0


async def test_an_iteration_that_is_carried_to_another_loop_ends_there(
    elsewhere: Elsewhere,
) -> None:
    """What began on the client's loop is refused elsewhere, and leaves nothing running."""
    server = LocalSymbl(probe_media=False)

    async def begin() -> tuple[SymblClient, list[AsyncIterator[Any]]]:
        await server.start()
        symbl = server.client(**QUICK)
        await symbl.start()
        found = symbl.map([Text("One."), Text("Two.")], ordered=True)
        assert (await anext(found)).ok
        server.hold_jobs()
        job = await symbl.submit(Text("Three."))
        events = job.events()
        await anext(events)
        listed = symbl.conversations(page_size=1, start_time=datetime(2020, 1, 1, tzinfo=UTC))
        await anext(listed)
        return symbl, [found, events, listed]

    async def end(symbl: SymblClient) -> None:
        await symbl.aclose(drain="none")
        await server.aclose()
        assert len(asyncio.all_tasks()) == 1

    symbl, iterators = await asyncio.to_thread(lambda: elsewhere.run(begin()))
    for iterator in iterators:
        with pytest.raises(ConfigurationError, match=REMEDY):
            async with asyncio.timeout(10):
                async for _ in iterator:
                    pass
    await asyncio.to_thread(lambda: elsewhere.run(end(symbl)))


async def test_without_any_loop_it_is_refused_as_well(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        for use_it in (
            lambda: symbl.submit(Text("One.")),
            lambda: symbl.job("job-1"),
            symbl.stats,
        ):
            with pytest.raises(ConfigurationError, match=REMEDY):
                await asyncio.to_thread(use_it)


def test_what_starts_under_another_library_than_asyncio_says_so(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'outbox.db'}"
    for start in (
        SymblClient(AccessToken("t")).start,
        Embedded(AccessToken("t")).__aenter__,
        Outbox(database).start,
        Worker(database, AccessToken("t")).start,
    ):
        with pytest.raises(ConfigurationError, match="trio"):
            start().send(None)  # as trio does, without a loop of asyncio
