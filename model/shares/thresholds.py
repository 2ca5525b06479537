"""Thresholds of the scans for shifts. The tables are what `python -m model.shares.calibrate` prints."""

from __future__ import annotations

from math import log

import numpy as np

PER_TEXT = 5.13e-6
"""The false-alarm rate by default, for each text: 5 % in 10,000 texts, -log(0.95) / 10,000."""

SIZE_ERRORS = 2.7
"""Standard errors on each side of a shift's size: more than 1.96, as a shift is found when it looks large."""
WHEN_DROP = 8.0
"""The interval of a shift's time holds the times whose squared statistic is at most so much below the best one's."""

MARGIN = 1.25
"""By so much the rates are taken to be above those simulated: values of real texts are none of the simulation's."""

ONLINE = (
    (0.50, 5.23e-04),
    (0.75, 4.29e-04),
    (1.00, 3.47e-04),
    (1.25, 3.05e-04),
    (1.50, 2.26e-04),
    (1.75, 1.59e-04),
    (2.00, 1.10e-04),
    (2.25, 7.24e-05),
    (2.50, 4.54e-05),
    (2.75, 2.64e-05),
    (3.00, 1.44e-05),
    (3.25, 7.10e-06),
    (3.50, 3.40e-06),
    (3.75, 1.62e-06),
    (4.00, 6.32e-07),
    (4.25, 2.93e-07),
)
"""(threshold, false alarms for each text) of `model.shares.detector`: the highest of several kinds of streams."""


def threshold(false_alarms: float) -> float:
    """The threshold of the online scan for a rate of false alarms for each text.

    The logarithm of the rate falls nearly linearly with the square of the threshold; beyond the table, the line through
    its last two points goes on. The rate is at most that of the table's lowest threshold.

    Raises:
        ValueError: the rate is not above 0.
    """
    if not false_alarms > 0:
        raise ValueError("a rate of false alarms is above 0")
    squares = np.array([one[0] ** 2 for one in ONLINE])
    rates = np.array([-log(one[1]) for one in ONLINE])
    wanted = -log(false_alarms / MARGIN)
    if wanted > rates[-1]:
        slope = (squares[-1] - squares[-2]) / (rates[-1] - rates[-2])
        return float(np.sqrt(squares[-1] + slope * (wanted - rates[-1])))
    return float(np.sqrt(np.interp(wanted, rates, squares)))


OFFLINE_RATES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
OFFLINE = {
    8: (0.70, 1.35, 1.70, 2.05, 2.52, 2.80),
    16: (1.60, 2.20, 2.51, 2.85, 3.20, 3.49),
    32: (2.01, 2.59, 2.88, 3.18, 3.55, 3.82),
    64: (2.32, 2.84, 3.15, 3.45, 3.74, 3.91),
    128: (2.57, 3.09, 3.40, 3.65, 3.96, 4.14),
    256: (2.79, 3.28, 3.59, 3.81, 4.09, 4.24),
    512: (2.97, 3.42, 3.68, 3.89, 4.22, 4.41),
    1024: (3.09, 3.52, 3.77, 4.00, 4.25, 4.41),
    2000: (3.23, 3.66, 3.90, 4.16, 4.47, 4.65),
}
"""The thresholds of `model.shares.shifts` for these probabilities of a false alarm, by the number of blocks."""


def offline_threshold(false_alarms: float, blocks: int) -> float:
    """The threshold of the offline scan for a probability of a false alarm, at most a half, among so many blocks.

    The square goes linearly with the logarithms of both; below the table, it grows by -2 log of the probability.

    Raises:
        ValueError: the probability is not above 0.
    """
    if not false_alarms > 0:
        raise ValueError("a probability of a false alarm is above 0")
    false_alarms /= MARGIN
    numbers = np.log(list(OFFLINE))
    squares = np.array([np.interp(log(blocks), numbers, column) for column in np.square(list(OFFLINE.values())).T])
    lower = max(log(OFFLINE_RATES[-1] / false_alarms), 0.0)
    wanted = max(-log(false_alarms), -log(OFFLINE_RATES[0]))
    return float(np.sqrt(np.interp(wanted, [-log(one) for one in OFFLINE_RATES], squares) + 2 * lower))
