"""The compiled engine in a process of its own, called directly: it shows the machine's limit, and its labels are the
right ones.

Its rate is measured with two concurrent callers, so that one's tokenisation overlaps with the other's scoring, as in a
worker; a single caller gets a tenth less.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from model.compiling import Compiling
from model.engine import Engine
from model.engines.registry import load_engine
from model.labels import LABELS
from model.source import DEFAULT

CALL_TEXTS = 32
CALLERS = 2
THREADS = tuple(sorted({1, os.cpu_count() or 1}))


def _serve(pipe: Connection, model: str, artefacts: Path | None) -> None:
    compiling = None if artefacts is None else Compiling(artefacts)
    engines = {
        threads: load_engine(model, engine="compiled", device="cpu", threads=threads, compiling=compiling)
        for threads in THREADS
    }
    for engine in engines.values():
        engine.warm()
    told = engines[1].description
    pipe.send((engines[1].identity, dict(zip(told.names, told.mapped, strict=True))))
    for verb, threads, texts, seconds in iter(pipe.recv, None):
        engine = engines[threads]
        if verb == "labels":
            rows = engine.score(texts).probabilities
            pipe.send([(LABELS[int(row.argmax())], float(row.max() - sorted(row)[-2])) for row in rows])
            continue
        if verb == "lone":
            pipe.send(1000 * statistics.median(_calls(engine, texts, 1, seconds)))
            continue
        share = len(texts) // CALLERS
        began = time.perf_counter()
        with ThreadPoolExecutor(CALLERS) as pool:
            askers = [
                pool.submit(_calls, engine, texts[share * number : share * (number + 1)], CALL_TEXTS, seconds)
                for number in range(CALLERS)
            ]
            count = sum(len(asker.result()) for asker in askers)
        pipe.send(CALL_TEXTS * count / (time.perf_counter() - began))


def _calls(engine: Engine, texts: Sequence[str], size: int, seconds: float) -> list[float]:
    """The seconds of each of several successive calls with so many texts."""
    calls, began = [], time.perf_counter()
    for start in itertools.cycle(range(0, len(texts) - size + 1, size)):
        at = time.perf_counter()
        engine.score(texts[start : start + size])
        calls.append(time.perf_counter() - at)
        if time.perf_counter() - began > seconds:
            break
    return calls


class RawEngine:
    """The engine's process."""

    def __init__(self, model: str = DEFAULT, artefacts: Path | None = None) -> None:
        """`artefacts`: the folder that holds the compiled model if it is not the embedded one."""
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, model, artefacts), daemon=True)
        self._process.start()
        there.close()  # so that the end of the process ends the wait for its answer
        self.identity: str
        self.meaning: dict[str, str] | None
        """The class that each label of the model counts as; None if several count as one, whose scores are added."""
        self.identity, meaning = self._pipe.recv()
        self.meaning = meaning if len(set(meaning.values())) == len(meaning) else None

    def _ask(self, *question: Any) -> Any:
        self._pipe.send(question)
        return self._pipe.recv()

    def texts_per_s(self, texts: list[str], threads: int, seconds: float) -> float:
        """Texts per second in calls with `CALL_TEXTS` texts."""
        return float(self._ask("rate", threads, texts, seconds))

    def lone_ms(self, texts: list[str], threads: int, seconds: float) -> float:
        """The median time of a call with one text."""
        return float(self._ask("lone", threads, texts, seconds))

    def labels(self, texts: list[str]) -> list[tuple[str, float]]:
        """The right label of each text, and how far its score is above the second highest."""
        return list(self._ask("labels", THREADS[-1], texts, 0))

    def close(self) -> None:
        """Ends the process."""
        self._pipe.send(None)
        self._process.join()
