"""Tokens: who gets one, which are good. API section 1."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

from aiohttp import web
from attrs import frozen

from symbl_aio.server.http_json import JSON, RefusedError, answer, sent_object


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
        self._refresh_token = secrets.token_urlsafe(32)

    def issue(self, app_id: str, app_secret: str) -> tuple[str, int] | None:
        """Give a token and the seconds it has left, or None for a wrong pair."""
        if not self._is_ours(app_id, app_secret):
            return None
        now = self._clock()
        token = self._current
        if token is None or token.expires_at - now <= min(60.0, self._life / 10):
            token = self._next()
        return token.value, int(token.expires_at - now)

    def _is_ours(self, app_id: str, app_secret: str) -> bool:
        known = hmac.compare_digest(app_id.encode(), self._app_id.encode())
        return hmac.compare_digest(app_secret.encode(), self._app_secret.encode()) and known

    def _next(self) -> _Token:
        now = self._clock()
        token = _Token(secrets.token_urlsafe(32), now + self._life)
        self._good = {t.value: t for t in self._good.values() if t.expires_at > now}
        self._good[token.value] = self._current = token
        return token

    def accepts(self, token: str) -> bool:
        """Tell whether the token is one of ours and not over."""
        known = self._good.get(token)
        return known is not None and known.expires_at > self._clock()

    def revoke(self) -> None:
        """Make every token bad at once; the next request for one gets a new one."""
        self._good.clear()
        self._current = None
        self._refresh_token = secrets.token_urlsafe(32)

    def check(self, request: web.Request) -> None:
        """Refuse a request without a good token, in either header of section 0.2."""
        token = _sent(request)
        if not token:
            raise RefusedError(401, "The request carries no token.")
        if not self.accepts(token):
            raise RefusedError(401, "Token validation failed: it is unknown or has expired.")

    async def generate(self, request: web.Request) -> web.Response:
        """``POST /oauth2/token:generate``."""
        sent = await sent_object(request)
        if sent.get("type") != "application":
            raise RefusedError(400, 'The field "type" must be "application".')
        token = self.issue(*_pair(sent))
        if token is None:
            raise RefusedError(401, _WRONG_PAIR)
        return self._given(*token)

    async def refresh(self, request: web.Request) -> web.Response:
        """``POST /oauth2/token:refresh`` (1.2): a new token with a whole life."""
        sent = await sent_object(request)
        if not self._is_ours(*_pair(sent)):
            raise RefusedError(401, _WRONG_PAIR)
        given = sent.get("refreshToken")
        if not isinstance(given, str):
            raise RefusedError(400, 'The field "refreshToken" must be a string.')
        if not hmac.compare_digest(given.encode(), self._refresh_token.encode()):
            raise RefusedError(401, "The refresh token is unknown or was revoked.")
        return self._given(self._next().value, int(self._life))

    async def revoke_one(self, request: web.Request) -> web.Response:
        """``DELETE /oauth2/token:revoke`` (1.2): the token that the request carries is over."""
        if not self._is_ours(*_pair(await sent_object(request))):
            raise RefusedError(401, _WRONG_PAIR)
        token = self._good.pop(_sent(request) or "", None)
        if token is self._current:
            self._current = None
        return answer({"message": "The token was revoked."})

    def _given(self, token: str, left: int) -> web.Response:
        # "refersh": so it is spelled on the wire.
        return answer(
            {"accessToken": token, "expiresIn": left, "refershToken": self._refresh_token}
        )


_WRONG_PAIR = "The application is unknown, or its secret is another."


def _sent(request: web.Request) -> str | None:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key")


def _pair(sent: dict[str, JSON]) -> tuple[str, str]:
    app_id, app_secret = sent.get("appId"), sent.get("appSecret")
    if not isinstance(app_id, str) or not isinstance(app_secret, str):
        raise RefusedError(400, 'The fields "appId" and "appSecret" must be strings.')
    return app_id, app_secret
