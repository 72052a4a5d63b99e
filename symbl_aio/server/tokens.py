"""Access tokens of one application: issue, validate, refresh and revoke them. API section 1."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import secrets
from collections.abc import Callable
from hashlib import sha256

from aiohttp import web
from attrs import frozen

from symbl_aio.server.app_secrets import AppSecret
from symbl_aio.server.http_json import ApiError, json_response
from symbl_aio.server.storage.changes import TokenIssued, TokensRevoked
from symbl_aio.server.storage.store import StorageError, Store, StoredState

logger = logging.getLogger("symbl_aio.server")


@frozen
class Token:
    """An access token, and the time at which it expires."""

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
        self.secret = AppSecret.parse(app_secret)
        self._lifetime = lifetime
        self._clock = clock
        self._store = store
        self._valid: dict[str, Token] = {}
        self._current: Token | None = None
        self._signing_key = secrets.token_bytes(32)
        self._refresh_token = secrets.token_urlsafe(32)
        # What a restart would continue with.
        self._stored: Token | None = None
        self._stored_refresh: str | None = None
        # Tokens of an earlier server on this store, by their SHA-256.
        self._restored: dict[bytes, float] = {}
        self._restored_refresh: set[bytes] = set()

    def restore(self, state: StoredState) -> None:
        """Accept the tokens that the last server issued."""
        self._restored = dict(state.access_tokens)
        self._restored_refresh = set(state.refresh_tokens)

    def current(self) -> Token:
        """Return the current token, or a new one shortly before it expires."""
        token = self._current
        near = min(60.0, self._lifetime / 10)
        # The old token stays valid until it expires: requests with it are under way.
        if token is None or token.expires_at - self._clock() <= near:
            return self._issue_new()
        return token

    def _issue_new(self) -> Token:
        now = self._clock()
        token = Token(self._jwt(), now + self._lifetime)
        # Expired tokens are dropped here, so that the table does not grow.
        self._valid = {t.value: t for t in self._valid.values() if t.expires_at > now}
        self._valid[token.value] = self._current = token
        return token

    def _jwt(self) -> str:
        """Return a new JSON Web Token (HS256).

        Clients read when it expires from it. The server itself looks a token up, so that it can
        be revoked; the key of the signature is not needed later.
        """
        issued = int(self._clock())
        claims = {
            "sub": self._app_id,
            "iat": issued,
            "exp": issued + int(self._lifetime),
            "jti": secrets.token_urlsafe(16),
        }
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in (_JWT_HEADER, claims))
        signature = hmac.digest(self._signing_key, signed.encode(), "sha256")
        return f"{signed}.{_base64url(signature)}"

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
        self._store.post(TokensRevoked(None))

    async def generate(self) -> web.Response:
        """Respond with the current token."""
        return await self._token_response(self.current())

    async def refresh(self, refresh_token: str) -> web.Response:
        """Respond with a new token of a full lifetime (1.2). Raises a 401 ``ApiError``."""
        if not (
            hmac.compare_digest(refresh_token.encode(), self._refresh_token.encode())
            or _digest(refresh_token) in self._restored_refresh
        ):
            raise ApiError(401, "The refresh token is unknown or was revoked.")
        return await self._token_response(self._issue_new())

    async def revoke_one(self, value: str) -> None:
        """Revoke a token (1.2). One that is unknown is none."""
        await self._store.commit(TokensRevoked(_digest(value)))
        self._restored.pop(_digest(value), None)
        token = self._valid.pop(value, None)
        # The next token request must not return a revoked token.
        if token is self._current:
            self._current = None

    async def _token_response(self, token: Token) -> web.Response:
        refresh, changes = self._refresh_token, []
        if token is not self._stored:
            changes.append(TokenIssued("access", _digest(token.value), token.expires_at))
        if refresh != self._stored_refresh:
            changes.append(TokenIssued("refresh", _digest(refresh), None))
        if changes:
            try:
                await self._store.commit(*changes)
                self._stored, self._stored_refresh = token, refresh
            except StorageError as error:
                # A full disk must not keep callers from reading what is there.
                logger.error("a token ends with this server, unless it is stored later: %s", error)
        # "refersh" is the spelling of the API.
        remaining = int(token.expires_at - self._clock())
        return json_response(
            {"accessToken": token.value, "expiresIn": remaining, "refershToken": refresh}
        )


_JWT_HEADER = {"alg": "HS256", "typ": "JWT"}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()
