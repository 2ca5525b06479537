"""Files that a process of its own unpacks: spreadsheets, Parquet, and zip files of one file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from posixpath import splitext
from typing import Any, Protocol

from webapp.reading.names import listed, quoted
from webapp.reading.refusals import UploadRefused
from webapp.reading.signatures import is_packed, markup, may_be_packed, unread
from webapp.reading.tables import Row, read_table
from webapp.reading.texts import Found, Options, Texts

_OF_SHEETS = ("column", "header", "skip", "sheet")
_OF_PARQUET = ("column",)


class Unpack(Protocol):
    """Unpacks a file: see `webapp.sandbox.process.Sandbox.unpack`."""

    def __call__(self, pieces: Iterator[bytes], **asked: object) -> tuple[dict[str, Any], Iterator[Any]]: ...


@dataclass(frozen=True, slots=True)
class Inner:
    """The one file in a zip file."""

    pieces: Iterator[bytes]
    ending: str
    """The ending of its name, in lower case, with the dot."""


def peeked(pieces: Iterator[bytes], file: str | None = None) -> tuple[bool, Iterator[bytes]]:
    """Whether the file is packed, by its first bytes; and all pieces. `file`: its name, if it comes out of a zip file.

    Raises:
        UploadRefused: by its first bytes, nothing here reads it.
    """
    start = b""
    while may_be_packed(start) and (piece := next(pieces, None)) is not None:
        start += piece
    if what := unread(start):
        if file is not None:
            what = f"a zip file that holds {quoted(file)}, and that is {what.partition(':')[0]}; send what is in it"
        raise UploadRefused(422, "unreadable_file", f"This is {what}.")
    return is_packed(start), chain([start], pieces)


def refuse_markup(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """All pieces of a file that is called a table.

    Raises:
        UploadRefused: it is HTML or XML.
    """
    start = b""
    while (what := markup(start)) is None and (piece := next(pieces, None)) is not None:
        start += piece
    if what:
        detail = f"This is {what}. Open it with a spreadsheet program, and save it as .xlsx or as CSV."
        raise UploadRefused(422, "unreadable_file", detail)
    return chain([start], pieces)


def unpacked(pieces: Iterator[bytes], options: Options, found: Found, unpack: Unpack | None) -> Texts | Inner:
    """The texts of a spreadsheet or of Parquet, or the file in a zip file.

    Raises:
        UploadRefused: here, or while the entries are iterated.
    """
    if unpack is None:
        raise UploadRefused(415, "unsupported_media_type", "Spreadsheets, zip files and Parquet are not read here.")
    head, contents = unpack(
        pieces,
        sheet=options.sheet,
        column=options.column or "text",
        header=options.header,
        skip=options.skip or 0,
    )
    if "file" in head:
        found.file = head["file"]
        return Inner(contents, splitext(head["file"])[1].lower())
    if "sheet" not in head:
        options.require_effect(_OF_PARQUET, "Parquet")
        return read_table(contents, options, found)
    options.require_effect(_OF_SHEETS, "a spreadsheet")
    found.sheet, found.sheets = head["sheet"], tuple(head["sheets"])
    return _of_sheet(contents, options, found)


def _of_sheet(rows: Iterator[Row], options: Options, found: Found) -> Texts:
    try:
        return read_table(rows, options, found)
    except UploadRefused as error:
        if error.code != "unknown_column":
            raise
        others = [name for name in found.sheets if name != found.sheet]
        more = f" Others are {listed(others)}: ?sheet=NAME." if others else ""
        raise error.also(f" This is the sheet {quoted(found.sheet or '')}.{more}") from None
