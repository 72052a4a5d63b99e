"""Cost of an upload of 2 GiB for the web service that passes it through."""

# No postponed annotations: FastAPI cannot resolve names that ``serve`` imports locally.
import asyncio
import gc
import http.client
import socket
import threading
from collections.abc import Callable
from time import perf_counter, sleep, thread_time
from typing import Any, Final, Literal

from benchmarks.harness import (
    Answer,
    Figure,
    Question,
    Settings,
    Spread,
    alone,
    field_of,
    serving,
)
from benchmarks.recordings import GIB, MIB, recordings
from benchmarks.senders import TICK, resident
from benchmarks.sink import serve as sink
from benchmarks.upload_delay import Idle, percentile

SERVERS: Final = {"h11": "h11", "httptools": "httptools"}
"""The HTTP parsers of uvicorn, and the package of each."""

_BETWEEN: Final = 0.005
"""Seconds between the answer to one small request and the next."""

_BOUNDARY: Final = b"----A-form-of-a-benchmark"


async def serve(
    announce: Callable[[Any], None], port: int, reads_with: Literal["h11", "httptools"]
) -> None:
    """Run the service: one route passes uploads on to the API at ``port``, one answers at once.

    ``POST /begin`` starts to measure this process, ``POST /end`` returns the measurements.
    """
    import uvicorn
    from fastapi import FastAPI, Request

    from symbl_aio import AccessToken, Config
    from symbl_aio.contrib.fastapi import Symbl, upload_through

    symbl = Symbl(AccessToken("t" * 32), config=Config(base_url=f"http://127.0.0.1:{port}"))
    app = FastAPI(lifespan=symbl.lifespan)
    ticks: list[tuple[float, float]] = []
    before = 0
    watching: asyncio.Task[None] | None = None

    @app.post("/recordings")
    async def recordings(request: Request) -> dict[str, str]:
        return {"job": (await upload_through(request)).id}

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.post("/begin")
    async def begin() -> None:
        nonlocal before, watching
        ticks.clear()
        gc.collect()
        before = resident("VmRSS", forget_peak=True)
        watching = asyncio.create_task(_watch(ticks))

    @app.post("/end")
    async def end() -> dict[str, Any]:
        assert watching is not None
        watching.cancel()
        late, busy = zip(*ticks, strict=True)
        return {"extra": resident("VmHWM") - before, "delays": late, "busy": busy}

    # asyncio disables Nagle's algorithm only for sockets that name their protocol.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(app, http=reads_with, ws="none", log_level="error"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    announce(listener.getsockname()[1])
    await serving


async def _watch(ticks: list[tuple[float, float]]) -> None:
    """Record, for ever, the delay of each tick and the CPU time of this thread before it."""
    while True:
        began, used = perf_counter(), thread_time()
        await asyncio.sleep(TICK)
        ticks.append((perf_counter() - began - TICK, thread_time() - used))


def visit(port: int, path: str, size: int, form: bool) -> dict[str, Any]:
    """Upload a file, and send small requests meanwhile.

    Returns the ``seconds`` of the upload, those of each small request, and the measurements
    of the service.
    """
    _upload(port, path, MIB, form)  # loads imports and codecs, opens connections
    _ask(http.client.HTTPConnection("127.0.0.1", port), "POST", "/begin")
    took: list[float] = []
    uploading = threading.Thread(target=lambda: took.append(_upload(port, path, size, form)))
    uploading.start()
    link, asked = http.client.HTTPConnection("127.0.0.1", port), []
    while uploading.is_alive():
        began = perf_counter()
        _ask(link, "GET", "/ping")
        asked.append(perf_counter() - began)
        sleep(_BETWEEN)
    uploading.join()
    measured = _ask(http.client.HTTPConnection("127.0.0.1", port), "POST", "/end")
    return {"seconds": took[0], "asked": asked, **measured}


def _ask(link: http.client.HTTPConnection, method: str, path: str) -> Any:
    import json

    link.request(method, path)
    answer = link.getresponse()
    body = json.loads(answer.read())
    if answer.status != 200:
        raise ConnectionError(f"{path} was answered with {answer.status}")
    return body


def _upload(port: int, path: str, size: int, form: bool) -> float:
    """Send so many bytes of a file by ``sendfile``, and return the seconds."""
    front = back = b""
    kind = b"video/mp4"
    if form:
        kind = b"multipart/form-data; boundary=" + _BOUNDARY
        front = (
            b'--%b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n'
            b"Content-Type: video/mp4\r\n\r\n" % _BOUNDARY
        )
        back = b"\r\n--%b--\r\n" % _BOUNDARY
    length = len(front) + size + len(back)
    head = b"POST /recordings HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    began = perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as link, open(path, "rb") as file:
        link.sendall(head % (kind, length) + front)
        link.sendfile(file, 0, size)
        link.sendall(back)
        answer = link.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"the upload was answered with {answer[:200]!r}")
    return perf_counter() - began


def ask(settings: Settings) -> Answer:
    size, rounds = settings.pick(2 * GIB, 256 * MIB), settings.pick(3, 1)
    found, skipped = field_of({"FastAPI": "fastapi", "uvicorn": "uvicorn", **SERVERS})
    wanted = [name for name in SERVERS if name in found]
    runs: dict[str, list[dict[str, Any]]] = {}
    idle: dict[str, list[float]] = {}
    with recordings(size, read=False) as (path,), serving(sink) as api:
        for _ in range(rounds):
            for reads_with in wanted:
                for form in (False, True):
                    name = f"{'form' if form else 'raw'}_{reads_with}"
                    with (
                        serving(serve, port=api.announced, reads_with=reads_with) as service,
                        Idle(idle.setdefault(name, [])),
                    ):
                        cpu = service.cpu()
                        value = alone(
                            visit, port=service.announced, path=path, size=size, form=form,
                            timeout=600,
                        ).value  # fmt: skip
                        value["cpu"] = service.cpu() - cpu
                    runs.setdefault(name, []).append(value)

    every = [value for values in runs.values() for value in values]
    p999 = {
        name: 1e3 * percentile([d for value in values for d in value["delays"]], 99.9)
        for name, values in runs.items()
    }
    alongside = {name: 1e3 * percentile(delays, 99.9) for name, delays in idle.items()}
    worst = max(p999, key=lambda name: p999[name] - alongside[name])
    asked = [seconds for value in every for seconds in value["asked"]]
    shown = f"{size / GIB:g} GiB" if size >= GIB else f"{size // MIB} MiB"
    figures = [
        Figure("memory", f"peak of extra memory, worst of {len(every)} uploads of {shown}",
               max(value["extra"] for value in every) / MIB, "MiB", at_most=48),
        Figure("above_idle", "event-loop delay, p99.9 above an idle loop alongside, worst server",
               p999[worst] - alongside[worst], "ms", at_most=20),
        Figure("idle", "p99.9 of that idle loop", alongside[worst], "ms"),
        Figure("busy", "CPU time of the event loop between two ticks, p99.9",
               1e3 * percentile([b for value in every for b in value["busy"]], 99.9), "ms"),
        Figure("longest", "longest delay of all",
               1e3 * max(d for value in every for d in value["delays"]), "ms"),
        Figure("answered", "small requests answered meanwhile, an upload",
               Spread.of([len(value["asked"]) for value in every]).median),
        Figure("asked_median", "median time of such a request", 1e3 * percentile(asked, 50), "ms"),
        Figure("asked_p99", "p99 of it", 1e3 * percentile(asked, 99), "ms"),
        Figure("asked_worst", "worst of all", 1e3 * max(asked), "ms"),
        *(Figure.spread(f"rate_{name}", f"{name.replace('_', ', ')}: passed through",
                        Spread.of([size / MIB / value["seconds"] for value in values]), "MiB/s")
          for name, values in runs.items()),
        *(Figure.spread(f"cpu_{name}", f"{name.replace('_', ', ')}: CPU of the service, a GiB",
                        Spread.of([value["cpu"] * GIB / size for value in values]), "s")
          for name, values in runs.items()),
        *(Figure.spread(f"memory_{name}", f"{name.replace('_', ', ')}: extra memory",
                        Spread.of([value["extra"] / MIB for value in values]), "MiB")
          for name, values in runs.items()),
        *(Figure(f"p999_{name}", f"{name.replace('_', ', ')}: delay, p99.9", value, "ms")
          for name, value in p999.items()),
    ]  # fmt: skip
    return Answer(tuple(figures), found, skipped)


QUESTION = Question(
    "pass_through",
    "An upload that passes through a web service",
    "A visitor posts a file to a FastAPI route, which streams it on to the API "
    "(`upload_through`): as the raw body and as a form, uvicorn reading with h11 and with "
    "httptools. Visitor, service and API are processes of their own, and the service has passed "
    "on a small file before. Memory is the peak that the kernel recorded (`VmHWM`), less the "
    "resident memory before. A task in the service's event loop records the delay of each wake-up "
    "after a millisecond, and the CPU time of its thread meanwhile. At the same time another "
    "connection sends small requests to the service.",
    ask,
)
