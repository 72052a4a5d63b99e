from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio.report.elements import Html, asset, element, fill, join, text
from tests.names import CONTROLS


class Reader(HTMLParser):
    """What a parser makes of a piece of HTML."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_text_is_escaped_and_html_is_not():
    assert element("p", "a < b & c", element("b", "'\"")) == (
        "<p>a &lt; b &amp; c<b>&#x27;&quot;</b></p>"
    )
    assert join([Html("<br>"), text("<br>")], " ") == "<br> &lt;br&gt;"


def test_attributes_are_escaped_and_false_ones_are_left_out():
    assert element("a", class_="x", data_at='"><script>', href=None, hidden=True, open=False) == (
        '<a class="x" data-at="&quot;&gt;&lt;script&gt;" hidden></a>'
    )
    assert element("rect", x=0) == '<rect x="0"></rect>'


@given(st.text())
def test_no_text_becomes_a_tag_or_leaves_its_attribute(given: str):
    read = Reader(element("p", given, title=given))

    assert [tag for tag, _ in read.tags] == ["p"]
    assert list(read.tags[0][1]) == ["title"]
    assert read.tags[0][1]["title"] == "".join(read.texts) or not given


@pytest.mark.parametrize("character", [*CONTROLS, chr(0xD800), chr(0xDFFF)])
def test_what_html_cannot_carry_is_replaced(character: str):
    shown = text(f"a{character}b")

    assert shown.encode("utf-8").decode() in ("a\ufffdb", f"a{character}b")
    assert character in "\t\n\r\u2028\u2029" or shown == "a\ufffdb"


def test_a_template_is_filled_with_escaped_texts_and_numbers():
    filled = fill("player.html", id="a", label="<b>", kind="audio", url='x"y', preload="none")

    assert 'src="x&quot;y"' in filled
    assert "&lt;b&gt;" in filled
    assert "$" not in filled


def test_assets_are_files_of_the_package():
    assert "activate" in asset("report.js")
    assert ".report" in asset("report.css")
    # A page contains both: neither may end the element in which it stands.
    assert "</script" not in asset("report.js")
    assert "</style" not in asset("report.css")
