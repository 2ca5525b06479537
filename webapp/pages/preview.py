"""What a file looks like before it is sent: its first rows, what was found out of it, and which columns may be what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from tasks.jobs.job import Entry
from webapp.reading.columns import filled, is_bare, looks_like_texts
from webapp.reading.refusals import UploadRefused
from webapp.reading.texts import Found, Texts
from webapp.reading.times import NotATime, both
from webapp.report.golds import UNKNOWN, gold_of

ROWS = 10
_LONGEST_SEGMENT = 40
_NAMES = {
    "time": ("time", "date", "created", "posted", "published", "timestamp", "when", "zeit", "datum", "fecha"),
    "segment": (
        *("segment", "candidate", "version", "country", "product", "topic", "category", "platform", "store", "brand"),
        *("language", "team", "region", "channel", "source", "app", "land"),
    ),
    "label": ("gold", "label", "sentiment", "human", "annotation"),
}
"""Parts of the names of columns that hold these, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The beginning of a file as a table."""

    found: Found
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: int | None
    """Which column has the texts: the one that was asked for, or that looks like it; None if none does."""
    is_guess: bool
    """Whether the column was neither asked for nor has the name `text`."""
    is_bare: bool
    """Whether the first row does not look like a header."""


def preview(read: Callable[[Found], Texts], found: Found, *, cut: bool) -> Preview:
    """The preview of a file.

    Args:
        read: reads the file, and tells what is found.
        found: is told, even if the file is refused.
        cut: whether what is read is the beginning of the file only.

    Raises:
        UploadRefused, and what `read` raises: the file cannot be read.
    """
    try:
        texts = read(found)
    except UploadRefused as refused:
        if refused.seen is None:
            raise
        names, rows = refused.seen.names, refused.seen.rows[:ROWS]
        bare = is_bare(names) and not _are_numbers(names)
        return Preview(found, names, rows, looks_like_texts(filled(len(names), rows)), True, bare)
    entries = list(islice(_entries(texts.entries, cut), ROWS))
    columns, place = texts.columns, texts.text_column
    if columns is None or place is None:
        has_ids = any(entry.id is not None for entry in entries)
        names = ("id", "text") if has_ids else ("text",)
        rows = tuple((*((_shown(one.id),) if has_ids else ()), one.text) for one in entries)
        return Preview(found, names, rows, len(names) - 1, False, False)
    rows = tuple(_row(entry, len(columns), place) for entry in entries)
    return Preview(found, columns, rows, place, False, False)


def _entries(entries: Iterator[tuple[int, Entry]], cut: bool) -> Iterator[Entry]:
    """The entries; of a file that is cut off, those before the place where it is."""
    try:
        for _, entry in entries:
            yield entry
    except UploadRefused:
        if not cut:
            raise


def _row(entry: Entry, width: int, text: int) -> tuple[str, ...]:
    others = (*entry.columns, *[""] * (width - 1 - len(entry.columns)))
    return (*others[:text], entry.text, *others[text:])


def _shown(value: str | int | None) -> str:
    return "" if value is None else str(value)


def _are_numbers(names: Sequence[str]) -> bool:
    """Whether these are the numbers that columns without names are called by."""
    return list(names) == [str(number) for number in range(1, len(names) + 1)]


def suggested(names: Sequence[str], rows: Sequence[Sequence[str]], text: int | None) -> dict[str, str]:
    """The columns that are likely to have the texts' times, segments and people's labels, by what they are for."""
    cells = filled(len(names), rows)
    fits = {"time": _times, "segment": _segments, "label": _labels}
    taken = {text}
    found: dict[str, str] = {}
    for role, parts in _NAMES.items():
        for part in parts:
            places = [
                place
                for place, name in enumerate(names)
                if place not in taken
                and part in name.casefold()
                and names.count(name) == 1
                and fits[role](cells[place])
            ]
            if places:
                found[role] = names[places[0]]
                taken.add(places[0])
                break
    return found


def _times(cells: Sequence[str]) -> bool:
    try:
        return bool(cells) and all(any(one is not None for one in both(cell)) for cell in cells)
    except NotATime:
        return False


def _segments(cells: Sequence[str]) -> bool:
    return bool(cells) and max(map(len, cells)) <= _LONGEST_SEGMENT


def _labels(cells: Sequence[str]) -> bool:
    """Perhaps none of the first texts has one."""
    return all(gold_of(cell) != UNKNOWN for cell in cells)
