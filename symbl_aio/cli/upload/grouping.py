"""Meetings: recordings that become one conversation, in order, by ``--group-by``."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from attrs import frozen

from symbl_aio import ConfigurationError
from symbl_aio.cli.upload.find_files import Found, natural, one_named


@frozen
class Meeting:
    """Recordings of one conversation, in their order."""

    key: str | None
    """Its identity in the ledger; ``None`` for a recording on its own."""
    name: str
    """Its name for people and for files, such as ``2024/standup``."""
    parts: tuple[Found, ...]
    """The recordings, the first opens the conversation."""
    ready: int | None = None
    """How many of the first ones may be sent now: the next one is still written. ``None``: all."""

    @property
    def identity(self) -> str:
        """Its key; of a recording on its own, the recording's identity."""
        return self.parts[0].source if self.key is None else self.key


@frozen
class Grouped:
    """All meetings, and the recordings that belong to none."""

    meetings: tuple[Meeting, ...]
    """In the order of their first recordings."""
    left_out: tuple[tuple[Found, str], ...] = ()
    """Recordings that are not sent, each with the reason."""


Grouping: TypeAlias = Callable[[Sequence[Found]], Grouped]


def alone(found: Sequence[Found]) -> Grouped:
    """Make a meeting of each recording."""
    return Grouped(tuple(Meeting(None, _without_suffix(one.relative), (one,)) for one in found))


def by_folder(found: Sequence[Found]) -> Grouped:
    """Make a meeting of each folder; its recordings are in the natural order of their names."""
    groups: dict[str, list[Found]] = {}
    for one in found:
        groups.setdefault(os.path.dirname(one.source), []).append(one)
    return Grouped(
        tuple(
            Meeting(key, parts[0].folder or os.path.basename(key) or "recordings", _in_order(parts))
            for key, parts in groups.items()
        )
    )


def by_pattern(pattern: re.Pattern[str]) -> Grouping:
    """Make a meeting of the recordings in whose paths the pattern matches the same text.

    A path begins below the given folder. The text is that of the pattern's groups, or of the
    whole match if it has none. It counts within one given folder: the same name in another one
    is another meeting.
    """

    def group(found: Sequence[Found]) -> Grouped:
        groups: dict[tuple[str, str], list[Found]] = {}
        left_out: list[tuple[Found, str]] = []
        for one in found:
            match = pattern.search(one.relative)
            if match is None:
                left_out.append((one, f"{one.relative!r} does not match {pattern.pattern}"))
                continue
            text = " ".join(filter(None, match.groups())) or match.group()
            if not text.strip():  # else all of them would be one meeting without a name
                left_out.append((one, f"{pattern.pattern} matches no text of {one.relative!r}"))
                continue
            groups.setdefault((one.root, text), []).append(one)
        meetings = tuple(
            Meeting(f"{root}\0{text}", text, _in_order(parts))
            for (root, text), parts in groups.items()
        )
        return Grouped(meetings, tuple(left_out))

    return group


@frozen
class Manifest:
    """A CSV file with a column ``file`` and a column ``meeting``, and an order: that of its lines.

    Relative paths are relative to the folder of the manifest.
    """

    path: str
    """The path of the CSV file."""
    rows: tuple[tuple[Found, str], ...]
    """Each recording with its meeting; an empty one stands for a meeting of its own."""

    @property
    def found(self) -> tuple[Found, ...]:
        """The recordings of the manifest, in its order."""
        return tuple(found for found, _ in self.rows)

    def __call__(self, found: Sequence[Found]) -> Grouped:
        folder = os.path.dirname(os.path.abspath(self.path))
        wanted = {one.source: one for one in found}
        groups: dict[str, Meeting] = {}
        for row, name in self.rows:
            one = wanted.pop(row.source, None)
            if one is None:
                continue
            key = f"{folder}\0{name}" if name else one.source
            before = groups[key].parts if key in groups else ()
            named = Meeting(key, name, (*before, one))
            groups[key] = named if name else Meeting(None, _without_suffix(one.relative), (one,))
        reason = f"{self.path} does not list it"
        return Grouped(tuple(groups.values()), tuple((one, reason) for one in wanted.values()))


def read_manifest(path: str) -> Manifest:
    """Read a manifest. Raises ``ConfigurationError`` for a file that is none."""
    folder = os.path.dirname(path)
    rows: list[tuple[Found, str]] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            if not {"file", "meeting"} <= set(lines.fieldnames or ()):
                raise ConfigurationError(
                    f"{path!r} has no columns named file and meeting; its first line names them"
                )
            for row in lines:
                if name := (row["file"] or "").strip():
                    one = one_named(name if "://" in name else os.path.join(folder, name))
                    if one is None:
                        raise ConfigurationError(
                            f"{path!r} names the folder {name!r}; name its files"
                        )
                    rows.append((one, (row["meeting"] or "").strip()))
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, ConfigurationError):
            raise
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{path!r} cannot be read as CSV ({why})") from None
    return Manifest(path, tuple(rows))


def grouping(text: str | None) -> Grouping:
    """Return the grouping for the value of ``--group-by``: a word, a CSV file or a pattern.

    Raises ``ConfigurationError`` for a pattern that is none, or a file that cannot be read.
    """
    if text is None:
        return alone
    if not text.strip():
        raise ConfigurationError(
            "--group-by is empty; give folder, a regular expression or a CSV file, or leave it out"
        )
    if text == "folder":
        return by_folder
    if text.lower().endswith(".csv"):
        return read_manifest(text)
    try:
        return by_pattern(re.compile(text))
    except re.error as error:
        raise ConfigurationError(
            f"--group-by {text!r} is no regular expression ({error}); give folder, a regular "
            "expression whose groups name the meeting, or a file whose name ends with .csv"
        ) from None


def _in_order(parts: Iterable[Found]) -> tuple[Found, ...]:
    return tuple(sorted(parts, key=lambda one: natural(one.relative)))


def _without_suffix(relative: str) -> str:
    folder, slash, name = relative.rpartition("/")
    return f"{folder}{slash}{os.path.splitext(name)[0]}"
