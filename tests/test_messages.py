"""A wrong type is refused by a message that names the field and the remedy, in good grammar."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import attrs
import pytest

import symbl_aio
from symbl_aio import (
    Audio,
    AudioURL,
    ConfigurationError,
    SymblClient,
    Text,
    Utterance,
    Video,
)
from symbl_aio import config as settings
from symbl_aio.config import Config
from symbl_aio.drafts import (
    BookmarkDraft,
    EntityDraft,
    GroupDraft,
    Patch,
    SpeakerEvent,
    TrackerDraft,
    criteria,
)
from symbl_aio.models import User
from symbl_aio.options import (
    ChannelMetadata,
    CustomEntity,
    Features,
    MediaOptions,
    SalesMetadata,
    Speaker,
    TextOptions,
    Tracker,
    TrackerRef,
)
from symbl_aio.testing import LocalSymbl
from tests.support import QUICK

ARTICLE = re.compile(r"\ba (?!UR|us)[aeiouAEIOU]|\ban (?!HTTP)[^aeiouAEIOhx\W]")
REMEDY = re.compile(r"give|leave|use|set|pass|call|must|needs", re.IGNORECASE)
WRONG: tuple[Any, ...] = (
    7,
    1.5,
    object(),
    Audio(b"x"),
    [object()],
    b"bytes",
    datetime.min,
    OSError(),
)

GOOD: dict[type, dict[str, Any]] = {
    settings.Credentials: {"app_id": "a", "app_secret": "s"},
    settings.AccessToken: {"value": "t"},
    **{c: {} for c in (settings.Timeouts, settings.Polls, settings.Retries, settings.Limits)},
    settings.Lanes: {},
    Config: {"base_url": "https://api.example.com"},
    TextOptions: {},
    MediaOptions: {},
    CustomEntity: {"custom_type": "a", "text": "b"},
    Tracker: {"name": "a", "vocabulary": ["b"]},
    TrackerRef: {"id": "1"},
    Speaker: {},
    ChannelMetadata: {"channel": 1, "speaker": Speaker()},
    Features: {"feature_list": ["a"]},
    SalesMetadata: {},
    TrackerDraft: {"name": "a", "vocabulary": ["b"]},
    GroupDraft: {"name": "a", "criteria": "b"},
    EntityDraft: {"type": "a", "sub_type": "b", "values": ["c"]},
    BookmarkDraft: {"label": "a", "description": "b", "user": User(), "message_ids": ["1"]},
    SpeakerEvent: {"type": "started_speaking", "user": User(), "offset": 1},
    Patch: {"op": "add", "path": "/a"},
    Utterance: {"text": "a"},
    Text: {"messages": "a"},
    Audio: {"source": b"a"},
    Video: {"source": b"a"},
    AudioURL: {"url": "https://a.example/b"},
}


def _faults(name: str, call: Callable[[], object]) -> Iterator[str]:
    """Yield what is wrong with the refusal, if it is one; anything else raised is wrong too."""
    try:
        call()
    except ConfigurationError as error:
        message = str(error)
        if name not in message:
            yield f"no field {name}: {message}"
        if ARTICLE.search(message):
            yield f"article: {message}"
        if not REMEDY.search(message):
            yield f"no remedy: {message}"
        if "_File" in message or "Recording" in message:
            yield f"no word of the user's: {message}"
    except Exception as error:
        yield f"{name}: {type(error).__name__}: {error}"


def test_every_field_that_is_given_in_the_wrong_type_is_named() -> None:
    faults: list[str] = []
    tried = 0
    for cls, good in GOOD.items():
        for field in attrs.fields(cls):
            for wrong in WRONG:
                tried += 1
                faults += _faults(field.name, lambda: cls(**good | {field.name: wrong}))  # noqa: B023
    assert not faults, "\n".join(sorted(set(faults)))
    assert tried > 500


async def test_every_parameter_of_a_client_that_is_given_in_the_wrong_type_is_named(
    server: LocalSymbl,
) -> None:
    faults: list[str] = []
    text = Text("Hello.")
    token = symbl_aio.AccessToken("t")
    async with server.client(**QUICK) as symbl:
        calls: dict[str, Callable[[Any], object]] = {
            "media": symbl.submit,
            "options": lambda wrong: symbl.submit(text, wrong),
            "key": lambda wrong: symbl.submit(text, key=wrong),
            "before_last_byte": lambda wrong: symbl.submit(text, before_last_byte=wrong),
            "conversation_id": lambda wrong: symbl.append(wrong, text),
            "conversation_id ": symbl.conversation,
            "job_id": symbl.job,
            "conversation_id  ": lambda wrong: symbl.job("1", wrong),
            "credentials": SymblClient,
            "config": lambda wrong: SymblClient(token, config=wrong),
            "session": lambda wrong: SymblClient(token, session=wrong),
            "observers": lambda wrong: SymblClient(token, observers=wrong),
            "metadata": criteria,
        }
        for name, call in calls.items():
            for wrong in (w for w in WRONG if not (name == "media" and isinstance(w, Audio))):
                faults += _faults(name.strip(), lambda: call(wrong))  # noqa: B023
        for wrong in WRONG:
            for name, start in (
                ("options", lambda: symbl.process(text, wrong)),  # noqa: B023
                ("timeout", lambda: symbl.process(text, timeout=wrong)),  # noqa: B023
                ("sources", lambda: anext(symbl.map(wrong))),  # noqa: B023
                ("job_id", lambda: symbl.job_status(wrong)),  # noqa: B023
            ):
                if name == "timeout" and isinstance(wrong, int | float):
                    continue
                if name == "sources" and isinstance(wrong, list):
                    continue
                try:
                    await start()
                except ConfigurationError as error:
                    refusal = error
                    faults += _faults(name, lambda: _raise(refusal))  # noqa: B023
                except Exception as error:
                    faults.append(f"{name}: {type(error).__name__}: {error}")
    assert not faults, "\n".join(sorted(set(faults)))
    assert not server.submissions


def _raise(error: Exception) -> None:
    raise error


async def test_options_of_the_other_kind_are_named_in_words_of_the_caller(
    server: LocalSymbl,
) -> None:
    async with server.client(**QUICK) as symbl:
        with pytest.raises(ConfigurationError, match=r"for recordings give MediaOptions\(\.\.\.\)"):
            symbl.submit("call.wav", TextOptions())
        with pytest.raises(ConfigurationError, match="options is an int; give"):
            symbl.submit("call.wav", 7)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="media is an int; give"):
            symbl.submit(7)  # type: ignore[arg-type]
