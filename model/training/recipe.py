"""The recipes that the embedded model is made by: student on labels, teacher, and student on the teacher's scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from model.labels import LABELS
from model.training import data, emoji
from model.training.data import Source
from model.training.fitting import Recipe, fit, passes, seed_all
from model.types import FloatArray

_TWEETS = (Source("train/semeval_tweets.tsv.gz"), Source("train/semeval_2016devtest.tsv.gz"))

BROAD = Recipe(
    stages=(
        (
            Source("train/semeval_tweets.tsv.gz", 25_000),
            Source("train/sst_train.tsv.gz"),
            Source("train/sst_phrases.tsv.gz", 4_000),
            Source("train/dynasent_r1_dev.tsv.gz"),
            Source("train/goemotions_train.tsv.gz", 10_000),
            Source("train/kaggle_tweets_train.tsv.gz", 10_000),
        ),
        (
            *_TWEETS,
            Source("train/sst_train.tsv.gz", 3_000),
            Source("train/dynasent_r1_dev.tsv.gz", 2_000),
            Source("train/goemotions_train.tsv.gz", 4_000),
        ),
    )
)
"""The student on labels: one pass over a mix of domains, then one that is mostly tweets.

The airline file is left out because its licence forbids commercial use."""

TEACHER = Recipe(
    stages=(
        (
            Source("train/semeval_tweets.tsv.gz"),
            Source("train/sst_train.tsv.gz", 3_000),
            Source("train/dynasent_r1_dev.tsv.gz", 2_500),
        ),
    ),
    learning_rate=6e-5,
    head_rate=8.0,
    layer_decay=0.9,
    frozen_layers=7,
    batch_size=32,
    dropout=0.0,
    balanced=True,
)
"""The teacher: the upper 5 of all-mpnet-base-v2's 12 layers, one pass, which takes an hour on two cores."""


TAUGHT = (
    *_TWEETS,
    Source("unlabelled/tweets.tsv.gz", 18_000),
    Source("train/sst_train.tsv.gz", 5_000),
    Source("train/dynasent_r1_dev.tsv.gz"),
    Source("unlabelled/yelp_sentences.tsv.gz", 5_000),
)
"""The texts that the teacher scores: unlabelled ones, and the labelled files that it was trained on."""

_LIKE = {
    "unlabelled/tweets.tsv.gz": "train/semeval_tweets.tsv.gz",
    "unlabelled/yelp_sentences.tsv.gz": "train/dynasent_r1_dev.tsv.gz",
}
"""For each file without labels, a labelled file of the same domain."""

DISTILLED = Recipe(
    stages=(
        (*TAUGHT, Source("train/goemotions_train.tsv.gz", 8_000), Source("train/kaggle_tweets_train.tsv.gz", 5_000)),
        (
            Source("train/semeval_tweets.tsv.gz", 22_000),
            Source("train/sst_train.tsv.gz", 2_000),
            Source("train/goemotions_train.tsv.gz", 2_000),
        ),
    ),
    learning_rate=1e-4,
    dropout=0.0,
    balanced=True,
    soft_share=0.7,
)
"""The student, trained further on labels and on the teacher's scores."""

SHALLOW = {
    len(kept): replace(
        DISTILLED,
        stages=(
            (
                Source("train/semeval_tweets.tsv.gz", 9_000),
                Source("unlabelled/tweets.tsv.gz", 4_000),
                Source("train/sst_train.tsv.gz", 1_000),
            ),
        ),
        layers=kept,
    )
    for kept in ((0, 2, 3, 5), (0, 3, 5))
}
"""Students with fewer layers, which start from layers of the distilled one. They show what more speed would cost.

They are not shipped."""


def log_prior_of(folder: Path, file: str) -> FloatArray:
    """The logarithms of a file's class frequencies, shape (3,).

    For an unlabelled file, those of the labelled file of the same domain are taken.
    """
    known = _LIKE.get(file, file)
    return data.log_priors(data.read(folder / known, known))[known]


def start_student(base: str, recipe: Recipe, texts: list[str]) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """Tokenizer and classifier from a base model or an earlier student, with tokens for the emoji in `texts`."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(
        base,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=recipe.dropout,
    )
    if recipe.layers:
        encoder = model.base_model.encoder
        encoder.layer = torch.nn.ModuleList(encoder.layer[i] for i in recipe.layers)
        model.config.num_hidden_layers = len(recipe.layers)
    emoji.add_to(tokenizer, model, emoji.frequent(texts, recipe.emoji_at_least))
    return tokenizer, model


def train(
    folder: Path,
    base: str,
    out: Path,
    recipe: Recipe,
    device: str,
    *,
    soft: dict[str, FloatArray] | None = None,
    save_every: int = 100,
) -> None:
    """Trains a student from `base` on the data in `folder`; writes model and tokenizer into `out`/fp32. See `fit`."""
    out.mkdir(parents=True, exist_ok=True)
    seed_all(recipe.seed)
    stages = passes(folder, recipe)
    texts = list({example.text: None for stage in stages for example in stage})
    tokenizer, model = start_student(base, recipe, texts)
    model.to(device)

    def logits(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = model(input_ids=input_ids, attention_mask=attention_mask).logits
        return out

    fit(model, logits, tokenizer, stages, recipe, out, soft=soft, save_every=save_every)
    model.save_pretrained(out / "fp32")
    tokenizer.save_pretrained(out / "fp32")
