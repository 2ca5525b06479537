"""Files as people have them, read as what they are: encodings, dialects of CSV, shapes of JSON.

`tests/cases` has a smallest file of each kind that once failed.
"""

from __future__ import annotations

import csv
import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.jobs.job import Entry
from tasks.wording import in_words
from webapp.api.uploads import read_upload
from webapp.reading.encodings import codec_of
from webapp.reading.guess import guessed_encoding
from webapp.reading.reader import ENDINGS
from webapp.reading.refusals import UploadRefused
from webapp.reading.texts import Limits, Texts

CASES = Path(__file__).resolve().parents[2] / "cases"
LIMITS = Limits(max_bytes=2**30, max_line_bytes=2**20)
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".txt": "text/plain",
}
BOM = b"\xef\xbb\xbf"


def opened(raw: bytes, ending: str = ".csv", *, charset: str = "", piece_bytes: int = 2**20, **asked: Any) -> Texts:
    """The file, sent in pieces."""
    pieces = [raw[start : start + piece_bytes] for start in range(0, len(raw), piece_bytes)]
    content_type = MEDIA_TYPES[ending] + (f"; charset={charset}" if charset else "")
    return read_upload(pieces, content_type=content_type, content_encoding="", query=asked, limits=LIMITS)


def entries(raw: bytes, ending: str = ".csv", **asked: Any) -> list[Entry]:
    """Its entries; they are the same if the bytes come one by one."""
    whole = list(opened(raw, ending, **asked).entries)
    assert list(opened(raw, ending, piece_bytes=1, **asked).entries) == whole
    return [entry for _, entry in whole]


def texts(raw: bytes, ending: str = ".csv", **asked: Any) -> list[str]:
    """Its texts."""
    return [entry.text for entry in entries(raw, ending, **asked)]


def refusal(raw: bytes, ending: str = ".csv", **asked: Any) -> UploadRefused:
    """Why it is refused; for the same reason if the bytes come one by one."""
    found = []
    for piece_bytes in (2**20, 1):
        with pytest.raises(UploadRefused) as caught:
            list(opened(raw, ending, piece_bytes=piece_bytes, **asked).entries)
        found.append(caught.value)
    assert str(found[0]) == str(found[1])
    assert found[0].line == found[1].line
    return found[0]


# Every case


RIGHT: dict[str, tuple[dict[str, str], list[str]]] = {
    "inner_quote.csv": ({"quote": "none"}, ["Fine", '"fast" they said', "Fine"]),
    "backslash_quote.csv": ({"escape": "\\"}, ['He said "great", I disagree', "Fine"]),
    "cp1252.csv": ({}, ["The café is great – loved it", "Never again"]),
    "utf16_play_console.csv": ({"column": "Review Text"}, ["Works well", "Crashes on start"]),
    "body.ndjson": ({"column": "body"}, ["Good", "Bad"]),
    "array_of_strings.json": ({}, ["Good", "Bad"]),
    "array_of_objects.json": ({}, ["Good", "Bad"]),
    "data_text.json": ({"column": "data.text"}, ["Good", "Bad"]),
    "lines_named_text.json": ({}, ["Good", "Bad"]),
    "null.ndjson": ({}, ["Good", "", "Bad"]),
    "extra_keys.ndjson": ({}, ["Good"]),
    "empty_names.csv": ({"column": "v2"}, ["See you at nine", "Thank you so much"]),
    "no_header.csv": ({"header": "false", "column": "6"}, ["I love my new phone", "I hate Mondays"]),
    "semicolon.csv": ({}, ["Sehr gut, danke", "Never again"]),
    "tab.tsv": ({}, ["Good", "Bad"]),
    "bom_semicolon.csv": ({}, ["Très bien ❤"]),
    "many_columns.csv": ({"column": "Question 11: how do you feel about topic number 11?"}, ["Good"]),
    "ragged.csv": ({"on_error": "line"}, ["Good", "2,Slow, cold, late", "Fine"]),
    "emoji.txt": ({}, ["👎", "🤬", "🥰", "🙂"]),
}
ELSEWHERE = {"predict_latin1.json", "predict_bom.json", "reviews.zip"}
"""Bodies of /predict, and what other tests unpack."""


def test_every_case_has_its_outcome() -> None:
    """No file of the cases is forgotten."""
    assert {path.name for path in CASES.iterdir()} == RIGHT.keys() | ELSEWHERE


@pytest.mark.parametrize("name", RIGHT)
def test_cases(name: str) -> None:
    """Each file is read, with the option that it needs."""
    asked, right = RIGHT[name]
    assert texts((CASES / name).read_bytes(), Path(name).suffix, **asked) == right


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("inner_quote.csv", "?quote=none"),
        ("backslash_quote.csv", "?escape=\\"),
        ("ragged.csv", "?on_error=line"),
    ],
)
def test_refusals_name_the_option(name: str, says: str) -> None:
    """A file that needs an option is refused with the line and the option."""
    asked = {"delimiter": "tab"} if name == "inner_quote.csv" else {}
    error = refusal((CASES / name).read_bytes(), Path(name).suffix, **asked)
    assert (error.code, says in str(error)) == ("malformed_line", True), error
    assert error.line == {"inner_quote.csv": 3, "backslash_quote.csv": 2, "ragged.csv": 3}[name]


@pytest.mark.parametrize(
    "raw", [b"1", b"{}", b"[1]", b'[{"a": 1}]', b'{"data": 1}', b'{"data": [1]}', b'"a" 1', b"[[]]"]
)
def test_no_class_of_ours_is_named(raw: bytes) -> None:
    """What is wrong with JSON is said in words of JSON."""
    with pytest.raises((UploadRefused, ValidationError)) as caught:
        list(opened(raw, ".json").entries)
    error = caught.value
    said = [in_words(one["msg"]) for one in error.errors()] if isinstance(error, ValidationError) else [str(error)]
    assert not re.search("BatchRequest|Entry|instance|_Batch|Dictionary|dict", " ".join(said))


# Encodings


TEXT = "id,text\n1,Très bien – l’été à l’hôtel était superbe\n2,Déjà vu et très déçue\n3,Ça va être génial\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("charset", ["", "utf-8", "windows-1252"])
def test_byte_order_marks_decide(encoding: str, charset: str) -> None:
    """A file with a byte order mark is read by it, whatever is declared, and the answer says so."""
    raw = ("\ufeff" + TEXT).encode(encoding) if encoding[-2:] in ("le", "be") else TEXT.encode(encoding)
    upload = opened(raw, charset=charset)
    assert [entry.text for _, entry in upload.entries][1] == "Déjà vu et très déçue"
    assert (upload.found.encoding, upload.found.guessed, upload.found.bom) == (encoding[:6].rstrip("-s"), False, True)


@pytest.mark.parametrize(
    "encoding", ["cp1252", "iso-8859-15", "cp850", "mac_roman", "utf-16-le", "utf-32-be", "cp1250"]
)
def test_declared(encoding: str) -> None:
    """An encoding is read if it is declared, by the option or by the media type."""
    text = TEXT.replace("à", "a").replace("è", "e").replace("ê", "e").replace("’", "'").replace("–", "-")
    text = text.replace("ù", "u").replace("û", "u")
    right = [row["text"] for row in csv.DictReader(io.StringIO(text))]
    assert texts(text.encode(encoding), encoding=encoding) == right
    upload = opened(text.encode(encoding), charset=encoding)
    assert [entry.text for _, entry in upload.entries] == right
    assert upload.found.guessed is False


def test_declared_by_a_web_name() -> None:
    """Names of encodings as media types have them are known; what is none of texts is not."""
    assert codec_of("windows-1252") == "cp1252"
    assert codec_of("ISO-8859-1") == codec_of("latin1")
    assert codec_of("Shift_JIS") == codec_of("x-sjis") == "shift_jis"
    for name in (
        "zip",
        "hex",
        "rot13",
        "idna",
        "punycode",
        "unicode_escape",
        "utf-7",
        "undefined",
        "mbcs",
        "x" * 9999,
        "",
    ):
        assert codec_of(name) is None, name
    error = refusal(b"text\na\n", encoding="zip")
    assert (error.code, "`encoding`" in str(error)) == ("invalid_field", True)


def test_utf8_is_not_read_as_what_it_is_not() -> None:
    """UTF-8 that is declared in an encoding of one byte a character is read as UTF-8, and the answer says so: else it
    would be scored as mojibake. One pair of bytes is no proof.
    """
    for charset in ("iso-8859-1", "windows-1252", "koi8-r"):
        upload = opened(TEXT.encode(), charset=charset)
        assert "Déjà vu et très déçue" in [entry.text for _, entry in upload.entries]
        assert upload.found.encoding == "utf-8"
    assert texts("text\nMENÜ“\n".encode("cp1252"), encoding="cp1252") == ["MENÜ“"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Très bien, déjà vu. L’hôtel était très agréable"),
        ("cp1252", "Sehr schön, für mich die größte Überraschung"),
        ("cp1252", "¿Por qué tardó tanto? El niño está contento"),
        ("cp1252", "Don’t waste your money – it’s awful"),
        ("cp1250", "Bardzo dobrze, świetnie! Źle uszyte, będę reklamować"),
        ("cp1251", "Привет, как дела? Очень плохо, не рекомендую никому"),
        ("koi8-r", "Отличный товар, доставка быстрая, спасибо большое"),
        ("cp932", "とても良い商品です。また買います。ありがとうございます"),
        ("gb18030", "非常好的产品，推荐给大家。物流很快，包装完好，谢谢卖家"),
        ("mac_roman", "Très bien, déjà vu. L’hôtel était très agréable"),
    ],
)
@pytest.mark.parametrize("lines", [3, 300])
def test_found(encoding: str, text: str, lines: int) -> None:
    """An encoding that is not said is found where that is sure, and the answer says that it was."""
    raw = f"id,text\n{''.join(f'{line},{text}{chr(10)}' for line in range(lines))}".replace(",  ", ", ")
    raw = "id;text\n" + "".join(f"{line};{text}\n" for line in range(lines))
    upload = opened(raw.encode(encoding))
    found = [entry.text for _, entry in upload.entries]
    assert (found, upload.found.guessed) == ([text] * lines, True)
    assert b"a" + text.encode(encoding) == ("a" + text).encode(upload.found.encoding or "")


@pytest.mark.parametrize(
    "raw",
    [
        b"caf\xe9\n",
        b"\xff\n\xfe\n",
        bytes(range(128, 256)),
        "Très bien\n".encode() + b"caf\xe9\n",
        b"\x93\x8f\xe6\xfd\n" * 5,
        "Très bien".encode()[:-5] + b"\xc3",
    ],
)
@pytest.mark.parametrize("ending", [".txt", ".csv", ".ndjson", ".json"])
def test_never_mojibake(raw: bytes, ending: str) -> None:
    """Bytes whose encoding is not sure are refused, with the line and the option that says it; a file of UTF-8 with a
    fault is not read as something else.
    """
    head = {".csv": b"text\n", ".ndjson": b'"a"\n', ".json": b'["a",\n'}.get(ending, b"a\n")
    whole = {".ndjson": b'"%s"', ".json": b'"%s"]'}.get(ending, b"%s") % raw.replace(b"\n", b" ")
    error = refusal(head + whole, ending)
    assert (error.status, error.code, error.line) == (422, "invalid_encoding", 2)
    assert "?encoding=" in str(error)


def test_utf16_without_a_mark() -> None:
    """UTF-16 without a mark is UTF-8 by its bytes, with a NUL after each letter. It is not scored as that."""
    for encoding in ("utf-16-le", "utf-16-be"):
        for text in ("id,text\n1,Works well\n", "id,text\n1,Привет, как дела\n".replace(", ", " ")):
            upload = opened(text.encode(encoding))
            assert [entry.text for _, entry in upload.entries] == [text.split(",")[-1].strip()]
            assert (upload.found.encoding, upload.found.guessed) == (encoding, True)


def test_a_line_at_fault_is_told() -> None:
    """Bytes that an encoding does not have are refused with their line."""
    assert refusal(b"text\na\n\x81\n", encoding="cp1252").line == 3
    assert refusal(b"text\na\nb\n\x81\x00\n", encoding="cp932").line == 4
    assert refusal("text\na\n".encode("utf-16-le") + b"\x00\xd8a\x00", encoding="utf-16-le").line == 3
    assert refusal(b"text\na\n", encoding="utf-16").code == "invalid_encoding"
    late = b"id;text\n" + b"1;Tr\xe8s d\xe9\xe7u, ce th\xe9\xe2tre\n" * 100_000 + b"\x81\n"
    assert refusal_once(late).line == 100_002


def refusal_once(raw: bytes, **asked: Any) -> UploadRefused:
    """As `refusal`, of a file that is too long to be sent byte by byte."""
    with pytest.raises(UploadRefused) as caught:
        list(opened(raw, **asked).entries)
    return caught.value


def test_a_late_letter() -> None:
    """What is not ASCII may come late: within the first megabyte it is looked at, after it the file is UTF-8."""
    last = b"0\tTr\xe8s d\xe9\xe7u, ce th\xe9\xe2tre\n"
    ascii_lines = b"1\tA line of nothing but letters\n" * 30_000
    upload = opened(b"id\ttext\n" + ascii_lines + last)
    assert [entry.text for _, entry in upload.entries][-1] == "Très déçu, ce théâtre"
    error = refusal_once(b"id\ttext\n" + ascii_lines * 2 + last)
    assert (error.code, error.line) == ("invalid_encoding", 60_002)


def test_others_have_turns_while_an_encoding_is_looked_for() -> None:
    """Whatever the bytes are, nobody is held up for long while they are looked at."""
    longest_s = 0.0
    for unit in (b"a\xe9\n", b"\xe9", b"\xcf\xf0\xe8\xe2\xe5\xf2 ", b"\xb7\xc7\xb3\xa3", b"\xff\xfea", b"\x93a\x94 "):
        raw = (unit * 2**20)[: 2**20]
        began = time.process_time()
        guessed_encoding(raw)
        longest_s = max(longest_s, time.process_time() - began)
    assert longest_s < 0.5  # of which each part is a few milliseconds; see `webapp.reading.guess`


# CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("column", ["text", "Review Text"])
def test_delimiters(delimiter: str, column: str) -> None:
    """The delimiter is found by the header, whatever the rows and the other names hold."""
    names = ["id", column, "a,b" if delimiter != "," else "a;b"]
    raw = delimiter.join(f'"{name}"' if delimiter in name else name for name in names)
    raw += f"\n1{delimiter}a, b; c{delimiter}2\n" if delimiter not in ",;" else f'\n1{delimiter}"a, b; c"{delimiter}2\n'
    assert texts(raw.encode(), column=column) == ["a, b; c"]


def test_a_single_column_has_no_delimiter() -> None:
    """A header of one column is read as such, even if the rows have what may be delimiters."""
    assert refusal(b"text\na;b\nc,d\n").line == 3
    assert texts(b"text\na;b\n") == ["a;b"]
    assert texts(b'text\n"a,b"\n') == ["a,b"]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"'])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_sep_line(first: str, newline: str) -> None:
    """The line with which a spreadsheet names the delimiter is no header."""
    raw = newline.join([first, "id;text", "1;a, b", ""])
    assert texts(raw.encode()) == ["a, b"]
    assert opened(raw.encode()).found.delimiter == ";"
    assert texts(BOM + raw.encode()) == ["a, b"]


def test_carriage_returns() -> None:
    """Lines may end as on old Macs, and a cell in quotes may then hold any line break."""
    assert texts(b"id,text\r1,a\r2,b\r") == ["a", "b"]
    assert texts(b'id,text\r1,"a\nb"\r2,"c\rd"\r3,e') == ["a\nb", "c\rd", "e"]
    assert texts(b"a\rb\r", ".txt") == ["a", "b"]
    assert texts(b'"a"\r{"text": "b"}\r', ".ndjson") == ["a", "b"]
    assert refusal(b"id,text\r1,a\r2\r").line == 3


def test_plain_quotes() -> None:
    """With `quote=none` quotes are characters like all others; another quote may be asked for."""
    raw = b'id\ttext\n1\t"fast" they said\n2\t5" screen\n3\t"\n'
    assert texts(raw, quote="none") == ['"fast" they said', '5" screen', '"']
    assert texts(b"id,text\n1,'a, b'\n", quote="'") == ["a, b"]


def test_escapes() -> None:
    """With `escape=\\` a quote may be escaped, as databases write it, or doubled."""
    raw = rb"id,text" + b"\n" + rb'1,"a \"b\", c"' + b"\n" + rb'2,"d ""e"""' + b"\n" + rb"3,f\,g" + b"\n"
    assert texts(raw, escape="\\") == ['a "b", c', 'd "e"', "f,g"]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"quote": "ab"}, "`quote`"),
        ({"quote": ","}, "delimiter"),
        ({"quote": '"', "escape": '"'}, "`escape`"),
        ({"escape": "ab"}, "`escape`"),
        ({"escape": "\n"}, "`escape`"),
        ({"skip": "-1"}, "`skip`"),
        ({"skip": "x"}, "`skip`"),
        ({"skip": "99999999"}, "`skip`"),
        ({"header": "maybe"}, "`header`"),
        ({"on_error": "ignore"}, "`on_error`"),
        ({"header": "false", "column": "0"}, "`column`"),
        ({"header": "false", "column": "3"}, "`column`"),
        ({"header": "false", "column": "text"}, "`column`"),
        ({"header": "false"}, "number"),
    ],
)
def test_options_refused(asked: dict[str, str], names: str) -> None:
    """An option whose value cannot be used is refused, and the refusal names it."""
    error = refusal(b"id,text\n1,a\n", **asked)
    assert (error.status, error.code, names in str(error)) == (422, "invalid_field", True), error


def test_no_header() -> None:
    """Without a header columns have numbers, and the first row is a row; a single column needs no number."""
    upload = opened(b"1;good\n2;bad\n", header="false", column="2")
    assert upload.columns == ("1", "2")
    assert [entry for _, entry in upload.entries] == [Entry("good", None, ("1",)), Entry("bad", None, ("2",))]
    assert texts(b"good\nbad\n", header="no") == ["good", "bad"]
    assert refusal(b"1;good;5\n2;bad\n", header="no", column="2").line == 2
    assert texts(b"text,text\n1,a\n", header="0", column="2") == ["text", "a"]


def test_names() -> None:
    """Names may be empty, there twice, or have blanks around them, as long as the column that is asked for is there
    once.
    """
    assert entries(b"a,,,text,a\n1,2,3,x,5\n") == [Entry("x", None, ("1", "2", "3", "5"))]
    assert texts(b"id, text ,n\n1,a,2\n") == ["a"]
    assert texts(b"id,text,text \n1,a,2\n") == ["a"]
    assert texts(b"id, text\n1,a\n", column="text") == ["a"]
    assert refusal(b"id, text, text \n1,a,b\n").code == "malformed_line"
    assert refusal(b"x,y,x\n1,2,3\n", column="x").code == "malformed_line"
    assert texts(b"id,id,text\n1,2,a\n") == ["a"]


def test_lines_before_the_header() -> None:
    """`skip` leaves lines out; line numbers count them."""
    raw = b'Report of "today\n\nid;text\n1;a\n2\n'
    assert texts(raw.removesuffix(b"2\n"), skip="2") == ["a"]
    assert refusal(raw, skip="2").line == 5
    assert refusal(raw, skip="9").code == "no_texts"


def test_padded_cells() -> None:
    """A row that does not fit has its own error if that is asked for, and its text is the row as it stands; all others
    are read.
    """
    raw = b"id,text,n\n1,a,2\n2,b\n3,c,4,5\n4,d,6\n"
    assert refusal(raw).line == 3
    bad = ("", "")
    assert entries(raw, on_error="line") == [
        Entry("a", "1", ("1", "2")),
        Entry("2,b", None, bad, "malformed_line"),
        Entry("3,c,4,5", None, bad, "malformed_line"),
        Entry("d", "4", ("4", "6")),
    ]


def test_swallowed_rows() -> None:
    """A quote that takes in rows is refused with its line, never merged in silence; the refusal names the option, and
    another one says that it is right.
    """
    raw = b"id\ttext\n1\tFine\n" + b'2\t"fast they said\n3\tGood\n4\tso it goes"\n5\tEnd\n'
    error = refusal(raw)
    assert (error.code, error.line) == ("malformed_line", 3)
    assert "?quote=none" in str(error)
    assert texts(raw, quote="none") == ["Fine", '"fast they said', "Good", 'so it goes"', "End"]
    assert texts(raw, quote='"') == ["Fine", "fast they said\n3\tGood\n4\tso it goes", "End"]
    assert [(entry.text, entry.error) for entry in entries(raw, on_error="line")] == [
        ("Fine", None),
        ('2\t"fast they said', "malformed_line"),
        ("Good", None),
        ('so it goes"', None),
        ("End", None),
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b'id,text\n1,"Good food, bad service\nFine, ok"\n2,x\n',
        b'text,stars\n"Good\nBad",5\nx,1\n',
        b'id,text,stars\n1,"Good, really\nbut slow, sadly",4\n2,x,5\n',
        b'label,text\ngood,"Nice, but\nbad, service"\nbad,x\n',
        b'text,n\n"1\n2\n3",1\n',
        b'id,text\n1,"a\n\n\nb"\n',
    ],
)
def test_right_quotes_over_lines(raw: bytes) -> None:
    """Texts of several lines, with delimiters in them, are no rows."""
    rows = list(csv.reader(io.StringIO(raw.decode(), newline="")))
    column = rows[0].index("text")
    assert texts(raw) == [row[column] for row in rows[1:]]


def test_a_quote_that_is_never_closed() -> None:
    """With `on_error=line` only the row with the quote has an error: those after it are read on their own."""
    raw = b'id,text\n1,a\n2,"b\n' + b"".join(b"%d,c\n" % n for n in range(3, 5000))
    assert refusal_once(raw).line == 3
    found = [entry for _, entry in opened(raw, on_error="line").entries]
    assert [entry.error for entry in found].count(None) == 4998 - 0
    assert [(entry.text, entry.id) for entry in found if entry.error is None][-1] == ("c", "4999")


# JSON


def test_arrays_and_documents() -> None:
    """Arrays of strings or objects, alone or in a document, are read; a path leads to a key of a key."""
    assert texts(b' [ "a" , {"text": "b"}, null ] ', ".json") == ["a", "b", ""]
    assert texts(b'{"meta": {"n": 2}, "data": ["a", "b"]}', ".json") == ["a", "b"]
    assert texts(b'{"rows": [{"text": "a"}]}', ".json") == ["a"]
    assert texts(b'{"result": {"data": [{"body": "a"}]}}', ".json", column="result.data.body") == ["a"]
    assert texts(b'{"data": [{"body": "a"}], "other": [1]}', ".json", column="body") == ["a"]
    assert texts(b'[{"data": {"text": "a"}}]', ".json", column="data.text") == ["a"]
    assert texts(b'{"data": {"text": "a"}}\n{"data": {"text": "b"}}', ".ndjson", column="data.text") == ["a", "b"]
    assert texts(b'{"a.b": "x"}', ".ndjson", column="a.b") == ["x"]
    assert texts(b'[\n{"text": "a"},\n{"text": "b"}\n]\n', ".ndjson") == ["a", "b"]
    assert texts(b'{\n"data": [\n"a"\n]\n}\n', ".json") == ["a"]


@pytest.mark.parametrize(
    ("raw", "hints"),
    [
        (b'{"response": {"items": [{"n": 1, "text": "Good"}]}}', ["response.items.text"]),
        (b'{"response": {"items": ["Good"]}}', ["response.items"]),
        (b'{"data": {"rows": [{"id": "7", "body": "A good one"}]}}', ["data.rows.body"]),
        (b'{"good": [{"text": "Good"}], "bad": ["Bad"]}', ["good.text", "bad"]),
    ],
)
def test_arrays_deep_in_documents(raw: bytes, hints: list[str]) -> None:
    """If no array is at the top of a document, or several are, the refusal names the paths to texts."""
    refused = refusal(raw, ".json")
    assert refused.code == "unknown_column"
    assert re.findall(r"\?column=([^,\s]+?)[,.](?=\s|$)", str(refused)) == hints
    for hint in hints:
        assert texts(raw, ".json", column=hint)


def test_a_path_to_an_array() -> None:
    """A path that ends at an array leads to its strings, or to the key `text` of its objects; a refusal names keys with
    the path.
    """
    raw = b'{"good": [{"text": "Good", "stars": 5}], "bad": ["Bad"], "all": [{"body": "Good and bad one"}]}'
    assert texts(raw, ".json", column="good") == ["Good"]
    assert entries(raw, ".json", column="good")[0].columns == ("5",)
    assert texts(raw, ".json", column="bad") == ["Bad"]
    assert "?column=all.body" in str(refusal(raw, ".json", column="all"))


def test_two_columns_of_the_name() -> None:
    """Of two columns with the name asked for, the refusal says how to choose one, and that reads it."""
    raw = b"id,text,text\n1,Good,x\n"
    assert "?skip=1, ?header=false and ?column=2 or 3." in str(refusal(raw))
    assert texts(raw, skip="1", header="false", column="2") == ["Good"]


def test_a_number_for_a_text() -> None:
    """It is refused with the option that gives it an error of its own."""
    raw = b'[{"text": 12}, {"text": "Bad"}]'
    assert "?on_error=line" in str(refusal(raw, ".json"))
    assert [entry.error for entry in entries(raw, ".json", on_error="line")] == ["malformed_line", None]


def test_arrays_in_an_array() -> None:
    """Rows as arrays are refused with what to send instead, or have errors of their own."""
    raw = b'[["Good", 5], "Bad"]'
    assert "Send rows as CSV, or as objects with keys" in str(refusal(raw, ".json"))
    assert [entry.error for entry in entries(raw, ".json", on_error="line")] == ["malformed_line", None]


@pytest.mark.parametrize(
    "raw", [b'"id,text,stars"\n"1,Good,5"\n"2,""Bad, really"",1"\n', b'"id;review"\n"1;Good one indeed"\n', b'"id|x"\n']
)
def test_lines_within_quotes(raw: bytes) -> None:
    """Lines that stand within quotes as a whole are one cell each, and the refusal says so."""
    assert "save the file without these quotes" in str(refusal(raw))


@pytest.mark.parametrize(
    "raw", [b'"Good, or bad"\nBoth.\n', b'review\n"Good, and bad"\n', b'"May, June"\nid,review\n1,a\n']
)
def test_other_lines_within_quotes(raw: bytes) -> None:
    """It is not said where delimiters are not alike in the first two lines."""
    assert "quotes" not in str(refusal(raw))


def test_lines_called_json() -> None:
    """Lines are read as lines, however many, whatever they are called."""
    assert texts(b'{"text": "a"}', ".json") == ["a"]
    assert texts(b'"a"\n"b"\n', ".json") == ["a", "b"]
    assert texts(b'{"text": "a"}\n\n \n{"text": "b"}\n', ".json") == ["a", "b"]
    assert len(texts(b'{"text": "a", "n": 1}\n' * 1000, ".json")) == 1000
    assert refusal(b'{"text": "a"}\nx\n', ".json").line == 2


def test_other_keys() -> None:
    """Other keys are columns, as a CSV file's: as strings, in the order in which they came, even late."""
    upload = opened(b'{"n": 1.5, "text": "a", "id": 7, "ok": true}\n{"text": "b", "new": {"x": ["y"]}}\n', ".ndjson")
    assert (upload.columns, upload.text_column) == (("n", "text", "id", "ok"), 1)
    assert [entry for _, entry in upload.entries] == [
        Entry("a", 7, ("1.5", "7", "true")),
        Entry("b", None, ("", "", "", '{"x": ["y"]}')),
    ]
    assert (upload.columns, upload.text_column) == (("n", "text", "id", "ok", "new"), 1)
    plain = opened(b'{"text": "a", "id": 1}\n{"id": 2, "text": "b"}', ".ndjson")
    assert list(plain.entries) == [(1, Entry("a", 1)), (2, Entry("b", 2))]
    assert plain.columns is None


def test_items_at_fault() -> None:
    """An item without a text is refused with its position, or has its own error."""
    raw = b'["a", {"x": 1}, 5, {"text": ["b"]}, "c"]'
    error = refusal(raw, ".json")
    assert (error.code, error.line) == ("malformed_line", 2)
    found = entries(raw, ".json", on_error="line")
    assert [entry.error for entry in found] == [None, "malformed_line", "malformed_line", "malformed_line", None]
    lines = entries(b'"a"\nx\n{"x": 1}\n"b"\n', ".ndjson", on_error="line")
    assert [(entry.text, entry.error) for entry in lines] == [
        ("a", None),
        ("x", "malformed_line"),
        ('{"x": 1}', "malformed_line"),
        ("b", None),
    ]


def test_an_array_is_a_stream() -> None:
    """An array may be longer than what of a document is in memory; half emojis are mended, long items refused."""
    item = json.dumps({"text": "a" * 1000, "n": 1}).encode()
    raw = b"[" + b",".join([item] * 20_000) + b"]"
    assert sum(1 for _ in opened(raw, ".json", piece_bytes=50_000).entries) == 20_000
    assert texts(rb'["\ud83d x", "\ud83d\ude00"]', ".json") == ["\ufffd x", "😀"]
    assert refusal_once_json(b'["' + b"a" * (2**20 + 1) + b'"]').code == "line_too_long"


def refusal_once_json(raw: bytes) -> UploadRefused:
    """As `refusal`, of a JSON file that is too long to be sent byte by byte."""
    with pytest.raises(UploadRefused) as caught:
        list(opened(raw, ".json", piece_bytes=10_000).entries)
    return caught.value


# Options


@pytest.mark.parametrize(
    ("ending", "raw", "asked"),
    [
        (".txt", b"a\n", {"column": "text"}),
        (".txt", b"a\n", {"delimiter": ";"}),
        (".ndjson", b'{"text": "a"}\n', {"delimiter": ";"}),
        (".ndjson", b'{"text": "a"}\n', {"skip": "1"}),
        (".json", b'["a"]', {"quote": "none"}),
        (".json", b'["a"]', {"column": "text"}),
        (".json", b'{"texts": ["a"]}', {"column": "text"}),
    ],
)
def test_options_without_effect(ending: str, raw: bytes, asked: dict[str, str]) -> None:
    """An option that has no effect on a file is refused, and named."""
    error = refusal(raw, ending, **asked)
    assert (error.status, error.code) == (422, "invalid_field")
    assert f"`{next(iter(asked))}` has no effect" in str(error)


# Any table


CELLS = st.text(
    st.sampled_from("ab,;\t|\"\\'\n =\u00e9\u20ac\u4e2d😀") | st.characters(exclude_categories=["Cs"]), max_size=12
)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"\\,;|'), min_size=1, max_size=8)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "cp1251", "latin-1", "shift_jis", "gb18030", "koi8-r"]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], int, list[list[str]]]:
    """A header, the index of its column of texts, and rows."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.strip))
    rows = draw(st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names)), min_size=1, max_size=6))
    return names, draw(st.integers(0, len(names) - 1)), rows


def in_encoding(text: str, encoding: str) -> bytes:
    """The text's bytes; only examples that the encoding has."""
    try:
        raw = text.encode(encoding)
    except UnicodeEncodeError:
        raw = b""
    assume(raw)
    return raw


@settings(deadline=None, max_examples=400)
@given(tables(), st.sampled_from(ENCODINGS), st.sampled_from([",", ";", "\t", "|"]), st.data())
def test_any_table_as_csv(
    table: tuple[list[str], int, list[list[str]]], encoding: str, delimiter: str, data: st.DataObject
) -> None:
    """Any table that Python's csv writes, in any of these dialects and encodings, comes back row for row."""
    names, column, rows = table
    newline = data.draw(st.sampled_from(["\n", "\r\n", "\r"]), "newline")
    dialect = data.draw(st.sampled_from(["doubled", "all", "escaped", "none"]), "dialect")
    dialects: dict[str, dict[str, Any]] = {
        "doubled": {"quoting": csv.QUOTE_MINIMAL if newline == "\r\n" else csv.QUOTE_ALL},
        "all": {"quoting": csv.QUOTE_ALL},
        "escaped": {"quoting": csv.QUOTE_ALL, "doublequote": False, "escapechar": "\\"},
        "none": {"quoting": csv.QUOTE_NONE, "quotechar": None, "escapechar": "\\"},
    }
    how = dialects[dialect]
    if dialect == "none":  # Python's reader ends a row at a line break that is escaped
        rows = [[cell.replace("\n", " ").replace("\r", " ") for cell in row] for row in rows]
        assume(all(len(row) > 1 or row[0] for row in rows))
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=newline, **how).writerows([names, *rows])  # type: ignore[arg-type]
    asked = {"column": names[column]}
    if dialect in ("escaped", "none"):
        asked["escape"] = "\\"
    if dialect == "none":
        asked["quote"] = "none"
    else:
        asked["quote"] = '"'
    if encoding not in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        asked["encoding"] = encoding
    # A header of one column does not show the delimiter.
    if data.draw(st.booleans(), "delimiter is said") or (len(names) == 1 and delimiter != ","):
        asked["delimiter"] = delimiter if delimiter != "\t" else "tab"
    if not all(len(name) <= 256 for name in names) or "id" in names:
        assume(False)
    raw = in_encoding(out.getvalue(), encoding)
    assume(not out.getvalue().startswith("\ufeff"))
    if encoding in ("cp1252", "cp1251", "latin-1", "koi8-r"):
        try:
            raw.decode()
        except UnicodeDecodeError:
            pass
        else:  # such bytes are UTF-8, and read as that
            assume(raw.isascii())
    piece_bytes = data.draw(st.sampled_from([1, 7, 2**20]), "piece")
    upload = opened(raw, piece_bytes=piece_bytes, **asked)
    back = [[*entry.columns[:column], entry.text, *entry.columns[column:]] for _, entry in upload.entries]
    assert back == rows


@settings(deadline=None, max_examples=300)
@given(tables(), st.sampled_from(ENCODINGS), st.data())
def test_any_table_as_json(table: tuple[list[str], int, list[list[str]]], encoding: str, data: st.DataObject) -> None:
    """Any table that Python's json writes, in any of these shapes and encodings, comes back row for row."""
    names, column, rows = table
    assume("id" not in names and not any("." in name for name in names))
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    ascii_only = data.draw(st.booleans(), "ASCII only")
    shape = data.draw(st.sampled_from(["lines", "array", "indented", "document"]), "shape")
    if shape == "lines":
        text = "\n".join(json.dumps(one, ensure_ascii=ascii_only) for one in objects)
    elif shape == "document":
        text = json.dumps({"meta": {"n": 1}, "data": objects}, ensure_ascii=ascii_only)
    else:
        text = json.dumps(objects, ensure_ascii=ascii_only, indent=2 if shape == "indented" else None)
    raw = in_encoding(text, encoding)
    asked = {"column": names[column]}
    if encoding not in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        asked["encoding"] = encoding
    if encoding in ("cp1252", "cp1251", "latin-1", "koi8-r"):
        try:
            raw.decode()
        except UnicodeDecodeError:
            pass
        else:
            assume(raw.isascii())
    ending = data.draw(st.sampled_from([".json", ".ndjson"] if shape in ("lines", "array") else [".json"]), "ending")
    upload = opened(raw, ending, piece_bytes=data.draw(st.sampled_from([1, 7, 2**20]), "piece"), **asked)
    found = [entry for _, entry in upload.entries]
    if len(names) == 1:
        assert [[entry.text] for entry in found] == rows
        return
    assert upload.columns == tuple(names)
    back = [[*entry.columns[:column], entry.text, *entry.columns[column:]] for entry in found]
    assert back == rows


def test_every_ending_has_a_kind() -> None:
    """The endings that these tests send as media types are those of the reader."""
    assert MEDIA_TYPES.keys() <= ENDINGS.keys()


@pytest.mark.parametrize(
    "raw",
    [
        b'id, text, stars\n1, "Good, but slow", 5\n2, "Fine", 1\n3, "Two\nlines, here", 1\n',
        b'id,text,stars\n1,  "Good, but slow", 5\n2, "Fine",1\n3, "Two\nlines, here", 1\n',
        b'id; text; stars\n1; "Good, but slow"; 5\n2; "Fine"; 1\n3; "Two\nlines, here"; 1\n',
    ],
)
def test_blanks_before_a_quote(raw: bytes) -> None:
    """Blanks between a delimiter and a quote are no part of the cell, as the rows of the head show."""
    assert texts(raw) == ["Good, but slow", "Fine", "Two\nlines, here"]
    assert [entry.columns[1].strip() for entry in entries(raw)] == ["5", "1", "1"]


def test_blanks_and_quotes_that_belong_to_the_cells() -> None:
    """Where a cell that is quoted as it should be begins with a blank and a quote, other cells keep their blanks."""
    raw = b'id,text\n a," ""Good"", they said"\n b, fine\n'
    assert texts(raw) == [' "Good", they said', " fine"]
    assert texts(b'id,text\n1, "Good" they said\n') == [' "Good" they said']


@pytest.mark.parametrize(
    ("raw", "says", "asked"),
    [
        (
            b"Report of May\n\nid,text\n1,Good\n",
            "Line 3 has it: if that is the header, say so: ?skip=2.",
            {"skip": "2"},
        ),
        (
            b"Report of May\nid,review\n1,Good\n",
            "Line 2 is the first with 2 columns: if that is the header, say so: ?skip=1.",
            {"skip": "1", "column": "review"},
        ),
        (b"1,It is so Good,5\n2,It is Good,1\n", "?header=false and ?column=2.", {"header": "false", "column": "2"}),
        (
            b"id,\n1,It is so Good\n2,It is Good\n",
            "Column 2, which has no name, looks like texts: ?skip=1, ?header=false and ?column=2.",
            {"skip": "1", "header": "false", "column": "2"},
        ),
        (b"\nid,text\n1,Good\n", "?skip=N", {"skip": "1"}),
    ],
)
def test_where_the_header_is(raw: bytes, says: str, asked: dict[str, str]) -> None:
    """If the first row does not look like the header, the refusal names the options that say where it is, and with them
    the file is read.
    """
    said = str(refusal(raw))
    assert says in said
    assert "?column=." not in said
    assert all(text.endswith("Good") for text in texts(raw, **asked))


def test_keys_are_not_called_columns() -> None:
    """Of JSON, messages name the object and its keys, with the paths to those in objects within it."""
    said = str(refusal(b'{"tweet": {"full_text": "I love this thing", "id": 1}}\n{}\n', ".ndjson"))
    assert "The object has no key `text`" in said
    assert "`tweet.full_text` looks like texts: ?column=tweet.full_text." in said
    assert "header" not in said
    assert "has a value that is not a string at `text`" in str(refusal(b'[{"text": 5}]', ".json"))


@pytest.mark.parametrize("begin", [b"\x1f\x8b\x08\x00", b"%PDF-1.7\n", b"7z\xbc\xaf\x27\x1c\x00", b"{\\rtf1 Hello}"])
@pytest.mark.parametrize("ending", [".csv", ".txt", ".json"])
def test_files_that_are_no_texts(begin: bytes, ending: str) -> None:
    """A file whose first bytes say that it holds no text is refused as what it is, and not for its encoding."""
    error = refusal(begin + b"text\nGood\n" * 3, ending)
    assert error.code == "unreadable_file"
    assert str(error).startswith("This is ")
