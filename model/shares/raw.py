"""Shares by the model's labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.shares import sums
from model.shares.estimates import FLOOR, LEVEL, Estimate, Method, Shares
from model.shares.intervals import estimates
from model.shares.sums import Floats

NOTE = (
    "By the model's labels alone: the interval tells how much the share of the model's labels varies from sample to "
    "sample, not how often the model is wrong. Label a random sample of the texts to correct it."
)
_EMPTY = Estimate(0.0, None, None)
NO_TEXTS = Shares(_EMPTY, _EMPTY, _EMPTY, _EMPTY, 0, 0.0, 0, Method.NONE, "There are no texts.")


def raw(
    total: Floats,
    effective_texts: float | None = None,
    level: float = LEVEL,
    labels: int = 0,
    floor: int = FLOOR,
) -> Shares:
    """Shares of the model's labels and their net, with Wilson's interval at the effective number of texts.

    Args:
        total: the sums of the texts, shape (8,).
        effective_texts: the number of texts divided by their design effect, see `model.shares.clusters`.
        level: of the intervals.
        labels: how many texts are labelled so far, too few to be of use; the note says so.
        floor: how many are needed.

    The texts count as a sample of what could have been written; of the texts themselves the shares are exact. Net is
    scaled to 0..1, with the number at which Wilson's variance is that of net: x(1-x) / V for x = (net + 1) / 2. If all
    texts are neutral, one that is not counts towards its variance.
    """
    number = float(sums.texts(total))
    if number <= 0:
        return NO_TEXTS
    effective = number if effective_texts is None else effective_texts
    return raws(total[None], np.array([effective]), level, [labels], floor)[0]


def raws(
    totals: Floats, effective_texts: Floats, level: float, labels: Sequence[int], floor: int = FLOOR
) -> list[Shares]:
    """The same of many sums, shape (n, 8), each with texts, an effective number of them, and labels, shape (n,)."""
    counts = sums.counts(totals)
    numbers = counts.sum(1)
    effective = np.minimum(np.maximum(effective_texts, 1.0), numbers)
    shares = counts / numbers[:, None]
    net = shares[:, 2] - shares[:, 0]
    spreads = spread(net, np.maximum(shares[:, 2] + shares[:, 0], 1 / effective))
    sizes = np.column_stack([effective, effective, effective, effective * spreads])
    found = estimates(np.column_stack([shares, net]), sizes, level=level)
    return [
        Shares(*one, round(number), effective_number, 0, Method.RAW, _note(count, number, floor))
        for one, number, effective_number, count in zip(
            found, numbers.tolist(), effective.tolist(), labels, strict=True
        )
    ]


def _note(labels: int, number: float, floor: int) -> str:
    return NOTE if not labels else f"{NOTE} {labels} of the {min(floor, round(number))} labels needed are there."


def spread(net: Floats, outspoken: Floats) -> Floats:
    """By how much a label that may be neutral varies less than one that is negative or positive, of the same net.

    Args:
        net: positive less negative.
        outspoken: positive and negative together.

    The variance of -1, 0, 1 is outspoken - net^2, that of -1 and 1 alone 1 - net^2. It is 1 where nothing varies.
    """
    varies = outspoken - net**2
    return np.divide(1 - net**2, varies, out=np.ones_like(varies), where=varies > 1e-12)
