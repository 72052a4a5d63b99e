"""Instructions of a process, counted by valgrind: the same on a quiet machine and on a busy one.

The function that is measured calls ``mark()`` where a stretch begins and at the end of the last
one. Only its own process is counted, not the kernel and not the server. The cost of one job is
the difference of two stretches that differ by a known number of jobs.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import ROOT, alone

_TOTAL: Final = re.compile(r"^totals: (\d+)", re.MULTILINE)
_MARK: Final = "getloadavg"
"""A function of libc, at each call of which callgrind writes the count so far and begins anew.
Python calls it for ``os.getloadavg()`` alone."""


def missing() -> str | None:
    """Return why nothing can be counted here, ``None`` if it can."""
    return None if shutil.which("valgrind") else "valgrind is not installed"


def mark() -> None:
    """Begin a new stretch, for which the garbage collector has nothing to do yet."""
    # A collection of all objects costs as much as ten jobs, and may fall into either stretch.
    gc.collect()
    gc.freeze()
    os.getloadavg()


def counted(target: Callable[..., Any], /, **arguments: Any) -> list[int]:
    """Call a function as ``alone`` does, and return the instructions between its marks."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "count"
        alone(
            target,
            # Fifty times slower than without.
            timeout=900.0,
            prefix=("env", "PYTHONHASHSEED=0", *_callgrind(files), f"--dump-before={_MARK}"),
            **arguments,
        )
        written = sorted(Path(folder).glob("count.*"), key=lambda path: int(path.suffix[1:]))
        counts = [_total(path) for path in written]
    # The first one is all that came before the first mark.
    return counts[1:]


def of_program(program: str) -> int:
    """Return the instructions of a Python program, with those of its interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "count"
        subprocess.run(
            [*_callgrind(file), sys.executable, "-c", program],
            cwd=ROOT, check=True, env=os.environ | {"PYTHONHASHSEED": "0"},
        )  # fmt: skip
        return _total(file)


def _callgrind(file: Path) -> tuple[str, ...]:
    written = f"--callgrind-out-file={file}"
    return ("valgrind", "--tool=callgrind", written, "--log-file=/dev/null")


def _total(path: Path) -> int:
    found = _TOTAL.search(path.read_text())
    assert found is not None, f"callgrind wrote no total into {path.name}"
    return int(found[1])
