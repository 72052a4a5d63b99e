"""The application of a web process: the settings come from its environment."""

from __future__ import annotations

import os

from symbl_aio import Config, Credentials, Limits
from symbl_aio.contrib.fastapi import Symbl
from symbl_aio.contrib.journal import JobJournal
from tests.contrib.site import SECRET, fastapi_app
from tests.support import QUICK

symbl = Symbl(
    Credentials("app", "secret"),
    config=Config(
        base_url=os.environ["API"],
        webhook_base_url=os.environ.get("HOOKS"),
        webhook_secret=SECRET,
        limits=Limits(jobs=int(os.environ.get("JOBS", "50"))),
        **QUICK,
    ),
    journal=JobJournal(os.environ["JOURNAL"]),
)
app = fastapi_app(symbl)


@app.get("/worker")
async def worker() -> dict[str, int]:
    """Return the id of the process that answers, and the number of jobs it follows."""
    return {"pid": os.getpid(), "jobs": symbl.client.stats().jobs}
