"""Call the API: attempts until there is an answer, as the retry table decides.

``call`` repeats what may be repeated. ``submit`` repeats a submission only while it is
certain that the server accepted nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Final, TypeVar

import aiohttp
from attrs import frozen

from symbl_aio._callback_checks import awaitable, ends_program, is_own_cancellation
from symbl_aio._core.retries import (
    Attempts,
    Purpose,
    Verdict,
    on_fault,
    on_status,
    retry_after,
)
from symbl_aio._error_classes import api_error
from symbl_aio._fields import type_name
from symbl_aio._io.auth import Tokens
from symbl_aio._io.single_use_body import Payload
from symbl_aio._io.tasks import Tasks, result_within
from symbl_aio._io.transport import Transport
from symbl_aio._log import Log
from symbl_aio._protocol import answers, encode
from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.calls import Call
from symbl_aio._protocol.redact import redact, secrets_of
from symbl_aio.config import AccessToken, Config, Credentials, CredentialsLike, TokenProvider
from symbl_aio.errors import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    DecodeError,
    FileUnavailableError,
    PermissionDeniedError,
    Sent,
    SymblError,
    TransportError,
    UntrustedServerError,
    UploadStalledError,
)

_LOG = Log("symbl_aio")
_ERROR_BODY: Final = 4096
_EXCERPT: Final = 200
_LOOKED_THROUGH: Final = 2**20

T = TypeVar("T")


@frozen
class Accepted:
    """The server took a submission (Async API pages: both ids)."""

    conversation_id: str
    job_id: str


@frozen
class Full:
    """The server refused a submission: the account is at its job limit (429).

    ``retry_after``: seconds, if it named any.
    """

    retry_after: float | None


class UnsettledError(Exception):
    """The server may have accepted; ``cause``: the error that came instead of the two ids."""

    def __init__(self, cause: SymblError, sent: Sent) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.sent: Sent = sent


class Api:
    """The calls of one account. Token requests run as tasks of the client."""

    def __init__(
        self,
        config: Config,
        credentials: CredentialsLike,
        transport: Transport,
        tasks: Tasks,
        *,
        jitter: Callable[[], float],
    ) -> None:
        self._config = config
        self._credentials = credentials
        self._transport = transport
        self._jitter = jitter
        self._secret = credentials.app_secret if isinstance(credentials, Credentials) else ""
        self._tokens = Tokens(self._make_token, tasks)

    async def ready(self) -> None:
        """Get a token, so that what follows starts with its first byte."""
        await self._tokens.current()

    async def call(self, call: Call, *, repeatable: bool = True) -> Answer:
        """Send a call, again if need be, and give the 2xx answer.

        Raises ``APIError``, ``TransportError`` or ``DecodeError``. ``repeatable=False``
        is for what would do a second time what it did already: it is sent again only
        while it is certain that the server did nothing.
        """
        try:
            return await self._attempt(
                call, "read" if repeatable else "submission", full_is_error=True
            )
        except UnsettledError as unsettled:
            raise unsettled.cause from None

    async def ask_once(self, call: Call) -> Answer:
        """Send a read without any retry but one for a refused token.

        For the poller, whose plan is its retry. Raises as ``call``.
        """
        token = await self._tokens.current()
        answer = await self._transport.send(call, self._auth(token))
        if answer.status == 401:
            token = await self._another(token, self._error(call, answer, token))
            answer = await self._transport.send(call, self._auth(token))
        if not 200 <= answer.status < 300:
            raise self._error(call, answer, token)
        return answer

    async def call_once(self, call: Call) -> Answer:
        """Send a call that starts something, as a submission: never again if it may have arrived.

        Raises ``UnsettledError`` when the server may have accepted it, else the error because
        of which it did nothing.
        """
        return await self._attempt(call, "submission", full_is_error=True)

    async def websocket(self, path: str) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket, once more with another token if the first one is refused.

        Raises as ``Transport.websocket``.
        """
        token = await self._tokens.current()
        try:
            return await self._transport.websocket(path, self._auth(token))
        except AuthenticationError as refused:
            token = await self._another(token, refused)
        return await self._transport.websocket(path, self._auth(token))

    async def submit(self, call: Call, payload: Payload, *, repeatable: bool) -> Accepted | Full:
        """Send a submission, each time with a fresh body, until the server took or refused it.

        Without ``repeatable`` (a one-shot source) the first failure is raised. Raises
        ``UnsettledError`` when the server may have accepted it, else the error because of
        which nothing was accepted.
        """
        answer = await self._attempt(
            call, "submission", payload, repeatable=repeatable, full_is_error=not repeatable
        )
        if answer.status == 429:
            return Full(retry_after(answer.headers))
        try:
            return Accepted(*answers.decode_accepted(answer))
        except DecodeError as error:
            # 2xx, so it was accepted, and yet the job has no known id.
            raise UnsettledError(error, "yes") from error

    async def _attempt(
        self,
        call: Call,
        purpose: Purpose,
        payload: Payload | None = None,
        *,
        authorised: bool = True,
        repeatable: bool = True,
        full_is_error: bool,
    ) -> Answer:
        """Send until there is an answer: a 2xx, or the 429 of a full account.

        The one place where the retry table is acted upon.
        """
        attempts: Attempts | None = None
        was_refused = False
        while True:
            # Each time: an upload may take as long as a token lasts.
            token = await self._tokens.current() if authorised else None
            headers = self._auth(token) if token is not None else {}
            error: SymblError
            body = None if payload is None else payload.body()
            try:
                answer = await self._transport.send(call, headers, body)
            except (TransportError, UploadStalledError, FileUnavailableError) as fault:
                sent: Sent = fault.sent if isinstance(fault, TransportError) else "partial"
                final = isinstance(fault, TransportError) and fault.final
                verdict, error = on_fault(sent, purpose, final=final), fault
            except DecodeError as fault:  # larger than will be read
                if purpose == "read":
                    raise
                sent, verdict, error = "yes", Verdict.AMBIGUOUS, fault
            else:
                if 200 <= answer.status < 300:
                    if body is not None and not body.complete:
                        # The answer to another message, or the acceptance of a piece of this one.
                        early = f"{call.method} {call.path}: accepted before all of it was sent"
                        raise UnsettledError(TransportError(early, "partial"), "partial")
                    return answer
                sent = "yes"
                verdict = on_status(
                    answer.status,
                    purpose,
                    has_retry_after=retry_after(answer.headers) is not None,
                    complete=body is None or body.complete,
                )
                if verdict is Verdict.WAIT_FOR_SLOT and not full_is_error:
                    return answer
                error = self._error(call, answer, token)
                if body is not None and verdict is not Verdict.AMBIGUOUS:
                    body.refused()

            if verdict is Verdict.AMBIGUOUS:
                raise UnsettledError(error, sent) from error
            if not repeatable:
                raise error
            if verdict is Verdict.REAUTHENTICATE and token is not None and not was_refused:
                await self._another(token, error)
                was_refused = True
            elif verdict is Verdict.RETRY or (verdict is Verdict.WAIT_FOR_SLOT and payload is None):
                was_refused = False
                attempts = attempts or Attempts(self._config.retries)
                await self._pause(attempts, error)
            else:
                raise error

    async def _make_token(self) -> AccessToken:
        credentials = self._credentials
        if isinstance(credentials, AccessToken):
            return credentials
        if not isinstance(credentials, Credentials):
            return await self.patiently(partial(self._provided, credentials))
        attempts = Attempts(self._config.retries)
        while True:
            answer = await self._token_answer(credentials)
            try:
                value, expires_in = answers.decode_token(answer)
            except DecodeError as error:
                # A page of a proxy, perhaps, which would end all that waits for the token.
                await self._pause(attempts, error)
            else:
                return AccessToken(value, None if expires_in is None else max(1.0, expires_in))

    async def _token_answer(self, credentials: Credentials) -> Answer:
        try:
            return await self._attempt(
                encode.encode_token(credentials), "read", authorised=False, full_is_error=True
            )
        except AuthenticationError as error:
            raise AuthenticationError(
                401, error.message, error.body, where="the app id or secret was refused"
            ) from None
        except DecodeError as error:  # larger than Limits.answer_bytes
            error.raw = ""  # the text may hold a token
            raise
        except UntrustedServerError:
            raise
        except TransportError as error:
            # How far *this* request got proves nothing about the one that waits for the token.
            message = f"no token could be had: {error}"
            raise TransportError(message, "no", final=error.final) from error

    async def _provided(self, provider: TokenProvider) -> AccessToken:
        """Call a credential provider once. Raises ``TransportError`` for a transient failure."""
        times = self._config.timeouts
        try:
            made = await result_within(times.connect + times.read, _called(provider))
            return made if isinstance(made, AccessToken) else AccessToken(made)
        except (AuthenticationError, UntrustedServerError):
            raise
        except ConfigurationError as error:
            raise AuthenticationError(
                401, f"the credential provider is of no use: {error}"
            ) from error
        except PermissionDeniedError as error:
            raise AuthenticationError(401, "the credential provider was refused (403)") from error
        except Exception as error:
            # Only its type: the provider's words may hold a secret.
            why = f"no token could be had: the credential provider raised {type(error).__name__}"
            raise TransportError(why, "no") from error

    async def _another(self, refused: str, error: SymblError) -> str:
        if isinstance(self._credentials, AccessToken):
            raise error  # a ready token is all there is
        return await self._tokens.replace(refused)

    def _auth(self, token: str) -> dict[str, str]:
        if self._config.auth_header == "x-api-key":
            return {"x-api-key": token}
        return {"Authorization": f"Bearer {token}"}

    def redacted(self, text: str) -> str:
        """Return a text of the server without this client's secrets, and not too long."""
        secrets = [self._tokens.held, self._secret, *self._transport.secrets]
        return redact(text[:_LOOKED_THROUGH], secrets)[:_ERROR_BODY]

    def _error(self, call: Call, answer: Answer, token: str | None) -> APIError:
        """Return the error of an answer, without the secrets that it may repeat."""
        secrets = [token or "", self._secret, *self._transport.secrets]
        for url in call.urls:
            secrets.extend(secrets_of(url))
        # Cut only once all are struck out, or half of one may be left.
        message, excerpt, body = (
            redact(text[:_LOOKED_THROUGH], secrets)[:most]
            for text, most in (
                (answers.error_message(answer), _ERROR_BODY),
                (answers.error_excerpt(answer), _EXCERPT),
                (answer.text, _ERROR_BODY),
            )
        )
        message = message or excerpt
        return api_error(
            answer.status,
            message,
            body,
            where=f"{call.method} {call.path}",
            retry_after=retry_after(answer.headers),
        )

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do work that a transient fault, local or of a provider, may fail.

        It is retried within ``Retries``, like a connection that was refused.
        """
        attempts = Attempts(self._config.retries)
        while True:
            try:
                return await work()
            except (TransportError, UploadStalledError, FileUnavailableError) as error:
                if isinstance(error, TransportError) and error.final:
                    raise
                await self._pause(attempts, error)

    async def _pause(self, attempts: Attempts, error: SymblError) -> None:
        """Wait before the next attempt, or raise ``error`` when there is none."""
        named = error.retry_after if isinstance(error, APIError) else None
        pause = attempts.pause(monotonic(), jitter=self._jitter(), retry_after=named)
        if pause is None:
            raise error
        _LOG.debug("trying again in %.2f s: %s", pause, error)
        await asyncio.sleep(pause)


async def _called(provider: TokenProvider) -> AccessToken | str:
    try:
        made: object = await awaitable("credentials", provider())
    except Exception:
        raise
    except BaseException as error:
        # A GeneratorExit is the provider's own, too: this task is never closed from outside.
        if is_own_cancellation(error) or ends_program(error):
            raise
        # Work of the provider's own was cancelled, for example, and not this request.
        raise RuntimeError(f"the provider raised {type(error).__name__}") from error
    if not isinstance(made, AccessToken | str):
        raise ConfigurationError(
            f"credentials returned {type_name(made)}; return an AccessToken or a str"
        )
    return made
