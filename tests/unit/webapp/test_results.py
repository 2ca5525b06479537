"""A job's lines in the forms that callers get: how large a page and a piece are, and what CSV must not do."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.analysis import Analysis
from tasks.jobs.job import Entry, Header, Job, Line
from tasks.store.outcomes import Failed, Scored
from webapp.api.results import PAGE_BYTES, csv_file, json_page, ndjson
from webapp.reading.texts import MAX_COLUMNS

JOB = Job(id="1" * 32, created_at=1.0, expires_at=2.0, chunk_size=3, window=4, total=10_000)
GOOD = Scored((0.1, 0.2, 0.7), False)
PIECE = 64 * 1024
Pieces = Callable[[Job, Iterable[Line]], Iterator[bytes]]


def unknown(_: str | None) -> dict[str, bool]:
    """What is said of a model of which nothing is known."""
    return {}


def as_csv(job: Job, lines: Iterable[Line]) -> Iterator[bytes]:
    """CSV as callers get it if they ask for nothing else."""
    return csv_file(job, lines, unknown, raw=False)


def as_ndjson(job: Job, lines: Iterable[Line]) -> Iterator[bytes]:
    """NDJSON of a model of which nothing is known."""
    return ndjson(job, lines, unknown)


def table(job: Job, lines: Iterable[Line], *, raw: bool = False) -> list[list[str]]:
    """The rows of a CSV file of results."""
    return list(csv.reader(io.StringIO(b"".join(csv_file(job, lines, unknown, raw=raw)).decode(), newline="")))


def job_with(*names: str, text: int = 0) -> Job:
    """A job of a CSV file with these columns."""
    return Job(id="1" * 32, created_at=1.0, expires_at=2.0, chunk_size=3, window=4, header=Header(names, text))


class Lines:
    """Many lines, four times as many as a page may have, of which it is known how many were taken."""

    def __init__(self, job: Job, entry: Entry) -> None:
        self.taken = 0
        self._entry = entry
        one = Line(0, entry, GOOD, "m", cached=False)
        self.line_bytes = len(orjson.dumps(json_page(job, [one], unknown)))
        self._total = 1 + 4 * PAGE_BYTES // self.line_bytes

    def __iter__(self) -> Iterator[Line]:
        while self.taken < self._total:
            self.taken += 1
            yield Line(self.taken - 1, self._entry, GOOD, "m", cached=False)


WIDE = job_with("text", *(f"{i:03}".ljust(32, "\x01") for i in range(MAX_COLUMNS - 1)))


@pytest.mark.parametrize(
    ("job", "entry"),
    [
        (JOB, Entry("short")),
        (JOB, Entry("\x01" * 500_000)),  # six bytes each in JSON
        (JOB, Entry("", "\x01" * 256)),
        (WIDE, Entry("", None, ("",) * (MAX_COLUMNS - 1))),
    ],
    ids=["short", "control characters", "ids", "names of columns"],
)
def test_a_page_has_few_bytes(job: Job, entry: Entry) -> None:
    """A page of JSON ends soon after its limit of bytes, whatever its lines are, and no further line is read."""
    lines = Lines(job, entry)
    items = json_page(job, lines, unknown)
    assert PAGE_BYTES <= len(orjson.dumps(items)) <= PAGE_BYTES + lines.line_bytes + 10 * len(items)
    assert len(items) == lines.taken


def test_a_page_has_a_line() -> None:
    """A page has one line at least, so that whoever follows `next` comes to the end; and none if there is none."""
    line = Line(0, Entry("x" * (PAGE_BYTES + 1)), GOOD, "m", cached=False)
    assert len(json_page(JOB, [line, line], unknown)) == 1
    assert json_page(JOB, [], unknown) == []


@pytest.mark.parametrize("write", [as_ndjson, as_csv])
@pytest.mark.parametrize(
    ("job", "entry"),
    [(JOB, Entry("short")), (JOB, Entry("\x01" * 500_000)), (WIDE, Entry("", None, ("",) * (MAX_COLUMNS - 1)))],
    ids=["short", "control characters", "names of columns"],
)
def test_a_slow_reader_holds_one_piece(write: Pieces, job: Job, entry: Entry) -> None:
    """Each piece of a stream is made when it is asked for, and ends soon after its limit of bytes."""
    lines = Lines(job, entry)
    before = 0
    for piece in islice(write(job, lines), 3):
        assert len(piece) <= PIECE + lines.line_bytes
        assert 0 < lines.taken - before <= PIECE // 20
        before = lines.taken


lines_of = st.lists(
    st.builds(
        Line,
        st.integers(0, 99),
        st.builds(Entry, st.text(max_size=40_000)),
        st.sampled_from([GOOD, Failed("text_failed"), None]),
        st.just("m"),
        cached=st.booleans(),
    ),
    max_size=9,
)


@given(lines_of)
def test_pieces_are_whole(lines: list[Line]) -> None:
    """Pieces together are one line of NDJSON, or one row of CSV below the header, for each line of the job."""
    assert [json.loads(line)["text"] for line in b"".join(as_ndjson(JOB, lines)).splitlines()] == [
        line.entry.text for line in lines
    ]
    assert [row[0] for row in table(JOB, lines, raw=True)] == ["text", *(line.entry.text for line in lines)]


# Formulas

DANGEROUS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=cmd|'/c calc'!A1", "\uff1d1", "="]


@pytest.mark.parametrize("cell", DANGEROUS)
def test_no_formulas(cell: str) -> None:
    """A cell of the caller's that a spreadsheet would take for a formula has a quote before it: text, id or column."""
    line = Line(0, Entry(cell, None, (cell, "5-3")), GOOD, "m", cached=False)
    assert table(job_with("a", "text", "b", text=1), [Line(0, Entry(cell, None, (cell, "5-3")), GOOD, "m", False)])[1][
        :3
    ] == ["'" + cell, "'" + cell, "5-3"]
    assert table(job_with("text", "a", "b"), [line], raw=True)[1][:3] == [cell, cell, "5-3"]
    with_ids = Job(id="1" * 32, created_at=1.0, expires_at=2.0, chunk_size=3, window=4, has_ids=True)
    assert table(with_ids, [Line(0, Entry("a", cell), GOOD, "m", cached=False)])[1][:2] == ["'" + cell, "a"]
    assert table(job_with("text", cell), [])[0][1] == "'" + cell


@pytest.mark.parametrize("cell", ["", "a", "'=1", "1-1", " =1", "\xe9=", "5"])
def test_harmless_cells_stay(cell: str) -> None:
    """Every other cell is as it was sent."""
    assert table(job_with("text", "a"), [Line(0, Entry(cell, None, (cell,)), GOOD, "m", False)])[1][:2] == [cell, cell]


# Names

SPAM = Analysis("spam", ("TEXT", "LABEL", "SENTIQ_TEXT"))


@pytest.mark.parametrize(
    ("job", "own", "renamed"),
    [
        (job_with("text", "label"), ["text", "label"], ["sentiq_label"]),
        (job_with("text", "label", "sentiq_label"), ["text", "label", "sentiq_label"], ["sentiq_sentiq_label"]),
        (job_with("text", "sentiq_label"), ["text", "sentiq_label"], ["label"]),
        (job_with("text", "=a", "'=a"), ["text", "'=a", "sentiq_'=a"], ["label"]),
        (
            Job(id="1" * 32, created_at=1.0, expires_at=2.0, chunk_size=3, window=4, analysis=SPAM),
            ["text"],
            ["label", "sentiq_text", "score_label", "sentiq_sentiq_text"],
        ),
    ],
    ids=["ours", "ours twice", "of a like name", "by the quote", "classes"],
)
def test_no_two_columns_have_one_name(job: Job, own: list[str], renamed: list[str]) -> None:
    """Whatever the upload's columns and the classes are called, every column has a name of its own."""
    (names,) = table(job, [])
    assert len(set(names)) == len(names)
    assert names[: len(own)] == own
    assert set(renamed) <= set(names)
