"""``symbl-aio report``: from ids and stored conversations to one page."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from symbl_aio import Text
from symbl_aio.testing import LocalSymbl
from tests.shell import Shell
from tests.support import QUICK

ROOT = Path(__file__).parents[2]
INAUGURAL = ROOT / "examples" / "media" / "inaugural.mp4"


async def conversation(symbl: LocalSymbl, text: str) -> str:
    async with symbl.client(**QUICK) as client:
        return (await client.process(Text(text))).id


async def test_conversations_become_one_page(shell: Shell, symbl: LocalSymbl, tmp_path: Path):
    first, second = await conversation(symbl, "I write it."), await conversation(symbl, "Why?")
    page = tmp_path / "report.html"
    page.write_text("the old one")

    ended = await shell.run("report", first, second, "-o", page, "--title", "Week 9")

    assert (ended.code, ended.err) == (0, "")
    assert str(page) in ended.out.replace("\n", "")
    written = page.read_text("utf-8")
    assert "<title>Week 9</title>" in written
    assert "I write it." in written
    assert "Why?" in written
    assert os.listdir(tmp_path) == ["report.html"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(os.stat(page).st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["terminal", "json"])
@pytest.mark.parametrize("file", ["/dev/stdout", "-"])
async def test_a_page_that_goes_into_a_pipe_is_all_of_it(
    file: str, more: list[str], shell: Shell, symbl: LocalSymbl
):
    id = await conversation(symbl, "Hello.")

    piped = await shell.end(await shell.start_python("report", id, "-o", file, *more))

    assert (piped.code, piped.err) == (0, "")
    assert piped.out.rpartition("</html>")[2] == "\n"


async def test_a_recording_is_put_into_the_page(shell: Shell, symbl: LocalSymbl, tmp_path: Path):
    id = await conversation(symbl, "Hello.")
    page = tmp_path / "report.html"

    ended = await shell.run("report", id, "-o", page, "--media", INAUGURAL, "--json")

    assert ended.code == 0
    assert ended.lines == [
        {
            "event": "report",
            "file": str(page),
            "conversations": [id],
            "size": page.stat().st_size,
        }
    ]
    assert 'src="data:video/mp4;base64,' in page.read_text("utf-8")


async def test_a_stored_conversation_needs_no_server(symbl: LocalSymbl, tmp_path: Path):
    id = await conversation(symbl, "Hello.")
    async with symbl.client(**QUICK) as client:
        everything = await client.conversation(id).everything()
    stored = tmp_path / "monday.json"
    stored.write_text(everything.to_json(), "utf-8-sig")  # as an editor of Windows saves it

    ended = await Shell().run("report", stored, "-o", tmp_path / "monday.html")

    assert (ended.code, ended.err) == (0, "")
    assert "Hello." in (tmp_path / "monday.html").read_text("utf-8")


@pytest.mark.parametrize(
    "arguments,code,words",
    [
        (("9",), 5, "check the id"),
        (("no.json",), 2, "no.json"),
        (("9" * 300,), 5, "unknown"),
        (("9", "--media", "no.mp3"), 2, "no.mp3"),
        (("9", "--media", "ftp://a.test/b.mp3"), 2, "http"),
        (("9", "--media", "a.mp3", "--media", "b.mp3"), 2, "more often"),
    ],
)
async def test_what_cannot_be_done_leaves_the_old_page(
    shell: Shell, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
):
    page = tmp_path / "report.html"
    page.write_text("the old one")

    ended = await shell.run("report", *arguments, "-o", page)

    assert ended.code == code
    assert words in " ".join(ended.err.split())
    assert page.read_text() == "the old one"


async def test_an_export_writes_a_report_if_it_is_named(
    shell: Shell, symbl: LocalSymbl, tmp_path: Path
):
    id = await conversation(symbl, "I write the report by Friday.")

    ended = await shell.run("export", id, "-o", tmp_path, "--format", "html,txt")

    assert (ended.code, ended.err) == (0, "")
    written = {Path(name).suffix: tmp_path / name for name in os.listdir(tmp_path)}
    assert set(written) == {".html", ".txt"}
    assert '<article class="report"' in written[".html"].read_text("utf-8")


@pytest.mark.parametrize(
    "name,content,words",
    [
        ("out", None, "name its .json files"),
        ("monday.md", "# Monday", "monday.md is no .json file"),
        ("other.json", '{"a": 1}', "other.json was not written by"),
        ("broken.json", "{", "broken.json was not written by"),
    ],
)
async def test_a_file_that_has_no_conversation_is_named_with_the_remedy(
    name: str, content: str | None, words: str, tmp_path: Path
):
    path = tmp_path / name
    if content is None:
        path.mkdir()
    else:
        path.write_text(content)

    ended = await Shell().run("report", path, "-o", tmp_path / "page.html")

    assert ended.code == 2
    assert words in ended.err
