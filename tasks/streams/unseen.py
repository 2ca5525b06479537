"""What a stream's texts leave, when they are counted, for those who look for shifts: one row for each text.

A row is bytes that can be joined, so that a script can leave out those of texts that it does not count.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

FAILED, UNREAD = 3, 4
"""Instead of a class: the text could not be scored, or is in a language that the model does not read."""
_FIXED = struct.Struct("<dfB8sB")


class Row(NamedTuple):
    """One text that was counted."""

    time: float
    """When it was written, in Unix seconds."""
    net: float
    """The probability of POSITIVE less that of NEGATIVE; 0 if it has no scores."""
    label: int
    """The class that it counts as, or FAILED or UNREAD."""
    words: bytes
    """8 bytes that are the same for texts of the same words."""
    segment: str
    """At most 255 bytes; empty if it has none."""


def packed(row: Row) -> bytes:
    """A row as it is stored."""
    name = row.segment.encode()
    return _FIXED.pack(row.time, row.net, row.label, row.words, len(name)) + name


def unpacked(rows: bytes) -> Iterator[Row]:
    """The rows of bytes that were joined.

    Raises:
        ValueError, struct.error: they are damaged.
    """
    at = 0
    while at < len(rows):
        time, net, label, words, size = _FIXED.unpack_from(rows, at)
        at += _FIXED.size
        if at + size > len(rows) or label > UNREAD:
            raise ValueError("a row is cut off, or has no such label")
        yield Row(time, net, label, words, rows[at : at + size].decode())
        at += size
