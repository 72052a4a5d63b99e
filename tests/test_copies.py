"""Whatever is raised or returned crosses processes: pickled, copied, and still the same."""

from __future__ import annotations

import asyncio
import copy
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from typing import Any, get_args

import attrs
import pytest

import symbl_aio
from symbl_aio import (
    AccessToken,
    AmbiguousSubmissionError,
    APIError,
    AppendBlockedError,
    Completed,
    ConfigurationError,
    DecodeError,
    Event,
    Job,
    JobFailedError,
    JobStatus,
    NotFoundError,
    Page,
    SymblError,
    Text,
    TransportError,
    errors,
    models,
)
from symbl_aio.contrib.problems import BadUploadError
from symbl_aio.contrib.service import Embedded
from symbl_aio.durable import Item, ItemEvent, Outbox, Worker
from symbl_aio.events import JobEvent, UploadProgress
from symbl_aio.job import Acceptance
from symbl_aio.testing import LocalSymbl
from tests.raising import Unreadable, raise_not_found, raise_unreadable
from tests.support import QUICK

WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "old pickle": lambda value: pickle.loads(pickle.dumps(value, 2)),
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


class Desk:
    """The side of a job that its token needs."""

    origin = "http://127.0.0.1:9"

    def follow(self, job: Job) -> None: ...


def a_job() -> Job:
    made = Job("job-1", "conversation-1", backend=Desk(), since=5)  # type: ignore[arg-type]
    made._advance(JobStatus.FAILED, "failed", "poll")
    return made


def everywhere(base: type[Any]) -> Iterator[type[Any]]:
    """Every class below, of all the modules there are."""
    for found in base.__subclasses__():
        if found.__module__.startswith("symbl_aio"):
            yield found
        yield from everywhere(found)


def import_all() -> None:
    for module in pkgutil.walk_packages(symbl_aio.__path__, "symbl_aio."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:  # of an extra that is not here
                if (error.name or "").startswith("symbl_aio"):
                    raise


def example(parameter: inspect.Parameter) -> Any:
    known: dict[str, Any] = {
        "message": "the message", "raw": "<raw>", "sent": "partial", "status": 418, "key": "k-1",
        "body": "<body>", "where": "GET /", "job": a_job(), "cause": ServerWords("cause"),
        "reconcile": None, "final": True, "conversation_id": "c-1", "retry_after": 2.5,
    }  # fmt: skip
    return known[parameter.name]


class ServerWords(NotFoundError):
    """Somebody's own subclass, with an attribute of its own."""

    def __init__(self, words: str) -> None:
        super().__init__(404, words)
        self.words = words


def make(cls: type[BaseException]) -> BaseException:
    positional: list[Any] = []
    named: dict[str, Any] = {}
    if cls.__init__ in (Exception.__init__, ValueError.__init__, OSError.__init__):
        return cls("the message")
    parameters = inspect.signature(cls.__init__).parameters.values()
    for parameter in list(parameters)[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return cls("the message")
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[parameter.name] = example(parameter)
        else:
            positional.append(example(parameter))
    return cls(*positional, **named)


def raised(error: BaseException, cause: BaseException | None) -> BaseException:
    """As a caller gets it: with frames that hold what cannot be pickled, and a cause."""
    unpicklable = (lambda: None, asyncio.Lock())
    try:
        raise error from cause
    except BaseException as caught:
        assert unpicklable
        return caught


def same(one: object, other: object) -> bool:
    """Whether two attributes say the same."""
    if isinstance(one, Job):
        return isinstance(other, Job) and one.token == other.token and one.status == other.status
    if isinstance(one, BaseException):
        return type(one) is type(other) and str(one) == str(other)
    return one == other


@each_way
async def test_every_error_stays_what_it_is(way: Callable[[Any], Any]) -> None:
    import_all()
    wrong: list[str] = []
    classes = {SymblError, BadUploadError, *everywhere(SymblError)}
    public = {value for value in vars(errors).values() if inspect.isclass(value)}
    assert {one for one in public if issubclass(one, SymblError)} <= classes
    for cls in classes:
        cause = raised(TransportError("reset", "maybe"), ConnectionResetError(104, "reset"))
        error = raised(make(cls), None if cls is AppendBlockedError else cause)
        error.add_note("a note")
        made = way(error)
        for name, value in error.__dict__.items():
            if not same(value, made.__dict__.get(name)):
                wrong.append(f"{cls.__name__}.{name} became {made.__dict__.get(name)!r}")
        if type(made) is not cls or (str(made), repr(made)) != (str(error), repr(error)):
            wrong.append(f"{error!r} became {made!r}")
        if isinstance(error, SymblError) and not same(error.__cause__, made.__cause__):
            wrong.append(f"the cause of {cls.__name__} became {made.__cause__!r}")
        if isinstance(error, SymblError) and cls is not AppendBlockedError:
            assert isinstance(made.__cause__.__cause__, ConnectionResetError)
    assert not wrong, "\n".join(wrong)
    assert len(classes) > 25


@each_way
async def test_a_cause_that_cannot_be_read_again_is_named(way: Callable[[Any], Any]) -> None:
    for cause in (Unreadable("one", "two"), RuntimeError(asyncio.Lock(), lambda: 1)):
        made = way(raised(AppendBlockedError("blocked", cause), cause))
        assert (type(made), str(made)) == (AppendBlockedError, "blocked")
        assert type(made.cause) is SymblError
        assert type(cause).__name__ in str(made.cause)
        assert "one two" not in str(made.cause)
        assert str(made.__cause__) == str(made.cause)


@each_way
async def test_a_copied_doubt_has_nobody_to_ask(
    way: Callable[[Any], Any], server: LocalSymbl
) -> None:
    async with server.client(**QUICK) as symbl:
        server.inject("accept_then_drop", on="POST", times=1)
        with pytest.raises(AmbiguousSubmissionError) as doubt:
            await symbl.submit(Text("Perhaps."), key="mine")
        made = way(doubt.value)
        assert (made.key, made.sent, str(made)) == ("mine", doubt.value.sent, str(doubt.value))
        with pytest.raises(ConfigurationError, match="copy"):
            await made.reconcile()


@each_way
async def test_a_copied_job_keeps_what_re_attaches_it(
    way: Callable[[Any], Any], server: LocalSymbl
) -> None:
    async with server.client(**QUICK) as symbl:
        server.inject("job_fails", times=1)
        job = await symbl.submit(Text("One."))
        with pytest.raises(JobFailedError) as failed:
            await job
        for copied in (way(job), way(Acceptance("c", job, "name")).job):
            if copied is job:  # of what only refers to it
                continue
            assert copied.token == job.token
            assert (copied.id, copied.status, repr(copied)) == (job.id, job.status, repr(job))
            assert copied.done()
            for use in (copied.wait, copied.refresh, copied.__await__().__next__):
                with pytest.raises(ConfigurationError, match=r"client\.job\(job\.token\)"):
                    found = use()
                    await found
            with pytest.raises(ConfigurationError, match="token"):
                async for _ in copied.events():
                    pass
        assert symbl.job(way(failed.value).job.token).id == job.id


@each_way
async def test_all_that_a_client_returns_is_kept(
    way: Callable[[Any], Any], server: LocalSymbl
) -> None:
    events: list[Event] = []
    async with server.client(observers=[events.append], **QUICK) as symbl:
        conversation = await symbl.process(Text("Send the report by Friday. Is it late?"))
        pages = [await getattr(conversation, part)() for part in ("messages", "questions")]
        everything = await conversation.everything()
        (outcome,) = [one async for one in symbl.map([Text("Two.")])]
        values = [*pages, everything, symbl.stats(), *events, symbl.config]
        for value in values:
            made = way(value)
            assert type(made) is type(value)
            if not isinstance(value, Page):
                assert made == value or not hasattr(value, "__attrs_attrs__")
        for page in pages:
            made = way(page)
            assert type(page.headers) is dict
            assert (made.items, made.raw, made.status, made.headers, made.elapsed) == (
                page.items, page.raw, page.status, page.headers, page.elapsed
            )  # fmt: skip
        made = way(outcome)
        assert isinstance(made, Completed)
        assert (made.ok, made.index, made.source) == (True, 0, Text("Two."))
        assert made.job is not None
        assert made.unwrap().id == outcome.unwrap().id
        copied = way(conversation)
        assert copied.id == conversation.id
        with pytest.raises(ConfigurationError, match=r"client\.conversation"):
            await copied.messages()
        with pytest.raises(ConfigurationError, match=r"client\.conversation"):
            copied.append(Text("No."))


@each_way
def test_every_model_and_event_is_kept(way: Callable[[Any], Any]) -> None:
    kinds = {
        value
        for value in [
            *(getattr(models, name) for name in dir(models)),
            *get_args(Event),
            JobEvent,
            UploadProgress,
            Item,
            ItemEvent,
        ]
        if inspect.isclass(value) and attrs.has(value) and value is not Page
    }
    for kind in kinds:
        given = {
            field.name: datetime(2026, 1, 1, tzinfo=UTC) if field.name == "at" else field.name
            for field in attrs.fields(kind)
            if field.init and field.default is attrs.NOTHING
        }
        value = kind(**given)
        made = way(value)
        assert type(made) is kind
        assert made == value
    assert len(kinds) > 30


async def test_what_cannot_be_copied_says_what_can(server: LocalSymbl) -> None:
    async with server.client(**QUICK) as symbl:
        submission = symbl.submit(Text("One."))
        for value, remedy in (
            (submission, "job.token"),
            (symbl, "job.token"),
            (symbl.trackers, "job.token"),
            (symbl.conversation("c").bookmarks, "job.token"),
            (Outbox("sqlite:///x.db"), "each process"),
            (Worker("sqlite:///x.db", AccessToken("unused")), "each process"),
            (Embedded(AccessToken("unused")), "each process"),
        ):
            for way in (pickle.dumps, copy.deepcopy):
                with pytest.raises(TypeError, match=remedy):
                    way(value)
        await submission


def test_a_pool_of_processes_hands_errors_on() -> None:
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        for number in range(2):
            error = executor.submit(raise_not_found, number).exception(timeout=40)
            assert isinstance(error, APIError)
            assert (error.status, error.message) == (404, f"no such job {number}")
        assert isinstance(
            executor.submit(raise_unreadable).exception(timeout=40), AppendBlockedError
        )
    with context.Pool(1) as pool:
        with pytest.raises(NotFoundError, match="no such job 7"):
            pool.apply_async(raise_not_found, (7,)).get(timeout=40)
        with pytest.raises(AppendBlockedError):
            pool.apply_async(raise_unreadable).get(timeout=40)


def test_what_was_not_understood_is_still_there() -> None:
    assert pickle.loads(pickle.dumps(DecodeError("no list", "<html>"))).raw == "<html>"
