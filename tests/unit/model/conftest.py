"""The engines that are tested: the stub, the compiled embedded model, and the pipeline with a tiny model made here."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from model.engines.registry import load_engine
from tests.support.checkpoints import NAMES, make, need_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from model.engine import Engine

WORDS = [
    "i",
    "love",
    "hate",
    "this",
    "it",
    "is",
    "a",
    "chair",
    "show",
    "the",
    "good",
    "bad",
    "http",
    "@",
    "user",
    "!",
    ".",
    "😂",
]


def _tiny(folder: Path, names: list[str], *, head: bool = True, **config: Any) -> Path:
    """Saves a BERT with a few thousand weights and a word-level vocabulary as a Hugging Face folder."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer

    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    torch.manual_seed(7)
    settings = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=48,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
        # So wide that texts get different scores; with the usual 0.02, all scores are nearly the same.
        initializer_range=1.0,
        **config,
    )
    kind = BertForSequenceClassification if head else BertModel
    kind(settings).eval().save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a tiny model with the given class names; `head=False` leaves the classification head out."""
    need_torch()
    root = tmp_path_factory.mktemp("tiny")

    def make(names: list[str] | None = None, **options: Any) -> Path:
        return _tiny(root / str(len(list(root.iterdir()))), names or ["negative", "neutral", "positive"], **options)

    return make


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A small model of a kind (`tests.support.checkpoints`), perhaps with other class names; made once, not changed."""
    need_torch()
    root = tmp_path_factory.mktemp("checkpoints")
    made: dict[tuple[str, ...], Path] = {}

    def find(kind: str, names: Sequence[str] = NAMES) -> Path:
        key = (kind, *names)
        if key not in made:
            made[key] = make(kind, root / f"{kind}-{len(made)}", names)
        return made[key]

    return find


@pytest.fixture
def folder(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A small model's folder that a test may change."""
    return shutil.copytree(checkpoint("bert"), tmp_path / "model")


@pytest.fixture(scope="session")
def stub() -> Engine:
    """The stub engine."""
    return load_engine("stub")


@pytest.fixture(scope="session")
def compiled() -> Engine:
    """The embedded model, compiled and warm."""
    engine = load_engine("default", engine="compiled", device="cpu", threads=2, batch_size=8)
    engine.warm()
    return engine


@pytest.fixture(scope="session")
def pipeline(tiny: Callable[..., Path]) -> Engine:
    """The pipeline engine on a tiny model, warm."""
    engine = load_engine(str(tiny()), engine="pipeline", device="cpu", threads=2, batch_size=8)
    engine.warm()
    return engine


@pytest.fixture(params=["stub", "compiled", "pipeline"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    loaded: Engine = request.getfixturevalue(request.param)
    return loaded
