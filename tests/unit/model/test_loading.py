"""Which engine a model name gets, and which models are refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from model.engines.registry import load_engine
from model.errors import EngineUnavailable, MissingHead, ModelNotFound, ModelRefused, UnknownLabels
from model.source import DEFAULT_FOLDER
from tests.support.checkpoints import need_torch

if TYPE_CHECKING:
    from collections.abc import Callable


def python(code: str) -> str:
    """Runs code in a new interpreter; returns what it prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_import_loads_no_library() -> None:
    """Importing the loader does not import any inference library."""
    heavy = "torch transformers openvino tokenizers"
    assert (
        python(f"import sys, model.engines.registry; print([m for m in '{heavy}'.split() if m in sys.modules])") == "[]"
    )


def test_compiled_engine_needs_no_torch() -> None:
    """The embedded model is scored without torch and transformers, even where they are installed."""
    code = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from model.engines.registry import load_engine
engine = load_engine("default", engine="compiled", device="cpu")
print(engine.score(["I love this!"]).probabilities.argmax())
"""
    assert python(code) == "2"


def test_without_torch_the_pipeline_says_what_to_install() -> None:
    """If torch is not installed, asking for the pipeline engine gives an error that says what to install."""
    code = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else find_spec(name, *rest)
from model.errors import EngineUnavailable
from model.engines.registry import load_engine
for arguments in ({"engine": "pipeline"}, {"device": "cuda:0"}):
    try:
        load_engine("default", **arguments)
    except EngineUnavailable as error:
        print(error)
print(load_engine("default").identity.rpartition("/")[2])
"""
    lines = python(code).splitlines()
    assert all("`make run EXTRAS=torch`" in line and "pip install 'sentiq[torch]'" in line for line in lines[:2])
    assert lines[2] == "compiled"


def test_default_on_a_cpu_is_compiled() -> None:
    """The embedded model on a CPU runs compiled, with its files' digest in the identity."""
    engine = load_engine("default", device="cpu")
    name, _, rest = engine.identity.partition("@")
    assert name == "default"
    assert len(rest.removesuffix("/compiled")) == 12


def test_both_engines_agree_on_the_embedded_model(compiled: Any) -> None:
    """The int8 graph and the safetensors are one model: the same labels, nearly the same scores, the same limit."""
    texts = ["I love this so much 😂", "worst day ever", "the meeting is at noon", "meh. not bad though", "w " * 300]
    pipeline = load_engine("default", engine="pipeline", device="cpu", threads=2).score(texts)
    graph = compiled.score(texts)
    assert pipeline.probabilities.argmax(1).tolist() == graph.probabilities.argmax(1).tolist()
    np.testing.assert_allclose(pipeline.probabilities, graph.probabilities, atol=0.12)
    assert pipeline.truncated.tolist() == graph.truncated.tolist() == [False, False, False, False, True]


def test_embedded_model_tells_the_three_apart(compiled: Any) -> None:
    """Plain texts get the label that anyone would give them."""
    texts = ["I love this show, it is wonderful", "The bus leaves at 9", "This is terrible, I hate it"]
    assert compiled.score(texts).probabilities.argmax(1).tolist() == [2, 1, 0]


@pytest.mark.parametrize("file", ["graph.bin", "graph.xml", "tokenizer.json"])
def test_damaged_file_is_refused(tmp_path: Path, file: str) -> None:
    """A file that differs from the manifest, truncated or with one bit changed, is refused by name."""
    folder = tmp_path / "copy"
    shutil.copytree(DEFAULT_FOLDER, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    whole = (folder / file).read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:-10], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
        (folder / file).write_bytes(damaged)
        with pytest.raises(ModelRefused, match=file):
            load_engine(str(folder), engine="compiled", device="cpu")
    (folder / file).unlink()
    with pytest.raises((ModelNotFound, EngineUnavailable), match="graph" if "graph" in file else file):
        load_engine(str(folder), engine="compiled", device="cpu")


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_damaged_file_is_refused_by_the_pipeline(tmp_path: Path, file: str) -> None:
    """The pipeline engine refuses such a file too: without its own check it loads, and would answer otherwise."""
    need_torch()
    folder = tmp_path / "copy"
    shutil.copytree(DEFAULT_FOLDER, folder, ignore=shutil.ignore_patterns("graph.*"))
    whole = (folder / file).read_bytes()
    damaged = whole[:-1] + bytes([whole[-1] ^ 1]) if file.endswith("safetensors") else whole + b" "
    (folder / file).write_bytes(damaged)
    with pytest.raises(ModelRefused, match=file):
        load_engine(str(folder), engine="pipeline", device="cpu")
    (folder / file).write_bytes(whole)
    load_engine(str(folder), engine="pipeline", device="cpu")


def test_swapped_classes_are_refused(tmp_path: Path) -> None:
    """Weights whose classes have been swapped, which load like any other, are refused by either engine's check."""
    need_torch()
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "copy"
    shutil.copytree(DEFAULT_FOLDER, folder)
    weights = load_file(folder / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name].flip(0).contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelRefused, match=r"model\.safetensors differs from the file that manifest\.json lists"):
        load_engine(str(folder), engine="pipeline", device="cpu")


def test_somebody_elses_manifest(tiny: Callable[..., Path]) -> None:
    """A file of that name in a model that Sentiq has not exported says nothing to it."""
    folder = tiny()
    for content in ("not JSON", "[]", '{"name": "an app"}', '{"max_tokens": 3, "sha256": 4}'):
        (folder / "manifest.json").write_text(content)
        load_engine(str(folder), engine="pipeline", device="cpu")


def test_model_without_head_is_refused(tiny: Callable[..., Path]) -> None:
    """A checkpoint without a trained classification head is refused, and the message names the missing weights."""
    folder = tiny(head=False)
    with pytest.raises(MissingHead, match=r"classifier\.bias, classifier\.weight"):
        load_engine(str(folder), engine="pipeline", device="cpu")


def test_unknown_classes_are_refused_unless_mapped(tiny: Callable[..., Path]) -> None:
    """Classes of unknown meaning are refused; with a map the model is served, under another identity."""
    folder = tiny(["LABEL_0", "LABEL_1"])
    with pytest.raises(UnknownLabels):
        load_engine(str(folder), engine="pipeline", device="cpu")
    one = load_engine(
        str(folder), engine="pipeline", device="cpu", label_map={"LABEL_0": "NEGATIVE", "LABEL_1": "POSITIVE"}
    )
    other = load_engine(
        str(folder), engine="pipeline", device="cpu", label_map={"LABEL_0": "POSITIVE", "LABEL_1": "NEGATIVE"}
    )
    assert one.identity != other.identity
    np.testing.assert_allclose(
        one.score(["love"]).probabilities, other.score(["love"]).probabilities[:, ::-1], atol=1e-6
    )


def test_mapped_classes_add_up(tiny: Callable[..., Path]) -> None:
    """The probabilities of classes with the same meaning are added: one to five stars become three labels."""
    folder = tiny([f"{n} star{'s' * (n > 1)}" for n in range(1, 6)])
    scores = load_engine(str(folder), engine="pipeline", device="cpu").score(["this is a good show", "bad"])
    np.testing.assert_allclose(scores.probabilities.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
def test_model_that_does_not_choose_is_refused(tiny: Callable[..., Path], kind: str) -> None:
    """Outputs that are not one probability for each of several classes are refused."""
    with pytest.raises(ModelRefused, match=kind):
        load_engine(str(tiny(problem_type=kind)), engine="pipeline", device="cpu")


def test_weights_other_than_safetensors_are_refused(tiny: Callable[..., Path]) -> None:
    """A pickled checkpoint is not loaded, as reading it could run code."""
    import torch

    folder = tiny()
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="safetensors"):
        load_engine(str(folder), engine="pipeline", device="cpu")


def test_identity_follows_the_weights(tiny: Callable[..., Path]) -> None:
    """Two folders with different weights have different identities, even under one name."""
    first, second = (load_engine(str(tiny(intermediate=n)), engine="pipeline", device="cpu") for n in (1, 2))
    assert first.identity.partition("@")[2] != second.identity.partition("@")[2]


@pytest.mark.parametrize("engine", ["auto", "compiled", "pipeline"])
@pytest.mark.parametrize("name", ["/no/such/model", "./model/nowhere", "models/by/me"])
def test_folder_that_does_not_exist(name: str, engine: str) -> None:
    """For a name that can only be a folder and is none, the error says so, whatever the engine."""
    with pytest.raises(ModelNotFound, match=f"^there is no folder {name}$"):
        load_engine(name, engine=engine, device="cpu")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"engine": "fast"}, "fast"),
        ({"device": "tpu"}, "tpu"),
        ({"device": "cuda:x"}, "cuda:x"),
        ({"device": "cuda:99"}, "cuda:99"),
    ],
)
def test_engine_or_device_that_is_not_there(arguments: dict[str, str], said: str) -> None:
    """An engine or device that is unknown or not here is refused by name."""
    with pytest.raises(EngineUnavailable, match=said):
        load_engine("default", **arguments)  # type: ignore[arg-type]
