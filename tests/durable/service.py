"""A web service with a worker inside: ``uvicorn tests.durable.service:app``."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from symbl_aio import Config, Credentials, Text
from symbl_aio.contrib.fastapi import Symbl
from symbl_aio.contrib.service_outbox import Durable

symbl = Symbl(
    Credentials("app", "secret"),
    config=Config(base_url=os.environ["API"]),
    durable=Durable(os.environ["DATABASE"], concurrency=50),
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with symbl.lifespan(app):
        yield
    # The worker has gone, and the threads of the program that it lived in have not.
    sys.stdout.write(str(await asyncio.to_thread(os.getpid)))


app = FastAPI(lifespan=lifespan)
app.include_router(symbl.router, prefix="/symbl")


@app.post("/said/{key}")
async def said(key: str) -> dict[str, str]:
    item = await symbl.outbox.submit(Text(f"{key} has the floor."), key=key)
    return {"state": item.state.value}


@app.get("/threads")
async def threads() -> int:
    """Return the process id, read in a thread of the program's own."""
    return await asyncio.to_thread(os.getpid)
