"""A person's labels as files have them."""

from __future__ import annotations

from model.labels import SENTIMENT

UNLABELLED, UNKNOWN = -1, -2
MINUS_ONE, ZERO, ONE, TWO = -3, -4, -5, -6
"""Not a class yet: an empty cell, a cell that is not read, and numbers, of which the whole column shows what they mean.
"""
_CODES = {
    UNLABELLED: ("", "-", "?", "na", "n/a", "nan", "none", "null", "unlabelled", "unlabeled"),
    0: ("negatif", "negativo", "👎"),
    1: ("neutre", "neutro", "😐"),
    2: ("positif", "positivo", "👍"),
    MINUS_ONE: ("-1", "-1.0", "\N{MINUS SIGN}1"),
    ZERO: ("0", "0.0"),
    ONE: ("1", "1.0", "+1"),
    TWO: ("2", "2.0"),
}
_BY_WORD = {word: code for code, words in _CODES.items() for word in words}
FROM_MINUS_ONE = {MINUS_ONE: 0, ZERO: 1, ONE: 2}
FROM_ZERO = {ZERO: 0, ONE: 1, TWO: 2}


def gold_of(cell: str) -> int:
    """The class that a cell says, 0 to 2, or one of the codes above."""
    word = cell.strip().casefold()
    if (code := _BY_WORD.get(word)) is not None:
        return code
    name = SENTIMENT.class_named(word)
    return UNKNOWN if name is None else SENTIMENT.classes.index(name)
