"""Class names of other models are mapped to the three labels, or refused."""

from __future__ import annotations

import pytest

from model.errors import UnknownLabels
from model.labels import understood


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["LABEL_0", "LABEL_1", "LABEL_2"], [0, 1, 2]),
        (["negative", "neutral", "positive"], [0, 1, 2]),
        (["POS", "NEG", "NEU"], [2, 0, 1]),
        (["NEGATIVE", "POSITIVE"], [0, 2]),
        (["1 star", "2 stars", "3 stars", "4 stars", "5 stars"], [0, 0, 1, 2, 2]),
    ],
    ids=["bare", "names", "other order", "two classes", "stars"],
)
def test_known_names(names: list[str], columns: list[int]) -> None:
    """Each class is mapped to the column of its label and to no other."""
    matrix = understood(names).matrix
    assert matrix.shape == (len(names), 3)
    assert matrix.argmax(1).tolist() == columns
    assert matrix.sum(1).tolist() == [1.0] * len(names)


@pytest.mark.parametrize(
    "names", [["LABEL_0", "LABEL_1"], ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"], ["joy", "anger", "neutral"]]
)
def test_unknown_names_are_refused(names: list[str]) -> None:
    """Classes of unknown meaning are refused, and the message shows how to give the meaning."""
    with pytest.raises(UnknownLabels, match="LABEL_MAP"):
        understood(names)


def test_own_map_wins() -> None:
    """The user's map takes precedence over the known names."""
    assert understood(["LABEL_0", "LABEL_1"], {"label_0": "positive", "LABEL_1": "NEGATIVE"}).matrix.argmax(
        1
    ).tolist() == [
        2,
        0,
    ]
    assert understood(["negative", "positive"], {"positive": "NEUTRAL"}).matrix.argmax(1).tolist() == [0, 1]


def test_map_to_elsewhere_is_refused() -> None:
    """A map to a fourth label is refused."""
    with pytest.raises(UnknownLabels, match="FINE"):
        understood(["LABEL_0", "LABEL_1"], {"LABEL_0": "FINE", "LABEL_1": "NEGATIVE"})
