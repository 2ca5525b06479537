"""Files that are odder than the cases: what is read of them, and what is said of those that are not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.webapp.test_files import entries, opened, refusal, texts
from webapp.client.batch import in_commands
from webapp.reading.encodings import codec_of

JAPANESE = "id,text\n1,とても良い商品です\n2,Good\n3,また買います、ありがとう\n"
KOREAN = "id,text\n1,정말 좋은 제품입니다\n2,Good\n"


@pytest.mark.parametrize(
    ("raw", "encoding", "found"),
    [
        (JAPANESE.encode("iso2022_jp"), "iso-2022-jp", "iso2022_jp"),
        (JAPANESE.replace("良い", "\u4e28").encode("iso2022_jp_ext", "ignore"), "iso-2022-jp-ext", "iso2022_jp_ext"),
        (KOREAN.encode("iso2022_kr"), "iso-2022-kr", "iso2022_kr"),
    ],
)
def test_letters_of_seven_bits(raw: bytes, encoding: str, found: str) -> None:
    """Encodings that write other letters by pairs of ASCII are found by their escapes, and read if they are declared;
    they are not scored as the ASCII that they seem to be.
    """
    assert raw.isascii()
    upload = opened(raw)
    right = [entry.text for _, entry in upload.entries]
    assert (upload.found.encoding, upload.found.guessed) == (found, True)
    assert "Good" in right
    assert not any(text.isascii() for text in right if text != "Good")
    assert texts(raw, encoding=encoding) == right == texts(raw)


def test_other_escapes_are_ascii() -> None:
    """Colours of a terminal are characters like others; so is what is none of these encodings after an escape."""
    raw = b"text\n\x1b[31mGood\x1b[0m\n\x1b$Bx\n"
    assert texts(raw) == ["\x1b[31mGood\x1b[0m", "\x1b$Bx"]
    assert opened(raw).found.encoding == "utf-8"
    assert texts("text\n\x1b[1mTrès bien\n".encode()) == ["\x1b[1mTrès bien"]


def test_letters_of_seven_bits_that_only_a_caller_can_know() -> None:
    """HZ has no escapes that are sure, so it is read if it is declared."""
    assert texts("text\n非常好 and good\n".encode("hz"), encoding="hz") == ["非常好 and good"]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("x-mac-roman", "mac_roman"),
        ("macintosh", "mac_roman"),
        ("x-mac-cyrillic", "mac_cyrillic"),
        ("CP-1252", "cp1252"),
        ("windows1251", "cp1251"),
        ("Win-1250", "cp1250"),
        ("IBM850", "cp850"),
        ("windows-936", "gbk"),
        ("x-cp1251", "cp1251"),
        ("x-gbk", "gbk"),
        ("UTF-8 BOM", "utf_8_sig"),
        ("UCS-2", "utf_16"),
        ("cp9999", None),
        ("x-", None),
    ],
)
def test_names_of_encodings(name: str, codec: str | None) -> None:
    """Encodings are known by the names that people and programs give them."""
    assert codec_of(name) == codec


def test_a_mark_that_is_wrong() -> None:
    """Where a byte order mark decides, the refusal names no option: it would have no effect."""
    error = refusal("text\nGood\n".encode("utf-16") + b"\x00\xd8a\x00")
    assert (error.code, error.line, "?encoding" in str(error)) == ("invalid_encoding", 3, False)
    assert "damaged, or cut off" in str(error)


@pytest.mark.parametrize(
    "raw",
    [
        b"<html><table><tr><td>text</td></tr></table></html>",
        b"\xef\xbb\xbf\r\n <!DOCTYPE html>\n<html>",
        b"<TABLE border=1>",
        "<html><body>".encode("utf-16"),
    ],
)
def test_pages_that_are_called_tables(raw: bytes) -> None:
    """HTML that a program has called a table is refused as what it is; lines of text may be HTML."""
    error = refusal(raw)
    assert (error.code, str(error)[:21]) == ("unreadable_file", "This is an HTML page.")
    assert texts(b"<b>Good</b>\n<html>\n", ".txt") == ["<b>Good</b>", "<html>"]


def test_xml_that_is_called_a_table() -> None:
    """The XML of old spreadsheets is refused as XML."""
    assert str(refusal(b'<?xml version="1.0"?><Workbook/>')).startswith("This is XML.")


def test_empty_cells_at_the_end() -> None:
    """Rows may end in more empty cells than the header has names: nothing is lost. A cell with contents is too many."""
    assert [(one.text, one.columns) for one in entries(b"id,text\n1,Good,\n2,Bad,,,\n")] == [
        ("Good", ("1",)),
        ("Bad", ("2",)),
    ]
    assert refusal(b"id,text\n1,Good,,x\n").line == 2
    assert refusal(b"text\nFirst,\n").line == 2  # a delimiter that the header does not show may be a part of the text


@pytest.mark.parametrize(
    ("raw", "asked", "says", "command"),
    [
        (b"id:text\n1:Good\n", {}, "`:`, say so: ?delimiter=%3A", "--delimiter :"),
        (b"id^body\n1^Good\n", {"column": "body"}, "`^`, say so: ?delimiter=%5E", "--delimiter '^'"),
        (b'"id"~"text"\n1~Good\n', {}, "`~`, say so: ?delimiter=~", "--delimiter '~'"),
        (b"id\x01text\n1\x01Good\n", {}, "U+0001, say so: ?delimiter=%01", r"--delimiter $'\x01'"),
    ],
)
def test_unusual_delimiters(raw: bytes, asked: dict[str, Any], says: str, command: str) -> None:
    """A delimiter that is not looked for is named by the refusal if the header shows it, and with that option the file
    is read.
    """
    error = refusal(raw, **asked)
    assert says in str(error)
    assert command in in_commands(str(error))
    (sign,) = {char for char in raw.decode().splitlines()[0] if not char.isalnum() and char != '"'}
    assert texts(raw, delimiter=sign, **asked) == ["Good"]


@pytest.mark.parametrize("delimiter", ["\r", "\n", "\0", "ab", "\u2028", '"'])
def test_what_is_no_delimiter(delimiter: str) -> None:
    """Ends of lines, quotes and more than one character are no delimiters."""
    assert refusal(b"id,text\n1,Good\n", delimiter=delimiter).code == "invalid_field"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"data": {"items": [{"review": {"body": "Good one"}}]}}', "?column=data.items.review.body"),
        (b'{"id": [1, 2], "text": ["Good", "Bad"]}', "?column=text"),
        (b'{"text": {"0": "Good", "1": "Bad"}, "n": {"0": 1, "1": 2}}', 'orient="records"'),
        (b'{"r1": {"text": "Good"}, "r2": {"text": "Bad"}}', "Send an array of objects"),
    ],
)
def test_shapes_of_json_that_are_not_certain(raw: bytes, says: str) -> None:
    """A document in which the texts stand elsewhere is refused with the path to them, or with what to send instead."""
    error = refusal(raw, ".json")
    assert (error.code, says in str(error)) == ("unknown_column", True), error
    if says.startswith("?"):
        assert texts(raw, ".json", column=says.partition("=")[2])[0].startswith("Good")


def test_values_over_several_lines() -> None:
    """Lines of JSON that are no whole values are refused in words that say what a line is."""
    error = refusal(b'{\n"text": "Good"\n}\n', ".ndjson")
    assert "each line must be one whole JSON value" in str(error)
