"""Parts that all models share: JSON values, ``as_json``, ``Page``, ``JobStatus``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum, StrEnum
from functools import cache, lru_cache
from math import isfinite
from typing import (
    Any,
    ClassVar,
    Final,
    Generic,
    Never,
    NoReturn,
    TypeAlias,
    TypeVar,
    get_args,
    overload,
)

from attrs import field, fields, frozen, has

from symbl_aio._fields import type_name

__all__ = ["JSON", "JobStatus", "Page", "as_json"]

JSON: TypeAlias = Mapping[str, "JSON"] | Sequence["JSON"] | str | int | float | bool | None
"""A decoded JSON value. The types are read-only, so that any dict or list of JSON values fits."""

T_co = TypeVar("T_co", covariant=True)


@cache  # of the fields of models and options, which are few
def wire_name(name: str) -> str:
    """Return the API's name of a field: ``webhookUrl`` for ``webhook_url``."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class _Nothing(dict[str, Never]):
    """An empty dict that refuses writes. A mapping proxy can neither be pickled nor encoded."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("what an answer did not have cannot be written to")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING: Final[Mapping[str, Never]] = _Nothing()


def raw_field() -> Mapping[str, JSON]:
    """Declare a model's ``raw``: the JSON object that was decoded into the value."""
    # Neither compared nor printed: values with the same fields are equal, also when
    # the server sent other fields with them, and a message's repr stays readable.
    made: Mapping[str, JSON] = field(default=NOTHING, repr=False, eq=False)
    return made


def as_json(value: object) -> JSON:
    """Return a model, a ``Page``, or any list or mapping of them, as plain JSON values.

    The names are those of the fields, without ``raw``; a ``Page`` becomes the list of its items.
    Instants are ISO 8601 texts; a number that JSON does not have is ``None``. Use it for the
    answers of a web framework that does not know the models. Raises ``TypeError`` for any other
    type of value.
    """
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [as_json(item) for item in value]
    kind: Any = type(value)
    if has(kind):
        names = [field.name for field in fields(kind) if field.name != "raw"]
        return {name: as_json(getattr(value, name)) for name in names}
    raise TypeError(f"{type_name(value)} has no form in JSON; give a model, or a list of them")


class _Serializer:
    """The serializer that pydantic reads from a value without an annotation, built on first use."""

    def __get__(self, value: object, kind: type[Model]) -> Any:
        try:
            return _serializer_of(kind)  # type: ignore[arg-type]  # a class can be hashed
        except ImportError:  # only pydantic reads this attribute
            raise AttributeError("__pydantic_serializer__") from None


@cache
def _serializer_of(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind).serializer


class Model:
    """Base of the models. Pydantic, and so FastAPI, encodes them as ``as_json`` does.

    Pydantic never decodes a model: a request body is not an answer of the API.
    """

    __slots__ = ()

    __pydantic_serializer__: ClassVar[_Serializer] = _Serializer()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(
            cls,
            serialization=core_schema.plain_serializer_function_ser_schema(
                as_json, return_schema=core_schema.dict_schema(core_schema.str_schema())
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
        # Of both directions: an application may publish the schema of values that are read.
        return handler(schema["serialization"]["return_schema"])


class JobStatus(StrEnum):
    """The status of a job (Job API page). ``UNKNOWN`` is any undocumented status."""

    SCHEDULED = "scheduled"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"

    is_terminal: bool
    """Whether the status is final: completed or failed."""

    def __init__(self, word: str) -> None:
        self.is_terminal = word in ("completed", "failed")

    @staticmethod
    @lru_cache(16)  # every answer about a job names one, of five
    def parse(text: str) -> JobStatus:
        """Parse the server's text, in any case; return ``UNKNOWN`` for an undocumented one."""
        try:
            return JobStatus(text.lower())
        except ValueError:
            return JobStatus.UNKNOWN


def _plain(headers: Mapping[str, str]) -> dict[str, str]:
    # aiohttp's mapping can neither be pickled nor copied, nor encoded as JSON.
    return {str(name): value for name, value in headers.items()}


@frozen(eq=False)
class Page(Model, Sequence[T_co], Generic[T_co]):
    """One answer of the API: a sequence of its items, with the HTTP response around them."""

    items: tuple[T_co, ...]
    """The items of the answer, in the order of the server."""
    raw: JSON = field(repr=False)
    """The whole body, decoded from JSON."""
    status: int
    """The HTTP status, such as 200."""
    headers: Mapping[str, str] = field(repr=False, converter=_plain)
    """The response's headers in a plain ``dict``, by their names as the server wrote them."""
    elapsed: float
    """Seconds from sending the request to the last byte of the answer."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        items = [handler.generate_schema(kind) for kind in get_args(source)]
        return core_schema.is_instance_schema(
            cls,
            serialization=core_schema.plain_serializer_function_ser_schema(
                list, return_schema=core_schema.list_schema(*items)
            ),
        )

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.items)

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T_co, ...]: ...
    def __getitem__(self, index: int | slice) -> T_co | tuple[T_co, ...]:
        return self.items[index]
