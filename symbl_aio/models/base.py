"""What all answers have in common: JSON itself, the page around a list, a job's status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, Generic, Never, NoReturn, TypeAlias, TypeVar, overload

from attrs import field, frozen

JSON: TypeAlias = Mapping[str, "JSON"] | Sequence["JSON"] | str | int | float | bool | None
"""A decoded JSON value. Read-only types, so that any dict or list of JSON values fits."""

T_co = TypeVar("T_co", covariant=True)


class _Nothing(dict[str, Never]):
    """An empty dict that stays empty. A mapping proxy could neither be pickled nor be JSON."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("what an answer did not have cannot be written to")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> str:
        return "NOTHING"


NOTHING: Final[Mapping[str, Never]] = _Nothing()


def raw_field() -> Mapping[str, JSON]:
    """Declare a model's ``raw``: the JSON object that the value was made of."""
    # Neither compared nor printed: two answers that say the same are equal, and a
    # message's repr stays readable.
    made: Mapping[str, JSON] = field(default=NOTHING, repr=False, eq=False)
    return made


class JobStatus(StrEnum):
    """How far a job has come (Job API page). ``UNKNOWN`` is any word not documented."""

    SCHEDULED = "scheduled"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        """Say whether the status is final: completed or failed."""
        return self in (JobStatus.COMPLETED, JobStatus.FAILED)

    @classmethod
    def parse(cls, text: str) -> JobStatus:
        """Read the server's word, in any case; a word not documented is ``UNKNOWN``."""
        try:
            return cls(text.lower())
        except ValueError:
            return cls.UNKNOWN


def _plain(headers: Mapping[str, str]) -> dict[str, str]:
    # What aiohttp gives can neither be pickled nor be copied, nor written as JSON.
    return {str(name): value for name, value in headers.items()}


@frozen(eq=False)
class Page(Sequence[T_co], Generic[T_co]):
    """One answer of the API: a sequence of its items, with the response they came in."""

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
