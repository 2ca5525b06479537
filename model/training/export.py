"""Exports trained weights as what is served: an int8 graph (compiled engine) and fp16 safetensors (pipeline engine)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import openvino
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from model.digests import Manifest, sha256
from model.graphs import quantised, traced
from model.reading import EMOJI_IN_WORDS
from model.training import data
from model.training.data import Source
from model.training.graphs import calibration_inputs

MAX_TOKENS = 256
"""The most tokens of a text that the exported model reads; docs/engines.md has the cost of reading more."""

CALIBRATION = (
    Source("train/semeval_tweets.tsv.gz", 150),
    Source("train/sst_train.tsv.gz", 50),
    Source("train/dynasent_r1_dev.tsv.gz", 30),
    Source("train/goemotions_train.tsv.gz", 40),
    Source("train/kaggle_tweets_train.tsv.gz", 30),
)
"""The training texts whose activations determine the scales of the int8 arithmetic."""


def export(trained: Path, folder: Path, out: Path, temperature: float, seed: int = 1) -> None:
    """Writes graph, safetensors, tokenizer and manifest into `out`; other files there, such as the model card, stay.

    Args:
        trained: the folder of the trained fp32 model.
        folder: the training data, for the calibration of the int8 graph.
        out: the destination; nothing in it changes until everything is made.
        temperature: the divisor of the logits; it is built into the classifier's weights, so that every engine has it.
        seed: decides which texts are drawn for the calibration.
    """
    tokenizer = AutoTokenizer.from_pretrained(trained, model_max_length=MAX_TOKENS)
    model = AutoModelForSequenceClassification.from_pretrained(trained, dtype=torch.float32).eval()
    with torch.no_grad():
        model.classifier.weight /= temperature
        model.classifier.bias /= temperature

    part = out.parent / f".{out.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    # Otherwise tokenizer.json would keep the truncation of training, which is shorter than the model's limit.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.save_pretrained(part)
    openvino.save_model(_int8(model, tokenizer, folder, seed), part / "graph.xml", compress_to_fp16=True)
    model.to(torch.float16).save_pretrained(part)
    files = sorted(path for path in part.iterdir())
    for path in files:
        path.chmod(0o644)
    Manifest(MAX_TOKENS, {path.name: sha256(path) for path in files}, reading=EMOJI_IN_WORDS).write(part)

    out.mkdir(parents=True, exist_ok=True)
    # The manifest goes last: until then digests differ, so that a reader refuses the folder and never loads a mixture.
    for path in sorted(part.iterdir(), key=lambda path: path.name == "manifest.json"):
        os.replace(path, out / path.name)
    part.rmdir()


def graph(trained: Path, folder: Path, seed: int = 1) -> openvino.Model:
    """The int8 graph of a trained fp32 model, without a temperature."""
    tokenizer = AutoTokenizer.from_pretrained(trained, model_max_length=MAX_TOKENS)
    model = AutoModelForSequenceClassification.from_pretrained(trained, dtype=torch.float32).eval()
    return _int8(model, tokenizer, folder, seed)


def _int8(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, seed: int) -> openvino.Model:
    texts = [example.text for example in data.draw(folder, CALIBRATION, seed)]
    return quantised(traced(model, lambda output: output.logits.softmax(-1)), calibration_inputs(tokenizer, texts))
