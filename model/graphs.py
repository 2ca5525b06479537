"""Converts a torch classifier to an OpenVINO graph, and quantises it to int8."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import nncf
import numpy as np
import openvino
import torch
from numpy.typing import NDArray

Inputs = dict[str, NDArray[np.int32]]
"""A batch: each input of a graph by name, of shape (batch, length)."""


class _Then(torch.nn.Module):  # type: ignore[misc]
    """A model of named inputs followed by a function of its output."""

    def __init__(self, model: torch.nn.Module, names: Sequence[str], finish: Callable[[Any], torch.Tensor]) -> None:
        super().__init__()
        self.model, self.names, self.finish = model, tuple(names), finish

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.finish(self.model(**dict(zip(self.names, inputs, strict=True))))


def traced(
    model: torch.nn.Module,
    finish: Callable[[Any], torch.Tensor],
    names: Sequence[str] = ("input_ids", "attention_mask"),
) -> openvino.Model:
    """The fp32 graph of a classifier: int32 inputs of any shape (batch, length), output of shape (batch, classes).

    Args:
        model: the classifier.
        finish: turns the model's output into the graph's output.
        names: the model's inputs.
    """
    shape = openvino.PartialShape([-1, -1])
    example = torch.ones(2, 16, dtype=torch.int32)
    with torch.no_grad():
        graph = openvino.convert_model(
            _Then(model, names, finish), example_input=(example,) * len(names), input=[(shape, np.int32)] * len(names)
        )
    for name, port in zip(names, graph.inputs, strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_friendly_name(name)
    return graph


def quantised(graph: openvino.Model, inputs: Collection[Inputs], **options: object) -> openvino.Model:
    """The graph in int8, with the scales of its activations fixed by the given inputs; `options` go to `nncf.quantize`.

    If the scales were computed for each batch anew, a text's scores would depend on the other texts in its batch.
    """
    return nncf.quantize(
        graph, nncf.Dataset(inputs), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(inputs), **options
    )
