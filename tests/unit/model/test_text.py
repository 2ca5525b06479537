"""Cleaning of texts: what it changes, and what it leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text import clean


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("bad \ud83d text", "bad \ufffd text"),
        ("nul\x00byte", "nul byte"),
        ("a\x1b[0mb", "a [0mb"),
        ("  two\t\n lines\r\n ", "two lines"),
        ("no-break\u00a0blank\u3000here", "no-break blank here"),
        ("cafe\u0301", "café"),
        ("@Bob_1 and (@eve) and .@x", "@user and (@user) and .@user"),
        ("mail me at bob@example.org", "mail me at bob@example.org"),
        ("see https://t.co/Ab?c=1 now", "see http now"),
        ("HTTP://EXAMPLE.ORG/ and www.example.org/x", "http and http"),
        ("fish &amp; chips &lt;3 &#39;ok&#39;", "fish & chips <3 'ok'"),
        ("AT&T and R&D; stay", "AT&T and R&D; stay"),
        ("Great 😍👍🏽 DAY", "Great 😍👍🏽 DAY"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("أحب هذا", "أحب هذا"),
        ("", ""),
        (" \x00\n\t ", ""),
    ],
    ids=[
        "lone surrogate", "NUL", "escape", "white space", "other blanks", "NFC", "mentions", "email", "link",
        "link forms", "entities", "no entities", "emoji and case", "joined emoji", "right to left", "empty",
        "nothing left",
    ],
)  # fmt: skip
def test_clean(raw: str, cleaned: str) -> None:
    """The cleaned text is exactly the one stated."""
    assert clean(raw) == cleaned


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_cleaned_text_is_utf8_on_one_line(raw: str) -> None:
    """Any cleaned text can be encoded, has no control characters, and has no blank at either end."""
    text = clean(raw)
    text.encode()
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text)
    assert text == " ".join(text.split())
