"""The engine on transformers' text-classification pipeline and torch: any such model, on a CPU or a GPU."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from model.batching import Group, cut, score_groups, sorted_groups
from model.digests import combined, sha256
from model.engine import Scores
from model.errors import MissingHead, ModelNotFound, ModelRefused
from model.labels import label_matrix
from model.types import BoolArray, FloatArray

MOST_TOKENS = 512
"""Longer texts are truncated, even by models that would read more: time and memory of a batch stay bounded."""


class PipelineEngine:
    """Scores with a sequence classification model of three classes, or of classes that can be mapped to our three.

    Weights load from safetensors only, and code that comes with a model is never run. On a CPU it computes in fp32; on a GPU in
    bf16 if the checkpoint is bf16, else in fp16.
    """

    def __init__(
        self,
        name: str,
        *,
        source: str | Path,
        revision: str | None,
        device: str,
        batch_size: int,
        threads: int,
        label_map: Mapping[str, str] | None,
    ) -> None:
        """Loads the model.

        Args:
            name: the first part of the identity; of a folder, its last component.
            source: a local folder or a Hugging Face name.
            revision: a branch, tag or commit of a Hugging Face model.
            device: `cpu` or `cuda:N`.
            batch_size: most texts in one call of the model.
            threads: processor threads on a CPU; they are torch's, so the last engine of a process decides.
            label_map: see `model.labels.label_matrix`.

        Raises:
            ModelNotFound: no such folder, model or revision, or it holds no safetensors.
            MissingHead: weights of the model are not in the checkpoint.
            UnknownLabels: see `model.labels.label_matrix`.
            ModelRefused: not one probability for each class, or no way to pad.
        """
        if not sys.stderr.isatty():
            transformers.utils.logging.disable_progress_bar()
        if device == "cpu":
            torch.set_num_threads(threads)
        self._device = device
        self._batch_size = batch_size
        config, tokenizer, model = _load(name, source, revision, device)
        self._matrix = label_matrix([str(config.id2label[i]) for i in range(config.num_labels)], label_map)
        self._tokenizer = tokenizer
        # transformers switches truncation on and off inside the tokenizer: of two threads at once, one would be cut by the other's
        # setting, or raise "Already borrowed".
        self._tokenizing = threading.Lock()
        self._max_tokens = _max_tokens(tokenizer, model)
        self._pipeline: Any = transformers.pipeline(
            "text-classification", model=model, tokenizer=tokenizer, device=torch.device(device), top_k=None
        )
        arithmetic = {torch.float32: "pipeline", torch.float16: "pipeline-fp16", torch.bfloat16: "pipeline-bf16"}[model.dtype]
        mapped = combined(f"{key}={label_map[key]}" for key in sorted(label_map))[:6] if label_map else ""
        self._identity = f"{_short(name)}@{_version(config, source, revision)}/{arithmetic}" + (f"+{mapped}" if mapped else "")

    @property
    def identity(self) -> str:
        """`name@commit or digest/pipeline`, with the arithmetic if it is not fp32 and a digest of the label map if one is given."""
        return self._identity

    @property
    def device(self) -> str:
        """`cpu` or `cuda:N`."""
        return self._device

    def warm(self) -> None:
        """Runs a lone row and a full batch, on a GPU the largest so that its memory is claimed.

        Raises:
            ModelRefused: the model overflows in this arithmetic.
        """
        length = self._max_tokens if self._device != "cpu" else min(64, self._max_tokens)
        for batch in (self._batch_size, 1):
            ids = torch.full((batch, length), self._tokenizer.pad_token_id)
            ids[:, 0] = 1
            try:
                self._forward({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
            except FloatingPointError as error:
                raise ModelRefused(f"{self._identity}: {error}; run it on the CPU (DEVICE=cpu)") from error

    def score(self, texts: Sequence[str]) -> Scores:
        """Scores any number of cleaned texts; see `model.engine.Engine`.

        Raises:
            FloatingPointError: the model's outputs are not finite numbers.
        """
        if not texts:
            return Scores(np.empty((0, 3), np.float32), np.empty(0, np.bool_))
        rows, truncated = self._tokenise(texts)

        def score(group: Group) -> FloatArray:
            batch = {key: [rows[row][key] for row in group.rows] for key in rows[group.rows[0]]}
            return self._forward(self._tokenizer.pad(batch, return_tensors="pt"))

        groups = sorted_groups([len(row["input_ids"]) for row in rows], self._batch_size)
        return Scores(score_groups(groups, len(texts), score), truncated)

    def _tokenise(self, texts: Sequence[str]) -> tuple[list[dict[str, list[int]]], BoolArray]:
        """The model's inputs of each text, at most `max_tokens` long, and which texts were longer."""
        windows = [cut(text, self._max_tokens) for text in texts]
        truncated = np.array([was_cut for _, was_cut in windows], dtype=np.bool_)
        with self._tokenizing:
            columns = self._tokenizer([window for window, _ in windows], truncation=False, verbose=False)
            rows = [{key: columns[key][row] for key in columns} for row in range(len(texts))]
            for row, (window, _) in enumerate(windows):
                if len(rows[row]["input_ids"]) > self._max_tokens:
                    truncated[row] = True
                    rows[row] = dict(self._tokenizer(window, truncation=True, max_length=self._max_tokens))
        return rows, truncated

    def _forward(self, inputs: Mapping[str, torch.Tensor]) -> FloatArray:
        """Our probabilities of one padded batch, shape (batch, 3)."""
        logits = self._pipeline.forward(dict(inputs))["logits"].float()
        if not bool(torch.isfinite(logits).all()):
            raise FloatingPointError("the model's outputs are not finite numbers")
        probabilities: FloatArray = torch.softmax(logits, -1).numpy() @ self._matrix
        return probabilities


def _load(name: str, source: str | Path, revision: str | None, device: str) -> tuple[Any, Any, Any]:
    """Configuration, tokenizer and model, once the checkpoint is known to answer one probability for each class."""
    folder = Path(source)
    if not folder.is_dir() and (folder.is_absolute() or str(source).startswith(".")):
        raise ModelNotFound(f"{source} is no folder")
    where: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(str(source), **where)
        _check_kind(name, config)
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(source), **where)
        half = torch.bfloat16 if str(config.dtype).endswith("bfloat16") else torch.float16
        model, loaded = transformers.AutoModelForSequenceClassification.from_pretrained(
            str(source),
            config=config,
            dtype=torch.float32 if device == "cpu" else half,
            use_safetensors=True,
            output_loading_info=True,
            **where,
        )
    except OSError as error:
        raise ModelNotFound(f"{name} could not be loaded: {error}") from error
    except (ValueError, RuntimeError) as error:
        raise ModelRefused(f"{name} could not be loaded: {error}") from error
    if missing := sorted({*loaded["missing_keys"], *(key[0] for key in loaded["mismatched_keys"])}):
        raise MissingHead(
            f"{name} was not trained for classification: its checkpoint has no {', '.join(missing)}, "
            "so its answers would be random; choose a model that was fine-tuned for sentiment"
        )
    if tokenizer.pad_token_id is None:
        raise ModelRefused(f"{name} has no padding token, so its texts cannot be scored in batches")
    return config, tokenizer, model.eval()


def _check_kind(name: str, config: Any) -> None:
    """Refuses, before any weight is fetched, models that do not choose one of several classes."""
    if config.problem_type in ("regression", "multi_label_classification") or config.num_labels < 2:
        kind = config.problem_type or "one output"
        raise ModelRefused(f"{name} does not choose one of several classes ({kind}); its answers are no probabilities of them")


def _max_tokens(tokenizer: Any, model: Any) -> int:
    """The most tokens of a text: by tokenizer, by positions, and at most `MOST_TOKENS`."""
    positions = getattr(model.config, "max_position_embeddings", None) or MOST_TOKENS
    for part, module in model.named_modules():
        # RoBERTa and its kin count positions from the padding index on: 514 of them hold 512 tokens.
        if part.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            positions = module.num_embeddings - module.padding_idx - 1
    return min(int(tokenizer.model_max_length), positions, MOST_TOKENS)


def _short(name: str) -> str:
    """The name as others may see it: of a local folder, its last component."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def _version(config: Any, source: str | Path, revision: str | None) -> str:
    """What tells these weights from others of the same name: of a folder, a digest of its files, else the commit."""
    folder = Path(source)
    if folder.is_dir():
        files = [*sorted(folder.glob("*.safetensors")), folder / "config.json", folder / "tokenizer.json", folder / "vocab.txt"]
        return combined(f"{file.name} {sha256(file)}" for file in files if file.is_file())
    return (getattr(config, "_commit_hash", None) or revision or "main")[:12]
