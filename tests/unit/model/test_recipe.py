"""Training, with a tiny model: it resumes where it was stopped, and the evaluation reads the result."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from model.training.data import Source
from model.training.names import Names
from model.training.options import Recipe
from tests.support.checkpoints import need_torch
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[3]
ROWS = [("i love this show 😂", "positive"), ("i hate it Mary 😡", "negative"), ("it is a chair [NAME]", "neutral")]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models in one thread: on a busy machine two of them wait for each other most of the time."""
    need_torch()
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Killed(Exception):
    """Stands for a kill of the process while a teacher scores."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with one training file of 48 rows."""
    folder = tmp_path / "data"
    folder.mkdir()
    lines = ["text\tlabel", *(f"{text} {'!' * (n % 5)}\t{label}" for n in range(16) for text, label in ROWS), ""]
    (folder / "a.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


def weights(folder: Path) -> dict[str, Any]:
    """All tensors of a trained model."""
    from safetensors.numpy import load_file

    return dict(load_file(folder / "fp32" / "model.safetensors"))


KILLED = """
import sys
from pathlib import Path
from model.training import student
from tests.unit.model.test_recipe import names, rules
student.train(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), rules(), names=names(), save_s=0)
"""
"""A process that trains, and writes a checkpoint after each step."""


def rules() -> Recipe:
    """A recipe of 63 steps in which everything that has a state of its own takes part."""
    return Recipe(
        stages=((Source("a.tsv.gz"),), (Source("a.tsv.gz", 24),)) * 7,
        batch_size=8,
        learning_rate=1e-3,
        layer_decay=0.5,
        balanced=True,
        average=0.9,
        r_drop=0.5,
        swap_share=0.5,
        name_weight=0.5,
        all_emoji=False,
    )


def names() -> Names:
    """Two names that occur in the texts, and others for them."""
    return Names({"first name": ("Mary", "Kofi", "Ann")}, {"first name": ("Ida",)})


def test_killed_training_ends_as_if_it_had_not_been(tiny: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    """Training that is killed (SIGKILL) and started again ends with the weights of an undisturbed run."""
    base = str(tiny(head=False))
    from model.training import fitting, student

    stopped = tmp_path / "stopped"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(data), base, str(stopped)], cwd=ROOT, env=environment)
    try:
        wait_until((stopped / fitting.CHECKPOINT).exists, what="a checkpoint", timeout_s=120)
    finally:
        process.kill()
        process.wait()
    assert not (stopped / student.TRAINED).exists()
    student.train(data, base, tmp_path / "straight", rules(), names=names())
    spent = student.train(data, base, stopped, rules(), names=names())

    assert spent.texts == 7 * (48 + 24)
    straight, resumed = weights(tmp_path / "straight"), weights(stopped)
    assert straight.keys() == resumed.keys()
    for name, tensor in straight.items():
        np.testing.assert_allclose(tensor, resumed[name], atol=1e-6, err_msg=name)


def test_checkpoint_of_another_recipe_is_refused(tiny: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    """A run is not continued under other hyperparameters."""
    base = str(tiny(head=False))
    from model.training import student

    stages = ((Source("a.tsv.gz", 8),),)
    student.train(data, base, tmp_path / "run", Recipe(stages=stages, batch_size=8))
    with pytest.raises(SystemExit, match="another recipe"):
        student.train(data, base, tmp_path / "run", Recipe(stages=stages, batch_size=4))


def test_balanced_softmax_answers_as_if_classes_were_equal() -> None:
    """If 8 of 10 texts of a file are negative, texts that are half negative are learnt as less than half negative.

    Without the log frequencies of the file's classes, the best answer is half.
    """
    import torch

    from model.training.classifying import losses

    labels = torch.tensor([0, 1])
    none = torch.full((2, 3), torch.nan)
    found = {}
    for name, priors in (("plain", torch.zeros(2, 3)), ("balanced", torch.tensor([[0.8, 0.1, 0.1]] * 2).log())):
        logits = torch.zeros(3, requires_grad=True)
        optimizer = torch.optim.LBFGS([logits], max_iter=100)

        def closure(
            logits: torch.Tensor = logits, priors: torch.Tensor = priors, optimizer: Any = optimizer
        ) -> torch.Tensor:
            optimizer.zero_grad()
            loss = losses(logits.expand(2, 3), labels, priors, none, 0.5, 0.01).mean()
            loss.backward()
            return loss

        optimizer.step(closure)
        found[name] = logits.softmax(0).tolist()
    assert found["plain"][0] == pytest.approx(found["plain"][1], abs=0.01)
    assert found["balanced"][0] / found["balanced"][1] == pytest.approx(1 / 8, rel=0.05)


def test_loss_of_labels_and_teacher() -> None:
    """The loss of a text is that of its label, of the teacher's scores, or of both in the given shares."""
    import torch

    from model.training.classifying import losses

    logits = torch.tensor([[1.0, 0.0, -1.0]] * 3)
    soft = torch.tensor([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5], [torch.nan] * 3])
    of_label, of_teacher = -logits[0].log_softmax(0)[2], -(soft[0] * logits[0].log_softmax(0)).sum()
    found = losses(logits, torch.tensor([2, -1, 2]), torch.zeros(3, 3), soft, 0.7, 0.0)
    assert found.tolist() == pytest.approx(
        [float(0.3 * of_label + 0.7 * of_teacher), float(of_teacher), float(of_label)], rel=1e-5
    )


def test_frozen_layers_stay_and_lower_layers_learn_more_slowly(tiny: Callable[..., Path]) -> None:
    """Embeddings and frozen layers get no gradient; the learning rates of other layers fall by `layer_decay` each."""
    folder = str(tiny())
    import transformers

    from model.training.fitting import groups

    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    layers = model.config.num_hidden_layers
    made = groups(model, Recipe(stages=(), learning_rate=1.0, head_rate=8.0, layer_decay=0.5, frozen_layers=1))
    rates = {id(parameter): group["lr"] for group in made for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        if "embeddings" in name or ".layer.0." in name:
            assert not parameter.requires_grad
            assert id(parameter) not in rates, name
        elif ".layer." in name:
            assert rates[id(parameter)] == 0.5 ** (layers - 1 - int(name.split(".layer.")[1].split(".")[0])), name
        else:
            assert rates[id(parameter)] == 8.0, name


def test_teacher_scores_go_on_where_they_were_stopped(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scoring that is killed between two chunks keeps the first and scores the rest; texts not drawn stay unknown."""
    from model.training import soft

    asked: list[str] = []

    def killed_after_one(texts: list[str]) -> Any:
        if asked:
            raise Killed
        return score(texts)

    def score(texts: list[str]) -> Any:
        asked.extend(texts)
        return np.tile(np.array([0.2, 0.3, 0.5], np.float32), (len(texts), 1))

    monkeypatch.setattr(soft, "_CHUNK", 16)
    source = (Source("a.tsv.gz", 40),)
    with pytest.raises(Killed):
        soft.soften(killed_after_one, data, source, tmp_path / "soft")
    soft.soften(score, data, source, tmp_path / "soft")
    assert len(asked) == 40
    known = soft.soft_labels(tmp_path / "soft", source)["a.tsv.gz"]
    assert known.shape == (48, 3)
    assert (~np.isnan(known[:, 0])).sum() == 40


def test_soft_labels_of_several_models() -> None:
    """The mean of each row is over the models that scored it, each by its weight."""
    from model.training import soft

    unknown = [np.nan] * 3
    one = {"a": np.array([[0.2, 0.2, 0.6], unknown, unknown], np.float32)}
    other = {
        "a": np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7], unknown], np.float32),
        "b": np.array([[1, 0, 0]], np.float32),
    }
    found = soft.mean([one, other])
    assert found["a"][0] == pytest.approx([0.3, 0.3, 0.4])
    assert found["a"][1] == pytest.approx([0.1, 0.2, 0.7])
    assert np.isnan(found["a"][2]).all()
    assert found["b"][0] == pytest.approx([1, 0, 0])
    found = soft.mean([one, other], [3.0, 1.0])
    assert found["a"][0] == pytest.approx([0.25, 0.25, 0.5])
    assert found["a"][1] == pytest.approx([0.1, 0.2, 0.7])


def test_student_learns_from_the_teacher(tiny: Callable[..., Path], tmp_path: Path) -> None:
    """A student learns the teacher's answers from unlabelled texts and the teacher's scores alone."""
    base = str(tiny(head=False))
    import torch
    import transformers

    from model.training import student

    texts = ["i love this show 😂", "i hate it 😡", "it is a chair"]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "u.tsv.gz").write_bytes(gzip.compress("\n".join(["text", *texts * 16, ""]).encode()))
    soft = {
        "u.tsv.gz": np.tile(
            np.eye(3, dtype=np.float32)[[2, 0, 1]] * 0.8 + 0.1 - 0.1 * np.eye(3, dtype=np.float32)[[2, 0, 1]], (16, 1)
        )
    }
    rules = Recipe(
        stages=((Source("u.tsv.gz"),),) * 4,
        batch_size=8,
        learning_rate=1e-2,
        link_share=0,
        soft_share=1,
        all_emoji=False,
    )
    student.train(folder, base, tmp_path / "run", rules, soft=soft)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "run" / "fp32")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "fp32").eval()
    with torch.no_grad():
        logits = model(**tokenizer(texts, return_tensors="pt", padding=True)).logits
    assert logits.argmax(1).tolist() == [2, 0, 1]


def test_kept_layers_are_those_of_the_base(tiny: Callable[..., Path]) -> None:
    """A student with fewer layers starts with the weights of the layers that it keeps, and states their number."""
    folder = str(tiny())
    import torch
    import transformers

    from model.training import student

    whole = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    last = whole.config.num_hidden_layers - 1
    _, kept = student.start(folder, Recipe(stages=(), layers=(last,)), [])
    assert kept.config.num_hidden_layers == len(kept.base_model.encoder.layer) == 1
    expected = whole.base_model.encoder.layer[last].state_dict()
    assert all(
        torch.equal(tensor, expected[name]) for name, tensor in kept.base_model.encoder.layer[0].state_dict().items()
    )


def test_engines_take_turns() -> None:
    """Each engine's rate is measured in the given number of rounds, on the same texts."""
    from model.engines.registry import load_engine
    from model.training.comparison import rates

    found = rates({"one": load_engine("stub"), "slow": load_engine("stub?delay_s=0.05")}, ["good"] * 8, rounds=2)
    assert found["slow"].median < found["one"].median
    assert found["one"].lowest <= found["one"].median <= found["one"].highest


def test_new_emoji_starts_as_the_words_of_its_name(tiny: Callable[..., Path]) -> None:
    """An emoji that the vocabulary lacks gets a token; its embedding is the mean over the words of its name."""
    import torch
    import transformers

    folder = str(tiny())
    from model.emoji import words
    from model.training import emoji

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert words("💘") == "heart arrow"
    assert emoji.add_to(tokenizer, model, {"😂": "joy", "💘": words("💘")}) == 2  # with the mark of repeated letters
    assert tokenizer.tokenize("so [LONG]")[-1] == "[LONG]"
    added = tokenizer.convert_tokens_to_ids("💘")
    assert tokenizer.tokenize("a💘") == ["a", "💘"]
    weight = model.get_input_embeddings().weight
    tokens = tokenizer(words("💘"), add_special_tokens=False)["input_ids"]
    expected = weight[[token for token in tokens if token != tokenizer.unk_token_id] or tokens].mean(0)
    assert torch.allclose(weight[added], expected)


def test_evaluation_prints_the_figures(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`evaluate` prints the figures of a file; the stub's lexicon is right on every row of this one."""
    from model.training import evaluate

    evaluate.main([data / "a.tsv.gz"], model="stub", as_json=True)
    figures = json.loads(capsys.readouterr().out)
    assert figures["model"] == "stub@1/stub"
    assert figures["texts"] == 48
    assert figures["macro_recall"] == figures["accuracy"] == 100
    evaluate.main([data / "a.tsv.gz"], model="stub")
    assert "macro recall" in " ".join(capsys.readouterr().out.split())
