"""What answers say of the parts of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.jobs.job import LinePart
from tasks.store.outcomes import Failed, Scored
from webapp.api.parts import words_body

shares = st.lists(st.integers(1, 1000), min_size=3, max_size=3).map(
    lambda counts: tuple(round(count / sum(counts), 6) for count in counts)
)


@given(shares, st.lists(shares, max_size=4))
def test_a_weight_and_the_score_without_the_word_are_the_confidence(
    whole: tuple[float, ...], without: list[tuple[float, ...]]
) -> None:
    """For each word, its weight and the score that the text's own label has without the word add up to the text's
    confidence, also where another label wins without it.
    """
    text = "word " * len(without)
    parts = [(5 * n, 5 * n + 4, Scored(scores, False)) for n, scores in enumerate(without)]
    label = whole.index(max(whole))
    bodies = words_body(text, Scored(whole, False), parts)
    assert len(bodies) == len(without)
    for body, scores in zip(bodies, without, strict=True):
        weight = body["weight"]
        assert isinstance(weight, float)
        assert weight + scores[label] == pytest.approx(max(whole), abs=1e-6)
        assert (body["text"], body["length"]) == ("word", 4)


def test_weights_by_hand() -> None:
    """A word for the label weighs more than nothing, one against it less; without an outcome there is no weight."""
    whole = Scored((0.7, 0.2, 0.1), False)
    parts: list[LinePart] = [
        (0, 5, Scored((0.1, 0.2, 0.7), False)),  # without it the text would be positive
        (6, 9, Scored((0.9, 0.05, 0.05), False)),
        (10, 14, Scored((0.7, 0.3, 0.0), False)),
        (15, 16, Failed("empty_text")),
        (17, 18, None),
    ]
    weights = [body["weight"] for body in words_body("awful but chair . !", whole, parts)]
    assert weights == [0.6, -0.2, 0.0, None, None]
