"""The routes, and what holds for all of them: the log, the faults, errors, tokens."""

from __future__ import annotations

import logging

from aiohttp import web

from symbl_aio.server.faults import TOKEN_PATH, DroppedError, Faults, Handler, Scene
from symbl_aio.server.html_pages import PAGE_PATH
from symbl_aio.server.http_json import RefusedError, answer
from symbl_aio.server.jobs import Jobs
from symbl_aio.server.request_log import Log
from symbl_aio.server.submission_parameters import Kind
from symbl_aio.server.submissions import LARGEST_JSON, Submissions
from symbl_aio.server.tokens import Accounts

logger = logging.getLogger("symbl_aio.server")

_REFRESH_PATH = "/oauth2/token:refresh"
_KINDS: tuple[Kind, ...] = ("text", "audio/url", "audio", "video/url", "video")


class App:
    """The parts of the server, joined into one ``aiohttp.web`` application."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        submissions: Submissions,
        jobs: Jobs,
        faults: Faults,
        scene: Scene,
        log: Log,
        routes: list[web.RouteDef],
    ) -> None:
        self._accounts = accounts
        self._submissions = submissions
        self._jobs = jobs
        self._faults = faults
        self._scene = scene
        self._log = log
        self._routes = routes

    def build(self) -> web.Application:
        """Make the application. The size limit is for JSON; media goes to disk."""
        app = web.Application(
            middlewares=[
                self._recorded,
                self._struck,
                self._refused,
                self._authorised,
            ],
            client_max_size=LARGEST_JSON,
        )
        app.router.add_post(TOKEN_PATH, self._accounts.generate)
        app.router.add_post(_REFRESH_PATH, self._accounts.refresh)
        app.router.add_delete("/oauth2/token:revoke", self._accounts.revoke_one)
        for kind in _KINDS:
            path = f"/v1/process/{kind}"
            handle = self._submissions.handle
            app.router.add_post(path, handle, name=_name("post", kind))
            app.router.add_put(path + "/{conversation_id}", handle, name=_name("put", kind))
        app.router.add_get("/v1/job/{job_id}", self._job)
        app.router.add_routes(self._routes)
        return app

    async def _job(self, request: web.Request) -> web.Response:
        """``GET /v1/job/{jobId}`` (section 3)."""
        job = self._jobs.known.get(request.match_info["job_id"])
        if job is None:
            raise RefusedError(404, "The job is unknown.")
        return answer({"id": job.id, "status": job.status.value})

    @web.middleware
    async def _recorded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        route = request.match_info.route.name or ""
        if route.startswith("submit."):
            _, _, kind = route.split(".", 2)
            self._log.open(request, _kind(kind))
            self._scene.pulse.ring()
        status: int | None = None
        try:
            response = await handler(request)
            status = response.status
            return response
        except DroppedError:
            return web.Response()  # to nobody
        finally:
            self._log.close(request, status)
            self._scene.pulse.ring()

    @web.middleware
    async def _struck(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        return await self._faults.exchange(request, handler, self._scene)

    @web.middleware
    async def _refused(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except RefusedError as refusal:
            return answer(refusal.body, refusal.status)
        except web.HTTPException as error:
            response = answer({"message": f"{error.reason}."}, error.status)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except (ConnectionError, web.RequestPayloadError):
            raise DroppedError from None
        except Exception:
            logger.exception("%s %s", request.method, request.path)
            return answer({"message": "The server has made a mistake."}, 500)

    @web.middleware
    async def _authorised(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path
        if path not in (TOKEN_PATH, _REFRESH_PATH) and not path.startswith(PAGE_PATH):
            self._accounts.check(request)
        return await handler(request)


def _name(method: str, kind: Kind) -> str:
    return f"submit.{method}.{kind.replace('/', '_')}"


def _kind(name: str) -> Kind:
    return next(kind for kind in _KINDS if kind.replace("/", "_") == name)
