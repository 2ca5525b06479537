"""Soft labels: the class probabilities that a model gave to training texts, for the student to learn from.

There is one array for each file, shape (rows, classes), with not-a-number in rows that were not scored.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np

from model.labels import LABELS
from model.training import data
from model.training.data import Source
from model.types import FloatArray

_CHUNK = 1024
_TELL_S = 60.0


def soften(score: Callable[[list[str]], FloatArray], folder: Path, sources: tuple[Source, ...], out: Path) -> None:
    """Scores the sources' texts and writes one array for each file into `out`; resumes where it was stopped.

    What is given of a text counts as much as the model's answer to it.

    Args:
        score: the model: texts in, probabilities of shape (texts, classes) out.
        folder: the folder of the data.
        sources: the files, and how many texts to draw from each.
        out: the folder of the arrays.
    """
    out.mkdir(parents=True, exist_ok=True)
    for source in sources:
        path = out / (Path(source.file).name + ".npy")
        all_rows = data.rows(folder, source.file)
        wanted = [example.row for example in data.draw(folder, (source,))]
        known = np.load(path) if path.is_file() else np.full((len(all_rows), len(LABELS)), np.nan, np.float32)
        for row in wanted:
            if all_rows[row].said == "":
                known[row] = all_rows[row].given
        rows = [row for row in wanted if np.isnan(known[row, 0])]
        _write(path, known)
        began = told = time.monotonic()
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            examples = [all_rows[row] for row in part]
            known[part] = score([example.said or example.text for example in examples])
            for row, example in zip(part, examples, strict=True):
                if example.given:
                    known[row] = (known[row] + example.given) / 2
            _write(path, known)
            done, now = start + len(part), time.monotonic()
            if now - told >= _TELL_S or done == len(rows):
                told = now
                left = timedelta(seconds=round((len(rows) - done) * (now - began) / done))
                speed = done / (now - began)
                print(f"{source.file}: {done} of {len(rows)} texts, {speed:.1f} texts/s, {left} left", flush=True)


def _write(path: Path, known: FloatArray) -> None:
    """Writes an array, atomically."""
    np.save(path.with_suffix(".part.npy"), known)
    os.replace(path.with_suffix(".part.npy"), path)


def soft_labels(folder: Path, sources: tuple[Source, ...]) -> dict[str, FloatArray]:
    """The arrays that `soften` wrote for these sources, by file."""
    paths = {source.file: folder / (Path(source.file).name + ".npy") for source in sources}
    return {file: np.load(path) for file, path in paths.items() if path.is_file()}


def mean(members: list[dict[str, FloatArray]], weights: Sequence[float] = ()) -> dict[str, FloatArray]:
    """The mean of several models' probabilities, by file; each row is the mean over the models that scored it.

    Args:
        members: the models' probabilities by file, shape (rows, classes).
        weights: how much each model counts; by default all count the same.
    """
    out = {}
    for file in sorted({file for member in members for file in member}):
        having = [n for n, member in enumerate(members) if file in member]
        known = np.stack([members[n][file] for n in having])
        shares = np.array([weights[n] if weights else 1.0 for n in having])[:, None, None] * ~np.isnan(known)
        with np.errstate(invalid="ignore"):
            out[file] = ((np.nan_to_num(known) * shares).sum(0) / shares.sum(0)).astype(np.float32)
    return out
