"""The steps that make the embedded model, each from what the steps before it left in the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from rich.console import Console
from rich.table import Table

from model.engines.registry import load_engine
from model.training import bases as base_models
from model.training import calibration, data, names, recipe, records, soft, student, teacher
from model.training import export as exporting
from model.training import masked as masking
from model.training.data import Source
from model.training.domains import DEV, IN_DOMAIN
from model.training.fitting import Spent, device, has_bf16
from model.training.metrics import known_labels, metrics
from model.training.options import Recipe
from model.types import FloatArray

_SCALING = "scaling.json"
_T = TypeVar("_T")
Score = Callable[[list[str]], FloatArray]


def masked(folder: Path, run: Path, bases: Path | None) -> None:
    """Makes the base model of the teachers that begin with tweets, if any does."""
    if any(rules.masked for rules in recipe.TEACHERS.values()) and not (run / "masked" / masking.BASE).exists():
        masking.train(folder, _teacher_base(run, bases), run / "masked", recipe.MASKED)


def teach(folder: Path, run: Path, bases: Path | None, only: str | None = None) -> None:
    """Trains the teachers, or one of them."""
    first = next(iter(recipe.TEACHERS.values()))
    for name, rules in _chosen(recipe.TEACHERS, only).items():
        out = run / "teachers" / name
        if not (out / records.RECORD).exists():
            spent = teacher.train(folder, _base_of(rules, run, bases), out, rules, names=_names(rules))
            score = teacher.scorer(folder, _base_of(rules, run, bases), out, rules)
            _record(f"teacher: {name}", rules, first, spent, score, folder, out)


def soften(folder: Path, run: Path, bases: Path | None, only: str | None = None) -> None:
    """Scores all texts with each teacher, or one of them; the first edition of the model is one."""
    for name in _chosen(recipe.WEIGHTS, only):
        print(f"scores of the teacher {name}", flush=True)
        soft.soften(_scores_of(name, folder, run, bases), folder, _asked(name), run / "soft" / name)


def _asked(name: str) -> tuple[Source, ...]:
    """The sources that a teacher scores."""
    return tuple(source for source in recipe.SOFT if source.file not in recipe.KNOWN.get(name, ()))


def _scores_of(name: str, folder: Path, run: Path, bases: Path | None) -> Score:
    if name == recipe.FIRST:
        engine = load_engine(base_models.first(run / "bases"), engine="compiled", threads=torch.get_num_threads())
        return lambda texts: engine.score(texts).probabilities
    rules = recipe.TEACHERS[name]
    return teacher.scorer(folder, _base_of(rules, run, bases), run / "teachers" / name, rules)


def soft_labels(run: Path) -> dict[str, FloatArray]:
    """The weighted mean of the teachers' probabilities, by file."""
    members = [soft.soft_labels(run / "soft" / name, _asked(name)) for name in recipe.WEIGHTS]
    return soft.mean(members, list(recipe.WEIGHTS.values()))


def distil(folder: Path, run: Path) -> None:
    """Trains a student for each seed and averages their weights into `student`."""
    from dataclasses import replace

    members = {seed: replace(recipe.STUDENT, seed=seed) for seed in recipe.SEEDS}
    for seed, rules in members.items():
        _student(f"student {seed}", rules, recipe.STUDENT, folder, run, run / "students" / str(seed))
    out = run / "student"
    if not (out / records.RECORD).exists():
        student.average([run / "students" / str(seed) / student.TRAINED for seed in members], out / student.TRAINED)
        score = student.scorer(out / student.TRAINED, recipe.STUDENT).scores
        _record("mean of the students' weights", recipe.STUDENT, recipe.STUDENT, Spent(), score, folder, out)


def ablate(folder: Path, run: Path, only: str | None = None) -> None:
    """Trains the students of the ablations, or one of them."""
    first = next(iter(recipe.ABLATIONS.values()))
    for name, rules in _chosen(recipe.ABLATIONS, only).items():
        _student(name, rules, first, folder, run, run / "ablations" / name.replace(" ", "-"))


def calibrate(folder: Path, run: Path, kind: str, *, everywhere: bool) -> None:
    """Fits the scaling, and prints ECE and macro recall on each dev file for each kind of it.

    For the row "others", a file is measured with the scaling that was fitted on the other files: so confidences may be
    off on texts of a kind that nobody had.
    """
    score = student.scorer(run / "student" / student.TRAINED, recipe.STUDENT).scores
    sets = {}
    for file in DEV:
        examples = data.read(folder / file)
        sets[file] = (score([example.text for example in examples]), known_labels(examples))
    table = Table("scaling", "fitted on", *(f"{name}: ECE, macro recall" for name in DEV.values()))
    for way, fit in calibration.KINDS.items():
        for fitted_on in ("tweets", "all", "others"):
            row = []
            for file, (probabilities, labels) in sets.items():
                chosen = {
                    "tweets": [IN_DOMAIN],
                    "all": list(sets),
                    "others": [other for other in sets if other != file],
                }
                scaling = fit([sets[other] for other in chosen[fitted_on]])
                found = metrics(scaling.applied(probabilities), labels)
                row.append(f"{100 * found.ece:.1f}, {100 * found.macro_recall:.1f}")
            table.add_row(way, fitted_on, *row)
    Console(width=160).print(table)
    chosen_sets = list(sets.values()) if everywhere else [sets[IN_DOMAIN]]
    scaling = calibration.KINDS[kind](chosen_sets)
    scaling.write(run / _SCALING)
    print(f"{kind}: {scaling}", flush=True)


def export(folder: Path, run: Path, out: Path) -> None:
    """Writes the folder that is served."""
    scaling = calibration.read(run / _SCALING)
    exporting.export(run / "student" / student.TRAINED, folder, out, scaling, recipe.STUDENT.reading)


def _student(name: str, rules: Recipe, compared: Recipe, folder: Path, run: Path, out: Path) -> None:
    if (out / records.RECORD).exists():
        return
    base = base_models.first(run / "bases") if rules.first else base_models.student()
    spent = student.train(folder, base, out, rules, soft=soft_labels(run), names=_names(rules))
    _record(name, rules, compared, spent, student.scorer(out / student.TRAINED, rules).scores, folder, out)


def _record(name: str, rules: Recipe, compared: Recipe, spent: Spent, score: Score, folder: Path, out: Path) -> None:
    dev = {}
    for file, title in DEV.items():
        examples = data.read(folder / file)
        dev[title] = metrics(score([example.text for example in examples]), known_labels(examples)).macro_recall
    where = f"{device().type}, {'bf16' if has_bf16(device()) else 'fp32'}"
    record = records.made(name, rules, compared, where, spent, dev)
    records.write(record, out)
    print(record, flush=True)


def _names(rules: Recipe) -> names.Names | None:
    return names.load() if rules.swap_share or rules.name_weight else None


def _base_of(rules: Recipe, run: Path, bases: Path | None) -> str:
    return str(run / "masked" / masking.BASE) if rules.masked else _teacher_base(run, bases)


def _teacher_base(run: Path, bases: Path | None) -> str:
    return base_models.teacher(run / "bases" if bases is None else bases)


def _chosen(recipes: dict[str, _T], only: str | None) -> dict[str, _T]:
    if only is None:
        return recipes
    if only not in recipes:
        raise SystemExit(f"there is no {only}; there are: {', '.join(recipes)}")
    return {only: recipes[only]}
