"""Soft labels: the class probabilities that a model gave to training texts, for the student to learn from.

There is one array for each file, shape (rows, classes), with not-a-number in rows that were not scored.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np

from model.labels import LABELS
from model.training import data
from model.training.data import Source
from model.types import FloatArray

_CHUNK = 1024
_TELL_S = 60.0


def soften(
    score: Callable[[list[str]], FloatArray], folder: Path, sources: tuple[Source, ...], out: Path, seed: int
) -> None:
    """Scores the sources' texts and writes one array for each file into `out`; resumes where it was stopped.

    Args:
        score: the model: texts in, probabilities of shape (texts, classes) out.
        folder: the folder of the data.
        sources: the files, and how many texts to draw from each.
        out: the folder of the arrays.
        seed: decides which texts are drawn.
    """
    out.mkdir(parents=True, exist_ok=True)
    for source in sources:
        path = out / (Path(source.file).name + ".npy")
        all_rows = data.read(folder / source.file, source.file)
        wanted = [example.row for example in data.draw(folder, (source,), seed)]
        known = np.load(path) if path.is_file() else np.full((len(all_rows), len(LABELS)), np.nan, np.float32)
        rows = [row for row in wanted if np.isnan(known[row, 0])]
        began = told = time.monotonic()
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            known[part] = score([all_rows[row].text for row in part])
            np.save(path.with_suffix(".part.npy"), known)
            os.replace(path.with_suffix(".part.npy"), path)
            done, now = start + len(part), time.monotonic()
            if now - told >= _TELL_S or done == len(rows):
                told = now
                left = timedelta(seconds=round((len(rows) - done) * (now - began) / done))
                speed = done / (now - began)
                print(f"{source.file}: {done} of {len(rows)} texts, {speed:.1f} texts/s, {left} left", flush=True)


def soft_labels(folder: Path, sources: tuple[Source, ...]) -> dict[str, FloatArray]:
    """The arrays that `soften` wrote for these sources, by file."""
    paths = {source.file: folder / (Path(source.file).name + ".npy") for source in sources}
    return {file: np.load(path) for file, path in paths.items() if path.is_file()}


def mean(members: list[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    """The mean of several models' probabilities, by file; each row is the mean over the models that scored it."""
    out = {}
    for file in sorted({file for member in members for file in member}):
        known = np.stack([member[file] for member in members if file in member])
        counts = (~np.isnan(known)).sum(0)
        with np.errstate(invalid="ignore"):
            out[file] = (np.nansum(known, 0) / counts).astype(np.float32)
    return out
