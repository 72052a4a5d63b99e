"""The unit and the container file of ``docs/hosting.md``."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.test_serve_behind_proxies import block


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    unit = tmp_path / "symbl-aio.service"
    # It has to be there: systemd looks for it.
    unit.write_text(block("ini").replace("/opt/symbl-aio/bin/symbl-aio", "/bin/true"))

    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_volume_of_the_container_belongs_to_its_user() -> None:
    text = block("dockerfile")
    [volume] = re.findall(r"^VOLUME (\S+)", text, re.M)
    [user] = re.findall(r"^USER (\S+)", text, re.M)

    # A volume is made with the owner of the directory in the image, or else for root.
    assert f"install -d -o {user} -m 700 {volume}" in text.partition("USER")[0]
    assert f'"--data", "{volume}"' in text
