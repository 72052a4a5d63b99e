"""Check a built documentation site, as ``make docs`` does.

It asks no other host for anything, and has nothing in it of the machine that built it.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

# What a browser fetches by itself. A link that a reader follows is none of it.
FETCHED = {
    "script": ("src",), "img": ("src", "srcset"), "iframe": ("src",), "source": ("src",),
    "video": ("src",), "audio": ("src",), "embed": ("src",), "object": ("data",),
    "form": ("action",),
}  # fmt: skip
FETCHING_LINKS = ("stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "manifest")
ELSEWHERE = re.compile(r"^(?:https?:)?//", re.IGNORECASE)


class Fetches(HTMLParser):
    """Collects the addresses that a page fetches from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        names = FETCHED.get(tag, ())
        if tag == "link" and set((given.get("rel") or "").split()) & set(FETCHING_LINKS):
            names = ("href",)
        self.found += [v for name in names if (v := given.get(name)) and ELSEWHERE.match(v)]


def fetches(site: Path) -> list[str]:
    """Return each page or style sheet of a site, with an address of another host in it."""
    found: list[str] = []
    for page in sorted(site.rglob("*.html")):
        reader = Fetches()
        reader.feed(page.read_text("utf-8"))
        found += [f"{page.relative_to(site)}: {address}" for address in reader.found]
    for sheet in sorted(site.rglob("*.css")):
        for address in re.findall(r"url\(['\"]?([^)'\"]+)", sheet.read_text("utf-8")):
            if ELSEWHERE.match(address):
                found.append(f"{sheet.relative_to(site)}: {address}")
    return found


def byte_code(site: Path) -> list[str]:
    """Return the files of a site that Python has compiled: each names a path of its machine."""
    return [f"{file.relative_to(site)}: byte code" for file in sorted(site.rglob("*.pyc"))]


def main() -> int:
    site = Path(sys.argv[1])
    pages = len(list(site.rglob("*.html")))
    requests = fetches(site)
    found = [*requests, *byte_code(site)]
    for line in found:
        sys.stderr.write(f"{line}\n")
    sys.stdout.write(f"{site}: {pages} pages, {len(requests)} requests to other hosts\n")
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
