"""The student: the small model that is served, trained on labels and on the teachers' scores."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from model.labels import LABELS
from model.training import emoji
from model.training.classifying import fit_classifier, passes, read_by
from model.training.fitting import Spent, device, seed_all
from model.training.names import Names
from model.training.options import Recipe
from model.training.scoring import TorchScorer
from model.types import FloatArray

TRAINED = "fp32"
"""The folder of the trained model, in a run's folder; it is there only when training has ended."""
_WEIGHTS = "model.safetensors"
_START_SEED = 1
"""Students of all seeds begin with the same classifier: else the mean of their weights would mean nothing."""
_FREQUENT = 3


def start(base: str, recipe: Recipe, texts: list[str]) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """Tokenizer and classifier from a base model or an earlier student, with tokens for emoji.

    Args:
        base: the folder of the model.
        recipe: the recipe.
        texts: the texts of the training, whose frequent emoji get tokens if the recipe does not add all.
    """
    tokenizer = AutoTokenizer.from_pretrained(base)
    seed_all(_START_SEED)
    model = AutoModelForSequenceClassification.from_pretrained(
        base,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=recipe.dropout,
        dtype=torch.float32,
    )
    if recipe.layers:
        encoder = model.base_model.encoder
        encoder.layer = torch.nn.ModuleList(encoder.layer[i] for i in recipe.layers)
        model.config.num_hidden_layers = len(recipe.layers)
    if recipe.feed_forward:
        _narrow(model, recipe.feed_forward)
    emoji.add_to(tokenizer, model, emoji.all_in_use() if recipe.all_emoji else emoji.frequent(texts, _FREQUENT))
    return tokenizer, model


def _narrow(model: PreTrainedModel, width: int) -> None:
    """Keeps in each layer the neurons of the feed-forward part through which most can pass.

    The measure is the product of the norms of a neuron's weights in and out.
    """
    for layer in model.base_model.encoder.layer:
        into, out = layer.intermediate.dense, layer.output.dense
        with torch.no_grad():
            kept = (into.weight.norm(dim=1) * out.weight.norm(dim=0)).topk(width).indices.sort().values
            into.weight = torch.nn.Parameter(into.weight[kept].clone())
            into.bias = torch.nn.Parameter(into.bias[kept].clone())
            out.weight = torch.nn.Parameter(out.weight[:, kept].clone())
        into.out_features = out.in_features = width
    model.config.intermediate_size = width


def train(
    folder: Path,
    base: str,
    out: Path,
    recipe: Recipe,
    *,
    soft: dict[str, FloatArray] | None = None,
    names: Names | None = None,
    save_s: float | None = None,
) -> Spent:
    """Trains a student from `base` on the data in `folder`; writes model and tokenizer into `out`/fp32. See `fit`."""
    out.mkdir(parents=True, exist_ok=True)
    stages = passes(folder, recipe, names)
    texts = list({example.text: None for stage in stages for example in stage})
    tokenizer, model = start(base, recipe, texts)
    model.to(device())
    seed_all(recipe.seed)

    def logits(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = model(input_ids=input_ids, attention_mask=attention_mask).logits
        return out

    spent = fit_classifier(model, logits, tokenizer, stages, recipe, out, soft=soft, save_s=save_s)
    _write(model, tokenizer, out / TRAINED)
    return spent


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Writes a model's folder, atomically: its presence says that it is complete, and then it stays."""
    if out.exists():
        return
    part = out.with_name(f"{out.name}.part")
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    part.replace(out)


def average(trained: list[Path], out: Path) -> None:
    """Writes the model whose weights are the means of those of several students (Wortsman et al. 2022).

    Args:
        trained: the students' folders; they have the same tokenizer, and began with the same weights.
        out: the folder to write.
    """
    if out.exists():
        return
    members = [load_file(folder / _WEIGHTS) for folder in trained]
    part = out.with_name(f"{out.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    for path in trained[0].iterdir():
        if path.name != _WEIGHTS:
            (part / path.name).write_bytes(path.read_bytes())
    means = {name: torch.stack([member[name] for member in members]).mean(0) for name in members[0]}
    save_file(means, part / _WEIGHTS, metadata={"format": "pt"})
    part.replace(out)


def scorer(trained: Path, recipe: Recipe) -> TorchScorer:
    """Scores with a trained student in torch."""
    tokenizer = AutoTokenizer.from_pretrained(trained)
    model = AutoModelForSequenceClassification.from_pretrained(trained, dtype=torch.float32).eval().to(device())
    return TorchScorer(
        lambda ids, mask: model(input_ids=ids, attention_mask=mask).logits,
        tokenizer,
        read_by(tokenizer, recipe),
        device(),
        recipe.max_tokens,
    )
