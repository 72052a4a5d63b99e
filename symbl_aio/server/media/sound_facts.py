"""The sound of a recording, as far as its header states or suggests it."""

from __future__ import annotations

from attrs import frozen


@frozen
class Sound:
    """The facts about the sound in a file.

    ``seconds``: its length, None if unknown. ``estimated``: the length was computed from a part
    of the file, so it may be wrong by any factor.
    """

    present: bool
    seconds: float | None = None
    estimated: bool = False


CUT_OFF = "the file is cut off"
