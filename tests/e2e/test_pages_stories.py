"""What people want the pages for, by each as it is done: a show, a campaign, a release, from the first click to what is
taken away. Without keys, and with a key that is typed into the form; on a desk and a phone, light and dark.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tasks.keys import digest
from tests.support.browser import DESK, PHONE, Browser, require_sound
from tests.support.stack import Stack

pytestmark = [pytest.mark.debian("chromium"), pytest.mark.timeout(300)]

KEY = "the key of somebody at a desk"
LOOKS = [
    pytest.param(DESK, False, False, id="desk-light"),
    pytest.param(PHONE, True, False, id="phone-dark"),
    pytest.param(PHONE, False, True, id="phone-light-key"),
    pytest.param(DESK, True, True, id="desk-dark-key"),
]
"""Each story is tried as two of these, and each of these in a story: a story takes half a minute."""
WORDS = ("awful", "plain", "great")
"""What the stub takes for each label."""
LABELS = ("Negative", "Neutral", "Positive")


@pytest.fixture(scope="module")
def keyed() -> Iterator[Stack]:
    """A service that needs keys."""
    stack = Stack(model="stub?delay_s=0", WEB_CONCURRENCY=1, API_KEYS=f"desk:jobs+predict:{digest(KEY)}")
    try:
        yield stack.start("interactive", "batch")
    finally:
        stack.close()


class Person:
    """Somebody who has a browser before them, and a sender of texts of theirs."""

    def __init__(self, browser: Browser, stack: Stack, path: str, *, width: int, dark: bool, key: bool) -> None:
        """Opens a page, and signs in if the service wants a key."""
        self._stack, self._headers = stack, {"Authorization": f"Bearer {KEY}"} if key else {}
        self.page = browser.open(f"http://127.0.0.1:{stack.port}{path}", width=width, dark=dark)
        if key:
            require_sound(self.page)
            self.page.get_by_label("API key").fill(KEY)
            self.page.keyboard.press("Enter")
            expect(self.page.get_by_label("API key")).to_have_count(0)

    def make_stream(self) -> str:
        """Makes a stream that keeps a sample, on the page of all streams."""
        name = f"s{uuid.uuid4().hex[:12]}"
        opens = self.page.get_by_role("button", name="New stream")
        form = self.page.get_by_label("Name", exact=True)
        expect(opens.or_(form).first).to_be_visible()
        if not form.is_visible():
            opens.click()
        form.fill(name)
        self.page.get_by_label("Keep a sample of texts").check()
        self.page.get_by_role("button", name="Make the stream").click()
        expect(self.page.get_by_role("heading", name="No texts yet")).to_be_visible()
        return name

    def send(self, name: str, texts: list[dict[str, str]]) -> None:
        """Sends texts to the stream as a program does, and waits until they are counted."""
        to = f"/streams/{name}/texts"
        sent = self._stack.http.post(to, json={"texts": texts}, headers=self._headers)
        assert sent.status_code == 202, sent.text
        job = sent.json()["links"]["self"]
        waiting = self._headers | {"Prefer": "wait=60"}
        assert self._stack.http.get(job, headers=waiting).json()["status"] == "succeeded"

    def has_labels(self, path: str, count: int, **query: str) -> None:
        """Has a colleague label so many texts rightly, who uses a program of their own."""
        asked = {"by": "ben", "limit": str(count)} | query
        items = self._stack.http.get(f"{path}/sample", params=asked, headers=self._headers).json()["items"]
        said = [{"id": item["id"], "label": LABELS[int(item["text"][-1])]} for item in items]
        answer = self._stack.http.post(f"{path}/labels", json={"by": "ben", "labels": said}, headers=self._headers)
        assert answer.json()["accepted"] == count, answer.text

    def delete(self, name: str) -> None:
        """Deletes the stream."""
        self._stack.http.delete(f"/streams/{name}", headers=self._headers)

    def saves(self, what: str, to: Path) -> bytes:
        """What a button or a link of this name saves."""
        with self.page.expect_download() as download:
            button = self.page.get_by_role("button", name=what, exact=True)
            button.or_(self.page.get_by_role("link", name=what, exact=True)).click()
        download.value.save_as(to)
        return to.read_bytes()


def texts(
    shares: tuple[float, float, float], count: int, begin: datetime, *, segment: str = "", flattered: float = 0.0
) -> list[dict[str, str]]:
    """Texts a second apart. What people would say of each is its last sign; the model sees the first word, and takes a
    part of the negative ones (`flattered`) for positive.
    """
    chosen = random.Random(f"{shares} {segment}")
    found = []
    for number in range(count):
        truth = chosen.choices(range(3), shares)[0]
        seen = 2 if truth == 0 and chosen.random() < flattered else truth
        one = {
            "text": f"{WORDS[seen]} is what we found it to be on our evening number {number} of {segment} t{truth}",
            "time": (begin + timedelta(seconds=number)).isoformat(),
        }
        found.append(one | ({"segment": segment} if segment else {}))
    return found


def label_rightly(page: Page, segment: str) -> None:
    """Labels texts of a segment by keys, as its person would who reads them, until 100 are there."""
    row = page.locator(".label-segment").filter(has_text=segment)
    row.get_by_role("radio").check()
    expect(page.locator("#facts")).to_contain_text(segment)
    for _ in range(40):
        words = page.locator("#text bdi").inner_text()
        page.keyboard.press("123"[int(words[-1])])
        expect(page.locator("#text")).not_to_have_text(words)
        expect(page.locator("#task")).to_have_attribute("data-unsent", "0")
        if row.get_by_text("100 of 100").count():
            break
    expect(row).to_contain_text("100 of 100")
    expect(page.locator("[data-corrected]")).to_be_visible()


@pytest.fixture
def person(browser: Browser, service: Stack, keyed: Stack, request: pytest.FixtureRequest) -> Any:
    """Opens a page as one of LOOKS does."""

    def opened(path: str, width: int, dark: bool, key: bool) -> Person:
        return Person(browser, keyed if key else service, path, width=width, dark=dark, key=key)

    return opened


@pytest.mark.parametrize(("width", "dark", "key"), LOOKS[0::2])
def test_a_show(person: Any, width: int, dark: bool, key: bool, tmp_path: Path) -> None:
    """A stream is made; while one looks on, comments come in and the mood turns: the shift is told in words, texts of
    that moment are read, and the picture is saved.
    """
    one: Person = person("/streams", width, dark, key)
    name, page = one.make_stream(), one.page
    begin = datetime.now(UTC) - timedelta(minutes=30)
    one.send(name, texts((0.1, 0.1, 0.8), 500, begin))
    expect(page.locator("#texts")).to_have_text("500")
    one.send(name, texts((0.6, 0.1, 0.3), 500, begin + timedelta(seconds=500)))
    expect(page.locator(".shifted")).to_contain_text("down")
    page.locator(".shift-list a").first.click()
    expect(page.get_by_text(re.compile(r"^great is what .* t2$")).first).to_be_visible()
    require_sound(page)
    assert one.saves("PNG", tmp_path / "show.png").startswith(b"\x89PNG")
    one.delete(name)


@pytest.mark.parametrize(("width", "dark", "key"), LOOKS[1::2])
def test_a_campaign(person: Any, width: int, dark: bool, key: bool, tmp_path: Path) -> None:
    """The model flatters Wolf, who is ahead by its own counts. Once two people have labelled 100 texts of each, one of
    them on the page, Meier is ahead, as people see it, and the picture of it is saved.
    """
    one: Person = person("/streams", width, dark, key)
    name, page = one.make_stream(), one.page
    begin = datetime.now(UTC) - timedelta(hours=2)
    one.send(name, texts((0.5, 0.2, 0.3), 150, begin, segment="Wolf", flattered=1.0))
    one.send(name, texts((0.1, 0.3, 0.6), 150, begin, segment="Meier"))
    page.get_by_label("Compare").select_option("Meier")
    page.get_by_label("with", exact=True).select_option("Wolf")
    expect(page.locator(".verdict")).to_contain_text("By the model's own counts, Wolf is ahead of Meier")
    compared = page.url
    for segment in ("Wolf", "Meier"):
        one.has_labels(f"/streams/{name}", 80, segment=segment)
    page.get_by_role("link", name="Label").first.click()
    page.get_by_label("Who labels?").fill("anna")
    page.keyboard.press("Enter")
    for segment in ("Wolf", "Meier"):
        label_rightly(page, segment)
    require_sound(page)
    page.goto(compared)
    expect(page.locator(".verdict")).to_contain_text("Meier is ahead of Wolf")
    assert "own counts" not in page.locator(".verdict").inner_text()
    require_sound(page)
    assert one.saves("PNG", tmp_path / "campaign.png").startswith(b"\x89PNG")
    one.delete(name)


@pytest.mark.parametrize(("width", "dark", "key"), LOOKS[1:3])
def test_a_release(person: Any, width: int, dark: bool, key: bool, tmp_path: Path) -> None:
    """A file of reviews of two versions is dropped: by the model's own counts the new one is better liked. Once two
    people have labelled 100 texts of each, one of them from the report, it says that the old one was; it is taken away
    as a page of its own, and the texts as a spreadsheet.
    """
    one: Person = person("/files", width, dark, key)
    page, begin = one.page, datetime(2026, 3, 1, tzinfo=UTC)
    reviews = texts((0.6, 0.2, 0.2), 140, begin, segment="4.2", flattered=1.0)
    reviews += texts((0.2, 0.3, 0.5), 140, begin, segment="4.1")
    path = tmp_path / "reviews.csv"
    path.write_text("posted;version;review\n" + "".join(f"{r['time']};{r['segment']};{r['text']}\n" for r in reviews))
    page.get_by_label("Choose a file").set_input_files(path)
    page.get_by_role("button", name="Score all texts").click()
    page.wait_for_url(re.compile(r"/files/[0-9a-f]{32}"))
    expect(page.locator("#status")).to_have_text("Done")
    page.get_by_role("tab", name="Report").click()
    expect(page.locator("#made .headlines")).to_contain_text("By the model's own counts, 4.2 is ahead of 4.1")
    require_sound(page)
    for version in ("4.2", "4.1"):
        one.has_labels(f"/jobs/{re.findall(r'[0-9a-f]{32}', page.url)[0]}", 80, segment="version", value=version)
    page.get_by_role("link", name="Label texts").click()
    page.get_by_label("Who labels?").fill("maya")
    page.keyboard.press("Enter")
    for version in ("4.2", "4.1"):
        label_rightly(page, version)
    require_sound(page)
    page.get_by_role("link", name="See the report").click()
    headlines = page.locator("#made .headlines")
    expect(headlines).to_contain_text("4.1 is ahead of 4.2")
    expect(headlines).not_to_contain_text("own counts")
    expect(page.locator("#made")).to_contain_text("People labelled 200 texts of this job")
    require_sound(page)
    with page.expect_popup() as alone:
        page.get_by_role("link", name="As a page of its own").click()
    expect(alone.value.locator("body")).to_contain_text("4.1 is ahead of 4.2")
    assert one.saves("Excel (.xlsx)", tmp_path / "reviews.xlsx").startswith(b"PK")
