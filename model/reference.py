"""What torch says of the gate's texts in fp32. It takes most of the gate's time, so it is found out while the model is
converted to int8, which leaves processors idle.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

from model.checkpoint import Checkpoint, Loaded
from model.engines.pipeline import PipelineEngine
from model.types import FloatArray

_CALL = 16
"""The number of texts in a call of the engine: a few dozen calls, so that threads end at about the same time."""
_NICENESS = 5
"""What is added to the threads' niceness: whatever else goes on cannot be divided among processors as well as this."""


class Reference:
    """Torch's scores of some texts, on threads of their own."""

    def __init__(
        self, checkpoint: Checkpoint, loaded: Loaded, texts: Sequence[str], *, threads: int, batch_size: int
    ) -> None:
        """Begins to score the texts.

        Args:
            checkpoint: the checkpoint.
            loaded: the checkpoint in memory, in fp32. Nothing else may use its tokenizer until all texts are scored.
            texts: the texts.
            threads: processor threads.
            batch_size: the most texts in one call of the model.
        """
        self._engine = PipelineEngine(checkpoint, device="cpu", loaded=loaded, batch_size=batch_size, threads=1)
        self._texts = texts
        self._threads = threads
        # Texts of similar length together need less padding; the longest first, as the end is the same for all threads.
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]), reverse=True)
        pool = ThreadPoolExecutor(threads, "reference", initializer=_give_way)
        self._calls = [
            (rows, pool.submit(self._engine.score, [texts[row] for row in rows]))
            for rows in (order[start : start + _CALL] for start in range(0, len(order), _CALL))
        ]
        pool.shutdown(wait=False)

    def scores(self, progress: Callable[[float], None]) -> FloatArray:
        """Waits for the scores, shape (texts, classes), in the order of the texts; `progress` is told how far it is."""
        found: FloatArray = np.empty((len(self._texts), len(self._engine.analysis.classes)), np.float32)
        for done, (rows, call) in enumerate(self._calls, start=1):
            found[rows] = call.result().probabilities
            progress(done / len(self._calls))
        return found

    @contextmanager
    def engine(self) -> Iterator[PipelineEngine]:
        """The engine, with all threads for one call, while nothing else goes on."""
        torch.set_num_threads(self._threads)
        try:
            yield self._engine
        finally:
            torch.set_num_threads(1)


def _give_way() -> None:
    if sys.platform == "linux":  # where this is the thread's niceness, and not the process's
        os.nice(_NICENESS)
