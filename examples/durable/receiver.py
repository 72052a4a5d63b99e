"""A web process that gets the webhook calls. It has an outbox only, and sends nothing."""

from __future__ import annotations

import asyncio
import os
import sys

from aiohttp import web

from examples.durable.lines import answer, commands
from symbl_aio.durable import Outbox


async def main(database: str) -> None:
    async with Outbox(database, webhook_secret=os.environ["SYMBL_WEBHOOK_SECRET"]) as outbox:

        async def on_webhook(call: web.Request) -> web.Response:
            nonce, mark = call.match_info["nonce"], call.match_info["mark"]
            return web.Response(status=await outbox.webhook(nonce, mark, await call.read()))

        app = web.Application()
        app.router.add_post("/hooks/{nonce}/{mark}", on_webhook)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        answer(f"http://127.0.0.1:{runner.addresses[0][1]}/hooks")
        async for _ in commands():
            pass
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
