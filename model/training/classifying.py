"""Batches and losses of training a classifier: labels, teachers' scores, and answers that are to agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from model.labels import LABELS
from model.reading import reader
from model.training import data
from model.training.data import Example
from model.training.fitting import Spent, arithmetic, compiled, fit
from model.training.names import Names, swapped
from model.training.options import Recipe
from model.types import FloatArray


def passes(folder: Path, recipe: Recipe, names: Names | None = None) -> list[list[Example]]:
    """The examples of each stage; the same recipe always gives the same examples.

    Args:
        folder: the folder of the data.
        recipe: the recipe.
        names: the names to swap; needed if the recipe swaps any.
    """
    out = []
    for n, stage in enumerate(recipe.stages):
        examples = data.with_links(data.draw(folder, stage), recipe.link_share, recipe.seed + n)
        if names is not None and (recipe.swap_share or recipe.name_weight):
            examples = swapped(examples, names, recipe.swap_share, recipe.seed + n, twins=recipe.name_weight > 0)
        out.append(examples)
    return out


def read_by(tokenizer: PreTrainedTokenizerBase, recipe: Recipe) -> Callable[[list[str]], list[str]]:
    """What makes of cleaned texts the texts for the tokenizer, as an engine does that serves the model."""
    vocabulary = tokenizer.get_vocab()
    read = reader(recipe.reading, vocabulary.__contains__, lambda: vocabulary)
    return lambda texts: texts if read is None else list(map(read, texts))


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
        soft: the teachers' probabilities, shape (n, classes); not-a-number for a text that they did not score.
        soft_share: the share of the teachers' part in the loss of a text that has both.
        smoothing: the label smoothing.
    """
    labelled, taught = labels >= 0, ~soft.isnan().any(1)
    of_label = torch.nn.functional.cross_entropy(
        logits + log_priors, labels.clamp(min=0), reduction="none", label_smoothing=smoothing
    )
    of_teacher = -(soft.nan_to_num() * logits.log_softmax(1)).sum(1)
    share = torch.where(labelled, soft_share, 1.0) * taught
    return torch.where(labelled, (1 - share) * of_label, 0.0) + share * of_teacher


def divergence(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """How far two answers differ, shape (n,): the mean of both Kullback-Leibler divergences, in nats.

    Args:
        one: logits, shape (n, classes).
        other: logits of the same shape.
    """
    log_one, log_other = one.log_softmax(1), other.log_softmax(1)
    return ((log_one.exp() - log_other.exp()) * (log_one - log_other)).sum(1) / 2


def fit_classifier(
    model: torch.nn.Module,
    logits: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
    stages: list[list[Example]],
    recipe: Recipe,
    out: Path,
    *,
    soft: dict[str, FloatArray] | None = None,
    save_s: float | None = None,
) -> Spent:
    """Trains a classifier; see `fit`.

    Args:
        logits: computes the model's logits, shape (n, classes), from `input_ids` and `attention_mask`.
        soft: the teachers' probabilities by file, shape (rows of the file, classes); not-a-number in rows that they
            did not score.
    """
    where = next(model.parameters()).device
    read = read_by(tokenizer, recipe)
    rules = {"truncation": True, "max_length": recipe.max_tokens, "padding": False}
    encoded, twins, priors, plan = [], [], [], []
    for n, stage in enumerate(stages):
        encoded.append(tokenizer(read([e.text for e in stage]), **rules)["input_ids"])
        having = [row for row, example in enumerate(stage) if example.twin]
        ids = tokenizer(read([stage[row].twin for row in having]), **rules)["input_ids"] if having else []
        twins.append(dict(zip(having, ids, strict=True)))
        priors.append(data.log_priors(stage))
        plan += [(n, rows) for rows in data.batches([len(i) for i in encoded[n]], recipe.batch_size, recipe.seed + n)]
    steps = len(plan)
    forward = compiled(logits, where, steps)
    flat, unknown = np.zeros(len(LABELS), np.float32), np.full(len(LABELS), np.nan, np.float32)

    def loss(step: int) -> tuple[torch.Tensor, int]:
        n, rows = plan[step]
        examples = [stages[n][row] for row in rows]
        # The second answer to a text: to the one with other names if there is one, else under another dropout.
        again = [i for i, row in enumerate(rows) if row in twins[n] or recipe.r_drop]
        ids = [encoded[n][row] for row in rows] + [twins[n].get(rows[i], encoded[n][rows[i]]) for i in again]
        examples += [examples[i] for i in again]
        padded = tokenizer.pad({"input_ids": ids}, return_tensors="pt", pad_to_multiple_of=8).to(where)
        labels = torch.tensor([-1 if e.label is None else e.label for e in examples], device=where)
        prior = np.stack([priors[n][e.file] if recipe.balanced else flat for e in examples])
        taught = np.stack([soft[e.file][e.row] if soft and e.file in soft else unknown for e in examples])
        with arithmetic(where):
            answers = forward(padded["input_ids"], padded["attention_mask"])
        answers = answers.float()
        value = losses(
            answers,
            labels,
            torch.from_numpy(prior).to(where),
            torch.from_numpy(taught).to(where),
            recipe.soft_share,
            recipe.label_smoothing,
        ).mean()
        if again:
            weights = [recipe.name_weight if rows[i] in twins[n] else recipe.r_drop for i in again]
            apart = divergence(answers[again], answers[len(rows) :])
            value = value + (torch.tensor(weights, device=where) * apart).sum() / len(rows)
        return value, len(rows)

    return fit(model, loss, steps, recipe, out, **({} if save_s is None else {"save_s": save_s}))
