"""A table whose rows come one by one: which column holds the texts, and the entries that the rows become.

Tables come from CSV files, spreadsheets, or whatever else has a header and rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice

from tasks.jobs.job import Entry
from webapp.reading.columns import id_column, other_header, text_column
from webapp.reading.refusals import UploadRefused, malformed, no_texts
from webapp.reading.texts import Found, Options, Texts, check_blank, check_header, entry_id

_ROWS_AHEAD = 20
OWN_ERRORS = "To give such rows an error of their own instead: ?on_error=line."


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that is no row of a table: as it stands in the file."""

    raw: str


Row = tuple[int, "list[str] | Unreadable"]
"""A row with the number of the line where it begins, from 1. A blank line is a row without cells."""


def read_table(rows: Iterator[Row], options: Options, found: Found, raw: Callable[[Sequence[str]], str] = str) -> Texts:
    """The texts of a table.

    Args:
        rows: the rows, the header first unless `options.header` is False.
        options: which column, whether there is a header, and what becomes of rows that do not fit it.
        found: what was found out of the file.
        raw: a row's cells as they might stand in the file.

    Raises:
        UploadRefused: here, or while the entries are iterated.
    """
    line, first = next(rows, (1, None))
    if first is None:
        raise no_texts()
    if isinstance(first, Unreadable) or not first:
        what = "is blank" if first == [] else "cannot be read"
        raise malformed(
            f"The first line {what}; it must name the columns. If others do, say how many lines come before: ?skip=N.",
            line,
        )
    header: Sequence[str] = first
    if options.header is False:
        rows = chain([(line, first)], rows)
        header = [str(number) for number in range(1, len(first) + 1)]
    check_header(tuple(header), line)
    ahead: list[Row] = []

    def examples() -> list[list[str]]:
        with suppress(UploadRefused):  # what is wrong with the header comes first
            ahead.extend(islice(rows, _ROWS_AHEAD))
        return [row for _, row in ahead if not isinstance(row, Unreadable)]

    try:
        column = text_column(header, options, line, examples)
    except UploadRefused as error:
        if error.code != "unknown_column":
            raise
        below = [(number, row) for number, row in ahead if not isinstance(row, Unreadable)]
        raise error.also(other_header(header, options, line, below)) from None
    entries = _entries(chain(ahead, rows), header, column, options, raw)
    return Texts(entries, found, tuple(header), column)


def _entries(
    rows: Iterator[Row], header: Sequence[str], column: int, options: Options, raw: Callable[[Sequence[str]], str]
) -> Iterator[tuple[int, Entry]]:
    """Yields the rows as entries; a column `id` also gives their ids.

    A blank line is ignored; if the text is the only column, it is an empty text.
    """
    ids = id_column(header, column) if options.header is not False else None
    width = len(header)
    empty = ("",) * (width - 1)
    blank_lines = 0
    for number, row in rows:
        if isinstance(row, Unreadable):
            yield number, Entry(row.raw, None, empty, "malformed_line")
            continue
        if not row:
            if width > 1:
                blank_lines += 1
                check_blank(blank_lines, number)
                continue
            row = [""]
        if len(row) > width > 1 and not any(row[width:]):  # with one column the delimiter may be a part of the text
            del row[width:]  # nothing is lost: programs end rows with empty cells
        if len(row) != width:
            if options.own_errors:
                yield number, Entry(raw(row), None, empty, "malformed_line")
                continue
            detail = f"The row has {len(row)} fields, but the header has {width}. {OWN_ERRORS}"
            raise malformed(detail, number)
        row_id = None if ids is None else entry_id(row[ids], number)
        text = row.pop(column)
        yield number, Entry(text, row_id, tuple(row))
