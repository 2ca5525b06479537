"""The inputs by which a graph is quantised, and many texts scored with a graph."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
from transformers import PreTrainedTokenizerBase

from model.engines.compiled import cores
from model.graphs import Inputs
from model.types import FloatArray


def calibration_inputs(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[Inputs]:
    """The graph's inputs for each text, as a batch of one."""
    encoded = [tokenizer(text, truncation=True) for text in texts]
    return [{key: np.array([one[key]], dtype=np.int32) for key in ("input_ids", "attention_mask")} for one in encoded]


class Scorer:
    """Scores many texts with a graph that is made once and then kept in a file."""

    def __init__(self, path: Path, tokenizer: PreTrainedTokenizerBase, make: Callable[[], openvino.Model]) -> None:
        """Loads the graph from `path`, or makes and stores it. The tokenizer truncates at its `model_max_length`."""
        self._tokenizer = tokenizer
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"part.{path.name}")
            openvino.save_model(make(), part, compress_to_fp16=False)
            os.replace(part.with_suffix(".bin"), path.with_suffix(".bin"))
            os.replace(part, path)
        # A stream for each core: two threads on the same batch wait for each other.
        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": cores(), "INFERENCE_PRECISION_HINT": "f32"}
        self._queue = openvino.AsyncInferQueue(openvino.Core().compile_model(path, "CPU", settings), cores() + 1)

    def scores(self, texts: list[str], batch_size: int = 32) -> FloatArray:
        """The class probabilities of the texts, shape (len(texts), classes)."""
        parts: dict[int, FloatArray] = {}

        def keep(request: openvino.InferRequest, rows: list[int]) -> None:
            parts.update(zip(rows, request.get_output_tensor(0).data.copy(), strict=True))

        self._queue.set_callback(keep)
        ids = self._tokenizer(texts, truncation=True)["input_ids"]
        # The longest first, so that the streams end at about the same time.
        order = sorted(range(len(texts)), key=lambda i: len(ids[i]), reverse=True)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = self._tokenizer.pad(
                {"input_ids": [ids[r] for r in rows]}, return_tensors="np", pad_to_multiple_of=4
            )
            self._queue.start_async([batch[key].astype(np.int32) for key in ("input_ids", "attention_mask")], rows)
        self._queue.wait_all()
        return np.stack([parts[row] for row in range(len(texts))])
