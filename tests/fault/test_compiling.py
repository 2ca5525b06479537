"""Checkpoints are compiled once, behind the gate, and then load without torch; whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from model.engines.registry import load_engine
from model.labels import SENTIMENT
from tests.support.checkpoints import KINDS, SENTENCES, make
from tests.support.compiled import kept, loaded, loading
from tests.support.disks import small_disk
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("CI") != "true" and not all(map(find_spec, ("torch", "transformers", "nncf"))),
        reason="torch, transformers or NNCF is not installed",
    ),
    pytest.mark.timeout(600),
]

FORMS = ["int8", "bf16", "fp32"]
TEXTS = ["a", "?", *SENTENCES, " ".join(SENTENCES), "good " * 400]
"""Short ones, and some longer than the models read."""
NOT_CONVERTED = {"gpt2"}
"""What OpenVINO cannot convert: the trace of a model that reads from left to right has a list in it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a small model of each kind."""
    root = tmp_path_factory.mktemp("models")

    def of(kind: str) -> Path:
        return root / kind if (root / kind).is_dir() else make(kind, root / kind)

    return of


@pytest.fixture(scope="module")
def roberta(folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small RoBERTa, and a folder in which it is compiled to fp32."""
    store = tmp_path_factory.mktemp("store")
    assert loaded(folder("roberta"), store, mode="fp32").found["form"] == "fp32"
    return folder("roberta"), store


@pytest.fixture
def store(roberta: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of that folder."""
    shutil.copytree(roberta[1], tmp_path / "store")
    return tmp_path / "store"


def test_every_architecture(kind: str, folder: Callable[[str], Path], tmp_path: Path) -> None:
    """A model of each architecture is compiled to the first form that passes, and then gives torch's scores; or no form
    passes, each for a reason, and torch runs it. The next start does nothing again, and has the same to tell.
    """
    first = loaded(folder(kind), tmp_path, texts=TEXTS)
    found = first.found
    assert set(first.steps) >= {"loading", "converting"}
    tried = [form for form, *_ in found["trials"]]
    assert tried == FORMS[: len(tried)]
    assert all(passed is not bool(reason) for _, passed, reason, _ in found["trials"])
    torch = load_engine(str(folder(kind)), engine="pipeline", device="cpu").score(TEXTS).probabilities
    difference = np.abs(np.array(found["scores"]) - torch).mean()
    if kind in NOT_CONVERTED:
        assert found["form"] == "pipeline"
        assert all("cannot convert" in reason and texts == 0 for _, _, reason, texts in found["trials"])
        assert any("is run by torch" in line for line in first.log)
    else:
        assert found["form"] == tried[-1]
        assert [passed for _, passed, *_ in found["trials"]] == [False] * (len(tried) - 1) + [True]
        assert found["trials"][-1][3] == 400
        assert difference < {"int8": 0.04, "bf16": 0.02, "fp32": 1e-5}[found["form"]]
    again = loaded(folder(kind), tmp_path, texts=TEXTS)
    assert again.steps == []
    assert again.found | {"loaded": []} == found | {"loaded": []}
    if kind not in NOT_CONVERTED:
        assert first.found["loaded"] == again.found["loaded"] == []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each architecture."""
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", KINDS)


def test_exact_form(roberta: tuple[Path, Path]) -> None:
    """In fp32, a compiled model has torch's scores to 1e-5, for texts of all lengths and in any company; its identity
    names checkpoint, graph and form.
    """
    again = loaded(*roberta, mode="fp32", texts=TEXTS).found
    torch = load_engine(str(roberta[0]), engine="pipeline", device="cpu")
    np.testing.assert_allclose(again["scores"], torch.score(TEXTS).probabilities, atol=1e-5)
    alone = [loaded(*roberta, mode="fp32", texts=[text]).found["scores"][0] for text in (TEXTS[0], TEXTS[-1])]
    np.testing.assert_allclose(alone, [again["scores"][0], again["scores"][-1]], atol=1e-5)
    name, _, rest = again["identity"].partition("@")
    version, _, form = rest.partition("/")
    assert (name, form) == ("roberta", "compiled-fp32")
    assert version.startswith(torch.identity.partition("@")[2].partition("/")[0] + "-")


def test_for_this_user_alone(roberta: tuple[Path, Path]) -> None:
    """All that is kept is this user's alone, as everything that workers write."""
    for path in roberta[1].rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_temperature(folder: Callable[[str], Path], tmp_path: Path) -> None:
    """A temperature in `config.json` makes a compiled model's scores flatter as it does torch's, and it counts as
    calibrated.
    """
    model = tmp_path / "tempered"
    shutil.copytree(folder("roberta"), model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"temperature": 2.5}))
    found = loaded(model, tmp_path / "store", mode="fp32", texts=TEXTS).found
    assert found["calibrated"]
    torch = load_engine(str(model), engine="pipeline", device="cpu").score(TEXTS).probabilities
    np.testing.assert_allclose(found["scores"], torch, atol=1e-5)
    plain = load_engine(str(folder("roberta")), engine="pipeline", device="cpu").score(TEXTS).probabilities
    assert torch.max(1).mean() < plain.max(1).mean() - 0.02


def test_classes_add_up(tmp_path: Path) -> None:
    """Five stars become three labels in a compiled model too."""
    model = make("bert", tmp_path / "stars", names=[f"{n} star{'s' * (n > 1)}" for n in range(1, 6)])
    found = loaded(model, tmp_path / "store", mode="fp32", texts=TEXTS).found
    assert (found["form"], len(found["names"])) == ("fp32", 5)
    torch = load_engine(str(model), engine="pipeline", device="cpu").score(TEXTS).probabilities
    np.testing.assert_allclose(found["scores"], torch, atol=1e-5)
    assert np.array(found["scores"]).shape[1] == len(SENTIMENT.classes)


def test_without_torch(roberta: tuple[Path, Path], tmp_path: Path) -> None:
    """Where torch is not installed, what was compiled elsewhere, with whatever versions, serves; anything else says
    what is missing.
    """
    found = loaded(*roberta, mode="fp32", hidden=True).found
    assert (found["form"], found["loaded"]) == ("fp32", [])
    for engine in ("auto", "compiled"):
        error = loaded(roberta[0], tmp_path, mode="fp32", engine=engine, hidden=True).found
        assert error["error"] in ("EngineUnavailable", "NotCompiled")
        assert "torch and transformers" in error["message"]


@pytest.mark.parametrize("file", ["graph.bin", "graph.xml", "tokenizer.json", "manifest.json"])
def test_damage_is_mended(file: str, roberta: tuple[Path, Path], store: Path) -> None:
    """A compiled model of which a file is damaged is made anew, and the log says so."""
    (key,) = kept(store)
    whole = (store / key / file).read_bytes()
    (store / key / file).write_bytes(whole[:-20])
    mended = loaded(roberta[0], store, mode="fp32")
    assert mended.found["form"] == "fp32"
    assert "converting" in mended.steps
    assert any("damaged" in line and file in line for line in mended.log)
    assert kept(store) == {key}
    assert loaded(roberta[0], store, mode="fp32").steps == []


def test_two_at_once(roberta: tuple[Path, Path], tmp_path: Path) -> None:
    """Of two processes that start at once, one compiles and the other says that it waits; both serve the same graph."""
    with loading(roberta[0], tmp_path, mode="fp32") as one, loading(roberta[0], tmp_path, mode="fp32") as other:
        one.read_until()
        other.read_until()
        assert one.found["identity"] == other.found["identity"]
        waits = "waiting for another process that compiles"
        both = [one.steps, other.steps]
        assert [waits] in both or [] in both
        assert sum("converting" in steps for steps in both) == 1
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize("step", ["loading", "converting", "quantising", "checking"])
def test_killed(step: str, folder: Callable[[str], Path], tmp_path: Path) -> None:
    """If a worker is killed while it has a model compiled, whatever it is doing, the process that compiles ends too,
    and nothing half is found: another worker that waits makes it.
    """
    model = folder("electra")
    with loading(model, tmp_path, mode="auto") as victim:
        victim.read_until(step)
        (maker,) = victim.makers()
        with loading(model, tmp_path, mode="auto") as heir:
            heir.read_until("waiting for another process that compiles")
            assert not [name for name in kept(tmp_path) if not name.endswith(".part")]
            os.kill(victim.process.pid, signal.SIGKILL)
            heir.read_until()
            assert heir.found["form"] in ("int8", "bf16", "fp32")
            wait_until(lambda: not Path(f"/proc/{maker}").exists(), what="the process that compiled to end")
            (name,) = kept(tmp_path)
            assert not name.endswith(".part")


def test_killed_compilation(folder: Callable[[str], Path], tmp_path: Path) -> None:
    """If the process that compiles is killed, as for its memory, it is tried once more; if that is killed too, torch
    runs the model, the log says why, and the next start tries again.
    """
    with loading(folder("roberta"), tmp_path / "once", mode="fp32") as worker:
        worker.read_until("converting")
        os.kill(worker.makers()[0], signal.SIGKILL)
        worker.read_until()
        assert worker.found["form"] == "fp32"
        assert any("was killed by signal 9; it is tried once more" in line for line in worker.log)
    with loading(folder("roberta"), tmp_path / "twice", mode="auto") as worker:
        for _ in range(2):
            worker.read_until("converting")
            os.kill(worker.makers()[0], signal.SIGKILL)
        worker.read_until()
        assert worker.found["form"] == "pipeline"
        assert any("was killed by signal 9" in line and "is run by torch" in line for line in worker.log)
        assert kept(tmp_path / "twice") == set()
    assert "converting" in loaded(folder("roberta"), tmp_path / "twice", mode="fp32").steps


def test_full_disk(folder: Callable[[str], Path], tmp_path: Path) -> None:
    """On a disk without room, torch runs the model and the log says why; nothing is left, and when there is room again
    the next start compiles.
    """
    with small_disk(tmp_path / "disk", "256k") as disk:
        full = loaded(folder("roberta"), disk / "compiled", texts=TEXTS[:3])
        assert full.found["form"] == "pipeline"
        assert len(full.found["scores"]) == 3
        assert any("the disk" in line for line in full.log), full.log
        assert kept(disk / "compiled") == set()
        again = loaded(folder("roberta"), disk / "compiled")
        assert "converting" in again.steps
    with small_disk(tmp_path / "disk", "16m") as disk:
        assert loaded(folder("roberta"), disk / "compiled", mode="fp32").found["form"] == "fp32"


def test_folder_that_cannot_be_made(folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Where the folder of compiled models cannot be made, torch runs the model, and the log says why."""
    (tmp_path / "file").write_text("")
    worker = loaded(folder("roberta"), tmp_path / "file" / "compiled")
    assert worker.found["form"] == "pipeline"
    assert any("cannot be written" in line for line in worker.log), worker.log


def test_demanded_form(folder: Callable[[str], Path], tmp_path: Path) -> None:
    """A form that is demanded and does not pass stops the worker, with the reason; so does the compiled engine."""
    for how in ({"mode": "int8"}, {"engine": "compiled"}):
        refused = loaded(folder("gpt2"), tmp_path, **how).found
        assert refused["error"] == "NotCompiled"
        assert "OpenVINO cannot convert it" in refused["message"]
    off = loaded(folder("gpt2"), tmp_path, mode="off", engine="compiled").found
    assert "COMPILE=off" in off["message"]
    assert loaded(folder("roberta"), tmp_path, mode="off").found["form"] == "pipeline"


def test_nothing_is_compiled_that_is_refused(folder: Callable[[str], Path], tmp_path: Path) -> None:
    """A checkpoint whose head was never trained is refused as by the pipeline engine, and not run by torch instead."""
    from safetensors.torch import load_file, save_file

    model = tmp_path / "headless"
    shutil.copytree(folder("bert"), model)
    weights = {
        name: value for name, value in load_file(model / "model.safetensors").items() if "classifier" not in name
    }
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    refused = loaded(model, tmp_path / "store").found
    assert refused["error"] == "MissingHead"
    assert "classifier" in refused["message"]


def test_own_texts(folder: Callable[[str], Path], tmp_path: Path) -> None:
    """With texts of one's own for the calibration, a model of its own is compiled, beside the other."""
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(SENTENCES * 3), encoding="utf-8")
    first = loaded(folder("electra"), tmp_path / "store", mode="auto")
    other = loaded(folder("electra"), tmp_path / "store", mode="auto", calibration=path, engine="auto")
    assert "quantising" in other.steps
    assert len(kept(tmp_path / "store")) == 2
    assert first.found["form"] in ("int8", "bf16", "fp32")
    assert "quantising" in first.steps
    path.write_text("too few\n")
    refused = loaded(folder("electra"), tmp_path / "store", mode="auto", calibration=path).found
    assert (refused["error"], "CALIBRATION_TEXTS" in refused["message"]) == ("EngineUnavailable", True)


def test_old_models_go(folder: Callable[[str], Path], store: Path) -> None:
    """Beyond COMPILED_CACHE_BYTES the least recently used go, but none that a running worker uses; a smaller limit
    holds from the next start on.
    """
    (old,) = kept(store)
    small = {"mode": "fp32", "max_bytes": 1}
    with loading(folder("roberta"), store, stay=True, **small) as user:
        user.read_until()
        loaded(folder("bert"), store, **small)
        assert old in kept(store)
        assert len(kept(store)) == 2
    loaded(folder("bert"), store, **small)
    assert len(kept(store)) == 1
    assert old not in kept(store)


def test_gate_turns_down(folder: Callable[[str], Path], tmp_path: Path) -> None:
    """A graph whose weights differ from the checkpoint's is turned down by name of what is wrong, and nothing of it is
    kept.
    """
    import torch

    from model.checkpoint import find_checkpoint, load
    from model.making import Maker

    checkpoint = find_checkpoint(str(folder("roberta")))
    asked = {"part": str(tmp_path), "texts": [], "batch_size": 8, "threads": 1}
    with (tmp_path / "said").open("w") as out:
        maker = Maker(asked, checkpoint, load(checkpoint), out)
        maker.begin_reference().scores(lambda share: None)
        with torch.no_grad():
            maker.loaded.model.classifier.out_proj.weight[0] *= 3
        (trial,), lasting = maker.run(["fp32"])
    assert lasting
    assert not trial.passed
    assert "labels equal torch's" in trial.reason
    assert trial.texts == 400
    assert trial.labels_equal < 0.95
    assert {path.name for path in tmp_path.iterdir()} == {"said", "manifest.json"}
