"""A process that takes webhook calls, with nothing but an outbox in it."""

from __future__ import annotations

from aiohttp import web

from symbl_aio.durable import Outbox
from tests.durable.processes import serve


async def main(database: str, secret: str) -> None:
    async with Outbox(database, webhook_secret=secret) as outbox:

        async def hear(request: web.Request) -> web.Response:
            told = request.match_info
            body = await request.read()
            return web.Response(status=await outbox.webhook(told["nonce"], told["mark"], body))

        app = web.Application()
        app.router.add_post("/hooks/{nonce}/{mark}", hear)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()

        async def obey() -> None: ...

        await serve(f"http://127.0.0.1:{runner.addresses[0][1]}/hooks", obey)
        await runner.cleanup()
