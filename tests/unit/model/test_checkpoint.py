"""What is checked of a model before an engine runs it, and that every architecture gets the scores of transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from model.checkpoint import find_checkpoint, load
from model.engines.registry import load_engine
from model.errors import ModelNotFound, ModelRefused
from model.labels import SENTIMENT
from tests.support.checkpoints import KINDS, NAMES, SENTENCES

TEXTS = ["?", "a", "😂😂😂", " ".join(SENTENCES), "good " * 400, "x" * 5000, "\u202eأحب هذا العرض", *SENTENCES]
"""With texts that are nearly empty, longer than the models read, or of other scripts."""

Make = Callable[..., Path]


def change(file: Path, **entries: Any) -> None:
    """Changes entries of a JSON file; None removes one."""
    changed = json.loads(file.read_text()) | entries
    file.write_text(json.dumps({key: value for key, value in changed.items() if value is not None}))


def expected(folder: Path, texts: list[str], max_tokens: int) -> Any:
    """The scores that transformers' own pipeline gives to texts, each alone."""
    import transformers

    pipeline = transformers.pipeline("text-classification", model=str(folder), top_k=None, device="cpu")
    rows = pipeline(texts, truncation=True, max_length=max_tokens)
    return np.array([[{score["label"]: score["score"] for score in row}[name] for name in NAMES] for row in rows])


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_transformers(checkpoint: Make, kind: str) -> None:
    """Models of every architecture get the scores of `transformers.pipeline`, alone and in batches of mixed lengths:
    token types, positions that count from the padding index, and padding on the left are as each of them needs.
    """
    engine = load_engine(str(checkpoint(kind)), engine="pipeline", device="cpu", batch_size=8)
    engine.warm()
    wanted = expected(checkpoint(kind), TEXTS, engine.description.max_tokens)
    assert wanted.std(axis=0).min() > 0.01, "the texts have so similar scores that the comparison says nothing"
    together = engine.score(TEXTS)
    np.testing.assert_allclose(together.probabilities, wanted, atol=1e-4)
    alone = np.concatenate([engine.score([text]).probabilities for text in TEXTS])
    np.testing.assert_allclose(alone, wanted, atol=1e-4)
    assert together.truncated[:7].tolist() == [False, False, False, True, True, True, False]
    assert engine.description.max_tokens == 128


@pytest.mark.parametrize(
    ("kind", "most"), [("bert", 128), ("roberta", 128), ("mpnet", 128), ("modernbert", 128), ("xlnet", 512)]
)
def test_limit_of_positions(checkpoint: Make, tmp_path: Path, kind: str, most: int) -> None:
    """Where the tokenizer names no limit, texts are cut to the model's positions; a RoBERTa with 130 has 128 for it. A
    model without such a limit reads 512 tokens.
    """
    folder = shutil.copytree(checkpoint(kind), tmp_path / kind)
    change(folder / "tokenizer_config.json", model_max_length=None)
    engine = load_engine(str(folder), engine="pipeline", device="cpu")
    assert engine.description.max_tokens == most
    scores = engine.score(["a " * 600, "a"])
    assert scores.truncated.tolist() == [True, False]
    assert np.isfinite(scores.probabilities).all()


def test_token_types_that_a_model_does_not_take(checkpoint: Make, folder: Path) -> None:
    """A tokenizer that makes token types for a model without them, here a DistilBERT, is no error."""
    for file in ("config.json", "model.safetensors"):
        shutil.copy(checkpoint("distilbert") / file, folder)
    loaded = load(find_checkpoint(str(folder)))
    assert "token_type_ids" in loaded.tokenizer("a")
    assert loaded.inputs == ("input_ids", "attention_mask")


def test_padding_side_that_changes_scores(checkpoint: Make, tmp_path: Path) -> None:
    """A tokenizer that pads on the side where padding shifts the positions of a BERT's tokens is made to pad right."""
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "left")
    change(folder / "tokenizer_config.json", padding_side="left")
    engine = load_engine(str(folder), engine="pipeline", device="cpu")
    np.testing.assert_allclose(engine.score(TEXTS).probabilities, expected(folder, TEXTS, 128), atol=1e-4)


def test_padding_that_changes_scores_on_either_side(checkpoint: Make, tmp_path: Path) -> None:
    """A model whose padding token is another one for its tokenizer, so that padding is read, is refused."""
    folder = shutil.copytree(checkpoint("gpt2"), tmp_path / "gpt2")
    change(folder / "config.json", pad_token_id=7)
    with pytest.raises(ModelRefused, match="padding changes its scores"):
        load(find_checkpoint(str(folder)))


def test_padding_token_that_only_the_tokenizer_names(checkpoint: Make, tmp_path: Path) -> None:
    """Where the configuration says nothing, the tokenizer's padding token holds for the model too."""
    folder = shutil.copytree(checkpoint("gpt2"), tmp_path / "gpt2")
    change(folder / "config.json", pad_token_id=None)
    engine = load_engine(str(folder), engine="pipeline", device="cpu")
    np.testing.assert_allclose(engine.score(TEXTS).probabilities, expected(folder, TEXTS, 128), atol=1e-4)


def test_no_padding_token(checkpoint: Make, tmp_path: Path) -> None:
    """A model without a padding token is refused."""
    folder = shutil.copytree(checkpoint("gpt2"), tmp_path / "gpt2")
    change(folder / "tokenizer_config.json", pad_token=None)
    with pytest.raises(ModelRefused, match="no padding token"):
        load(find_checkpoint(str(folder)))


def test_temperature(checkpoint: Make, folder: Path) -> None:
    """A temperature in config.json divides the logits, and the model counts as calibrated; 1 is no temperature."""
    plain = load_engine(str(checkpoint("bert")), engine="pipeline", device="cpu")
    assert not plain.description.calibrated
    change(folder / "config.json", temperature=2.5)
    scaled = load_engine(str(folder), engine="pipeline", device="cpu")
    assert scaled.description.calibrated
    raised = plain.score(TEXTS).probabilities.astype(np.float64) ** (1 / 2.5)
    np.testing.assert_allclose(scaled.score(TEXTS).probabilities, raised / raised.sum(1, keepdims=True), atol=1e-4)
    change(folder / "config.json", temperature=1.0)
    assert not find_checkpoint(str(folder)).calibrated


@pytest.mark.parametrize("temperature", [0, -1, 1e-300, 1e300, 10**400, "warm", True, [1]])
def test_temperature_that_is_none(folder: Path, temperature: Any) -> None:
    """A temperature that is no number from 0.001 to 1000 is refused."""
    change(folder / "config.json", temperature=temperature)
    with pytest.raises(ModelRefused, match="temperature"):
        find_checkpoint(str(folder))


def test_numbers_that_are_not_finite(folder: Path) -> None:
    """A checkpoint with a weight that is no finite number is refused: compiled, it would answer all the same."""
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    weights[name][-1] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelRefused, match=rf"{name} has numbers that are not finite"):
        load(find_checkpoint(str(folder)))


def test_no_room_for_a_text(folder: Path) -> None:
    """A tokenizer that leaves no token for a text beside the special ones is refused: all texts would be alike."""
    change(folder / "tokenizer_config.json", model_max_length=2)
    with pytest.raises(ModelRefused, match="allow 2 tokens, and a text needs 3"):
        load(find_checkpoint(str(folder)))


def test_embedded_model() -> None:
    """The embedded model's temperature is part of its weights: it is calibrated, and its name is no path."""
    found = find_checkpoint("default")
    assert (found.name, found.calibrated, found.temperature, found.suffix) == ("default", True, None, "")
    assert (found.classes.mapped, found.classes.two_class, found.classes.guessed) == (SENTIMENT.classes, False, False)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_its_own(folder: Path, file: str) -> None:
    """A model or tokenizer that comes with code is refused before its weights are read, and the code never runs."""
    (folder / "code.py").write_text("raise SystemExit('the code ran')")
    change(folder / file, auto_map={"AutoModelForSequenceClassification": "code.Model", "AutoTokenizer": "code.T"})
    with pytest.raises(ModelRefused, match=f"needs code of its own .auto_map in {file}."):
        find_checkpoint(str(folder))


def test_quantised_already(folder: Path) -> None:
    """Weights that others have quantised are refused by a sentence, and not by an import that fails."""
    change(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(ModelRefused, match="quantised already"):
        find_checkpoint(str(folder))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"id2label": ["a"]}', '{"id2label": {"x": "a"}}', '{"num_labels": "x"}']
)
def test_configuration_that_is_none(folder: Path, content: str) -> None:
    """A config.json that is damaged, or whose classes are not numbered, is refused."""
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelRefused, match=r"config\.json"):
        find_checkpoint(str(folder))


def test_unknown_architecture(folder: Path) -> None:
    """An architecture that transformers does not know is refused with the model's name."""
    change(folder / "config.json", model_type="no_such_thing")
    with pytest.raises(ModelRefused, match=r"^model could not be loaded.*no_such_thing"):
        load(find_checkpoint(str(folder)))


@pytest.mark.parametrize(("file", "error"), [("config.json", ModelNotFound), ("model.safetensors", ModelNotFound)])
def test_file_that_is_missing(folder: Path, file: str, error: type[Exception]) -> None:
    """A folder without configuration or weights is refused by name of the file."""
    (folder / file).unlink()
    with pytest.raises(error, match=file.replace(".", r"\.")):
        find_checkpoint(str(folder))


def test_no_tokenizer(folder: Path) -> None:
    """A folder without a tokenizer is refused."""
    for file in (*folder.glob("tokenizer*"), *folder.glob("vocab*")):
        file.unlink()
    with pytest.raises(ModelRefused, match="no tokenizer"):
        find_checkpoint(str(folder))


@pytest.mark.skipif(find_spec("sentencepiece") is not None, reason="sentencepiece is installed")
def test_tokenizer_of_sentencepiece_alone(folder: Path) -> None:
    """A tokenizer that was never saved as tokenizer.json is refused with what to do, where sentencepiece is missing."""
    for file in (*folder.glob("tokenizer*"), *folder.glob("vocab*")):
        file.unlink()
    (folder / "sentencepiece.bpe.model").write_bytes(b"pieces")
    with pytest.raises(ModelRefused, match=r"install it, or .* which writes tokenizer\.json"):
        find_checkpoint(str(folder))


def test_truncated_weights(folder: Path) -> None:
    """Weights that were cut off, as by a broken download, are refused with the model's name."""
    whole = (folder / "model.safetensors").read_bytes()
    for size in (0, 5, len(whole) - 10):
        (folder / "model.safetensors").write_bytes(whole[:size])
        with pytest.raises((ModelRefused, ModelNotFound), match=r"^model could not be loaded"):
            load(find_checkpoint(str(folder)))


def test_weights_in_parts(checkpoint: Make, folder: Path) -> None:
    """Weights in several files with an index are read like one; without one of the parts they are refused."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(checkpoint("bert"))
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) > 1
    whole = load_engine(str(checkpoint("bert")), engine="pipeline", device="cpu").score(TEXTS)
    np.testing.assert_allclose(
        load_engine(str(folder), engine="pipeline", device="cpu").score(TEXTS).probabilities, whole.probabilities
    )
    parts[0].unlink()
    with pytest.raises(ModelNotFound, match=parts[0].name):
        find_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ('{"weight_map": {"a": "../other/model.safetensors"}}', "not in the model's folder"),
        ('{"weight_map": {"a": 5}}', "lacks 5"),
        ('{"weight_map": {"a": {"b": "c"}}}', "lacks {"),
        ('{"weight_map": ["model.safetensors"]}', "lists no files"),
        ('{"weight_map": {}}', "lists no files"),
        ("{}", "lists no files"),
    ],
)
def test_index_that_is_damaged(folder: Path, listed: str, said: str) -> None:
    """An index of weights that names no files, or files elsewhere, is refused in words."""
    (folder / "model.safetensors.index.json").write_text(listed)
    with pytest.raises((ModelRefused, ModelNotFound), match=said):
        find_checkpoint(str(folder))


def test_head_of_another_size(checkpoint: Make, folder: Path) -> None:
    """A configuration with more classes than the weights have rows is refused: the other rows would be random."""
    names = {str(number): name for number, name in enumerate(("very negative", "negative", "neutral", "positive"))}
    change(folder / "config.json", id2label=names, label2id={name: int(n) for n, name in names.items()})
    with pytest.raises(ModelRefused, match=r"classifier\.bias, classifier\.weight has another shape"):
        load(find_checkpoint(str(folder), label_map={"very negative": "NEGATIVE"}))
