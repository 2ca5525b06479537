"""CSV in its dialects: the delimiter, the quotes, where the header is, and the rows one by one.

Memory is bounded by the longest row. Neither the result nor the line that an error names depends on how the bytes are
cut into pieces.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from itertools import chain, islice

from webapp.reading.columns import places
from webapp.reading.lines import Numbered, decoded, line_end, numbered_lines
from webapp.reading.refusals import UploadRefused, invalid_option, malformed, too_long
from webapp.reading.swallowed import KNOWN_ROWS, Swallowed
from webapp.reading.tables import Row, Unreadable, read_table
from webapp.reading.texts import Found, Limits, Options, Texts

_DELIMITERS = {",": ",", ";": ";", "\t": "tab", "|": "|"}
"""The delimiters that are looked for, and how they are asked for."""
_HEAD_LINES = 5
"""Rows that are looked at for the delimiter of a file without a header."""
_HEAD_BYTES = 64 * 1024
_MOST_HEAD_LINES = 100
_MOST_LINES = 1000
"""Lines of a row that are kept, to see whether they are rows of their own."""
_SEP = re.compile(r'"?sep=(.)"?\r?', re.IGNORECASE)
"""The first line with which spreadsheets name the delimiter."""
_PLAIN_QUOTES = (
    "It has a quote or a line break where CSV allows none. If quotes are plain characters in this file, say so:"
    " ?quote=none; if they are escaped by a backslash: ?escape=\\."
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells of a row are told apart."""

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    blanks: bool = False
    """Whether blanks after a delimiter are no part of the cell."""

    def reader(self, lines: Iterable[str]) -> csv._reader:  # type: ignore[name-defined]
        """Reads the rows of these lines."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            quoting=csv.QUOTE_MINIMAL if self.quote is not None else csv.QUOTE_NONE,
            escapechar=self.escape,
            skipinitialspace=self.blanks,
            strict=True,
        )

    def row(self, line: str) -> list[str] | None:
        """The cells of a line that is a row of its own; None if it is not."""
        try:
            return next(self.reader([line]), None)
        except csv.Error:
            return None

    def raw(self, cells: Sequence[str]) -> str:
        """Cells as they might stand in the file."""
        return self.delimiter.join(cells)


def read_csv(pieces: Iterator[bytes], options: Options, limits: Limits, found: Found, *, usual: str = ",") -> Texts:
    """The texts of a CSV file in UTF-8. `usual`: the delimiter, unless another one is asked for or found.

    Raises:
        UploadRefused: here, or while the entries are iterated.
    """
    dialect = _asked_for(options, usual)
    end, pieces = line_end(pieces, dialect.quote, dialect.escape)
    lines = numbered_lines(pieces, limits.max_line_bytes, end)
    for _ in range(options.skip or 0):
        next(lines, None)
    head = list(islice(lines, 1))
    if head and (told := _SEP.fullmatch(decoded(head[0][1], head[0][0]))):
        dialect = dialect if options.delimiter else replace(dialect, delimiter=told[1])
        head = []
    elif not options.delimiter:
        head += _head(lines, head, dialect, rows=_HEAD_LINES if options.header is False else 1)
        text = "".join(f"{decoded(line, number)}\n" for number, line in head)
        if len(text) <= _HEAD_BYTES:  # longer ones are refused, and would be parsed once for each delimiter
            dialect = replace(dialect, delimiter=_delimiter(text, dialect, options, usual))
    found.delimiter = dialect.delimiter
    rows = csv_rows(
        chain(head, lines), dialect, limits.max_line_bytes, end.decode(), options, ends_quoted=options.quote is not None
    )
    try:
        return read_table(rows, options, found, dialect.raw)
    except UploadRefused as error:
        if error.code == "unknown_column" and options.delimiter and (hint := _hint(error, dialect, head)):
            raise UploadRefused(error.status, error.code, f"{error}{hint}", error.line) from None
        raise


def _hint(error: UploadRefused, dialect: Dialect, head: Sequence[tuple[int, bytes]]) -> str:
    header = head[0][1].decode("utf-8", "replace") if head else ""
    if dialect.delimiter not in header:
        for other, name in _DELIMITERS.items():
            if other in header:
                return f" If its columns are separated by `{name}`, say so: ?delimiter={name}."
    return ""


def _asked_for(options: Options, usual: str) -> Dialect:
    quote: str | None = options.quote or '"'
    if quote is not None and quote.lower() == "none":
        quote = None
    delimiter = options.delimiter or usual
    if delimiter.lower() == "tab":
        delimiter = "\t"
    if delimiter != "\t" and (len(delimiter) != 1 or not delimiter.isprintable() or delimiter == quote):
        raise invalid_option("The delimiter must be one printable character other than a quote, or `tab`.")
    for name, sign in (("quote", quote), ("escape", options.escape)):
        if sign is not None and (len(sign) != 1 or not sign.isprintable() or sign.isspace() or sign == delimiter):
            also = " or `none`," if name == "quote" else ""
            raise invalid_option(f"`{name}` must be one printable character,{also} and not the delimiter.")
    if options.escape is not None and options.escape == quote:
        raise invalid_option("`escape` must be another character than the quote.")
    return Dialect(delimiter, quote, options.escape)


def _head(lines: Numbered, head: Sequence[tuple[int, bytes]], dialect: Dialect, rows: int) -> list[tuple[int, bytes]]:
    """Further lines, until so many rows are whole."""
    quote = (dialect.quote or "").encode()
    escaped = dialect.escape.encode() + quote if dialect.escape is not None else b"\n"

    def count(line: bytes) -> int:
        return line.count(quote) - line.count(escaped) if quote else 0

    quotes = sum(count(line) for _, line in head)
    more: list[tuple[int, bytes]] = []
    size, whole = sum(len(line) for _, line in head), int(quotes % 2 == 0)
    while (
        whole < rows
        and size < _HEAD_BYTES
        and len(more) < _MOST_HEAD_LINES
        and (numbered := next(lines, None)) is not None
    ):
        more.append(numbered)
        size += len(numbered[1]) + 1
        quotes += count(numbered[1])
        whole += quotes % 2 == 0
    return more


def _delimiter(head: str, dialect: Dialect, options: Options, usual: str) -> str:
    """The delimiter that the head makes certain; the usual one if none is."""
    tables = {}
    for delimiter in dict.fromkeys((usual, *_DELIMITERS)):
        if delimiter in (dialect.quote, dialect.escape):
            continue
        try:
            rows = list(replace(dialect, delimiter=delimiter).reader(StringIO(head, newline="")))
        except csv.Error:
            continue
        tables[delimiter] = [row for row in rows if row]
    wide = {delimiter: rows for delimiter, rows in tables.items() if rows and len(rows[0]) > 1}
    if options.header is False:
        even = {delimiter: rows for delimiter, rows in wide.items() if len({len(row) for row in rows}) == 1}
        wide = even or (wide if len(wide) == 1 else {})
    else:
        named = {delimiter: rows for delimiter, rows in wide.items() if places(rows[0], options.column or "text")}
        if not named and usual in tables and tables[usual] and places(tables[usual][0], options.column or "text"):
            return usual  # it is the only column
        wide = named or wide
    if usual in wide or not wide:
        return usual
    return max(wide, key=lambda delimiter: len(wide[delimiter][0]))


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
