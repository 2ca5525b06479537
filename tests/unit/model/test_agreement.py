"""How far two people who label the same texts agree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.agreement import agreement

Pairs = list[tuple[str, str]]


def pairs(*rows: tuple[int, ...]) -> Pairs:
    """Labels of texts by a table: a row for each label of the first person, a column for each of the second."""
    labels = "ABCD"
    return [(labels[i], labels[j]) for i, row in enumerate(rows) for j, count in enumerate(row) for _ in range(count)]


def test_cohens_example() -> None:
    """The table of Fleiss, Cohen and Everitt (1969): kappa .429 with a standard error of .054 (variance .002885)."""
    table = [(53, 5, 2), (11, 14, 5), (1, 6, 3)]
    found = agreement(pairs(*table) + pairs(*table))
    assert (found.texts, found.equal) == (200, 140)
    assert found.kappa == pytest.approx(0.429, abs=0.0005)
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 0.002885**0.5, abs=0.0005)


def test_without_an_answer() -> None:
    """No texts, or a single label, tell nothing of agreement; a few texts give a kappa without an interval."""
    assert agreement([]).kappa is None
    assert agreement(pairs((40, 0), (0, 0))).kappa is None
    few = agreement(pairs((9, 1), (1, 9)))
    assert few.kappa == pytest.approx(0.8)
    assert few.low is few.high is None


def test_two_who_agree_on_all() -> None:
    """Full agreement is 1, whatever the labels are."""
    found = agreement(pairs((20, 0, 0), (0, 10, 0), (0, 0, 5)))
    assert (found.kappa, found.low, found.high) == (1.0, 1.0, 1.0)


@settings(deadline=None)  # the first call loads scikit-learn
@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("ABC")), min_size=2, max_size=80))
def test_as_scikit_learn_says(said: Pairs) -> None:
    """Kappa is that of scikit-learn, where that is installed; its interval lies around it and within -1 and 1."""
    metrics = pytest.importorskip("sklearn.metrics")
    found = agreement(said)
    if found.kappa is None:
        assert len({label for pair in said for label in pair}) == 1
        return
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(*zip(*said, strict=True)), abs=1e-9)
    if found.low is not None and found.high is not None:
        assert -1 <= found.low <= found.kappa <= found.high <= 1
