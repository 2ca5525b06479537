"""The compiled engine in a process of its own, asked directly: the limit of this machine, and the judge of labels."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any

from model.labels import LABELS
from model.loading import load_engine

CALL_TEXTS = 32
THREADS = tuple(sorted({1, os.cpu_count() or 1}))


def _serve(pipe: Connection) -> None:
    engines = {threads: load_engine("default", engine="compiled", device="cpu", threads=threads) for threads in THREADS}
    for engine in engines.values():
        engine.warm()
    pipe.send(engines[1].identity)
    for verb, threads, texts, seconds in iter(pipe.recv, None):
        engine = engines[threads]
        if verb == "labels":
            rows = engine.score(texts).probabilities
            pipe.send([(LABELS[int(row.argmax())], float(row.max() - sorted(row)[-2])) for row in rows])
            continue
        size = CALL_TEXTS if verb == "rate" else 1
        calls, began = [], time.perf_counter()
        for start in itertools.cycle(range(0, len(texts) - size + 1, size)):
            at = time.perf_counter()
            engine.score(texts[start : start + size])
            calls.append(time.perf_counter() - at)
            if time.perf_counter() - began > seconds:
                break
        pipe.send(size * len(calls) / sum(calls) if verb == "rate" else 1000 * statistics.median(calls))


class RawEngine:
    """The engine's process."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there,), daemon=True)
        self._process.start()
        self.identity: str = self._pipe.recv()

    def _ask(self, *question: Any) -> Any:
        self._pipe.send(question)
        return self._pipe.recv()

    def texts_per_s(self, texts: list[str], threads: int, seconds: float) -> float:
        """In calls of `CALL_TEXTS`, one after the other."""
        return float(self._ask("rate", threads, texts, seconds))

    def lone_ms(self, texts: list[str], threads: int, seconds: float) -> float:
        """Median time of a call with one text."""
        return float(self._ask("lone", threads, texts, seconds))

    def labels(self, texts: list[str]) -> list[tuple[str, float]]:
        """The right label of each, and how far its score is above the second."""
        return list(self._ask("labels", THREADS[-1], texts, 0))

    def close(self) -> None:
        """Ends the process."""
        self._pipe.send(None)
        self._process.join()
