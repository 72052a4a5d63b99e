"""DBOS has a version that was tested; without it the error names the remedy."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_engine_is_of_a_version_that_was_tried():
    # 3.4.0 is the oldest that has what is asked of it, and was the newest when it was tried.
    # A newer one within the range continues its workflows: test_upgrade.py shows that.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    # An older driver than 3.2 does not ask, while nothing comes, whether to wait any longer.
    assert project["optional-dependencies"]["durable"] == ["dbos>=3.4,<4", "psycopg[binary]>=3.2"]
    major, minor = map(int, version("dbos").split(".")[:2])
    assert (3, 4) <= (major, minor) < (4, 0)


def test_without_the_extra_the_remedy_is_named():
    program = (
        "import sys; sys.modules['dbos'] = sys.modules['sqlalchemy'] = None\n"
        "import symbl_aio\n"
        "try:\n"
        "    import symbl_aio.durable\n"
        "except ImportError as error:\n"
        "    sys.exit(f'{error.name}: {error}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    missing, _, said = done.stderr.strip().partition(": ")
    assert missing.partition(".")[0] in ("dbos", "sqlalchemy")
    assert said == (
        f"symbl_aio.durable needs {missing}, which is not installed; "
        "pip install '.[durable]' in a checkout of symbl-aio"
    )
