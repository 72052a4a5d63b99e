"""Run the example: ``python -m examples.fastapi_app``, or ``make example``. Ctrl-C stops it.

Without ``SYMBL_BASE_URL`` it starts the project's local server beside it. The service is a
process of its own and is started again when it is killed, as a supervisor would do: then its
page recovers, and its jobs go on.
"""

import asyncio
import os
import secrets
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from contextlib import AsyncExitStack

from symbl_aio.server import LocalServer

HOST = "127.0.0.1"


async def main() -> int:
    port = os.environ.get("PORT") or "8000"
    async with AsyncExitStack() as stack:
        # Listening here, so that no connection is refused while the service starts or restarts.
        listening = stack.enter_context(socket.socket())
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, int(port)))
        except (ValueError, OverflowError, OSError) as error:
            print(f"cannot listen on port {port} ({error}); choose another: PORT=8001")
            return 2
        listening.listen(100)
        url = f"http://{HOST}:{listening.getsockname()[1]}"
        settings = {} if os.environ.get("SYMBL_BASE_URL") else await local(url, stack)
        print(f"\n  Open {url}   (Ctrl-C stops it)\n", flush=True)
        return await serve(listening, os.environ | settings)


async def local(url: str, stack: AsyncExitStack) -> dict[str, str]:
    """Start the local server, and give the service the settings for it."""
    secret = secrets.token_urlsafe()
    # Long enough in progress to be seen there, and forgotten when there are many.
    server = LocalServer(
        asr="auto", app_id="example", app_secret=secret, job_seconds=1, retain=1000
    )
    await stack.enter_async_context(server)
    journal = stack.enter_context(tempfile.TemporaryDirectory(prefix="symbl-aio-example-"))
    return {
        "SYMBL_BASE_URL": server.base_url,
        "SYMBL_APP_ID": server.app_id,
        "SYMBL_APP_SECRET": secret,
        "SYMBL_ACCESS_TOKEN": "",
        "PUBLIC_URL": url,
        "WEBHOOK_SECRET": secrets.token_urlsafe(),
        "JOURNAL": journal,
    }


async def serve(listening: socket.socket, settings: dict[str, str]) -> int:
    """Run the service until it is stopped, and again whenever it is killed."""
    service: Process | None = None
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        if service is not None and service.returncode is None:
            service.terminate()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    while not stopped:
        service = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "examples.fastapi_app.app:app"),
            *("--fd", str(listening.fileno()), "--log-level", "warning"),
            *("--timeout-graceful-shutdown", "5"),
            env=settings,
            pass_fds=[listening.fileno()],
        )
        if stopped:
            service.terminate()
        code = await service.wait()
        if code >= 0 and not stopped:
            return code
        if not stopped:
            print("The service was killed. Starting it again.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
