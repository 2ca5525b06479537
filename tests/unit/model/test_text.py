"""Cleaning of texts: what it changes, and what it leaves."""

from __future__ import annotations

import html
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text import _MARKS, _ROW_OF_MARKS, _STYLED, MOST_MARKS, clean


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
        ("𝐈 𝗵𝗮𝘁𝗲 𝒊𝒕, 𝟙 Ｄａｙ ⓞⓝⓛⓨ！ \uff1f", "I hate it, 1 Day only！ \uff1f"),
        ("", ""),
        (" \x00\n\t ", ""),
    ],
    ids=[
        "lone surrogate", "NUL", "escape", "white space", "other blanks", "NFC", "mentions", "email", "link",
        "link forms", "entities", "no entities", "emoji and case", "joined emoji", "right to left", "styled letters",
        "empty", "nothing left",
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


# Combining marks


def taken_apart(code: int) -> str:
    """A character in its canonical decomposition."""
    return unicodedata.normalize("NFD", chr(code))


def test_every_mark_is_known() -> None:
    """What normalisation sorts is known as a mark, in whatever version of Unicode, and found in a long row of it."""
    characters = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    assert {chr(code) for code in characters if unicodedata.combining(taken_apart(code)[0])} == _MARKS
    for mark in _MARKS:
        assert _ROW_OF_MARKS.search("a" + mark * (MOST_MARKS + 1)), hex(ord(mark))


def marks_in_a_row(text: str) -> int:
    """The longest row of marks once the text is taken apart."""
    rows = "".join("m" if unicodedata.combining(char) else " " for char in unicodedata.normalize("NFD", text))
    return max(map(len, rows.split()), default=0)


@pytest.mark.parametrize("before", ["", "a", "\u1e69", "\U0001d400", "&#65;"])
@pytest.mark.parametrize("row", ["\u0301\u0316", "\u0f73", "\u0344\u0316", "\U0001d16d\U000101fd", "&#769;&#790;"])
def test_rows_of_marks(before: str, row: str) -> None:
    """Of marks that would have to be sorted the first 30 are kept, in every place; a square of their number is never
    spent.
    """
    cleaned = clean(f"one {before}{row * 500} two {before}{row * 500}")
    assert marks_in_a_row(cleaned) <= 2 * MOST_MARKS + 2  # some are two in one
    assert cleaned.startswith("one ")
    assert " two " in cleaned
    assert clean(f"{before}{row * 500}") == clean(f"{before}{row * 5000}")


def as_before(text: str) -> str:
    """Cleaning without any thought of marks."""
    text = re.sub(r"&(?:[a-zA-Z][a-zA-Z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});", lambda m: html.unescape(m[0]),
                  re.sub(r"[\ud800-\udfff]", "\ufffd", text))  # fmt: skip
    text = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", unicodedata.normalize("NFC", text))
    text = re.sub(r"(?:https?://|www\.)\S+", "http", text, flags=re.IGNORECASE)
    return " ".join(re.sub(r"(?<![\w@])@\w+", "@user", text).split())


_PIECES = st.sampled_from(
    [
        *"ab \u00e9\u1e69\u0e33\u1100\u1161\u11a8\u0344\u0f73\U0001d400",
        "&#769;",
        "&eacute;",
        "@a",
        "\u0301\u0316",
        "\u0327",
    ]
)


@given(st.lists(_PIECES, max_size=60) | st.lists(st.text(max_size=5), max_size=9))
def test_ordinary_texts_are_cleaned_as_before(pieces: list[str]) -> None:
    """Up to 30 marks in a row change nothing but styled letters: what is cached under a text's digest stays valid."""
    text = "".join(pieces)
    row = max((len(found) for found in re.findall(f"[{''.join(_MARKS)}]+", html.unescape(text))), default=0)
    if row <= MOST_MARKS and _STYLED.search(html.unescape(text)) is None:
        assert clean(text) == as_before(text)


def test_sorted_marks_stay() -> None:
    """A text in NFC is as it should be, however many marks are in it: nothing has to be sorted."""
    text = "a" + "\u0316" * 50 + "\u0323" * 50
    assert unicodedata.is_normalized("NFC", text)
    assert clean(text) == text
