"""The lines of a file that is read piece by piece. Whatever the file's size, no more than one line and one piece of
bytes is in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from webapp.reading.encodings import NOT_UTF8
from webapp.reading.refusals import UploadRefused, too_long

Numbered = Iterator[tuple[int, bytes]]
"""Lines without their ends, numbered from 1."""
_LOOKED_AT_BYTES = 64 * 1024
"""Of the beginning, to see how lines end."""
_ENDS = {quote: re.compile(rb'"[^"]*"?|\r\n?|\n' if quote else rb"\r\n?|\n") for quote in (False, True)}


def numbered_lines(pieces: Iterable[bytes], max_line_bytes: int, end: bytes = b"\n") -> Numbered:
    """Yields lines without their `end`, numbered from 1. What follows the last `end` is a line unless it is empty."""
    rest = bytearray()
    number = 0
    for piece in pieces:
        if end in piece:
            lines = (bytes(rest) + piece).split(end)
            rest = bytearray(lines.pop())
            for line in lines:
                number += 1
                if len(line) > max_line_bytes:
                    raise too_long(max_line_bytes, number)
                yield number, line
        else:
            rest += piece
        if len(rest) > max_line_bytes:
            raise too_long(max_line_bytes, number + 1)
    if rest:
        yield number + 1, bytes(rest)


def line_end(pieces: Iterable[bytes], *, quotes: bool) -> tuple[bytes, Iterator[bytes]]:
    """How lines end: `\\r` in files of old Macs, which have no other ends as far as is looked; else `\\n`, before which
    a `\\r` may be. The second value is all of the pieces.

    Args:
        pieces: the file.
        quotes: whether ends within double quotes belong to the text.
    """
    pieces = iter(pieces)
    head = bytearray()
    looked_at = 0
    more = True
    ends: set[bytes] = set()
    while more and not ends & {b"\n", b"\r\n"} and looked_at < _LOOKED_AT_BYTES:
        more = (piece := next(pieces, None)) is not None
        head += piece or b""
        if not more or len(head) >= 2 * looked_at:
            looked_at = len(head)
            found = (one[0] for one in _ENDS[quotes].finditer(head[:_LOOKED_AT_BYTES]))
            ends = {end for end in found if not end.startswith(b'"')}
    return b"\r" if ends == {b"\r"} else b"\n", chain([bytes(head)], pieces)


def decoded(line: bytes, number: int) -> str:
    """The line's text.

    Raises:
        UploadRefused: it is not UTF-8.
    """
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise UploadRefused(422, "invalid_encoding", NOT_UTF8, number) from None
