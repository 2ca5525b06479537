"""What a text says about a target."""

from __future__ import annotations

import time

import pytest

from model.target import about, is_target, joined


def said(text: str, target: str) -> list[str]:
    """The parts of the text that are about the target."""
    return [text[start:end] for start, end in about(text, target)]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("I love TRUMP today", "Trump"),
        ("I love Trump's plan", "trump"),
        ("I love Trump\u2019s plan", "trump"),
        ("So many iPhones broke", "iPhone"),
        ("The bosses' plan", "boss"),
        ("Proud #VoteTrump2016", "Trump"),
        ("Well done @realDonaldTrump", "Donald Trump"),
        ("Well done donald_trump", "Donald Trump"),
        ("Thank you @united", "#United"),
        ("AT&amp;T is slow", "AT&T"),
        ("Levi\u2019s fit well", "Levi's"),
        ("I write C++ daily", "C++"),
        ("我喜欢拜登的计划", "拜登"),
        ("I saw Beyonce\u0301 live", "Beyonc\u00e9"),
        ("I saw Beyonc\u00e9's show", "BEYONCE\u0301"),
        ("\u1109\u1161\u11b7\u1109\u1165\u11bc is great", "\uc0bc\uc131"),
        ("a+b (x) costs $5", "(x)"),
    ],
)
def test_forms_of_a_name(text: str, target: str) -> None:
    """A target is found in any case, as a possessive or plural, and in hashtags and mentions."""
    assert said(text, target) == [text]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("A trumpet solo", "Trump"),
        ("The #musical began", "us"),
        ("I use it", "us"),
        ("", "Trump"),
        ("Nothing", "Trump"),
    ],
)
def test_other_words_are_not_the_name(text: str, target: str) -> None:
    """A target is not found within longer words, nor a short one within hashtags."""
    assert said(text, target) == []


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("I like the Galaxy. Nobody likes the Pixel.", "Pixel", ["Nobody likes the Pixel."]),
        ("I like the Galaxy, but the Pixel's camera is bad.", "pixel", ["but the Pixel's camera is bad."]),
        ("I like the Galaxy, but the Pixel's camera is bad.", "galaxy", ["I like the Galaxy,"]),
        (
            "It rained. I bought the Pixel. It broke. My old Galaxy works.",
            "Pixel",
            ["I bought the Pixel.", "It broke."],
        ),
        ("The Pixel: good. The Galaxy: bad. pixel, again", "Pixel", ["The Pixel: good.", "pixel, again"]),
        ("Pixel, but it is slow and hot", "Pixel", ["Pixel, but it is slow and hot"]),
        ("I love the Pixel. The iPhone is bad. It broke.", "Pixel", ["I love the Pixel."]),
    ],
)
def test_what_is_about_the_target(text: str, target: str, expected: list[str]) -> None:
    """Clauses that name the target, and sentences after them up to one that names something else."""
    assert said(text, target) == expected


def test_parts_are_scored_as_one_text() -> None:
    """The parts are joined by blanks."""
    text = "The Pixel broke!  The Galaxy works. The Pixel is hot."
    assert joined(text, about(text, "Pixel")) == "The Pixel broke! The Pixel is hot."


@pytest.mark.parametrize(
    ("target", "expected"), [("Trump", True), ("7", True), ("#", False), ("", False), (" ", False), ("x" * 101, False)]
)
def test_what_may_be_a_target(target: str, expected: bool) -> None:
    """A target has a letter or digit, and at most 100 characters."""
    assert is_target(target) is expected


@pytest.mark.parametrize("unit", ["trump but ", "trump. ", "#tru", "@a", "trump", "; ", "Trump. Other Names ", "but "])
def test_time_is_in_proportion(unit: str) -> None:
    """The longest text takes no more than a moment, whatever it consists of: a search in the square of its length would
    take minutes.
    """
    text = (unit * 150_000)[:150_000]
    began = time.process_time()
    about(text, "trump")
    assert time.process_time() - began < 10.0
