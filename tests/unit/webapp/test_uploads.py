"""Reading uploads: every type of file, however it is compressed and however its bytes are cut into pieces."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import gevent
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.jobs.job import Entry
from webapp.api.forms import MAX_FIELD_BYTES, MAX_HEADERS_BYTES, MAX_PARTS
from webapp.api.uploads import PIECE_BYTES, read_upload
from webapp.reading.json_files import MAX_JSON_BYTES
from webapp.reading.refusals import InvalidEncoding, MalformedJson, UploadRefused
from webapp.reading.texts import LONGEST_ID, MAX_BLANK_LINES, Limits, Texts

LIMITS = Limits(max_bytes=2**30, max_line_bytes=2**20)
JSON, NDJSON, CSV, PLAIN = "application/json", "application/x-ndjson", "text/csv", "text/plain"
BOM = b"\xef\xbb\xbf"


def opened(
    raw: bytes | Iterable[bytes],
    content_type: str,
    *,
    encoding: str = "",
    limits: Limits = LIMITS,
    query: Mapping[str, str] | None = None,
) -> Texts:
    """The upload, before its entries are iterated."""
    body = [raw] if isinstance(raw, bytes) else raw
    return read_upload(body, content_type=content_type, content_encoding=encoding, query=query or {}, limits=limits)


def read(raw: bytes | Iterable[bytes], content_type: str, **options: Any) -> list[tuple[int, Entry]]:
    """All entries of an upload, with their lines."""
    return list(opened(raw, content_type, **options).entries)


def texts_of(raw: bytes | Iterable[bytes], content_type: str, **options: Any) -> list[str]:
    """The texts of an upload."""
    return [entry.text for _, entry in read(raw, content_type, **options)]


def refused(raw: bytes | Iterable[bytes], content_type: str, **options: Any) -> UploadRefused:
    """The error with which an upload is refused."""
    with pytest.raises(UploadRefused) as caught:
        read(raw, content_type, **options)
    assert str(caught.value).endswith(".")
    return caught.value


def fault(raw: bytes | Iterable[bytes], content_type: str, **options: Any) -> tuple[int, str, int | None]:
    """Status, code and line of the error with which an upload is refused."""
    error = refused(raw, content_type, **options)
    return error.status, error.code, error.line


def part(content: bytes, name: str = "f", filename: str | None = None, content_type: str | None = None) -> bytes:
    """A part of a form with the boundary `b`."""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"'
    head += "" if filename is None else f'; filename="{filename}"'
    head += "" if content_type is None else f"\r\nContent-Type: {content_type}"
    return head.encode() + b"\r\n\r\n" + content + b"\r\n"


FORM = "multipart/form-data; boundary=b"


def form(*parts: bytes) -> bytes:
    """A form of these parts."""
    return b"".join(parts) + b"--b--\r\n"


# Lines


@pytest.mark.parametrize(
    ("raw", "texts"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\nb\r", ["a", "b"]),
        (b"\n\na\n\n", ["", "", "a", ""]),
        (b"\r\n", [""]),
        (BOM + b"a\n" + BOM, ["a", "\ufeff"]),
        (b"a\x00\x0b\x0c\x1c\x85\rb\n".replace(b"\x85", "\x85\u2028".encode()), ["a\x00\x0b\x0c\x1c\x85\u2028\rb"]),
    ],
)
def test_plain_lines(raw: bytes, texts: list[str]) -> None:
    """Each line is a text, an empty one too. A newline ends a line and begins none; only \\n and \\r\\n count as
    newlines.
    """
    assert read(raw, PLAIN) == [(line, Entry(text)) for line, text in enumerate(texts, 1)]


def test_ndjson_lines() -> None:
    """A line is a string or an object with its text and an id; other keys are columns, and blank lines are ignored."""
    raw = (
        b'"a"\n\n{"text": "b", "id": "x", "k": [1]}\r\n \t\r\n'
        b'{"text":"", "id": -7}\n{"id":null,"text":"c"}\n{"text":"d","text":"e"}'
    )
    assert read(raw, NDJSON) == [
        (1, Entry("a")),
        (3, Entry("b", "x", ("x", "[1]"))),
        (5, Entry("", -7, ("-7", ""))),
        (6, Entry("c", None, ("", ""))),
        (7, Entry("e", None, ("", ""))),
    ]


def test_ndjson_lone_surrogates() -> None:
    """An escaped lone surrogate is read as U+FFFD, in the id too; a pair is read as its character."""
    raw = rb'"\ud83d x"' + b"\n" + rb'{"text": "\uDE00", "id": "\ud83d"}' + b"\n" + rb'"\ud83d\ude00"'
    assert read(raw, NDJSON) == [(1, Entry("\ufffd x")), (2, Entry("\ufffd", "\ufffd")), (3, Entry("😀"))]


@pytest.mark.parametrize(
    "content_type", [NDJSON, "application/jsonl", "application/ndjson", "Application/X-NDJSON; charset=UTF-8"]
)
def test_ndjson_types(content_type: str) -> None:
    """NDJSON is recognised under several media types."""
    assert texts_of(b'"a"', content_type) == ["a"]


@pytest.mark.parametrize(
    "line",
    [
        b"a",
        b"1",
        b'["a"]',
        b"{}",
        b'{"text": 1}',
        b'{"text": null, "id": true}',
        b'{"text": "a", "id": true}',
        b'{"text": "a", "id": 1.0}',
        b'{"text": "a", "id": []}',
        b'{"text": "a", "id": 18446744073709551616}',
        b'{"text": "a\\ud83d", "id": 18446744073709551616}',
        b'{"text": "a", "id": "%b"}' % (b"x" * (LONGEST_ID + 1)),
        b'"a" "b"',
        b'{"text": "a"',
        b'"\\ud83d',
        b"[" * 5000,
    ],
    ids=lambda line: f"{line[:40]!r}",
)
def test_ndjson_malformed(line: bytes) -> None:
    """A line that is not a text, or whose id is neither a short string nor an integer, is refused with its number."""
    assert fault(b'"fine"\n\n' + line + b'\n"fine"', NDJSON) == (422, "malformed_line", 3)


def test_ndjson_ids() -> None:
    """The longest and the largest ids are read unchanged."""
    ids = ["x" * LONGEST_ID, "😀" * LONGEST_ID, "", 0, -(2**63), 2**64 - 1]
    raw = "\n".join(json.dumps({"text": "a", "id": entry_id}) for entry_id in ids).encode()
    assert [entry.id for _, entry in read(raw, NDJSON)] == ids


def test_ndjson_blank_lines() -> None:
    """Blank lines are ignored, but not for ever: they pack into next to nothing."""
    assert texts_of(b" \r\n" * 1000 + b'"a"', NDJSON) == ["a"]
    assert fault(itertools.repeat(b"\n" * 10_000), NDJSON) == (422, "malformed_line", MAX_BLANK_LINES + 1)


# CSV


def test_csv() -> None:
    """The other columns are kept in the header's order, and the header is complete."""
    upload = opened(b'when,text,who\n1,"a, ""b""",x\n2,c,\n', CSV)
    assert (upload.columns, upload.text_column) == (("when", "text", "who"), 1)
    assert list(upload.entries) == [(2, Entry('a, "b"', None, ("1", "x"))), (3, Entry("c", None, ("2", "")))]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("end", [True, False])
def test_csv_lines(newline: bytes, end: bool) -> None:
    """A row's line is the one where it begins. Newlines within quotes belong to the text; blank lines are ignored; the
    last line may lack its newline.
    """
    raw = newline.join([b"text,n", b'"a', b"", b'b",1', b"", b"c,2", b'd,"3"']) + (newline if end else b"")
    inner = newline.decode()
    assert read(BOM + raw, CSV) == [
        (2, Entry(f"a{inner}{inner}b", None, ("1",))),
        (6, Entry("c", None, ("2",))),
        (7, Entry("d", None, ("3",))),
    ]


def test_csv_of_one_column() -> None:
    """In a single column a blank line is an empty text."""
    assert read(b'text\na\n\n""\nb\n\n', CSV) == [
        (line, Entry(text)) for line, text in enumerate(["a", "", "", "b", ""], 2)
    ]


def test_csv_column_and_delimiter() -> None:
    """The text's column and the delimiter can be chosen; empty values count as not given."""
    query = {"column": "tweet", "delimiter": "tab"}
    assert read(b"n\ttweet\n1\ta, b\n", CSV, query=query) == [(2, Entry("a, b", None, ("1",)))]
    assert texts_of(b"n;tweet\n1;a, b\n", CSV, query=query | {"delimiter": ";"}) == ["a, b"]
    assert texts_of("n；tweet\n1；a, b\n".encode(), CSV, query=query | {"delimiter": "；"}) == ["a, b"]
    assert texts_of(b"n,text\n1,a\n", CSV, query={"column": "", "delimiter": ""}) == ["a"]


@pytest.mark.parametrize("delimiter", ["ab", '"', "\n", "\r", "\x00", "tabs"])
def test_csv_delimiter_refused(delimiter: str) -> None:
    """A delimiter that is not one suitable character is refused."""
    assert fault(b"text\na", CSV, query={"delimiter": delimiter}) == (422, "invalid_field", None)


def test_csv_id() -> None:
    """The column `id` also gives the entry's id, and stays a column; not if it is the column of the texts."""
    raw = b"id,text\n7,a\n,b\n"
    assert read(raw, CSV) == [(2, Entry("a", "7", ("7",))), (3, Entry("b", "", ("",)))]
    assert read(raw, CSV, query={"column": "id"}) == [(2, Entry("7", None, ("a",))), (3, Entry("", None, ("b",)))]
    assert fault(b"id,text\n%b,a" % (b"x" * (LONGEST_ID + 1)), CSV) == (422, "malformed_line", 2)


def test_csv_unnamed_column() -> None:
    """A column without a name, such as a data frame's index, is kept like any other."""
    assert read(b",text\n0,a\n", CSV) == [(2, Entry("a", None, ("0",)))]


@pytest.mark.parametrize(
    ("raw", "code", "line"),
    [
        (b"text,n,text\n", "malformed_line", 1),
        (b"\ntext\na\n", "malformed_line", 1),
        (b"tweet,n\na,1\n", "unknown_column", 1),
        (b"Text\na\n", "unknown_column", 1),
        (b'"text\na\n', "malformed_line", 1),
        (b'text,n\n"x\ny",1\na\n', "malformed_line", 4),
        (b"text,n\na,1\na,1,2\n", "malformed_line", 3),
        (b'text,n\n"a"b,1\n', "malformed_line", 2),
        (b'text,n\na,1\n"b,2\nc,3\n', "malformed_line", 3),
        (b"text,n\rb,1\n", "malformed_line", 1),
        (b"text,n\nb\rc,1\n", "malformed_line", 2),
        (b'text,n\na,1\n"b\n\xff",2\n', "invalid_encoding", 3),
        (b"te\xffxt\na\n", "invalid_encoding", 1),
    ],
)
def test_csv_refused(raw: bytes, code: str, line: int) -> None:
    """A header without the text's column, and a row that does not fit the header, are refused with the line where they
    begin.
    """
    assert fault(raw, CSV) == (422, code, line)


def test_csv_unknown_column_tells_the_header() -> None:
    """The refusal names the columns that exist, shortened, because in a file without a header they are texts."""
    detail = str(refused(",".join(f"{i}" * 100 for i in range(50)).encode(), CSV))
    assert "`" + "4" * 59 + "…`" in detail
    assert "4" * 60 not in detail


@pytest.mark.parametrize(
    ("columns", "chars", "refused"),
    [(1000, 20, False), (1001, 5, True), (2, 32_764, False), (2, 32_765, True), (41, 20_000, True), (300, 100, False)],
)
def test_csv_header_too_long(columns: int, chars: int, refused: bool) -> None:
    """A header with too many columns, or too many bytes in their names, is refused: every result would repeat it."""
    names = ["text", *(f"{i}".ljust(chars, "x") for i in range(columns - 1))]
    raw = ",".join(names).encode() + b"\n" + b"," * (columns - 1) + b"\n"
    if refused:
        assert fault(raw, CSV) == (422, "header_too_long", 1)
    else:
        assert texts_of(raw, CSV) == [""]


@pytest.mark.parametrize(("delimiter", "name"), [(";", ";"), ("\t", "tab"), ("|", "|")])
def test_csv_of_another_delimiter(delimiter: str, name: str) -> None:
    """A delimiter that the header makes certain is found; one that is asked for, and wrong, is refused with the one
    that the header seems to have.
    """
    raw = f"text{delimiter}n\na{delimiter}1\n".encode()
    upload = opened(raw, CSV)
    assert (upload.columns, upload.found.delimiter) == (("text", "n"), delimiter)
    assert texts_of(raw, CSV) == texts_of(raw, CSV, query={"delimiter": name}) == ["a"]
    assert "delimiter" not in str(refused(raw.replace(delimiter.encode(), b","), CSV, query={"column": "x"}))
    assert "?delimiter=,." in str(refused(b"text,n\na,1\n", CSV, query={"delimiter": name}))


def test_tsv() -> None:
    """Values separated by tabs are a type of their own, by the media type and by the name of a form's file."""
    raw = b"n\ttext\n1\ta, b\n"
    assert texts_of(raw, "text/tab-separated-values") == ["a, b"]
    assert texts_of(form(part(raw, "f", "x.TSV")), FORM) == ["a, b"]
    assert texts_of(raw.replace(b"\t", b";"), "text/tab-separated-values", query={"delimiter": ";"}) == ["a, b"]


def test_csv_blank_lines() -> None:
    """Blank lines are ignored, but not for ever: they pack into next to nothing."""
    assert texts_of(b"text,n\n" + b"\n" * 1000 + b"a,1", CSV) == ["a"]
    assert fault(itertools.chain([b"text,n\n"], itertools.repeat(b"\n" * 10_000)), CSV) == (
        422,
        "malformed_line",
        MAX_BLANK_LINES + 2,
    )


def test_csv_field_limit() -> None:
    """A field that is longer than Python's csv module reads, where the line limit would allow it, is refused as too
    long, not as malformed.
    """
    limit = 1000
    before = csv.field_size_limit(limit)  # it holds for the whole process
    try:
        assert texts_of(b"text\na\n" + b"b" * limit, CSV) == ["a", "b" * limit]
        assert fault(b"text\na\n" + b"b" * (limit + 1), CSV) == (413, "line_too_long", 3)
    finally:
        csv.field_size_limit(before)


# JSON


def test_json() -> None:
    """A JSON body is read whole; an entry's line is its position, from 1."""
    assert read(BOM + b'{"texts": ["a", "", "\\ud83d"]}', JSON) == [
        (1, Entry("a")),
        (2, Entry("")),
        (3, Entry("\ufffd")),
    ]


def test_json_callback() -> None:
    """The callback in a JSON body is an option, and takes precedence over a field of the form around it."""
    raw = b'{"texts": ["a"], "callback_url": "http://x/"}'
    assert opened(raw, JSON).options == {"callback_url": "http://x/"}
    assert opened(b'{"texts": ["a"]}', JSON).options == {}
    assert opened(form(part(b"http://y/", "callback_url"), part(raw, "f", "x.json")), FORM).options == {
        "callback_url": "http://x/"
    }


@pytest.mark.parametrize("raw", [b"", b"nul", b'{"texts": ["a"]', b'{"texts": [' * 5000])
def test_json_malformed(raw: bytes) -> None:
    """What is not JSON is malformed, as in every other request."""
    with pytest.raises(MalformedJson):
        opened(raw, JSON)


@pytest.mark.parametrize(
    "raw", [b"[" * 5000, b'["a", ', b'["a" "b"]', b"[NaN]", b'["\xc3\xa9", nul]', b'["a"] 1', b"[,]"]
)
def test_json_malformed_array(raw: bytes) -> None:
    """An array that is not JSON is malformed, with the position of the item where it is."""
    error = refused(raw, JSON)
    assert (error.status, error.code) == (400, "malformed_json")
    assert error.line in (1, 2)


@pytest.mark.parametrize("raw", [b"{}", b"1", b'{"texts": []}', b'{"texts": [1]}', b'{"texts": ["a"], "column": "x"}'])
def test_json_invalid(raw: bytes) -> None:
    """JSON that is not a batch of texts raises pydantic's error."""
    with pytest.raises(ValidationError):
        opened(raw, JSON)


def test_json_too_large() -> None:
    """A JSON body above its limit is refused, compressed or not, and the message says what to send instead; one at the
    limit is read.
    """
    raw = b'{"texts": ["%b"]}' % (b"a" * (MAX_JSON_BYTES - 15))
    assert len(texts_of(raw, JSON)[0]) == MAX_JSON_BYTES - 15
    for body, encoding in ((raw + b" ", ""), (gzip.compress(raw + b" ", 1), "gzip")):
        error = refused(body, JSON, encoding=encoding)
        assert (error.status, error.code) == (413, "request_entity_too_large")
        assert "NDJSON" in str(error)


# What is common to the types


@pytest.mark.parametrize(
    ("content_type", "raw", "line"),
    [
        (PLAIN, b"a\nb\xff\nc", 2),
        (PLAIN, b"a\nb\xed\xa0\xbd", 2),
        (NDJSON, b'"a"\n"\xff"', 2),
        (NDJSON, b'"a"\n\xff', 2),
        (CSV, b"text\na\n\xff", 3),
    ],
)
def test_invalid_encoding(content_type: str, raw: bytes, line: int) -> None:
    """A line that is not UTF-8 is refused with its number."""
    assert fault(raw, content_type) == (422, "invalid_encoding", line)


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", '"utf-8"', "us-ascii"])
def test_charset(charset: str) -> None:
    """UTF-8 may be declared."""
    assert texts_of("é".encode(), f"text/plain; charset={charset}") == ["é"]


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("", ""),
        ("text/html", ""),
        ("application/gzip", ""),
        ("application/x-www-form-urlencoded", ""),
        ("text/plain; charset=none", ""),
        ("text/csv; charset=zip", ""),
        ("application/json; charset=unicode_escape", ""),
        ("text/plain", "br"),
        ("text/plain", "gzip, gzip"),
    ],
)
def test_unsupported(content_type: str, encoding: str) -> None:
    """Another type, charset or compression is refused."""
    assert fault(b"text", content_type, encoding=encoding) == (415, "unsupported_media_type", None)


@pytest.mark.parametrize(
    ("content_type", "raw"),
    [
        (PLAIN, b""),
        (PLAIN, BOM),
        (NDJSON, b""),
        (NDJSON, b"\n \r\n"),
        (CSV, b""),
        (CSV, b"text"),
        (CSV, b"text,n\n\n\n"),
        (FORM, form(part(b"", filename="a.txt"))),
    ],
)
def test_no_texts(content_type: str, raw: bytes) -> None:
    """An upload without a single text is refused when it ends."""
    assert fault(raw, content_type) == (422, "no_texts", None)


@pytest.mark.parametrize(
    ("content_type", "before", "head", "tail"),
    [(PLAIN, b"", b"", b""), (NDJSON, b"", b'"', b'"'), (CSV, b"text\n", b"", b""), (CSV, b"text\n", b'"\n', b'"')],
)
@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_line_too_long(content_type: str, before: bytes, head: bytes, tail: bytes, newline: bytes) -> None:
    """The limit of a line is exact to the byte, for a CSV row including the newlines in its quotes, whether or not the
    line's end has come.
    """
    limits = Limits(10**6, 100)
    text = b"a" * (100 - len(head) - len(tail))
    assert len(read(before + head + text + tail + newline, content_type, limits=limits)) == 1
    line = before.count(b"\n") + 1
    assert fault(before + head + text + b"a" + tail + newline, content_type, limits=limits) == (
        413,
        "line_too_long",
        line,
    )


def peak_bytes(task: Callable[[], object]) -> int:
    """The most memory that a function holds at once."""
    tracemalloc.start()
    try:
        task()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content_type", "head", "piece", "line"),
    [
        (PLAIN, b"a\n", b"b" * 1000, 2),
        (NDJSON, b'"a"\n"', b"b" * 1000, 2),
        (CSV, b'text\na\n"', b"b" * 1000, 3),
        (CSV, b'text\na\n"', b"\n" * 1000, 3),
        (CSV, b'text\na\n"', b"b,\n" * 1000, 3),
        (CSV, b'"', b"text\n", 1),
    ],
)
def test_a_record_without_end(content_type: str, head: bytes, piece: bytes, line: int) -> None:
    """A line or a quote that never ends is refused at the limit of a line, and takes no more memory than that."""
    limits = Limits(2**40, 100_000)

    def endless() -> None:
        assert fault(itertools.chain([head], itertools.repeat(piece)), content_type, limits=limits) == (
            413,
            "line_too_long",
            line,
        )

    assert peak_bytes(endless) < 1_000_000


def test_quote_without_end_in_a_small_file() -> None:
    """A quote that is still open at the end of the file is an error in the row where it was opened."""
    assert fault(b'text,n\n"a\nb\n",1\n"c\nd\n', CSV) == (422, "malformed_line", 5)


@pytest.mark.parametrize("content_type", [PLAIN, NDJSON, CSV, FORM])
def test_a_long_file_takes_little_memory(content_type: str) -> None:
    """Entries come while the file is still being read: of a long file only a few pieces are in memory."""
    record = b'"' + b"a" * 97 + b'"\n'
    heads = {CSV: b"text\n", FORM: part(b"", filename="a.ndjson")[:-2]}
    body = itertools.chain(
        [heads.get(content_type, b"")], itertools.repeat(record * 1000, 50), [b"\r\n--b--" * (content_type == FORM)]
    )

    def count() -> None:
        assert sum(1 for _ in opened(body, content_type).entries) == 50_000

    assert peak_bytes(count) < 1_500_000


@pytest.mark.parametrize(
    ("content_type", "pieces", "needed"),
    [
        (PLAIN, [b"a\n", b"b\n"], 1),
        (NDJSON, [b'"a"\n', b'"b"\n'], 1),
        (CSV, [b"te", b"xt\na\n", b"b"], 2),
        (FORM, [part(b"x", "model"), part(b"", filename="a.txt")[:-2], b"a\n", b"\r\n--b--"], 3),
    ],
)
def test_reads_no_more_than_it_needs(content_type: str, pieces: list[bytes], needed: int) -> None:
    """Until the entries are iterated, only what comes before them is read; the first piece, which shows whether the
    file is packed; and of NDJSON the first line, whose keys are columns.
    """
    taken = 0

    def body() -> Iterator[bytes]:
        nonlocal taken
        for piece in pieces:
            taken += 1
            yield piece

    upload = opened(body(), content_type)
    assert taken == needed
    assert list(upload.entries)
    assert taken == len(pieces)


@pytest.mark.parametrize("content_type", [PLAIN, NDJSON, CSV, FORM])
def test_errors_of_the_body(content_type: str) -> None:
    """Errors that the body raises are passed on."""

    def body() -> Iterator[bytes]:
        yield {CSV: b"text\n", FORM: part(b"", filename="a.txt")}.get(content_type, b'"a"\n')
        raise ConnectionError

    with pytest.raises(ConnectionError):
        read(body(), content_type)


def test_bytes_as_sent() -> None:
    """An upload may be as large as the limit and no larger, in one piece or in many."""
    limits = Limits(1000, 100)
    raw = b"a" * 99 + b"\n"
    assert len(read([raw] * 10, PLAIN, limits=limits)) == 10
    for body in ([raw] * 10 + [b"a"], [raw * 10 + b"a"], itertools.repeat(raw)):
        assert fault(body, PLAIN, limits=limits) == (413, "request_entity_too_large", None)
    assert fault(itertools.chain([b"text\n"], itertools.repeat(raw)), CSV, limits=limits) == (
        413,
        "request_entity_too_large",
        None,
    )
    assert fault([b'{"texts": ["%b"]}' % raw[:99]] * 10, JSON, limits=limits) == (413, "request_entity_too_large", None)


# gzip


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_gzip(encoding: str) -> None:
    """All members of a gzip body are decompressed one after another, empty ones too, however the body is cut."""
    raw = b"".join(gzip.compress(data) for data in (b"", b"a\nb", b"", b"c\n", b"d"))
    for size in (1, 2, 19, 1000):
        assert texts_of([raw[i : i + size] for i in range(0, len(raw), size)], PLAIN, encoding=encoding) == [
            "a",
            "bc",
            "d",
        ]


PACKED = gzip.compress(b"a\n" * 100, mtime=0)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"a\n",
        *(PACKED[:end] for end in range(1, len(PACKED))),
        PACKED + b"\0",
        PACKED + b"a\n",
        PACKED + PACKED[:12],
        PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:],
        PACKED[:-1] + b"\1",
    ],
    ids=lambda raw: f"{len(raw)}:{raw[-4:]!r}",
)
def test_malformed_gzip(raw: bytes) -> None:
    """What is not gzip, is cut off, is damaged, or is followed by something else is refused."""
    assert fault(raw, PLAIN, encoding="gzip") == (422, "malformed_gzip", None)


def test_gzip_bomb() -> None:
    """A file is decompressed piece by piece, and no further than to the limit."""
    bomb = gzip.compress((b"a" * 99 + b"\n") * 1_000_000, 9)
    assert len(bomb) < 1_000_000
    limits = Limits(4_000_000, 1000)

    def detonate() -> None:
        entries = opened(bomb, PLAIN, encoding="gzip", limits=limits).entries
        assert sum(1 for _ in itertools.islice(entries, 39_000)) == 39_000
        with pytest.raises(UploadRefused, match="4000000 bytes"):
            sum(1 for _ in entries)

    assert peak_bytes(detonate) < 1_000_000


def test_unpacked_bytes() -> None:
    """The decompressed bytes may be as many as the limit and no more."""
    limits = Limits(1000, 1000)
    assert len(read(gzip.compress(b"a\n" * 500), PLAIN, encoding="gzip", limits=limits)) == 500
    assert fault(gzip.compress(b"a\n" * 500 + b"a"), PLAIN, encoding="gzip", limits=limits) == (
        413,
        "request_entity_too_large",
        None,
    )


# Forms


@pytest.mark.parametrize(
    ("filename", "content_type", "content"),
    [
        ("x", JSON, b'{"texts": ["a"]}'),
        ("x", NDJSON, b'"a"'),
        ("x", "Text/CSV; charset=utf-8", b"text\na"),
        ("x", PLAIN, b"a"),
        ("x.csv", PLAIN, b"a"),
        ("x.json", None, b'{"texts": ["a"]}'),
        ("x.ndjson", None, b'"a"'),
        ("x.JSONL", "application/octet-stream", b'"a"'),
        ("my x.y.csv", "application/vnd.ms-excel", b"text\na"),
        ("x.txt", "", b"a"),
        ("x.csv.gz", "application/gzip", gzip.compress(b"text\na")),
        ("x.csv.GZ", None, gzip.compress(b"text\na")),
        ("x.ndjson.gz", None, gzip.compress(b'"a"')),
        ("x.json.gz", "application/octet-stream", gzip.compress(b'{"texts": ["a"]}')),
        ("x.csv.gz", CSV, gzip.compress(b"text\na")),
        ("x.csv", "application/gzip", gzip.compress(b"text\na")),
        ("x.csv", "Application/X-GZIP", gzip.compress(b"text\na")),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_form_file(filename: str, content_type: str | None, content: bytes) -> None:
    """A file's type is told by its part's header, else by its name; it is decompressed if either says gzip."""
    raw = form(part(content, "f", filename, content_type))
    assert texts_of(raw, FORM) == ["a"]
    assert texts_of(gzip.compress(raw), "Multipart/Form-Data; Boundary=b", encoding="gzip") == ["a"]


@pytest.mark.parametrize(
    ("filename", "content_type"),
    [
        ("x", None),
        ("x.docx", None),
        ("csv", ""),
        ("x.gz", "application/gzip"),
        ("x.pdf", "application/pdf"),
        ("x.csv", "text/csv; charset=idna"),
    ],
)
def test_form_file_unsupported(filename: str, content_type: str | None) -> None:
    """A file whose type is told by neither its part's header nor its name is refused."""
    assert fault(form(part(b"text", "f", filename, content_type)), FORM) == (415, "unsupported_media_type", None)


def test_form_fields() -> None:
    """Fields before the file say how to read it, and take precedence over the query; empty ones are ignored, whatever
    they are called and wherever they stand.
    """
    fields = [
        part(b"", "csrf"),
        part(b"Good\nnews", "name"),
        part(b"tweet", "column"),
        part(b"tab", "delimiter"),
        part(b"http://x/\xc3\xa9", "callback_url"),
        part(b"", "other", filename=""),
    ]
    file = part(b"text\ttweet\nx\ta", "f", "x.csv")
    upload = opened(
        form(*fields, file, part(b"", "csrf"), part(b"", "column")), FORM, query={"column": "nope", "delimiter": ";"}
    )
    assert (upload.columns, upload.text_column, upload.options) == (
        ("text", "tweet"),
        1,
        {"callback_url": "http://x/é", "name": "Good\nnews"},
    )
    assert list(upload.entries) == [(2, Entry("a", None, ("x",)))]
    upload = opened(form(part(b"", "column"), part(b"", "callback_url"), file), FORM, query={"delimiter": "tab"})
    assert (upload.text_column, upload.options) == (0, {})


def test_form_field_after_the_file() -> None:
    """A form whose file lacks the column that is read is refused with a hint that fields go before the file; in other
    uploads there is no such hint.
    """
    file = part(b"tweet,n\na,1", "f", "x.csv")
    assert "before the file" in str(refused(form(file, part(b"tweet", "column")), FORM))
    assert texts_of(form(part(b"tweet", "column"), file), FORM) == ["a"]
    assert "file" not in str(refused(b"tweet,n\na,1", CSV))


TXT = part(b"a", "f", "x.txt")


@pytest.mark.parametrize(
    ("raw", "content_type", "says"),
    [
        (form(), FORM, "no file"),
        (form(part(b"a")), FORM, "`f`, which has no meaning here. Besides the file, a part with a file name"),
        (form(part(b"", "f", "")), FORM, "no file"),
        (form(TXT, part(b"", "g", "y.txt")), FORM, "second file"),
        (form(TXT, part(b"x", "column")), FORM, "`column` comes after"),
        (form(TXT, part(b"x", "name")), FORM, "`name` comes after"),
        (form(TXT, part(b"x", "modle")), FORM, "`modle`, which has no meaning here"),
        (form(part(b"x", "g").replace(b'; name="g"', b""), TXT), FORM, "has a field without a name"),
        (form(TXT, part(b"x", "g").replace(b'; name="g"', b"")), FORM, "has a field without a name"),
        (form(part(b"x" * 100_000, "modle"), TXT), FORM, "`modle`, which has no meaning here"),
        (form(part(b"x" * (MAX_FIELD_BYTES + 1), "callback_url"), TXT), FORM, "`callback_url` has more"),
        (form(part(b"\xff", "column"), TXT), FORM, "`column` is not UTF-8"),
        (form(*[part(b"", "y")] * MAX_PARTS, TXT), FORM, f"{MAX_PARTS} parts"),
        (form(part(b"a", "x" * 2 * MAX_HEADERS_BYTES, "x.txt")), FORM, "headers"),
        (b"x" * 2 * MAX_HEADERS_BYTES + form(TXT), FORM, "outside the parts"),
        (form(TXT) + b"x" * 2 * MAX_HEADERS_BYTES, FORM, "outside the parts"),
        (form(TXT)[:-5], FORM, "cut off"),
        (TXT[:-5], FORM, "cut off"),
        (b"", FORM, "cut off"),
        (b"a", FORM, "cut off"),
        (form(TXT.replace(b"Content-Disposition", b"X")), FORM, "not multipart/form-data"),
        (form(TXT.replace(b"x.txt", b"\xff.txt")), FORM, "not multipart/form-data"),
        (form(TXT), "multipart/form-data", "boundary"),
        (form(TXT), 'multipart/form-data; boundary=""', "boundary"),
        (form(TXT), 'multipart/form-data; boundary="é"', "boundary"),
        (form(TXT), f"multipart/form-data; boundary={'b' * 71}", "boundary"),
    ],
    ids=range(26),
)
def test_malformed_multipart(raw: bytes, content_type: str, says: str) -> None:
    """A form without exactly one file, or with options that come too late, are too large or broken, is refused with the
    reason.
    """
    error = refused(raw, content_type)
    assert (error.status, error.code, error.line) == (422, "malformed_multipart", None)
    assert says in str(error)


def test_form_headers_without_end() -> None:
    """Headers that never end are refused before they hold much memory."""

    def endless() -> None:
        assert refused(itertools.chain([TXT[:20]], itertools.repeat(b"x" * 1000)), FORM).code == "malformed_multipart"

    assert peak_bytes(endless) < 10 * MAX_HEADERS_BYTES


def test_form_second_file_is_seen_after_the_first() -> None:
    """A second file is refused only after the first file's entries, because a stream cannot know earlier."""
    entries = opened(form(part(b"one\ntwo\n", "f", "x.txt"), TXT), FORM).entries
    assert [entry.text for _, entry in itertools.islice(entries, 2)] == ["one", "two"]
    with pytest.raises(UploadRefused):
        next(entries)


# Any upload

# Characters with a meaning in one of the formats, and any others except surrogates.
texts = st.lists(
    st.text(
        st.sampled_from('-b\r\n",;\t\\ \x00\x85\u2028a😀\ufeff') | st.characters(exclude_categories=["Cs"]), max_size=20
    ),
    min_size=1,
)
names = st.text(st.sampled_from('a",;\n ') | st.characters(exclude_categories=["Cs"]), max_size=5) | st.just("id")


@st.composite
def cut(draw: st.DrawFn, raw: bytes) -> list[bytes]:
    """The bytes in pieces."""
    if draw(st.booleans()):
        size = draw(st.integers(1, 50))
        return [raw[i : i + size] for i in range(0, len(raw), size)]
    ends = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    return [raw[start:end] for start, end in itertools.pairwise([0, *ends, len(raw)])]


def read_any_way(data: st.DataObject, raw: bytes, content_type: str, **query: str) -> list[Entry]:
    """The entries of a file that is sent in any of the possible ways."""
    if data.draw(st.booleans(), "BOM"):
        raw = BOM + raw
    assume(raw.count(BOM, 0, 3) == 0 or raw.startswith(BOM))
    encoding = ""
    packed = data.draw(st.booleans(), "packed")
    if data.draw(st.booleans(), "form"):
        boundary = data.draw(
            st.sampled_from(["b", "--", "----WebKitFormBoundary-", "\"'()+_,-./:=? b"]), "boundary"
        ).replace('"', "")
        filename = "f.gz" if packed else "f"
        content = gzip.compress(raw) if packed else raw
        assume(boundary.encode() not in content)
        fields = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in query.items()
        )
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="{filename}"\r\n'
            f"Content-Type: {content_type}\r\n\r\n"
        )
        raw = (fields + head).encode() + content + f"\r\n--{boundary}--\r\n".encode()
        content_type, query = f'multipart/form-data; boundary="{boundary}"', {}
    elif packed:
        raw, encoding = gzip.compress(raw), "gzip"
    pieces = data.draw(cut(raw), "pieces")
    return [entry for _, entry in read(pieces, content_type, encoding=encoding, query=query)]


@settings(deadline=None)
@given(st.data(), texts, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_any_plain(data: st.DataObject, lines: list[str], newline: str, end: bool) -> None:
    """Plain lines are read as they were sent."""
    lines = [line.replace("\n", "").rstrip("\r") for line in lines]
    assume(end or lines[-1] != "")
    raw = newline.join(lines) + (newline if end else "")
    assume(not raw.startswith("\ufeff"))
    assume("\n" in raw or "\r" not in raw)  # lines that end as on old Macs
    assert read_any_way(data, raw.encode(), PLAIN) == [Entry(line) for line in lines]


@settings(deadline=None)
@given(st.data(), texts, st.booleans(), st.sampled_from(["\n", "\r\n", "\n \n"]))
def test_any_ndjson(data: st.DataObject, values: list[str], ascii_only: bool, newline: str) -> None:
    """Strings, and objects with ids, are read as they were sent."""
    ids = st.none() | st.text(max_size=20) | st.integers(-(2**63), 2**64 - 1)
    entries = [Entry(text, data.draw(ids)) for text in values]
    lines = [
        json.dumps(entry.text if entry.id is None else {"id": entry.id, "text": entry.text}, ensure_ascii=ascii_only)
        for entry in entries
    ]
    raw = newline.join(lines) + data.draw(st.sampled_from(["", newline]))
    assert read_any_way(data, raw.encode(), NDJSON) == entries


@settings(deadline=None)
@given(st.data(), st.lists(names, min_size=1, max_size=4, unique=True), st.sampled_from(["\n", "\r\n"]))
def test_any_csv(data: st.DataObject, header: list[str], newline: str) -> None:
    """Texts, ids and columns are read as they were sent, whatever the header and the delimiter."""
    text_column = data.draw(st.integers(0, len(header) - 1), "text column")
    delimiter = data.draw(
        st.sampled_from(",;\t|a ") | st.characters(categories=["L", "N", "P", "S"], exclude_characters='"'), "delimiter"
    )
    assume(header[text_column] != "" and not header[0].startswith("\ufeff"))
    rows = data.draw(
        st.lists(st.lists(texts.map("".join), min_size=len(header), max_size=len(header)), min_size=1, max_size=5),
        "rows",
    )
    file = io.StringIO(newline="")
    # If the line terminator is \n alone, Python 3.11's writer does not quote a \r, as it should.
    quote_all = newline == "\n" or data.draw(st.booleans(), "quote all")
    csv.writer(
        file, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    ).writerows([header, *rows])
    raw = file.getvalue()
    if data.draw(st.booleans(), "last newline") and raw != "text" + newline:
        raw = raw.removesuffix(newline)
    has_id = "id" in header and header[text_column] != "id"
    expected = [
        Entry(
            row[text_column],
            row[header.index("id")] if has_id else None,
            tuple(row[:text_column] + row[text_column + 1 :]),
        )
        for row in rows
    ]
    assume(not has_id or all(len(str(entry.id)) <= LONGEST_ID for entry in expected))
    assert read_any_way(data, raw.encode(), CSV, column=header[text_column], delimiter=delimiter) == expected


@settings(deadline=None)
@given(st.data(), texts, st.booleans())
def test_any_json(data: st.DataObject, values: list[str], ascii_only: bool) -> None:
    """The texts of a JSON body are read as they were sent."""
    raw = json.dumps({"texts": values}, ensure_ascii=ascii_only).encode()
    assert read_any_way(data, raw, JSON) == [Entry(value) for value in values]


FRAGMENTS = [
    *(
        b'"',
        b"\n",
        b"\r",
        b"\r\n",
        b",",
        b"text",
        b"text,n\n",
        b"a,1\n",
        b"\\",
        b"\\ud83d",
        b"\xff",
        b"\0",
        b"{",
        b"}",
        b"[",
        b"]",
        BOM,
    ),
    *(
        b'{"text": ',
        b'"id": ',
        b'{"texts": ["a"',
        b"1e999",
        b"NaN",
        b"a" * 30,
        b"--",
        b"--b",
        b"--b--",
        b"\r\n--b--\r\n",
    ),
    *(
        part(b"", "column"),
        part(b"", "f", "a.csv"),
        part(b"", "f", "a.txt.gz", "text/plain"),
        PACKED,
        PACKED[:10],
        PACKED[10:],
    ),
    *(b"Content-Disposition:", b"Content-Type: text/csv; charset*=", b"; filename*0*=utf-8''%"),
]
hostile = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=5), max_size=15).map(b"".join)


@settings(deadline=None, max_examples=500)
@given(hostile, st.sampled_from([JSON, NDJSON, CSV, PLAIN, FORM]), st.sampled_from(["", "gzip", "packed"]), st.data())
def test_any_bytes(raw: bytes, content_type: str, encoding: str, data: st.DataObject) -> None:
    """Any bytes are either read as entries or refused, and the result is the same however they are cut."""
    if encoding == "packed":
        raw, encoding = gzip.compress(raw), "gzip"
    limits = Limits(3000, 100)

    def outcome(pieces: list[bytes]) -> tuple[list[tuple[int, Entry]], object]:
        entries: list[tuple[int, Entry]] = []
        try:
            for entry in opened(pieces, content_type, encoding=encoding, limits=limits).entries:
                entries.append(entry)
        except UploadRefused as error:
            return entries, (error.status, error.code, error.line)
        except (InvalidEncoding, MalformedJson, ValidationError) as error:
            return entries, type(error)
        json.dumps([entry.text for _, entry in entries], ensure_ascii=False).encode()  # what is read can be sent back
        return entries, None

    assert outcome(data.draw(cut(raw), "pieces")) == outcome([raw])


@settings(deadline=None)
@given(
    st.text(max_size=30)
    | st.sampled_from([FORM, PLAIN]).flatmap(lambda t: st.text(max_size=10).map(lambda tail: t + ";" + tail)),
    st.text(max_size=8),
)
def test_any_headers(content_type: str, encoding: str) -> None:
    """Whatever the headers, an upload is read or refused; nothing else is raised."""
    with suppress(UploadRefused):
        read(b"a", content_type, encoding=encoding)


def test_others_have_turns_while_a_file_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pieces of an unpacked file others are served, however few packed bytes it comes from."""
    monkeypatch.setattr(time, "sleep", gevent.sleep)  # as Gunicorn's worker does
    turns = 0

    def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    greenlet = gevent.spawn(other)
    try:
        size = 100 * PIECE_BYTES
        raw = gzip.compress(b'"' + b"a" * 1000 + b'"' + b" " * size)
        assert len(read(raw, NDJSON, encoding="gzip", limits=Limits(2**30, max_line_bytes=2**30))) == 1
    finally:
        greenlet.kill()
    assert turns >= 100
