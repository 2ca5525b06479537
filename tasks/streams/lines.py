"""The lines that a job brings into a stream: what a chunk carries of each of them besides its text."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct as Packed

import msgspec

from tasks.jobs.job import Entry
from tasks.streams.stream import NO_SEGMENT
from tasks.wire import StreamTodo

NOT_READ = 2**32 - 1
"""Takes the place of the number of a line's text if the line has none: it could not be read, or not be scored."""
LINE = Packed("<IIHBbqQQ")
"""A line: the numbers of its text and of its text with the segment's name masked (the same if it is not in it), of its
segment (all three in its chunk), whether it came with an id, the label that a person gave it (-1: none), the time in
milliseconds, its own hash, its author's hash (0: none).
"""


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What is known of a line besides its text."""

    time_ms: int
    segment: str = NO_SEGMENT
    author: str | None = None
    id: str | None = None
    gold: int | None = None
    """The label that a person gave it: 0 to 2."""
    error: str | None = None
    """The code of its error, if something of it could not be read."""


class StreamEntry(Entry, frozen=True, gc=False, kw_only=True):
    """A line for a stream."""

    facts: Facts


def lines_of(todo: StreamTodo) -> int:
    """The number of a chunk's lines."""
    return len(todo.lines) // LINE.size


def keyed(salt: bytes, kind: bytes, value: str) -> int:
    """A hash of 64 bits that is the same for equal values of one kind, in one stream alone; never 0."""
    found = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8, key=salt, person=kind)
    return int.from_bytes(found.digest(), "little") or 1
