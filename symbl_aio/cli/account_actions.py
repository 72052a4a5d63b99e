"""The work of ``conversations``, ``export``, ``trackers`` and ``groups``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

from attrs import fields

from symbl_aio import ConfigurationError, GroupDraft, SymblClient, SymblError, TrackerDraft
from symbl_aio._threads import in_a_thread
from symbl_aio.cli.exit_codes import OK, UNWRITTEN, code_of, describe, most_severe
from symbl_aio.cli.safe_streams import stdin
from symbl_aio.cli.show_rows import Rows
from symbl_aio.cli.sources import STDIN
from symbl_aio.cli.upload.output_files import formats_of, write_atomically, written_from
from symbl_aio.models.base import wire_name

if TYPE_CHECKING:
    from symbl_aio import ConversationInfo

T = TypeVar("T", bound=TrackerDraft | GroupDraft)

Kind: TypeAlias = Literal["trackers", "groups"]

DRAFTS: Final[Mapping[Kind, type[TrackerDraft | GroupDraft]]] = {
    "trackers": TrackerDraft,
    "groups": GroupDraft,
}

_OF_SERVER: Final = ("id", "createdOn", "updatedOn")
"""Fields that the API adds in its answers; a file that was made from one may have them."""


async def list_conversations(
    client: SymblClient,
    rows: Rows,
    *,
    since: datetime,
    until: datetime | None,
    text: str | None,
    rsql: str | None,
    group: str | None,
    limit: int | None,
) -> int:
    """Print conversations, the newest first."""
    selection: dict[str, Any] = {"start_time": since, "order": "desc"}
    if until is not None:
        selection["end_time"] = until
    if rsql is not None:
        selection["filter"] = rsql
    listed = (
        client.conversations(**selection)
        if group is None
        else client.groups.conversations(group, **selection)
    )
    printed = 0
    async with aclosing(listed):
        async for info in listed:
            if text is not None and text.casefold() not in (info.name or "").casefold():
                continue
            rows.row(info.raw, _cells(info))
            printed += 1
            if printed == limit or not rows.written:
                break
    if not printed:
        rows.note("No conversation matches.")
    return _code(rows)


def _cells(info: ConversationInfo) -> list[str]:
    length = ""
    if info.start_time is not None and info.end_time is not None:
        seconds = max(0, round((info.end_time - info.start_time).total_seconds()))
        length = f"{seconds // 60}:{seconds % 60:02}"
    return [info.id, _local(info.start_time), length.rjust(7), info.name or ""]


def _local(instant: datetime | None) -> str:
    if instant is None:
        return ""
    with suppress(OverflowError):  # at the ends of the calendar a zone leads out of it
        instant = instant.astimezone()
    return f"{instant:%Y-%m-%d %H:%M}"


async def export_conversations(
    client: SymblClient,
    rows: Rows,
    *,
    ids: Sequence[str],
    output: str | None,
    formats: str | None,
) -> int:
    """Write conversations into a folder, or one text to stdout. One failure hides no other."""
    wanted = formats_of(formats)
    names: list[str] = []
    for given in ids:
        names += (await in_a_thread(_read_stdin)).split() if given == STDIN else [given]
    names = list(dict.fromkeys(names))
    if output is None:
        if len(names) != 1 or len(wanted) != 1:
            raise ConfigurationError(
                "several texts need a folder; add -o DIR, or give one conversation and one --format"
            )
        (name,), (ending,) = names, wanted
        text = (await written_from(client, name, wanted))[ending]
        rows.text({"event": "text", "conversation": name, "format": ending, "text": text}, text)
        return _code(rows)
    codes: list[int] = []
    for name in names:
        try:
            texts = await written_from(client, name, wanted)
            for ending, text in texts.items():
                # An id of the server's own making must not lead out of the folder.
                path = Path(output) / f"{name.replace('/', '_')}.{ending}"
                await in_a_thread(partial(write_atomically, path, text))
                rows.row({"event": "written", "conversation": name, "file": str(path)}, [str(path)])
        except (SymblError, OSError) as error:
            codes.append(code_of(error))
            rows.error(f"{name}: {describe(error)}")
    return most_severe(codes)  # the files were asked for, and not their list


async def list_trackers(client: SymblClient, rows: Rows) -> int:
    """Print the account's trackers: id, name and vocabulary."""
    for tracker in await client.trackers.list():
        rows.row(tracker.raw, [tracker.id, tracker.name, ", ".join(tracker.vocabulary)])
    return _code(rows)


async def list_groups(client: SymblClient, rows: Rows) -> int:
    """Print the account's groups: id, name and criteria."""
    for group in await client.groups.list():
        rows.row(group.raw, [group.id, group.name, group.criteria])
    return _code(rows)


async def create(client: SymblClient, rows: Rows, *, kind: Kind, file: str) -> int:
    """Create the trackers or groups of a file that do not exist yet, by name."""
    drafts = await in_a_thread(partial(read_drafts, file, DRAFTS[kind]))
    stored: Any = client.trackers if kind == "trackers" else client.groups
    existing = {one.name for one in await stored.list()}
    for draft in drafts:
        if draft.name in existing:
            rows.row({"event": "exists", "name": draft.name}, ["exists", draft.name])
            continue
        made = await stored.create(draft)
        existing.add(draft.name)
        rows.row({"event": "created", **made.raw}, ["created", draft.name, made.id])
    return _code(rows)


def read_drafts(path: str, kind: type[T]) -> list[T]:
    """Read a list of drafts from YAML or JSON; all of them are checked before any is created.

    The lines that a list with ``--json`` prints are read, too: the names in the file are the
    API's. Blocks. Raises ``ConfigurationError`` that names the entry.
    """
    try:
        text = _read_stdin() if path == STDIN else Path(path).read_text("utf-8-sig")
        found = _parsed(path, text)
    except OSError as error:
        raise ConfigurationError(f"{path!r} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise ConfigurationError(f"{path!r} is neither YAML nor JSON ({why})") from None
    if isinstance(found, dict) and len(found) == 1:
        (found,) = found.values()  # {"trackers": [...]}, as the API answers
    entries: list[Any] = found if isinstance(found, list) else [found]
    return [_draft(number, entry, kind) for number, entry in enumerate(entries, 1)]


def _read_stdin() -> str:
    stream = stdin()
    return "" if stream is None else stream.read().decode("utf-8-sig")


def _draft(number: int, entry: Any, kind: type[T]) -> T:
    names = {wire_name(field.name): field.name for field in fields(kind)}
    known = ", ".join(names)
    if not isinstance(entry, dict):
        raise ConfigurationError(f"entry {number} is not an object with {known}")
    unknown = [str(name) for name in entry if name not in names and name not in _OF_SERVER]
    if unknown:
        raise ConfigurationError(f"entry {number} has {', '.join(unknown)}; the API knows {known}")
    try:
        return kind(**{names[name]: value for name, value in entry.items() if name in names})
    except ConfigurationError as error:
        raise ConfigurationError(f"entry {number}: {error}") from None
    except TypeError:
        raise ConfigurationError(f"entry {number} lacks one of {known}") from None


def _parsed(path: str, text: str) -> Any:
    if path.endswith(".json") or text.lstrip().startswith(("[", "{")):
        return _parsed_json(text)
    try:
        import yaml  # of the extra; JSON needs nothing
    except ModuleNotFoundError:
        raise ConfigurationError(
            f"{path!r} is no JSON, and YAML needs PyYAML; give JSON, or install the extra:  "
            "pip install '.[cli]' in a checkout of symbl-aio"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _parsed_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        lines = [line for line in text.split("\n") if line.strip()]
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            raise error from None


def _code(rows: Rows) -> int:
    rows.close()  # the rows that wait can fail, too
    return OK if rows.written else UNWRITTEN
