"""Cleaning of texts. Only the cleaned text is scored, cached and compared, never the raw one."""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache

MOST_MARKS = 30
"""The most combining marks in a row that are normalised, as in Unicode's Stream-Safe Text Format (UAX #15, section 13).
"""

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_ENTITY = re.compile(r"&(?:[a-zA-Z][a-zA-Z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_MENTION = re.compile(r"(?<![\w@])@\w+")
_STYLED = re.compile("[\u24b6-\u24e9\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff]+")
"""Letters and digits in circles, in full width, and in the styles of formulas, with which people write bold text."""
_decoded = lru_cache(maxsize=1024)(html.unescape)


_TWO_MARKS = "\u0f73\u0f75\u0f81"
"""Characters that do not count as marks themselves, but decompose into two marks each."""
_MARKS = frozenset([*_TWO_MARKS, *(char for char in map(chr, range(0x300, 0x1F000)) if unicodedata.combining(char))])


def _row_of_marks() -> re.Pattern[str]:
    """More than MOST_MARKS characters in a row that may be combining marks."""
    usual = "".join(filter("\uffff".__gt__, _MARKS))
    # The rare ones as one range, with letters between them: each further range would cost time for every character.
    mark = f"[{usual}\U000101fd-\U0001efff]"
    return re.compile(f"{mark}(?<!{mark}{mark}){mark}{{{MOST_MARKS},}}")


_ROW_OF_MARKS = _row_of_marks()


def _with_fewer_marks(row: re.Match[str]) -> str:
    kept, marks = [], 0
    for char in row[0]:
        if char not in _MARKS:
            marks = 0
        elif marks == MOST_MARKS:
            continue
        else:
            marks += 1
        kept.append(char)
    return "".join(kept)


def clean(text: str) -> str:
    """The text in the form that the model was trained on.

    Lone surrogates become U+FFFD (UTF-8 cannot encode them), HTML entities are decoded, letters in bold, in circles and
    in other styles become plain letters, which models know, and the text is normalised to Unicode NFC. Links become
    `http`, mentions `@user`; control characters and runs of white space become one blank. Emoji and upper case are
    kept. The result is empty if nothing is left to score.

    The time is proportional to the length. Normalising sorts the combining marks after a character, in a time that
    grows with the square of their number. So where a text is not in NFC, only the first MOST_MARKS of a row are kept:
    no language has more.
    """
    text = _SURROGATE.sub("\ufffd", text)
    text = _ENTITY.sub(lambda match: _decoded(match[0]), text)
    if not text.isascii():
        text = _STYLED.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    # This check is linear: it ends at the first mark that is out of order.
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", _ROW_OF_MARKS.sub(_with_fewer_marks, text))
    text = _CONTROL.sub(" ", text)
    text = _LINK.sub("http", text)
    text = _MENTION.sub("@user", text)
    return " ".join(text.split())
