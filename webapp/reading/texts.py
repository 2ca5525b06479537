"""What a reader is told of a file, and what it makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from tasks.jobs.job import Entry
from webapp.reading.refusals import UploadRefused, invalid_option, malformed

LONGEST_ID = 256
MAX_COLUMNS = 1000
MAX_HEADER_BYTES = 32 * 1024
"""Bytes of the names of a file's columns. In JSON and NDJSON, each line of the results repeats the names."""
MAX_BLANK_LINES = 1_000_000
"""How many blank lines of a file are ignored before it is refused. They become no entries, so the limit on texts would
not stop a few packed bytes that hold hundreds of millions of them.
"""
MAX_SKIP = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file is read."""

    max_bytes: int
    """The most bytes as sent and, counted separately, as decompressed."""
    max_line_bytes: int
    """The most bytes in a line of NDJSON or plain text, in a row of CSV, or in an item of a JSON array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller says of a file; what is None is found out, or has its default."""

    column: str | None = None
    """The column, or key, of the texts; a number from 1 where there is no header."""
    delimiter: str | None = None
    encoding: str | None = None
    quote: str | None = None
    escape: str | None = None
    header: bool | None = None
    """False: the first row is a row like all others."""
    skip: int | None = None
    """Lines before the header."""
    sheet: str | None = None
    """Of a spreadsheet: the name of the sheet that is read, or its number from 1."""
    on_error: Literal["refuse", "line"] | None = None
    """`line`: a row that cannot be read has its own error; otherwise the file is refused."""

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> Options:
        """The options by their names, as they are sent; an empty value counts as not given.

        Raises:
            UploadRefused: a value cannot be used.
        """
        given = {one.name: asked[one.name] for one in fields(cls) if asked.get(one.name)}
        options: dict[str, object] = dict(given)
        if "header" in given:
            options["header"] = _yes_or_no(given["header"])
        if "skip" in given:
            if not given["skip"].isdecimal() or len(given["skip"]) > 7 or int(given["skip"]) > MAX_SKIP:
                raise invalid_option(f"`skip` must be a number of lines, at most {MAX_SKIP}.")
            options["skip"] = int(given["skip"]) or None
        if given.get("on_error", "line") not in ("refuse", "line"):
            raise invalid_option("`on_error` must be `refuse` or `line`.")
        return cls(**options)  # type: ignore[arg-type]

    def require_effect(self, effective: tuple[str, ...], kind: str, unless: str = "") -> None:
        """Refuses options that a file of this kind has no use for.

        Args:
            effective: those that it has a use for.
            kind: the kind, in words.
            unless: what else might be the matter.
        """
        for one in fields(self):
            if getattr(self, one.name) is not None and one.name not in effective:
                raise invalid_option(f"`{one.name}` has no effect on {kind}; leave it out{unless}.")

    @property
    def own_errors(self) -> bool:
        """Whether a row that cannot be read has its own error."""
        return self.on_error == "line"


OPTIONS = tuple(one.name for one in fields(Options))
"""The names of all options."""


def _yes_or_no(value: str) -> bool:
    if value.lower() in ("true", "yes", "1", "on"):
        return True
    if value.lower() in ("false", "no", "0", "off"):
        return False
    raise invalid_option("`header` must be `true` or `false`.")


@dataclass(slots=True)
class Found:
    """What was found out of a file. It may change while the file is read, until its end."""

    encoding: str | None = None
    guessed: bool = False
    """Whether neither the file nor the caller says the encoding."""
    delimiter: str | None = None
    """Of a CSV file."""
    bom: bool = False
    """Whether the file begins with a byte order mark."""
    sheet: str | None = None
    """Of a spreadsheet: the name of the sheet that is read."""
    sheets: tuple[str, ...] = ()
    """Of a spreadsheet: the names of all sheets that are not hidden."""
    file: str | None = None
    """Of a zip file: the name of the file in it."""


@dataclass(slots=True)
class Texts:
    """A file of texts that is read as far as its entries begin."""

    entries: Iterator[tuple[int, Entry]]
    """The entries, each with the number of the line where it begins, from 1 (in a JSON array, its position from 1).

    Iterating raises UploadRefused, and whatever the body raises.
    """
    found: Found = field(default_factory=Found)
    columns: tuple[str, ...] | None = None
    """The names of all columns; None if there is nothing but texts and ids. In JSON it grows while entries are read."""
    text_column: int | None = None
    """The index in `columns` of the column with the texts."""
    grows: bool = False
    """Whether `columns` may grow while entries are read."""
    name: str | None = None
    """The file's name, if it came in a form."""
    options: dict[str, str] = field(default_factory=dict)
    """`callback_url` and `model`, if a JSON body or fields of the form have them."""


def entry_id(value: object, line: int) -> str | int | None:
    """An id, if it is one that can be kept.

    Raises:
        UploadRefused: it is not.
    """
    # A larger integer could be read, but not be written as JSON again.
    if (
        value is None
        or (type(value) is int and -(2**63) <= value < 2**64)
        or (isinstance(value, str) and len(value) <= LONGEST_ID)
    ):
        return value
    raise malformed(f"`id` must be a string of at most {LONGEST_ID} characters or an integer of at most 64 bits.", line)


def check_blank(blank_lines: int, line: int) -> None:
    """Refuses a file with too many blank lines."""
    if blank_lines > MAX_BLANK_LINES:
        raise malformed(f"The file has more than {MAX_BLANK_LINES} blank lines.", line)


def check_header(names: tuple[str, ...], line: int | None) -> None:
    """Refuses a header that is too long."""
    if len(names) > MAX_COLUMNS or sum(len(name.encode()) for name in names) > MAX_HEADER_BYTES:
        detail = f"The header may have at most {MAX_COLUMNS} columns and {MAX_HEADER_BYTES} bytes of names."
        raise UploadRefused(422, "header_too_long", detail, line)
