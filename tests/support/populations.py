"""Texts that nobody wrote: their true labels and what an imperfect model says of them."""

from __future__ import annotations

import numpy as np

from model.shares.sums import Floats, Integers


def population(
    texts: int, shares: tuple[float, float, float], *, seed: int = 0, skill: float = 1.5
) -> tuple[Integers, Floats]:
    """The gold labels, shape (texts,), with about these shares, and a model's scores, shape (texts, 3).

    Args:
        texts: how many.
        shares: of NEGATIVE, NEUTRAL and POSITIVE.
        seed: of the random numbers.
        skill: how far the true class stands out; at 1.5 about 70 % of the model's labels are right, and it says
            NEGATIVE too often.
    """
    rng = np.random.default_rng(seed)
    gold = rng.choice(3, texts, p=shares)
    logits = rng.normal(size=(texts, 3)) + skill * np.eye(3)[gold] + [0.5, 0.0, 0.0]
    scores = np.exp(1.2 * logits)
    return gold, scores / scores.sum(1, keepdims=True)


def true_shares(gold: Integers) -> tuple[float, float, float, float]:
    """The shares of the three classes, and net."""
    negative, neutral, positive = (float((gold == label).mean()) for label in range(3))
    return negative, neutral, positive, positive - negative
