"""Where the sentences of a text begin and end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.sentences import sentences


def cut(text: str) -> list[str]:
    """The sentences as texts."""
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I loved it! Never again.", ["I loved it!", "Never again."]),
        ("it broke. i sent it back. no answer", ["it broke.", "i sent it back.", "no answer"]),
        ("Oh no. It broke", ["Oh no.", "It broke"]),
        ("What?! No way!!! \U0001f44d", ["What?!", "No way!!!", "\U0001f44d"]),
        ("Well... it works... Mostly.", ["Well... it works...", "Mostly."]),
        ('"Great." (Really.) Yes', ['"Great."', "(Really.)", "Yes"]),
        ("这很好。那不好！真的", ["这很好。", "那不好！", "真的"]),
        ("Good\nBad\n\nworse", ["Good", "Bad", "worse"]),
        ("a line that\r\ngoes on. Next", ["a line that\r\ngoes on.", "Next"]),
        ("Nice... ... !!", ["Nice... ... !!"]),
        ("...", ["..."]),
        (" \n\t", []),
        ("", []),
    ],
)
def test_sentences_end_at_marks_and_lines(text: str, expected: list[str]) -> None:
    """A sentence ends at a mark that a blank follows, at a full stop of a script without blanks, or with its line;
    marks alone belong to the sentence before.
    """
    assert cut(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Mr. Smith and Dr. Jones paid $3.50 at 5 p.m. on Feb. 3",
        "J. K. Rowling, of the U.S. or not",
        "see https://a.example/b.c?d=e.f of v1.2.3",
        "1. The room was clean",
    ],
)
def test_other_full_stops_end_no_sentence(text: str) -> None:
    """A full stop in a number, an address, an abbreviation, an initial, or after a number that begins a line."""
    assert cut(text) == [text]


@given(st.text(st.sampled_from("ab A.!?\u2026\n\r\t\u3002\"')1\U0001f600")))
def test_sentences_hold_all_but_blanks(text: str) -> None:
    """Sentences are in order, do not overlap, begin and end without blanks, and leave out blanks alone."""
    spans = sentences(text)
    at = 0
    for start, end in spans:
        assert at <= start < end
        assert not text[at:start].strip()
        assert text[start:end] == text[start:end].strip()
        at = end
    assert not text[at:].strip()
