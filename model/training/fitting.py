"""The training loop: passes over mixes of files, with labels and a teacher's scores; it resumes after a kill."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from model.labels import LABELS
from model.training import data
from model.training.data import Example, Source
from model.types import FloatArray


@dataclass(frozen=True)
class Recipe:
    """All choices that decide the outcome of a training run."""

    stages: tuple[tuple[Source, ...], ...]
    """Passes over a mix of sources, in order: all domains first, the target domain last."""
    learning_rate: float = 1.5e-4
    head_rate: float = 1.0
    """The classifier's learning rate as a multiple of `learning_rate`."""
    layer_decay: float = 1.0
    """Each layer's learning rate as a multiple of the rate of the layer above.

    Howard & Ruder (2018) call it discriminative fine-tuning."""
    frozen_layers: int = 0
    """The number of lowest layers that are not trained; if there are any, the embeddings are not trained either."""
    warmup: float = 0.06
    weight_decay: float = 0.01
    batch_size: int = 64
    max_tokens: int = 96
    link_share: float = 0.15
    emoji_at_least: int = 3
    label_smoothing: float = 0.05
    dropout: float = 0.1
    balanced: bool = False
    """Whether labels are learnt by balanced softmax (Ren et al. 2020), with the class frequencies of each file.

    The model then answers as if all classes were equally frequent in each domain, which is what macro recall rewards.
    """
    soft_share: float = 0.0
    """The share that the cross-entropy to the teacher's scores has in the loss of a labelled text.

    For an unlabelled text it is the whole loss."""
    layers: tuple[int, ...] = ()
    """The layers of the base model to keep, from 0; empty means all."""
    seed: int = 1


def seed_all(seed: int) -> None:
    """Seeds every random generator that training uses."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def passes(folder: Path, recipe: Recipe) -> list[list[Example]]:
    """The examples of each stage; the same recipe always gives the same examples."""
    return [
        data.with_links(data.draw(folder, stage, recipe.seed + n), recipe.link_share, recipe.seed + n)
        for n, stage in enumerate(recipe.stages)
    ]


def losses(
    logits: torch.Tensor,
    labels: torch.Tensor,
    log_priors: torch.Tensor,
    soft: torch.Tensor,
    soft_share: float,
    smoothing: float,
) -> torch.Tensor:
    """The loss of each text, shape (n,).

    Args:
        logits: shape (n, classes).
        labels: class indices, shape (n,); -1 for an unlabelled text.
        log_priors: the log class frequencies of each text's file, shape (n, classes). They are added to the logits
            where a label is learnt; zeros have no effect.
        soft: the teacher's probabilities, shape (n, classes); not-a-number for a text that it did not score.
        soft_share: the share of the teacher's part in the loss of a text that has both.
        smoothing: the label smoothing.
    """
    labelled, taught = labels >= 0, ~soft.isnan().any(1)
    of_label = torch.nn.functional.cross_entropy(
        logits + log_priors, labels.clamp(min=0), reduction="none", label_smoothing=smoothing
    )
    of_teacher = -(soft.nan_to_num() * logits.log_softmax(1)).sum(1)
    share = torch.where(labelled, soft_share, 1.0) * taught
    return torch.where(labelled, (1 - share) * of_label, 0.0) + share * of_teacher


def groups(model: torch.nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """The optimizer's parameter groups, by learning rate and weight decay; switches off gradients of frozen layers."""
    numbered = {name: re.search(r"\blayer\.(\d+)\.", name) for name, _ in model.named_parameters()}
    top = max((int(found[1]) for found in numbered.values() if found), default=0)
    out: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        found = numbered[name]
        below = "embeddings" in name or "relative_attention_bias" in name
        layer = int(found[1]) if found else (-1 if below else top + 1)
        if layer < recipe.frozen_layers and recipe.frozen_layers > 0:
            parameter.requires_grad_(False)
            continue
        rate = recipe.learning_rate * (recipe.head_rate if layer > top else recipe.layer_decay ** (top - layer))
        out.setdefault((rate, recipe.weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [{"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in out.items()]


def _rate(step: int, steps: int, warmup: float) -> float:
    """The factor of the learning rate at a step: linear warm-up, then linear decay to zero."""
    rising = max(1, int(steps * warmup))
    return (step + 1) / rising if step < rising else max(0.0, (steps - step) / max(1, steps - rising))


def save(path: Path, state: object) -> None:
    """Writes a file with torch, atomically: a reader finds the whole file or none."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def fit(
    model: torch.nn.Module,
    logits: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
    stages: list[list[Example]],
    recipe: Recipe,
    out: Path,
    *,
    soft: dict[str, FloatArray] | None = None,
    save_every: int = 100,
) -> None:
    """Trains a model by a recipe and leaves it in evaluation mode.

    A checkpoint is written into `out` every `save_every` steps; a later call with the same `out` resumes from it and
    draws the same batches as an uninterrupted run.

    Args:
        logits: computes the model's logits, shape (n, classes), from `input_ids` and `attention_mask`.
        soft: the teacher's probabilities by file, shape (rows of the file, classes); not-a-number in rows that it did
            not score.

    Raises:
        SystemExit: `out` has a checkpoint of another recipe.
    """
    device = next(model.parameters()).device
    encoded, priors, plan = [], [], []
    for n, stage in enumerate(stages):
        ids = tokenizer([e.text for e in stage], truncation=True, max_length=recipe.max_tokens, padding=False)[
            "input_ids"
        ]
        encoded.append(ids)
        priors.append(data.log_priors(stage))
        plan += [(n, rows) for rows in data.batches([len(i) for i in ids], recipe.batch_size, recipe.seed + n)]

    def batch_of(step: int) -> tuple[torch.Tensor, ...]:
        n, rows = plan[step]
        examples = [stages[n][r] for r in rows]
        padded = tokenizer.pad({"input_ids": [encoded[n][r] for r in rows]}, return_tensors="pt", pad_to_multiple_of=8)
        labels = torch.tensor([-1 if e.label is None else e.label for e in examples])
        flat = np.zeros(len(LABELS), np.float32)
        prior = torch.from_numpy(np.stack([priors[n][e.file] if recipe.balanced else flat for e in examples]))
        unknown = np.full(len(LABELS), np.nan, np.float32)
        taught = torch.from_numpy(
            np.stack([soft[e.file][e.row] if soft and e.file in soft else unknown for e in examples])
        )
        return tuple(t.to(device) for t in (padded["input_ids"], padded["attention_mask"], labels, prior, taught))

    parameters = groups(model, recipe)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(parameters, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, len(plan), recipe.warmup))

    checkpoint, first = out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        if state["recipe"] != repr(recipe):
            raise SystemExit(f"{checkpoint} was made by another recipe; remove {out} or give another --run")
        model.load_state_dict(state["model"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["rng"].cpu())
        first = state["step"]

    # Fused kernels train 1.5 times as fast on two cores; on a CPU they need a C++ compiler.
    if (device.type == "cuda" or shutil.which("g++")) and len(plan) - first > 200:
        logits = torch.compile(logits, dynamic=True)
    model.train()
    mean_loss = None
    for step in _counted(first, len(plan)):
        input_ids, mask, labels, prior, taught = batch_of(step)
        loss = losses(logits(input_ids, mask), labels, prior, taught, recipe.soft_share, recipe.label_smoothing).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        mean_loss = loss.item() if mean_loss is None else 0.98 * mean_loss + 0.02 * loss.item()
        if (step + 1) % save_every == 0 or step + 1 == len(plan):
            state = {
                "step": step + 1,
                "recipe": repr(recipe),
                "model": {name: p.detach() for name, p in trained.items()},
            }
            state |= {
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "rng": torch.get_rng_state(),
            }
            save(checkpoint, state)
            tqdm.write(f"step {step + 1} of {len(plan)}, loss {mean_loss:.3f}")
    model.eval()


def _counted(first: int, last: int) -> Iterator[int]:
    with tqdm(total=last, initial=first, unit="step", mininterval=2, disable=None) as bar:
        for step in range(first, last):
            yield step
            bar.update()
