"""The training loop: it computes in bf16 where that is faster, resumes after a kill, and tells how far it is."""

from __future__ import annotations

import contextlib
import math
import os
import random
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.training.options import Recipe

CHECKPOINT = "checkpoint.pt"
_SAVE_S = 300.0
"""Seconds between checkpoints: what a kill costs at most."""
_TELL_S = 60.0
_COMPILED_STEPS = 200
"""From this many steps on, it pays to compile the model."""
_AVERAGED_EVERY = 5
"""Steps between updates of the average of the weights, which is as good and costs a fifth of one at each step."""


def device() -> torch.device:
    """Where models are trained: on a GPU if torch sees one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16(where: torch.device) -> bool:
    """Whether the device computes in bf16 itself; elsewhere bf16 would be emulated, and slower than fp32."""
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def arithmetic(where: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The context in which a model computes: weights in fp32, products in bf16 where the device has it."""
    if not has_bf16(where):
        return contextlib.nullcontext()
    # Casts are not kept: inside a compiled function the cache would outlive a step.
    context: contextlib.AbstractContextManager[Any] = torch.autocast(where.type, torch.bfloat16, cache_enabled=False)
    return context


def seed_all(seed: int) -> None:
    """Seeds every random generator that training uses."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def save(path: Path, state: object) -> None:
    """Writes a file with torch, atomically: a reader finds the whole file or none."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def groups(model: torch.nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """The optimizer's parameter groups, by learning rate and weight decay; switches off gradients of frozen layers."""
    numbered = {name: re.search(r"\blayer\.(\d+)\.", name) for name, _ in model.named_parameters()}
    top = max((int(found[1]) for found in numbered.values() if found), default=0)
    out: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        found = numbered[name]
        below = "embeddings" in name or "relative_attention_bias" in name
        layer = int(found[1]) if found else (-1 if below else top + 1)
        if layer < recipe.frozen_layers and layer <= top and recipe.frozen_layers > 0:
            parameter.requires_grad_(False)
            continue
        rate = recipe.learning_rate * (recipe.head_rate if layer > top else recipe.layer_decay ** (top - layer))
        out.setdefault((rate, recipe.weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [{"params": members, "lr": rate, "weight_decay": decay} for (rate, decay), members in out.items()]


@dataclass
class Spent:
    """What a run has cost so far, over all its sittings."""

    seconds: float = 0.0
    processor_s: float = 0.0
    texts: int = 0


class _Average:
    """The moving average of weights; at the beginning it follows faster, so that the first weights are forgotten."""

    def __init__(self, weights: dict[str, torch.nn.Parameter], decay: float) -> None:
        self._weights = list(weights.values())
        self._decay = decay
        self.values = {name: weight.detach().clone() for name, weight in weights.items()}

    def update(self, step: int) -> None:
        if (step + 1) % _AVERAGED_EVERY == 0:
            decay = min(self._decay, (1 + step) / (10 + step)) ** _AVERAGED_EVERY
            torch._foreach_lerp_(list(self.values.values()), [w.detach() for w in self._weights], 1 - decay)


def _rate(step: int, steps: int, warmup: float) -> float:
    """The factor of the learning rate at a step: linear warm-up, then linear decay to zero."""
    rising = max(1, int(steps * warmup))
    return (step + 1) / rising if step < rising else max(0.0, (steps - step) / max(1, steps - rising))


def compiled(forward: Callable[..., torch.Tensor], where: torch.device, steps: int) -> Callable[..., torch.Tensor]:
    """The model's function with fused kernels, 1.5 times as fast on two cores; on a CPU they need a C++ compiler.

    Whether they are used does not depend on where a run was interrupted: they round otherwise.
    """
    if (where.type == "cuda" or shutil.which("g++")) and steps > _COMPILED_STEPS:
        fused: Callable[..., torch.Tensor] = torch.compile(forward, dynamic=True)
        return fused
    return forward


def fit(
    model: torch.nn.Module,
    loss: Callable[[int], tuple[torch.Tensor, int]],
    steps: int,
    recipe: Recipe,
    out: Path,
    *,
    save_s: float = _SAVE_S,
) -> Spent:
    """Trains a model by a recipe and leaves it in evaluation mode; returns what the run has cost.

    A checkpoint is written into `out` every `save_s` seconds; a later call with the same `out` goes on from there and
    ends with the same weights as an uninterrupted run on the same machine.

    Args:
        loss: computes the loss of a step's batch, in fp32, and the number of its texts; a step's batch is always the
            same, so that a run can be resumed.
        steps: the number of steps.

    Raises:
        SystemExit: `out` has a checkpoint of another recipe or of other data.
    """
    where = next(model.parameters()).device
    parameters = groups(model, recipe)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(parameters, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, recipe.warmup))
    average = _Average(trained, recipe.average) if recipe.average else None

    checkpoint, first, spent, mean_loss = out / CHECKPOINT, 0, Spent(), math.nan
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=where, weights_only=True)
        if (state["recipe"], state["steps"]) != (repr(recipe), steps):
            raise SystemExit(f"{checkpoint} was made by another recipe; remove {out} or give another --run")
        model.load_state_dict(state["model"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["rng"].cpu())
        if where.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"].cpu())
        if average is not None:
            average.values = state["average"]
        first, spent, mean_loss = state["step"], Spent(**state["spent"]), state["loss"]
        print(f"{out.name}: goes on at step {first} of {steps}", flush=True)

    before = Spent(**vars(spent))
    began, began_cpu = time.monotonic(), time.process_time()
    saved = told = began
    model.train()
    for step in range(first, steps):
        value, texts = loss(step)
        value.backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        if average is not None:
            average.update(step)
        mean_loss = value.item() if math.isnan(mean_loss) else 0.98 * mean_loss + 0.02 * value.item()
        now, last = time.monotonic(), step + 1 == steps
        spent.texts += texts
        spent.seconds = before.seconds + now - began
        spent.processor_s = before.processor_s + time.process_time() - began_cpu
        if now - told >= _TELL_S or last:
            told = now
            speed = (spent.texts - before.texts) / (now - began)
            left = timedelta(seconds=round((steps - step - 1) * (now - began) / (step + 1 - first)))
            print(
                f"{out.name}: step {step + 1} of {steps}, loss {mean_loss:.3f}, {speed:.1f} texts/s, {left} left",
                flush=True,
            )
        if now - saved >= save_s or last:
            saved = now
            state = {
                "step": step + 1,
                "steps": steps,
                "recipe": repr(recipe),
                "model": {name: p.detach() for name, p in trained.items()},
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "rng": torch.get_rng_state(),
                "spent": vars(spent),
                "loss": mean_loss,
            }
            if where.type == "cuda":
                state["cuda_rng"] = torch.cuda.get_rng_state()
            if average is not None:
                state["average"] = average.values
            save(checkpoint, state)
    if average is not None:
        model.load_state_dict(average.values, strict=False)
    model.eval()
    return spent
