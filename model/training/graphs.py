"""Converts a torch classifier to an OpenVINO graph, quantises it to int8, and scores many texts with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from model.types import FloatArray

_Inputs = dict[str, NDArray[np.int32]]


class _Then(torch.nn.Module):  # type: ignore[misc]
    """A model followed by a function of its output."""

    def __init__(self, model: torch.nn.Module, finish: Callable[[Any], torch.Tensor]) -> None:
        super().__init__()
        self.model, self.finish = model, finish

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.finish(self.model(input_ids=input_ids, attention_mask=attention_mask))


def traced(model: torch.nn.Module, finish: Callable[[Any], torch.Tensor]) -> openvino.Model:
    """The fp32 graph of a classifier: int32 inputs of any shape (batch, length), output of shape (batch, classes).

    Args:
        model: the classifier.
        finish: turns the model's output into the graph's output.
    """
    shape = openvino.PartialShape([-1, -1])
    example = torch.ones(2, 16, dtype=torch.int32)
    with torch.no_grad():
        return openvino.convert_model(
            _Then(model, finish),
            example_input={"input_ids": example, "attention_mask": example},
            input=[("input_ids", shape, np.int32), ("attention_mask", shape, np.int32)],
        )


def calibration_inputs(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[_Inputs]:
    """The graph's inputs for each text, as a batch of one."""
    encoded = [tokenizer(text, truncation=True) for text in texts]
    return [{key: np.array([one[key]], dtype=np.int32) for key in ("input_ids", "attention_mask")} for one in encoded]


def quantised(graph: openvino.Model, inputs: list[_Inputs], **options: object) -> openvino.Model:
    """The graph in int8, with the scales of its activations fixed by the given inputs; `options` go to `nncf.quantize`.

    If the scales were computed for each batch anew, a text's scores would depend on the other texts in its batch.
    """
    return nncf.quantize(
        graph, nncf.Dataset(inputs), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(inputs), **options
    )


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
        settings = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        self._request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()

    def scores(self, texts: list[str], batch_size: int = 32) -> FloatArray:
        """The class probabilities of the texts, shape (len(texts), classes)."""
        parts: dict[int, FloatArray] = {}
        ids = self._tokenizer(texts, truncation=True)["input_ids"]
        order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = self._tokenizer.pad(
                {"input_ids": [ids[r] for r in rows]}, return_tensors="np", pad_to_multiple_of=4
            )
            inputs = [batch[key].astype(np.int32) for key in ("input_ids", "attention_mask")]
            parts.update(zip(rows, self._request.infer(inputs, share_inputs=True)[0].copy(), strict=True))
        return np.stack([parts[row] for row in range(len(texts))])
