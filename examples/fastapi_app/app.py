"""A web service for recordings: upload or speak one, follow it, show its transcript.

``make example`` runs it on this machine alone; ``uvicorn examples.fastapi_app.app:app`` runs it
with these settings in the environment:

- ``SYMBL_BASE_URL``, and ``SYMBL_APP_ID`` with ``SYMBL_APP_SECRET`` (or ``SYMBL_ACCESS_TOKEN``):
  the API, and the account.
- ``PUBLIC_URL`` and ``WEBHOOK_SECRET``: where the API reaches this service, and the secret that
  all workers share. Without them the end of a job is found by polling alone.
- ``JOURNAL``: the directory in which unfinished jobs outlive a worker.

Every visitor of the page can read every conversation of the account: add a login where that
is not wanted. Only the webhooks must stay open.
"""

import asyncio
import os
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from symbl_aio import Config, Limits, MediaOptions
from symbl_aio.contrib.fastapi import Client, Symbl, stream_through, upload_through
from symbl_aio.contrib.journal import JobJournal
from symbl_aio.report import ASSETS, content_of, render_article

HERE = Path(__file__).parent
SHOWN = 50
"""Conversations that are listed, of the last year."""
SILENCE = 10
"""Seconds without a byte after which a visitor who was refused counts as gone."""

public_url = os.environ.get("PUBLIC_URL")
symbl = Symbl(
    config=Config(
        # After 20 s without a job slot the visitor gets a 503 with Retry-After.
        limits=Limits(wait_for_slot=20),
        webhook_base_url=f"{public_url}/symbl/webhooks" if public_url else None,
        webhook_secret=os.environ.get("WEBHOOK_SECRET"),
    ),
    journal=JobJournal(os.environ.get("JOURNAL", HERE / "journal")),
)
app = FastAPI(title="Recordings", lifespan=symbl.lifespan)
app.include_router(symbl.router, prefix="/symbl")
symbl.handle_errors(app)


class OneRequestEach:
    """Close each connection after its response, so that no upload reuses one.

    When a reused connection breaks, browsers silently repeat the request, though it may have
    been accepted: a recording would be processed twice. Behind a proxy it is not needed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived = False

        async def reading() -> Message:
            nonlocal arrived
            message = await receive()
            arrived = not message.get("more_body")  # or the visitor has left
            return message

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                # All of it is sent first, and the rest of the request read before the connection
                # is closed: a visitor who is still sending would miss why the upload was refused.
                await send({**message, "more_body": True})
                with suppress(TimeoutError):
                    while not arrived:
                        async with asyncio.timeout(SILENCE):
                            await reading()
                message = {"type": message["type"], "body": b""}
            await send(message)

        await self.app(scope, reading, closing)


app.add_middleware(OneRequestEach)


@app.post("/recordings", status_code=202)
async def take(request: Request, name: str = "") -> dict[str, str | None]:
    """Stream the body to the API as it arrives, and return the accepted job."""
    job = await upload_through(request, MediaOptions(name=name[:200] or "A recording"))
    return {"job": job.id, "conversation": job.conversation_id}


@app.websocket("/speak")
async def speak(websocket: WebSocket, rate: Annotated[int, Query(ge=8_000, le=48_000)]) -> None:
    """Pass the page's microphone through to the API, and the words back to the page."""
    await stream_through(
        websocket,
        sample_rate=rate,
        title=f"Spoken on {datetime.now(UTC):%Y-%m-%d at %H:%M}",
        insight_types=["question", "action_item", "follow_up"],
    )


@app.get("/conversations")
async def past(client: Client) -> list[dict[str, object]]:
    """List the conversations, the newest first."""
    since = datetime.now(UTC) - timedelta(days=365)
    found = client.conversations(page_size=SHOWN, start_time=since, order="desc")
    listed: list[dict[str, object]] = []
    async with aclosing(found):
        async for info in found:
            listed.append({"id": info.id, "name": info.name, "started": info.start_time})
            if len(listed) == SHOWN:
                break
    return listed


@app.get("/conversations/{conversation_id}", response_class=HTMLResponse)
async def read(conversation_id: str, client: Client) -> str:
    """Return a conversation as a part of the page, once its jobs have ended."""
    found = await client.conversation(conversation_id).everything(
        ["messages", "summary", "topics", "questions", "action_items", "follow_ups"],
        sentiment=True,
        wait=True,
    )
    content = content_of(found, rename_url=f"conversations/{quote(conversation_id)}/members")
    return render_article(content, level=2)


class Named(BaseModel):
    name: str


@app.put("/conversations/{conversation_id}/members/{member_id}", status_code=204)
async def rename(conversation_id: str, member_id: str, person: Named, client: Client) -> None:
    """Rename a speaker of a conversation."""
    await client.conversation(conversation_id).update_member(member_id, name=person.name)


# The style and the script of what ``read`` returns.
app.mount("/report", StaticFiles(directory=ASSETS))
# Last, since it matches every path.
app.mount("/", StaticFiles(directory=HERE / "page", html=True))
