"""The page to try a text on, and signing in, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tasks.keys import digest
from tests.support.browser import DESK, PHONE, Browser, require_sound
from tests.support.stack import Stack

pytestmark = pytest.mark.debian("chromium")
PREDICT, JOBS = "sentiq_for_predictions", "sentiq_for_all"
KEYS = f"pia:predict:{digest(PREDICT)} jo:predict+jobs:{digest(JOBS)}"
HOSTILE = {
    "html": '<img src=x onerror="document.title=1"><script>document.title=2</script> good',
    "braces": "{{ 7*7 }} ${7*7} #{7*7} <%= 7*7 %> good",
    "rtl": "good \u202egnp.exe\u202c \u2066x\u2069 \u05e9\u05dc\u05d5\u05dd",
    "formula": '=HYPERLINK("http://evil.example","x") good',
    "quotes": 'it\'s "good" `id` $(id) \\ \u0000 \u2028 end',
}


@pytest.fixture(scope="module")
def _guarded() -> Iterator[Stack]:
    stack = Stack(WEB_CONCURRENCY=2, API_KEYS=KEYS)
    stack.start("interactive")
    yield stack
    stack.close()


@pytest.fixture
def guarded(_guarded: Stack) -> Stack:
    """A service with keys, in which nobody has tried to sign in lately."""
    for name in _guarded.redis.keys("sentiq:tries:*"):
        _guarded.redis.delete(name)
    return _guarded


def at(stack: Stack, path: str = "/") -> str:
    """An address of the service."""
    return f"http://127.0.0.1:{stack.port}{path}"


def sign_in(page: Page, key: str) -> None:
    """Fills in the form and sends it."""
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def answered(page: Page, label: str) -> None:
    """Waits until the label is shown and nothing is asked any more."""
    expect(page.locator("#label")).to_have_text(label)
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_answer_follows_the_text(width: int, dark: bool, browser: Browser, service: Stack) -> None:
    """Label, scores and the weights of words follow what is typed; nobody is kept from the page."""
    page = browser.open(at(service), width=width, dark=dark)
    require_sound(page)
    box = page.get_by_label("Your text")
    box.press_sequentially("what a good show")
    answered(page, "Positive")
    expect(page.locator("#scores li")).to_have_count(3)
    expect(page.locator("#weighed")).to_have_text("what a good show")
    require_sound(page)
    box.fill("a bad show")
    answered(page, "Negative")
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("The label and its scores appear here.")).to_be_visible()
    require_sound(page)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts_are_texts(kind: str, browser: Browser, service: Stack) -> None:
    """Whatever is typed is shown as what it is and runs nowhere, also when it comes by a link."""
    page = browser.open(at(service))
    title = page.title()
    page.get_by_label("Your text").fill(HOSTILE[kind])
    expect(page.locator("#label")).not_to_be_empty()
    expect(page.locator("#weighed, #words-hint").first).not_to_be_empty()
    shown = page.locator("#code").text_content() or ""
    assert not any(sign in shown for sign in "\u202e\u2066\u2028\u0000")
    assert page.title() == title
    assert page.locator("img, #weighed script, #code *").count() == 0


def test_a_very_long_text(browser: Browser, service: Stack) -> None:
    """100,000 characters are scored, and one more is refused in words; the page does not grow wider."""
    page = browser.open(at(service), width=PHONE)
    page.get_by_label("Your text").fill("good " * 20_000)
    answered(page, "Positive")
    require_sound(page)
    page.get_by_label("Your text").fill("good " * 20_001)
    expect(page.locator("#told")).to_contain_text("100005 characters")


def test_a_link_repeats_it(browser: Browser, service: Stack) -> None:
    """A link holds the question behind a #, so that the service never gets it, and asks it again."""
    context = browser.context(permissions=["clipboard-read", "clipboard-write"])
    page = browser.open(at(service), context=context)
    page.get_by_label("Your text").fill("good & bad #1 +1")
    page.get_by_role("button", name="Copy a link to this").click()
    expect(page.get_by_text("Copied").first).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(at(service, "/#text="))
    again = browser.open(link, context=context)
    expect(again.get_by_label("Your text")).to_have_value("good & bad #1 +1")
    expect(again.locator("#label")).not_to_be_empty()


def test_by_keyboard_alone(browser: Browser, service: Stack) -> None:
    """An example is asked, and the Python shown, by keys alone; the first stop leads past the navigation."""
    page = browser.open(at(service))
    expect(page.get_by_label("Your text")).to_be_focused()
    _tab_to(page, "Skip to the content", "Shift+Tab")
    page.keyboard.press("Enter")
    example = page.get_by_role("button", name="What a show, I loved it!")
    _tab_to(page, "What a show, I loved it!")
    expect(example).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#label")).not_to_be_empty()
    _tab_to(page, "Python")
    page.keyboard.press("Space")
    expect(page.locator("#code")).to_contain_text("from webapp.client import Sentiq")


def _tab_to(page: Page, name: str, key: str = "Tab") -> None:
    for _ in range(40):
        page.keyboard.press(key)
        if (page.evaluate("document.activeElement.textContent") or "").strip() == name:
            return
    raise AssertionError(f"{name} is not reached by the tab key")


def test_signing_in_and_out(browser: Browser, guarded: Stack) -> None:
    """Whoever comes without a key gets the form; a wrong key is told; after the right one the page answers, events and
    downloads come by the cookie, and signing out ends it.
    """
    context: BrowserContext = browser.context(width=PHONE)
    page = browser.open(at(guarded, "/#text=good+show"), context=context)
    require_sound(page)
    sign_in(page, "sentiq_wrong")
    expect(page.get_by_role("alert")).to_contain_text("This key is not known here")
    require_sound(page)
    sign_in(page, JOBS)
    answered(page, "Positive")
    expect(page.locator("#code")).to_contain_text("$SENTIQ_API_KEY")
    require_sound(page)
    assert [(one["httpOnly"], one["sameSite"]) for one in context.cookies()] == [(True, "Strict")]
    events = page.evaluate(
        """async () => {
             const own = document.querySelector(`script[src*="base.js"]`).src;
             const { call, to } = await import(own.replace("base.js", "api.js"));
             const { body } = await call("POST", "/batch_predict", { texts: ["good", "bad"] });
             await new Promise((resolve, reject) => {
               const source = new EventSource(to(body.links.events));
               source.addEventListener("progress", () => resolve(source.close()));
               source.onerror = reject;
             });
             return (await fetch(to(body.links.results + "?format=csv"))).status;
           }"""
    )
    assert events == 200
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert not context.cookies()


def test_what_a_key_may_not_do_is_not_shown(browser: Browser, guarded: Stack) -> None:
    """A key for predictions has no entry for files and streams, and their pages say why."""
    page = browser.open(at(guarded, "/files"))
    sign_in(page, PREDICT)
    expect(page.get_by_role("heading", name="Your key does not open this page")).to_be_visible()
    assert page.get_by_role("navigation").get_by_role("link").all_inner_texts() == ["Try", "Status", "API"]
    require_sound(page)


def test_a_session_that_has_ended(browser: Browser, guarded: Stack) -> None:
    """Whose session ends while the page is open is told to sign in again."""
    page = browser.open(at(guarded))
    sign_in(page, JOBS)
    expect(page.get_by_label("Your text")).to_be_visible()
    for name in guarded.redis.keys("sentiq:session:*"):
        guarded.redis.delete(name)
    page.get_by_label("Your text").fill("good")
    expect(page.locator("#told")).to_contain_text("You are not signed in any more")


def test_a_page_that_is_not_there(browser: Browser, service: Stack) -> None:
    """An address with nothing at it answers a page that leads on."""
    page = browser.open(at(service, "/nowhere"))
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    require_sound(page)
