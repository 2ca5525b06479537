"""The recipe: every choice that decides the outcome of a training run. An ablation is a recipe with one changed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from model.reading import SPLIT
from model.training.data import Source


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
    """The share of the texts that get a link."""
    label_smoothing: float = 0.05
    dropout: float = 0.1
    balanced: bool = False
    """Whether labels are learnt by balanced softmax (Ren et al. 2020), with the class frequencies of each file.

    The model then answers as if all classes were equally frequent in each domain, which is what macro recall rewards.
    """
    soft_share: float = 0.0
    """The share that the cross-entropy to the teachers' scores has in the loss of a labelled text.

    For an unlabelled text it is the whole loss."""
    reading: int = SPLIT
    """How texts are read: see `model.reading`."""
    all_emoji: bool = True
    """Whether every emoji of Unicode gets a token; otherwise those that occur in at least three of the texts do."""
    first: bool = False
    """Whether a student begins with the first edition of the embedded model, instead of its base model."""
    masked: bool = False
    """Whether the model begins with weights that were trained further on tweets by masked words: see `masked`."""
    swap_share: float = 0.0
    """The share of the texts with names whose names are swapped for others of their kind, at random: see `names`."""
    name_weight: float = 0.0
    """The weight of the divergence between the answers to a text and to the same one with other names."""
    r_drop: float = 0.0
    """The weight of the divergence between two answers to a text under different dropout.

    Liang et al. (2021) call it R-Drop."""
    average: float = 0.0
    """The decay of the moving average of the weights, which then is the result; 0 means the last weights.

    The average is over about the last 1 / (1 - average) steps."""
    layers: tuple[int, ...] = ()
    """The layers of the base model to keep, from 0; empty means all."""
    feed_forward: int = 0
    """The width of the feed-forward layers, of whose neurons those with the largest weights are kept; 0 means all."""
    seed: int = 1


def differences(recipe: Recipe, other: Recipe) -> dict[str, Any]:
    """The options in which a recipe differs from another one, with their values."""
    return {
        field.name: getattr(recipe, field.name)
        for field in fields(recipe)
        if getattr(recipe, field.name) != getattr(other, field.name)
    }
