"""Check the types of each Python program in the documents, with mypy and pyright, both strict.

Run by ``make check``. Each program is a module of its own, named after its document and line.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "docs", "examples", "symbl_aio", "tests")
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    """Return every document that is kept with the code, also where git knows nothing of it."""
    within = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))
    return sorted([*ROOT.glob("*.md"), *within])


def write_programs(directory: Path) -> list[str]:
    """Write each program so that its lines have the numbers that they have in the document."""
    names: list[str] = []
    for document in documents():
        text = document.read_text("utf-8")
        for block in _BLOCK.finditer(text):
            above = text[: block.start(1)].count("\n")
            place = "_".join(document.relative_to(ROOT).with_suffix("").parts)
            name = f"{place}_{above + 1}.py"
            (directory / name).write_text("\n" * above + block[1], "utf-8")
            names.append(name)
    return names


def main() -> int:
    with TemporaryDirectory() as created:
        directory = Path(created)
        names = write_programs(directory)
        if not names:
            sys.exit("no document has a Python program; is this a checkout with its documents?")
        settings = {
            "include": names,
            "extraPaths": [str(ROOT)],
            "pythonVersion": "3.11",
            "typeCheckingMode": "strict",
            # A route is used by its decorator, and by nobody else.
            "reportUnusedFunction": False,
        }
        (directory / "pyrightconfig.json").write_text(json.dumps(settings))
        cache = str(ROOT / ".mypy_cache" / "documents")
        pyright = ["pyright", "--pythonpath", sys.executable, "-p", "."]
        # Without the configuration of the checkout, as at a user's.
        mypy = ["mypy", "--strict", "--config-file=", "--cache-dir", cache, *names]
        codes = [
            subprocess.run([sys.executable, "-m", *command], cwd=directory).returncode
            for command in (mypy, pyright)
        ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
