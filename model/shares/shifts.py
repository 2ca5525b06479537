"""Shifts in texts that are all there, as those of a finished job."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.shares.detector import Shift


def shifts(
    times: NDArray[np.floating],
    values: NDArray[np.floating],
    keys: NDArray[np.uint64] | None = None,
    false_alarms: float = 0.05,
) -> list[Shift]:
    """All shifts of the mean, in the order of time.

    Args:
        times: when each text was written, epoch seconds, shape (n,), in any order.
        values: p_pos - p_neg of each, shape (n,).
        keys: a digest of each text's words, shape (n,): equal texts count once. None: all are counted.
        false_alarms: the probability that texts without any shift yield one.
    """
    raise NotImplementedError
