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
from model.reading import reader
from model.training import data
from model.training.calibration import Scaling
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


def export(trained: Path, folder: Path, out: Path, scaling: Scaling, reading: int) -> None:
    """Writes graph, safetensors, tokenizer and manifest into `out`; other files there, such as the model card, stay.

    Args:
        trained: the folder of the trained fp32 model.
        folder: the training data, for the calibration of the int8 graph.
        out: the destination; nothing in it changes until everything is made.
        scaling: what the logits are scaled by; it is built into the classifier's weights, so that every engine has it.
        reading: the way in which the model reads texts: see `model.reading`.
    """
    tokenizer = AutoTokenizer.from_pretrained(trained, model_max_length=MAX_TOKENS)
    model = AutoModelForSequenceClassification.from_pretrained(trained, dtype=torch.float32).eval()
    with torch.no_grad():
        model.classifier.weight *= scaling.factor
        model.classifier.bias.copy_(model.classifier.bias * scaling.factor + torch.tensor(scaling.offsets))

    part = out.parent / f".{out.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    # Otherwise tokenizer.json would keep the truncation of training, which is shorter than the model's limit.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.save_pretrained(part)
    openvino.save_model(_int8(model, tokenizer, folder, reading), part / "graph.xml", compress_to_fp16=True)
    model.to(torch.float16).save_pretrained(part)
    files = sorted(path for path in part.iterdir())
    for path in files:
        path.chmod(0o644)
    Manifest(MAX_TOKENS, {path.name: sha256(path) for path in files}, reading=reading).write(part)

    out.mkdir(parents=True, exist_ok=True)
    # The manifest goes last: until then digests differ, so that a reader refuses the folder and never loads a mixture.
    for path in sorted(part.iterdir(), key=lambda path: path.name == "manifest.json"):
        os.replace(path, out / path.name)
    part.rmdir()


def _int8(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, reading: int) -> openvino.Model:
    vocabulary = tokenizer.get_vocab()
    read = reader(reading, vocabulary.__contains__, lambda: vocabulary) or str
    texts = [read(example.text) for example in data.draw(folder, CALIBRATION)]
    return quantised(traced(model, lambda output: output.logits.softmax(-1)), calibration_inputs(tokenizer, texts))
