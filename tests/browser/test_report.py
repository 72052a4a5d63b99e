"""Reports in Chromium: as a file on a disk, and as the page of the local server."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, expect

from symbl_aio import (
    Everything,
    Text,
    TextOptions,
    Utterance,
    to_markdown,
    to_srt,
    to_text,
    to_webvtt,
)
from symbl_aio.report import Content, Recording, Sentence, recording, render_page, to_html
from symbl_aio.testing import LocalSymbl
from tests.browser.conftest import ROOT

pytestmark = pytest.mark.browser

RECORDING = ROOT / "examples" / "media" / "inaugural.mp4"
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SAID = (
    ("Ann", "Good morning, the café is wonderful."),
    ("Ann", "Who writes the report?"),
    ("Bob & <Sons>", "I will write the --> report by Friday."),
    ("Ann", "1. Bob and I will meet again on Monday."),
)
INJECTED = (
    "<script>alert(1)</script>",
    '</script><img src=x onerror="alert(1)">',
    '"><b onmouseover=alert(1)>',
    "\u202eevil\u202c",
    "Ann & Bob",
)

Open = Callable[..., Awaitable[Page]]


async def read(server: LocalSymbl, said: tuple[tuple[str, str], ...], seconds: float) -> Everything:
    """Let the server analyse a talk whose sentences are ``seconds`` apart."""
    step, at = timedelta(seconds=seconds), START
    utterances = []
    for speaker, text in said:
        utterances.append(Utterance(text, speaker, start=at, end=at + step * 0.9))
        at += step
    async with server.client() as symbl:
        conversation = await symbl.process(Text(utterances), TextOptions(name="Monday"))
        return await conversation.everything(sentiment=True)


@pytest.fixture
async def everything(server: LocalSymbl) -> Everything:
    return await read(server, SAID, 2.5)


@pytest.fixture
async def opened(browser: Browser, tmp_path: Path) -> AsyncIterator[Open]:
    """Open a page in a context of its own. A dialog, an error or another host fails the test."""
    faults: list[str] = []
    contexts = []

    async def open_page(source: str, **settings: Any) -> Page:
        if not source.startswith("http"):
            file = tmp_path / "report.html"
            file.write_text(source, "utf-8")
            source = file.as_uri()
        given: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB"}
        context = await browser.new_context(**given | settings)
        contexts.append(context)
        page = await context.new_page()
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: seen.append(request.url))
        await page.goto(source)
        return page

    seen: list[str] = []
    yield open_page
    for context in contexts:
        await context.close()
    faults += [
        url for url in seen if not url.startswith(("file:", "data:", "blob:", "http://127."))
    ]
    assert faults == []


def sentences(page: Page) -> Locator:
    return page.locator(".sentence:visible")


async def test_search_shows_the_sentences_that_contain_the_words(
    opened: Open, everything: Everything
):
    page = await opened(to_html(everything))
    search = page.get_by_role("searchbox", name="Search the transcript")

    await search.fill("CAFE")
    await expect(sentences(page)).to_have_text([SAID[0][1]])
    await expect(page.get_by_text("1 of 4 sentences")).to_be_visible()
    marked = "[...CSS.highlights.get('report-found')].map(String)"
    assert await page.evaluate(marked) == ["café"]

    await search.fill("nothing of it")
    await expect(page.get_by_text("No sentence matches.")).to_be_visible()
    await search.press("Escape")
    await expect(sentences(page)).to_have_count(4)
    assert await page.evaluate(marked) == []


async def test_the_times_of_paragraphs_that_are_hidden_are_hidden_too(opened: Open):
    talk = tuple(Sentence(text=f"Number {n} is here.", start=n, end=n + 1) for n in range(20))
    page = await opened(render_page([Content(title="A lecture", sentences=talk)]))
    times = page.locator(".turn .at:visible")
    await expect(times).to_have_text(["0:00", "0:08", "0:16"])

    await page.get_by_role("searchbox").fill("number 9")

    await expect(sentences(page)).to_have_text(["Number 9 is here."])
    await expect(times).to_have_text(["0:08"])


async def test_speakers_are_chosen(opened: Open, everything: Everything):
    page = await opened(to_html(everything))

    await page.get_by_role("button", name="Bob & <Sons>").click()
    await expect(sentences(page)).to_have_text([SAID[2][1]])
    await page.get_by_role("button", name="Ann").click()
    await expect(sentences(page)).to_have_count(4)
    await page.get_by_role("button", name="Show all").click()
    await expect(page.get_by_role("button", name="Ann")).to_have_attribute("aria-pressed", "false")


async def test_a_finding_leads_to_its_sentence_also_if_that_is_hidden(
    opened: Open, everything: Everything
):
    page = await opened(to_html(everything))
    await page.get_by_role("searchbox").fill("morning")

    tasks = page.get_by_role("region", name="Action items")
    await tasks.get_by_role("link", name="I will write the").click()

    found = page.locator(".sentence.cited")
    await expect(found).to_have_text(SAID[2][1])
    await expect(found).to_be_focused()
    await expect(found).to_be_in_viewport()
    await expect(sentences(page)).to_have_count(4)


@pytest.mark.parametrize(
    "choice,write",
    [
        ("Subtitles (.srt)", to_srt),
        ("Subtitles (.vtt)", to_webvtt),
        ("Text with times (.md)", to_markdown),
        ("Plain text (.txt)", to_text),
    ],
)
async def test_a_download_is_what_the_library_writes(
    opened: Open, everything: Everything, choice: str, write: Callable[..., str]
):
    page = await opened(to_html(everything))

    await page.get_by_text("Download", exact=True).click()
    async with page.expect_download() as download:
        await page.get_by_role("button", name=choice).click()

    file = await download.value
    assert file.suggested_filename == f"Monday.{choice[-4:-1].strip('.')}"
    assert (await file.path()).read_text("utf-8") == write(everything.messages)


async def test_data_are_downloaded_with_findings_and_their_sentences(
    opened: Open, everything: Everything
):
    page = await opened(to_html(everything))

    await page.get_by_text("Download", exact=True).click()
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Data (.json)").click()

    data = json.loads((await (await download.value).path()).read_text("utf-8"))
    assert [(one["speaker"], one["text"], one["start"]) for one in data["sentences"]] == [
        (speaker, text, 2.5 * number) for number, (speaker, text) in enumerate(SAID)
    ]
    assert {"text": SAID[2][1], "sentences": [2]} in data["action_items"]


async def test_the_sentences_that_are_shown_are_copied(opened: Open, everything: Everything):
    page = await opened(to_html(everything), permissions=["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Bob").click()

    await page.get_by_role("button", name="Copy").click()

    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == f"Bob & <Sons>: {SAID[2][1]}\n"


async def test_a_click_on_a_sentence_plays_it_and_it_is_lit(opened: Open, everything: Everything):
    page = await opened(to_html(everything, recordings=[recording(RECORDING)]))

    await sentences(page).nth(1).click()

    await expect(page.locator(".sentence.spoken")).to_have_text(SAID[1][1])
    await expect(page.locator(".sentence.spoken")).to_have_text(SAID[2][1])  # it goes on
    await page.evaluate("document.querySelector('video').pause()")
    assert await page.evaluate("document.querySelector('video').currentTime") >= 5


async def test_a_click_on_a_chart_seeks(opened: Open, everything: Everything):
    page = await opened(to_html(everything, recordings=[recording(RECORDING)]))
    lane = page.locator(".lane").first
    box = await lane.bounding_box()
    assert box is not None

    await page.wait_for_function("document.querySelector('video').readyState > 0")
    await lane.click(position={"x": box["width"] * 0.75, "y": 5})

    length = await page.evaluate("document.querySelector('video').duration")
    now = await page.evaluate("document.querySelector('video').currentTime")
    assert now == pytest.approx(length * 0.75, abs=1)
    await expect(page.locator(".has-playhead")).to_have_count(1)


async def test_a_recording_beside_the_page_is_played(
    opened: Open, everything: Everything, tmp_path: Path
):
    (tmp_path / "talk #1.mp4").write_bytes(RECORDING.read_bytes())
    beside = recording(tmp_path / "talk #1.mp4", page=tmp_path / "report.html", embed=0)

    page = await opened(to_html(everything, recordings=[beside]))

    await page.wait_for_function("document.querySelector('video').readyState > 0")


async def test_a_linked_recording_is_not_fetched_before_it_is_played(
    opened: Open, everything: Everything
):
    page = await opened(
        to_html(everything, recordings=[Recording(url="https://media.example.test/a.mp3")])
    )

    await expect(page.locator("audio")).to_be_visible()  # the fixture sees each request


async def test_the_keyboard_walks_through_the_sentences(opened: Open, everything: Everything):
    page = await opened(to_html(everything, recordings=[recording(RECORDING)]))
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the transcript")).to_be_focused()
    await sentences(page).first.focus()

    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await expect(sentences(page).nth(2)).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")

    await expect(page.locator(".sentence.spoken")).to_have_text(SAID[1][1])


async def test_a_page_without_scripts_can_be_read(opened: Open, everything: Everything):
    page = await opened(to_html(everything), java_script_enabled=False)

    await expect(sentences(page)).to_have_count(4)
    await expect(page.get_by_role("searchbox")).to_be_hidden()
    await page.get_by_role("region", name="Questions").get_by_role("link").first.click()
    await expect(page.locator(".sentence:target")).to_have_text(SAID[1][1])


async def test_print_shows_the_transcript_and_no_tools(opened: Open, everything: Everything):
    page = await opened(to_html(everything, recordings=[recording(RECORDING)]))
    await page.emulate_media(media="print")

    await expect(sentences(page)).to_have_count(4)
    for part in (".tools", ".finder", ".player", ".people"):
        await expect(page.locator(part)).to_be_hidden()


async def test_a_speaker_is_renamed_on_the_page_of_the_server(
    opened: Open, server: LocalSymbl, everything: Everything
):
    async with server.client() as symbl:
        conversation = symbl.conversation(everything.info.id)
        page = await opened((await conversation.create_experience("verbose-text-summary")).url)

        await page.get_by_role("button", name="Rename Ann").click()
        await page.get_by_role("textbox", name="New name of Ann").fill("Anna <3")
        await page.keyboard.press("Enter")

        await expect(page.get_by_role("button", name="Rename Anna <3")).to_be_focused()
        await expect(page.locator(".turn .who").first).to_have_text("Anna <3")
        assert (await conversation.members())[0].name == "Anna <3"

        read_only = await conversation.create_experience("verbose-text-summary", read_only=True)
        page = await opened(read_only.url)
        await expect(page.locator(".sentence").first).to_be_visible()
        await expect(page.locator(".rename")).to_have_count(0)


def a_long_talk() -> tuple[tuple[str, str], ...]:
    dice = random.Random(3)
    words = (
        "the new library opens when builders keep their word and we meet again great bad".split()
    )
    lines = []
    for number in range(600):
        speaker = INJECTED[(number // 3 * 7 + number // 50) % len(INJECTED)]
        text = " ".join(dice.choices(words, k=dice.randint(4, 18))).capitalize() + "."
        if number % 40 == 0:
            text = f"{INJECTED[number // 40 % 3]} I will send it tomorrow. <!-- {text}"
        lines.append((speaker, text))
    return tuple(lines)


LEFT_EDGES = """sentences => sentences.map(({ firstChild: text }) =>
  [...text.data].map((letter, at) => {
    const range = new Range();
    range.setStart(text, at);
    range.setEnd(text, at + 1);
    return range.getBoundingClientRect().left;
  }))"""


async def test_the_direction_of_a_sentence_is_its_own(opened: Open):
    said = ("A \u202e turn that stays open.", "Next.", "\u05e9\u05dc\u05d5\u05dd!", "Last.")
    talk = tuple(Sentence(text=text) for text in said)
    page = await opened(render_page([Content(title="Two ways", sentences=talk)]))

    _, after, hebrew, last = await page.locator(".sentence").evaluate_all(LEFT_EDGES)

    assert after == sorted(after)
    assert hebrew == sorted(hebrew, reverse=True)
    assert last == sorted(last)


@pytest.mark.parametrize("width", [390, 1280, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_long_talk_with_markup_in_it_is_harmless_and_fits(
    opened: Open, server: LocalSymbl, width: int, scheme: str, everything: Everything
):
    long = await read(server, a_long_talk(), 7)
    page = await opened(
        to_html(long, everything, recordings=[recording(RECORDING)]),
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
    )

    await expect(page.locator(".sentence")).to_have_count(
        len(long.messages) + len(everything.messages)
    )
    await expect(page.locator("img, b, .report script, .report style")).to_have_count(0)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    found = await Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
