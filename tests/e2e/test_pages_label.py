"""The page for labelling and the page of the service's state, in Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tasks.keys import new_key
from tests.support.browser import DESK, PHONE, Browser, require_sound
from tests.support.stack import Stack
from tests.support.waiting import wait_until

TEXTS = 130
CHROMIUM = pytest.mark.debian("chromium")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A service without keys."""
    one = Stack(model="stub?delay_s=0", WEB_CONCURRENCY=1, FLOWER_URL="http://127.0.0.1:5555/flower/")
    one.start("interactive", "batch")
    yield one
    one.close()


def fill(stack: Stack, name: str, *, headers: dict[str, str] | None = None) -> None:
    """A stream with two segments, of which one has hostile texts."""
    headers = headers or {}
    stack.http.put(f"/streams/{name}", json={"keep_sample": True}, headers=headers)
    texts = [{"text": f"what a lovely evening, number {n} of {name}", "segment": "Choir"} for n in range(TEXTS)]
    texts += [{"text": f"<img src=x onerror=alert({n})> {{{{ {n} }}}} \u202eabc", "segment": "<b>"} for n in range(5)]
    sent = stack.http.post(f"/streams/{name}/texts", json={"texts": texts}, headers=headers)
    assert sent.status_code == 202, sent.text

    def counted() -> bool:
        found: int = stack.http.get(f"/streams/{name}", headers=headers).json()["texts"]
        return found == TEXTS + 5

    wait_until(counted, what="the texts to be counted", timeout_s=120)


def begin(browser: Browser, stack: Stack, name: str, by: str, *, segment: str = "Choir", width: int = 1440) -> Page:
    """Opens the page and gives a name."""
    page = browser.open(f"http://127.0.0.1:{stack.port}/streams/{name}/label?segment={segment}", width=width)
    page.get_by_label("Who labels?").fill(by)
    page.keyboard.press("Enter")
    expect(page.locator("#text bdi")).to_be_visible()
    return page


def press(page: Page, key: str) -> None:
    """Answers by a key, and waits for the next text."""
    before = page.locator("#text").inner_text()
    page.keyboard.press(key)
    expect(page.locator("#text")).not_to_have_text(before)


@CHROMIUM
def test_keys_label_until_the_answer_is_corrected(browser: Browser, stack: Stack) -> None:
    """By keys alone a person labels 100 texts, changes an answer by undo, and sees the figures corrected; the model's
    answer is not shown before one's own; the name is remembered.
    """
    fill(stack, "keys")
    page = begin(browser, stack, "keys", "anna")
    expect(page.locator("[data-last]")).to_have_count(0)
    press(page, "3")
    expect(page.locator("[data-last]")).to_contain_text("You said Positive")
    first = page.locator("#text").inner_text()
    press(page, "1")
    expect(page.locator("#progress .chart")).to_contain_text("±")
    page.keyboard.press("Backspace")
    expect(page.locator("#text")).to_have_text(first)
    expect(page.locator("#before")).to_contain_text("You said “Negative”")
    expect(page.get_by_role("button", name="Negative")).to_have_attribute("aria-pressed", "true")
    press(page, "2")
    expect(page.locator("[data-last]")).to_contain_text("You said Neutral")
    press(page, "0")
    require_sound(page)
    for number in range(14):  # as fast as anybody's fingers: none is lost
        for key in "1231231":
            page.keyboard.press(key)
        expect(page.locator("#task"), f"round {number}").to_have_attribute("data-unsent", "0")
        expect(page.locator("#text bdi")).to_be_visible()
    expect(page.locator("[data-corrected]")).to_be_visible()
    expect(page.locator("#progress")).to_contain_text("1 could not be told")
    (choir,) = (one for one in stack.http.get("/streams/keys/labels").json()["labels"] if one["segment"] == "Choir")
    assert (choir["counted"], choir["needed"], choir["cannot_tell"]) == (100, 0, 1)
    said = stack.http.get("/streams/keys/series?segment=Choir&bucket=day").json()["items"]
    assert {one["method"] for one in said} <= {"corrected", "corrected with pooled labels"}
    page.reload()
    expect(page.locator("#text bdi")).to_be_visible()
    expect(page.locator("#rename")).to_have_text("Not anna?")


@CHROMIUM
def test_two_people_get_different_texts_and_are_compared(browser: Browser, stack: Stack) -> None:
    """A second person gets other texts first and some of the first person's; how far they agree is told in words."""
    fill(stack, "two")
    anna = begin(browser, stack, "two", "anna")
    seen = {anna.locator("#text").inner_text()}
    for _ in range(19):
        press(anna, "3")
        seen.add(anna.locator("#text").inner_text())
    press(anna, "3")
    ben = begin(browser, stack, "two", "ben", width=PHONE)
    own = []
    for number in range(20):
        own.append(ben.locator("#text").inner_text())
        press(ben, "31"[number % 2])
    shared = [text in seen for text in own]
    assert sum(shared) == 4
    assert not any(shared[:16])
    expect(ben.locator("#progress")).to_contain_text("You and anna agree on 2 of 4 texts")
    require_sound(ben)


@CHROMIUM
def test_thumbs_label_on_a_phone(browser: Browser, stack: Stack) -> None:
    """On a phone the answers are large buttons that stay in the window, and hostile texts are shown as text."""
    fill(stack, "thumbs")
    page = begin(browser, stack, "thumbs", "Zoë <i>", segment="%3Cb%3E", width=PHONE)
    expect(page.locator("#text")).to_contain_text("<img src=x onerror=alert(")
    for name in ("Negative", "Neutral", "Positive", "Cannot tell"):
        button = page.get_by_role("button", name=name)
        expect(button).to_be_in_viewport(ratio=1)
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 48
        before = page.locator("#text").inner_text()
        button.tap()
        expect(page.locator("#text")).not_to_have_text(before)
    require_sound(page)
    page.get_by_role("button", name="Neutral").tap()
    expect(page.locator("#none")).to_be_visible()
    page.get_by_role("button", name="Undo").tap()
    expect(page.locator("#text")).to_contain_text("<img src=x")
    expect(page.locator("img[src=x]")).to_have_count(0)
    assert not page.locator("#facts b").count()


@CHROMIUM
def test_a_refusal_is_told_and_nothing_is_lost(browser: Browser, stack: Stack) -> None:
    """If the service cannot take a label, the page says why and sends it again by itself, while one goes on. Keys do
    nothing while they are turned off.
    """
    fill(stack, "away")
    page = begin(browser, stack, "away", "anna")
    before = page.locator("#text").inner_text()
    refusal = json.dumps({"status": 503, "code": "service_unavailable", "detail": "Redis is away."})
    page.context.route(
        "**/streams/away/labels",
        lambda route: route.fulfill(status=503, content_type="application/problem+json", body=refusal),
    )
    page.keyboard.press("3")
    expect(page.locator("#text")).not_to_have_text(before)
    expect(page.get_by_role("alert")).to_contain_text("Redis is away.")
    page.context.unroute("**/streams/away/labels")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.locator("#task")).to_have_attribute("data-unsent", "0")
    page.get_by_label("Keys 1 2 3 0").uncheck()
    now = page.locator("#text").inner_text()
    page.keyboard.press("1")
    page.get_by_label("Keys 1 2 3 0").check()
    expect(page.locator("#text")).to_have_text(now)
    labels = stack.http.get("/streams/away/labels").json()["labels"]
    assert sum(one["counted"] for one in labels) == 1


@CHROMIUM
def test_status_tells_of_a_worker_that_is_away(browser: Browser, stack: Stack) -> None:
    """The page says in words that everything works; when a worker stops, it says by itself, within seconds, which and
    what that means; and that all is well again when one is back.
    """
    stack.predict("one text", prefer="wait=60")
    pages = [browser.open(f"http://127.0.0.1:{stack.port}/status", width=width) for width in (DESK, PHONE)]
    for page in pages:
        expect(page.get_by_role("heading", name="Everything works")).to_be_visible()
        expect(page.get_by_text(re.compile(r"^\d+ % of [\d,]+ texts?$"))).to_be_visible()
        expect(page.get_by_role("link", name="Flower")).to_have_attribute("href", "http://127.0.0.1:5555/flower/")
        require_sound(page)
    stack.http.put("/streams/waits", json={})
    stream = browser.open(f"http://127.0.0.1:{stack.port}/streams/waits", width=PHONE)
    away = stream.get_by_text("The worker that counts texts is away")
    expect(away).to_have_count(0)
    (batch,) = (worker for worker in stack.workers if worker.name == "batch" and worker.running)
    batch.terminate()
    try:
        expect(away).to_be_visible()
        require_sound(stream)
        for page in pages:
            expect(page.get_by_role("heading", name="Something is missing")).to_be_visible()
            expect(page.get_by_text("The worker for files and streams is away")).to_be_visible()
            require_sound(page)
    finally:
        stack.start_worker("batch")
    for page in pages:
        expect(page.get_by_role("heading", name="Everything works")).to_be_visible()
    expect(away).to_have_count(0)


@CHROMIUM
def test_with_keys_each_sees_what_the_key_may(browser: Browser) -> None:
    """With keys, both pages ask for one; labelling works by the cookie; who is no admin sees neither what waits nor
    what went wrong with others' requests, nor the links; an admin does.
    """
    (ann, ann_entry), (boss, boss_entry) = new_key("ann", ["predict", "jobs"]), new_key("boss", ["admin"])
    stack = Stack(
        model="stub?delay_s=0",
        WEB_CONCURRENCY=1,
        API_KEYS=f"{ann_entry} {boss_entry}",
        GRAFANA_URL="http://127.0.0.1:3000/",
    )
    try:
        stack.start("interactive", "batch")
        fill(stack, "mine", headers={"Authorization": f"Bearer {ann}"})
        base = f"http://127.0.0.1:{stack.port}"
        page = browser.open(f"{base}/streams/mine/label?segment=Choir")
        page.get_by_label("API key").fill(ann)
        page.keyboard.press("Enter")
        page.get_by_label("Who labels?").fill("ann")
        page.keyboard.press("Enter")
        expect(page.locator("#text bdi")).to_be_visible()
        press(page, "3")
        expect(page.locator("[data-last]")).to_be_visible()
        page.goto(f"{base}/status")
        expect(page.get_by_role("heading", name="Everything works")).to_be_visible()
        expect(page.get_by_role("heading", name="Workers", exact=True)).to_be_visible()
        expect(page.get_by_role("heading", name=re.compile("^Now|What went wrong"))).to_have_count(0)
        expect(page.get_by_role("link", name="Grafana")).to_have_count(0)
        other = browser.open(f"{base}/status")
        other.get_by_label("API key").fill(boss)
        other.keyboard.press("Enter")
        expect(other.get_by_role("heading", name="Now")).to_be_visible()
        expect(other.get_by_role("link", name="Grafana")).to_be_visible()
        require_sound(other)
        assert stack.http.get("/pages/status").status_code == 401
        assert stack.http.get("/pages/streams/mine/labels").status_code == 401
    finally:
        stack.close()
