"""The example's record button: Chromium's own fake microphone, and the words on the page."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from symbl_aio.testing import LocalSymbl
from tests.browser.conftest import CHROMIUM, SWITCHES, Service

pytestmark = pytest.mark.browser


@pytest.fixture
async def speaking() -> AsyncIterator[Browser]:
    """Chromium with a microphone that beeps, and no question whether the page may use it."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on PATH, nor in SYMBL_AIO_CHROMIUM")
    switches = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*SWITCHES, *switches]
        )
        yield browser
        await browser.close()


@pytest.fixture
async def page(speaking: Browser, service: Service) -> Page:
    page = await speaking.new_page()
    await page.goto(service.url)
    return page


async def test_what_is_spoken_is_read_as_it_comes_and_opened_at_the_end(
    page: Page, server: LocalSymbl, service: Service
):
    arrived = page.expect_event("websocket")
    async with arrived as opened:
        await page.get_by_role("button", name="Record", exact=True).click()
    socket = await opened.value
    assert "/speak?rate=" in socket.url
    sent: list[int] = []
    socket.on("framesent", lambda data: sent.append(len(data)))
    stop = page.get_by_role("button", name="Stop", exact=True)
    await expect(stop).to_be_visible()
    while len(sent) < 5:
        await page.evaluate("new Promise((done) => requestAnimationFrame(done))")
    await stop.click()
    await expect(page.get_by_role("button", name="Record", exact=True)).to_be_enabled()
    await expect(page.locator("#past a")).to_have_count(1)
    await expect(page.locator("#past a")).to_contain_text("Spoken on")
    await expect(page.locator("#reading article")).to_be_visible()
    # A tenth of a second of 16-bit samples each.
    assert set(sent[:5]) == {sent[0]}
    assert sent[0] in (8820, 9600, 3200)


async def test_without_a_microphone_the_page_gives_the_reason(browser: Browser, service: Service):
    context = await browser.new_context(permissions=[])
    page = await context.new_page()
    await page.goto(service.url)
    await page.get_by_role("button", name="Record", exact=True).click()
    await expect(page.locator("#perhaps")).to_contain_text("The microphone cannot be used.")
    await expect(page.get_by_role("button", name="Record", exact=True)).to_be_enabled()
