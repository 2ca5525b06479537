"""The page of files in a real browser: a product manager's way from a file to a report and a spreadsheet."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import python_calamine as calamine
from playwright.sync_api import Page, expect

from tasks.keys import digest
from tests.support.browser import DESK, PHONE, Browser, require_sound
from tests.support.sheets import xlsx
from tests.support.stack import Stack

MAYA, OTHER = "the key of a product manager", "the key of somebody else"
HOSTILE = '<img src=x onerror="document.title=1">'
EVIL = (
    f"{HOSTILE} {{{{ 7*7 }}}} bad",
    "\u202egnp.exe\u202c turned round, awful",
    '=HYPERLINK("http://evil.example";"bad")',
    "<script>document.title = 1</script> good",
)

pytestmark = pytest.mark.debian("chromium")


@pytest.fixture(scope="module")
def keyed() -> Iterator[Stack]:
    """A service with the keys of two people, and without a worker for jobs: what is sent waits until one is started."""
    entries = (f"maya:predict+jobs:{digest(MAYA)}", f"otto:predict+jobs:{digest(OTHER)}")
    stack = Stack(API_KEYS=" ".join(entries), WEB_CONCURRENCY=1)
    try:
        yield stack.start("interactive")
    finally:
        stack.close()


PACE = """async () => {
  const root = document.querySelector('link[rel=stylesheet]').href.replace(/[^/]*$/, "");
  const { pace } = await import(`${root}pace.js`);
  const say = pace();
  const at = (now, done) => say({ done, total: 900, texts_per_s: null }, now);
  const first = [at(0, 0), at(10, 100), at(70, 100)];
  at(71, 110);
  return [...first, at(72, 120)];
}"""
"""What is said of a job that stood still for a minute."""


def address(stack: Stack, path: str = "/files") -> str:
    """A page of the service."""
    return f"http://127.0.0.1:{stack.port}{path}"


def reviews(folder: Path, count: int = 120, name: str = "reviews.csv") -> Path:
    """A file of app reviews as spreadsheets of half of Europe write them."""
    rows = ["Nr;posted;app version;review"]
    for n in range(count):
        version, words = ("4.1", "I love it, great") if n % 3 else ("4.2", "Useless and bad, I hate it")
        rows.append(f"{n};{1 + n % 28}.3.2026 {n % 24:02}:00;{version};{words} {n}")
    path = folder / name
    path.write_bytes("\r\n".join(rows).encode("utf-8-sig"))
    return path


def choose(page: Page, path: Path) -> None:
    """Chooses a file, and waits until it may be sent."""
    page.get_by_label("Choose a file").set_input_files(path)
    expect(page.get_by_role("button", name="Score all texts")).to_be_enabled()


def send(page: Page) -> None:
    """Sends the file, and waits for the page of its job."""
    page.get_by_role("button", name="Score all texts").click()
    page.wait_for_url(re.compile(r"/files/[0-9a-f]{32}"))


def done(page: Page) -> None:
    """Waits for the end of the job, and for its texts."""
    expect(page.locator("#status")).to_have_text("Done")
    expect(page.locator("#rows tbody tr").first).to_be_visible()
    expect(page.locator("#rows")).not_to_have_attribute("aria-busy", "true")


def test_a_product_managers_story(browser: Browser, service: Stack, tmp_path: Path) -> None:
    """A CSV of reviews is dropped: the page finds its separator and which columns are what, shows ten rows, sends it,
    shows its labels, those that are negative alone, the least sure first, the report, and gives the spreadsheet and the
    file as it came. The file is listed by its name afterwards, in another browser, too, and comes back.
    """
    page = browser.open(address(service), width=DESK)
    require_sound(page)
    choose(page, reviews(tmp_path))
    for label, column in (("Texts", "review"), ("Time", "posted"), ("Segment", "app version")):
        expect(page.get_by_label(label, exact=True)).to_have_value(column)
    expect(page.locator(".preview tbody tr")).to_have_count(10)
    expect(page.locator("#read-as")).to_contain_text("semicolons")
    require_sound(page)
    send(page)
    done(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("reviews.csv")
    expect(page.locator("#looked")).to_have_text("1 to 50 of 120 texts.")
    require_sound(page)

    page.get_by_label("Label", exact=True).select_option(label="Negative")
    expect(page.locator("#looked")).to_have_text("1 to 40 of 40 texts that are like that.")
    assert set(page.locator("#rows .badge").all_text_contents()) == {"Negative"}
    page.get_by_label("Order").select_option(label="least confident first")
    page.get_by_label("Text has").fill("HATE IT 1")
    expect(page.locator("#looked")).to_have_text("1 to 9 of 9 texts that are like that.")
    sure = [float(row.get_attribute("data-confidence") or "") for row in page.locator("#rows tbody tr").all()]
    assert sure == sorted(sure)
    page.get_by_label("Text has").fill("")
    page.get_by_label("Label", exact=True).select_option(label="all")
    page.get_by_label("Segment is").fill("4.1")
    expect(page.locator("#looked")).to_have_text("1 to 50 of 80 texts that are like that.")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#looked")).to_have_text("51 to 80 of 80 texts that are like that.")
    page.get_by_role("button", name="Before").click()
    expect(page.locator("#looked")).to_have_text("1 to 50 of 80 texts that are like that.")

    page.get_by_role("tab", name="Report").click()
    expect(page.locator("#made .headlines")).to_contain_text("By the model's own counts, 4.1 is ahead of 4.2")
    expect(page.locator("#made svg").first).to_be_visible()
    require_sound(page)

    with page.expect_download() as found:
        page.get_by_role("link", name="Excel (.xlsx)").click()
    assert found.value.suggested_filename == "reviews-scored.xlsx"
    rows = calamine.load_workbook(io.BytesIO(Path(found.value.path()).read_bytes())).get_sheet_by_index(0).to_python()
    assert (len(rows), rows[0][:4]) == (121, ["Nr", "posted", "app version", "review"])
    with page.expect_download() as found:
        page.get_by_role("link", name="As it came (CSV)").click()
    assert Path(found.value.path()).read_bytes().startswith("\ufeffNr;posted;app version;review;".encode())

    page.get_by_role("link", name="All files").click()
    require_sound(page)
    page.get_by_role("link", name="reviews.csv").first.click()
    expect(page.get_by_label("Segment", exact=True)).to_have_value("app version")

    other = browser.open(address(service), width=PHONE)
    other.get_by_role("link", name="reviews.csv").first.click()
    expect(other.get_by_role("heading", level=1)).to_have_text("reviews.csv")


def test_with_a_key_on_a_phone(browser: Browser, keyed: Stack, tmp_path: Path) -> None:
    """Where keys are needed, the page asks for one; then a file is sent, seen to wait, and cancelled. The next is seen
    to end while one looks. Somebody else's key finds neither.
    """
    page = browser.open(address(keyed), width=PHONE, dark=True)
    page.get_by_label("API key").fill(MAYA)
    page.get_by_role("button", name="Sign in").click()
    choose(page, reviews(tmp_path))
    require_sound(page)
    send(page)
    expect(page.locator("#how-far")).to_have_text("Waiting for a worker")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#status")).to_have_text("Cancelled")
    expect(page.locator("#left-out")).to_contain_text("120 were not scored, as the job was cancelled")

    page.get_by_role("link", name="All files").click()
    choose(page, reviews(tmp_path, name="cp1252_semicolon_long_name.csv"))
    send(page)
    expect(page.locator("#how-far")).to_have_text("Waiting for a worker")
    require_sound(page)
    asked = page.evaluate(PACE)
    assert asked == [
        "0 of 900 texts",
        "100 of 900 texts, 10 a second, about 80 seconds left",
        "100 of 900 texts; none for 60 seconds, as other work has its turn or no worker is free",
        "120 of 900 texts, 10 a second, about 78 seconds left",
    ]
    keyed.start_worker("batch")
    done(page)
    require_sound(page)
    job = page.url
    page.get_by_role("tab", name="Report").click()
    expect(page.locator("#made .headlines")).to_be_visible()
    require_sound(page)
    with page.expect_download() as found:
        page.get_by_role("link", name="Excel (.xlsx)").click()
    assert Path(found.value.path()).stat().st_size > 1000

    other = browser.open(address(keyed), width=PHONE)
    other.get_by_label("API key").fill(OTHER)
    other.get_by_role("button", name="Sign in").click()
    expect(other.get_by_text("Nothing yet.")).to_be_visible()
    other.goto(job)
    expect(other.get_by_role("heading", level=1)).to_have_text("There is nothing here")

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/files")
    expect(page.locator("table.jobs tbody tr")).to_have_count(1)
    expect(page.locator("table.jobs time:visible")).to_be_in_viewport(ratio=1)
    name = page.locator(".job-link").bounding_box()
    assert name is not None
    assert name["width"] > 90  # a name of twelve letters in one piece


def test_a_report_with_labels_on_a_phone(browser: Browser, service: Stack, tmp_path: Path) -> None:
    """The report of a file with people's labels, whose tables are wide, fits on a phone: what is wider can be moved."""
    kinds = (("I love it", "positive"), ("I hate it", "negative"), ("It is blue", "neutral"))
    rows = [f"{words} {number},{label},{'A' if number % 2 else 'B'}" for number in range(40) for words, label in kinds]
    (path := tmp_path / "labelled.csv").write_text("\n".join(["text,label,segment", *rows]))
    page = browser.open(address(service), width=PHONE)
    choose(page, path)
    send(page)
    done(page)
    page.get_by_role("tab", name="Report").click()
    expect(page.get_by_role("heading", name="The model and the labels")).to_be_visible()
    for more in page.locator("#made summary").all():
        more.click()
    page.evaluate("scrollTo(0, 0)")
    require_sound(page)


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_hostile_cells_are_text(browser: Browser, service: Stack, tmp_path: Path, width: int) -> None:
    """Markup, template braces, signs that turn the direction of writing, formulas and a text of 30,000 characters are
    shown as the text that they are: in the preview, in names of columns, among the results and in the report.
    """
    long = "bad and long " * 7700
    path = tmp_path / f"{HOSTILE.replace('/', '')}.xlsx"
    rows = [["text", HOSTILE], *([one, HOSTILE] for one in EVIL), [long[:30_000], "{{ 7*7 }}"]]
    path.write_bytes(xlsx({"sheet {{ 1 }}": rows}))
    page = browser.open(address(service), width=width)
    choose(page, path)
    expect(page.locator(".preview")).to_contain_text(EVIL[0])
    expect(page.locator("#file-name")).to_have_text(path.name)
    page.get_by_label("Segment", exact=True).select_option(HOSTILE)
    send(page)
    done(page)
    for words in EVIL:
        expect(page.locator("#rows").get_by_text(words, exact=True)).to_be_visible()
    page.locator("#rows details summary").click()
    page.get_by_role("tab", name="Report").click()
    expect(page.locator("#made")).to_contain_text("<img src=x onerror=")
    assert page.locator("img").count() == 0
    assert "49" not in page.locator("#rows").inner_text()
    assert page.title() == f"{path.name} · Sentiq"
    page.evaluate("scrollTo(0, 0)")  # what the page's head covers while one scrolls is too small for axe
    require_sound(page)
    page.get_by_role("link", name="All files").click()
    expect(page.locator(".job-link").first).to_have_text(path.name)
    assert page.locator("img").count() == 0


def test_a_broken_file_is_refused_in_words(browser: Browser, service: Stack, tmp_path: Path) -> None:
    """A file that cannot be read says why in words and which setting helps, by the names that the page has for them;
    with that setting it is read. What is no file of texts at all says what it is. Of several sheets one is chosen.
    """
    path = tmp_path / "quotes.tsv"
    path.write_text('id\ttext\n1\tgood\n2\t"fast" they said\n3\tbad\n')
    page = browser.open(address(service), width=DESK)
    page.get_by_label("Choose a file").set_input_files(path)
    refusal = page.locator("#preview [role=alert]")
    expect(refusal).to_contain_text("Line 3")
    expect(refusal).to_contain_text("“Quotes” plain characters")
    assert "?" not in refusal.inner_text()
    expect(page.get_by_role("button", name="Score all texts")).to_be_disabled()
    require_sound(page)
    page.get_by_label("Quotes").select_option(label="plain characters")
    expect(page.locator(".preview tbody tr")).to_have_count(3)
    expect(page.get_by_role("button", name="Score all texts")).to_be_enabled()

    (tmp_path / "slides.csv").write_bytes(b"%PDF-1.7 no texts")
    page.get_by_label("Choose a file").set_input_files(tmp_path / "slides.csv")
    expect(refusal).to_contain_text("This is PDF")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n")
    page.get_by_label("Choose a file").set_input_files(tmp_path / "photo.png")
    expect(refusal).to_contain_text("This is not a file of texts that can be read here. Choose a table")
    expect(page.locator("#reading")).to_have_count(0)

    sheets: dict[str, Sequence[Sequence[object]]] = {
        "Info": [["made", "by"], ["May", "us"]],
        "Reviews": [["text", "stars"], ["a good one", "5"]],
    }
    (tmp_path / "two.xlsx").write_bytes(xlsx(sheets))
    page.get_by_label("Choose a file").set_input_files(tmp_path / "two.xlsx")
    expect(page.get_by_label("Sheet, of 2")).to_be_visible()
    for sheet, column in (("Info", "made"), ("Reviews", "text")):
        page.get_by_label("Sheet, of 2").select_option(sheet)
        expect(page.locator(".preview thead")).to_contain_text(column)
    expect(page.get_by_label("Texts", exact=True)).to_have_value("text")
    expect(page.get_by_role("button", name="Score all texts")).to_be_enabled()
    require_sound(page)


def test_what_is_found_late_is_refused_in_words(browser: Browser, service: Stack, tmp_path: Path) -> None:
    """What is wrong beyond the preview is told when all of the file was sent, with the line; the file stays chosen."""
    path = tmp_path / "late.ndjson"
    lines = [f'{{"text": "a good text, number {n}"}}' for n in range(2000)]
    path.write_text("\n".join([*lines, "{not JSON", *lines[:10]]))
    page = browser.open(address(service), width=DESK)
    choose(page, path)
    page.get_by_role("button", name="Score all texts").click()
    expect(page.locator("#problem")).to_contain_text("Line 2001")
    expect(page.get_by_role("button", name="Score all texts")).to_be_enabled()


def test_by_keyboard_alone(browser: Browser, service: Stack, tmp_path: Path) -> None:
    """Without a pointer one comes to the button that chooses a file, sends it, filters, and changes between texts and
    report.
    """
    page = browser.open(address(service), width=DESK)
    page.on("filechooser", lambda _: None)  # it takes the browser a moment to tell of choosers instead of opening them
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "file":
            break
    expect(page.locator("#file")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(reviews(tmp_path))
    expect(page.get_by_role("button", name="Score all texts")).to_be_enabled()
    page.get_by_role("button", name="Score all texts").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/files/[0-9a-f]{32}"))
    done(page)
    page.get_by_role("tab", name="Texts").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Report")).to_be_focused()
    expect(page.locator("#made .headlines")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.get_by_label("Text has").focus()
    page.keyboard.type("hate")
    expect(page.locator("#looked")).to_have_text("1 to 40 of 40 texts that are like that.")
