"""The words of a text whose weights are told."""

from __future__ import annotations

import time

import pytest

from model.explain import MOST_GROUPS, without, words
from model.sentences import Span


def of(text: str) -> list[str]:
    """The words of a whole text."""
    return [text[start:end] for start, end in words(text, [Span(0, len(text))])]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I don't stop-it #love @you :)", ["I", "don't", "stop-it", "#love", "@you", ":)"]),
        ("see https://a.b/c?d=1 now!", ["see", "https://a.b/c?d=1", "now", "!"]),
        ("❤️ 👩\u200d👩\u200d👧", ["❤️", "👩\u200d👩\u200d👧"]),
        ("go\u0301\u0302od bad", ["go\u0301\u0302od", "bad"]),
        ("สินค้าดีมาก ชอบ", ["สินค้าดีมาก", "ชอบ"]),
        ("यह बहुत अच्छा है", ["यह", "बहुत", "अच्छा", "है"]),
        ("这个产品", ["这个产品"]),
        ("Horrible", ["Horrible"]),
        ("", []),
        ("  ", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    """Words are told with what belongs to them, such as marks of accents and vowels; emoji and signs are words, too."""
    assert of(text) == found


def test_many_words_are_told_in_groups() -> None:
    """However many words a text has, they are told in at most 64 groups, which together hold all of them."""
    for count in (64, 65, 10_000):
        text = " ".join(f"w{n}" for n in range(count))
        groups = of(text)
        assert len(groups) <= MOST_GROUPS
        assert " ".join(groups) == text


def test_the_time_is_in_proportion() -> None:
    """A text of 100,000 characters takes no long time, whatever it has."""
    for text in ("a" * 100_000, "a'" * 50_000, "e\u0301" * 50_000, "\u0301" * 100_000, "#" * 100_000, "www." * 25_000):
        started = time.thread_time()
        of(text)
        assert time.thread_time() - started < 0.5, text[:4]


def test_without_a_word() -> None:
    """The text without a word is the rest of it."""
    text = "I love it"
    whole = [Span(0, len(text))]
    rests = [without(text, whole, word) for word in words(text, whole)]
    assert [rest.split() for rest in rests] == [["love", "it"], ["I", "it"], ["I", "love"]]
