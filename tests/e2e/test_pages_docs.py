"""`/docs` in Chromium: the API's description, and requests that are sent from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import DESK, PHONE, Browser, require_sound
from tests.support.stack import Stack
from webapp.api.openapi import openapi_document

pytestmark = pytest.mark.debian("chromium")


def opened(page: Page, group: str, operation: str) -> Locator:
    """An operation, opened in its group."""
    page.get_by_role("heading", name=group, exact=True).click()
    block = page.locator(f"#{operation}")
    block.locator("> summary").click()
    expect(block.get_by_role("button", name="Send")).to_be_visible()
    return block


def sent(block: Locator, status: int) -> Locator:
    """Sends the request of an operation, and waits for its answer; the answer's body."""
    block.get_by_role("button", name="Send").click()
    expect(block.locator("[data-status]")).to_contain_text(str(status))
    return block.get_by_label("The answer", exact=True)


def test_groups_are_closed_and_there_are_no_padlocks_without_keys(browser: Browser, service: Stack) -> None:
    """All operations are there, in closed groups, which say what they are about; without keys nothing asks for one."""
    page = browser.open(f"http://127.0.0.1:{service.port}/docs", width=PHONE)
    for group in ("Predictions", "Jobs", "Streams", "Health", "Schemas"):
        expect(page.get_by_role("heading", name=group, exact=True)).to_be_visible()
    operations = [one for methods in openapi_document()["paths"].values() for one in methods.values()]
    expect(page.locator("form.request")).to_have_count(len(operations))
    assert page.locator("form.request:visible").count() == 0
    page.get_by_role("heading", name="Predictions", exact=True).click()
    expect(page.get_by_text("Score one text")).to_be_visible()
    assert page.get_by_text("needs a key").count() == 0
    assert page.get_by_label("API key").count() == 0


def test_a_text_as_it_stands(browser: Browser, service: Stack) -> None:
    """A text is scored by `Send`, without anything else being filled in; the same as curl is shown."""
    page = browser.open(f"http://127.0.0.1:{service.port}/docs")
    block = opened(page, "Predictions", "predict")
    expect(sent(block, 200)).to_contain_text('"label": "POSITIVE"')
    curl = block.get_by_label("The request as curl")
    expect(curl).to_contain_text(f"curl -X POST 'http://127.0.0.1:{service.port}/predict'")
    block.get_by_label("Body").fill('{"text": "it\'s <img src=x onerror=alert(1)> {{7*7}} bad"}')
    expect(sent(block, 200)).to_contain_text("<img src=x onerror=alert(1)> {{7*7}}")
    expect(curl).to_contain_text("it'\\''s")
    assert page.locator("img").count() == 0
    block.get_by_label("Body").fill("{")
    expect(sent(block, 400)).to_contain_text("malformed_json")


def test_an_upload_as_it_stands(browser: Browser, service: Stack, tmp_path: Path) -> None:
    """A file is sent by choosing it, as a form or as the whole body, or typed in; without one the page says so."""
    (file := tmp_path / "reviews.csv").write_text("text\nI loved it\nNever again\n")
    page = browser.open(f"http://127.0.0.1:{service.port}/docs")
    block = opened(page, "Jobs", "batchPredict")
    types = block.get_by_label("Body", exact=True)
    types.select_option("multipart/form-data")
    block.get_by_role("button", name="Send").click()
    expect(block).to_contain_text("Choose a file first.")
    block.get_by_label("A file", exact=True).set_input_files(file)
    expect(sent(block, 202)).to_contain_text('"name": "reviews.csv"')
    types.select_option("text/csv")
    expect(sent(block, 202)).to_contain_text('"total": 2')
    block.get_by_label("Or a file").locator("visible=true").set_input_files(file)
    block.get_by_text("optional parameters").click()
    block.get_by_label("name", exact=True).fill("by hand")
    expect(sent(block, 202)).to_contain_text('"name": "by hand"')


def test_parameters_files_and_events(browser: Browser, service: Stack) -> None:
    """What a path needs is asked for; a choice goes into the query; a spreadsheet is one to save; events are shown
    until they end.
    """
    job = service.ended(service.http.post("/batch_predict", json={"texts": ["good", "bad"]}).json())
    page = browser.open(f"http://127.0.0.1:{service.port}/docs")
    block = opened(page, "Jobs", "getJobResults")
    block.get_by_role("button", name="Send").click()
    expect(block).to_contain_text("Fill in job_id first.")
    block.locator("#getJobResults-job_id").fill(job["id"])
    expect(sent(block, 200)).to_contain_text('"position": 1')
    block.get_by_text("optional parameters").click()
    block.locator("#getJobResults-format").select_option("xlsx")
    block.get_by_role("button", name="Send").click()
    with page.expect_download() as found:
        block.get_by_role("link", name=f"Save {job['id']}-scored.xlsx").click()
    assert Path(found.value.path()).read_bytes().startswith(b"PK")
    events = page.locator("#getJobEvents")
    events.locator("> summary").click()
    events.locator("#getJobEvents-job_id").fill(job["id"])
    expect(sent(events, 200)).to_contain_text("event: end")


def test_an_address_opens_what_it_names(browser: Browser, service: Stack) -> None:
    """An address that names an operation or a shape shows it, and shapes lead to each other."""
    page = browser.open(f"http://127.0.0.1:{service.port}/docs#getJob")
    expect(page.locator("#getJob").get_by_role("button", name="Send")).to_be_visible()
    page.locator("#getJob .answers summary").click()
    page.locator("#getJob").get_by_role("link", name="JobResponse").click()
    expect(page.locator("#shape-JobResponse")).to_contain_text("Lines that have a prediction or an error.")
    for address in page.locator('a[href^="#shape-"]').evaluate_all("all => all.map(one => one.getAttribute('href'))"):
        assert page.locator(address).count() == 1, address


@pytest.mark.parametrize(("width", "dark"), [(DESK, False), (PHONE, True)])
def test_it_is_usable_by_all(width: int, dark: bool, browser: Browser, service: Stack) -> None:
    """axe finds nothing wrong, closed or with operations, parameters, answers and shapes open."""
    page = browser.open(f"http://127.0.0.1:{service.port}/docs", width=width, dark=dark)
    require_sound(page)
    block = opened(page, "Jobs", "batchPredict")
    block.get_by_text("optional parameters").click()
    block.locator(".answers summary").click()
    sent(block, 202)
    page.get_by_role("heading", name="Schemas", exact=True).click()
    page.locator("#shape-LineResponse > summary").click()
    page.evaluate("scrollTo(0, 0)")
    require_sound(page)
