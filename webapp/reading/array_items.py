"""The items of a JSON array that is read piece by piece. No more than one item and one piece is in memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator

from webapp.reading.json_values import parse_json
from webapp.reading.refusals import NOT_UTF8, MalformedJson, UploadRefused, too_long

_AT_ONCE_BYTES = 16 * 1024
_BLANK = re.compile(r"[ \t\r\n]*")
_NEAR_END = 16
"""A fault so near the end of what has come may be a word or an escape whose rest is still to come."""


def _refuse(name: str) -> object:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def array_items(pieces: Iterator[bytes], max_item_chars: int) -> Iterator[tuple[int, object]]:
    """Yields each item with its position, from 1.

    Raises:
        UploadRefused: what comes is no JSON array, or an item is too long.
    """
    source = _Source(pieces)
    source.skip("[", 1)
    position = 1
    while True:
        if source.next_is("]", position) and position == 1:
            break
        yield position, source.item(position, max_item_chars)
        if source.next_is("]", position):
            break
        source.skip(",", position)
        position += 1
    source.skip("]", position)
    if source.next_sign(position):
        raise _malformed(position, "after")


class _Source:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at = "", 0
        self._ended = self._broken = False

    def _more(self, position: int) -> bool:
        """Reads on, by as much as waits to be used, or more: so an item is looked at few times however it is cut."""
        if self._broken:
            raise UploadRefused(422, "invalid_encoding", NOT_UTF8.replace("line", "item", 1), position)
        if self._ended:
            return False
        rest = self._text[self._at :]
        wanted, raw = max(_AT_ONCE_BYTES, len(rest)), bytearray()
        while len(raw) < wanted and not self._ended:
            piece = next(self._pieces, None)
            self._ended = piece is None
            raw += piece or b""
        try:
            new = self._decoder.decode(bytes(raw), self._ended)
        except UnicodeDecodeError as error:
            new = error.object[: error.start].decode()
            self._broken = True
        self._text, self._at = rest + new, 0
        return True

    def next_sign(self, position: int) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            self._at = _BLANK.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(position):
                return ""

    def next_is(self, sign: str, position: int) -> bool:
        return self.next_sign(position) == sign

    def skip(self, sign: str, position: int) -> None:
        if self.next_sign(position) != sign:
            raise _malformed(position, "at or after")
        self._at += 1

    def item(self, position: int, max_chars: int) -> object:
        self.next_sign(position)
        while True:
            begin = self._at
            whole = self._ended and not self._broken
            try:
                value, end = _DECODER.raw_decode(self._text, begin)
            except json.JSONDecodeError as error:
                near = error.pos > len(self._text) - _NEAR_END or error.msg.startswith("Unterminated")
                if whole or not near:
                    raise _malformed(position, "at") from None
            except (ValueError, RecursionError):
                raise _malformed(position, "at") from None
            else:
                # A number may go on in the next piece.
                if whole or end < len(self._text):
                    if end - begin > max_chars:
                        raise too_long(max_chars, position)
                    text = self._text[begin:end]
                    self._at = end
                    return value if "\\u" not in text else _mended(text, position)
            if len(self._text) - begin > max_chars:
                raise too_long(max_chars, position)
            if not self._more(position):
                raise _malformed(position, "at")


def _mended(text: str, position: int) -> object:
    try:
        return parse_json(text.encode())
    except MalformedJson:
        raise _malformed(position, "at") from None


def _malformed(position: int, where: str) -> UploadRefused:
    return UploadRefused(400, "malformed_json", f"The array is not valid JSON {where} item {position}.", position)
