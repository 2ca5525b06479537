"""Measures the speed of several exported models side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.engine import Engine

_CALL = 32


@dataclass(frozen=True)
class Rate:
    """Texts scored per second: the median, lowest and highest of several rounds."""

    median: float
    lowest: float
    highest: float


def rates(engines: Mapping[str, Engine], texts: Sequence[str], rounds: int) -> dict[str, Rate]:
    """How fast each engine scores the texts, in calls of 32 texts.

    The engines take turns, so that other load on the machine affects all of them alike.
    """
    found: dict[str, list[float]] = {name: [] for name in engines}
    for engine in engines.values():
        engine.warm()
    for _ in range(rounds):
        for name, engine in engines.items():
            started = time.perf_counter()
            for start in range(0, len(texts), _CALL):
                engine.score(texts[start : start + _CALL])
            found[name].append(len(texts) / (time.perf_counter() - started))
    return {name: Rate(statistics.median(values), min(values), max(values)) for name, values in found.items()}
