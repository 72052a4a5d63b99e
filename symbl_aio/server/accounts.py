"""Tokens: who gets one, which are good. API section 1."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

from aiohttp import web
from attrs import frozen

from symbl_aio.server.wire import JSON, RefusedError, answer


@frozen
class _Token:
    value: str
    expires_at: float


class Accounts:
    """One application's credentials and its tokens.

    As documented, a token is cached: until it is near its end, whoever asks again gets
    the same one, with the rest of its life (whole seconds) as ``expiresIn``. Near means
    a tenth of ``life``, at most a minute. ``clock`` gives seconds.
    """

    def __init__(
        self, app_id: str, app_secret: str, life: float, clock: Callable[[], float]
    ) -> None:
        self._app_id = app_id
        self._app_secret = app_secret
        self._life = life
        self._clock = clock
        self._good: dict[str, _Token] = {}
        self._current: _Token | None = None

    def issue(self, app_id: str, app_secret: str) -> tuple[str, int] | None:
        """Give a token and the seconds it has left, or None for a wrong pair."""
        known = hmac.compare_digest(app_id.encode(), self._app_id.encode())
        if not hmac.compare_digest(app_secret.encode(), self._app_secret.encode()) or not known:
            return None
        now = self._clock()
        token = self._current
        if token is None or token.expires_at - now <= min(60.0, self._life / 10):
            token = _Token(secrets.token_urlsafe(32), now + self._life)
            self._good = {t.value: t for t in self._good.values() if t.expires_at > now}
            self._good[token.value] = self._current = token
        return token.value, int(token.expires_at - now)

    def accepts(self, token: str) -> bool:
        """Tell whether the token is one of ours and not over."""
        known = self._good.get(token)
        return known is not None and known.expires_at > self._clock()

    def revoke(self) -> None:
        """Make every token bad at once; the next request for one gets a new one."""
        self._good.clear()
        self._current = None

    def check(self, request: web.Request) -> None:
        """Refuse a request without a good token, in either header of section 0.2."""
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        token = bearer.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key")
        if not token:
            raise RefusedError(401, "The request carries no token.")
        if not self.accepts(token):
            raise RefusedError(401, "Token validation failed: it is unknown or has expired.")

    async def generate(self, request: web.Request) -> web.Response:
        """``POST /oauth2/token:generate``."""
        try:
            body: JSON = await request.json()
        except ValueError:
            raise RefusedError(400, "The body is not JSON.") from None
        fields = body if isinstance(body, dict) else {}
        if fields.get("type") != "application":
            raise RefusedError(400, 'The field "type" must be "application".')
        app_id, app_secret = fields.get("appId"), fields.get("appSecret")
        if not isinstance(app_id, str) or not isinstance(app_secret, str):
            raise RefusedError(400, 'The fields "appId" and "appSecret" must be strings.')
        token = self.issue(app_id, app_secret)
        if token is None:
            raise RefusedError(401, "The application is unknown, or its secret is another.")
        return answer({"accessToken": token[0], "expiresIn": token[1]})
