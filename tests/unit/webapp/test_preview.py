"""Previews of files: what is seen of a table before anybody says which column has the texts, and which columns are
likely to be what.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import pytest

from webapp.api.uploads import read_upload
from webapp.pages.preview import Preview, preview, suggested
from webapp.reading.lines import whole_lines
from webapp.reading.refusals import UploadRefused
from webapp.reading.texts import Found, Limits

LIMITS = Limits(2**24, 2**20)
CSV = "Nr;posted;review\n1;2026-03-01;I like it a lot, really\n2;2026-03-02;It is bad and it is slow\n"


def seen(data: bytes, kind: str = "text/csv", *, cut: bool = False, **query: str) -> Preview:
    """The preview of a file."""

    def read(found: Found) -> object:
        return read_upload(
            iter([data]), content_type=kind, content_encoding="", query=query, limits=LIMITS, found=found, cut=cut
        )

    return preview(read, Found(), cut=cut)  # type: ignore[arg-type]


def test_the_column_that_looks_like_texts() -> None:
    """Without a column `text`, a preview shows the table and takes the column that looks like texts, as a guess."""
    found = seen(CSV.encode())
    assert found.names == ("Nr", "posted", "review")
    assert found.rows[1] == ("2", "2026-03-02", "It is bad and it is slow")
    assert (found.text, found.is_guess, found.found.delimiter) == (2, True, ";")


def test_the_column_that_is_asked_for() -> None:
    """The column that is asked for has the texts, and is no guess; its cells stand where they do in the file."""
    found = seen(CSV.encode(), column="posted")
    assert (found.text, found.is_guess, found.rows[0]) == (1, False, ("1", "2026-03-01", "I like it a lot, really"))


def test_a_first_row_that_is_no_header() -> None:
    """A first row with a number or date in it is said to look like a text; columns that are numbers are not."""
    assert seen(b"1,I like it a lot\n2,It is bad and slow\n").is_bare
    assert not seen(b"1,I like it a lot\n2,It is bad and slow\n", header="false").is_bare
    assert not seen(CSV.encode()).is_bare


@pytest.mark.parametrize(
    ("data", "kind", "names", "row"),
    [
        (b"good\nbad\n", "text/plain", ("text",), ("good",)),
        (b'{"text": "good", "id": 5}\n', "application/x-ndjson", ("id", "text"), ("5", "good")),
        (b'{"text": "good", "stars": 5}\n', "application/x-ndjson", ("text", "stars"), ("good", "5")),
        (b'[{"a": 1, "body": "it is good and fine"}]', "application/json", ("a", "body"), ("1", "it is good and fine")),
    ],
)
def test_other_kinds(data: bytes, kind: str, names: Sequence[str], row: Sequence[str]) -> None:
    """Lines and JSON are shown as tables, too."""
    found = seen(data, kind)
    assert (found.names, found.rows[0], found.names[found.text or 0] if found.is_guess else "") == (
        names,
        row,
        "body" if "body" in names else "",
    )


def test_what_is_cut_is_no_fault() -> None:
    """The beginning of a file is read up to its last whole line, whatever its encoding, and packed, too: neither a
    character nor a quote that is cut is a fault. A file that is whole is refused for the same.
    """
    rows = "text;n\n" + "".join(f'"sehr schön, Nummer {n}";{n}\n' for n in range(400))
    for data in (rows.encode(), rows.encode("utf-16"), rows.encode("cp1252")):
        for length in range(9000, 9030):
            assert len(seen(data[:length], cut=True).rows) == 10
    short = rows.encode()[:48]
    assert seen(short, cut=True).rows == (("sehr schön, Nummer 0", "0"),)
    with pytest.raises(UploadRefused):
        seen(short)
    packed = gzip.compress(rows.encode())
    form = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv.gz"\r\n\r\n'
        + packed[: len(packed) - 200]
        + b"\r\n--x--\r\n"
    )
    assert len(seen(form, "multipart/form-data; boundary=x", cut=True).rows) == 10


def test_whole_lines_however_it_is_cut() -> None:
    """What is left of a cut file does not depend on how its bytes come in, and is never more than there was."""
    data = "a line\nand ä\nhalf a lin".encode() * 20_000
    for size in (1000, 65_536, 10**7):
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        assert b"".join(whole_lines(pieces)) == data[: data.rindex(b"\n") + 1]
    assert b"".join(whole_lines(["äö".encode()[:3]])) == "ä".encode()
    assert b"".join(whole_lines([])) == b""


def test_likely_columns() -> None:
    """Times, segments and labels are found by their columns' names, and only where the cells are such."""
    names = ("created_at", "app version", "airline_sentiment", "review", "date")
    rows = [("2026-03-01 12:00", "4.2", "negative", "It is bad", "no date"), ("", "4.1", "positive", "Good", "x")]
    assert suggested(names, rows, 3) == {"time": "created_at", "segment": "app version", "label": "airline_sentiment"}
    assert suggested(("time", "label", "text"), [("soon", "five stars", "good")], 2) == {}
    assert suggested(("topic", "topic", "text"), [("a", "b", "good")], 2) == {}
