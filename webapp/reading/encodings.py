"""The encoding of a file: what its bytes say, else what its sender says, else what is found by looking at them.

    byte order mark  ->  that
    escapes          ->  ISO-2022-JP or -KR, which are ASCII to the eye
    valid UTF-8      ->  UTF-8
    declared         ->  what is declared, unless the bytes can hardly be anything but UTF-8
    looked at        ->  what `webapp.reading.guess` is sure of, said to be a guess
    nothing          ->  refused, with the line

Whatever it is, readers get UTF-8 without a mark. None of this depends on how the bytes are cut into pieces.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from encodings.aliases import aliases
from itertools import chain
from typing import Protocol

from webapp.reading.guess import GUESS_BYTES, guessed_encoding
from webapp.reading.refusals import NOT_UTF8, UploadRefused, invalid_option

_BOMS = (
    (codecs.BOM_UTF8, "utf-8", "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "utf-16"),
)
_HEAD_BYTES = 64
"""How far the beginning is looked at for UTF-16 without a mark."""
_FEW = 0x06
"""The first bytes of the letters of Europe and the Near East in UTF-16 are at most this."""
_CHECKED_BYTES = 64 * 1024
"""From the first byte that is not ASCII on, so much has to be UTF-8 for the file to be read as UTF-8."""
_PIECE_BYTES = 64 * 1024
_LINE_BYTES = 200
"""What comes before the first byte that is not ASCII, and helps to see what it is."""
_SURELY_UTF8 = 3
"""So many bytes within characters of UTF-8, and none that is not UTF-8, are no accident in an encoding of one byte a
character: a capital letter with an accent before a sign, three times, and no other accent."""
_NOT_ASCII = re.compile(rb"[\x80-\xff\x1b]")
"""What is not plain ASCII: an escape may begin letters that are two signs each."""
_ESCAPES = {"iso2022_jp": rb"\x1b\$[@B]", "iso2022_jp_ext": rb"\x1b\$[@B(]", "iso2022_kr": rb"\x1b\$\)C"}
"""With which letters of Japan and Korea begin in encodings of seven bits."""

_UTF_8 = ("utf_8", "utf_8_sig", "ascii")
_OTHERS = [
    "big5", "big5hkscs", "cp1006", "cp1125", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256",
    "cp1257", "cp1258", "cp437", "cp720", "cp737", "cp775", "cp850", "cp852", "cp855", "cp856", "cp857", "cp858",
    "cp860", "cp861", "cp862", "cp863", "cp864", "cp865", "cp866", "cp869", "cp874", "cp932", "cp949", "cp950",
    "euc_jis_2004", "euc_jisx0213", "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk", "hp_roman8", "hz", "iso2022_jp",
    "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3", "iso2022_jp_ext", "iso2022_kr", "iso8859_1",
    "iso8859_2", "iso8859_3", "iso8859_4", "iso8859_5", "iso8859_6", "iso8859_7", "iso8859_8", "iso8859_9",
    "iso8859_10", "iso8859_11", "iso8859_13", "iso8859_14", "iso8859_15", "iso8859_16", "johab", "koi8_r", "koi8_t",
    "koi8_u", "kz1048", "latin_1", "mac_arabic", "mac_croatian", "mac_cyrillic", "mac_farsi", "mac_greek",
    "mac_iceland", "mac_latin2", "mac_roman", "mac_romanian", "mac_turkish", "ptcp154", "shift_jis",
    "shift_jis_2004", "shift_jisx0213", "tis_620", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be",
    "utf_32_le",
]  # fmt: skip
"""Python's codecs of texts, but for those that are not supersets of ASCII on the page (EBCDIC) or are none of texts."""
_KNOWN = {*_UTF_8, *_OTHERS}
_SEVEN_BITS = ("iso2022", "hz")
"""Encodings in which ASCII may stand for other letters begin so."""
_ALSO = {
    "ansi": "cp1252", "mac": "mac_roman", "mac_ukrainian": "mac_cyrillic", "ms932": "cp932", "ucs_2": "utf_16",
    "unicode": "utf_16", "utf8_bom": "utf_8_sig", "utf_8_bom": "utf_8_sig",
}  # fmt: skip
_CODE_PAGE = re.compile(r"(?:windows|win|cp|ibm|dos)_?(\d{3,4})")
"""Code pages as people write them: `win1252`, `CP-1252`, `windows1251`."""


class Told(Protocol):
    """Where it is told what was found: see `webapp.reading.texts.Found`."""

    encoding: str | None
    guessed: bool
    bom: bool


def codec_of(declared: str) -> str | None:
    """Python's name of an encoding that is asked for; None if there is none by this name that holds texts."""
    # Asking `codecs` for every name that callers make up would keep each of them in memory.
    name = re.sub(r"[^a-z0-9]+", "_", declared.strip().lower()).strip("_")
    if name not in aliases:
        name = name.removeprefix("x_")  # as the web once wrote what was not registered
    if (page := _CODE_PAGE.fullmatch(name)) is not None:
        name = f"cp{page[1]}"
    name = _ALSO.get(name) or aliases.get(name) or name
    return name if name in _KNOWN else None


def require_codec(declared: str) -> str:
    """As `codec_of`, for the option `encoding`.

    Raises:
        UploadRefused: there is no such encoding.
    """
    name = codec_of(declared)
    if name is None:
        raise invalid_option("`encoding` must be the name of an encoding, such as utf-8, cp1252, utf-16 or shift_jis.")
    return name


def as_utf8(pieces: Iterable[bytes], declared: str | None, found: Told) -> Iterator[bytes]:
    """Yields a file's bytes as UTF-8, without a byte order mark.

    Args:
        pieces: the file.
        declared: the encoding that the sender says, by Python's name.
        found: is told what the encoding is, for good once all is read.

    Raises:
        UploadRefused: `invalid_encoding`. Bytes that are not UTF-8 in a file that is taken for UTF-8 are passed on:
            whoever reads the lines knows the line best.
    """
    head, rest = _head(iter(pieces), 2)
    if head[:1] in (b"\xef", b"\xfe", b"\xff") or min(head[:2], default=9) <= _FEW:
        head, rest = _head(chain([head], rest), _HEAD_BYTES)
    for mark, codec, told in _BOMS:
        if head.startswith(mark):
            found.encoding, found.bom = told, True
            rest = chain([head[len(mark) :]], rest)
            yield from rest if codec == "utf-8" else _transcoded(rest, codec, marked=True)
            return
    rest = chain([head], rest)
    found.encoding = "utf-8"
    if declared is not None and declared not in _UTF_8:
        found.encoding = codecs.lookup(declared).name
        yield from _declared(rest, declared, found)
    elif declared is not None:
        yield from rest
    elif (codec_found := _utf16(head)) is not None:
        found.encoding, found.guessed = codec_found, True
        yield from _transcoded(rest, codec_found)
    else:
        yield from _looked_at(rest, found)


def _head(pieces: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, at least `size` unless there are fewer, and the pieces after them."""
    head = bytearray()
    while len(head) < size and (piece := next(pieces, None)) is not None:
        head += piece
    return bytes(head), pieces


def _utf16(head: bytes) -> str | None:
    """UTF-16, if every second byte is one with which its letters of Europe and the Near East begin or end."""
    if len(head) < 16:
        return None
    head = head[:_HEAD_BYTES]
    for codec, high, low in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if max(high) <= _FEW < max(low):
            return codec
    return None


class _Ascii:
    """The beginning of a file that is ASCII, how long it is, and how it ends."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.offset = self.lines = 0
        self.end = b""

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            first = _NOT_ASCII.search(piece)
            if first is not None:
                self._pieces = chain([piece[first.start() :]], self._pieces)
                piece = piece[: first.start()]
            self.offset += len(piece)
            self.lines += piece.count(b"\n")
            self.end = (self.end + piece)[-_LINE_BYTES:] if len(piece) < _LINE_BYTES else piece[-_LINE_BYTES:]
            if piece:
                yield piece
            if first is not None:
                return

    def rest(self) -> Iterator[bytes]:
        """What follows, from the first byte on that is not ASCII."""
        return self._pieces


def _declared(pieces: Iterator[bytes], codec: str, found: Told) -> Iterator[bytes]:
    if codec.startswith(_SEVEN_BITS) or len(bytes(range(256)).decode(codec, "replace")) != 256:
        yield from _transcoded(pieces, codec)
        return
    begin = _Ascii(pieces)
    yield from begin
    window, rest = _head(begin.rest(), _CHECKED_BYTES)
    text = _utf8_text(window)
    if text is not None and len(window[:_CHECKED_BYTES]) - len(text) >= _SURELY_UTF8:
        found.encoding = "utf-8"
        yield from _cut(window)
        yield from rest
    else:
        yield from _transcoded(chain(_cut(window), rest), codec, begin.lines)


def _looked_at(pieces: Iterator[bytes], found: Told) -> Iterator[bytes]:
    begin = _Ascii(pieces)
    yield from begin
    window, rest = _head(begin.rest(), _CHECKED_BYTES)
    if (codec := _seven_bits(window[:_CHECKED_BYTES])) is not None:
        found.encoding, found.guessed = codecs.lookup(codec).name, True
        yield from _transcoded(chain(_cut(window), rest), codec, begin.lines)
        return
    if begin.offset >= GUESS_BYTES or _utf8_text(window) is not None:
        yield from _cut(window)
        yield from rest
        return
    window, rest = _head(chain([window], rest), GUESS_BYTES - begin.offset)
    codec = guessed_encoding(begin.end + window[: GUESS_BYTES - begin.offset])
    if codec is None:
        raise UploadRefused(
            422, "invalid_encoding", NOT_UTF8, begin.lines + 1 + window.count(b"\n", 0, _valid_bytes(window))
        )
    found.encoding, found.guessed = codecs.lookup(codec).name, True
    yield from _transcoded(chain(_cut(window), rest), codec, begin.lines)


def _seven_bits(window: bytes) -> str | None:
    """The encoding whose escapes are there, if all of it is in that."""
    for codec, escape in _ESCAPES.items():
        if window.isascii() and re.search(escape, window) is not None:
            with suppress(UnicodeError):
                codecs.getincrementaldecoder(codec)().decode(window)
                return codec
    return None


def _utf8_text(window: bytes) -> str | None:
    """What of it is checked, if that is UTF-8."""
    try:
        return codecs.utf_8_decode(window[:_CHECKED_BYTES], "strict", len(window) < _CHECKED_BYTES)[0]
    except UnicodeDecodeError:
        return None


def _valid_bytes(raw: bytes) -> int:
    """How many bytes come before the first one that is not UTF-8."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.start
    return len(raw)


def _cut(raw: bytes) -> Iterator[bytes]:
    for start in range(0, len(raw), _PIECE_BYTES):
        yield raw[start : start + _PIECE_BYTES]


def _transcoded(pieces: Iterable[bytes], codec: str, lines: int = 0, *, marked: bool = False) -> Iterator[bytes]:
    """Yields the pieces, which are in another encoding, as UTF-8.

    Args:
        pieces: the pieces.
        codec: their encoding.
        lines: how many come before them.
        marked: whether a byte order mark says the encoding, so that no other one can be asked for.
    """
    decoder = codecs.getincrementaldecoder(codec)()
    for piece, final in chain(((piece, False) for piece in pieces), [(b"", True)]):
        try:
            text = decoder.decode(piece, final)
        except UnicodeError as error:
            text = ""
            if isinstance(error, UnicodeDecodeError):  # utf-16 without a mark raises another one
                text = error.object[: error.start].decode(codec, "ignore")
            yield text.encode("utf-8", "replace")
            name = codecs.lookup(codec).name
            detail = f"The line is not {name}. Say which encoding it is: ?encoding=NAME."
            if marked:
                detail = (
                    f"The file begins with the mark of {name}, but the line is not that: it is damaged, or cut off."
                )
            raise UploadRefused(422, "invalid_encoding", detail, lines + 1 + text.count("\n")) from None
        lines += text.count("\n")
        if text:
            yield text.encode("utf-8", "replace")
