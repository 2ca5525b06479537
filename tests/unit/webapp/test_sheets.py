"""Spreadsheets, zip files and Parquet as uploads: what is read, and what is refused before it costs anything."""

from __future__ import annotations

import datetime
import fcntl
import io
import os
import struct
import time
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import TooManyFiles
from tasks.jobs.job import Entry
from tests.support.sheets import cell, handmade, xlsx, zipped
from webapp.api.uploads import PIECE_BYTES, read_upload
from webapp.reading.refusals import UploadRefused
from webapp.reading.texts import Limits, Texts
from webapp.sandbox.cells import as_text
from webapp.sandbox.process import Sandbox

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
LIMITS = Limits(max_bytes=64 * 2**20, max_line_bytes=2**20)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A sandbox with a folder of its own."""
    folder = tmp_path_factory.mktemp("data") / "uploads"
    return Sandbox(folder, max_bytes=LIMITS.max_bytes, max_line_bytes=LIMITS.max_line_bytes)


def opened(sandbox: Sandbox, raw: bytes, content_type: str = XLSX, **query: str) -> Texts:
    """The upload, before its entries are iterated."""
    pieces = (raw[start : start + PIECE_BYTES] for start in range(0, len(raw), PIECE_BYTES))
    return read_upload(
        pieces, content_type=content_type, content_encoding="", query=query, limits=LIMITS, unpack=sandbox.unpack
    )


def texts_of(sandbox: Sandbox, raw: bytes, content_type: str = XLSX, **query: str) -> list[str]:
    """The texts of an upload."""
    return [entry.text for _, entry in opened(sandbox, raw, content_type, **query).entries]


def refused(sandbox: Sandbox, raw: bytes, content_type: str = XLSX, **query: str) -> UploadRefused:
    """Why an upload is refused."""
    with pytest.raises(UploadRefused) as refusal:
        list(opened(sandbox, raw, content_type, **query).entries)
    return refusal.value


def test_rows_of_a_spreadsheet(sandbox: Sandbox) -> None:
    """Rows come with their numbers in the sheet, ids by the column `id`, other columns as text; the sheet is told."""
    upload = opened(sandbox, xlsx({"Reviews": [["id", "text", "stars"], ["a", "good", 5], ["b", "bad", 1.5]]}))
    assert list(upload.entries) == [(2, Entry("good", "a", ("a", "5"))), (3, Entry("bad", "b", ("b", "1.5")))]
    assert (upload.columns, upload.text_column, upload.found.sheet) == (("id", "text", "stars"), 1, "Reviews")


@pytest.mark.parametrize("name", ["reviews.xlsx", "reviews.csv", "reviews"])
def test_contents_tell_what_it_is(sandbox: Sandbox, name: str) -> None:
    """A spreadsheet in a form is read as one, whatever its name and type say."""
    raw = xlsx({"S": [["text"], ["good"]]})
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: text/csv\r\n\r\n'
    form = head.encode() + raw + b"\r\n--b--\r\n"
    assert texts_of(sandbox, form, "multipart/form-data; boundary=b") == ["good"]


def test_ods_and_xlsb_are_read_by_their_contents(sandbox: Sandbox) -> None:
    """OpenDocument is read as Excel's files are, with its repeated cells and rows."""
    table = (
        '<table:table table:name="Blatt"><table:table-row><table:table-cell office:value-type="string"><text:p>text'
        '</text:p></table:table-cell></table:table-row><table:table-row table:number-rows-repeated="2">'
        '<table:table-cell office:value-type="string"><text:p>gut</text:p></table:table-cell></table:table-row>'
        '<table:table-row table:number-rows-repeated="1048573"><table:table-cell'
        ' table:number-columns-repeated="16384"/></table:table-row></table:table>'
    )
    names = "urn:oasis:names:tc:opendocument:xmlns"
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content xmlns:office="{names}:office:1.0"'
        f' xmlns:table="{names}:table:1.0" xmlns:text="{names}:text:1.0"><office:body><office:spreadsheet>{table}'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    kind = b"application/vnd.oasis.opendocument.spreadsheet"
    raw = zipped({"mimetype": kind, "content.xml": content.encode(), "META-INF/manifest.xml": b"<x/>"})
    upload = opened(sandbox, raw, kind.decode())
    assert ([entry.text for _, entry in upload.entries], upload.found.sheet) == (["gut", "gut"], "Blatt")


def test_sheet_with_the_column_is_read(sandbox: Sandbox) -> None:
    """Of several sheets, the one that has the column is read, wherever it stands; a hidden one only if it is named."""
    notes = [["About these reviews"], ["collected in May"]]
    raw = xlsx({"Notes": notes, "Data": [["text"], ["good"]], "Old": [["text"], ["old"]]}, hidden=["Old"])
    upload = opened(sandbox, raw)
    assert ([entry.text for _, entry in upload.entries], upload.found.sheet) == (["good"], "Data")
    assert texts_of(sandbox, raw, sheet="Old") == ["old"]
    assert texts_of(sandbox, raw, sheet=" data") == ["good"]
    assert texts_of(sandbox, raw, sheet="2") == ["good"]


def test_two_sheets_with_the_column_are_not_guessed_at(sandbox: Sandbox) -> None:
    """If several sheets have the column, none is chosen in silence: the refusal lists them."""
    raw = xlsx({"Jan": [["text"], ["a"]], "Feb": [["text"], ["b"]], "Mar": [["text"], ["c"]]})
    error = refused(sandbox, raw)
    assert (error.status, error.code) == (422, "unknown_sheet")
    assert "`Jan`, `Feb`, `Mar`" in str(error)
    assert "?sheet=" in str(error)
    assert texts_of(sandbox, raw, sheet="Feb") == ["b"]


def test_unknown_sheet_is_answered_with_the_nearest(sandbox: Sandbox) -> None:
    """A misspelt sheet is refused with the name that is most like it, and all names."""
    error = refused(sandbox, xlsx({"Reviews": [["text"], ["a"]], "Notes": [["x"], ["y"]]}), sheet="Reveiws")
    assert error.code == "unknown_sheet"
    assert "Do you mean `Reviews`?" in str(error)
    assert "`Reviews`, `Notes`" in str(error)


def test_missing_column_names_the_sheet(sandbox: Sandbox) -> None:
    """If no sheet has the column, the refusal says of which sheet its columns are, and which others there are."""
    error = refused(sandbox, xlsx({"A": [["body"], ["it was all very nice"]], "B": [["y"], ["z"]]}))
    assert error.code == "unknown_column"
    assert "This is the sheet `A`. Others are `B`" in str(error)
    assert "`body` looks like texts" in str(error)


def test_empty_rows_and_columns_around_a_table(sandbox: Sandbox) -> None:
    """A table may begin anywhere; empty rows are no lines, and an empty cell of the column is an empty text."""
    rows: list[list[object]] = [[], [None, None, "text", "n"], [], [None, None, "good", 1], [], [None, None, None, 2]]
    upload = opened(sandbox, xlsx({"S": rows}))
    assert list(upload.entries) == [(4, Entry("good", None, ("1",))), (6, Entry("", None, ("2",)))]


def test_title_above_the_header_is_skipped(sandbox: Sandbox) -> None:
    """`skip` counts rows of the sheet; without a header a column goes by its number, A being 1, even if A is empty."""
    raw = xlsx({"S": [["Report"], [], ["n", "text"], [1, "good"]]})
    assert texts_of(sandbox, raw, skip="2") == ["good"]
    assert texts_of(sandbox, xlsx({"S": [[None, "good", 1], [None, "bad", 2]]}), header="false", column="2") == [
        "good",
        "bad",
    ]


def test_options_without_effect_are_refused(sandbox: Sandbox) -> None:
    """A delimiter of a spreadsheet and a sheet of a CSV file are refused."""
    raw = xlsx({"S": [["text"], ["good"]]})
    assert "`delimiter` has no effect on a spreadsheet" in str(refused(sandbox, raw, delimiter=";"))
    assert "`sheet` has no effect on a CSV file" in str(refused(sandbox, b"text\ngood\n", "text/csv", sheet="S"))
    assert "`sheet`" in str(refused(sandbox, zipped({"a.csv": b"text\ngood\n"}), sheet="S"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "TRUE"),
        (5.0, "5"),
        (-0.25, "-0.25"),
        (1e300, "1e+300"),
        (float("nan"), "nan"),
        (datetime.date(2024, 1, 31), "2024-01-31"),
        (datetime.datetime(2024, 1, 31, 13, 45), "2024-01-31 13:45:00"),
        (datetime.time(13, 45), "13:45:00"),
        (datetime.timedelta(hours=36, seconds=5), "36:00:05"),
        (datetime.timedelta(seconds=-5), "-00:00:05"),
        (["a", {"b": 1}], '["a",{"b":1}]'),
        ("PT36H00M05S", "36:00:05"),
        ("PT1H2M3.5S", "01:02:03"),
        ("PTO was denied", "PTO was denied"),
    ],
)
def test_cells_as_text(value: object, text: str) -> None:
    """Cells of every type become what a person reads there."""
    assert as_text(value) == text


def test_dates_errors_and_formulas(sandbox: Sandbox) -> None:
    """Dates are dates, not Excel's numbers; an error of a formula is an empty text, not a word that is scored."""
    import xlsxwriter

    out = io.BytesIO()
    book = xlsxwriter.Workbook(out)
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["text", "day", "at", "yes"])
    sheet.write_formula(1, 0, "=1/0", None, "#DIV/0!")
    sheet.write_datetime(1, 1, datetime.date(2024, 1, 31), book.add_format({"num_format": "dd.mm.yyyy"}))
    sheet.write_datetime(1, 2, datetime.datetime(2024, 1, 31, 13, 45), book.add_format({"num_format": "d/m h:mm"}))
    sheet.write_boolean(1, 3, False)
    sheet.write_formula(2, 0, '="go"&"od"', None, "good")
    sheet.merge_range(2, 1, 2, 2, "merged")
    book.close()
    assert [entry for _, entry in opened(sandbox, out.getvalue()).entries] == [
        Entry("", None, ("2024-01-31", "2024-01-31 13:45:00", "FALSE")),
        Entry("good", None, ("merged", "", "")),
    ]


_CELLS = st.one_of(
    st.none(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=30),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.lists(_CELLS, min_size=3, max_size=3), min_size=1, max_size=8), by_openpyxl=st.booleans())
def test_any_table_comes_back(sandbox: Sandbox, rows: Sequence[Sequence[object]], by_openpyxl: bool) -> None:
    """Whatever table is written by openpyxl or XlsxWriter is read row for row."""
    header: list[object] = ["text", "a", "b", "c"]
    below: list[list[object]] = [[f"x{number}", *row] for number, row in enumerate(rows)]
    if by_openpyxl:
        out = io.BytesIO()
        book = openpyxl.Workbook()
        for number, row in enumerate([header, *below], 1):
            for place, value in enumerate(row, 1):
                if value is not None:
                    made = book.active.cell(number, place, value)
                    made.data_type = "s" if isinstance(value, str) else "n"
        book.save(out)
        raw = out.getvalue()
    else:
        raw = xlsx({"S": [header, *below]})
    got = [(entry.text, *entry.columns) for _, entry in opened(sandbox, raw).entries]
    assert len(got) == len(below)
    for mine, theirs in zip(got, below, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            if isinstance(other, str) or other is None:
                assert one == (other or "")
            else:
                assert float(one) == pytest.approx(other, rel=1e-14)


def test_zip_of_one_file(sandbox: Sandbox) -> None:
    """A zip file of one file is read as that file, which may be a spreadsheet; what systems add does not count."""
    raw = zipped(
        {
            "a/reviews.csv": b"text;n\ngood;1\n",
            "__MACOSX/a/._reviews.csv": b"x",
            "a/.DS_Store": b"x",
            "Desktop.ini": b"x",
        }
    )
    upload = opened(sandbox, raw, "application/zip")
    assert ([entry.text for _, entry in upload.entries], upload.found.file) == (["good"], "reviews.csv")
    assert upload.found.delimiter == ";"
    inside = opened(sandbox, zipped({"r.xlsx": xlsx({"S": [["text"], ["good"]]})}), "application/zip")
    assert ([entry.text for _, entry in inside.entries], inside.found.sheet) == (["good"], "S")


def test_case_of_a_zip_file(sandbox: Sandbox) -> None:
    """The zip file among the files that people brought is read."""
    raw = (Path(__file__).resolve().parents[2] / "cases" / "reviews.zip").read_bytes()
    assert texts_of(sandbox, raw, "application/zip") == ["Good"]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.csv": b"text\nx\n", "b.csv": b"text\ny\n"}, "This is a zip file that holds 2 files (`a.csv`, `b.csv`)"),
        ({}, "holds 0 files"),
        ({"a.zip": zipped({"a.csv": b"text\nx\n"})}, "holds a zip file"),
        ({"a.png": b"\x89PNG"}, "must end in one of"),
        ({"a.csv.gz": b"\x1f\x8b\x08"}, "a zip file that holds `a.csv.gz`, and that is gzip; send what is in it"),
        ({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<x/>"}, "a document, but no spreadsheet"),
    ],
)
def test_other_zips_are_refused_with_what_they_are(sandbox: Sandbox, files: dict[str, bytes], says: str) -> None:
    """A zip file that does not hold one file of texts is refused, and the refusal says what it holds."""
    assert says in str(refused(sandbox, zipped(files), "application/zip"))


def test_damaged_and_locked_files(sandbox: Sandbox) -> None:
    """Cut, damaged and encrypted files, and files that only their name makes spreadsheets, are refused clearly."""
    whole = xlsx({"S": [["text"], ["good"]]})
    assert refused(sandbox, whole[: len(whole) // 2]).code == "unreadable_file"
    locked = bytearray(zipped({"a.csv": b"text\nx\n"}))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(mark) + flags] |= 1
    assert "password" in str(refused(sandbox, bytes(locked), "application/zip"))
    assert "it is none of them" in str(refused(sandbox, b"id;text", "application/vnd.ms-excel"))
    assert refused(sandbox, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 4096).code == "unreadable_file"


def test_without_a_sandbox_packed_files_are_refused() -> None:
    """Where nothing unpacks files, a spreadsheet is refused as a type that is not read."""
    with pytest.raises(UploadRefused) as refusal:
        read_upload([xlsx({"S": [["text"]]})], content_type=XLSX, content_encoding="", query={}, limits=LIMITS)
    assert refusal.value.status == 415


def _zeros(size: int, said: int | None = None) -> bytes:
    """A zip file of a file of zeros, which says that it has another size."""
    out = io.BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as archive, archive.open("a.csv", "w") as file:
        for _ in range(size >> 20):
            file.write(b"0" * (1 << 20))
    raw = bytearray(out.getvalue())
    if said is not None:
        struct.pack_into("<I", raw, raw.index(b"PK\x01\x02") + 24, said)
    return bytes(raw)


def test_zip_bombs_are_refused_before_they_are_unpacked(sandbox: Sandbox) -> None:
    """A zip file that says that it is too large costs nothing; one that lies is not read beyond what it says."""
    error = refused(sandbox, _zeros(128 << 20), "application/zip")
    assert (error.status, error.code) == (413, "request_entity_too_large")
    assert "Unpacked, the file would have 134217728 bytes" in str(error)
    assert refused(sandbox, _zeros(128 << 20, said=1000), "application/zip").code == "unreadable_file"


_HOSTILE = {
    "its last cell is the last one that there is": handmade(
        [f'<row r="1">{cell("A1", "text")}</row><row r="1048576">{cell("XFD1048576", "x")}</row>']
    ),
    "it says that it has four billion strings": handmade(
        ['<row r="1"><c r="A1" t="s"><v>0</v></c></row>'], ["<si><t>text</t></si>"], count=4_000_000_000
    ),
    "one long string in a million cells": handmade(
        ['<row><c t="s"><v>0</v></c></row>' * 100_000] * 5, [f"<si><t>{'x' * 100_000}</t></si>"]
    ),
    "entities in entities": handmade(
        ["</sheetData></worksheet>", '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>', cell("A1", "&b;")]
    ),
}


@pytest.mark.parametrize("why", _HOSTILE)
def test_hostile_spreadsheets_end_their_own_process_alone(sandbox: Sandbox, why: str) -> None:
    """A spreadsheet that would take any amount of memory is refused within seconds, and the next one is read."""
    began_at = time.monotonic()
    error = refused(sandbox, _HOSTILE[why])
    assert error.status in (413, 422)
    assert time.monotonic() - began_at < 60
    assert texts_of(sandbox, xlsx({"S": [["text"], ["good"]]})) == ["good"]


def test_wide_sheets_and_long_rows_are_refused(sandbox: Sandbox) -> None:
    """A sheet of too many columns, or a row of too many bytes, is refused with its number."""
    assert refused(sandbox, xlsx({"S": [["text", *range(1000)]]})).code == "header_too_long"
    error = refused(sandbox, xlsx({"S": [["text", *map(str, range(40))], ["x", *["y" * 32_000] * 40]]}))
    assert (error.code, error.line) == ("line_too_long", 2)


def test_nothing_is_left_behind(sandbox: Sandbox, tmp_path: Path) -> None:
    """While a file is read it has no name that others could open, and afterwards nothing is left but the empty lock."""
    box = Sandbox(tmp_path / "uploads", max_bytes=LIMITS.max_bytes, max_line_bytes=LIMITS.max_line_bytes)
    upload = opened(box, xlsx({"S": [["text"], *([f"text {number}"] for number in range(20_000))]}))
    assert next(upload.entries)[1].text == "text 0"
    folder = tmp_path / "uploads"
    assert [(path.name, path.stat().st_size) for path in folder.iterdir()] == [("turn", 0)]
    assert folder.stat().st_mode & 0o077 == 0
    del upload
    assert texts_of(box, xlsx({"S": [["text"], ["good"]]})) == ["good"]  # its turn has come: the first one has ended


def test_files_wait_for_their_turn(tmp_path: Path) -> None:
    """Spreadsheets of one folder are read one after the other; who waits for too long is told to come back later. Zip
    files of texts need no turn.
    """
    box = Sandbox(tmp_path, max_bytes=LIMITS.max_bytes, max_line_bytes=LIMITS.max_line_bytes, wait_s=1)
    raw = xlsx({"S": [["text"], ["good"]]})
    assert texts_of(box, raw) == ["good"]
    with (tmp_path / "turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        with pytest.raises(TooManyFiles):
            opened(box, raw)
        assert texts_of(box, zipped({"a.csv": b"text\ngood\n"}), "application/zip") == ["good"]
    assert texts_of(box, raw) == ["good"]


def test_few_files_are_read_at_once(tmp_path: Path) -> None:
    """A ninth file at the same time is refused until one of the eight is done or given up."""
    box = Sandbox(tmp_path, max_bytes=LIMITS.max_bytes, max_line_bytes=LIMITS.max_line_bytes)
    raw = zipped({"a.csv": b"text\n" + b"".join(os.urandom(500).hex().encode() + b"\n" for _ in range(400))})
    uploads = [opened(box, raw, "application/zip") for _ in range(8)]
    with pytest.raises(TooManyFiles):
        opened(box, raw, "application/zip")
    del uploads[3]
    assert len(texts_of(box, raw, "application/zip")) == 400


def test_secrets_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that parses a file has none of the service's keys and passwords in its environment."""
    monkeypatch.setenv("API_KEYS", "ann:secret")
    seen: list[dict[str, str]] = []
    import subprocess

    real = subprocess.Popen

    def started(*arguments: object, **options: dict[str, str]) -> object:
        seen.append(options["env"])
        return real(*arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", started)
    box = Sandbox(tmp_path / "uploads", max_bytes=LIMITS.max_bytes, max_line_bytes=LIMITS.max_line_bytes)
    assert texts_of(box, xlsx({"S": [["text"], ["good"]]})) == ["good"]
    assert "API_KEYS" in os.environ
    assert not {name for name in seen[0] if "KEY" in name or "REDIS" in name or "SECRET" in name}


def test_parquet(sandbox: Sandbox) -> None:
    """Parquet is read by its column names; null is an empty text, other types are text."""
    table = pyarrow.table(
        {"text": ["good", None], "n": [1, 2], "at": [datetime.datetime(2024, 1, 31, 13, 45), None], "l": [["a"], []]}
    )
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    assert [entry for _, entry in opened(sandbox, out.getvalue(), "application/vnd.apache.parquet").entries] == [
        Entry("good", None, ("1", "2024-01-31 13:45:00", '["a"]')),
        Entry("", None, ("2", "", "[]")),
    ]
    assert refused(sandbox, b"PAR1" + b"x" * 100 + b"PAR1", "text/csv").code == "unreadable_file"


def test_parts_of_structures_in_parquet(sandbox: Sandbox) -> None:
    """A path leads to a part of a structure, as in JSON; where the column is at the top, structures stay whole."""
    table = pyarrow.table({"review": [{"text": "good", "by": {"name": "Ann"}}, None], "n": [1, 2]})
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out)
    upload = opened(sandbox, out.getvalue(), "application/vnd.apache.parquet", column="review.text")
    assert [entry for _, entry in upload.entries] == [Entry("good", None, ("Ann", "1")), Entry("", None, ("", "2"))]
    assert upload.columns == ("review.text", "review.by.name", "n")
    assert "`review.text` (" in str(refused(sandbox, out.getvalue(), "application/vnd.apache.parquet"))
    whole = opened(sandbox, out.getvalue(), "application/vnd.apache.parquet", column="review")
    assert next(whole.entries)[1].text == '{"text":"good","by":{"name":"Ann"}}'


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the memory of a process is read from /proc")
def test_memory_of_a_large_sheet(sandbox: Sandbox) -> None:
    """A spreadsheet of 100,000 rows takes less than 300 MB in its own process, and next to nothing in this one."""
    text = "word " * 20
    rows = (f"<row>{cell('', f'{text}{number}')}<c><v>{number}</v></c></row>" for number in range(100_000))
    raw = handmade(chain([f"<row>{cell('', 'text')}{cell('', 'n')}</row>"], rows))
    before, others = _peak_kb(os.getpid()), _children()
    upload = opened(sandbox, raw)
    assert sum(1 for _ in islice(upload.entries, 99_000)) == 99_000
    (child,) = _children() - others
    assert 30_000 < _peak_kb(child) < 300_000
    assert sum(1 for _ in upload.entries) == 1000
    assert _peak_kb(os.getpid()) - before < 20_000


def _children() -> set[int]:
    return set(map(int, Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()))


def _peak_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def written(sandbox: Sandbox, rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """What openpyxl reads of a spreadsheet that the sandbox wrote."""
    raw = b"".join(sandbox.workbook(rows))
    return [list(row) for row in openpyxl.load_workbook(io.BytesIO(raw)).active.iter_rows(values_only=True)]


def test_written_cells_are_never_formulas(sandbox: Sandbox) -> None:
    """Strings are written as strings, whatever they begin with, and numbers as numbers; a cut text shows it."""
    rows: list[list[object]] = [
        ["text", "score"],
        ["=1+1", 0.5],
        ["https://x.y", None],
        ["@SUM(A1)", 1],
        ["007", 2],
        ["x" * 40_000, 3],
    ]
    got = written(sandbox, rows)
    assert got[:5] == rows[:5]
    assert got[5] == ["x" * 32_766 + "…", 3]
    book = openpyxl.load_workbook(io.BytesIO(b"".join(sandbox.workbook(rows))))
    assert not any(cell.data_type == "f" for row in book.active.iter_rows() for cell in row)
    assert not any(cell.hyperlink for row in book.active.iter_rows() for cell in row)


def test_any_sign_can_be_written(sandbox: Sandbox) -> None:
    """Signs of control, halves of escapes and signs that XML has no form for leave the spreadsheet readable."""
    texts = ["".join(map(chr, range(1, 160))), "_x0041_ _x000D_", "a\ufffe\uffffb", "\U0001f600" * 20_000, "  two  "]
    raw = b"".join(sandbox.workbook([["text"], *([text] for text in texts)]))
    got = texts_of(sandbox, raw)
    assert got[1:3] == ["_x0041_ _x000D_", "a\ufffd\ufffdb"]
    assert got[3] == "\U0001f600" * 16_383 + "…"
    assert got[4] == "  two  "
    assert len(openpyxl.load_workbook(io.BytesIO(raw)).active["A"]) == 6


def test_failure_while_writing_is_raised_before_anything_is_sent(sandbox: Sandbox) -> None:
    """What goes wrong with a row is raised by the call, so that the caller gets an error and not half a file."""

    def rows() -> Iterator[list[object]]:
        yield ["text"]
        raise LookupError

    with pytest.raises(LookupError):
        sandbox.workbook(rows())
