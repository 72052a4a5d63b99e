"""The files of ``-o``: transcript, subtitles and insights of each meeting, written atomically."""

from __future__ import annotations

import hashlib
import math
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import filterfalse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import define, field

from symbl_aio import ConfigurationError, to_markdown, to_srt, to_text, to_webvtt
from symbl_aio._threads import in_a_thread
from symbl_aio.cli.sources import is_link
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
_LONGEST: Final = 255 - len(".json")
"""Bytes of a name before its ending: file systems take 255."""
_TICK: Final = 2.0
"""Seconds by which a file that was just written may look older: the coarsest of file systems."""


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
    """Write a file whole or not at all; an existing one is replaced, and keeps its rights. Blocks.

    The target of a symbolic link is replaced, not the link. A device or a pipe, such as
    ``/dev/stdout``, is written to. Raises ``OSError`` with the path.
    """
    try:
        mode = _mode_of(path)
        if mode is not None and not stat.S_ISREG(mode):
            path.write_text(text, "utf-8", newline="\n")
        else:
            _replace(Path(os.path.realpath(path)), text, mode)
    except OSError as error:
        # That of a full disk has no path, others that of the new file.
        raise OSError(error.errno, error.strerror, str(path)) from None


def _mode_of(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _replace(path: Path, text: str, mode: int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of this process alone, so that two that write the same file do not mix. Not longer than a
    # file system allows where the name itself is just short enough.
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    part = path.with_name(f".{name}.{os.getpid()}.part")
    try:
        with open(part, "w", encoding="utf-8", newline="\n") as file:
            if mode is not None:
                os.chmod(part, stat.S_IMODE(mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # By the clock of this machine, which ``since`` is compared with: that of a file server
        # may be behind. After the close, which may write, and itself set the time of the file.
        now = time.time_ns()
        with suppress(OSError):  # some shares let no client set a time
            os.utime(part, ns=(now, now))
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@define(eq=False)
class TranscriptFiles:
    """The files of each meeting: beside its first recording, or below ``folder``.

    No two meetings of a run have the same files.
    """

    folder: Path | None
    """The root of the mirrored tree; ``None``: beside the recordings."""
    formats: tuple[str, ...]
    """The formats, which are the endings of the files."""
    root: str = "/"
    """The folder that all given ones are in."""
    _chosen: dict[str, str] = field(factory=dict)
    _taken: set[str] = field(factory=set)

    def choose(self, meetings: Sequence[Meeting]) -> None:
        """Choose names for meetings, the shortest that none of the others has, nor an earlier one.

        The choice depends on the order of the calls, and not on that of ``meetings``.
        """
        left = {one.identity: one for one in meetings if one.identity not in self._chosen}
        for name in (_name, _name_with_ending, self._name_below_root, _name_with_hash):
            wanted = {identity: self._stem(one, name(one)) for identity, one in left.items()}
            counts = Counter(wanted.values())
            free = {
                identity: stem
                for identity, stem in wanted.items()
                if counts[stem] == 1 and stem not in self._taken
            }
            self._chosen |= free
            self._taken.update(free.values())
            left = {identity: one for identity, one in left.items() if identity not in free}

    def paths(self, meeting: Meeting) -> dict[str, Path]:
        """Return the path of each format's file."""
        self.choose([meeting])
        # Not ``with_suffix``, which would cut a name such as "v1.2 review".
        stem = self._chosen[meeting.identity]
        return {ending: Path(f"{stem}.{ending}") for ending in self.formats}

    async def write(
        self, client: SymblClient, meeting: Meeting, conversation: str, *, since: float = 0.0
    ) -> list[Path]:
        """Write the files that do not exist, or are older than ``since``; return their paths.

        ``since``: when the conversation changed last, in seconds since 1970.

        Raises ``SymblError`` if the conversation cannot be read, ``OSError`` for the disk.
        """
        paths = self.paths(meeting)
        missing = await in_a_thread(
            lambda: [name for name, path in paths.items() if _written_at(path) + _TICK < since]
        )
        if not missing:
            return []
        texts = await written_from(client, conversation, missing)
        for name in missing:
            await in_a_thread(partial(write_atomically, paths[name], texts[name]))
        return [paths[name] for name in missing]

    def _stem(self, meeting: Meeting, name: str) -> str:
        # A name from a pattern or a manifest must not lead out of the folder.
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        safe = "/".join(_shortened(part.replace("\0", " ")) for part in parts) or "recording"
        if self.folder is not None:
            return str(self.folder / safe)
        first = meeting.parts[0]
        folder = Path.cwd() if first.link is not None else Path(first.source).parent
        return str(folder / safe.rpartition("/")[2])

    def _name_below_root(self, meeting: Meeting) -> str:
        first = meeting.parts[0]
        if first.link is not None:
            return _name(meeting)
        if meeting.key is None:
            return os.path.relpath(first.source, self.root)
        # The key of a meeting begins with a folder; of one by its folder, that is all of it.
        folder, _, text = meeting.key.partition("\0")
        return os.path.join(os.path.relpath(folder, self.root), text)


def _name(meeting: Meeting) -> str:
    return meeting.name


def _name_with_ending(meeting: Meeting) -> str:
    return meeting.name if meeting.key is not None else meeting.parts[0].relative


def _name_with_hash(meeting: Meeting) -> str:
    return f"{_name_with_ending(meeting)} {_digest(meeting.identity)}"


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf


def _shortened(name: str) -> str:
    """Return a name that leaves room for an ending; a long one with a hash in place of its end."""
    if len(_bytes_of(name)) <= _LONGEST:
        return name
    end = f" {_digest(name)}"
    kept = name[:_LONGEST]
    while len(_bytes_of(kept + end)) > _LONGEST:
        kept = kept[:-1]
    return kept + end


def _digest(text: str) -> str:
    return hashlib.sha256(_bytes_of(text)).hexdigest()[:8]


def _bytes_of(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def folder_of_all(paths: Iterable[str]) -> str:
    """Return the folder that all given files and folders are in. Blocks."""
    folders = [
        path if os.path.isdir(path) else os.path.dirname(path)
        for path in map(os.path.realpath, filterfalse(is_link, paths))
    ]
    with suppress(ValueError):  # of none, or of several drives
        return os.path.commonpath(folders)
    return os.path.abspath(os.sep)
