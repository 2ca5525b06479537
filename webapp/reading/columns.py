"""Which column of a table holds the texts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from urllib.parse import quote

from webapp.reading.names import cropped, listed, quoted
from webapp.reading.refusals import UploadRefused, invalid_option
from webapp.reading.texts import Options

_DEFAULT = "text"
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
_WORDS = 2.0
"""Texts have more words than this on average."""


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
        return _numbered(header, options, examples)
    name = options.column or _DEFAULT
    found = places(header, name)
    if len(found) == 1:
        return found[0]
    if found:
        raise UploadRefused(422, "malformed_line", "Two columns of the header have the name asked for.", line)
    if options.column is None:
        missing = "The header has no column `text`, and no other one was asked for."
    else:
        missing = f"The header has no column {quoted(name)}."
    if (near := nearest(name, header)) is not None:
        missing += f" Do you mean {quoted(near)}?"
    raise UploadRefused(422, "unknown_column", f"{missing} {_described(header, examples())}", line)


def _numbered(header: Sequence[str], options: Options, examples: Callable[[], list[list[str]]]) -> int:
    if options.column is None:
        if len(header) == 1:
            return 0
        detail = f"Without a header, say by its number which of the {len(header)} columns has the texts."
        raise invalid_option(f"{detail} {_described(header, examples())}")
    if not options.column.isdecimal() or not 1 <= int(options.column[:9]) <= len(header):
        raise invalid_option(f"Without a header, `column` is a number from 1 to {len(header)}.")
    return int(options.column) - 1


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


def _described(header: Sequence[str], rows: list[list[str]]) -> str:
    """All columns with examples, as far as there is room, and which one looks like texts."""
    columns = [[row[place] for row in rows if place < len(row) and row[place].strip()] for place in range(len(header))]
    alike = _looks_like_texts(columns)
    hint = (
        f" {quoted(header[alike])} looks like texts: ?column={_in_address(header[alike])}." if alike is not None else ""
    )
    shown: list[str] = []
    room = _ROOM
    for name, cells in zip(header, columns, strict=True):
        told = ", ".join(f'"{cropped(cell[: 2 * _EXAMPLE], _EXAMPLE)}"' for cell in dict.fromkeys(cells[:_EXAMPLES]))
        shown.append(f"{quoted(name)} ({told})" if told else quoted(name))
        room -= len(shown[-1]) + 2
        if room < 0:
            return f"Its {len(header)} columns are {listed(header)}.{hint}"
    return f"Its columns are {', '.join(shown)}.{hint}"


def _in_address(name: str) -> str:
    return quote(name, safe="") if len(name) <= 100 else "NAME"


def _looks_like_texts(columns: Sequence[Sequence[str]]) -> int | None:
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
