"""Writes a table as `.xlsx`, row by row."""

from __future__ import annotations

from typing import IO, Any

import orjson
import xlsxwriter

_LONGEST_CELL = 32_767
"""The most characters in a cell of a spreadsheet, where emoji and the like are two."""
_NO_XML = str.maketrans(dict.fromkeys("\ufffe\uffff", "\ufffd"))
"""Signs for which XML has no form; XlsxWriter writes those of control itself."""
_SHEET = "Results"


def write_workbook(rows: IO[bytes], out: IO[bytes], asked: dict[str, Any]) -> None:
    """Writes rows, each a JSON array on a line, the header first, as a spreadsheet.

    Strings stay strings, whatever they begin with: none becomes a formula, a link or a number.
    """
    options = {
        "constant_memory": True,
        "tmpdir": asked["folder"],
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    book = xlsxwriter.Workbook(out, options)
    sheet = book.add_worksheet(_SHEET)
    sheet.freeze_panes(1, 0)
    sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
    for number, line in enumerate(rows):
        for place, cell in enumerate(orjson.loads(line)):
            if isinstance(cell, str):
                if cell:
                    sheet.write_string(number, place, _fitting(cell))
            elif cell is not None:
                sheet.write_number(number, place, cell)
    book.close()
    out.flush()


def _fitting(text: str) -> str:
    """A text that a cell has room for; `…` shows where it is cut."""
    text = text.translate(_NO_XML) if "\ufffe" in text or "\uffff" in text else text
    if 2 * len(text) <= _LONGEST_CELL:
        return text
    units = text.encode("utf-16-le")
    if len(units) <= 2 * _LONGEST_CELL:
        return text
    return units[: 2 * (_LONGEST_CELL - 1)].decode("utf-16-le", "ignore") + "…"
