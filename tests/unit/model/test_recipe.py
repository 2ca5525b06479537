"""Training itself, on a tiny model: it goes on where it was stopped, and the evaluation reads what it made."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from model.training.data import Source

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = [("i love this show 😂", "positive"), ("i hate it 😡", "negative"), ("it is a chair", "neutral")]


class Killed(Exception):
    """Stands for the process's end in the middle of training."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with one training file of 48 rows."""
    folder = tmp_path / "data"
    folder.mkdir()
    lines = ["text\tlabel", *(f"{text} {'!' * (n % 5)}\t{label}" for n in range(16) for text, label in ROWS), ""]
    (folder / "a.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


def weights(folder: Path) -> dict[str, Any]:
    """All tensors that training left."""
    from safetensors.numpy import load_file

    return dict(load_file(folder / "fp32" / "model.safetensors"))


def test_killed_training_ends_as_if_it_had_not_been(
    tiny: Callable[..., Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after its second checkpoint and called again, training reaches the very weights of an undisturbed run."""
    base = str(tiny(head=False))
    from model.training import recipe

    rules = recipe.Recipe(stages=((Source("a.tsv.gz"),), (Source("a.tsv.gz", 24),)), batch_size=8, learning_rate=1e-2)
    recipe.train(data, base, tmp_path / "straight", rules, "cpu", save_every=2)

    save, count = recipe._save, 0

    def save_then_die(path: Path, state: dict[str, Any]) -> None:
        nonlocal count
        save(path, state)
        count += 1
        if count == 2:
            raise Killed

    monkeypatch.setattr(recipe, "_save", save_then_die)
    with pytest.raises(Killed):
        recipe.train(data, base, tmp_path / "stopped", rules, "cpu", save_every=2)
    assert not (tmp_path / "stopped" / "fp32").exists()
    recipe.train(data, base, tmp_path / "stopped", rules, "cpu", save_every=2)

    straight, stopped = weights(tmp_path / "straight"), weights(tmp_path / "stopped")
    assert straight.keys() == stopped.keys()
    for name, tensor in straight.items():
        np.testing.assert_allclose(tensor, stopped[name], atol=1e-5, err_msg=name)


def test_checkpoint_of_another_recipe_is_refused(tiny: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    """A run is not continued under other hyperparameters."""
    base = str(tiny(head=False))
    from model.training import recipe

    stages = ((Source("a.tsv.gz", 8),),)
    recipe.train(data, base, tmp_path / "run", recipe.Recipe(stages=stages, batch_size=8), "cpu")
    with pytest.raises(SystemExit, match="another recipe"):
        recipe.train(data, base, tmp_path / "run", recipe.Recipe(stages=stages, batch_size=4), "cpu")


def test_new_emoji_starts_as_the_words_of_its_name(tiny: Callable[..., Path]) -> None:
    """An emoji that the vocabulary lacks gets a token, whose embedding is the mean of its name's words' embeddings."""
    import torch
    import transformers

    folder = str(tiny())
    from model.training import emoji

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert emoji.words("💘") == "heart arrow"
    assert emoji.add_to(tokenizer, model, ["😂", "💘"]) == 1
    added = tokenizer.convert_tokens_to_ids("💘")
    assert tokenizer.tokenize("a💘") == ["a", "💘"]
    weight = model.get_input_embeddings().weight
    expected = weight[tokenizer(emoji.words("💘"), add_special_tokens=False)["input_ids"]].mean(0)
    assert torch.allclose(weight[added], expected)


def test_evaluation_prints_the_figures(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`evaluate` scores a file with any engine; of these rows the stub's lexicon knows every one."""
    from model.training import evaluate

    evaluate.main([data / "a.tsv.gz"], model="stub", as_json=True)
    figures = json.loads(capsys.readouterr().out)
    assert figures["model"] == "stub@1/stub"
    assert figures["texts"] == 48
    assert figures["macro_recall"] == figures["accuracy"] == 100
    evaluate.main([data / "a.tsv.gz"], model="stub")
    assert "macro recall" in " ".join(capsys.readouterr().out.split())
