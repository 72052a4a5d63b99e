"""A host that knows no API: it notes what it is asked, and says what it was told to say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from attrs import define, field, frozen

from symbl_aio import Config, Credentials, SymblClient
from tests.support import QUICK

SAMPLES = Path(__file__).parent / "samples"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))


@frozen
class Asked:
    """One request, but for the one for a token."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


@define(eq=False)
class Host:
    """``answers`` are given in turn, the last one from then on: a status and a JSON value."""

    base_url: str = ""
    asked: list[Asked] = field(factory=list)
    answers: list[tuple[int, Any]] = field(factory=lambda: [(200, {})])

    def says(self, *answers: Any) -> Self:
        """Say these, each a JSON value for a 200, or a status with a value."""
        self.answers = [given if type(given) is tuple else (200, given) for given in answers]
        return self

    def client(self, **config: Any) -> SymblClient:
        settings = Config(base_url=self.base_url, **QUICK | config)
        return SymblClient(Credentials("app", "secret"), config=settings)

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    async def _handle(self, request: web.Request) -> web.Response:
        if request.path == "/oauth2/token:generate":
            return web.json_response({"accessToken": "a-token", "expiresIn": 3600})
        text = await request.text()
        self.asked.append(
            Asked(
                request.method,
                request.raw_path.partition("?")[0],
                dict(request.query),
                json.loads(text) if text else None,
            )
        )
        status, value = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.json_response(value, status=status)


@asynccontextmanager
async def open_host(host: Host | None = None) -> AsyncIterator[Host]:
    """Listen on a free port of this machine."""
    host = Host() if host is None else host
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", host._handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield host
    finally:
        await runner.cleanup()
