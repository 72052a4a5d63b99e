"""Decoding of JSON to models. The only module with the names of answers.

cattrs generates one function per model, from the name and the reader that this module
assigns to each field. A value of another type leaves its field at the default: the API's
documents and its answers differ too often for one odd field to cost a whole transcript, and
``raw`` still has it. ``DecodeError`` is raised only if there is nothing to return: no list
where one belongs, an item that is no object or has no id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from sys import float_info
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from attrs import NOTHING, define, fields, has

from symbl_aio import models
from symbl_aio._error_classes import DecodeError
from symbl_aio.models import JSON, JobStatus
from symbl_aio.models.base import wire_name

M = TypeVar("M")

_MOST: Final = float_info.max

Reader: TypeAlias = Callable[..., Any]
"""Decodes one JSON value; ``None`` if its type is another. cattrs passes the field's type, too."""


def decode(model: type[M], answer: JSON, *, text: str = "") -> M:
    """Decode an answer that is one object, as ``json.loads`` returns it, to a ``model``.

    ``text`` is the answer as received, for ``DecodeError.raw``. Raises nothing but
    ``DecodeError``.
    """
    try:
        made: M | None = _model_reader(cast("Any", model))(answer)
    except KeyError as missing:
        raise DecodeError(f"the answer has no readable {missing}", text) from None
    if made is None:
        raise DecodeError("the answer is not an object, or an empty one", text)
    return made


def decode_within(model: type[M], answer: JSON, *keys: str, text: str = "") -> M:
    """Decode the object under one of ``keys``, or the answer itself, to a ``model``.

    A list of one object is accepted, too. Errors as for ``decode``.
    """
    for key in keys:
        found = answer.get(key) if isinstance(answer, dict) else None
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if isinstance(found, dict) and found:
            return decode(model, found, text=text)
    return decode(model, answer, text=text)


def decode_list(model: type[M], answer: JSON, key: str, *, text: str = "") -> tuple[M, ...]:
    """Decode each item of the list under ``key`` to a ``model``.

    ``text`` and errors as for ``decode``. No item is skipped: one that cannot be decoded
    fails the whole answer.
    """
    items = answer.get(key) if isinstance(answer, dict) else None
    return _items(_model_reader(cast("Any", model)), items, key, text)


def decode_any_list(model: type[M], answer: JSON, *keys: str, text: str = "") -> tuple[M, ...]:
    """Decode each item to a ``model``, from any of the shapes that hosts use.

    The list is the answer itself, or is found under one of ``keys``; a single object there
    counts as a list of one.
    """
    found: JSON = answer
    if isinstance(answer, dict):
        found = next(
            (answer[key] for key in keys if isinstance(answer.get(key), list | dict)), None
        )
    if isinstance(found, dict):
        found = [found]
    return _items(_model_reader(cast("Any", model)), found, keys[0], text)


def decode_detected_trackers(answer: JSON, *, text: str = "") -> tuple[models.DetectedTracker, ...]:
    """Decode detected trackers: a bare list in the documents, one bare object in the SDKs."""
    if isinstance(answer, dict) and "matches" in answer:
        answer = [answer]
    return decode_any_list(models.DetectedTracker, answer, "trackers", text=text)


def decode_insights(answer: JSON, *, text: str = "") -> tuple[models.Insight, ...]:
    """Decode each item to the model of its ``type``; of an unknown type, to an ``Insight``."""
    kinds: Mapping[Any, type[models.Insight]] = {
        "question": models.Question,
        "action_item": models.ActionItem,
        "follow_up": models.FollowUp,
    }

    def read(item: Any) -> Any:
        kind = item.get("type") if isinstance(item, dict) else None
        model = kinds.get(kind) if isinstance(kind, str) else None
        return _model_reader(cast("Any", model or models.Insight))(item)

    items = answer.get("insights") if isinstance(answer, dict) else None
    return _items(read, items, "insights", text)


def _items(read: Reader, items: JSON, key: str, text: str) -> tuple[Any, ...]:
    if not isinstance(items, list):
        raise DecodeError(f"the answer has no list {key!r}", text)
    made: list[Any] = []
    try:
        for item in items:
            if (found := read(item)) is None:
                raise DecodeError(f"{key}[{len(made)}] is not an object, or an empty one", text)
            made.append(found)
    except KeyError as missing:
        raise DecodeError(f"{key}[{len(made)}] has no readable {missing}", text) from None
    return tuple(made)


# The answer has each field under its own name in camel case, except these. Models are
# identified by name, since importing them all takes a while.
_OTHER_NAMES: Final = {"sender": "from"}
_OTHER_NAMES_OF: Final = {
    ("Word", "text"): "word",
    ("TimeShare", "percent"): "percentage",
    ("Overlap", "duration"): "overlapDuration",
    ("Overlap", "members"): "overlappingMembers",
}


def _name_in_answer(model: type, name: str) -> str:
    return _OTHER_NAMES_OF.get((model.__name__, name)) or _OTHER_NAMES.get(name) or wire_name(name)


@cache
def _model_reader(model: type) -> Reader:
    """Return the reader of a model. It raises ``KeyError`` if a required field is missing."""
    build = _generated(model)
    shape = _RESHAPED.get(model.__name__)

    def read(value: Any, _: object = None) -> Any:
        shown = value if shape is None else shape(value)
        if type(shown) is not dict or not shown:
            return None
        made = build(shown, model)
        if type(value) is dict:
            made.raw = value
        made.__class__ = model
        return made

    return read


def _fillable(model: type) -> type:
    """Return a mutable subclass of a frozen model, whose instances become frozen later.

    A frozen instance's own ``__init__`` bypasses its ``__setattr__`` for each field, which
    is a quarter of the time that a message takes. The subclass adds no slot, so the class of
    an instance can be set to ``model`` once it is complete.
    """
    body = {
        "__slots__": (),
        "__setattr__": object.__setattr__,
        "__delattr__": object.__delattr__,
    }
    return define(type(model.__name__, (model,), body), eq=False, repr=False)


def _generated(model: type) -> Reader:
    """Generate the function that fills a model, with cattrs."""
    # Not at the top: it would be a quarter of what importing the library costs.
    from cattrs import Converter
    from cattrs.gen import make_dict_structure_fn, override

    types = get_type_hints(model)
    # Typed loosely: cattrs mixes them with its own options.
    overrides: dict[str, Any] = {"raw": override(omit=True)}
    for attribute in fields(cast("Any", model)):
        name = attribute.name
        if name != "raw":
            reader = _field_reader(types[name], name, attribute.default)
            overrides[name] = override(rename=_name_in_answer(model, name), struct_hook=reader)
    return make_dict_structure_fn(
        _fillable(model),
        Converter(),
        _cattrs_forbid_extra_keys=False,
        _cattrs_detailed_validation=False,
        **overrides,
    )


def _field_reader(kind: Any, name: str, default: Any) -> Reader:
    """Return the reader of a field, which falls back to the default or raises ``KeyError``."""
    read = _reader(kind)
    if default is None:
        return read
    usual = str if kind is str else None

    def read_or_default(value: Any, _: object = None) -> Any:
        if type(value) is usual:  # spares the call for most of these fields
            return value
        if (found := read(value)) is not None:
            return found
        if default is NOTHING:
            raise KeyError(name)
        return default

    return read_or_default


def _reader(kind: Any) -> Reader:
    """Return the reader for a field's type."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    arguments = [argument for argument in get_args(kind) if argument is not NoneType]
    origin = get_origin(kind)
    if origin is tuple:
        return _list_reader(_reader(arguments[0]))
    if origin in (Union, UnionType):
        return _first_that_fits([_reader(argument) for argument in arguments])
    if has(kind):
        return _model_reader(kind)
    raise TypeError(f"no reader for a field of type {kind}")


def _list_reader(read: Reader) -> Reader:
    def read_list(value: Any, _: object = None) -> Any:
        if type(value) is not list:
            return None
        return tuple([found for item in value if (found := read(item)) is not None])

    return read_list


def _first_that_fits(readers: list[Reader]) -> Reader:
    if len(readers) == 1:
        return readers[0]

    def read_any(value: Any, _: object = None) -> Any:
        return next((found for read in readers if (found := read(value)) is not None), None)

    return read_any


def _text(value: Any, _: object = None) -> str | None:
    """Decode a text, or a whole number: some ids, and names made of ids, are numbers."""
    if type(value) is str:
        return value
    return f"{value:d}" if type(value) is int else None


def number(value: Any, _: object = None) -> float | None:
    """Decode a number; ``None`` for any other value, and for one that JSON does not have."""
    if type(value) is float:
        return value if -_MOST <= value <= _MOST else None
    try:
        return float(value) if type(value) is int else None
    except OverflowError:
        return None


def _whole(value: Any, _: object = None) -> int | None:
    return value if type(value) is int else None


def _flag(value: Any, _: object = None) -> bool | None:
    return value if type(value) is bool else None


def _instant(value: Any, _: object = None) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is UTC:
            return at
        # The API's instants are in UTC (Async API page), also where a sample lacks the Z.
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _status(value: Any, _: object = None) -> JobStatus | None:
    return JobStatus.parse(value) if type(value) is str else None


def _texts(value: Any, _: object = None) -> dict[str, str] | None:
    if type(value) is not dict:
        return None
    return {key: text for key, item in value.items() if (text := _text(item)) is not None}


_PLAIN: Final[Mapping[Any, Reader]] = {
    str: _text,
    float: number,
    int: _whole,
    bool: _flag,
    datetime: _instant,
    JobStatus: _status,
    Mapping[str, str]: _texts,
}


# The API's documents, its SDKs and its generations disagree on some shapes. Each function
# below takes a decoded object and returns one with the model's fields under their usual
# names; a value that does not fit is returned unchanged.


def within(value: Any, *path: str) -> Any:
    """Return the value at the end of a path of keys; ``None`` if a key is missing."""
    for name in path:
        value = value.get(name) if type(value) is dict else None
    return value


def _sentiment(value: Any) -> Any:
    polarity = within(value, "polarity")
    return {**value, **polarity} if type(polarity) is dict else value


def _phrase(value: Any) -> Any:
    # The documents show objects, the vendor's Go SDK plain texts.
    return {"text": value} if type(value) is str else value


def _entity(value: Any) -> Any:
    # The first generation of answers had one match each, without a list of matches.
    if type(value) is not dict or not value or type(value.get("matches")) is list:
        return value
    return {**value, "matches": [value]}


def _entity_match(value: Any) -> Any:
    # The SDK's name comes first, a table of the documents has the other one.
    detected = within(value, "detectedValue")
    return value if detected is None else {**value, "value": detected}


def _comprehensive(value: Any) -> Any:
    refs = within(value, "messageRefs")
    if type(refs) is not list or type(value.get("messageIds")) is list:
        return value
    return {**value, "messageIds": [within(ref, "id") for ref in refs]}


def _member_analytics(value: Any) -> Any:
    pace, odd_name = within(value, "pace", "wpm"), within(value, "userID")
    if pace is not None:
        value = {**value, "wordsPerMinute": pace}
    return value if odd_name is None else {"userId": odd_name, **value}


def _summary_item(value: Any) -> Any:
    bookmark = within(value, "bookmarkReference", "id")
    return value if bookmark is None else {**value, "bookmarkId": bookmark}


def _criterion(value: Any) -> Any:
    feedback = {
        f"{kind}Feedback": within(value, "feedback", kind, "summary")
        for kind in ("positive", "negative")
    }
    return {**value, **feedback} if type(value) is dict and value else value


def _transcript(value: Any) -> Any:
    # Markdown is a text, SRT an object that repeats its type.
    payload = within(value, "payload")
    if type(payload) is dict:
        return {**payload, **value, "text": payload.get("content")}
    return value if payload is None else {**value, "text": payload}


_RESHAPED: Final[Mapping[str, Callable[[Any], Any]]] = {
    "ComprehensiveActionItem": _comprehensive,
    "Criterion": _criterion,
    "Entity": _entity,
    "EntityMatch": _entity_match,
    "FormattedTranscript": _transcript,
    "MemberAnalytics": _member_analytics,
    "Phrase": _phrase,
    "Sentiment": _sentiment,
    "SummaryItem": _summary_item,
}
"""By the name of the model."""
