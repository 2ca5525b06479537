"""Debian's Chromium, as a person has it before them, for tests of pages.

    @pytest.mark.debian("chromium")
    def test_a_page(browser: Browser, service: Stack) -> None:
        page = browser.open(f"http://127.0.0.1:{service.port}/", width=PHONE, dark=True)
        page.get_by_label("Your text").fill("I loved it")
        expect(page.get_by_text("Positive")).to_be_visible()
        require_sound(page)

A page that a test has opened fails the test if it wrote an error to the console, or if something of it was loaded from
another host or against its policy. The fixture `browser` (one for each module: while it is open, asyncio.run does not
work in its thread) is in tests/e2e/conftest.py. Playwright's `expect` waits for what it states; never sleep.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

DESK, PHONE = 1440, 390
"""Widths, in pixels, at which pages are looked at."""
WAIT_MS = 60_000
"""How long a fact may take to come on a busy machine."""
_AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
_RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],  # else most of its time goes into describing what is right
}

expect.set_options(timeout=WAIT_MS)


class Opened:
    """What is known of a page since it was opened."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        """Errors that it wrote to the console, and exceptions of its scripts."""
        self.strangers: list[str] = []
        """Addresses of other hosts that it asked for."""
        self._host = ""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        # A refusal of the API, and that it does not answer, pages deal with; Chromium calls it an error.
        known = ("the server responded with a status of", "net::ERR_CONNECTION_REFUSED")
        if message.type == "error" and not any(words in message.text for words in known):
            self.errors.append(message.text)

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("data", "blob"):
            return
        self._host = self._host or parts.netloc
        if parts.netloc != self._host:
            self.strangers.append(request.url)


class Browser:
    """A browser with nothing kept; each page has cookies of its own unless `context` is given."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._opened: list[tuple[Page, Opened]] = []

    def context(self, *, width: int = DESK, dark: bool = False, **more: Any) -> BrowserContext:
        """The place of pages that share cookies and settings."""
        context: BrowserContext = self._browser.new_context(
            viewport={"width": width, "height": 844 if width < 700 else 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            locale="en-GB",
            has_touch=width < 700,
            **more,
        )
        context.set_default_timeout(WAIT_MS)
        return context

    def open(
        self, address: str, *, width: int = DESK, dark: bool = False, context: BrowserContext | None = None
    ) -> Page:
        """Opens an address and waits until it is loaded, with its scripts."""
        page = (context or self.context(width=width, dark=dark)).new_page()
        self._opened.append((page, Opened(page)))
        page.goto(address)
        return page

    def close_pages(self) -> None:
        """Closes all pages, and fails if one of them wrote an error or asked another host for anything."""
        opened, self._opened = self._opened, []
        for context in {page.context for page, _ in opened}:
            context.close()
        for _, seen in opened:
            assert not seen.errors, seen.errors
            assert not seen.strangers, seen.strangers


def violations(page: Page, *, without: frozenset[str] = frozenset()) -> list[str]:
    """What axe finds wrong with a page by WCAG 2.2 AA and by good practice, one line for each place. `without`: rules
    that do not count.
    """
    # Evaluated by the debugger, which the page's policy does not bind.
    page.evaluate(_AXE)
    found = page.evaluate("rules => axe.run(document, rules).then(found => found.violations)", _RULES)
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]} ({' '.join(node.get('failureSummary', '').split())[:300]})"
        for one in found
        if one["id"] not in without
        for node in one["nodes"]
    ]


def require_sound(page: Page) -> None:
    """Fails if axe finds anything wrong with the page, or if it is wider than its window."""
    assert not (wrong := violations(page)), "\n".join(wrong)
    wide, window = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= window, f"the page is {wide} pixels wide in a window of {window}"


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser until the end of the block."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-component-update"],
        )
        try:
            yield Browser(chromium)
        finally:
            chromium.close()
