"""Reports: a conversation as one HTML page, with charts, a player and a transcript to search.

::

    everything = await conversation.everything(sentiment=True)
    Path("report.html").write_text(to_html(everything), "utf-8")

``symbl-aio report`` writes such pages, the local server serves them, and a web application
puts ``render_article`` into a page of its own, beside the files of ``ASSETS``.

``content`` has the plain values that a report shows, ``article``, ``charts`` and ``page`` draw
them: none of these knows the client, so the local server uses them too. ``from_everything`` fills
them from the client's models.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from symbl_aio._lazy import export_on_first_use as _export_on_first_use

ASSETS: Final = Path(__file__).parent / "assets"
"""The directory of ``report.css`` and ``report.js``, for a page with ``render_article``."""

_HOMES = {
    "article": "render_article",
    "content": "Content Finding Recording Sentence Speaker TopicFinding",
    "from_everything": "content_of to_html",
    "page": "Entry render_list render_page",
    "recordings": "EMBEDDED_BYTES recording",
}

if TYPE_CHECKING:
    from symbl_aio.report.article import *
    from symbl_aio.report.content import *
    from symbl_aio.report.from_everything import *
    from symbl_aio.report.page import *
    from symbl_aio.report.recordings import *
else:  # type checkers would take a misspelt name for an object
    __getattr__, __dir__, __all__ = _export_on_first_use(__name__, _HOMES)
    __all__.append("ASSETS")
