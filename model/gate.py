"""The gate: a compiled form of a model serves only if its answers are those of torch in fp32, on 400 texts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from model.description import Trial

if TYPE_CHECKING:
    from model.engine import Engine
    from model.types import FloatArray

LABELS_EQUAL = 0.99
"""The least share of texts that must have the same label."""
MOST_MARGIN = 0.1
"""The most that torch's two highest scores may be apart for a text whose label differs."""
MOST_DIFFERENCE = 0.02
"""The most that scores may differ on average."""
MOST_ALONE = 1e-3
"""The most that a text's score alone and in a batch may differ."""
LEAST_SPREAD = 0.01
"""If the scores of all texts vary less, the model hardly tells texts apart, and the gate says little about it."""

_CALL = 100
"""The number of texts in a call of an engine."""
_LEAST_S = 0.5
"""Speed is measured for at least so long."""


def measured(engine: Engine, texts: Sequence[str], progress: Callable[[float], None]) -> tuple[FloatArray, float]:
    """The scores of all texts, and how many texts a second the engine scores."""
    engine.score(texts[:8])
    parts = []
    rounds = 0
    began = time.perf_counter()
    while not rounds or time.perf_counter() - began < _LEAST_S:
        for start in range(0, len(texts), _CALL):
            found = engine.score(texts[start : start + _CALL]).probabilities
            if not rounds:
                parts.append(found)
                progress((start + len(found)) / len(texts))
        rounds += 1
    return np.concatenate(parts), rounds * len(texts) / (time.perf_counter() - began)


def alone(engine: Engine, texts: Sequence[str]) -> FloatArray:
    """The scores of each text, scored for itself."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(lambda text: engine.score([text]).probabilities, texts)))


def judge(form: str, torch: FloatArray, together: FloatArray, single: FloatArray, speedup: float) -> Trial:
    """Decides whether a form of a model may serve.

    Args:
        form: the form.
        torch: the scores of torch in fp32, shape (texts, classes).
        together: those of the form, in batches.
        single: those of the form, for each text alone.
        speedup: its speed, divided by torch's.
    """
    count = len(torch)
    differing = torch.argmax(1) != together.argmax(1)
    highest = np.sort(torch, axis=1)[:, ::-1]
    margins = (highest[:, 0] - highest[:, 1])[differing]
    equal = 1.0 - float(differing.mean())
    margin = float(margins.max()) if len(margins) else 0.0
    difference = float(np.abs(torch - together).mean())
    apart = float(np.abs(together - single).max())
    finite = bool(np.isfinite(together).all() and np.isfinite(single).all())
    reasons = [
        reason
        for wrong, reason in (
            (not finite, "some scores are not finite numbers"),
            (not equal >= LABELS_EQUAL, f"{equal:.1%} of {count} labels equal torch's, not {LABELS_EQUAL:.0%}"),
            (
                not margin <= MOST_MARGIN,
                f"another label for a text whose two highest scores are {margin:.2f} apart, more than {MOST_MARGIN}",
            ),
            (
                not difference <= MOST_DIFFERENCE,
                f"scores differ by {difference:.3f} on average, more than {MOST_DIFFERENCE}",
            ),
            (
                not apart <= MOST_ALONE,
                f"a text's scores alone and in a batch differ by {apart:.4f}, more than {MOST_ALONE}",
            ),
        )
        if wrong
    ]
    return Trial(
        form,
        passed=not reasons,
        reason="; ".join(reasons),
        texts=count,
        labels_equal=equal,
        largest_margin=margin,
        mean_difference=difference if finite else 0.0,  # JSON has no other numbers
        alone_difference=apart if finite else 0.0,
        speedup=round(speedup, 2),
    )


def spread(scores: FloatArray) -> float:
    """How much the scores of a class vary between texts, for the class with the largest variation."""
    return float(scores.std(axis=0).max())
