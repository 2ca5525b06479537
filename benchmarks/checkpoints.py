"""Makes folders of models, as Hugging Face saves them, for measurements on other models than the embedded one.

    python -m benchmarks.checkpoints shaped roberta-base --out FOLDER [--data tweets.tsv.gz]

makes a model of the size of a known one, with random weights: its speed is that of any model of this kind. The
tokenizer is made from the texts of the file, so that they have about as many tokens as with the known model; without a
file, from this project's documents. What it answers depends on whether a text has commas, or question and exclamation
marks: its scores are as far apart as a trained model's. (A random classifier hesitates at every text, so that the least
rounding changes labels, and no gate would let it pass.)

    python -m benchmarks.checkpoints trained --data DATA --out FOLDER

trains all-mpnet-base-v2 (12 layers of width 768; fetched, 395 MB) a little on the three labels: one pass over a few
thousand texts of DATA/train, on the upper layers only. It takes a quarter of an hour on two cores, and resumes where it
was stopped. Its answers mean something, so it shows what compiling does to accuracy.
"""

from __future__ import annotations

import enum
import json
import random
import string
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from benchmarks.bench.texts import Texts
from benchmarks.services import ROOT
from model.labels import LABELS
from model.types import FloatArray

if TYPE_CHECKING:
    import tokenizers
    import torch

cli = typer.Typer(help="Makes folders of models to measure.", no_args_is_help=True, add_completion=False)

Out = Annotated[Path, typer.Option("--out", help="The folder to make.")]

_MARKS = {"NEGATIVE": ",;", "POSITIVE": "!?"}
"""The characters that decide the label of a text; with neither it is NEUTRAL, with both mostly NEGATIVE."""
_WEIGHT = {"NEGATIVE": 10.0, "POSITIVE": 5.0}
_THRESHOLD = 0.3
"""A text that is this sure to have such a character (from 0 to 1) counts as undecided."""
_FEATURE_TEXTS = 600
"""The texts by which the classifier's weights are found."""
_RIDGE = 10.0
_DAMPED = 0.3
"""What the layers above the first add to a token is this much smaller, so that they keep what it found."""
_LEARNT_PIECES = 30_000
"""The pieces of a Unigram tokenizer that are learnt; the others are made up, so that it has the size of the known one.
Learning all would take many times as many texts."""


class Shape(enum.StrEnum):
    """A model whose size is imitated."""

    roberta = "roberta-base"
    xlm_roberta = "xlm-roberta-base"
    distilbert = "distilbert-base"


SIZES = {Shape.roberta: 50_265, Shape.xlm_roberta: 250_002, Shape.distilbert: 30_522}
"""The number of pieces that each has an embedding of."""
_LABELS = {"id2label": dict(enumerate(LABELS)), "label2id": {label: number for number, label in enumerate(LABELS)}}


@cli.command()
def shaped(
    shape: Annotated[Shape, typer.Argument(help="The model whose size is imitated.")],
    out: Out,
    data: Annotated[
        Path | None, typer.Option("--data", help="A TSV file, perhaps gzipped, with a column `text`.", exists=True)
    ] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Fewer layers, for a quick trial.")] = None,
    seed: int = 1,
) -> None:
    """Makes a model of a known size with random weights."""
    texts = _lines() if data is None else Texts(data).plain
    make(shape, out, texts, layers=layers, seed=seed)


def _lines() -> list[str]:
    """The lines of this project's documents."""
    files = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
    return [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def make(shape: Shape, out: Path, texts: Sequence[str], *, layers: int | None = None, seed: int = 1) -> None:
    """Makes the folder of a model with random weights, and a tokenizer learnt from the texts."""
    import torch
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

    config, plain, options = parts(shape, texts, layers)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, model_max_length=512, **options)
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    _notice(model, tokenizer)
    _decide(model, tokenizer, random.Random(seed).sample(list(texts), min(_FEATURE_TEXTS, len(texts))))
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _notice(model: Any, tokenizer: Any) -> None:
    """Gives the pieces with marks an embedding that the first layer notices wherever it stands, and lets the other
    layers keep it: of other words, a random model soon knows little.
    """
    import torch

    query, key = (
        next(part for name, part in model.base_model.named_modules() if name.endswith(f"layer.0.attention.{end}"))
        for end in (("self.query", "self.key") if "Roberta" in type(model).__name__ else ("q_lin", "k_lin"))
    )
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    embeddings = model.get_input_embeddings().weight
    with torch.no_grad():
        start = model.base_model.embeddings(torch.tensor([[tokenizer.cls_token_id]]))[0, 0]
        towards = torch.nn.functional.normalize(query(start) @ key.weight, dim=0)
        for marks in _MARKS.values():
            aside = torch.nn.functional.normalize(torch.randn(len(towards)), dim=0)
            marked = [number for number, piece in enumerate(pieces) if set(marks) & set(piece)]
            embeddings[marked] = 2 * (0.85 * towards + 0.5 * aside)
        for name, weight in model.base_model.named_parameters():
            if name.endswith(("output.dense.weight", "out_lin.weight", "lin2.weight")) and "layer.0." not in name:
                weight *= _DAMPED


def _decide(model: Any, tokenizer: Any, texts: Sequence[str]) -> None:
    """Gives the classifier the weights by which marks decide the label, by ridge regression on its features."""
    import torch

    head = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part.out_features == len(LABELS)]
    features: list[FloatArray] = []
    hook = head[-1].register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].numpy()))
    ordered = sorted(texts, key=len)
    for first in range(0, len(ordered), 16):
        batch = ordered[first : first + 16]
        with torch.inference_mode():
            model(**tokenizer(batch, truncation=True, max_length=128, padding=True, return_tensors="pt"))
    hook.remove()
    given = np.concatenate(features).astype(np.float64)
    mean = given.mean(0)
    near = (given - mean).T @ (given - mean)
    near += _RIDGE * np.trace(near) / len(near) * np.eye(len(near))
    weights, bias = np.zeros((len(LABELS), len(near))), np.zeros(len(LABELS))
    for label, marks in _MARKS.items():
        has = np.array([bool(set(marks) & set(text)) for text in ordered], np.float64)
        row = LABELS.index(label)
        found = np.linalg.solve(near, (given - mean).T @ (has - has.mean()))
        weights[row] = _WEIGHT[label] * found
        bias[row] = _WEIGHT[label] * (has.mean() - found @ mean - _THRESHOLD)
    with torch.no_grad():
        head[-1].weight.copy_(torch.from_numpy(weights))
        head[-1].bias.copy_(torch.from_numpy(bias))


def parts(shape: Shape, texts: Sequence[str], layers: int | None) -> tuple[Any, tokenizers.Tokenizer, dict[str, Any]]:
    """Configuration, tokenizer, and what transformers is told of the tokenizer."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    special |= {"mask_token": "<mask>", "cls_token": "<s>", "sep_token": "</s>"}
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    options: dict[str, Any] = {**special, "model_input_names": ["input_ids", "attention_mask"]}
    size: dict[str, Any] = {
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "num_hidden_layers": layers or 12,
        **_LABELS,
    }
    count = SIZES[shape]
    if shape is Shape.roberta:
        plain = Tokenizer(models.BPE())
        plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        plain.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        plain.train_from_iterator(
            texts,
            trainers.BpeTrainer(vocab_size=count, special_tokens=names, initial_alphabet=alphabet, show_progress=False),
        )
        plain.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
        return transformers.RobertaConfig(vocab_size=count, **size), plain, options
    if shape is Shape.xlm_roberta:
        plain = Tokenizer(models.Unigram())
        plain.normalizer = normalizers.NFKC()
        plain.pre_tokenizer = pre_tokenizers.Metaspace()
        plain.train_from_iterator(
            texts,
            trainers.UnigramTrainer(
                vocab_size=_LEARNT_PIECES, special_tokens=names, unk_token="<unk>", show_progress=False
            ),
        )
        pieces = [tuple(piece) for piece in json.loads(plain.to_str())["model"]["vocab"]]
        plain.model = models.Unigram(_filled(pieces, count), unk_id=names.index("<unk>"))
        plain.decoder = decoders.Metaspace()
        plain.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
        return transformers.XLMRobertaConfig(vocab_size=count, **size), plain, options
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    plain = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    plain.normalizer = normalizers.BertNormalizer()
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    plain.decoder = decoders.WordPiece()
    plain.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=count, special_tokens=names, show_progress=False)
    )
    plain.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    options |= {f"{name.strip('[]').lower()}_token": name for name in names} | {"bos_token": None, "eos_token": None}
    config = transformers.DistilBertConfig(vocab_size=count, n_layers=layers or 6, pad_token_id=0, **_LABELS)
    return config, plain, options


def _filled(pieces: list[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    """The pieces, and made-up ones that no text has, so many in all."""
    rng = random.Random(1)
    known = {piece for piece, _ in pieces}
    lowest = min(score for _, score in pieces) - 5
    while len(pieces) < count:
        made = "▁" + "".join(rng.choices(string.ascii_uppercase, k=rng.randint(6, 12)))
        if made not in known:
            known.add(made)
            pieces.append((made, lowest))
    return pieces


@cli.command()
def trained(
    data: Annotated[Path, typer.Option("--data", help="The folder that holds train.", exists=True, file_okay=False)],
    out: Out,
    run: Annotated[Path, typer.Option("--run", help="What is kept between two calls.")] = Path("runs/trained"),
) -> None:
    """Trains a 12-layer model a little on the three labels."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from model.reading import AS_IT_IS
    from model.training import bases
    from model.training.classifying import fit_classifier, passes
    from model.training.data import Source
    from model.training.fitting import seed_all
    from model.training.options import Recipe

    recipe = Recipe(
        stages=(
            (
                Source("train/semeval_tweets.tsv.gz", 3_000),
                Source("train/sst_train.tsv.gz", 700),
                Source("train/dynasent_r1_dev.tsv.gz", 700),
                Source("train/goemotions_train.tsv.gz", 700),
                Source("train/kaggle_tweets_train.tsv.gz", 700),
            ),
        ),
        learning_rate=6e-5,
        head_rate=8.0,
        layer_decay=0.9,
        frozen_layers=6,
        batch_size=32,
        max_tokens=64,
        dropout=0.0,
        balanced=True,
        reading=AS_IT_IS,
    )
    run.mkdir(parents=True, exist_ok=True)
    seed_all(recipe.seed)
    base = bases.teacher(run / "bases")
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(
        base,
        num_labels=len(LABELS),
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=recipe.dropout,
        dtype=torch.float32,
        **_LABELS,
    )

    def logits(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model(input_ids=input_ids, attention_mask=attention_mask).logits
        return found

    fit_classifier(model, logits, tokenizer, passes(data, recipe), recipe, run)
    model.save_pretrained(out)
    # The base's tokenizer.json truncates at a length of its own.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    cli()
