"""A page with ``@symblai/symbl-web-sdk`` in Chromium; prints the results of the page.

The arguments are the bundler and the browser. The browser trusts any certificate, since it has a
list of its own, and plays a sound in place of a microphone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

bundler, chromium = sys.argv[1:]
source = Path(__file__).with_name("web_sdk.js")
subprocess.run(
    [bundler, str(source), "--bundle", "--outfile=page.js", "--define:global=window"],
    check=True,
    env={**os.environ, "NODE_PATH": os.environ["NODE_PATH"]},
)
page = Path("page.html").absolute()
page.write_text(
    f"<script>window.CREDENTIALS = {os.environ['CREDENTIALS']}</script>"
    '<script src="page.js"></script>'
)
process = subprocess.Popen(
    [
        chromium,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--ignore-certificate-errors",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        "--autoplay-policy=no-user-gesture-required",
        f"--user-data-dir={Path('profile').absolute()}",
        "--enable-logging=stderr",
        page.as_uri(),
    ],
    stderr=subprocess.PIPE,
    text=True,
)
assert process.stderr is not None
try:
    for line in process.stderr:
        if found := re.search(r'CONSOLE.*"(RESULTS .*)", source:', line):
            sys.stdout.write("\n" + found[1].replace('\\"', '"') + "\n")
            break
        sys.stdout.write(line)
finally:
    process.kill()
    process.wait()
