"""Measures how fast an engine is."""

from __future__ import annotations

import time

from model.engine import Engine

_TEXT = "the bus leaves at nine from the usual place, i hope"
_LONG_ENOUGH_S = 0.15
_MOST_TEXTS = 10_000


def measure_rate(engine: Engine) -> float:
    """The engine's rate on short texts, in texts per second.

    It scores one text, then twice as many each time, until a call takes long enough to be measured.
    """
    texts = [_TEXT]
    while True:
        started = time.perf_counter()
        engine.score(texts)
        seconds = time.perf_counter() - started
        if seconds > _LONG_ENOUGH_S or len(texts) > _MOST_TEXTS:
            return len(texts) / seconds
        texts *= 2
