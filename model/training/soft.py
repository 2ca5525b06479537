"""Soft labels: the teacher's probabilities, an array a file, shape (rows, classes); not-a-number in rows that it did
not see.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from model.labels import LABELS
from model.training import data
from model.training.data import Source
from model.types import FloatArray

_CHUNK = 1024


def soften(
    score: Callable[[list[str]], FloatArray], folder: Path, sources: tuple[Source, ...], out: Path, seed: int
) -> None:
    """Writes probabilities of the sources' texts into `out`, an array a file; goes on where it was stopped.

    Args:
        score: the teacher: texts in, probabilities of shape (texts, classes) out.
        folder: the data.
        seed: of the choice of texts.
    """
    out.mkdir(parents=True, exist_ok=True)
    for source in sources:
        path = out / (Path(source.file).name + ".npy")
        all_rows = data.read(folder / source.file, source.file)
        wanted = [example.row for example in data.draw(folder, (source,), seed)]
        known = np.load(path) if path.is_file() else np.full((len(all_rows), len(LABELS)), np.nan, np.float32)
        rows = [row for row in wanted if np.isnan(known[row, 0])]
        with tqdm(
            total=len(wanted), initial=len(wanted) - len(rows), unit="text", desc=source.file, disable=None
        ) as bar:
            for start in range(0, len(rows), _CHUNK):
                part = rows[start : start + _CHUNK]
                known[part] = score([all_rows[row].text for row in part])
                np.save(path.with_suffix(".part.npy"), known)
                os.replace(path.with_suffix(".part.npy"), path)
                bar.update(len(part))
        print(f"{source.file}: {len(wanted)} texts scored", flush=True)


def soft_labels(folder: Path, sources: tuple[Source, ...]) -> dict[str, FloatArray]:
    """What `soften` wrote for these sources, by file."""
    paths = {source.file: folder / (Path(source.file).name + ".npy") for source in sources}
    return {file: np.load(path) for file, path in paths.items() if path.is_file()}


def debiased(probabilities: FloatArray, log_priors: FloatArray) -> FloatArray:
    """Probabilities, shape (n, classes), as if all classes were equally frequent, of a model that learnt them with
    these frequencies.

    Bayes' rule: p(class | text) is divided by p(class), and brought to a sum of 1. Rows of not-a-number stay so.
    """
    raised = probabilities * np.exp(-log_priors)
    out: FloatArray = (raised / raised.sum(1, keepdims=True)).astype(np.float32)
    return out


def mean(members: list[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    """The mean of several models' probabilities by file; in each row, of those models that scored it."""
    out = {}
    for file in sorted({file for member in members for file in member}):
        known = np.stack([member[file] for member in members if file in member])
        counts = (~np.isnan(known)).sum(0)
        with np.errstate(invalid="ignore"):
            out[file] = (np.nansum(known, 0) / counts).astype(np.float32)
    return out
