"""Spreadsheets: which sheet is read, and its rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import IO, Any

import python_calamine as calamine

from webapp.reading.names import listed, quoted
from webapp.reading.refusals import UploadRefused, too_long
from webapp.sandbox.cells import as_text
from webapp.sandbox.messages import Row, Teller

MAX_COLUMNS = 1000
_MAX_LOOKED_AT = 50
"""The most sheets that are looked at for the column."""


def tell_sheet(file: IO[bytes], asked: dict[str, Any], tell: Teller) -> None:
    """Tells the rows of the sheet that is asked for, or that has the column.

    Raises:
        UploadRefused: the file is no spreadsheet, or it is not certain which sheet is meant.
    """
    try:
        # By its path the file is read as it is needed, and not into memory first.
        book = calamine.load_workbook("/dev/stdin" if sys.platform == "linux" else file)
        sheet = _chosen(book, asked)
    except calamine.PasswordError:
        raise UploadRefused(422, "unreadable_file", "The spreadsheet is protected by a password.") from None
    except calamine.CalamineError:
        raise UploadRefused(
            422, "unreadable_file", "The spreadsheet is damaged, or of a kind that is not read."
        ) from None
    if (width := sheet.total_width) > MAX_COLUMNS:
        detail = f"The sheet {quoted(sheet.name)} has {width} columns; at most {MAX_COLUMNS} are read."
        raise UploadRefused(422, "header_too_long", detail)
    tell.head(sheet=sheet.name, sheets=_visible(book))
    tell.rows(_rows(sheet, asked))


def _visible(book: calamine.CalamineWorkbook) -> list[str]:
    """The names of the sheets with cells that can be seen; all of them if all are hidden."""
    kinds, seen = calamine.SheetTypeEnum, calamine.SheetVisibleEnum
    sheets = [sheet for sheet in book.sheets_metadata if sheet.typ == kinds.WorkSheet]
    return [sheet.name for sheet in sheets if sheet.visible == seen.Visible] or [sheet.name for sheet in sheets]


def _chosen(book: calamine.CalamineWorkbook, asked: dict[str, Any]) -> calamine.CalamineSheet:
    visible = _visible(book)
    if (name := asked["sheet"]) is not None:
        return book.get_sheet_by_name(_named(book.sheet_names, visible, name))
    with_cells: list[calamine.CalamineSheet] = []
    with_column: list[calamine.CalamineSheet] = []
    for name in visible[:_MAX_LOOKED_AT]:
        sheet = book.get_sheet_by_name(name)
        header = next((row for _, row in _rows(sheet, asked) if row), None)
        if header is None:
            continue
        with_cells.append(sheet)
        if asked["header"] is False or asked["column"].strip() in [cell.strip() for cell in header]:
            with_column.append(sheet)
        del with_column[2:], with_cells[1:]
        if len(with_column) == 2:
            names = listed(visible)
            what = "rows" if asked["header"] is False else "the column asked for"
            detail = (
                f"Several sheets have {what}, {quoted(with_column[0].name)} and {quoted(name)} among them."
                f" Say which one is meant: ?sheet=NAME. The sheets are {names}."
            )
            raise UploadRefused(422, "unknown_sheet", detail)
    if not with_cells:
        raise UploadRefused(422, "no_texts", "The spreadsheet has no cells with contents.")
    return (with_column or with_cells)[0]


def _named(names: Sequence[str], visible: Sequence[str], wanted: str) -> str:
    """The sheet of this name, else of this name in other letters, else of this number."""
    same = [name for name in names if name == wanted] or [
        name for name in names if name.strip().casefold() == wanted.strip().casefold()
    ]
    if same:
        return same[0]
    if wanted.isdecimal() and len(wanted) < 6 and 1 <= int(wanted) <= len(names):
        return names[int(wanted) - 1]
    near = get_close_matches(wanted, names, 1)
    perhaps = f" Do you mean {quoted(near[0])}?" if near else ""
    raise UploadRefused(
        422, "unknown_sheet", f"The spreadsheet has no sheet of that name.{perhaps} Its sheets are {listed(visible)}."
    )


def _rows(sheet: calamine.CalamineSheet, asked: dict[str, Any]) -> Iterator[Row]:
    """The rows from the first one with contents on; a row without is empty. Numbers are those of the spreadsheet."""
    left = [""] * sheet.start[1] if asked["header"] is False and sheet.start is not None else []
    begun = False
    for number, cells in enumerate(sheet.iter_rows(), 1):
        if number <= asked["skip"]:
            continue
        row = [as_text(cell) for cell in cells]
        if not any(row):
            row = []
        elif sum(map(len, row)) > asked["max_line_bytes"]:
            raise too_long(asked["max_line_bytes"], number)
        begun = begun or bool(row)
        if begun:
            yield number, left + row if row else row
