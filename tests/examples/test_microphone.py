"""The example of a microphone, with a recorder that the test has made."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import stat
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from symbl_aio.testing import LocalSymbl
from tests.forks import Program

# It writes odd numbers of bytes, as a pipe may cut them, and one word to the test first. Python is
# called by a shell: the first line of a program cannot name one below a folder with a space.
RECORDER = """#!/bin/sh
exec {python} -c '
import sys, time
open("{began}", "w").write("began")
while True:
    sys.stdout.buffer.write(bytes(3201))
    sys.stdout.buffer.flush()
    time.sleep(0.01)
'
"""


async def test_what_is_spoken_is_captioned_until_ctrl_c(tmp_path: Path):
    began = tmp_path / "began"
    os.mkfifo(began)
    recorder = tmp_path / "arecord"
    recorder.write_text(RECORDER.format(python=shlex.quote(sys.executable), began=began))
    recorder.chmod(recorder.stat().st_mode | stat.S_IXUSR)
    async with LocalSymbl(probe_media=False) as server:
        example = await Program.start(
            "examples.microphone",
            env=os.environ
            | {
                "PATH": str(tmp_path),
                "SYMBL_BASE_URL": server.base_url,
                "SYMBL_APP_ID": server.app_id,
                "SYMBL_APP_SECRET": server.app_secret,
            },
            stderr=PIPE,
        )
        assert await asyncio.to_thread(began.read_text) == "began"
        example.send_signal(signal.SIGINT)
        out, err = await example.communicate()
    assert (example.returncode, err) == (0, b"")
    assert b"Conversation " in out
