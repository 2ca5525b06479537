"""The options of training: calibration by class, weights averaged, narrower layers, masked words, records of runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.training.calibration import Scaling, by_temperature, read, with_offsets
from model.training.metrics import ece, nll
from model.training.options import Recipe
from tests.support.checkpoints import need_torch


def test_offsets_find_what_was_shifted(tmp_path: Path) -> None:
    """Answers whose logits were shifted for one class are made honest again by offsets, not by a temperature."""
    rng = np.random.default_rng(1)
    honest = rng.dirichlet([1, 1, 1], 12_000).astype(np.float32)
    labels = np.array([rng.choice(3, p=row / row.sum()) for row in honest.astype(np.float64)])
    shifted = Scaling(2.0, (1.0, 0.0, 0.0)).applied(honest)
    by_one, by_class = by_temperature([(shifted, labels)]), with_offsets([(shifted, labels)])
    assert by_one.offsets == (0, 0, 0)
    assert by_class.factor == pytest.approx(0.5, abs=0.03)
    assert by_class.offsets == pytest.approx((-0.5, 0, 0), abs=0.1)
    mended = by_class.applied(shifted)
    assert nll(mended, labels) < nll(by_one.applied(shifted), labels)
    assert ece(mended.max(1), mended.argmax(1) == labels) < 0.03
    by_class.write(tmp_path / "scaling.json")
    assert read(tmp_path / "scaling.json") == by_class


def test_weights_are_averaged(tiny: Callable[..., Path], tmp_path: Path) -> None:
    """The averaged model has the means of the weights, and the rest of the first one's folder."""
    from safetensors.numpy import load_file, save_file

    from model.training import student

    one = tiny()
    other = tmp_path / "other"
    other.mkdir()
    weights = load_file(one / "model.safetensors")
    save_file({name: values + 1 for name, values in weights.items()}, other / "model.safetensors")
    student.average([one, other], tmp_path / "mean")
    found = load_file(tmp_path / "mean" / "model.safetensors")
    for name, values in weights.items():
        np.testing.assert_allclose(found[name], values + 0.5, atol=1e-6, err_msg=name)
    assert (tmp_path / "mean" / "tokenizer.json").read_bytes() == (one / "tokenizer.json").read_bytes()


def test_narrow_layers_keep_the_neurons_that_matter(tiny: Callable[..., Path]) -> None:
    """A narrower student says the same as the base if the neurons that it lacks did nothing, and states its width."""
    folder = str(tiny())
    import torch
    import transformers

    from model.training import student

    whole = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    idle = [1, 4, 9, 12]
    with torch.no_grad():
        for layer in whole.base_model.encoder.layer:
            layer.output.dense.weight[:, idle] = 0
    narrow = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    narrow.load_state_dict(whole.state_dict())
    student._narrow(narrow, 12)
    ids = torch.tensor([[2, 7, 8, 3]])
    assert narrow.config.intermediate_size == narrow.base_model.encoder.layer[0].intermediate.dense.out_features == 12
    assert torch.allclose(whole(ids).logits, narrow(ids).logits, atol=1e-5)


def test_words_are_masked_and_guessed(tiny: Callable[..., Path]) -> None:
    """About 15 of 100 tokens are to be guessed, most of them masked; special tokens never; a seed masks alike."""
    import torch
    import transformers

    from model.training.masked import mask

    tokenizer = transformers.AutoTokenizer.from_pretrained(str(tiny()))
    ids = torch.full((200, 50), 7)
    ids[:, 0] = tokenizer.cls_token_id
    special = ids == tokenizer.cls_token_id
    changed, wanted = mask(ids, special, tokenizer, torch.Generator().manual_seed(1))
    again, _ = mask(ids, special, tokenizer, torch.Generator().manual_seed(1))
    assert torch.equal(changed, again)
    chosen = wanted != -100
    assert 0.12 < chosen[:, 1:].float().mean() < 0.18
    assert not chosen[:, 0].any()
    assert torch.equal(changed[~chosen], ids[~chosen])
    assert torch.equal(wanted[chosen], ids[chosen])
    assert 0.7 < (changed[chosen] == tokenizer.mask_token_id).float().mean() < 0.9


def test_the_average_of_the_weights_is_the_result(tmp_path: Path) -> None:
    """With a moving average, a run ends with it: nearer to the beginning than its last weights."""
    need_torch()
    import torch

    from model.training.fitting import fit

    ends = {}
    for decay in (0.0, 0.99):
        model = torch.nn.Linear(1, 1)
        torch.nn.init.zeros_(model.weight)
        torch.nn.init.zeros_(model.bias)

        def loss(step: int, model: Any = model) -> tuple[Any, int]:
            return (model(torch.ones(1, 1)) - 5).square().mean(), 1

        rules = Recipe(stages=(), learning_rate=0.1, average=decay, warmup=0.0)
        spent = fit(model, loss, 40, rules, _folder(tmp_path, decay))
        assert spent.texts == 40
        ends[decay] = model(torch.ones(1, 1)).item()
    assert 0 < ends[0.99] < ends[0.0]


def _folder(parent: Path, decay: float) -> Path:
    out = parent / str(decay)
    out.mkdir()
    return out


def test_answers_that_agree_do_not_diverge() -> None:
    """The divergence of equal answers is 0, that of others is the mean of both Kullback-Leibler divergences."""
    need_torch()
    import torch

    from model.training.classifying import divergence

    one, other = torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([[0.0, 0.5, 0.5]])
    p, q = one.softmax(1)[0], other.softmax(1)[0]
    expected = float(((p * (p / q).log()).sum() + (q * (q / p).log()).sum()) / 2)
    assert float(divergence(one, other)) == pytest.approx(expected, rel=1e-5)
    assert float(divergence(one, one)) == 0


def test_ablations_are_printed_from_records(tmp_path: Path) -> None:
    """Each run's record is read again, with what its recipe changed, its mean over the dev files, and its cost."""
    need_torch()
    from rich.console import Console

    from model.training import records
    from model.training.fitting import Spent

    base = Recipe(stages=())
    for name, rules, recall in (("first", base, 0.7), ("second", replace(base, r_drop=1.0), 0.72)):
        (tmp_path / name).mkdir()
        record = records.made(name, rules, base, "cpu, fp32", Spent(3600, 5400, 1000), {"tweets": recall, "films": 0.6})
        records.write(record, tmp_path / name)
    first, second = records.read_all(tmp_path)
    assert first.changed == {}
    assert second.changed == {"r_drop": "1.0"}
    assert second.mean == pytest.approx((72 + 72 + 60) / 3)
    console = Console(width=200, file=StringIO())
    console.print(records.table([first, second]))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(words in printed for words in ("r_drop=1.0", "72.00", "1.50", "1,000"))


def test_nothing_but_training_texts_is_trained_on() -> None:
    """No recipe draws from the dev and test files; each text that a student learns from is scored by the teachers."""
    need_torch()
    from model.training import recipe

    recipes = [recipe.MASKED, recipe.STUDENT, *recipe.TEACHERS.values(), *recipe.ABLATIONS.values()]
    used = {source.file for rules in recipes for stage in rules.stages for source in stage}
    assert all(file.startswith(("train/", "unlabelled/", "made/")) for file in used)
    assert not [file for file in used if "airline" in file]
    assert used <= {source.file for source in recipe.SOFT}
    assert len({repr(rules) for rules in recipe.ABLATIONS.values()}) == len(recipe.ABLATIONS)


def test_other_weights_than_the_base_models_are_refused(tmp_path: Path) -> None:
    """A base model with other weights, or none, is refused by name before anything is trained."""
    need_torch()
    from model.training import bases

    with pytest.raises(SystemExit, match="is missing"):
        bases.checked(tmp_path, bases.TEACHER_SHA256)
    (tmp_path / "model.safetensors").write_bytes(b"others")
    with pytest.raises(SystemExit, match="has the digest"):
        bases.checked(tmp_path, bases.TEACHER_SHA256)
