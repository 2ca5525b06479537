"""How a file is to be read: the options of all calls that send one."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from webapp.client.http import query


class FileOptions(TypedDict, total=False):
    """What the service is told of a file. Of what is left out it finds out what it can be sure of."""

    column: str | None
    """The column, or the key of JSON objects, with the texts; a path (`data.text`), or a number from 1 if there is no
    header."""
    delimiter: str | None
    """For a CSV file: one character, or `tab`; by default what the header shows."""
    encoding: str | None
    """The encoding, if it is neither UTF-8 nor told by a byte order mark."""
    quote: str | None
    """For a CSV file: the quote, or `none`."""
    escape: str | None
    """For a CSV file: the character before a quote that belongs to the text."""
    header: bool | None
    """False if the first row is a row like all others."""
    skip: int | None
    """How many lines there are before the header."""
    on_error: Literal["refuse", "line"] | None
    """`line` if a row that cannot be read shall have its own error (`malformed_line`)."""
    sheet: str | None
    """For a spreadsheet: the name of the sheet, or its number from 1."""


def query_with(options: FileOptions, **asked: Any) -> dict[str, str | list[str]]:
    """The query of a request that sends a file. Raises TypeError for an option that there is not."""
    for name in options:
        if name not in FileOptions.__annotations__:
            raise TypeError(f"{name!r} is no option of a file; there are {', '.join(FileOptions.__annotations__)}")
    return query(**options, **asked)
