"""Why a text has its label: its words, and the texts without each of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from model.sentences import Span

MOST_GROUPS = 64
"""The most texts that are scored to explain one: each is the text without one word, or without a few in a row."""


@cache
def _word() -> re.Pattern[str]:
    """A pattern of a word, a link, or signs in a row. To Python, marks such as the vowels of Thai are no parts of words."""
    marks = [code for code in range(0x300, 0x1F000) if unicodedata.category(chr(code)).startswith("M")]
    firsts = [code for code in marks if unicodedata.category(chr(code - 1))[0] != "M"]
    lasts = [code for code in marks if unicodedata.category(chr(code + 1))[0] != "M"]
    in_words = "".join(f"{chr(first)}-{chr(last)}" for first, last in zip(firsts, lasts, strict=True))
    word = rf"\w[\w{in_words}]*"
    return re.compile(rf"(?:https?://|www\.)\S+|[#@]?{word}(?:['\u2019.\-]{word})*|[^\w\s]+", re.IGNORECASE)


def words(text: str, spans: Sequence[Span]) -> list[Span]:
    """The words of parts of a text, and what stands between them, such as emoji and marks. Of more than MOST_GROUPS, as
    many in a row as need be are one.
    """
    found = [Span(*match.span()) for start, end in spans for match in _word().finditer(text, start, end)]
    size = max(1, -(-len(found) // MOST_GROUPS))
    groups = [found[first : first + size] for first in range(0, len(found), size)]
    return [Span(group[0].start, group[-1].end) for group in groups]


def without(text: str, spans: Sequence[Span], word: Span) -> str:
    """Parts of a text as one text, which is what is scored, without one of their words."""
    kept = []
    for start, end in spans:
        if start <= word.start < end:
            kept.append(text[start : word.start])
            start = min(max(start, word.end), end)
        elif word.start < start < word.end:
            start = min(word.end, end)
        kept.append(text[start:end])
    return " ".join(kept)
