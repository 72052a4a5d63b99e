"""The files of ``-o``: transcript, subtitles and insights of each meeting, written atomically."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from symbl_aio import ConfigurationError, to_markdown, to_srt, to_text, to_webvtt
from symbl_aio._threads import in_a_thread
from symbl_aio.cli.upload.grouping import Meeting

if TYPE_CHECKING:
    from symbl_aio import Message, SymblClient

_TEXTS: Final[Mapping[str, Callable[[Iterable[Message]], str]]] = {
    "srt": to_srt,
    "vtt": to_webvtt,
    "md": to_markdown,
    "txt": to_text,
}
FORMATS: Final = ("json", *_TEXTS)
"""``json`` holds all that the server knows of the conversation (``Everything.to_json``)."""
REPORT: Final = "html"
"""A report of ``symbl_aio.report``, written only if it is named."""


def formats_of(text: str | None) -> tuple[str, ...]:
    """Return the formats in a list such as ``srt,html``; ``FORMATS`` for ``None``.

    Raises ``ConfigurationError`` for any other word.
    """
    if text is None:
        return FORMATS
    wanted = tuple(dict.fromkeys(filter(None, text.lower().replace(",", " ").split())))
    known = (*FORMATS, REPORT)
    unknown = [word for word in wanted if word not in known]
    if unknown or not wanted:
        raise ConfigurationError(
            f"--format names {', '.join(unknown) or 'nothing'}; give some of {','.join(known)}"
        )
    return wanted


async def written_from(
    client: SymblClient, conversation: str, formats: Collection[str]
) -> dict[str, str]:
    """Read a conversation; return its text in each format.

    Raises as the methods of ``Conversation`` do.
    """
    handle = client.conversation(conversation)
    found: dict[str, str] = {}
    messages: Sequence[Message]
    if {"json", REPORT} & set(formats):
        everything = await handle.everything(sentiment=True if REPORT in formats else None)
        messages = everything.messages
        if "json" in formats:
            found["json"] = everything.to_json() + "\n"
        if REPORT in formats:
            from symbl_aio.report import to_html

            found[REPORT] = to_html(everything)
    else:
        messages = await handle.messages()
    return found | {name: _TEXTS[name](messages) for name in formats if name in _TEXTS}


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all; an existing one is replaced. Blocks. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of this process alone, so that two that write the same file do not mix. Not longer than a
    # file system allows where the name itself is just short enough.
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    part = path.with_name(f".{name}.{os.getpid()}.part")
    try:
        with open(part, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@frozen
class TranscriptFiles:
    """The files of each meeting: beside its first recording, or below ``folder``."""

    folder: Path | None
    """The root of the mirrored tree; ``None``: beside the recordings."""
    formats: tuple[str, ...]
    """The formats, which are the endings of the files."""
    shared: frozenset[str] = frozenset()
    """Names that several meetings have; their files keep the ending of the recording."""

    def name(self, meeting: Meeting) -> str:
        """Return the path of a meeting's files below the folder, without an ending."""
        name = meeting.name
        if meeting.key is None and name in self.shared:
            name = meeting.parts[0].relative
        # A name from a pattern or a manifest must not lead out of the folder.
        safe = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        return "/".join(part.replace("\0", " ") for part in safe) or "recording"

    def paths(self, meeting: Meeting) -> dict[str, Path]:
        """Return the path of each format's file."""
        name = self.name(meeting)
        first = meeting.parts[0]
        folder = self.folder
        if folder is None:
            folder = Path.cwd() if first.link is not None else Path(first.source).parent
            name = name.rpartition("/")[2]
        # Not ``with_suffix``, which would cut a name such as "v1.2 review".
        return {ending: folder / f"{name}.{ending}" for ending in self.formats}

    async def write(
        self, client: SymblClient, meeting: Meeting, conversation: str, *, renew: bool = False
    ) -> list[Path]:
        """Write the files that do not exist yet, or all with ``renew``; return their paths.

        Raises ``SymblError`` if the conversation cannot be read, ``OSError`` for the disk.
        """
        paths = self.paths(meeting)
        missing = await in_a_thread(
            lambda: [name for name, path in paths.items() if renew or not path.exists()]
        )
        if not missing:
            return []
        texts = await written_from(client, conversation, missing)
        for name in missing:
            await in_a_thread(partial(write_atomically, paths[name], texts[name]))
        return [paths[name] for name in missing]


def names_shared(meetings: Iterable[Meeting]) -> frozenset[str]:
    """Return the names that more than one meeting has."""
    counts = Counter(meeting.name for meeting in meetings)
    return frozenset(name for name, count in counts.items() if count > 1)
