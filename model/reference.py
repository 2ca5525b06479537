"""What torch says of the gate's texts in fp32, which takes most of the gate's time.

Not while the model is quantised: both compute in fp32 all the time, and together take as long as one after the other.
"""

from __future__ import annotations

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


class Reference:
    """Torch's scores of some texts: several texts at once, each call on one thread, as several threads on the same call
    wait for each other after every operator.
    """

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
        pool = ThreadPoolExecutor(threads, "reference")
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
