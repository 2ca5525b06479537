"""Shares by the model's labels."""

from __future__ import annotations

from model.shares import sums
from model.shares.estimates import FLOOR, LEVEL, Estimate, Method, Shares
from model.shares.intervals import estimate
from model.shares.sums import Floats

NOTE = (
    "By the model's labels alone: the interval tells how much the share of the model's labels varies from sample to "
    "sample, not how often the model is wrong. Label a random sample of the texts to correct it."
)
EMPTY = Estimate(0.0, None, None)


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
    counts = sums.counts(total).tolist()
    number = sum(counts)
    if number <= 0:
        return Shares(EMPTY, EMPTY, EMPTY, EMPTY, 0, 0.0, 0, Method.NONE, "There are no texts.")
    effective = number if effective_texts is None else min(max(float(effective_texts), 1.0), number)
    negative, neutral, positive = (count / number for count in counts)
    net = positive - negative
    return Shares(
        estimate(negative, effective, level=level),
        estimate(neutral, effective, level=level),
        estimate(positive, effective, level=level),
        estimate(net, effective * spread(net, max(positive + negative, 1 / effective)), net=True, level=level),
        round(number),
        effective,
        0,
        Method.RAW,
        NOTE if not labels else f"{NOTE} {labels} of the {min(floor, round(number))} labels needed are there.",
    )


def spread(net: float, outspoken: float) -> float:
    """By how much a label that may be neutral varies less than one that is negative or positive, of the same net.

    Args:
        net: positive less negative.
        outspoken: positive and negative together.

    The variance of -1, 0, 1 is outspoken - net^2, that of -1 and 1 alone 1 - net^2. It is 1 where nothing varies.
    """
    varies = outspoken - net**2
    return (1 - net**2) / varies if varies > 1e-12 else 1.0
