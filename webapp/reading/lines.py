"""The lines of a file that is read piece by piece. Whatever the file's size, no more than one line and one piece of
bytes is in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from webapp.reading.refusals import NOT_UTF8, UploadRefused, too_long

Numbered = Iterator[tuple[int, bytes]]
"""Lines without their ends, numbered from 1."""
_LOOKED_AT_BYTES = 64 * 1024
"""Of the beginning, to see how lines end."""
_LAST_SIGN = re.compile(rb"[\xc0-\xff]?[\x80-\xbf]{0,3}\Z")
"""In UTF-8, the last character if it is not ASCII, whole or not."""


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


def line_end(
    pieces: Iterable[bytes], quote: str | None = None, escape: str | None = None
) -> tuple[bytes, Iterator[bytes]]:
    """How lines end: `\\r` in files of old Macs, which have no other ends as far as is looked; else `\\n`, before which
    a `\\r` may be. The second value is all of the pieces.

    Args:
        pieces: the file.
        quote: between quotes, an end belongs to the text.
        escape: what follows it belongs to the text.
    """
    pieces = iter(pieces)
    taken: list[bytes] = []
    size = 0
    inside = old = False
    half_before = b""
    quoting = quote.encode() if quote is not None else None
    escaping = escape.encode() if escape is not None else None
    parts = [
        b"[\r\n]",
        *([re.escape(quoting)] if quoting else []),
        *([re.escape(escaping) + b".?"] if escaping else []),
    ]
    signs = re.compile(b"|".join(parts), re.DOTALL)
    for piece in pieces:
        taken.append(piece)
        half = b""
        for sign in signs.finditer(half_before + piece[: _LOOKED_AT_BYTES - size]):
            if quoting is not None and sign[0] == quoting:
                inside = not inside
            elif sign[0] in (b"\r", b"\n") and not inside:
                if sign[0] == b"\n":
                    return b"\n", chain(taken, pieces)
                old = True
            elif sign[0] == escaping:
                half = sign[0]  # what it escapes is in the next piece
        half_before = half
        size += len(piece)
        if size >= _LOOKED_AT_BYTES:
            break
    return b"\r" if old else b"\n", chain(taken, pieces)


def whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What is there of a file that is cut off somewhere, without the line that is cut. So it does not end within a
    character either.
    """
    last, before = bytearray(), 0
    try:
        for piece in pieces:
            last += piece
            if (done := len(last) - _LOOKED_AT_BYTES) > 0:
                yield bytes(last[:done])
                del last[:done]
                before += done
    except UploadRefused:  # packed data that are cut off, too
        if not last:
            raise
    if b"\0" in last:  # a character has two or four bytes
        yield bytes(last[: len(last) - (before + len(last)) % 4])
    else:
        end = max(last.rfind(b"\n"), last.rfind(b"\r")) + 1
        yield bytes(last[: end or _LAST_SIGN.search(last).start()])  # type: ignore[union-attr]


def decoded(line: bytes, number: int) -> str:
    """The line's text.

    Raises:
        UploadRefused: it is not UTF-8.
    """
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise UploadRefused(422, "invalid_encoding", NOT_UTF8, number) from None
