"""The gate: a compiled form of a model serves only if its answers are those of torch in fp32, on 400 texts."""

from __future__ import annotations

import math
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
_SPEED_ROUNDS = 3
"""The number of calls by which an engine's speed is measured."""


def in_batches(engine: Engine, texts: Sequence[str], progress: Callable[[float], None]) -> FloatArray:
    """The scores of all texts, many in a call."""
    parts = []
    for start in range(0, len(texts), _CALL):
        parts.append(engine.score(texts[start : start + _CALL]).probabilities)
        progress(min(1.0, (start + _CALL) / len(texts)))
    return np.concatenate(parts)


def speedup(engine: Engine, reference: Engine, texts: Sequence[str]) -> float:
    """How many times faster an engine scores some texts than another; both have scored such texts before.

    They take turns, and the best call of each counts, as other processes may disturb any of them.
    """
    best = {id(engine): math.inf, id(reference): math.inf}
    for one in (engine, reference) * _SPEED_ROUNDS:
        began = time.perf_counter()
        one.score(texts)
        best[id(one)] = min(best[id(one)], time.perf_counter() - began)
    return best[id(reference)] / best[id(engine)]


def alone(engine: Engine, texts: Sequence[str], progress: Callable[[float], None], *, threads: int) -> FloatArray:
    """The scores of each text, scored for itself, on so many threads."""
    rows: list[FloatArray] = []
    with ThreadPoolExecutor(threads) as pool:
        for row in pool.map(lambda text: engine.score([text]).probabilities, texts):
            rows.append(row)
            if not len(rows) % _CALL:
                progress(len(rows) / len(texts))
    return np.concatenate(rows)


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
