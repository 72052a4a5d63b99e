"""How many calls does a reader follow from a request to its result?

    python -m benchmarks.journeys [--check] [--list JOURNEY]

Traces four journeys against the local server and counts, for each, the calls of functions
of ``symbl_aio``, the modules they lie in, and the calls that point up: against the imports,
of a function whose module imports the caller's, itself or through others.

Counted is each start of a function, method, property, lambda, coroutine or generator, in all
tasks and threads; the same call several times in a row (one for each character of a text) is
one. Not counted: the resumption of a coroutine; comprehensions and generator expressions, which
some versions of Python inline; ``__del__``; code that attrs and cattrs generate; the local
server and ``symbl_aio.testing``; ``_threads``, an executor like asyncio's own. The caller is the
nearest counted frame on the stack below, if there is one. Each journey is made once to warm up,
then several times, and the run with the fewest calls counts: the others hold a heartbeat or a
second poll.
"""

from __future__ import annotations

import argparse
import asyncio
import dis
import logging
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from aiohttp import web
from attrs import Factory, define, frozen

import symbl_aio
from benchmarks.pages import listening
from symbl_aio import Config, Credentials, Polls, Text
from symbl_aio.testing import LocalSymbl
from tests.test_layers import ROOT, imports, package

ROUNDS: Final = 5
PACKAGE: Final = Path(symbl_aio.__file__).parent
NOT_COUNTED: Final = ("server", "testing", "_threads")
SKIPPED: Final = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "__del__")
POLLS: Final = Polls(floor=0.1, ceiling=0.2)
"""Late enough that the first poll finds the job completed, also on a busy machine."""
NEVER: Final = Polls(floor=3600.0, ceiling=3600.0)
SECRET: Final = "s" * 32
TEXT: Final = Text("We begin.")


@frozen
class Aim:
    calls: int
    modules: int
    up: int


AIMS: Final = {
    "submit": Aim(200, 20, 4),
    "append": Aim(180, 19, 4),
    "webhook": Aim(80, 16, 2),
    "outbox": Aim(330, 28, 5),
}


@frozen
class Call:
    """One start of a function; ``depth`` counts the frames of the package below it."""

    module: str
    function: str
    depth: int
    thread: str
    up_from: str = ""


@define
class Recorder:
    """Collects calls while ``on``; threads must be started after ``watching`` began."""

    calls: list[Call] = Factory(list)
    on: bool = False
    _last: dict[int, tuple[CodeType, FrameType | None]] = Factory(dict)

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        if not self.on or event != "call" or _is_resumed(frame):
            return
        code = frame.f_code
        module = _module(code)
        if module is None:
            return
        callers = list(_callers(frame))
        here = (code, callers[0] if callers else None)
        if self._last.get(threading.get_ident()) == here:
            return
        self._last[threading.get_ident()] = here
        caller = _module(callers[0].f_code) if callers else None
        self.calls.append(
            Call(
                module,
                code.co_qualname,
                len(callers),
                threading.current_thread().name,
                caller if caller is not None and _points_up(caller, module) else "",
            )
        )

    @contextmanager
    def watching(self) -> Iterator[None]:
        threading.setprofile(self.profile)
        sys.setprofile(self.profile)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def begin(self) -> None:
        self.calls = []
        self.on = True

    def end(self) -> list[Call]:
        self.on = False
        self._last.clear()
        return self.calls


def _callers(frame: FrameType) -> Iterator[FrameType]:
    """Yield the counted frames on the stack below a frame, nearest first."""
    below = frame.f_back
    while below is not None:
        if _module(below.f_code) is not None:
            yield below
        below = below.f_back


@cache
def _module(code: CodeType) -> str | None:
    """Return the module inside the package that a counted function lies in."""
    path = Path(code.co_filename)
    if not path.is_relative_to(PACKAGE):  # neither has generated code a path in it
        return None
    is_function = code.co_flags & 0x2  # CO_NEWLOCALS: a body of a module or class has not
    if code.co_name in SKIPPED or not is_function:
        return None
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return None if parts and parts[0] in NOT_COUNTED else ".".join(parts)


@cache
def _entry(code: CodeType) -> int:
    return next(step.offset for step in dis.get_instructions(code) if step.opname == "RESUME")


def _is_resumed(frame: FrameType) -> bool:
    """Return whether a coroutine or generator goes on: that is a "call" to the profiler, too."""
    return frame.f_lasti > _entry(frame.f_code)


def _points_up(caller: str, callee: str) -> bool:
    """Return whether a call goes against the imports: the callee's module imports the caller's."""
    return _full(caller) in _reached(_full(callee))


def _full(module: str) -> str:
    return f"{ROOT}.{module}" if module else ROOT


@cache
def _imported() -> dict[str, set[str]]:
    sources = package()
    return {
        module: {found.target for found in imports(module, source, sources) if not found.by_name}
        for module, source in sources.items()
    }


@cache
def _reached(module: str) -> set[str]:
    """Return the modules that one imports, itself or through others."""
    reached, ahead = set[str](), [module]
    while ahead:
        new = _imported().get(ahead.pop(), set()) - reached
        reached |= new
        ahead.extend(new)
    return reached


Step = Callable[[], Awaitable[None]]


async def _rounds(recorder: Recorder, prepare: Callable[[], Awaitable[Step]]) -> list[Call]:
    """Return the calls of the shortest of several rounds, after one to warm up."""
    await (await prepare())()
    best: list[Call] = []
    for _ in range(ROUNDS):
        step = await prepare()
        recorder.begin()
        await step()
        calls = recorder.end()
        best = min((best or calls), calls, key=len)
    return best


async def submit(recorder: Recorder) -> list[Call]:
    """``client.submit(Text)`` until the job is resolved."""
    async with LocalSymbl() as server, server.client(polls=POLLS) as client:

        async def step() -> None:
            await (await client.submit(TEXT))

        async def prepare() -> Step:
            return step

        return await _rounds(recorder, prepare)


async def append(recorder: Recorder) -> list[Call]:
    """``conversation.append(Text)`` until the job is resolved."""
    async with LocalSymbl() as server, server.client(polls=POLLS) as client:
        first = await client.submit(TEXT)
        conversation = await first

        async def step() -> None:
            await (await conversation.append(TEXT))

        async def prepare() -> Step:
            return step

        return await _rounds(recorder, prepare)


async def webhook(recorder: Recorder) -> list[Call]:
    """The call of a webhook, at ``client.webhooks.receive``, until the job is resolved."""
    called = asyncio.Queue[tuple[str, str, bytes, str]]()

    async def take(request: web.Request) -> web.Response:
        path, status = request.match_info, (await request.json())["status"]
        called.put_nowait((path["nonce"], path["mark"], await request.read(), status))
        return web.Response(status=204)

    app = web.Application()
    app.add_routes([web.post("/hooks/{nonce}/{mark}", take)])
    async with (
        listening(app) as url,
        LocalSymbl() as server,
        server.client(polls=NEVER, webhook_base_url=f"{url}hooks", webhook_secret=SECRET) as client,
    ):

        async def prepare() -> Step:
            server.hold_jobs()
            job = await client.submit(TEXT)
            server.release()
            while (call := await called.get())[3] != "completed":
                pass
            nonce, mark, body, _ = call

            async def step() -> None:
                assert client.webhooks.receive(nonce, mark, body) == 204
                await job

            return step

        return await _rounds(recorder, prepare)


@asynccontextmanager
async def _outbox() -> AsyncIterator[Any]:
    from symbl_aio.durable import Outbox, Worker

    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/outbox.db"
        async with LocalSymbl() as server:
            config = Config(base_url=server.base_url, polls=POLLS)
            worker = Worker(database, Credentials("app", "secret"), config=config)
            async with Outbox(database) as outbox, worker:
                yield outbox


async def outbox(recorder: Recorder) -> list[Call]:
    """``Outbox.submit(Text)``, a worker on SQLite, until ``Outbox.result`` returns."""
    async with _outbox() as box:

        async def step() -> None:
            item = await box.submit(TEXT)
            await box.result(item.key)

        async def prepare() -> Step:
            return step

        return await _rounds(recorder, prepare)


JOURNEYS: Final = {"submit": submit, "append": append, "webhook": webhook, "outbox": outbox}


def trace(name: str) -> list[Call]:
    """Make a journey, and return its calls in their order."""
    recorder = Recorder()
    _imported()  # not within a profiled call, which may be too deep on the stack to parse
    with recorder.watching():
        return asyncio.run(JOURNEYS[name](recorder))


def measure(calls: list[Call]) -> Aim:
    return Aim(
        len(calls), len({call.module for call in calls}), sum(bool(call.up_from) for call in calls)
    )


def _listing(calls: list[Call]) -> Iterator[str]:
    thread = calls[0].thread
    for call in calls:
        if call.thread != thread:
            thread = call.thread
            yield f"-- {thread}"
        up = f"    UP from {call.up_from}" if call.up_from else ""
        yield f"{'  ' * call.depth}{call.module}.{call.function}{up}"


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.journeys", description=__doc__)
    parser.add_argument("--list", choices=JOURNEYS, help="print the calls of one journey")
    parser.add_argument("--check", action="store_true", help="exit 1 if an aim is missed")
    given = parser.parse_args()
    logging.getLogger("dbos").setLevel(logging.ERROR)

    missed = False
    print(f"{'journey':10}{'calls':>12}{'modules':>12}{'up':>10}   (in brackets: the aim)")
    for name in [given.list] if given.list else JOURNEYS:
        calls = trace(name)
        found, aim = measure(calls), AIMS[name]
        print(
            f"{name:10}{found.calls:6} ({aim.calls:3}){found.modules:7} ({aim.modules:2})"
            f"{found.up:5} ({aim.up:1})"
        )
        missed |= found.calls > aim.calls or found.modules > aim.modules or found.up > aim.up
        if given.list:
            print(*_listing(calls), sep="\n")
    sys.exit(1 if given.check and missed else 0)


if __name__ == "__main__":
    main()
