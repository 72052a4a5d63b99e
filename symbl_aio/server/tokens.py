"""Access tokens: issue, validate, refresh and revoke them. API section 1."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256

from aiohttp import web
from attrs import frozen

from symbl_aio.server.http_json import JSON, ApiError, json_response
from symbl_aio.server.request_body import read_json_object
from symbl_aio.server.server_limits import LIMITS
from symbl_aio.server.storage.changes import TokenIssued, TokensRevoked
from symbl_aio.server.storage.store import Store, StoredState


@frozen
class _Token:
    value: str
    expires_at: float


class TokenIssuer:
    """The credentials of one application and its access tokens.

    As documented, a token is cached: every token request returns the same token, with its
    remaining lifetime in whole seconds as ``expiresIn``, until the token is near its expiry.
    Near means within a tenth of ``lifetime``, at most one minute. ``clock`` returns seconds.
    The store has hashes only, so a restarted server issues a new token, and accepts those of
    the last one until they expire.
    """

    def __init__(
        self,
        app_id: str,
        app_secret: str,
        lifetime: float,
        clock: Callable[[], float],
        store: Store,
    ) -> None:
        self._app_id = app_id
        self._app_secret = app_secret
        self._lifetime = lifetime
        self._clock = clock
        self._store = store
        self._valid: dict[str, _Token] = {}
        self._current: _Token | None = None
        self._refresh_token = secrets.token_urlsafe(32)
        self._refresh_is_stored = False
        # Tokens of an earlier server on this store, by their SHA-256.
        self._restored: dict[bytes, float] = {}
        self._restored_refresh: set[bytes] = set()

    def restore(self, state: StoredState) -> None:
        """Accept the tokens that the last server issued."""
        self._restored = dict(state.access_tokens)
        self._restored_refresh = set(state.refresh_tokens)

    def issue(self, app_id: str, app_secret: str) -> tuple[str, int] | None:
        """Return a token and its remaining seconds, or None for wrong credentials."""
        if not self._credentials_match(app_id, app_secret):
            return None
        now = self._clock()
        token = self._current
        # The old token stays valid until it expires: requests with it are under way.
        if token is None or token.expires_at - now <= min(60.0, self._lifetime / 10):
            token = self._issue_new()
        return token.value, int(token.expires_at - now)

    def _credentials_match(self, app_id: str, app_secret: str) -> bool:
        # Both are compared in constant time, the second one even if the first differs.
        known = hmac.compare_digest(app_id.encode(), self._app_id.encode())
        return hmac.compare_digest(app_secret.encode(), self._app_secret.encode()) and known

    def _issue_new(self) -> _Token:
        now = self._clock()
        token = _Token(secrets.token_urlsafe(32), now + self._lifetime)
        # Expired tokens are dropped here, so that the table does not grow.
        self._valid = {t.value: t for t in self._valid.values() if t.expires_at > now}
        self._valid[token.value] = self._current = token
        return token

    def is_valid(self, token: str) -> bool:
        """Return whether this server issued the token and it has not expired."""
        known = self._valid.get(token)
        if known is not None:
            return known.expires_at > self._clock()
        return bool(self._restored) and self._restored.get(_digest(token), 0) > self._clock()

    def revoke(self) -> None:
        """Revoke every token at once; the next token request issues a new one."""
        self._valid.clear()
        self._restored.clear()
        self._restored_refresh.clear()
        self._current = None
        self._refresh_token = secrets.token_urlsafe(32)
        self._refresh_is_stored = False
        self._store.post(TokensRevoked(None))

    def authenticate(self, request: web.Request) -> None:
        """Raise a 401 ``ApiError`` without a valid token in a header of section 0.2."""
        token = _token_of(request)
        if not token:
            raise ApiError(401, "The request carries no token.")
        if not self.is_valid(token):
            raise ApiError(401, "Token validation failed: it is unknown or has expired.")

    async def generate(self, request: web.Request) -> web.Response:
        """Handle ``POST /oauth2/token:generate``."""
        fields = await _read_fields(request)
        if fields.get("type") != "application":
            raise ApiError(400, 'The field "type" must be "application".')
        before = self._current
        token = self.issue(*_read_credentials(fields))
        if token is None:
            raise ApiError(401, _WRONG_CREDENTIALS)
        return await self._token_response(*token, new=self._current is not before)

    async def refresh(self, request: web.Request) -> web.Response:
        """Handle ``POST /oauth2/token:refresh`` (1.2): issue a new token with a full lifetime."""
        fields = await _read_fields(request)
        if not self._credentials_match(*_read_credentials(fields)):
            raise ApiError(401, _WRONG_CREDENTIALS)
        refresh_token = fields.get("refreshToken")
        if not isinstance(refresh_token, str):
            raise ApiError(400, 'The field "refreshToken" must be a string.')
        if not (
            hmac.compare_digest(refresh_token.encode(), self._refresh_token.encode())
            or _digest(refresh_token) in self._restored_refresh
        ):
            raise ApiError(401, "The refresh token is unknown or was revoked.")
        return await self._token_response(self._issue_new().value, int(self._lifetime), new=True)

    async def revoke_current(self, request: web.Request) -> web.Response:
        """Handle ``DELETE /oauth2/token:revoke`` (1.2): revoke the token of the request."""
        if not self._credentials_match(*_read_credentials(await _read_fields(request))):
            raise ApiError(401, _WRONG_CREDENTIALS)
        value = _token_of(request) or ""
        await self._store.commit(TokensRevoked(_digest(value)))
        self._restored.pop(_digest(value), None)
        token = self._valid.pop(value, None)
        # The next token request must not return a revoked token.
        if token is self._current:
            self._current = None
        return json_response({"message": "The token was revoked."})

    async def _token_response(self, token: str, expires_in: int, *, new: bool) -> web.Response:
        changes = []
        if new:
            expires_at = self._clock() + expires_in
            changes.append(TokenIssued("access", _digest(token), expires_at))
        if not self._refresh_is_stored:
            self._refresh_is_stored = True
            changes.append(TokenIssued("refresh", _digest(self._refresh_token), None))
        if changes:
            await self._store.commit(*changes)
        # "refersh" is the spelling of the API.
        return json_response(
            {"accessToken": token, "expiresIn": expires_in, "refershToken": self._refresh_token}
        )


_WRONG_CREDENTIALS = "The application is unknown, or its secret is another."


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()


async def _read_fields(request: web.Request) -> dict[str, JSON]:
    return await read_json_object(request, request.app[LIMITS].token_body)


def _token_of(request: web.Request) -> str | None:
    # The older header x-api-key is accepted as well.
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key")


def _read_credentials(fields: dict[str, JSON]) -> tuple[str, str]:
    app_id, app_secret = fields.get("appId"), fields.get("appSecret")
    if not isinstance(app_id, str) or not isinstance(app_secret, str):
        raise ApiError(400, 'The fields "appId" and "appSecret" must be strings.')
    return app_id, app_secret
