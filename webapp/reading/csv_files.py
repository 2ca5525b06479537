"""CSV: where the header is, and the rows one by one.

Memory is bounded by the longest row. Neither the result nor the line that an error names depends on how the bytes are
cut into pieces.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice

from webapp.reading.dialects import (
    HEAD_BYTES,
    HEAD_LINES,
    Dialect,
    delimiter_of,
    dialect_of,
    head_lines,
    looked_ahead,
    other_delimiter,
)
from webapp.reading.lines import Numbered, decoded, line_end, numbered_lines
from webapp.reading.refusals import UploadRefused, malformed, too_long
from webapp.reading.swallowed import KNOWN_ROWS, Swallowed
from webapp.reading.tables import Row, Unreadable, read_table
from webapp.reading.texts import Found, Limits, Options, Texts

_MOST_LINES = 1000
"""Lines of a row that are kept, to see whether they are rows of their own."""
_SEP = re.compile(r'"?sep=(.)"?\r?', re.IGNORECASE)
"""The first line with which spreadsheets name the delimiter."""
_PLAIN_QUOTES = (
    "It has a quote or a line break where CSV allows none. If quotes are plain characters in this file, say so:"
    " ?quote=none; if they are escaped by a backslash: ?escape=\\."
)


def read_csv(pieces: Iterator[bytes], options: Options, limits: Limits, found: Found, *, usual: str = ",") -> Texts:
    """The texts of a CSV file in UTF-8. `usual`: the delimiter, unless another one is asked for or found.

    Raises:
        UploadRefused: here, or while the entries are iterated.
    """
    dialect = dialect_of(options, usual)
    end, pieces = line_end(pieces, dialect.quote, dialect.escape)
    lines = numbered_lines(pieces, limits.max_line_bytes, end)
    for _ in range(options.skip or 0):
        next(lines, None)
    head = list(islice(lines, 1))
    if head and (told := _SEP.fullmatch(decoded(head[0][1], head[0][0]))):
        dialect = dialect if options.delimiter else replace(dialect, delimiter=told[1])
        head = []
    elif not options.delimiter:
        head += head_lines(lines, head, dialect, rows=HEAD_LINES if options.header is False else 1)
        text = "".join(f"{decoded(line, number)}\n" for number, line in head)
        if len(text) <= HEAD_BYTES:  # longer ones are refused, and would be parsed once for each delimiter
            dialect = replace(dialect, delimiter=delimiter_of(text, dialect, options, usual))
    found.delimiter = dialect.delimiter
    rows = csv_rows(
        chain(head, lines), dialect, limits.max_line_bytes, end.decode(), options, ends_quoted=options.quote is not None
    )
    try:
        return read_table(rows, options, found, dialect.raw)
    except UploadRefused as error:
        at_header = error.code == "unknown_column" or (error.code == "malformed_line" and error.line == _first(head))
        if at_header and (hint := other_delimiter(dialect, head, options)):
            raise error.also(hint) from None
        raise


def _first(head: list[tuple[int, bytes]]) -> int | None:
    return head[0][0] if head else None


def csv_rows(
    lines: Numbered, dialect: Dialect, max_line_bytes: int, end: str, options: Options, *, ends_quoted: bool
) -> Iterator[Row]:
    """Yields the rows of a CSV file, the header among them, each with the number of the line where it begins; a blank
    line is an empty row.

    Args:
        lines: the lines.
        dialect: how cells are told apart.
        max_line_bytes: the most bytes of a row.
        end: the end of a line.
        options: whether a row that cannot be read has its own error.
        ends_quoted: whether the caller says that quotes are right, however many lines they take in.
    """
    physical: list[str] = []
    row_bytes = row_lines = number = known = 0
    full = False
    most_lines = _MOST_LINES if options.own_errors else max_line_bytes

    def texts() -> Iterator[str]:
        nonlocal row_bytes, row_lines, number, full
        for number, line in lines:
            text = decoded(line, number) + end
            row_bytes += len(line)
            row_lines += 1
            if row_lines <= _MOST_LINES:
                physical.append(text)
            if row_bytes > max_line_bytes or row_lines >= most_lines:
                full = True
                return
            row_bytes += 1  # empty lines count too, or a quote that is never closed could gather them for ever
            yield text

    swallowed = Swallowed(dialect.delimiter)
    reader = dialect.reader(texts())
    while True:
        physical.clear()
        row_bytes = row_lines = 0
        fault: UploadRefused | None = None
        row: list[str] | None = None
        try:
            row = next(reader)
        except StopIteration:
            if not row_lines:
                return
        except UploadRefused as refused:
            if refused.line == number + 1:
                refused.line -= row_lines  # where the row begins, not the line within its quotes
            raise
        except csv.Error as error:
            fault = _fault(error, number - row_lines + 1)
        begin = number - row_lines + 1
        if full:
            fault = too_long(max_line_bytes, begin)
            if row_lines == 1 or not options.own_errors:
                raise fault
            full, reader = False, dialect.reader(texts())
        if row is not None and fault is None:
            if row_lines > 1 and not ends_quoted and swallowed.rows(physical):
                fault = _swallowed(row_lines - 1, begin)
            else:
                if known < KNOWN_ROWS:
                    known += 1
                    swallowed.note(tuple(row))
                yield begin, row
                if known == 1 and len(row) > 1:
                    known += 1
                    lines, blanks = looked_ahead(lines, dialect, len(row))
                    dialect = replace(dialect, blanks=blanks)
                    reader = dialect.reader(texts())
                continue
        if fault is None or not options.own_errors:
            raise fault or malformed("The row cannot be read.", begin)
        # The first line is at fault; those after it may be rows that its quote has taken in.
        yield begin, Unreadable(physical[0].rstrip("\r\n"))
        for place, line in enumerate(physical[1:], 1):
            alone = dialect.row(line)
            yield begin + place, Unreadable(line.rstrip("\r\n")) if alone is None else alone


def _fault(error: csv.Error, begin: int) -> UploadRefused:
    if "field limit" in str(error):  # the limit of the csv module, which holds for the whole process
        detail = f"A field may have at most {csv.field_size_limit()} characters."
        return UploadRefused(413, "line_too_long", detail, begin)
    return malformed(f"The line is not valid CSV. {_PLAIN_QUOTES}", begin)


def _swallowed(lines: int, begin: int) -> UploadRefused:
    taken = "the next line, which looks" if lines == 1 else f"the {lines} lines after it, which look"
    return malformed(
        f"A quote of the line takes in {taken} like a row of its own. If quotes are plain characters in this file, say"
        " so: ?quote=none; if they are right, say that: ?quote=%22.",
        begin,
    )
