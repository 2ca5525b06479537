"""Adds emoji to a tokenizer as tokens: the base vocabulary has almost none, so "😍" and "😡" were both `[UNK]`.

The embedding of a new token starts as the mean of the embeddings of the words in its Unicode name.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from model.emoji import words


def frequent(texts: Iterable[str], at_least: int) -> list[str]:
    """The emoji that occur in at least `at_least` texts, the most frequent first."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({char for char in text if ord(char) > 0x2000 and unicodedata.category(char) == "So"})
    return [char for char, count in counts.most_common() if count >= at_least]


def add_to(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, emoji: list[str]) -> int:
    """Adds the emoji that the tokenizer lacks, with embeddings made from their names; returns how many were new."""
    new = [
        char for char in emoji if tokenizer.convert_tokens_to_ids(tokenizer.tokenize(char)) == [tokenizer.unk_token_id]
    ]
    starts = [tokenizer(words(char), add_special_tokens=False)["input_ids"] for char in new]
    tokenizer.add_tokens(new)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    weight = model.get_input_embeddings().weight
    with torch.no_grad():
        for char, ids in zip(new, starts, strict=True):
            weight[tokenizer.convert_tokens_to_ids(char)] = weight[ids].mean(0)
    return len(new)
