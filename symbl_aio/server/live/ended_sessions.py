"""The last frames of sessions that have ended, for listeners whose connections were lost then."""

from __future__ import annotations

from collections.abc import Callable

# A client replaces a lost connection within half a minute. Much later a listener waits for the
# next conversation of the id: clients may use one id each day.
KEPT_SECONDS = 60.0
MOST_KEPT = 10_000


class EndedSessions:
    """The last frame of each session that ended within the last ``KEPT_SECONDS``, by connection id.

    Keeps the ``MOST_KEPT`` newest. ``clock`` returns seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # In the order of their ends.
        self._kept: dict[str, tuple[float, str]] = {}

    def add(self, connection_id: str, last_frame: str) -> None:
        """Keep the last frame of a session that ends now."""
        self._kept.pop(connection_id, None)
        self._kept[connection_id] = (self._clock() + KEPT_SECONDS, last_frame)
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._drop_old()

    def discard(self, connection_id: str) -> None:
        """Forget the end of an id: another session of it begins."""
        self._kept.pop(connection_id, None)

    def last_frame(self, connection_id: str) -> str | None:
        """Return the last frame of a session that has just ended; None for another id."""
        self._drop_old()
        _, frame = self._kept.get(connection_id, (0.0, None))
        return frame

    def _drop_old(self) -> None:
        now = self._clock()
        while self._kept:
            first = next(iter(self._kept))
            if self._kept[first][0] > now:
                break
            del self._kept[first]
