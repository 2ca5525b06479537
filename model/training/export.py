"""From trained weights to what is served: the compiled int8 graph, and fp16 safetensors for the pipeline engine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from model.digests import Manifest, sha256
from model.training import data
from model.training.data import Source

MAX_TOKENS = 256
"""Most tokens of a text that the exported model reads; see docs/engines.md for what reading on costs."""

CALIBRATION = (
    Source("semeval_tweets.tsv.gz", 150),
    Source("sst_train.tsv.gz", 50),
    Source("dynasent_r1_dev.tsv.gz", 30),
    Source("goemotions_train.tsv.gz", 40),
    Source("kaggle_tweets_train.tsv.gz", 30),
)
"""The training texts whose activations set the scales of the int8 arithmetic."""


class _Probabilities(torch.nn.Module):  # type: ignore[misc]
    """The graph's outputs: class probabilities instead of logits."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.model(input_ids=input_ids, attention_mask=attention_mask).logits, -1)


def export(trained: Path, folder: Path, out: Path, temperature: float, seed: int = 1) -> None:
    """Writes graph, safetensors, tokenizer and manifest into `out`; other files of it stay, such as its card.

    Args:
        trained: the fp32 model that training left.
        folder: the training data, for the calibration of the int8 graph.
        out: where to; nothing in it changes until all is made.
        temperature: what logits are divided by; it goes into the classifier's weights, so that every engine has it.
        seed: of the choice of calibration texts.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(trained, model_max_length=MAX_TOKENS)
    model: Any = AutoModelForSequenceClassification.from_pretrained(trained, dtype=torch.float32).eval()
    with torch.no_grad():
        model.classifier.weight /= temperature
        model.classifier.bias /= temperature

    part = out.parent / f".{out.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    # tokenizer.json would keep the truncation that training switched on, shorter than the model's.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.save_pretrained(part)
    texts = [example.text for example in data.draw(folder, CALIBRATION, seed)]
    graph = quantised(traced(model), tokenizer, texts)
    openvino.save_model(graph, part / "graph.xml", compress_to_fp16=True)
    model.to(torch.float16).save_pretrained(part)
    files = sorted(path for path in part.iterdir())
    for path in files:
        path.chmod(0o644)
    Manifest(MAX_TOKENS, {path.name: sha256(path) for path in files}).write(part)

    out.mkdir(parents=True, exist_ok=True)
    # The manifest goes last: until then a reader meets a digest that differs and refuses, never a mixture.
    for path in sorted(part.iterdir(), key=lambda path: path.name == "manifest.json"):
        os.replace(path, out / path.name)
    part.rmdir()


def traced(model: Any) -> openvino.Model:
    """The fp32 graph of a sequence classifier; inputs int32 of any (batch, length), output (batch, 3) probabilities."""
    shape = openvino.PartialShape([-1, -1])
    example = torch.ones(2, 16, dtype=torch.int32)
    with torch.no_grad():
        return openvino.convert_model(
            _Probabilities(model),
            example_input={"input_ids": example, "attention_mask": example},
            input=[("input_ids", shape, np.int32), ("attention_mask", shape, np.int32)],
        )


def quantised(graph: openvino.Model, tokenizer: Any, texts: list[str]) -> openvino.Model:
    """The graph in int8, the scales of its activations fixed by the texts.

    With scales taken from each batch as it comes, a text's scores would depend on its companions.
    """

    def inputs(text: str) -> dict[str, np.ndarray[Any, np.dtype[np.int32]]]:
        encoded = tokenizer(text, truncation=True)
        return {key: np.array([encoded[key]], dtype=np.int32) for key in ("input_ids", "attention_mask")}

    return nncf.quantize(graph, nncf.Dataset(texts, inputs), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(texts))
