"""Handlers of the token calls, and the application behind the token of a request. API section 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiohttp import hdrs, web

from symbl_aio.server.account import Account
from symbl_aio.server.guess_limit import GuessLimit
from symbl_aio.server.http_json import JSON, ApiError, json_response
from symbl_aio.server.live.live_socket import wanted_protocols, wants_websocket
from symbl_aio.server.proxy_headers import Origins
from symbl_aio.server.request_body import read_json_object
from symbl_aio.server.server_limits import LIMITS
from symbl_aio.server.thread_pool import run_in_thread

TOKEN_PATH = "/oauth2/token:generate"
REFRESH_PATH = "/oauth2/token:refresh"
_REVOKE_PATH = "/oauth2/token:revoke"

# Of a WebSocket alone: a link with a token in it would be kept in histories and logs.
_TOKEN_PARAMETER = "access_token"

_WRONG_CREDENTIALS = "The application is unknown, or its secret is another."


class TokenHandlers:
    """Handles the token calls of all applications. ``guesses`` limits wrong credentials."""

    def __init__(self, accounts: Sequence[Account], guesses: GuessLimit, origins: Origins) -> None:
        self._accounts = accounts
        self._by_id = {account.app_id: account for account in accounts}
        self._guesses = guesses
        self._origins = origins

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(TOKEN_PATH, self._generate),
            web.post(REFRESH_PATH, self._refresh),
            web.delete(_REVOKE_PATH, self._revoke),
        ]

    def authenticate(self, request: web.Request) -> Account:
        """Return the account of a request's token. Raises a 401 or 431 ``ApiError``."""
        token = None
        for token in _tokens_of(request):
            for account in self._accounts:
                if account.tokens.is_valid(token):
                    return account
        if token is None:
            raise ApiError(
                401, 'The request carries no token; send "Authorization: Bearer" and the token.'
            )
        raise ApiError(401, "Token validation failed: it is unknown or has expired.")

    async def _generate(self, request: web.Request) -> web.Response:
        """Handle ``POST /oauth2/token:generate``."""
        fields = await _read_fields(request)
        if fields.get("type") != "application":
            raise ApiError(400, 'The field "type" must be "application".')
        return await (await self._verified(request, fields)).tokens.generate()

    async def _refresh(self, request: web.Request) -> web.Response:
        """Handle ``POST /oauth2/token:refresh`` (1.2)."""
        fields = await _read_fields(request)
        account = await self._verified(request, fields)
        refresh_token = fields.get("refreshToken")
        if not isinstance(refresh_token, str):
            raise ApiError(400, 'The field "refreshToken" must be a string.')
        return await account.tokens.refresh(refresh_token)

    async def _revoke(self, request: web.Request) -> web.Response:
        """Handle ``DELETE /oauth2/token:revoke`` (1.2): revoke the token of the request."""
        account = await self._verified(request, await _read_fields(request))
        await account.tokens.revoke_one(_token_of(request) or "")
        return json_response({"message": "The token was revoked."})

    async def _verified(self, request: web.Request, fields: dict[str, JSON]) -> Account:
        """Return the account of the credentials in a request. Raises a 400, 401, 429 ``ApiError``.

        An address that guesses waits, and what it sends meanwhile is not looked at.
        """
        app_id, app_secret = fields.get("appId"), fields.get("appSecret")
        if not isinstance(app_id, str) or not isinstance(app_secret, str):
            raise ApiError(400, 'The fields "appId" and "appSecret" must be strings.')
        address = self._origins.client(request)
        if seconds := self._guesses.wait(address):
            raise ApiError(429, "Too many wrong credentials.", retry_after=seconds)
        account = self._by_id.get(app_id)
        # For an unknown application, too: the time must not show which ones there are.
        secret = (account or self._accounts[0]).tokens.secret
        if secret.slow:
            right = await run_in_thread(secret.matches, app_secret)
        else:
            right = secret.matches(app_secret)
        if account is None or not right:
            self._guesses.record_wrong(address)
            raise ApiError(401, _WRONG_CREDENTIALS)
        return account


async def _read_fields(request: web.Request) -> dict[str, JSON]:
    return await read_json_object(request, request.app[LIMITS].token_body)


def _tokens_of(request: web.Request) -> Iterator[str]:
    """Yield the tokens that a request shows. Raises a 431 ``ApiError`` for many.

    A browser cannot set a header of a WebSocket: the token is then in the query, or is the name
    of a subprotocol.
    """
    if token := _token_of(request):
        yield token
    if wants_websocket(request):
        if token := request.query.get(_TOKEN_PARAMETER):
            yield token
        yield from wanted_protocols(request)


def _token_of(request: web.Request) -> str | None:
    # The older header x-api-key is accepted as well.
    scheme, _, bearer = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key")
