"""How the cells of a CSV file are told apart: what is asked for, and what the head of the file shows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from itertools import chain
from urllib.parse import quote

from webapp.reading.columns import places
from webapp.reading.lines import Numbered
from webapp.reading.refusals import UploadRefused, invalid_option
from webapp.reading.texts import Options

_DELIMITERS = {",": ",", ";": ";", "\t": "tab", "|": "|"}
"""The delimiters that are looked for, and how they are asked for."""
_UNUSUAL = re.compile(r"""[^\w\s"']|[\x01-\x08\x0e-\x1f]""")
HEAD_LINES = 5
"""Rows that are looked at for the delimiter of a file without a header, and for blanks before quotes."""
HEAD_BYTES = 64 * 1024
_MOST_HEAD_LINES = 100


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


def other_delimiter(dialect: Dialect, head: Sequence[tuple[int, bytes]], options: Options) -> str:
    """How to say the delimiter that the header seems to have, if it is neither asked for nor found; else nothing."""
    header = head[0][1].decode("utf-8", "replace").rstrip("\r") if head else ""
    if dialect.delimiter in header:
        return ""
    if options.delimiter:
        for other, name in _DELIMITERS.items():
            if other in header:
                return f" If its columns are separated by `{name}`, say so: ?delimiter={name}."
    name = (options.column or "text").strip()
    for sign in dict.fromkeys(_UNUSUAL.findall(header)):
        if name in [cell.strip(' "') for cell in header.split(sign)]:
            told = f"`{sign}`" if sign.isprintable() else f"U+{ord(sign):04X}"
            return f" If its columns are separated by {told}, say so: ?delimiter={quote(sign, safe='')}."
    return ""


def dialect_of(options: Options, usual: str) -> Dialect:
    """What is asked for. `usual`: the delimiter if none is.

    Raises:
        UploadRefused: it makes no sense.
    """
    quoting: str | None = options.quote or '"'
    if quoting is not None and quoting.lower() == "none":
        quoting = None
    delimiter = options.delimiter or usual
    if delimiter.lower() == "tab":
        delimiter = "\t"
    # Databases also separate by characters of control, such as U+0001 and U+001F.
    usable = len(delimiter) == 1 and (delimiter.isprintable() or "\0" < delimiter < " ")
    if not usable or delimiter in ("\r", "\n", quoting):
        raise invalid_option("The delimiter must be one character other than a quote or a line's end, or `tab`.")
    for name, sign in (("quote", quoting), ("escape", options.escape)):
        if sign is not None and (len(sign) != 1 or not sign.isprintable() or sign.isspace() or sign == delimiter):
            also = " or `none`," if name == "quote" else ""
            raise invalid_option(f"`{name}` must be one printable character,{also} and not the delimiter.")
    if options.escape is not None and options.escape == quoting:
        raise invalid_option("`escape` must be another character than the quote.")
    return Dialect(delimiter, quoting, options.escape)


def head_lines(
    lines: Numbered, head: Sequence[tuple[int, bytes]], dialect: Dialect, rows: int
) -> list[tuple[int, bytes]]:
    """Further lines, until so many rows are whole."""
    sign = (dialect.quote or "").encode()
    escaped = dialect.escape.encode() + sign if dialect.escape is not None else b"\n"

    def count(line: bytes) -> int:
        return line.count(sign) - line.count(escaped) if sign else 0

    quotes = sum(count(line) for _, line in head)
    more: list[tuple[int, bytes]] = []
    size, whole = sum(len(line) for _, line in head), int(quotes % 2 == 0)
    while (
        whole < rows
        and size < HEAD_BYTES
        and len(more) < _MOST_HEAD_LINES
        and (numbered := next(lines, None)) is not None
    ):
        more.append(numbered)
        size += len(numbered[1]) + 1
        quotes += count(numbered[1])
        whole += quotes % 2 == 0
    return more


def delimiter_of(head: str, dialect: Dialect, options: Options, usual: str) -> str:
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


def looked_ahead(lines: Numbered, dialect: Dialect, width: int) -> tuple[Numbered, bool]:
    """All of the lines; and whether the first ones have blanks between a delimiter and a quote, as in
    `1, "Good, but slow"`: with the blanks as a part of the cell, a quote would be a plain character.
    """
    taken: list[tuple[int, bytes]] = []

    def noted() -> Numbered:
        for one in lines:
            taken.append(one)
            yield one

    def refusing(refused: UploadRefused) -> Numbered:
        raise refused
        yield

    try:
        head_lines(noted(), [], dialect, rows=HEAD_LINES)
    except UploadRefused as refused:  # in its turn
        return chain(taken, refusing(refused)), False
    return chain(taken, lines), _blanks(taken, dialect, width)


def _blanks(head: Sequence[tuple[int, bytes]], dialect: Dialect, width: int) -> bool:
    before = f"{dialect.delimiter} ".encode()
    if dialect.quote is None or not any(before in line for _, line in head):
        return False
    text = "".join(f"{line.decode('utf-8', 'replace')}\n" for _, line in head)
    if len(text) > HEAD_BYTES:
        return False
    try:
        rows = [row for row in replace(dialect, blanks=True).reader(StringIO(text, newline="")) if row]
        plain = [row for row in dialect.reader(StringIO(text, newline="")) if row]
    except csv.Error:
        return False
    if any(len(row) != width for row in rows):
        return False
    cells = {cell for row in rows for cell in row}
    # What is itself a cell of the other reading is quoted as it should be, and begins with a blank and a quote.
    return any(
        cell[:1] == " " and cell.lstrip(" ").startswith(dialect.quote) and cells.isdisjoint((cell, cell.lstrip(" ")))
        for row in plain
        for cell in row
    )
