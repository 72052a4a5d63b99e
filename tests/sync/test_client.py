"""Programs without an event loop, against the local server in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import gc
import os
import pickle
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from symbl_aio import (
    AccessToken,
    AmbiguousSubmissionError,
    Audio,
    ClientClosedError,
    Config,
    ConfigurationError,
    Credentials,
    EarlyReadWarning,
    JobStatus,
    JobTimeoutError,
    MediaRejectedError,
    NotFoundError,
    StillAmbiguousError,
    Text,
    TextOptions,
    Tracker,
    UploadError,
)
from symbl_aio.events import Event, SubmissionQueued
from symbl_aio.sync import Completed, Failed, SymblClient
from symbl_aio.sync.portal import Portal
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK

RECORDING = Path(__file__).parents[2] / "examples" / "media" / "inaugural.mp4"


class Server:
    """A server whose event loop is in another thread, as at a user's."""

    def __init__(self, symbl: LocalSymbl, portal: Portal) -> None:
        self.base_url, self.app_id, self.app_secret = symbl.base_url, symbl.app_id, symbl.app_secret
        self._symbl = symbl
        self._portal = portal

    def hold_jobs(self) -> None:
        self._portal.run(self._symbl.hold_jobs)

    def release(self) -> None:
        self._portal.run(self._symbl.release)

    def inject(self, fault: str, on: str) -> None:
        self._portal.run(lambda: self._symbl.inject(fault, on=on))


@pytest.fixture
def server() -> Iterator[Server]:
    portal = Portal()
    portal.start()
    symbl = LocalSymbl()
    portal.call(symbl.start)
    yield Server(symbl, portal)
    portal.call(symbl.aclose)
    portal.stop()


@pytest.fixture
def client(server: Server) -> Iterator[SymblClient]:
    with client_of(server) as client:
        yield client


def client_of(server: Server | LocalSymbl, **settings: object) -> SymblClient:
    config = Config(base_url=server.base_url, proxy=None, trust_env=False, **QUICK)
    return SymblClient(Credentials(server.app_id, server.app_secret), config=config, **settings)  # type: ignore[arg-type]


def background_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "symbl_aio sync"]


def test_a_recording_becomes_a_conversation(client: SymblClient):
    submission = client.submit(RECORDING)
    sent = [progress.sent for progress in submission.progress()]
    job = submission.wait()
    statuses = [event.status for event in job.events()]
    conversation = job.wait()

    assert sent == sorted(sent)
    assert statuses[-1] is job.status is JobStatus.COMPLETED
    assert conversation.id == job.conversation_id == job.conversation.id
    assert len(conversation.messages()) == 1
    assert conversation.everything().info.id == conversation.id
    assert repr(client) == f"<SymblClient of {client.config.base_url}>"


def test_appends_are_sent_in_the_order_of_the_calls(client: SymblClient, server: Server):
    first = client.submit(Text("One."), TextOptions(name="Monday"))
    client.append(first, Text("Two."))
    last = client.append(first, Text("Three."))

    conversation = last.wait().wait()
    conversation.append(Text("Four.")).wait().wait()

    assert [message.text for message in conversation.messages()] == [
        "One.",
        "Two.",
        "Three.",
        "Four.",
    ]
    assert [info.name for info in client.conversations()] == ["Monday"]


def test_many_sources_are_mapped_and_one_failure_hides_no_other(client: SymblClient):
    sources = [RECORDING, RECORDING.with_name("no.mp4"), RECORDING]

    outcomes = list(client.map(sources, ordered=True))

    assert [(one.index, one.source, one.ok) for one in outcomes] == [
        (0, sources[0], True),
        (1, sources[1], False),
        (2, sources[2], True),
    ]
    done, failed, _ = outcomes
    assert isinstance(done, Completed)
    assert done.unwrap().messages()
    assert done.job.token
    assert isinstance(failed, Failed)
    assert failed.job is None
    with pytest.raises(MediaRejectedError):
        failed.unwrap()


def test_an_iteration_that_is_left_early_is_closed(client: SymblClient):
    for outcome in client.map([Text("One."), Text("Two.")]):
        assert outcome.ok
        break

    assert client.process(Text("Three.")).messages()


def test_a_job_is_attached_by_its_token_and_refreshed(client: SymblClient, server: Server):
    server.hold_jobs()
    token = client.submit(Text("Hello.")).wait().token
    job = client.job(token)

    assert job.refresh() is JobStatus.IN_PROGRESS
    assert not job.done()
    with pytest.raises(JobTimeoutError):
        job.wait(timeout=0.01)
    assert client.job_status(job.id) is JobStatus.IN_PROGRESS
    assert client.unfinished
    server.release()
    assert job.wait(timeout=30).id
    assert job.done()


def test_the_records_of_the_account_are_there(client: SymblClient):
    made = client.trackers.create(Tracker("Deadline", ["by Friday", "too late"]))
    assert [one.name for one in client.trackers.list()] == ["Deadline"]
    assert made.id is not None
    client.trackers.delete(made.id)
    assert list(client.trackers.list()) == []
    assert list(client.groups.list()) == []


def test_an_error_is_raised_at_the_line_of_the_call(client: SymblClient, server: Server):
    with pytest.raises(NotFoundError):
        client.conversation("9").messages()
    with pytest.raises(ConfigurationError):
        client.submit(b"no media")  # type: ignore[arg-type]
    server.inject("accept_then_drop", on="POST")
    with pytest.raises(AmbiguousSubmissionError) as found:
        client.submit(Text("Hello.")).wait()
    with pytest.raises(StillAmbiguousError):
        client.reconcile(found.value)


def test_a_submission_is_withdrawn(client: SymblClient, server: Server):
    server.hold_jobs()
    first = client.submit(Text("One."))
    second = client.append(first, Text("Two."))
    first.wait()

    with pytest.raises(TimeoutError):
        second.wait(timeout=0.01)
    assert second.cancel()
    assert second.done()
    with pytest.raises(concurrent.futures.CancelledError):
        second.wait()
    server.release()


def test_threads_share_one_client(client: SymblClient):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda n: client.process(Text(f"Number {n}.")).messages()[0].text, range(16))
        )

    assert found == [f"Number {n}." for n in range(16)]


async def test_a_program_with_a_running_loop_may_use_it_too():
    async with LocalSymbl() as server:

        def program() -> str:
            with client_of(server) as client:
                return client.process(Text("Hello.")).messages()[0].text

        assert await asyncio.to_thread(program) == "Hello."


def test_a_client_that_is_closed_says_so_and_leaves_no_thread(server: Server):
    before = len(background_threads())
    client = client_of(server)
    with pytest.raises(ClientClosedError):
        client.stats()
    with client:
        assert client.stats().queued == 0
        conversation = client.process(Text("Hello."))
        iteration = client.conversations()
        next(iteration)
        assert len(background_threads()) == before + 1

    assert len(background_threads()) == before
    for use in (client.stats, conversation.messages, lambda: client.submit(Text("x"))):
        with pytest.raises(ClientClosedError):
            use()
    iteration.close()
    with pytest.raises(ConfigurationError):
        client.start()


def test_running_jobs_are_kept_when_it_closes(server: Server):
    server.hold_jobs()
    with client_of(server) as client:
        token = client.submit(Text("Hello.")).wait().token
        client.job(token)

    assert client.unfinished == (token,)


def test_a_client_that_cannot_start_leaves_no_thread(server: Server):
    before = len(background_threads())
    client = SymblClient(
        AccessToken("t"), config=Config(base_url="https://a.test", ca_file="/no/such/file")
    )

    with pytest.raises(ConfigurationError):
        client.start()

    assert len(background_threads()) == before


def test_an_observer_that_calls_the_client_gets_an_error_and_not_a_deadlock(server: Server):
    found: list[BaseException] = []

    def observer(_: Event) -> None:
        try:
            observed.close()
        except ConfigurationError as error:
            found.append(error)

    observed = client_of(server, observers=[observer])
    with observed:
        observed.process(Text("Hello."))
        assert observed.process(Text("Hello.")).messages()

    assert found


def test_ctrl_c_ends_the_wait_and_not_the_job(client: SymblClient, server: Server):
    server.hold_jobs()
    job = client.submit(Text("Hello.")).wait()
    waiting = threading.Event()

    def interrupt() -> None:
        waiting.wait()
        os.kill(os.getpid(), signal.SIGINT)

    class Noticed:
        """Sets ``waiting`` once the main thread is about to wait."""

        def __enter__(self) -> None:
            waiting.set()

        def __exit__(self, *_: object) -> None: ...

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt), Noticed():
        job.wait()
    thread.join()

    server.release()
    assert job.wait(timeout=30).messages()


def test_closing_it_again_or_unstarted_is_harmless(server: Server):
    client_of(server).close()
    with client_of(server) as client:
        client.close()
    client.close()


FORKING = """
import gc, os, sys, warnings
from symbl_aio import Config, ConfigurationError, Credentials, Text
from symbl_aio.sync import SymblClient

warnings.simplefilter("ignore")  # of a fork beside threads

def client_of_this_process():
    config = Config(base_url=sys.argv[1], proxy=None, trust_env=False)
    return SymblClient(Credentials(*sys.argv[2:]), config=config)

with client_of_this_process() as client:
    client.process(Text("Hello."))
    iteration = client.conversations()
    next(iteration)
    if not (child := os.fork()):
        try:
            client.process(Text("Hello."))
        except ConfigurationError as error:
            print(error, flush=True)
        iteration.close()
        client.close()
        client = client_of_this_process()
        gc.collect()
        with client:
            client.process(Text("Hello."))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    client.process(Text("Hello."))
"""


def test_a_fork_is_refused_the_client_of_its_parent_and_leaves_it_whole(server: Server):
    run = subprocess.run(
        [sys.executable, "-c", FORKING, server.base_url, server.app_id, server.app_secret],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert run.returncode == 0, run.stderr
    assert "in each process" in run.stdout


def test_sources_are_read_in_the_thread_that_iterates(client: SymblClient):
    table = sqlite3.connect(":memory:")
    table.execute("CREATE TABLE lines (words TEXT)")
    table.executemany("INSERT INTO lines VALUES (?)", [("One.",), ("Two.",)])
    rows = table.execute("SELECT words FROM lines")

    assert [one.ok for one in client.map(Text(words) for (words,) in rows)] == [True, True]
    table.close()


def test_a_source_that_blocks_delays_no_other_thread_and_ends_at_ctrl_c(client: SymblClient):
    never: queue.SimpleQueue[Text] = queue.SimpleQueue()
    reading = threading.Event()
    found: list[str] = []

    def blocking() -> Iterator[Text]:
        reading.set()
        yield never.get()

    def other() -> None:
        reading.wait()
        found.append(client.process(Text("Hello.")).messages()[0].text)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=other)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        list(client.map(blocking()))
    thread.join()

    assert found == ["Hello."]


def test_a_wrong_argument_of_map_is_an_error_at_the_call(client: SymblClient):
    with pytest.raises(ConfigurationError, match="iterable"):
        client.map("standup.mp4")
    with pytest.raises(ConfigurationError, match="ordered"):
        client.map(["standup.mp4"], ordered="yes")  # type: ignore[arg-type]


def test_a_wait_for_a_submission_has_the_errors_of_a_wait_for_a_job(
    client: SymblClient, server: Server
):
    server.hold_jobs()
    first = client.submit(Text("One."))
    second = client.append(first, Text("Two."))

    with pytest.raises(TimeoutError, match=f"{second.key} was not accepted within 0.01 s"):
        second.wait(timeout=0.01)
    for timeout in (float("nan"), "1", True):
        with pytest.raises(ConfigurationError, match="timeout"):
            second.wait(timeout=timeout)  # type: ignore[arg-type]
    server.release()


@pytest.mark.parametrize("way", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_a_copied_handle_keeps_its_ids_and_has_no_client(client: SymblClient, way: Any):
    (outcome,) = client.map([Text("Hello.")])

    made = way(outcome)

    assert isinstance(made, Completed)
    assert isinstance(outcome, Completed)
    assert (made.job.token, made.job.status) == (outcome.job.token, JobStatus.COMPLETED)
    assert made.unwrap().id == outcome.unwrap().id
    assert made.job.done()
    assert client.job(made.job.token).wait().id == made.conversation.id
    for use in (
        made.job.wait,
        made.job.refresh,
        lambda: next(made.job.events()),
        made.conversation.messages,
        made.conversation.everything,
        lambda: made.conversation.append(Text("No.")),
    ):
        with pytest.raises(ConfigurationError, match=r"client\.(job|conversation)"):
            use()


def test_what_cannot_be_copied_says_what_can(client: SymblClient):
    submission = client.submit(Text("One."))
    submission.wait()
    bookmarks = client.conversation("1").bookmarks
    for value in (submission, client, client.trackers, client.settings, bookmarks):
        for way in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match=r"job\.token"):
                way(value)


def test_a_client_that_is_dropped_is_named_and_keeps_its_sockets(server: Server):
    client = client_of(server)
    client.start()
    job = client.submit(Text("Hello.")).wait()
    inner, portal = client._client, client._portal

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        del client
        gc.collect()

    assert [str(one.message) for one in found] == [f"unclosed {inner!r}"]
    assert job.wait().messages()
    portal.call(inner.aclose)
    portal.stop()


def test_an_observer_that_exits_ends_no_work(server: Server, caplog: pytest.LogCaptureFixture):
    """In the thread of the client, which is not the one that may end the program."""

    def observer(event: Event) -> None:
        if isinstance(event, SubmissionQueued):
            sys.exit("from an observer")

    with client_of(server, observers=[observer]) as client:
        assert client.process(Text("Hello.")).messages()
    assert caplog.messages == ["an observer failed at SubmissionQueued"]


def test_a_stream_that_exits_ends_its_submission_alone(server: Server):
    async def stream() -> AsyncIterator[bytes]:
        sys.exit("from a stream")
        yield b""

    with client_of(server) as client:
        with pytest.raises(UploadError, match="broke: SystemExit"):
            client.process(Audio(stream(), content_type="audio/wav", size=1000))
        assert client.process(Text("Hello.")).messages()


LEAVING = """
import logging, sys
from symbl_aio import Config, Credentials, Text
from symbl_aio.sync import SymblClient

class Service:
    def __init__(self):
        config = Config(base_url=sys.argv[1], proxy=None, trust_env=False)
        self.client = SymblClient(Credentials(*sys.argv[2:]), config=config)
        self.client.start()

    def __del__(self):
        self.client.close()

# On a busy machine a step takes long, which the debug mode of asyncio writes down.
logging.getLogger("asyncio").addFilter(lambda record: " took " not in record.getMessage())
service = Service()
outcomes = service.client.map(Text(f"Part {number}.") for number in range(999))
print(next(outcomes).ok)
conversations = service.client.conversations()
next(conversations)
"""


def test_an_interpreter_ends_with_a_client_and_iterations_that_are_open(server: Server):
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", LEAVING, server.base_url, server.app_id,
         server.app_secret],
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip

    assert (run.returncode, run.stdout, run.stderr) == (0, "True\n", "")


def test_ctrl_c_at_the_end_of_its_start_closes_the_client(server: Server):
    class Interrupted(Portal):
        def call(self, *arguments: Any) -> Any:
            super().call(*arguments)
            Interrupted.call = Portal.call  # type: ignore[method-assign]
            raise KeyboardInterrupt

    client = client_of(server)
    client._portal = Interrupted()
    before = len(background_threads())

    with pytest.raises(KeyboardInterrupt), client:
        pass

    assert len(background_threads()) == before
    del client  # an open session of aiohttp would warn
    gc.collect()


def test_an_early_read_is_a_warning_at_the_line_of_the_caller(client: SymblClient, server: Server):
    server.hold_jobs()
    for read in ("messages", "everything", "transcript"):
        conversation = client.submit(Text("Hello.")).wait().conversation
        with pytest.warns(EarlyReadWarning) as found:
            getattr(conversation, read)()
        assert [warning.filename for warning in found] == [__file__]
        getattr(conversation, read)()
    server.release()
