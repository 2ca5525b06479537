"""What people write is text on every page: markup, braces of templates, signs that turn the direction of writing,
formulas, lines that look like events, and 100,000 characters; as texts, columns, segments, names of files and people.
"""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import DESK, PHONE, Browser, require_sound
from tests.support.stack import Stack

pytestmark = [pytest.mark.debian("chromium"), pytest.mark.timeout(300)]

HOSTILE = {
    "markup": "<img src=x onerror=\"document.title='harmed'\"><script>document.title='harmed'</script> bad",
    "closing": "</textarea></bdi></title></svg><img src=x onerror=document.title='harmed'> bad",
    "braces": "{{ 7*7 }} ${7*7} {% raw %} #{7*7} bad",
    "direction": "\u202egnp.exe\u202c \u2066turned\u2069 \u05e9\u05dc\u05d5\u05dd bad",
    "formula": '=HYPERLINK("http://evil.example","x") bad',
    "event": "bad\r\n\r\nevent: gone\r\ndata: null",
}
LONG = "bad and so long " * 6250
FILE = "<script><img src=x onerror=document.title='harmed'>{{7*7}}\u202evsc.csv"
SEGMENT = HOSTILE["markup"][:200]


def plain(text: str) -> str:
    """A text without what white space it has."""
    return " ".join(text.split())


def unharmed(page: Page) -> None:
    """That nothing of the texts has become a part of the page, or of its title."""
    assert page.locator("img").count() == 0
    assert page.locator("script:not([src])").count() == 0
    assert "harmed" not in page.title().replace("document.title='harmed'", "")


@pytest.fixture(scope="module")
def stream(_service: Stack) -> Iterator[str]:
    """The name of a stream with the texts, each in a segment of its own kind."""
    name = f"h{uuid.uuid4().hex[:12]}"
    assert _service.http.put(f"/streams/{name}", json={"keep_sample": True}).status_code == 201
    texts = [{"text": text, "segment": text, "author": text} for text in HOSTILE.values()]
    texts += [{"text": text, "segment": SEGMENT} for text in (*HOSTILE.values(), LONG)]
    sent = _service.http.post(f"/streams/{name}/texts", json={"texts": texts})
    assert sent.status_code == 202, sent.text
    assert _service.ended(sent.json())["status"] == "succeeded"
    yield name
    _service.http.delete(f"/streams/{name}")


@pytest.fixture(scope="module")
def job(_service: Stack) -> str:
    """The id of the job of a file with the texts, in which columns, segments and the file are called so, too."""
    out = io.StringIO(newline="")
    rows = csv.writer(out)
    rows.writerow(["text", HOSTILE["markup"], HOSTILE["braces"]])
    for text in (*HOSTILE.values(), LONG):
        rows.writerow([text, text[:200], text[:200]])
    part = httpx.Request("POST", "/", files={"file": (FILE, out.getvalue().encode(), "text/csv")})
    headers = {"Content-Type": part.headers["Content-Type"]}
    sent = _service.http.post("/batch_predict", content=part.read(), headers=headers)
    assert sent.status_code == 202, sent.text
    assert _service.ended(sent.json())["name"] == FILE
    return str(sent.json()["id"])


def at(service: Stack, path: str) -> str:
    """An address of the service."""
    return f"http://127.0.0.1:{service.port}{path}"


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_files(browser: Browser, service: Stack, job: str, width: int) -> None:
    """On the page of files, of one file, in its table with its columns, and in its report."""
    page = browser.open(at(service, "/files"), width=width)
    expect(page.get_by_role("link", name=FILE).first).to_be_visible()
    unharmed(page)
    page.goto(at(service, f"/files/{job}?segment={quote(HOSTILE['markup'])}&time="))
    expect(page.get_by_role("heading", level=1)).to_have_text(FILE)
    expect(page.locator("#rows tbody tr")).to_have_count(len(HOSTILE) + 1)
    said = [plain(text) for text in page.locator("#rows .text").all_text_contents()]
    assert {plain(text) for text in HOSTILE.values()} <= set(said)
    assert plain(LONG[:20_000]) in said
    expect(page.locator("#rows")).to_contain_text("80,000 more characters are in the downloads.")
    unharmed(page)
    page.get_by_role("tab", name="Report").click()
    expect(page.locator("#made")).to_contain_text("<img src=x onerror=")
    unharmed(page)
    require_sound(page)


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_a_stream(browser: Browser, service: Stack, stream: str, width: int) -> None:
    """On the page of a stream: names of segments in figures, drawings, tables and choices; texts of a moment."""
    now = datetime.now(UTC).timestamp()
    page = browser.open(
        at(service, f"/streams/{stream}?a={quote(SEGMENT)}&at={now:.0f}&table=1&segment={quote(SEGMENT)}"), width=width
    )
    expect(page.locator("#around .examples").first).to_be_visible()
    said = {plain(text) for text in page.locator("#around .examples").all_text_contents()}
    assert said & {plain(text) for text in HOSTILE.values()}
    expect(page.locator(".stand h2")).to_contain_text("<img src=x onerror=")
    unharmed(page)
    page.goto(at(service, f"/streams/{stream}"))
    expect(page.locator(".stand h2")).to_have_count(6)  # names are cut there
    expect(page.locator(".stand h2").filter(has_text="</textarea></bdi></title></svg><img src=x")).to_be_visible()
    expect(page.locator(".stand h2").filter(has_text="{{ 7*7 }} ${7*7} {% raw %} #{7*7} bad")).to_be_visible()
    page.get_by_text("From–to, time zone, segments").click()
    expect(page.locator("#segments bdi").first).to_be_visible()
    choices = {plain(text) for text in page.locator("#segments bdi").all_text_contents()}
    assert {plain(text) for text in HOSTILE.values()} <= choices
    unharmed(page)
    require_sound(page)


def test_by_a_link(browser: Browser, service: Stack, stream: str) -> None:
    """On the page that a link opens, live: a text that looks like an event ends nothing."""
    path = service.http.post(f"/streams/{stream}/links", json={"expires_in": 600, "texts": True}).json()["path"]
    page = browser.open(at(service, path), width=PHONE)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    before = int((page.locator("#texts").text_content() or "").replace(",", ""))
    sent = service.http.post(
        f"/streams/{stream}/texts", json={"texts": [{"text": f"{HOSTILE['event']} {uuid.uuid4()}"}]}
    )
    service.ended(sent.json())
    expect(page.locator("#texts")).to_have_text(str(before + 1))
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    unharmed(page)
    require_sound(page)


def test_labelling(browser: Browser, service: Stack, stream: str) -> None:
    """On the page for labelling, by a person with such a name."""
    page = browser.open(at(service, f"/streams/{stream}/label?segment={quote(SEGMENT)}"), width=PHONE)
    page.get_by_label("Who labels?").fill(HOSTILE["markup"][:60])
    page.keyboard.press("Enter")
    seen: set[str] = set()
    while page.locator("#answers").is_visible():
        expect(page.locator("#text bdi")).to_be_visible()
        seen.add(plain(page.locator("#text bdi").text_content() or ""))
        unharmed(page)
        require_sound(page)
        page.locator("#answers").get_by_role("button", name="Negative").click()
        # The next text may be the same one: nothing tells them apart but that this one is sent.
        expect(page.locator("#task")).to_have_attribute("data-unsent", "0")
        expect(page.locator("#text bdi, #none").locator("visible=true")).to_have_count(1)
    assert {plain(text) for text in (*HOSTILE.values(), LONG)} <= seen
    expect(page.locator("#rename")).to_contain_text("<img src=x")


def test_the_state_and_pages_of_refusals(browser: Browser, service: Stack) -> None:
    """Among the jobs that failed; and in an address that is not there."""
    sent = service.http.post("/batch_predict", json={"texts": [""]}, params={"name": FILE})
    assert service.ended(sent.json())["status"] == "failed"
    page = browser.open(at(service, "/status"), width=PHONE)
    link = page.get_by_role("link", name=FILE).first
    expect(link).to_be_visible()
    unharmed(page)
    require_sound(page)
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(FILE)
    expect(page.locator("#status")).to_have_text("Failed")
    page.goto(at(service, f"/{quote(HOSTILE['markup'])}"))
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    unharmed(page)
