"""Sentences of a text, by rules: where each begins and ends. The time is in proportion to the text's length."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Span(NamedTuple):
    """A part of a text, in characters (Unicode code points)."""

    start: int
    end: int


_SHORT = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "sr",
        "jr",
        "st",
        "vs",
        "eg",
        "ie",
        "etc",
        "inc",
        "ltd",
        "corp",
        "vol",
        "dept",
        "est",
        "approx",
        "sen",
        "rep",
        "gov",
        "capt",
        "lt",
        "col",
        "sgt",
        "rev",
        "hon",
        "jan",
        "feb",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
        "mt",
        "ft",
        "ave",
        "blvd",
        "rd",
    ]
)
"""Words after which a full stop ends an abbreviation, mostly."""
_BORDER = re.compile(
    r"(?P<stop>(?<![.!?\u2026\u203c])[.!?\u2026\u203c]++[\"'\u201d\u2019\u00bb)\]*]*+(?=\s|\Z))"
    r"|(?P<wide>[\u3002\uff01\uff1f\uff0e\u0964\u06d4\u061f]++[\u300d\u300f\u201d\u2019\uff09]*+)"
    r"|(?P<line>(?<!\s)\s*?[\r\n]\s*+)"
)
"""Where a sentence may end: after marks that a blank follows, after full stops of scripts that need no blank, and at
the ends of lines.
"""
_WORD_BEFORE = re.compile(r"(?:[^\W\d_]\.)*[^\W_]+\Z")
_LONGEST_WORD = 24
_AT_ONCE = 300
"""Borders or clauses, about a millisecond of work, after which other greenlets of a web process get their turn."""
_NOTHING = re.compile(r"[\s!-/:-@\[-`{-~\u2026]*+")
"""What alone is no sentence: blanks and marks."""


def sentences(text: str) -> list[Span]:
    """The sentences of a text, without the blanks around them; none for a text of blanks alone.

    Together they hold all characters but blanks. A full stop ends no sentence within a number, an address or an
    abbreviation, nor does the end of a line that goes on in lower case.
    """
    found: list[Span] = []
    start = 0
    for border in in_turns(_BORDER.finditer(text)):
        if _ends(text, start, border):
            start = _add(found, text, start, border.end())
    _add(found, text, start, len(text))
    return found


def in_turns(items: Iterable[T]) -> Iterator[T]:
    """Items of which a text may have as many as letters; others in the process have turns in between."""
    for number, item in enumerate(items, 1):
        if number % _AT_ONCE == 0:
            time.sleep(0)
        yield item


def stripped(text: str, span: Span) -> Span:
    """A part of a text without the blanks around it."""
    part = text[span.start : span.end]
    return Span(span.start + len(part) - len(part.lstrip()), span.start + len(part.rstrip()))


def _ends(text: str, start: int, border: re.Match[str]) -> bool:
    if border.lastgroup == "wide":
        return True
    begin, end = border.span()
    if border.lastgroup == "line":
        following = text[end : end + 1]
        return not following.islower() or sum(map(border[0].count, "\n\r")) - border[0].count("\r\n") > 1
    mark = border[0].rstrip("\"'\u201d\u2019\u00bb)]*")
    if mark in ("...", "\u2026", ".."):
        return not text[end : end + 2].strip()[:1].islower()
    if mark != ".":
        return True
    word = _WORD_BEFORE.search(text, max(start, begin - _LONGEST_WORD), begin)
    if word is None:
        return True
    if word[0].isdecimal():
        return bool(text[start : word.start()].strip())  # else it numbers what follows: "1. The room"
    letters = word[0].replace(".", "").lower()
    return letters not in _SHORT and len(word[0]) > 1 and "." not in word[0]


def _add(found: list[Span], text: str, start: int, end: int) -> int:
    """Adds the sentence without its blanks; marks alone belong to the one before."""
    first, last = stripped(text, Span(start, end))
    if first >= last:
        return end
    if found and _NOTHING.fullmatch(text, first, last):
        found[-1] = Span(found[-1].start, last)
    else:
        found.append(Span(first, last))
    return end
