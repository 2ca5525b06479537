"""`/docs` in Chromium: the API's description, and requests that are sent from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import DESK, PHONE, Browser, violations
from tests.support.stack import Stack

_SWAGGERS = frozenset(
    {
        "nested-interactive",
        "target-size",
        "landmark-main-is-top-level",
        "landmark-no-duplicate-main",
        "landmark-unique",
    }
)
pytestmark = pytest.mark.debian("chromium")


def opened(page: Page, group: str, operation: str) -> Locator:
    """An operation, opened in its group."""
    page.locator(f"#operations-tag-{group}").click()
    block = page.locator(f"#operations-{group}-{operation}")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    return block


def test_groups_are_closed_and_there_are_no_padlocks_without_keys(browser: Browser, service: Stack) -> None:
    """The operations are in closed groups, which say what they are about; without keys nothing asks for one."""
    page = browser.open(f"http://127.0.0.1:{service.port}/docs", width=PHONE)
    for group in ("predictions", "jobs", "streams", "health"):
        expect(page.locator(f"#operations-tag-{group}")).to_be_visible()
    expect(page.locator(".opblock")).to_have_count(0)
    page.locator("#operations-tag-predictions").click()
    expect(page.get_by_text("Score one text")).to_be_visible()
    assert page.locator(".authorization__btn, .btn.authorize").count() == 0


def test_a_text_as_it_stands(browser: Browser, service: Stack) -> None:
    """A text is scored by `Try it out` and `Execute`, without anything else being filled in."""
    page = browser.open(f"http://127.0.0.1:{service.port}/docs")
    block = opened(page, "predictions", "predict")
    block.get_by_role("button", name="Execute").click()
    expect(block.locator(".live-responses-table .response .response-col_status").first).to_contain_text("200")
    expect(block.locator(".live-responses-table")).to_contain_text("POSITIVE")


def test_an_upload_as_it_stands(browser: Browser, service: Stack, tmp_path: Path) -> None:
    """A file is sent by choosing it, without anything else being filled in or taken away."""
    (file := tmp_path / "reviews.csv").write_text("text\nI loved it\nNever again\n")
    page = browser.open(f"http://127.0.0.1:{service.port}/docs")
    block = opened(page, "jobs", "batchPredict")
    block.locator(".body-param-content-type select, select.content-type").first.select_option("multipart/form-data")
    block.locator('input[type="file"]').set_input_files(file)
    block.get_by_role("button", name="Execute").click()
    status = block.locator(".live-responses-table .response .response-col_status").first
    expect(status).to_contain_text("202")
    expect(block.locator(".live-responses-table")).to_contain_text('"encoding"')


@pytest.mark.parametrize(("width", "dark"), [(DESK, False), (PHONE, True)])
def test_it_is_usable_by_all(width: int, dark: bool, browser: Browser, service: Stack) -> None:
    """axe finds nothing wrong but what Swagger UI does: links within buttons, small links, and a second main part."""
    page = browser.open(f"http://127.0.0.1:{service.port}/docs", width=width, dark=dark)
    page.locator("#operations-tag-predictions").click()
    expect(page.get_by_text("Score one text")).to_be_visible()
    assert not (wrong := violations(page, without=_SWAGGERS)), "\n".join(wrong)
