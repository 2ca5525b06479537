"""Looking through a job's lines: which are found, in which order, and how much is done for one request."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.jobs.job import Entry, Header, Job, Line
from tasks.store.outcomes import Failed, Outcome, Scored
from webapp.pages import looking
from webapp.pages.looking import LOOK_LINES, LOOK_S, NO_LABEL, ROWS, Wanted, confidence_of, look

SCORES = ((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.3, 0.6))


def job_of(count: int) -> Job:
    """A job of a file with a column of versions."""
    return Job(
        id="1" * 32,
        created_at=1.0,
        expires_at=2.0,
        chunk_size=3,
        window=4,
        total=count,
        header=Header(("text", "version"), 0),
    )


def line(place: int, outcome: Outcome | None, text: str = "") -> Line:
    """A line of it."""
    return Line(place, Entry(text or f"Text number {place}", None, (f"4.{place % 2}",)), outcome, "m", cached=False)


def lines(count: int, start: int = 0) -> Iterator[Line]:
    """Lines with each label in turn; every seventh has failed."""
    for place in range(start, count):
        yield line(place, Failed("empty_text") if place % 7 == 6 else Scored(SCORES[place % 3], False))


def all_of(count: int, wanted: Wanted) -> list[int]:
    """The positions of the first page, as the page of files puts it together from parts."""
    found: list[Line] = []
    start = 0
    while start < count:
        part = look(job_of(count), lines(count, start), start, wanted)
        assert start < part.end <= count
        found += part.lines
        start = part.end
        if wanted.order == "file" and len(found) >= ROWS:
            break
    if wanted.order != "file":
        sign = 1 if wanted.order == "least" else -1
        found.sort(key=lambda one: (sign * (confidence_of(one) or 0.0), one.position))
    return [one.position for one in found[:ROWS]]


def test_filters() -> None:
    """Lines are found by label, or that they have none; by segment; and by words in any case."""
    job = job_of(42)

    def positions(wanted: Wanted) -> list[int]:
        return [one.position for one in look(job, lines(42), 0, wanted).lines]

    assert positions(Wanted(label="NEGATIVE")) == [n for n in range(42) if n % 3 == 0 and n % 7 != 6]
    assert positions(Wanted(label=NO_LABEL)) == [6, 13, 20, 27, 34, 41]
    assert positions(Wanted(segment=1, value="4.1")) == list(range(1, 42, 2))
    assert positions(Wanted(words="NUMBER 3")) == [3, *range(30, 40)]
    assert list(look(job, lines(42), 0, Wanted(segment=1)).values) == ["4.0", "4.1"]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 400), st.sampled_from(["file", "least", "most"]), st.integers(1, 90))
def test_parts_make_the_page(count: int, order: looking.Order, most: int) -> None:
    """However small the parts are that one request looks at, together they give the page that one look would give."""
    wanted = Wanted(order=order, words="1")
    whole = all_of(count, wanted)
    found: list[Line] = []
    start = 0
    while start < count and not (order == "file" and len(found) >= ROWS):
        some = (one for one in lines(min(count, start + most), start))
        part = look(job_of(count), some, start, wanted)
        found += part.lines
        start = part.end
    if order != "file":
        sign = 1 if order == "least" else -1
        found.sort(key=lambda one: (sign * (confidence_of(one) or 0.0), one.position))
    assert [one.position for one in found[:ROWS]] == whole


@pytest.mark.parametrize("order", ["least", "most"])
def test_pages_in_order(order: looking.Order) -> None:
    """Page after page gives every line with a label once, by confidence, and lines that are equally sure as in the
    file.
    """
    seen: list[tuple[float, int]] = []
    after = None
    while True:
        found = look(job_of(200), lines(200), 0, Wanted(order=order, after=after)).lines
        if not found:
            break
        seen += [(confidence_of(one) or 0.0, one.position) for one in found]
        after = seen[-1]
    sign = 1 if order == "least" else -1
    assert seen == sorted(seen, key=lambda one: (sign * one[0], one[1]))
    assert [position for _, position in sorted(seen, key=lambda one: one[1])] == [n for n in range(200) if n % 7 != 6]


def test_one_request_looks_for_so_long() -> None:
    """A request that has looked for LOOK_S ends and says where, though nothing was found; it gets on by a line."""
    clock = map(float, itertools.count())
    wanted = Wanted(words="nowhere")
    looked = look(job_of(LOOK_LINES), lines(LOOK_LINES, 5), 5, wanted, lambda: next(clock) * LOOK_S / 3)
    assert (looked.lines, looked.end) == ([], 9)
    assert look(job_of(9), lines(9, 5), 5, wanted, lambda: next(clock) * LOOK_S * 9).end == 6
