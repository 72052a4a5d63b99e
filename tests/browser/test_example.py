"""The example as its visitors meet it: a page in Chromium, a service that may be killed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, expect

from symbl_aio.testing import LocalSymbl
from tests.browser.conftest import ROOT, Service
from tests.support import mp4_bytes

pytestmark = pytest.mark.browser

RECORDING = ROOT / "examples" / "media" / "inaugural.mp4"
LONG = 24_000_000
"""Bytes of a long recording."""
MOVING = re.compile(r"^0\.[1-9]")
SAID = """\
Maria: Good morning. Shall we open the new library in September?
Tom: The budget report for the new library is not ready yet.
Maria: Could somebody finish the budget report this week?
Tom: I will finish the budget report by Friday. Maria and I will meet again on Monday.
Ada: I will send the floor plan of the new library to the builders tomorrow.
Maria: Thank you. Then the new library opens in September, if the builders keep their word.
"""
SHARES = """
window.shares = [];
new MutationObserver((records) => {
  for (const { target } of records) {
    if (target.hasAttribute("value")) window.shares.push(target.value);
  }
}).observe(document, { subtree: true, attributeFilter: ["value"] });
"""


@pytest.fixture(autouse=True)
def _speech(server: LocalSymbl) -> None:
    """Register the transcript of the recording: people who plan something."""
    server.register_transcript(SAID, sha256=hashlib.sha256(RECORDING.read_bytes()).hexdigest())


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A real mp4 of 24 MB: behind the recording stands a box of nothing."""
    path = tmp_path / "Interview with the builders.mp4"
    with path.open("wb") as file:
        file.write(RECORDING.read_bytes())
        file.write(struct.pack(">I4s", LONG - file.tell(), b"free"))
        file.truncate(LONG)
    return path


async def choose(page: Page, *files: Path) -> None:
    await page.get_by_label("Drop a recording here").set_input_files(files)


def cards(page: Page) -> Locator:
    return page.get_by_role("list", name="Recordings on their way").get_by_role("listitem")


def going_out(page: Page, file: Path) -> Locator:
    return page.get_by_role("progressbar", name=file.name)


def past(page: Page) -> Locator:
    return page.get_by_role("navigation", name="Past conversations").get_by_role("link")


def part(page: Page, name: str) -> Locator:
    """The items of a part of the open conversation."""
    return page.get_by_role("article").get_by_role("region", name=name).get_by_role("listitem")


def reading(page: Page) -> Locator:
    """The place of the open conversation."""
    return page.get_by_role("region", name="Conversation", exact=True)


def turns(page: Page) -> Locator:
    """What each speaker said before the next one did."""
    return reading(page).locator(".turn")


@asynccontextmanager
async def slow(page: Page, bytes_per_second: int) -> AsyncIterator[None]:
    """Throttle the uploads of the page during the block."""
    tools = await page.context.new_cdp_session(page)
    await tools.send("Network.enable")
    speed = {"downloadThroughput": -1, "uploadThroughput": bytes_per_second}
    await tools.send("Network.emulateNetworkConditions", {"offline": False, "latency": 0} | speed)
    yield
    await tools.detach()


async def test_a_recording_is_sent_followed_and_read(page: Page, server: LocalSymbl):
    await expect(page.get_by_text("There are none yet.")).to_be_visible()
    server.hold_jobs(before="in_progress")
    await choose(page, RECORDING)

    await expect(cards(page)).to_contain_text("Arrived. It waits for its turn.")
    server.hold_jobs()
    await expect(cards(page)).to_contain_text("Being transcribed.")
    await expect(page.get_by_role("status").last).to_contain_text("Being transcribed.")
    server.release()

    await expect(cards(page)).to_contain_text("Transcribed.")
    await expect(reading(page).get_by_role("heading", level=2)).to_have_text("inaugural.mp4")
    said = turns(page)
    await expect(said).to_have_count(6)
    await expect(said.nth(1)).to_have_text(
        "Tom0:04The budget report for the new library is not ready yet."
    )
    await expect(part(page, "Topics").filter(has_text="budget report")).to_have_count(1)
    await expect(part(page, "Action items").filter(has_text="by Friday")).to_contain_text("Tom")
    await expect(past(page)).to_have_attribute("aria-current", "page")
    assert server.webhook_calls


async def test_a_speaker_is_renamed(page: Page, server: LocalSymbl):
    await choose(page, RECORDING)
    await expect(turns(page)).to_have_count(6)
    await page.get_by_role("button", name="Rename Maria").click()
    await page.get_by_role("textbox", name="New name of Maria").fill("María")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Rename María")).to_be_focused()
    await page.reload()

    await expect(turns(page).first).to_contain_text("María")


async def test_past_conversations_are_opened(page: Page, service: Service, tmp_path: Path):
    second = tmp_path / "second.mp4"
    shutil.copy(RECORDING, second)
    await choose(page, RECORDING, second)
    await expect(cards(page).get_by_text("Transcribed.")).to_have_count(2)
    await page.goto(service.url)

    await expect(past(page)).to_have_text([re.compile("^second"), re.compile("^inaugural")])
    for name in ("inaugural.mp4", "second.mp4"):
        await past(page).filter(has_text=name).click()
        title = page.get_by_role("heading", name=name)
        await expect(title).to_be_focused()
        await expect(turns(page)).to_have_count(6)
        await expect(page).to_have_title(f"{name} · Recordings")
    await page.go_back()
    await expect(page.get_by_role("heading", name="inaugural.mp4")).to_be_visible()


async def test_progress_moves_while_a_long_recording_goes_out(
    page: Page, long: Path, server: LocalSymbl
):
    await page.add_init_script(SHARES)
    await page.reload()
    async with slow(page, 12_000_000):
        await choose(page, long)
        await expect(going_out(page, long)).to_have_attribute("value", MOVING)
        await expect(cards(page)).to_contain_text("Transcribed.")

    shares: list[float] = await page.evaluate("window.shares")
    assert shares == sorted(shares)
    assert len(set(shares)) > 5
    assert [received.size for received in server.submissions] == [LONG]
    await expect(turns(page)).to_contain_text("mp4 received, not transcribed")


async def test_an_upload_is_stopped_and_the_next_one_goes(
    page: Page, long: Path, server: LocalSymbl
):
    async with slow(page, 4_000_000):
        await choose(page, long, RECORDING)
        waiting = cards(page).filter(has_text="inaugural.mp4")
        await expect(waiting).to_contain_text("Waits to be sent.")
        await expect(going_out(page, long)).to_have_attribute("value", MOVING)
        await cards(page).filter(has_text=long.name).get_by_role("button", name="Stop").click()

    await expect(cards(page)).to_have_count(1)
    await expect(cards(page)).to_contain_text("Transcribed.")
    assert [received.accepted for received in server.submissions] == [False, True]


@pytest.mark.parametrize("supervised", [False, True])
async def test_a_service_killed_in_the_middle_of_an_upload_gets_it_anew_when_it_is_back(
    page: Page, long: Path, service: Service, server: LocalSymbl
):
    async with slow(page, 4_000_000):
        await choose(page, long)
        await expect(going_out(page, long)).to_have_attribute("value", MOVING)
        await service.kill()
        await expect(cards(page)).to_contain_text("Nothing of it was accepted.")

    await service.start()
    await expect(cards(page)).to_contain_text("Transcribed.")
    assert [received.accepted for received in server.submissions] == [False, True]


@pytest.mark.parametrize("supervised", [True])
async def test_a_service_killed_before_its_answer_is_not_sent_the_recording_again(
    page: Page, service: Service, server: LocalSymbl
):
    server.inject("slow:600", on="POST")
    await choose(page, RECORDING)
    await server.until(lambda: any(received.accepted for received in server.submissions))
    await service.kill()
    await service.start()

    await expect(cards(page)).to_contain_text("Nobody knows whether it arrived.")
    await expect(past(page)).to_have_count(1)
    assert len(server.submissions) == 1


@pytest.mark.parametrize("supervised", [False, True])
async def test_a_service_killed_during_a_job_goes_on_with_it_and_so_does_the_page(
    page: Page, service: Service, server: LocalSymbl
):
    server.hold_jobs()
    await choose(page, RECORDING)
    await expect(cards(page)).to_contain_text("Being transcribed.")
    await service.kill()
    await expect(cards(page)).to_contain_text("The connection broke.")
    server.release()
    await service.start()

    await expect(cards(page)).to_contain_text("Transcribed.")
    await expect(turns(page)).to_have_count(6)
    assert len(server.submissions) == 1


async def test_a_page_that_is_opened_anew_goes_on_showing_the_job(page: Page, server: LocalSymbl):
    server.hold_jobs()
    await choose(page, RECORDING)
    await expect(cards(page)).to_contain_text("Being transcribed.")
    await page.reload()

    await expect(cards(page)).to_contain_text("Being transcribed.")
    server.release()
    await expect(cards(page)).to_contain_text("Transcribed.")
    await page.reload()
    await expect(past(page)).to_have_count(1)
    await expect(cards(page)).to_have_count(0)


async def test_a_conversation_that_is_opened_too_early_opens_when_its_job_has_ended(
    page: Page, server: LocalSymbl
):
    server.hold_jobs()
    await choose(page, RECORDING)
    await expect(cards(page)).to_contain_text("Being transcribed.")
    await page.reload()
    await past(page).click()
    await expect(reading(page)).to_contain_text("still being transcribed")
    server.release()

    await expect(turns(page)).to_have_count(6)


async def test_a_service_that_is_stopped_with_a_page_open_stops_at_once(
    page: Page, service: Service, server: LocalSymbl
):
    server.hold_jobs()
    await choose(page, RECORDING)
    await expect(cards(page)).to_contain_text("Being transcribed.")
    await service.stop()
    assert not [line for line in service.log if "ancel" in line]

    await expect(cards(page)).to_contain_text("The connection broke.")
    await service.start()
    await expect(cards(page)).to_contain_text("Being transcribed.")


async def test_what_is_no_recording_is_refused_in_plain_words(page: Page, tmp_path: Path):
    notes = tmp_path / "notes.mp4"
    notes.write_text("Nobody speaks in here.")
    async with page.expect_file_chooser():
        await choose(page, notes)
        await expect(cards(page)).to_contain_text("This is not a recording")
        await expect(cards(page)).to_contain_text("the API takes mp4 video")
        await cards(page).get_by_role("button", name="Choose another file").click()
    await expect(cards(page)).to_have_count(0)


async def test_without_room_the_visitor_is_asked_to_come_back(page: Page, server: LocalSymbl):
    server.inject("status:429", on="POST")
    await choose(page, RECORDING)

    await expect(cards(page)).to_contain_text("There is no room for it just now.")
    await expect(cards(page)).to_contain_text("Come back in about 10 seconds.")
    await cards(page).get_by_role("button", name="Try again").click()
    await expect(cards(page)).to_contain_text("Transcribed.")


async def test_an_upload_of_unknown_outcome_is_not_sent_again_unasked(
    page: Page, server: LocalSymbl
):
    server.inject("accept_then_drop", on="POST")
    await choose(page, RECORDING)

    await expect(cards(page)).to_contain_text("Nobody knows whether it arrived.")
    await expect(past(page)).to_have_count(1)
    assert len(server.submissions) == 1
    await cards(page).get_by_role("button", name="Dismiss").click()
    await expect(page.get_by_label("Drop a recording here")).to_be_focused()


async def test_a_job_that_fails_says_so(page: Page, tmp_path: Path):
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(mp4_bytes())
    await choose(page, damaged)

    await expect(cards(page)).to_contain_text("It could not be transcribed.")
    await expect(cards(page).get_by_role("button", name="Send it once more")).to_be_visible()


async def test_a_refusing_api_and_a_lost_network_are_told_with_a_way_on(
    page: Page, server: LocalSymbl
):
    await expect(page.get_by_text("There are none yet.")).to_be_visible()
    server.inject("status:403", on="/v1/conversations")
    await page.reload()
    shown = page.get_by_role("navigation", name="Past conversations")
    await expect(shown.get_by_role("alert")).to_contain_text("does not answer as it should")
    await shown.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("There are none yet.")).to_be_visible()

    await choose(page, RECORDING)
    await expect(cards(page)).to_contain_text("Transcribed.")
    await page.evaluate("location.hash = ''")
    await page.context.set_offline(True)
    await expect(page.get_by_text("There is no network.")).to_be_visible()
    await past(page).click()
    await expect(reading(page).get_by_role("alert")).to_have_text("The service cannot be reached.")
    await page.context.set_offline(False)
    await expect(page.get_by_text("There is no network.")).to_be_hidden()
    await reading(page).get_by_role("button", name="Try again").click()
    await expect(turns(page)).to_have_count(6)


async def test_nothing_that_was_said_is_taken_for_html(
    page: Page, server: LocalSymbl, tmp_path: Path
):
    bold = tmp_path / "<b>bold<img src=x onerror=alert(1)>.mp4"
    shutil.copy(RECORDING, bold)
    evil = "<img src=x onerror=alert(1)> I will send <script>alert(1)</script> by Friday."
    server.register_transcript([evil], sha256=hashlib.sha256(bold.read_bytes()).hexdigest())
    await choose(page, bold)

    await expect(turns(page)).to_contain_text("<img src=x onerror=alert(1)> I will")
    await expect(page.get_by_role("heading", name=bold.name)).to_be_visible()
    await expect(page.locator("img, b, article script")).to_have_count(0)


async def test_a_recording_is_dropped_anywhere_on_the_page(page: Page):
    data = RECORDING.read_bytes()
    dropped = await page.evaluate_handle(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "dropped.mp4"));
            return data;
        }""",
        list(data),
    )
    for event in ("dragover", "drop"):
        await reading(page).dispatch_event(event, {"dataTransfer": dropped})

    await expect(cards(page)).to_contain_text("dropped.mp4")
    await expect(cards(page)).to_contain_text("Transcribed.")


async def test_the_keyboard_does_it_all(page: Page):
    async with page.expect_file_chooser() as chooser:
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the transcript")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(page.get_by_label("Drop a recording here")).to_be_focused()
        await page.keyboard.press("Enter")
    await (await chooser.value).set_files(RECORDING)
    await expect(cards(page)).to_contain_text("Transcribed.")

    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="inaugural.mp4")).to_be_focused()


async def test_it_looks_well_in_light_and_dark_and_on_a_small_screen(
    page: Page, server: LocalSymbl, tmp_path: Path, long: Path
):
    for name in ("Monday.mp4", "Library planning.mp4"):
        await choose(page, Path(shutil.copy(RECORDING, tmp_path / name)))
        await expect(cards(page)).to_contain_text("Transcribed.")
        await cards(page).get_by_role("button", name="Dismiss").click()
    await past(page).filter(has_text="Library planning.mp4").click()
    notes = tmp_path / "Notes.mp4"
    notes.write_text("Nobody speaks in here.")
    await choose(page, notes)
    await expect(cards(page).get_by_text("This is not a recording")).to_be_visible()
    server.hold_jobs()
    await choose(page, RECORDING)
    await expect(cards(page).get_by_text("Being transcribed.")).to_be_visible()

    async with slow(page, 3_000_000):
        await choose(page, long)
        await expect(going_out(page, long)).to_have_attribute("value", re.compile(r"^0\.3"))
        asked_for = os.environ.get("SYMBL_AIO_SCREENSHOT")
        await page.screenshot(path=asked_for or tmp_path / "page.png", animations="disabled")
        for name, media, width in (
            ("light", {"color_scheme": "light"}, 1180),
            ("dark", {"color_scheme": "dark"}, 1180),
            ("narrow", {"color_scheme": "light", "reduced_motion": "reduce"}, 320),
        ):
            await page.emulate_media(**media)
            await page.set_viewport_size({"width": width, "height": 900})
            await page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            found = await Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
