"""Which column of a table holds the texts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from urllib.parse import quote

from webapp.reading.names import cropped, listed, quoted
from webapp.reading.refusals import Seen, UploadRefused, invalid_option
from webapp.reading.texts import Options

_DEFAULT = "text"
_DELIMITERS = ",;\t|"
_EXAMPLES = 3
_EXAMPLE = 30
"""The most characters of an example."""
_ROOM = 6000
"""About how many characters are said of columns."""
_COMPARED = 40
"""As many characters of a name are compared with the one asked for."""
_NEAR = 0.6
_WORD = re.compile(r"[^\W\d_]{2,}")
_NO_PROSE = re.compile(r"\S*[/@\\]\S*|\S+\.\S+")
"""Links, addresses, paths, names of files."""
_NUMBER = re.compile(r"\s*[-+]?\d[\d.,:/-]*\s*")
"""Numbers, dates and times are no names of columns."""
_WORDS = 2.0
"""Texts have more words than this on average."""


def places(names: Sequence[str], name: str) -> list[int]:
    """Where a column is: by its name as it stands, else by its name without the blanks around it."""
    exact = [place for place, other in enumerate(names) if other == name]
    return exact or [place for place, other in enumerate(names) if other.strip() == name.strip() != ""]


def text_column(
    header: Sequence[str],
    options: Options,
    line: int | None,
    examples: Callable[[], list[list[str]]],
    *,
    names: str = "header",
    one: str = "column",
) -> int:
    """The index of the column with the texts.

    Args:
        header: the names of all columns; where the file has none, their numbers.
        options: `column`, if one is asked for.
        line: the header's.
        examples: the first rows below the header, or fewer if there are none.
        names, one: what messages call the header and a column.

    Raises:
        UploadRefused: no column has the name, or several have it.
    """
    if options.header is False:
        return _numbered(header, options, examples)
    name = options.column or _DEFAULT
    found = places(header, name)
    if len(found) == 1:
        return found[0]
    if found:
        detail = "Two columns of the header have the name asked for."
        if line is not None:
            detail += (
                f" Say which by its number: ?skip={line}, ?header=false and ?column={found[0] + 1} or {found[1] + 1}."
            )
        raise UploadRefused(422, "malformed_line", detail, line)
    if options.column is None:
        missing = f"The {names} has no {one} `text`, and no other one was asked for."
    else:
        missing = f"The {names} has no {one} {quoted(name)}."
    if (near := nearest(name, header)) is not None:
        missing += f" Do you mean {quoted(near)}?"
    rows = examples()
    refused = UploadRefused(422, "unknown_column", f"{missing} {_described(header, rows, one)}", line)
    raise _with_seen(refused, header, rows)


def _numbered(header: Sequence[str], options: Options, examples: Callable[[], list[list[str]]]) -> int:
    if options.column is None:
        if len(header) == 1:
            return 0
        detail = f"Without a header, say by its number which of the {len(header)} columns has the texts."
        rows = examples()
        raise _with_seen(invalid_option(f"{detail} {_described(header, rows)}"), header, rows)
    if not options.column.isdecimal() or not 1 <= int(options.column[:9]) <= len(header):
        raise invalid_option(f"Without a header, `column` is a number from 1 to {len(header)}.")
    return int(options.column) - 1


def _with_seen(refused: UploadRefused, header: Sequence[str], rows: list[list[str]]) -> UploadRefused:
    refused.seen = Seen(tuple(header), tuple(map(tuple, rows)))
    return refused


def id_column(header: Sequence[str], text: int) -> int | None:
    """The index of the column with the ids, if there is one besides the texts."""
    found = places(header, "id")
    return found[0] if len(found) == 1 and found[0] != text else None


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that is most like this one, if one is."""
    matcher = SequenceMatcher(b=name[:_COMPARED].strip().casefold(), autojunk=False)
    best, best_name = _NEAR, None
    for number, other in enumerate(names):
        if number % 20 == 0:
            time.sleep(0)  # others have turns: there may be a thousand names, all like it
        matcher.set_seq1(other[:_COMPARED].strip().casefold())
        if matcher.real_quick_ratio() >= best and matcher.quick_ratio() >= best and (like := matcher.ratio()) > best:
            best, best_name = like, other
    return best_name


def _described(header: Sequence[str], rows: list[list[str]], one: str = "column") -> str:
    """All columns with examples, as far as there is room, and which one looks like texts."""
    columns = filled(len(header), rows)
    alike = looks_like_texts(columns)
    hint = ""
    if alike is not None and header[alike].strip():
        hint = f" {quoted(header[alike])} looks like texts: ?column={in_address(header[alike])}."
    shown: list[str] = []
    room = _ROOM
    for name, cells in zip(header, columns, strict=True):
        told = ", ".join(f'"{cropped(cell[: 2 * _EXAMPLE], _EXAMPLE)}"' for cell in dict.fromkeys(cells[:_EXAMPLES]))
        shown.append(f"{quoted(name)} ({told})" if told else quoted(name))
        room -= len(shown[-1]) + 2
        if room < 0:
            return f"Its {len(header)} {one}s are {listed(header)}.{hint}"
    return f"Its {one}s are {', '.join(shown)}.{hint}"


def other_header(header: Sequence[str], options: Options, line: int, rows: Sequence[tuple[int, list[str]]]) -> str:
    """How to say where the header is, if the row that was taken for it does not look like one; else nothing.

    Args:
        header: that row.
        options: what was asked for.
        line: its number.
        rows: the first rows below, with their numbers.
    """
    name = options.column or _DEFAULT
    for number, row in rows:
        if places(row, name):
            return f" Line {number} has it: if that is the header, say so: ?skip={number - 1}."
    wider = next(((number, row) for number, row in rows if len(row) > 1), None)
    if len(header) == 1 and wider is not None:
        number, row = wider
        return (
            f" Line {number} is the first with {len(row)} columns: if that is the header, say so: ?skip={number - 1}."
        )
    below = rows[0][1] if rows else header
    if len(header) == 1 and len(below) == 1 and _one_cell(header[0], below[0]):
        return " If each line stands within quotes as a whole, and so is one cell, save the file without these quotes."
    bare = is_bare(header)
    alike = looks_like_texts(filled(len(header), [*([header] if bare else []), *(row for _, row in rows)]))
    which = f"?column={alike + 1}" if alike is not None else "?column=NUMBER"
    if bare:
        return f" If the first row is no header, say so: ?header=false and {which}."
    if alike is not None and not header[alike].strip():
        return f" Column {alike + 1}, which has no name, looks like texts: ?skip={line}, ?header=false and {which}."
    return ""


def _one_cell(header: str, row: str) -> bool:
    """Whether both have as many delimiters of the same kind."""
    return any(header.count(one) == row.count(one) > 0 for one in _DELIMITERS)


def is_bare(header: Sequence[str]) -> bool:
    """Whether a row that was taken for the header does not look like one: a cell is a number or a date."""
    return any(_NUMBER.fullmatch(one) for one in header)


def filled(width: int, rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The cells of each column that are not blank."""
    return [[row[place] for row in rows if place < len(row) and row[place].strip()] for place in range(width)]


def in_address(name: str) -> str:
    """A name as the value of an option in an address."""
    return quote(name, safe="") if len(name) <= 100 else "NAME"


def looks_like_texts(columns: Sequence[Sequence[str]]) -> int | None:
    """The index of the column whose cells have the most words; None if none has sentences."""
    best, best_place = _WORDS, None
    for place, cells in enumerate(columns):
        if place % 20 == 0:
            time.sleep(0)
        words = [len(_WORD.findall(_NO_PROSE.sub(" ", cell[:200]))) for cell in cells]
        average = sum(words) / len(words) if words else 0.0
        if average > best:
            best, best_place = average, place
    return best_place
