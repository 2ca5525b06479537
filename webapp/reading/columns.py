"""Which column of a table holds the texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from webapp.reading.refusals import UploadRefused, invalid_option
from webapp.reading.texts import Options

_DEFAULT = "text"


def places(names: Sequence[str], name: str) -> list[int]:
    """Where a column is: by its name as it stands, else by its name without the blanks around it."""
    exact = [place for place, other in enumerate(names) if other == name]
    return exact or [place for place, other in enumerate(names) if other.strip() == name.strip() != ""]


def text_column(
    header: Sequence[str], options: Options, line: int | None, examples: Callable[[], list[list[str]]]
) -> int:
    """The index of the column with the texts.

    Args:
        header: the names of all columns; where the file has none, their numbers.
        options: `column`, if one is asked for.
        line: the header's.
        examples: the first rows below the header, or fewer if there are none.

    Raises:
        UploadRefused: no column has the name, or several have it.
    """
    if options.header is False:
        return _numbered(header, options)
    name = options.column or _DEFAULT
    found = places(header, name)
    if len(found) == 1:
        return found[0]
    if found:
        raise UploadRefused(422, "malformed_line", "Two columns of the header have the name asked for.", line)
    # If the file has no header, these are its first texts: show enough of them to make that clear, and no more.
    names = ", ".join(f"`{name[:30]}`" for name in header[:10])
    detail = (
        f"The header has no column with the name asked for (`text`, unless ?column= names another). It has {names}."
    )
    raise UploadRefused(422, "unknown_column", detail, line)


def _numbered(header: Sequence[str], options: Options) -> int:
    if options.column is None:
        if len(header) == 1:
            return 0
        raise invalid_option(f"Without a header, say by its number which of the {len(header)} columns has the texts.")
    if not options.column.isdecimal() or not 1 <= int(options.column[:9]) <= len(header):
        raise invalid_option(f"Without a header, `column` is a number from 1 to {len(header)}.")
    return int(options.column) - 1


def id_column(header: Sequence[str], text: int) -> int | None:
    """The index of the column with the ids, if there is one besides the texts."""
    found = places(header, "id")
    return found[0] if len(found) == 1 and found[0] != text else None
