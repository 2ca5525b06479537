"""The pages of streams in a browser: a show whose mood turns while one looks on, and a campaign, from the first click
to the picture; by a link, with keys alone, and with texts that are meant to do harm.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, Browser, require_sound
from tests.support.stack import Stack
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.debian("chromium"), pytest.mark.timeout(300)]

HOSTILE = "<img src=x onerror=document.title='harmed'>{{7*7}}\u202e"


def texts(count: int, positive: float, begin: datetime, *, segment: str = "", seed: int = 1) -> list[dict[str, Any]]:
    """Texts a second apart, of which this share is positive and the others are negative."""
    chosen = random.Random(seed)
    return [
        {
            "text": f"{'good' if chosen.random() < positive else 'bad'} {uuid.uuid4().hex}",
            "time": (begin + timedelta(seconds=number)).isoformat(),
            **({"segment": segment} if segment else {}),
        }
        for number in range(count)
    ]


def send(service: Stack, name: str, sent: list[dict[str, Any]]) -> None:
    """Sends texts, and waits until they are counted."""
    answer = service.http.post(f"/streams/{name}/texts", json={"texts": sent})
    assert answer.status_code == 202, answer.text
    assert service.ended(answer.json())["status"] == "succeeded"


@pytest.fixture
def name(service: Stack) -> Iterator[str]:
    """The name of a stream that nobody has used; it is deleted after the test."""
    name = f"s{uuid.uuid4().hex[:12]}"
    yield name
    service.http.delete(f"/streams/{name}")


@pytest.fixture
def base(service: Stack) -> str:
    """The address of the service."""
    return f"http://127.0.0.1:{service.port}"


def made(service: Stack, name: str, **settings: Any) -> None:
    """Makes the stream."""
    assert service.http.put(f"/streams/{name}", json=settings).status_code == 201


def saved(page: Page, button: str, path: Path) -> bytes:
    """The file that a button saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).or_(
            page.get_by_role("link", name=button, exact=True)
        ).click()
    download.value.save_as(path)
    return path.read_bytes()


def test_a_show(browser: Browser, service: Stack, base: str, name: str, tmp_path: Path) -> None:
    """A stream is made on the page; while one looks on, comments come in and the mood turns: the figures and the shift
    in words appear by themselves, texts of that moment can be read, and the picture is saved.
    """
    page = browser.open(f"{base}/streams")
    opens = page.get_by_role("button", name="New stream")
    if opens.is_visible():
        opens.click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Keep a sample of texts").check()
    require_sound(page)
    page.get_by_role("button", name="Make the stream").click()
    expect(page.get_by_role("heading", name="No texts yet")).to_be_visible()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    require_sound(page)
    begin = datetime.now(UTC) - timedelta(minutes=40)
    send(service, name, texts(900, 0.8, begin))
    expect(page.locator("#texts")).to_have_text("900")
    expect(page.locator(".stand .net").first).to_contain_text("+")
    send(service, name, texts(900, 0.3, begin + timedelta(seconds=900), seed=2))
    expect(page.locator(".shifted")).to_contain_text("down")
    expect(page.locator(".shifted")).to_contain_text("between")
    expect(page.locator("#announcer")).to_contain_text("the net sentiment fell by")
    page.locator(".shift-list a").first.click()
    expect(page.get_by_role("heading", name="From then on")).to_be_visible()
    expect(page.locator(".examples").first).to_contain_text("good")
    require_sound(page)
    assert saved(page, "PNG", tmp_path / "a.png").startswith(b"\x89PNG")
    assert b"<svg" in saved(page, "SVG", tmp_path / "a.svg")
    assert saved(page, "CSV", tmp_path / "a.csv").startswith(b"segment,start,end,texts")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state-words")).to_contain_text("Paused")
    page.get_by_role("button", name="Full screen").click()
    expect(page.locator(".controls")).to_be_hidden()
    page.keyboard.press("Escape")


def test_a_campaign_by_keys(browser: Browser, service: Stack, base: str, name: str) -> None:
    """A is compared with B in a sentence; the address holds what is shown; time is zoomed and read with keys."""
    made(service, name, keep_sample=True)
    begin = datetime.now(UTC) - timedelta(hours=3)
    send(service, name, texts(120, 0.8, begin, segment="Meier") + texts(120, 0.4, begin, segment="Schulz", seed=2))
    page = browser.open(f"{base}/streams/{name}", width=PHONE, dark=True)
    expect(page.locator(".plot")).to_have_count(2)
    page.get_by_label("Compare").select_option("Meier")
    page.get_by_label("with", exact=True).select_option("Schulz")
    expect(page.locator(".verdict")).to_contain_text("Meier is ahead of Schulz")
    require_sound(page)
    again = browser.open(page.url, width=PHONE)
    expect(again.locator(".verdict")).to_contain_text("Meier is ahead of Schulz")
    cursor = page.get_by_role("slider").first
    cursor.focus()
    page.keyboard.press("Home")
    expect(cursor).to_have_attribute("aria-valuenow", "0")
    assert "net" in (cursor.get_attribute("aria-valuetext") or "")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Before", exact=True)).to_be_visible()
    page.get_by_role("slider").first.focus()
    page.keyboard.press("+")
    page.wait_for_url("**from=**")
    page.get_by_role("slider").first.focus()
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "from=" not in url)


def test_zooming_with_the_mouse(browser: Browser, service: Stack, base: str, name: str) -> None:
    """Dragging over a drawing shows that time alone; going back shows the time before."""
    made(service, name)
    send(service, name, texts(300, 0.6, datetime.now(UTC) - timedelta(hours=1)))
    page = browser.open(f"{base}/streams/{name}")
    cursor = page.get_by_role("slider")
    cursor.scroll_into_view_if_needed()
    box = cursor.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40, steps=4)
    page.mouse.up()
    page.wait_for_url("**from=**")
    expect(page.locator(".stand")).not_to_contain_text("300 texts")
    page.go_back()
    expect(page.locator(".stand")).to_contain_text("300 texts")


def test_what_people_write_stays_text(browser: Browser, service: Stack, base: str, name: str) -> None:
    """A segment's name and a text that are meant to run in the page are read there, and do nothing."""
    made(service, name, keep_sample=True)
    sent = [{"text": f"{HOSTILE} good {number}", "segment": HOSTILE} for number in range(3)]
    send(service, name, [*sent, {"text": "good", "segment": "other"}])
    page = browser.open(f"{base}/streams/{name}?a=other")
    expect(page.locator(".stand h2").first).to_contain_text("<img src=x onerror")
    page.locator(".controls summary").click()
    expect(page.get_by_role("checkbox").first).to_be_visible()
    assert page.locator("img").count() == 0
    assert "harmed" not in page.title()
    require_sound(page)


def test_a_link(browser: Browser, service: Stack, base: str, name: str) -> None:
    """A link that is made on the page shows the stream, live, to whoever has it, and is over once it is taken back."""
    made(service, name)
    send(service, name, texts(50, 0.6, datetime.now(UTC) - timedelta(hours=1)))
    page = browser.open(f"{base}/streams/{name}")
    page.get_by_role("button", name="Make a link").click()
    address = page.get_by_label("The link. It is shown this once.")
    expect(address).to_be_visible()
    require_sound(page)
    boss = browser.open(address.input_value())
    expect(boss.locator(".stand")).to_contain_text("50 texts")
    expect(boss.get_by_role("button", name="Make a link")).to_have_count(0)
    require_sound(boss)
    send(service, name, texts(10, 0.6, datetime.now(UTC) - timedelta(minutes=5), seed=3))
    expect(boss.locator(".stand")).to_contain_text("60 texts")
    page.get_by_role("button", name="Take back").click()
    expect(boss.locator("#problem")).to_contain_text("This link has ended")
    expect(boss.locator(".stand")).to_have_count(0)
    again = browser.open(boss.url)
    expect(again.get_by_role("heading", name="This link is over")).to_be_visible()


def test_somebody_deletes_it(browser: Browser, service: Stack, base: str, name: str) -> None:
    """A page whose stream is deleted says so."""
    made(service, name)
    send(service, name, texts(5, 0.6, datetime.now(UTC)))
    page = browser.open(f"{base}/streams/{name}")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    service.http.delete(f"/streams/{name}")
    wait_until(lambda: service.http.get(f"/streams/{name}").status_code == 404, what="the stream to be gone")
    expect(page.locator("#problem")).to_contain_text("This stream is gone")
