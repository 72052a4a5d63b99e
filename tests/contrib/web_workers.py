"""uvicorn, whose workers are forks of it: ``Program.start("tests.contrib.web_workers", …)``."""

import multiprocessing.process
from typing import Any

import uvicorn
from uvicorn import _subprocess

if __name__ == "__main__":
    context: Any = multiprocessing.get_context("fork")
    _subprocess.spawn = context
    # A fork of ``tests.forks`` ends with its parent: multiprocessing lets such a one fork nothing.
    this: Any = multiprocessing.process.current_process()
    this._config["daemon"] = False
    uvicorn.main()
