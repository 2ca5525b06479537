"""Shares by buckets of time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.shares.estimates import FLOOR, LEVEL, NO_LABELS, Labelled, Shares
from model.shares.sums import Floats


def series(
    buckets: Floats,
    labelled: Labelled = NO_LABELS,
    label_buckets: NDArray[np.integer] | None = None,
    design_effects: Sequence[float] | None = None,
    floor: int = FLOOR,
    level: float = LEVEL,
) -> list[Shares]:
    """The shares of each bucket.

    Args:
        buckets: each bucket's sums, shape (buckets, 8); what lies outside the buckets shown is left out.
        labelled: the labels of all these buckets.
        label_buckets: the bucket of each label, shape (n,).
        design_effects: each bucket's design effect; None: 1.
        floor: the labels that a bucket needs to be corrected by its own; otherwise it is by all of them, if those
            are enough, and its note says so; otherwise it is raw.
        level: of each interval.
    """
    raise NotImplementedError
