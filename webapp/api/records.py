"""The records of a file of texts: lines, NDJSON and CSV, one after another as the file's bytes come in.

Whatever the file's size, no more than one line and one piece of bytes is in memory. Neither the result nor the line
that an error names depends on how the bytes are cut into pieces.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence

import orjson

from tasks.jobs.job import Entry
from webapp.api.requests import parse_json
from webapp.front.errors import MalformedJson, UploadRefused

LONGEST_ID = 256
MAX_BLANK_LINES = 1_000_000
"""How many blank lines of a file are ignored before it is refused. They become no entries, so the limit on texts would
not stop a few packed bytes that hold hundreds of millions of them.
"""


def plain_entries(pieces: Iterable[bytes], max_line_bytes: int) -> Iterator[tuple[int, Entry]]:
    """Yields each line as a text, even an empty one, with its line number."""
    for number, line in _lines(pieces, max_line_bytes):
        yield number, Entry(_decoded(line, number).removesuffix("\r"))


def ndjson_entries(pieces: Iterable[bytes], max_line_bytes: int) -> Iterator[tuple[int, Entry]]:
    """Yields each line, a JSON string or an object with `text` and perhaps `id`, with its line number. Blank lines are
    ignored.
    """
    blank_lines = 0
    for number, line in _lines(pieces, max_line_bytes):
        if not line.strip():
            blank_lines += 1
            _check_blank(blank_lines, number)
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            _decoded(line, number)  # raises: bytes that are not UTF-8 have an error code of their own
            try:
                value = parse_json(line)
            except MalformedJson:
                raise _malformed("The line is not JSON.", number) from None
        if isinstance(value, str):
            yield number, Entry(value)
        elif isinstance(value, dict) and isinstance(text := value.get("text"), str):
            yield number, Entry(text, _id(value.get("id"), number))
        else:
            raise _malformed("The line is neither a JSON string nor an object whose `text` is a string.", number)


def csv_records(pieces: Iterable[bytes], delimiter: str, max_line_bytes: int) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows of a CSV file, the header among them, each with the number of the line where it begins; a blank
    line is an empty row.
    """
    record_bytes = 0

    def lines() -> Iterator[str]:
        nonlocal record_bytes
        for number, line in _lines(pieces, max_line_bytes):
            record_bytes += len(line)
            if record_bytes > max_line_bytes:
                raise _too_long(max_line_bytes, number)
            record_bytes += 1  # empty lines count too, or a quote that is never closed could gather them for ever
            yield _decoded(line, number) + "\n"

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    while True:
        begin, record_bytes = reader.line_num + 1, 0
        try:
            row = next(reader)
        except StopIteration:
            return
        except UploadRefused as refused:
            if refused.line is not None:
                refused.line = begin  # where the record begins, not the line within its quotes where reading stopped
            raise
        except csv.Error as error:
            if "field limit" in str(error):  # the limit of the csv module, which holds for the whole process
                detail = f"A field may have at most {csv.field_size_limit()} characters."
                raise UploadRefused(413, "line_too_long", detail, begin) from None
            raise _malformed(
                "The line is not valid CSV: it has a quote or a line break where CSV allows none.", begin
            ) from None
        yield begin, row


def csv_entries(
    records: Iterable[tuple[int, list[str]]], header: Sequence[str], text_column: int
) -> Iterator[tuple[int, Entry]]:
    """Yields the rows below the header as entries; a column `id` also gives their ids.

    A blank line is ignored; if the text is the only column, it is an empty text.
    """
    id_column = header.index("id") if "id" in header and header[text_column] != "id" else None
    blank_lines = 0
    for number, row in records:
        if not row:
            if len(header) > 1:
                blank_lines += 1
                _check_blank(blank_lines, number)
                continue
            row = [""]
        if len(row) != len(header):
            raise _malformed(f"The row has {len(row)} fields, but the header has {len(header)}.", number)
        row_id = None if id_column is None else _id(row[id_column], number)
        text = row.pop(text_column)
        yield number, Entry(text, row_id, tuple(row))


def _lines(pieces: Iterable[bytes], max_line_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Yields lines without their `\\n`, numbered from 1. What follows the last `\\n` is a line unless it is empty."""
    rest = bytearray()
    number = 0
    for piece in pieces:
        if b"\n" in piece:
            lines = (bytes(rest) + piece).split(b"\n")
            rest = bytearray(lines.pop())
            for line in lines:
                number += 1
                if len(line) > max_line_bytes:
                    raise _too_long(max_line_bytes, number)
                yield number, line
        else:
            rest += piece
        if len(rest) > max_line_bytes:
            raise _too_long(max_line_bytes, number + 1)
    if rest:
        yield number + 1, bytes(rest)


def _decoded(line: bytes, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise UploadRefused(422, "invalid_encoding", "The line is not UTF-8.", number) from None


def _id(value: object, number: int) -> str | int | None:
    # A larger integer could be read, but not be written as JSON again.
    if (
        value is None
        or (type(value) is int and -(2**63) <= value < 2**64)
        or (isinstance(value, str) and len(value) <= LONGEST_ID)
    ):
        return value
    raise _malformed(
        f"`id` must be a string of at most {LONGEST_ID} characters or an integer of at most 64 bits.", number
    )


def _check_blank(blank_lines: int, number: int) -> None:
    if blank_lines > MAX_BLANK_LINES:
        raise _malformed(f"The file has more than {MAX_BLANK_LINES} blank lines.", number)


def _malformed(detail: str, number: int) -> UploadRefused:
    return UploadRefused(422, "malformed_line", detail, number)


def _too_long(max_line_bytes: int, number: int) -> UploadRefused:
    detail = f"A line, or a CSV row including the line breaks in its quotes, may have at most {max_line_bytes} bytes."
    return UploadRefused(413, "line_too_long", detail, number)
