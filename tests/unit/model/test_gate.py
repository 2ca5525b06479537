"""The gate: what a compiled form of a model must keep to."""

from __future__ import annotations

import numpy as np
import pytest

from model.engines.registry import load_engine
from model.gate import LEAST_SPREAD, alone, in_batches, judge, speedup, spread
from model.making import in_a_line
from model.types import FloatArray

COUNT = 400


def scores(top: float = 0.8) -> FloatArray:
    """The scores of 400 texts in three classes; every third has the same label."""
    rest = (1 - top) / 2
    rows = np.full((COUNT, 3), rest, np.float32)
    rows[np.arange(COUNT), np.arange(COUNT) % 3] = top
    return rows


def with_another_label(rows: FloatArray, count: int, margin: float) -> tuple[FloatArray, FloatArray]:
    """Torch's scores and those of a form that has another label for the first `count` texts, whose two highest scores
    are `margin` apart.
    """
    torch, form = rows.copy(), rows.copy()
    high, low = (0.9 + margin) / 2, (0.9 - margin) / 2
    torch[:count] = high, low, 0.1
    form[:count] = low, high, 0.1
    return torch, form


def test_equal_scores_pass() -> None:
    """A form with torch's scores passes, with figures and without a reason."""
    trial = judge("int8", scores(), scores(), scores(), 9.876)
    assert (trial.form, trial.passed, trial.reason, trial.texts) == ("int8", True, "", COUNT)
    assert (trial.labels_equal, trial.largest_margin, trial.mean_difference, trial.alone_difference) == (1, 0, 0, 0)
    assert trial.speedup == 9.88


@pytest.mark.parametrize(("count", "passes"), [(4, True), (5, False)])
def test_labels(count: int, passes: bool) -> None:
    """One text in a hundred may get another label, if torch's two highest scores were close; no more."""
    torch, form = with_another_label(scores(), count, 0.05)
    trial = judge("int8", torch, form, form, 1.0)
    assert trial.passed is passes
    assert trial.labels_equal == pytest.approx(1 - count / COUNT)
    assert passes or "98.8% of 400 labels equal torch's, not 99%" in trial.reason


@pytest.mark.parametrize(("margin", "passes"), [(0.09, True), (0.11, False)])
def test_margin(margin: float, passes: bool) -> None:
    """Not a single text of which torch is sure may get another label."""
    torch, form = with_another_label(scores(), 1, margin)
    trial = judge("int8", torch, form, form, 1.0)
    assert trial.passed is passes
    assert trial.largest_margin == pytest.approx(margin, abs=1e-6)
    assert passes or "0.11 apart" in trial.reason


@pytest.mark.parametrize(("top", "passes"), [(0.772, True), (0.768, False)])
def test_mean_difference(top: float, passes: bool) -> None:
    """Scores may differ by 0.02 on average."""
    form = scores(top)
    trial = judge("bf16", scores(), form, form, 1.0)
    assert trial.passed is passes
    assert passes or "scores differ by 0.021 on average" in trial.reason


@pytest.mark.parametrize(("apart", "passes"), [(0.0009, True), (0.0011, False)])
def test_alone_and_in_a_batch(apart: float, passes: bool) -> None:
    """A text's scores may not depend on its companions: one text that does is enough."""
    single = scores()
    single[17, 0] += apart
    trial = judge("int8", scores(), scores(), single, 1.0)
    assert trial.passed is passes
    assert passes or "alone and in a batch differ by 0.0011" in trial.reason


@pytest.mark.parametrize("where", ["together", "single"])
def test_what_is_no_number(where: str) -> None:
    """A form that overflows for a single text does not pass, and its figures can be written as JSON."""
    wrong = scores()
    wrong[3, 1] = np.nan
    given = {"together": scores(), "single": scores()} | {where: wrong}
    trial = judge("bf16", scores(), given["together"], given["single"], 1.0)
    assert not trial.passed
    assert "not finite" in trial.reason
    assert np.isfinite([trial.mean_difference, trial.alone_difference]).all()


def test_all_reasons_are_given() -> None:
    """Whoever reads why a form was turned down sees everything at once."""
    torch, form = with_another_label(scores(), 40, 0.5)
    assert judge("int8", torch, form, form, 1.0).reason.count(";") == 2


def test_scores_of_an_engine() -> None:
    """Texts are scored in the order given, together and alone, and it is told how many are."""
    engine = load_engine("stub")
    texts = [f"good day {number}" for number in range(250)]
    told: list[float] = []
    together = in_batches(engine, texts, told.append)
    assert np.array_equal(together, engine.score(texts).probabilities)
    assert np.array_equal(alone(engine, texts, told.append, threads=2), together)
    assert told == [0.4, 0.8, 1.0, 0.4, 0.8]


def test_speedup() -> None:
    """An engine that takes 5 ms for a text is about four times as fast as one that takes 20 ms."""
    fast, slow = load_engine("stub?delay_s=0.005"), load_engine("stub?delay_s=0.02")
    assert 1.5 < speedup(fast, slow, ["good"] * 10) < 8  # generous: other processes take the processor
    assert speedup(slow, fast, ["good"] * 10) < 0.7


def test_spread() -> None:
    """A model that says the same of all texts is recognised; one that tells them apart is not taken for it."""
    flat = np.tile(np.array([0.4, 0.35, 0.25], np.float32), (COUNT, 1))
    flat[::2, 0] += 0.005
    assert spread(flat) < LEAST_SPREAD < spread(scores())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no file /home/ann/models/x.bin here", "OSError: no file ... here"),
        ("'/srv/a/b': two\nlines of owner/name", "OSError: '...': two lines of owner/name"),
        (r"C:\models\x is gone", "OSError: ... is gone"),
        ("cannot open '/home/Ann B/my models/x': denied", "OSError: cannot open '...': denied"),
        ("cannot open /home/Ann B/my models/x.bin now", "OSError: cannot open ... now"),
    ],
)
def test_reasons_hold_no_paths(said: str, told: str) -> None:
    """What a library says of an error is told in one line, and without the paths of files."""
    assert in_a_line(OSError(said)) == told
