"""How long an interval will be with so many labels, for a person who asks how many are worth the while."""

from __future__ import annotations

from math import sqrt

import numpy as np

from model.shares import sums
from model.shares.corrected import Moments, tuned
from model.shares.estimates import Labelled
from model.shares.sums import Floats

_Z = 1.959963984540054
"""For an interval of 95 %."""
_USUAL = 0.08
"""The variance of (net + 1) / 2 of a text's label less what its scores explain of it. With the embedded model it was
0.056 and 0.057 on two files of labelled tweets, 0.091 on film reviews and 0.144 on sentences that were made to be hard
(docs/pages.md says what that does to the forecast); it weighs little after the first labels."""
_WORTH = 20
"""So many labels weigh as much as what is usual: the variance of a few labels is luck."""


def half_width(total: Floats, labelled: Labelled, labels: int) -> float:
    """Half the length of the 95 % interval of net that so many labels are likely to give, as a fraction: 0.11 is 11
    points. By the labels so far and, while these are few, by what is usual.

    Args:
        total: the sums of the texts that are counted, shape (8,).
        labelled: the labels so far, fewer than there are texts.
        labels: how many there will be.
    """
    texts = float(sums.texts(total))
    if labels >= texts:
        return 0.0
    found = Moments.of(total, labelled)
    variance = _USUAL
    if found.labels > 1:
        own = float(found.residual(tuned([found], [1.0]))[3])
        variance = (_WORTH * _USUAL + (found.labels - 1) * own) / (_WORTH + found.labels - 1)
    return 2 * _Z * sqrt(float(np.maximum(variance, 0.0)) * (1 - labels / texts) / max(labels, 1))
