"""Fine-tuning with everything that decides the outcome in one frozen value, resumable after a kill."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from model.labels import LABELS
from model.training import data, emoji
from model.training.data import Source


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters. `stages` are passes over a mix of sources, in order: broad first, in-domain last."""

    stages: tuple[tuple[Source, ...], ...]
    learning_rate: float = 1.5e-4
    warmup: float = 0.06
    weight_decay: float = 0.01
    batch_size: int = 64
    max_tokens: int = 96
    link_share: float = 0.15
    emoji_at_least: int = 3
    label_smoothing: float = 0.05
    seed: int = 1


_TWEETS = (Source("semeval_tweets.tsv.gz"), Source("semeval_2016devtest.tsv.gz"))

DEFAULT = Recipe(
    stages=(
        (
            Source("semeval_tweets.tsv.gz", 25_000),
            Source("sst_train.tsv.gz"),
            Source("sst_phrases.tsv.gz", 4_000),
            Source("dynasent_r1_dev.tsv.gz"),
            Source("goemotions_train.tsv.gz", 10_000),
            Source("kaggle_tweets_train.tsv.gz", 10_000),
        ),
        (*_TWEETS, Source("sst_train.tsv.gz", 3_000), Source("dynasent_r1_dev.tsv.gz", 2_000), Source("goemotions_train.tsv.gz", 4_000)),
    )
)
"""One pass over a mix of domains, then one that is mostly tweets; the non-commercial airline file is left out."""


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _rate(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up, then linear decay to nought."""
    rising = max(1, int(steps * warmup))
    return (step + 1) / rising if step < rising else max(0.0, (steps - step) / max(1, steps - rising))


def _save(path: Path, state: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def train(folder: Path, base: str, out: Path, recipe: Recipe, device: str, save_every: int = 100) -> None:
    """Fine-tunes `base` on `folder` by the recipe; leaves model and tokenizer in `out`.

    A checkpoint is written every `save_every` steps; a later call with the same `out` goes on from there and draws
    the same batches as an uninterrupted run.
    """
    out.mkdir(parents=True, exist_ok=True)
    _seed_all(recipe.seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=len(LABELS), id2label=dict(enumerate(LABELS)), label2id={label: i for i, label in enumerate(LABELS)}
    )
    stages = [
        data.with_links(data.draw(folder, stage, recipe.seed + n), recipe.link_share, recipe.seed + n)
        for n, stage in enumerate(recipe.stages)
    ]
    texts = [example.text for example in {e.text: e for stage in stages for e in stage}.values()]
    emoji.add_to(tokenizer, model, emoji.frequent(texts, recipe.emoji_at_least))
    model.to(device).train()

    encoded, plan = [], []
    for n, stage in enumerate(stages):
        ids = tokenizer([e.text for e in stage], truncation=True, max_length=recipe.max_tokens, padding=False)["input_ids"]
        encoded.append(ids)
        plan += [(n, rows) for rows in data.batches([len(i) for i in ids], recipe.batch_size, recipe.seed + n)]

    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        fused=True,
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, len(plan), recipe.warmup))
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)

    checkpoint, first = out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        if state["recipe"] != repr(recipe):
            raise SystemExit(f"{checkpoint} was made by another recipe; remove {out} or give another --out")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["rng"].cpu())
        first = state["step"]

    mean_loss = None
    with tqdm(total=len(plan), initial=first, unit="step", mininterval=2, disable=None) as bar:
        for step in range(first, len(plan)):
            stage_number, rows = plan[step]
            batch = tokenizer.pad({"input_ids": [encoded[stage_number][r] for r in rows]}, return_tensors="pt", pad_to_multiple_of=8)
            labels = torch.tensor([stages[stage_number][r].label for r in rows], device=device)
            logits = model(**{key: value.to(device) for key, value in batch.items()}).logits
            loss = loss_of(logits, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad(set_to_none=True)
            mean_loss = loss.item() if mean_loss is None else 0.98 * mean_loss + 0.02 * loss.item()
            bar.set_postfix(loss=f"{mean_loss:.3f}", refresh=False)
            bar.update()
            if (step + 1) % save_every == 0 or step + 1 == len(plan):
                _save(
                    checkpoint,
                    {
                        "step": step + 1,
                        "recipe": repr(recipe),
                        "model": model.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "scheduler": scheduler.state_dict(),
                        "rng": torch.get_rng_state(),
                    },
                )
                if bar.disable:
                    print(f"step {step + 1} of {len(plan)}, loss {mean_loss:.3f}", flush=True)
    model.eval()
    model.save_pretrained(out / "fp32")
    tokenizer.save_pretrained(out / "fp32")
