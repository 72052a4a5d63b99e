"""Where the vendors' clients are: ``make test-interop`` installs them beside the project's own."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from attrs import frozen

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"

HOST = "api.symbl.ai"
CREDENTIALS = {"appId": "app", "appSecret": "secret"}
LINES = (
    ("Bob", "Can you send me the report?"),
    ("Ann", "I will send you the report tomorrow."),
    ("Bob", "Thank you, the budget and the report are due on Friday."),
)


@frozen
class Vendors:
    """The interpreter with the Python SDK, and the folder of the JavaScript packages."""

    python: Path | None
    certifi: Path | None
    packages: Path | None
    bundler: Path | None

    @classmethod
    def found(cls) -> Self:
        environment = ROOT / ".venv-interop"
        python = environment / "bin" / "python"
        bundle = next(environment.glob("lib/*/site-packages/certifi/cacert.pem"), None)
        packages = environment / "node_modules"
        bundler = packages / ".bin" / "esbuild"
        return cls(
            python if python.exists() else None,
            bundle,
            packages if (packages / "@symblai").exists() else None,
            bundler if bundler.exists() else None,
        )
