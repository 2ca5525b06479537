"""Reports of jobs: what is read of their columns, what they say, and what a page must not do."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.jobs.job import Entry, Header, Job, Line
from tasks.store.outcomes import Failed, Outcome, Remarks, Scored
from webapp.reading.refusals import UploadRefused
from webapp.reading.times import zone_of
from webapp.report.asked import ROLES, Asked
from webapp.report.buckets import MOST_BUCKETS, SIZES, chosen, edges
from webapp.report.lines import columns_of, rows
from webapp.report.style import POLICY
from webapp.sandbox.process import Sandbox

NAMES = ("created", "candidate", "gold", "user", "text")
ASKED = Asked(
    format="json",
    job="1" * 32,
    model="stub",
    status="succeeded",
    created_at=1.7e9,
    made_at=1.7e9,
    target=None,
    columns=NAMES[:4],
    tz="UTC",
    dates=None,
    bucket=None,
)
SCORES = ((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8))
Cells = tuple[str, str, str, str, str]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A sandbox with a folder of its own."""
    return Sandbox(tmp_path_factory.mktemp("data") / "uploads", max_bytes=2**20, max_line_bytes=2**20)


def job_of(cells: Sequence[Cells], outcomes: Sequence[Outcome | None]) -> tuple[Job, list[Line]]:
    """A job of a file with these rows, and its lines."""
    job = Job(
        id="1" * 32,
        created_at=1.0,
        expires_at=2.0,
        chunk_size=3,
        window=4,
        total=len(cells),
        header=Header(NAMES, 4),
    )
    lines = [
        Line(place, Entry(row[4], None, row[:4]), outcome, "m", cached=False)
        for place, (row, outcome) in enumerate(zip(cells, outcomes, strict=True))
    ]
    return job, lines


def made(
    sandbox: Sandbox,
    cells: Sequence[Cells],
    outcomes: Sequence[Outcome | None] | None = None,
    labels: dict[int, int] | None = None,
    **asked: Any,
) -> bytes:
    """The report of such a job, by the process that makes it. `labels`: what people said of lines."""
    if outcomes is None:
        outcomes = [Scored(SCORES[place % 3], False) for place in range(len(cells))]
    job, lines = job_of(cells, outcomes)
    wanted = msgspec.structs.replace(ASKED, **asked)
    places = columns_of(job, dict(zip(ROLES, wanted.columns, strict=True)))
    return b"".join(sandbox.report(rows(job, lines, places, labels), msgspec.to_builtins(wanted), job.total))


def report(sandbox: Sandbox, cells: Sequence[Cells], *args: Any, **asked: Any) -> dict[str, Any]:
    """The same as JSON."""
    found: dict[str, Any] = json.loads(made(sandbox, cells, *args, **asked))
    return found


def refused(sandbox: Sandbox, cells: Sequence[Cells], **asked: Any) -> UploadRefused:
    """Why there is no report."""
    with pytest.raises(UploadRefused) as refusal:
        made(sandbox, cells, **asked)
    return refusal.value


def some(count: int, gold: str = "", time: str = "2026-03-{day:02}T{hour:02}:00:00Z") -> list[Cells]:
    """Rows of two candidates, an hour apart, of an author each."""
    return [
        (time.format(day=1 + n // 24, hour=n % 24), "AB"[n // 3 % 2], gold, f"user {n}", f"text number {n}")
        for n in range(count)
    ]


def test_shares_are_counted(sandbox: Sandbox) -> None:
    """A report has the shares of the labels of all texts and of each segment, without labels raw, with the model's
    number of texts.
    """
    found = report(sandbox, some(120))
    overall = found["overall"]
    assert (overall["texts"], overall["method"], found["texts"]["counted"]) == (120, "raw", 120)
    for kind in ("negative", "neutral", "positive"):
        assert overall[kind]["estimate"] == pytest.approx(1 / 3, abs=1e-4)
        assert overall[kind]["low"] < overall[kind]["estimate"] < overall[kind]["high"]
    assert sorted(one["name"] for one in found["segments"]) == ["A", "B"]
    assert [one["texts"] for one in found["segments"]] == [60, 60]
    assert overall["authors"] == overall["distinct_texts"] == 120
    assert any("own counts" in sentence for sentence in found["says"])


def test_texts_that_have_no_label_are_apart(sandbox: Sandbox) -> None:
    """What failed, is in another language, does not name the target or has no answer is apart, and in no share."""
    outcomes: list[Outcome | None] = [
        Failed("text_failed"),
        Scored(SCORES[0], False, Remarks(refused=True)),
        Failed("not_mentioned"),
        None,
        *[Scored(SCORES[2], False)] * 6,
    ]
    found = report(sandbox, some(10), outcomes)
    assert found["texts"] == {
        "lines": 10,
        "counted": 6,
        "failed": 1,
        "unsupported_language": 1,
        "not_mentioned": 1,
        "unanswered": 1,
    }
    assert found["overall"]["positive"]["estimate"] == 1


def test_nothing_to_count(sandbox: Sandbox) -> None:
    """A job in which no text has a label has no report."""
    with pytest.raises(UploadRefused, match="nothing to report"):
        made(sandbox, some(3), [Failed("text_failed")] * 3)


def test_labels_of_all_texts_are_exact(sandbox: Sandbox) -> None:
    """Where people have labelled every text, shares are those of the labels, without an interval, and it is shown how
    often the model says the same.
    """
    found = report(sandbox, some(90, gold="Positive"))
    assert found["overall"]["method"] == "every text is labelled"
    assert found["overall"]["positive"] == {"estimate": 1.0, "low": 1.0, "high": 1.0}
    assert found["overall"]["raw"]["positive"]["estimate"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["agreement"]["confusion"] == [[0, 0, 0], [0, 0, 0], [30, 30, 30]]
    assert found["agreement"]["accuracy"] == pytest.approx(1 / 3, abs=1e-4)


def test_a_hundred_labels_correct(sandbox: Sandbox) -> None:
    """From 100 labels of a segment on, its shares are corrected by them; with fewer they are the model's."""
    cells = [(*row[:2], "neg" if n % 5 == 0 else "", *row[3:]) for n, row in enumerate(some(1200))]
    few = [(*row[:2], row[2] if row[1] == "A" or n < 300 else "", *row[3:]) for n, row in enumerate(cells)]
    found = {one["name"]: one for one in report(sandbox, few)["segments"]}
    assert (found["A"]["method"], found["A"]["labels"]) == ("corrected", 120)
    assert found["A"]["negative"]["estimate"] > 0.9
    assert (found["B"]["method"], found["B"]["labelled"]) == ("raw", 30)
    (pair,) = report(sandbox, few)["comparisons"]["items"]
    assert pair["method"] == "raw"
    assert pair["sentence"].startswith("By the model's own counts")
    # What is called the model's own counts is that of both sides, in the headline too.
    nets = [found[pair[side]]["raw"]["net"]["estimate"] for side in ("first", "second")]
    assert pair["net"]["estimate"] == pytest.approx(nets[0] - nets[1], abs=2e-4)
    assert found["A"]["net"]["estimate"] < min(nets) - 0.5


def test_the_whole_over_time_takes_labels_in_proportion_alone(sandbox: Sandbox) -> None:
    """If one segment has more labels than its share of the texts, all labels together correct no bucket of the whole;
    those of the segments are corrected by their own.
    """
    cells = [(*row[:2], "neg" if n % 3 == 0 else "", *row[3:]) for n, row in enumerate(some(1200))]
    even = report(sandbox, cells, bucket="1w")
    assert {one["method"] for one in even["series"][0]["buckets"]} == {"corrected with pooled labels"}
    uneven = [(*row[:2], row[2] if row[1] == "A" else "", *row[3:]) for row in cells]
    found = {series["name"]: series["buckets"] for series in report(sandbox, uneven, bucket="1w")["series"]}
    assert {one["method"] for one in found[None]} == {"raw"}
    assert {one["method"] for one in found["A"]} == {"corrected with pooled labels"}


def test_one_of_many_is_not_corrected(sandbox: Sandbox) -> None:
    """Where one segment has no labels, the headline tells of the pairs that are corrected; each pair with that segment
    is of the model's own counts on both sides, and so is the whole.
    """
    cells = [("", f"s{n % 3}", "neg" if n % 3 and n < 900 else "", f"u{n}", f"text {n}") for n in range(1200)]
    outcomes = [Scored(SCORES[2 if n % 3 == 1 and n % 4 else 0], False) for n in range(1200)]
    found = report(sandbox, cells, outcomes, columns=(None, *NAMES[1:4]))
    methods = {(pair["first"], pair["second"]): pair["method"] for pair in found["comparisons"]["items"]}
    assert sorted(methods.values()) == ["corrected", "raw", "raw"]
    assert all(("s0" in pair) == (method == "raw") for pair, method in methods.items())
    assert not found["says"][1].startswith("By the model")
    assert "s0" not in found["says"][1]
    assert found["overall"]["method"] == "raw"
    assert "hardly any of some segments" in found["overall"]["note"]
    many = [("", f"s{n % 9}", "neg" if n % 9 and n < 1800 else "", f"u{n}", f"text {n}") for n in range(2700)]
    each = {
        pair["first"]: pair["method"]
        for pair in report(sandbox, many, columns=(None, *NAMES[1:4]))["comparisons"]["items"]
    }
    assert set(each.values()) == {"raw"}


def test_comparisons_end_in_a_verdict(sandbox: Sandbox) -> None:
    """Segments that differ are ahead and behind in the sentence, adjusted for the number of comparisons; from eight
    segments on, each is compared with all others together.
    """
    cells = [(f"2026-03-01T00:{n % 60:02}:00Z", f"s{n % 3}", "", f"u{n}", f"text {n}") for n in range(300)]
    outcomes = [Scored(SCORES[2 if n % 3 == 0 else n % 2], False) for n in range(300)]
    found = report(sandbox, cells, outcomes)
    assert found["comparisons"]["adjusted_for"] == len(found["comparisons"]["items"]) == 3
    first = found["comparisons"]["items"][0]
    assert (first["first"], first["net"]["verdict"]) == ("s0", "ahead")
    assert "s0 is ahead of s" in first["sentence"]
    assert found["segments"][0]["name"] == "s0"
    many = report(sandbox, [(cell[0], f"s{n % 9}", *cell[2:]) for n, cell in enumerate(cells)], outcomes)
    assert [pair["second"] for pair in many["comparisons"]["items"]] == [None] * 9


def test_series(sandbox: Sandbox) -> None:
    """Texts are counted in the bucket of their time, on the clock of the zone; those without a time in none."""
    cells = [*some(48), ("", "A", "", "u", "no time"), ("soon", "A", "", "u", "no time either")]
    found = report(sandbox, cells, bucket="1d")
    assert found["bucket"] == "1d"
    overall = found["series"][0]["buckets"]
    assert [(one["start"], one["texts"]) for one in overall] == [
        ("2026-03-01T00:00:00Z", 24),
        ("2026-03-02T00:00:00Z", 24),
    ]
    assert found["overall"]["texts"] == 50
    assert 'such as "soon" (text 50)' in " ".join(found["notes"])
    eastern = report(sandbox, some(48), bucket="1d", tz="America/New_York")["series"][0]["buckets"]
    assert [(one["start"], one["texts"]) for one in eastern] == [
        ("2026-02-28T00:00:00-05:00", 5),
        ("2026-03-01T00:00:00-05:00", 24),
        ("2026-03-02T00:00:00-05:00", 19),
    ]


def test_order_of_dates(sandbox: Sandbox) -> None:
    """Which part of a date comes first is shown by the whole column; if it is not, or shown both ways, it is asked."""
    shown = report(sandbox, [*some(72, time="{day}/3/2026 {hour}:00")[:-1], ("25/3/2026", "A", "", "u", "x")])
    assert shown["last"] == "2026-03-25T00:00:00Z"
    assert "day-first" in " ".join(shown["notes"])
    open_ = refused(sandbox, some(24, time="1/4/2026 {hour}:00"))
    assert (open_.code, open_.line) == ("ambiguous_dates", 1)
    assert "dates=day-first" in str(open_)
    told = report(sandbox, some(24, time="1/4/2026 {hour}:00"), dates="month-first")
    assert told["first"] == "2026-01-04T00:00:00Z"
    both = [*some(1, time="25/3/2026"), *some(1, time="3/25/2026")]
    assert refused(sandbox, both).code == "ambiguous_dates"
    assert "1 texts" in " ".join(report(sandbox, both, dates="day-first")["notes"])


def test_a_column_that_is_no_time(sandbox: Sandbox) -> None:
    """A column without any time is refused with examples."""
    found = refused(sandbox, some(5, time="soon"))
    assert found.code == "unread_time"
    assert '"soon" (text 1)' in str(found)


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["NEGATIVE", "neutral", "Positive"], [0, 1, 2]),
        (["neg", " neu ", "POS"], [0, 1, 2]),
        (["-1", "0", "1"], [0, 1, 2]),
        (["-1.0", "0.0", "+1"], [0, 1, 2]),
        (["0", "1", "2"], [0, 1, 2]),
        (["", "n/a", "positive"], [None, None, 2]),
    ],
)
def test_labels_in_many_forms(sandbox: Sandbox, cells: list[str], classes: list[int | None]) -> None:
    """Labels are read by name, in any case, and as numbers where the column shows which."""
    found = report(
        sandbox, [("", "", cell, "", f"t{n}") for n, cell in enumerate(cells)], columns=(None, None, "gold", None)
    )
    people = [sum(row) for row in found["agreement"]["confusion"]]
    assert people == [classes.count(kind) for kind in range(3)]


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["positive", "mixed", "mixed", "sarcasm"], '"mixed" (text 2), "sarcasm" (text 4)'),
        (["0", "1", "1"], "neither -1 nor 2"),
        (["-1", "2"], "-1 and 2"),
    ],
)
def test_labels_that_are_not_read(sandbox: Sandbox, cells: list[str], says: str) -> None:
    """A label that is not read is named with its text, and nothing is left out in silence."""
    found = refused(
        sandbox, [("", "", cell, "", f"t{n}") for n, cell in enumerate(cells)], columns=(None, None, "gold", None)
    )
    assert found.code == "unread_label"
    assert says in str(found)


def test_columns_that_are_not_there() -> None:
    """A column is found by its name, in other letters too; one that is not there is answered with the nearest."""
    job, _ = job_of([], [])
    assert columns_of(job, {"time": " Created ", "author": "user"}) == [0, None, None, 3]
    with pytest.raises(UploadRefused, match="Do you mean `candidate`") as refusal:
        columns_of(job, {"segment": "candidates"})
    assert refusal.value.code == "unknown_column"


def test_a_column_of_ids_is_no_segment(sandbox: Sandbox) -> None:
    """A column with very many values is refused as segments, before all lines are read."""
    cells = [("", f"id{n}", "", "", "x") for n in range(3000)]
    found = refused(sandbox, cells, columns=(None, "candidate", None, None))
    assert "more than 1000 different values" in str(found)


def test_small_segments_are_put_together(sandbox: Sandbox) -> None:
    """The largest 30 segments have figures of their own; the others are counted, and among all texts."""
    cells = [("", f"s{n % 40}", "", "", f"t{n}") for n in range(400)]
    found = report(sandbox, cells, columns=(None, "candidate", None, None))
    assert len(found["segments"]) == 30
    assert found["others"] == {"segments": 10, "texts": 100}
    assert found["overall"]["texts"] == 400


def test_equal_texts_and_authors_are_groups(sandbox: Sandbox) -> None:
    """Texts that are equal after cleaning, and those of one author, count as less than independent ones."""
    cells = [("", "", "", f"u{n}", f"the same @u{n // 20} http://t.co/{n} {n // 20}") for n in range(200)]
    outcomes = [Scored(SCORES[n // 20 % 3], False) for n in range(200)]
    found = report(sandbox, cells, outcomes, columns=(None,) * 4)
    assert found["overall"]["distinct_texts"] == 10
    assert found["overall"]["effective_texts"] < 20
    assert found["overall"]["authors"] is None


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Words."""
        self.words += data


def page_of(sandbox: Sandbox, cells: Sequence[Cells], **asked: Any) -> str:
    """The report as a page."""
    return made(sandbox, cells, format="html", **asked).decode()


def safe(page: str) -> Page:
    """Checks that a page loads, runs and links to nothing."""
    found = Page(page)
    for tag, attributes in found.tags:
        assert tag not in {"script", "iframe", "img", "object", "embed", "link", "form", "a", "base", "image", "use"}
        assert not {name for name in attributes if name.startswith("on") or name in ("href", "src", "style")}
    assert [a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy"] == [POLICY]
    return found


def test_page(sandbox: Sandbox) -> None:
    """The page has every part, each drawing with a title and a description, each table with a caption, and each id
    once.
    """
    page = page_of(sandbox, some(150))
    found = safe(page)
    tags = [tag for tag, _ in found.tags]
    assert tags.count("svg") == tags.count("desc") == 8  # three of them twice, for desks and for phones
    assert tags.count("table") == tags.count("caption")
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for words in ("Shares", "Who is ahead", "Over time", "What was counted", "What these figures cannot say"):
        assert words in found.words
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page).lower().replace("finance", "")


def test_what_holds_for_several_figures_is_said_once(sandbox: Sandbox) -> None:
    """That figures are the model's own stands once, however many segments and buckets there are, and then which
    segments lack how many labels; of a bucket nobody would know which is meant.
    """
    cells = [
        (time, segment, "positive" if n < 12 else "", user, text)
        for n, (time, segment, _, user, text) in enumerate(some(150))
    ]
    words = safe(page_of(sandbox, cells)).words
    assert words.count("By the model's labels alone") == 1
    assert words.count("labels needed") == 3
    assert "A: 6 of the 75 labels needed are there; B: 6 of the 75 labels" in words


def test_bars_are_all_of_one_kind(sandbox: Sandbox) -> None:
    """Where one segment is corrected by labels and another is not, all bars are the model's own counts, and the page
    says so: else the whole may have more of a class than each of its parts.
    """
    cells = [
        (time, segment, "positive" if segment == "A" else "", user, text) for time, segment, _, user, text in some(300)
    ]
    page = page_of(sandbox, cells)
    drawing = page[page.index("Shares of negative, neutral and positive texts by segment") :].partition("</svg>")[0]
    assert "A: 33 % (" in drawing
    assert "all bars are the model's own counts" in page
    assert "the model's own counts; corrected" not in page_of(sandbox, some(300))


def test_figures_of_bars_have_room(sandbox: Sandbox) -> None:
    """The net beside a bar begins to the right of the bar, however long its interval is in figures."""
    page = page_of(sandbox, [(time, "A", "", user, text) for time, _, _, user, text in some(9)])
    chart = page[page.index('<div class="at-desk">') :].partition("</svg>")[0]
    ends = [float(x) + float(width) for x, width in re.findall(r'<rect[^>]* x="([\d.]+)"[^>]* width="([\d.]+)"', chart)]
    ((at, told),) = re.findall(r'<text class="figure" x="([\d.]+)"[^>]*>([^<]+)<', chart)
    assert len(told) > 12
    assert float(at) - 7.2 * len(told) > max(ends)


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></svg><svg onload=alert(1)>",
    "]]>&lt;b&gt;",
    '=HYPERLINK("http://x")',
    "\u202egnp.exe",
    "a\x00b\x1b[31m",
    "x" * 100_000,
    "a\u0301" * 50_000,
    "👩‍👩‍👧" * 10_000,
]


def test_hostile_names(sandbox: Sandbox) -> None:
    """Whatever names of segments, authors and columns hold, the page has it as words, cut, and without what would turn
    their order.
    """
    cells = [("2026-03-01", HOSTILE[n % len(HOSTILE)], "", HOSTILE[n % 3], f"t{n}") for n in range(110)]
    page = page_of(sandbox, cells)
    found = safe(page)
    assert len(page) < 200_000
    assert "<script>alert(1)</script>" in found.words
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "\x00" not in page


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.text(max_size=30), st.text(max_size=30), st.just(""), st.text(max_size=9), st.text(max_size=30)),
        min_size=1,
        max_size=20,
    )
)
def test_any_cells(sandbox: Sandbox, cells: list[Cells]) -> None:
    """Any cells give a safe page, or a refusal in words."""
    try:
        page = page_of(sandbox, cells)
    except UploadRefused:
        return
    safe(page)


def test_a_report_without_columns(sandbox: Sandbox) -> None:
    """Without any column there are the shares of all texts, and nothing else."""
    found = safe(page_of(sandbox, some(30), columns=(None,) * 4))
    assert "Of all texts" in found.words
    assert "Who is ahead" not in found.words
    assert "Over time" not in found.words


@pytest.mark.parametrize("bucket", SIZES)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_buckets_cover_all_times(bucket: str, zone: str) -> None:
    """Buckets follow each other without gaps from before the first text to after the last, over a change of clocks."""
    first = datetime(2026, 3, 28, 7, 7, 7, tzinfo=UTC).timestamp()
    last = first + min(SIZES[bucket] * 50, 40 * 86_400)
    borders = edges(first, last, bucket, zone_of(zone))
    assert borders[0] <= first
    assert borders[-1] > last
    gaps = np.diff(borders)
    assert (gaps > 0).all()
    assert math.isclose(float(np.median(gaps)), SIZES[bucket], rel_tol=0.05)
    assert len(borders) < 60 + 86_400 / SIZES[bucket]


def test_chosen_bucket() -> None:
    """The bucket is the shortest that gives no more than 60; one that is asked for may give 2,000."""
    assert chosen(0, 0, None) == "1m"
    assert chosen(0, 3600, None) == "1m"
    assert chosen(0, 9 * 86_400, None) == "6h"
    assert chosen(0, 10 * 366 * 86_400, None) == "1mo"
    assert chosen(0, MOST_BUCKETS * 60, "1m") == "1m"
    with pytest.raises(UploadRefused, match="longer one"):
        chosen(0, MOST_BUCKETS * 60 + 1, "1m")


def test_failure_while_the_rows_come(sandbox: Sandbox) -> None:
    """If the lines cannot be read to their end, there is no report, and the process ends."""

    def broken() -> Iterator[list[object]]:
        yield [0, 0.1, 0.2, 0.7, "x"]
        raise RuntimeError("away")

    with pytest.raises(RuntimeError, match="away"):
        sandbox.report(broken(), msgspec.to_builtins(msgspec.structs.replace(ASKED, columns=(None,) * 4)), 2)
