"""Declarations of analyses: which are refused, how a text is counted, and how a declaration is found by name."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from model.analysis import Analysis, decide, find_analysis
from model.engines.registry import load_engine
from model.errors import AnalysisNotFound, UnknownLabels
from model.labels import SENTIMENT, understood

SPAM = Analysis("spam", ("HAM", "SPAM"), {"SPAM": frozenset({"junk"})}, numbered=("HAM", "SPAM"))


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("Sentiment", ("A", "B")),
        ("x", ("A",)),
        ("x", ("A", "A")),
        ("x", ("A", "a")),
        ("x", ("A", "")),
        ("x", ("A", "b\n")),
        ("x", tuple(f"c{i}" for i in range(101))),
    ],
)
def test_what_cannot_be_served_is_refused(name: str, classes: tuple[str, ...]) -> None:
    """A bad name, one class, too many, equal ones, or a class name that would harm a page or a metric are refused."""
    with pytest.raises(ValueError):
        Analysis(name, classes)


def test_aliases_belong_to_classes() -> None:
    """Aliases of a class that the analysis does not have are refused."""
    with pytest.raises(ValueError, match="GOOD"):
        Analysis("x", ("A", "B"), {"GOOD": frozenset({"fine"})})


def test_a_text_counts_under_its_highest_score() -> None:
    """A text counts as the class with the highest score; if several are equal, as the first of them."""
    assert decide((0.1, 0.2, 0.7)) == 2
    assert decide((0.4, 0.2, 0.4)) == 0


def test_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sentiment` finds our analysis; `package.module:NAME` finds a declaration in a user's module."""
    (tmp_path / "moods.py").write_text(
        "from model.analysis import Analysis\nMOODS = Analysis('moods', ('UP', 'DOWN'))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_analysis("sentiment") is SENTIMENT
    assert find_analysis("moods:MOODS").classes == ("UP", "DOWN")
    del sys.modules["moods"]


@pytest.mark.parametrize("name", ["mood", "nowhere:MOODS", "model.labels:NOTHING", "model.labels:LABELS", ":X", ""])
def test_not_found_is_said(name: str) -> None:
    """A name without an analysis behind it is refused, and the message says what was looked for."""
    with pytest.raises(AnalysisNotFound):
        find_analysis(name)


def test_models_are_mapped_to_its_classes() -> None:
    """A model's class names are mapped by the analysis's own names, aliases and numbers, and refused otherwise."""
    assert understood(["ham", "Junk"], analysis=SPAM).matrix.tolist() == np.eye(2).tolist()
    assert understood(["LABEL_0", "LABEL_1"], analysis=SPAM).matrix.tolist() == np.eye(2).tolist()
    assert understood(["a", "b"], {"a": "spam", "B": "HAM"}, SPAM).matrix.argmax(1).tolist() == [1, 0]
    with pytest.raises(UnknownLabels, match="HAM, SPAM"):
        understood(["negative", "positive"], analysis=SPAM)


@pytest.mark.parametrize("count", [2, 3, 8, 9, 100])
def test_an_engine_has_a_column_for_each_class(count: int) -> None:
    """The stub performs any analysis: a column for each class, rows that sum to 1, the class that a text names."""
    analysis = Analysis("x", tuple(f"c{i}" for i in range(count)))
    engine = load_engine("stub", analysis=analysis)
    assert engine.analysis is analysis
    scores = engine.score(["say c1 twice, c1", "c0", ""]).probabilities
    assert scores.shape == (3, count)
    assert np.allclose(scores.sum(1), 1)
    assert scores.argmax(1).tolist()[:2] == [1, 0]
