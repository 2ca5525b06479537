"""The shares of positive and negative texts by topic, as counting a model's answers finds them."""

from __future__ import annotations

import gzip
from math import log
from pathlib import Path

import numpy as np
import pytest

from model.training.quantification import quantified, read


def answers(texts: list[str]) -> np.ndarray:
    """Positive where a text says "good"; which of positive and negative is likelier counts, not neutral."""
    return np.array([[0.1, 0.7, 0.2] if "good" in text else [0.2, 0.7, 0.1] for text in texts], np.float32)


def test_shares_are_compared_by_topic() -> None:
    """Each topic counts the same; a share that is met has no divergence, and that of another is the task's formula."""
    met = [("one", "good", True), ("one", "bad", False)] * 3
    missed = [("two", "good", True), ("two", "good", True), ("two", "good", False), ("two", "bad", False)]
    found = quantified(answers, met)
    assert (found.topics, found.texts, found.divergence, found.absolute_error) == (1, 6, 0, 0)
    both = quantified(answers, [*met, *missed])
    assert both.topics == 2
    assert both.absolute_error == pytest.approx(0.25 / 2)
    q = (0.75 + 1 / 8) / 1.25
    assert both.divergence == pytest.approx((0.5 * log(0.5 / q) + 0.5 * log(0.5 / (1 - q))) / 2)


def test_one_sided_topics_have_a_finite_divergence() -> None:
    """Where all texts are positive and none is found so, the smoothing keeps the divergence finite."""
    found = quantified(answers, [("one", "bad", True)] * 5)
    assert found.absolute_error == 1
    assert 0 < found.divergence < 10


def test_rows_are_read(tmp_path: Path) -> None:
    """Packed or not, positive and negative rows are read; a file without the columns is refused by their names."""
    content = 'segment,text,gold\na,"good, really",POSITIVE\na,so,NEUTRAL\nb,bad,NEGATIVE\n'
    (tmp_path / "a.csv").write_text(content)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content.encode()))
    assert read(tmp_path / "a.csv") == read(tmp_path / "a.csv.gz") == [("a", "good, really", True), ("b", "bad", False)]
    (tmp_path / "b.csv").write_text("text,label\na,POSITIVE\n")
    with pytest.raises(ValueError, match="no column gold, segment"):
        read(tmp_path / "b.csv")
