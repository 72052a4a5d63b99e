"""The outcomes of ``client.map``, with handles that need no ``await``.

Copies of the classes of ``bulk``, which a test compares: a common base with the handles as type
parameters would show up in each annotation of a caller.
"""

from __future__ import annotations

from typing import ClassVar, Generic, Literal, NoReturn, TypeAlias, TypeVar

from attrs import frozen

from symbl_aio.sync.handles import Conversation, Job

__all__ = ["Completed", "Failed", "Outcome"]

S_co = TypeVar("S_co", covariant=True)


@frozen
class Completed(Generic[S_co]):
    """The outcome of a source whose job completed."""

    index: int
    """Index of the source, from 0."""
    source: S_co
    """The source, as it was given."""
    job: Job
    """The job, which completed."""
    conversation: Conversation
    """The conversation that the job added to."""

    ok: ClassVar[Literal[True]] = True
    error: ClassVar[None] = None

    def unwrap(self) -> Conversation:
        """Return the conversation; of a ``Failed`` outcome, raise the error."""
        return self.conversation


@frozen
class Failed(Generic[S_co]):
    """The outcome of a source that failed, with its error.

    ``job`` is set after any acceptance, so that no billed job is lost.
    """

    index: int
    """Index of the source, from 0."""
    source: S_co
    """The source, as it was given."""
    job: Job | None
    """The job, once the server accepted the source."""
    error: Exception
    """The error."""

    ok: ClassVar[Literal[False]] = False
    conversation: ClassVar[None] = None

    def unwrap(self) -> NoReturn:
        """Raise the error; of a ``Completed`` outcome, return the conversation."""
        raise self.error


Outcome: TypeAlias = Completed[S_co] | Failed[S_co]
"""The outcome of one source of ``client.map``: its conversation, or its error."""
