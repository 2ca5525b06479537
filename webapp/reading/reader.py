"""Reads a file of any kind: `bytes -> (unpacked) -> UTF-8 -> rows, lines or values -> entries`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tasks.jobs.job import Entry
from webapp.reading.csv_files import read_csv
from webapp.reading.encodings import as_utf8, require_codec
from webapp.reading.json_files import Batch, read_json, read_ndjson
from webapp.reading.lines import decoded, line_end, numbered_lines
from webapp.reading.packed import Inner, Unpack, peeked, refuse_markup, unpacked
from webapp.reading.refusals import UploadRefused
from webapp.reading.texts import Found, Limits, Options, Texts

PACKED = "packed"
"""What is declared as a spreadsheet, a zip file or Parquet; its first bytes tell which of them it is."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of files."""

    name: str
    """As messages call it."""
    options: tuple[str, ...]
    """The options that have an effect."""
    read: Callable[[Iterator[bytes], Options, Limits, Found, Batch], Texts]
    unless: str = ""
    """What is said to whoever gives an option without effect."""


def read(
    pieces: Iterator[bytes],
    kind: str,
    options: Options,
    limits: Limits,
    *,
    batch: Batch,
    charset: str | None = None,
    unpack: Unpack | None = None,
    found: Found | None = None,
) -> Texts:
    """The texts of a file, read as far as its entries begin.

    Args:
        pieces: the file.
        kind: a name of KINDS, or PACKED. What begins as a packed file does is read as one, whatever it is called.
        options: what the caller says of it.
        limits: how much of it is read.
        batch: see `webapp.reading.json_files.Batch`.
        charset: the encoding that the file's media type says, by Python's name; `options.encoding` takes precedence.
        unpack: unpacks files; None if packed files are refused.
        found: is told what is found out of the file, even if that is refused.

    Raises:
        UploadRefused: here, or while the entries are iterated.
        MalformedJson, and what `batch` raises: the file is declared as JSON, but is none.
    """
    found = Found() if found is None else found
    packed, pieces = peeked(pieces)
    if packed:
        inner = unpacked(pieces, options, found, unpack)
        if not isinstance(inner, Inner):
            return inner
        packed, pieces = peeked(inner.pieces, found.file)
        if packed:
            inner = unpacked(pieces, options, found, unpack)
            if isinstance(inner, Inner):
                raise UploadRefused(422, "unreadable_file", "The zip file holds a zip file; send that one.")
            return inner
        kind = ENDINGS.get(inner.ending, "")
    if kind in _TABLES:
        pieces = refuse_markup(pieces)
    if kind not in KINDS:
        raise _not_of_its_name(found)
    chosen = KINDS[kind]
    options.require_effect(chosen.options, chosen.name, chosen.unless)
    declared = charset if options.encoding is None else require_codec(options.encoding)
    return chosen.read(as_utf8(pieces, declared, found), options, limits, found, batch)


def _csv(pieces: Iterator[bytes], options: Options, limits: Limits, found: Found, batch: Batch) -> Texts:
    return read_csv(pieces, options, limits, found)


def _tsv(pieces: Iterator[bytes], options: Options, limits: Limits, found: Found, batch: Batch) -> Texts:
    return read_csv(pieces, options, limits, found, usual="\t")


def _ndjson(pieces: Iterator[bytes], options: Options, limits: Limits, found: Found, batch: Batch) -> Texts:
    return read_ndjson(pieces, options, limits, found)


def _plain(pieces: Iterator[bytes], options: Options, limits: Limits, found: Found, batch: Batch) -> Texts:
    return Texts(_plain_entries(pieces, limits), found)


def _plain_entries(pieces: Iterator[bytes], limits: Limits) -> Iterator[tuple[int, Entry]]:
    """Yields each line as a text, even an empty one."""
    end, pieces = line_end(pieces)
    for number, line in numbered_lines(pieces, limits.max_line_bytes, end):
        yield number, Entry(decoded(line, number).removesuffix("\r"))


_OF_TABLES = ("column", "delimiter", "encoding", "quote", "escape", "header", "skip", "on_error")
_OF_JSON = ("column", "encoding", "on_error")
KINDS = {
    "csv": Kind("a CSV file", _OF_TABLES, _csv),
    "tsv": Kind("a TSV file", _OF_TABLES, _tsv),
    "ndjson": Kind("NDJSON", _OF_JSON, _ndjson),
    "json": Kind("JSON", _OF_JSON, read_json),
    "plain": Kind("plain lines", ("encoding",), _plain, "; if it is a table, send it as text/csv"),
}
_TABLES = ("csv", "tsv", PACKED)
ENDINGS = {
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "plain",
    ".xlsx": PACKED,
    ".xlsm": PACKED,
    ".xlsb": PACKED,
    ".xls": PACKED,
    ".ods": PACKED,
    ".zip": PACKED,
    ".parquet": PACKED,
}
"""The kind of a file by the ending of its name."""


def _not_of_its_name(found: Found) -> UploadRefused:
    if found.file is not None:
        detail = f"The name of the zip file's file must end in one of {', '.join(ENDINGS)}."
        return UploadRefused(422, "unreadable_file", detail)
    detail = (
        "By its type or name this is a spreadsheet, a zip file or Parquet, but it is none of them."
        " If it is a table written as text, send it as text/csv."
    )
    return UploadRefused(422, "unreadable_file", detail)
