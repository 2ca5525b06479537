"""Entries of a file as lines for a stream: their time, segment, author, id and label."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

from tasks.jobs.job import Entry
from tasks.streams.lines import Facts, StreamEntry
from webapp.reading.columns import places
from webapp.reading.names import listed, quoted
from webapp.reading.refusals import UploadRefused, malformed
from webapp.reading.texts import Texts
from webapp.reading.times import Order, read_time

LONGEST_SEGMENT_BYTES = 255
AHEAD_S = 86_400.0
"""So far a text's time may be ahead of the clock: by wrong clocks and time zones that were left out."""
_LABELS = {"negative": 0, "neutral": 1, "positive": 2}
_NAMES = ("time", "segment", "author", "id", "gold")
_BAD_SEGMENT = f"The segment has more than {LONGEST_SEGMENT_BYTES} bytes."


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOptions:
    """What a caller says of the lines; a column that is None is the one of that name, if there is one."""

    time: str | None = None
    segment: str | None = None
    author: str | None = None
    id: str | None = None
    zone: tzinfo = UTC
    """Of times without an offset."""
    order: Order | None = None
    own_errors: bool = False
    """Whether a line that cannot be read has its own error; otherwise all are refused."""


class NotAFact(ValueError):
    """Something of a line cannot be read; the message says what."""


def read_facts(
    options: LineOptions,
    now: float,
    *,
    time: str = "",
    segment: str = "",
    author: str = "",
    id: str = "",
    gold: str = "",
) -> Facts:
    """What is known of a line, from its cells; an empty cell counts as not given.

    Raises:
        NotAFact: a cell cannot be read.
    """
    try:
        at = read_time(time, options.zone, options.order) if time.strip() else now
    except ValueError as error:
        raise NotAFact(str(error)) from None
    if at > now + AHEAD_S:
        raise NotAFact("The time is more than a day ahead of the service's clock.")
    segment, label = segment.strip(), gold.strip().lower()
    if len(segment.encode("utf-8", "surrogatepass")) > LONGEST_SEGMENT_BYTES:
        raise NotAFact(_BAD_SEGMENT)
    if label and label not in _LABELS:
        raise NotAFact(f"{quoted(gold)} is not a label: give positive, neutral or negative.")
    return Facts(int(at * 1000), segment, author.strip() or None, id.strip() or None, _LABELS[label] if label else None)


def stream_entries(upload: Texts, options: LineOptions) -> Iterator[tuple[int, StreamEntry]]:
    """The entries of an upload as lines for a stream, each with its number.

    Raises:
        UploadRefused: a column that was named is not there; a line cannot be read (unless `own_errors`); or what
            iterating the upload's entries raises.
    """
    columns: Sequence[str] | None = None
    at: dict[str, int] = {}
    if not upload.grows:
        columns = upload.columns
        at = _columns(upload, options, required=True)
    for line, entry in upload.entries:
        if upload.columns is not columns:
            columns = upload.columns
            at = _columns(upload, options, required=False)
        yield line, _line(line, entry, at, options)


def _columns(upload: Texts, options: LineOptions, *, required: bool) -> dict[str, int]:
    """Where the cells of a line's facts are among its columns."""
    names = list(upload.columns or ())
    if upload.text_column is not None and names:
        del names[upload.text_column]
    found = {}
    for fact in _NAMES:
        asked = getattr(options, fact, None)
        where = places(names, asked or fact)
        if len(where) > 1:
            raise UploadRefused(422, "unknown_column", f"Several columns have the name {quoted(asked or fact)}.")
        if where:
            found[fact] = where[0]
        elif asked is not None and required and not (fact == "id" and asked == "id"):
            detail = f"There is no column {quoted(asked)} for `{fact}`; the columns are {listed(names)}."
            raise UploadRefused(422, "unknown_column", detail)
    return found


def _line(line: int, entry: Entry, at: dict[str, int], options: LineOptions) -> StreamEntry:
    now, cells = time.time(), entry.columns
    if entry.error is not None:
        return StreamEntry(entry.text, entry.id, cells, entry.error, facts=Facts(int(now * 1000)))
    given = {fact: cells[place] for fact, place in at.items() if place < len(cells)}
    if "id" not in given and entry.id is not None:
        given["id"] = str(entry.id)
    try:
        facts = read_facts(options, now, **given)
    except NotAFact as error:
        if not options.own_errors:
            raise malformed(str(error), line) from None
        facts = Facts(int(now * 1000), error="malformed_line")
    return StreamEntry(entry.text, entry.id, cells, facts=facts)
