"""What a trace or a log line takes from the context is that of who asked, and of nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import ContextVar

from symbl_aio import AccessToken, Config, Limits, SymblClient, Text, Video
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK, mp4_bytes

request: ContextVar[str] = ContextVar("request", default="nobody")


async def test_each_submission_is_sent_in_the_context_of_its_caller(server: LocalSymbl) -> None:
    seen: dict[str, str] = {}

    async def stream(name: str) -> AsyncIterator[bytes]:
        seen[name] = request.get()
        yield mp4_bytes(1000)

    async with server.client(limits=Limits(jobs=1), **QUICK) as symbl:
        submissions = []
        for name in ("one", "two", "three"):
            # With one slot, who starts the next one is whoever ends the one before.
            asked = request.set(f"request {name}")
            submissions.append(symbl.submit(Video(stream(name), size=1000)))
            request.reset(asked)
        for submission in submissions:
            await (await submission)
    assert seen == {name: f"request {name}" for name in ("one", "two", "three")}


async def test_what_the_client_does_for_all_is_done_in_nobodys_context(
    server: LocalSymbl,
) -> None:
    seen: list[str] = []

    async def token() -> AccessToken:
        seen.append(request.get())
        return AccessToken(server._tokens.current().value)

    config = Config(base_url=server.base_url, **QUICK)
    async with SymblClient(token, config=config) as symbl:
        asked = request.set("request one")
        await symbl.process(Text("Hello."))
        request.reset(asked)
    assert seen == ["nobody"]
