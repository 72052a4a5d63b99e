"""Run one function of a question in this process, for ``harness.alone`` and ``serving``."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import inspect
import json
import os
import resource
import sys
from typing import Any


def main() -> None:
    how, place, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    module, _, name = place.partition(":")
    target = getattr(importlib.import_module(module), name)
    # Output of a contender must not be mistaken for the result.
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if how == "serve":
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(target, arguments, result))
        return
    gc.collect()
    value = target(**arguments)
    if inspect.isawaitable(value):
        value = asyncio.run(_finish(value))
    used = resource.getrusage(resource.RUSAGE_SELF)
    # ru_maxrss is in kilobytes on Linux, in bytes on macOS.
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps([value, used.ru_utime + used.ru_stime, peak]), file=result, flush=True)


async def _finish(awaitable: Any) -> Any:
    return await awaitable


async def _serve(target: Any, arguments: dict[str, Any], result: Any) -> None:
    """Serve until the parent exits, which closes standard input."""
    loop = asyncio.get_running_loop()

    def announce(value: Any) -> None:
        print(json.dumps(value), file=result, flush=True)

    serving = asyncio.ensure_future(target(announce, **arguments))
    parent = loop.run_in_executor(None, sys.stdin.read)
    await asyncio.wait({serving, parent}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    os._exit(0)


if __name__ == "__main__":
    main()
