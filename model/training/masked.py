"""Trains a base model further on tweets without labels, by words that are masked (Gururangan et al. 2020)."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerBase

from model.training import data, emoji
from model.training.classifying import read_by
from model.training.fitting import Spent, arithmetic, compiled, device, fit, seed_all
from model.training.options import Recipe

BASE = "base"
"""The folder of the base model that results, in the run's folder; it is there only when training has ended."""
_MASKED, _AS_MASK, _AS_ANOTHER = 0.15, 0.8, 0.1
"""The share of the tokens that are to be guessed; of these, the shares that are masked, and that are another token."""


def mask(
    ids: torch.Tensor, special: torch.Tensor, tokenizer: PreTrainedTokenizerBase, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids with some of them masked or swapped as in BERT, and what is to be guessed: -100 where nothing is.

    Args:
        ids: token ids, shape (n, length).
        special: whether each is a special token or padding, which is never masked.
        tokenizer: the tokenizer.
        rng: what decides.
    """
    chosen = (torch.rand(ids.shape, generator=rng) < _MASKED) & ~special
    fate = torch.rand(ids.shape, generator=rng)
    others = torch.randint(len(tokenizer), ids.shape, generator=rng)
    masked = torch.where(chosen & (fate < _AS_MASK), tokenizer.mask_token_id, ids)
    swapped = torch.where(chosen & (fate >= _AS_MASK) & (fate < _AS_MASK + _AS_ANOTHER), others, masked)
    return swapped, torch.where(chosen, ids, -100)


def train(folder: Path, base: str, out: Path, recipe: Recipe, *, save_s: float | None = None) -> Spent:
    """Trains `base` further on the texts of the recipe's stages; writes encoder and tokenizer into `out`/base.

    The weights of the part that guesses words are not in all-mpnet-base-v2; they begin at random.
    """
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(base)
    seed_all(recipe.seed)
    model = AutoModelForMaskedLM.from_pretrained(
        base, hidden_dropout_prob=recipe.dropout, attention_probs_dropout_prob=recipe.dropout
    )
    emoji.add_to(tokenizer, model, emoji.all_in_use() if recipe.all_emoji else {})
    where = device()
    model.to(where)
    read = read_by(tokenizer, recipe)
    encoded, plan = [], []
    for n, stage in enumerate(recipe.stages):
        texts = read([example.text for example in data.draw(folder, stage)])
        encoded.append(tokenizer(texts, truncation=True, max_length=recipe.max_tokens)["input_ids"])
        plan += [(n, rows) for rows in data.batches([len(i) for i in encoded[n]], recipe.batch_size, recipe.seed + n)]
    special = torch.tensor(sorted(tokenizer.all_special_ids))

    def guesses(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits

    forward = compiled(guesses, where, len(plan))

    def loss(step: int) -> tuple[torch.Tensor, int]:
        n, rows = plan[step]
        padded = tokenizer.pad({"input_ids": [encoded[n][row] for row in rows]}, return_tensors="pt")
        rng = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        ids, wanted = mask(padded["input_ids"], torch.isin(padded["input_ids"], special), tokenizer, rng)
        with arithmetic(where):
            logits = forward(ids.to(where), padded["attention_mask"].to(where))
        value = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), wanted.to(where).flatten())
        return value.nan_to_num(), len(rows)  # a batch of very short texts may have nothing to guess

    spent = fit(model, loss, len(plan), recipe, out, **({} if save_s is None else {"save_s": save_s}))
    part = out / f"{BASE}.part"
    model.base_model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    part.replace(out / BASE)
    return spent
