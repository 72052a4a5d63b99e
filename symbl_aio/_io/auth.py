"""Hold one client's token: made once, refreshed early, replaced when it is refused.

Authentication page of the API: the server caches tokens, so ``expiresIn`` is the time
*left*, and asking again may bring the same token back. One request is in flight at a
time; it belongs to the client, so a caller that is cancelled does not spoil it for others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

from symbl_aio._io.tasks import Tasks
from symbl_aio._log import Log
from symbl_aio._shared_futures import result_of
from symbl_aio.config import AccessToken
from symbl_aio.errors import AuthenticationError, ClientClosedError

_LOG = Log("symbl_aio")
_WIDEST_MARGIN: Final = 300.0
_SOONEST_REFRESH: Final = 1.0


class Tokens:
    """The token of one client.

    ``make`` requests a new one, with its own retries, as a task of the client; ``clock``
    returns seconds.
    """

    def __init__(
        self,
        make: Callable[[], Awaitable[AccessToken]],
        tasks: Tasks,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._clock = clock
        self._make = make
        self._tasks = tasks
        self._token: AccessToken | None = None
        self._refresh_at = float("inf")
        self._ends_at = float("inf")
        self._making: asyncio.Task[AccessToken] | None = None

    @property
    def held(self) -> str:
        """The token that was used last, without a look at its age; empty before the first."""
        return "" if self._token is None else self._token.value

    async def current(self) -> str:
        """Return a token that has not expired. Waits for a new one only if there is none."""
        now = self._clock()
        if self._token is None or now >= self._ends_at:
            return (await self._renew()).value
        if now >= self._refresh_at:
            self._start()
        return self._token.value

    async def replace(self, refused: str) -> str:
        """Return another token than the one that the server refused with 401.

        Requests a new one only if the refused one is still the current one. Raises
        ``AuthenticationError`` when the same one comes back: a loop would not help.
        """
        if self._token is not None and self._token.value != refused:
            return self._token.value
        token = await self._renew()
        if token.value == refused:
            raise AuthenticationError(
                401, "the token was refused, and asking for a new one brought the same one back"
            )
        return token.value

    async def _renew(self) -> AccessToken:
        making = self._start()
        try:
            return await result_of(making)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if making.cancelled() and task is not None and not task.cancelling():
                # The client cancelled the request; this caller was not cancelled.
                raise ClientClosedError("the client was closed before it had a token") from None
            raise

    def _start(self) -> asyncio.Task[AccessToken]:
        if self._making is None or self._making.done():
            self._making = self._tasks.start(self._replace(), "token")
            self._making.add_done_callback(self._made)
        return self._making

    async def _replace(self) -> AccessToken:
        token = await self._make()
        now = self._clock()
        self._token = token
        if token.expires_in is None:
            self._refresh_at = self._ends_at = float("inf")
        else:
            margin = min(_WIDEST_MARGIN, token.expires_in / 10)
            self._ends_at = now + token.expires_in
            self._refresh_at = now + max(_SOONEST_REFRESH, token.expires_in - margin)
        return token

    def _made(self, task: asyncio.Task[AccessToken]) -> None:
        # A background refresh that fails is no caller's error while the old token lasts.
        # It is tried again soon, not at every call.
        if not task.cancelled() and (error := task.exception()) is not None:
            # Only its type: the provider's words may hold a secret.
            _LOG.debug("no new token (%s)", type(error).__name__)
            self._refresh_at = self._clock() + 10 * _SOONEST_REFRESH
