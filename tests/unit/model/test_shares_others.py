"""Our statistics against the libraries that do the same."""

from __future__ import annotations

import numpy as np
import ppi_py
import pytest
import ruptures
import statsmodels.api as sm
from scipy.stats import t as student
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from model.shares import sums
from model.shares.clusters import design_effect
from model.shares.corrected import Moments, corrected, tuned
from model.shares.difference import difference
from model.shares.estimates import Estimate, Labelled
from model.shares.intervals import quantile, wilson
from model.shares.shifts import shifts
from tests.support.populations import population


@pytest.mark.parametrize(("count", "number"), [(0, 100), (3, 100), (37, 120), (100, 100)])
def test_wilson_is_that_of_statsmodels(count: int, number: int) -> None:
    """Wilson's interval is statsmodels' one."""
    assert wilson(count / number, number) == pytest.approx(proportion_confint(count, number, method="wilson"), abs=1e-9)


def test_quantile_is_that_of_scipy() -> None:
    """Student's quantile is within 0.002 of scipy's for 5 degrees of freedom and more, and within 1 % at 3."""
    for level in (0.9, 0.95, 0.99):
        for degrees in (5, 8, 20, 98, 1000):
            assert quantile(level, degrees) == pytest.approx(student.ppf((1 + level) / 2, degrees), abs=0.01)
        assert quantile(level, 98) == pytest.approx(student.ppf((1 + level) / 2, 98), abs=1e-5)


def test_difference_is_newcombes() -> None:
    """Of two shares from labels alone the difference's interval is statsmodels' `newcomb`."""
    first, second = (Estimate(share, *wilson(share, size), size) for share, size in ((0.31, 100), (0.12, 150)))
    found = difference(first, second)
    theirs = confint_proportions_2indep(31, 100, 18, 150, compare="diff", method="newcomb")
    assert (found.low, found.high) == pytest.approx(theirs, abs=1e-9)


def test_estimate_is_that_of_ppi() -> None:
    """The corrected share is ppi-python's: theirs with the texts without a label as the others, ours with all texts."""
    gold, scores = population(3000, (0.3, 0.4, 0.3))
    total = sums.of(scores)
    sample = Labelled(gold[:200], scores[:200])
    found = corrected(total, sample)
    weight = tuned([Moments.of(total, sample)], [1.0])
    for label, one in enumerate((found.negative, found.neutral, found.positive)):
        truth, guess, others = (gold[:200] == label) * 1.0, scores[:200, label], scores[200:, label]
        # With all texts in the mean of the scores, our weight of n/N of them cancels.
        theirs = ppi_py.ppi_mean_pointestimate(truth, guess, others, lam=weight[label] * (1 - 200 / 3000))
        assert one.estimate == pytest.approx(float(theirs[0]), abs=1e-9)


def test_tuning_and_interval_are_those_of_ppi_among_many_texts() -> None:
    """With many texts and 1,000 labels the weight found and the interval are ppi-python's."""
    gold, scores = population(200_000, (0.3, 0.4, 0.3))
    found = corrected(sums.of(scores), Labelled(gold[:1000], scores[:1000]))
    truth, guess, others = (gold[:1000] == 0) * 1.0, scores[:1000, 0], scores[1000:, 0]
    low, high = ppi_py.ppi_mean_ci(truth, guess, others, alpha=0.05)
    assert found.negative.estimate == pytest.approx(
        float(ppi_py.ppi_mean_pointestimate(truth, guess, others)[0]), abs=1e-3
    )
    assert (found.negative.low, found.negative.high) == pytest.approx((float(low[0]), float(high[0])), abs=2e-3)


def test_design_effect_is_that_of_clustered_errors() -> None:
    """The design effect is the ratio of statsmodels' variances, robust to the clusters and not."""
    rng = np.random.default_rng(4)
    groups = rng.integers(0, 80, 1000)
    values = rng.normal(size=80)[groups] + rng.normal(size=1000)
    model = sm.OLS(values, np.ones(1000))
    plain = model.fit().bse[0]
    robust = model.fit(cov_type="cluster", cov_kwds={"groups": groups, "df_correction": True}).bse[0]
    assert design_effect(values, groups) == pytest.approx((robust / plain) ** 2, rel=2e-3)


def test_shifts_are_those_of_ruptures() -> None:
    """Where ruptures, told that there are three shifts, puts them, ours are found, untold."""
    rng = np.random.default_rng(5)
    levels = np.repeat([0.1, -0.3, 0.2, 0.0], [1500, 800, 1200, 2000])
    values = np.clip(levels + rng.normal(size=len(levels)) * 0.4, -1, 1)
    theirs = ruptures.Binseg(model="l2", jump=20, min_size=80).fit(values[:, None]).predict(n_bkps=3)[:-1]
    ours = [one.when for one in shifts(np.arange(len(values)) * 1.0, values)]
    assert ours == pytest.approx(theirs, abs=40)
