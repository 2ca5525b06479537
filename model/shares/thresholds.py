"""Thresholds of the scans for shifts. The tables are what `python -m model.shares.calibrate` prints."""

from __future__ import annotations

from math import log

import numpy as np

PER_TEXT = 5.13e-6
"""The false-alarm rate by default, for each text: 5 % in 10,000 texts, -log(0.95) / 10,000."""

SIZE_ERRORS = 2.2
"""Standard errors on each side of a shift's size in its interval: more than 1.96, as it is found when it looks large."""
WHEN_DROP = 8.0
"""The interval of a shift's time holds the times whose squared statistic is at most so much below the best one's."""

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
    wanted = -log(false_alarms)
    if wanted > rates[-1]:
        slope = (squares[-1] - squares[-2]) / (rates[-1] - rates[-2])
        return float(np.sqrt(squares[-1] + slope * (wanted - rates[-1])))
    return float(np.sqrt(np.interp(wanted, rates, squares)))
