"""What the page to try a text on says when there is no answer yet, on the running service: nothing that was typed is
lost, and the answer comes by itself once it can.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import PHONE, Browser, require_sound
from tests.support.stack import Stack
from tests.support.texts import new_text
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.debian("chromium"), pytest.mark.timeout(300)]


def trying(browser: Browser, stack: Stack) -> Page:
    """The page, on a phone."""
    return browser.open(f"http://127.0.0.1:{stack.port}/", width=PHONE)


def type_in(page: Page, text: str) -> None:
    """Puts a text into the page's box."""
    page.get_by_label("Your text").fill(text)


def answered(page: Page, label: str) -> None:
    """Waits for the answer, also as that of a job, which is done by a worker that gives way to all others."""
    expect(page.locator("#label")).to_have_text(label, timeout=120_000)
    expect(page.locator("#said")).to_be_visible()


def test_no_worker_yet(browser: Browser, make_stack: Callable[..., Stack]) -> None:
    """Without a worker the page says so, and leads to the state of the service; when workers come, the answer is there
    without anything being done.
    """
    stack = make_stack(WEB_CONCURRENCY=1, PREDICT_TIMEOUT=1).start()
    page = trying(browser, stack)
    type_in(page, "a good show")
    expect(page.locator("#told")).to_contain_text("No worker is ready to answer yet")
    expect(page.locator("#told").get_by_role("link", name="Status")).to_be_visible()
    require_sound(page)
    stack.start_worker("batch")
    stack.start_worker("interactive")
    answered(page, "Positive")
    type_in(page, "a bad show")
    answered(page, "Negative")


def test_the_queue_is_full(browser: Browser, make_stack: Callable[..., Stack]) -> None:
    """While as many texts wait as may, the page says so and when it tries again; then the answer comes by itself."""
    stack = make_stack(WEB_CONCURRENCY=1, QUEUE_LIMIT=4).start()
    page = trying(browser, stack)
    with ThreadPoolExecutor(4) as others:
        waiting = [others.submit(stack.predict, new_text(), prefer="wait=60") for _ in range(4)]
        wait_until(lambda: stack.metric("sentiment_waiting_texts") == 4, what="the queue to be full")
        type_in(page, "a good show")
        expect(page.locator("#told")).to_contain_text("Too many texts are waiting: 4 texts may wait here at once")
        expect(page.locator("#told")).to_contain_text("This page tries again in")
        require_sound(page)
        stack.start_worker("interactive")
        assert {one.result().status_code for one in waiting} == {200}
    answered(page, "Positive")


@pytest.mark.parametrize(
    ("limit", "value", "then"),
    [("RATE_LIMIT", "2/h", "in an hour"), ("DAILY_QUOTA", "2", "in a day")],
)
def test_a_limit_is_reached(
    limit: str, value: str, then: str, browser: Browser, make_stack: Callable[..., Stack]
) -> None:
    """Whoever has sent as many texts as allowed is told how many that are and when there are more; as texts are
    counted, words are weighed only for who asks for it. The text stays.
    """
    stack = make_stack(WEB_CONCURRENCY=1, **{limit: value}).start("interactive")
    page = trying(browser, stack)
    for text, label in (("a good show", "Positive"), ("a bad show", "Negative")):
        type_in(page, text)
        answered(page, label)
        expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    type_in(page, "a good evening")
    expect(page.locator("#told")).to_contain_text(then)
    expect(page.locator("#told")).to_contain_text(re.compile(r"Try again after \d\d:\d\d|This page tries again in"))
    assert len(re.findall(r"(?i)\btr(y|ies) again\b", page.locator("#told").inner_text())) == 1
    expect(page.get_by_label("Your text")).to_have_value("a good evening")
    require_sound(page)


def test_redis_and_the_service_away(browser: Browser, make_stack: Callable[..., Stack]) -> None:
    """While Redis is away, and while the service itself does not answer, the page says so and tries again; then the
    answer comes by itself. The other pages say in words that the service is not ready.
    """
    stack = make_stack(WEB_CONCURRENCY=1).start("interactive")
    page, other = trying(browser, stack), trying(browser, stack)
    type_in(page, "a good show")
    answered(page, "Positive")
    assert stack.server is not None
    stack.server.kill()
    type_in(page, "a bad show")
    expect(page.locator("#told")).to_contain_text("This page tries again in")
    require_sound(page)
    for path, heading in (
        ("/files", "Not ready yet"),
        ("/streams", "Not ready yet"),
        ("/status", "The service cannot"),
    ):
        other.goto(f"http://127.0.0.1:{stack.port}{path}")
        expect(other.get_by_role("heading", name=heading)).to_be_visible()
        require_sound(other)
    stack.start_server()
    answered(page, "Negative")

    assert stack.web is not None
    stack.web.terminate()
    type_in(page, "another good show")
    expect(page.locator("#told")).to_contain_text("The service does not answer.")
    stack.start_web()
    answered(page, "Positive")
