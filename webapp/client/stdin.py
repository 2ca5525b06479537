"""The lines of stdin as texts, in the encoding that they have: read as the service reads files."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO

from webapp.reading.encodings import as_utf8, require_codec
from webapp.reading.lines import decoded, numbered_lines
from webapp.reading.refusals import UploadRefused

_MOST_BYTES = 2**30
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


@dataclass(slots=True)
class _Found:
    encoding: str | None = None
    guessed: bool = False
    bom: bool = False


def stdin_lines(
    source: IO[bytes], encoding: str | None, say: Callable[[str], None]
) -> Iterator[tuple[int, str | UploadRefused]]:
    """Yields each line with its number, or why it cannot be read; blank lines are left out.

    Args:
        source: stdin.
        encoding: what it is in, if it is neither UTF-8 nor begins with a byte order mark.
        say: called with a sentence if the encoding had to be found.

    Raises:
        UploadRefused: all of it cannot be read.
    """
    found = _Found()
    codec = None if encoding is None else require_codec(encoding)
    first = source.readline()
    pieces: Iterable[bytes] = chain([first], iter(source.readline, b""))
    # Lines that come from a process are scored as they come: they cannot wait until their encoding is sure.
    if codec is not None or first.startswith(_MARKS) or _is_file(source):
        pieces = as_utf8(pieces, codec, found)
    told = False
    for number, line in numbered_lines(pieces, _MOST_BYTES):
        if found.guessed and not told:
            told = True
            say(f"stdin says no encoding; it is read as {found.encoding}. If that is wrong, say another: --encoding")
        try:
            text = decoded(line, number).strip()
        except UploadRefused as refused:
            yield number, refused
        else:
            if text:
                yield number, text


def _is_file(source: IO[bytes]) -> bool:
    try:
        return stat.S_ISREG(os.fstat(source.fileno()).st_mode)
    except (OSError, io.UnsupportedOperation):
        return False
