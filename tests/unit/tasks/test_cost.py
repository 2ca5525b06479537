"""What texts cost, and as how many they count."""

from __future__ import annotations

import pytest

from tasks.cost import READ_BYTES, charges, costs


@pytest.mark.parametrize(
    ("text", "whole", "beginning"),
    [("", 1, 1), ("a tweet", 1, 1), ("x" * 300, 3, 3), ("x" * 15_000, 101, 11), ("\u4e16" * 5000, 101, 11)],
)
def test_cost_follows_the_length(text: str, whole: int, beginning: int) -> None:
    """A text that is read whole costs by its whole length, in bytes; else no more than a model reads at once."""
    assert costs(whole=True)(text) == whole
    assert costs(whole=False)(text) == beginning


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 1),
        ("x" * READ_BYTES, 1),
        ("x" * (READ_BYTES + 1), 2),
        ("x" * 100_000, 67),
        ("\U0001f600" * 375, 1),
        ("\U0001f600" * 376, 2),
    ],
)
def test_charge_follows_the_length(text: str, expected: int) -> None:
    """A text that is read whole counts once for each 1,500 bytes begun, and else once."""
    assert charges(whole=True)(text) == expected
    assert charges(whole=False)(text) == 1
