"""Scores many texts with a model in torch: on a GPU, or where the model has no graph yet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from model.training.fitting import arithmetic
from model.types import FloatArray


class TorchScorer:
    """Class probabilities of texts, by a function that computes logits."""

    def __init__(
        self,
        logits: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        tokenizer: PreTrainedTokenizerBase,
        read: Callable[[list[str]], list[str]],
        where: torch.device,
        max_tokens: int,
    ) -> None:
        """`read` makes of cleaned texts the texts for the tokenizer: see `model.reading`."""
        self._logits, self._tokenizer, self._read = logits, tokenizer, read
        self._where, self._max_tokens = where, max_tokens

    def scores(self, texts: list[str], batch_size: int = 64) -> FloatArray:
        """The class probabilities of the texts, shape (len(texts), classes)."""

        ids = self._tokenizer(self._read(texts), truncation=True, max_length=self._max_tokens)["input_ids"]
        order = sorted(range(len(texts)), key=lambda row: len(ids[row]))
        parts: dict[int, FloatArray] = {}
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = self._tokenizer.pad(
                {"input_ids": [ids[row] for row in rows]}, return_tensors="pt", pad_to_multiple_of=8
            ).to(self._where)
            with torch.inference_mode(), arithmetic(self._where):
                answers = self._logits(batch["input_ids"], batch["attention_mask"])
            parts.update(zip(rows, answers.float().softmax(-1).cpu().numpy(), strict=True))
        return np.stack([parts[row] for row in range(len(texts))])
